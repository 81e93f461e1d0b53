/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the files of the io_uring driver share. */
#ifndef BK_IO_URING_DEV_H
#define BK_IO_URING_DEV_H

#include "uring/dev.h"

struct iou_dev {
	struct uring_dev u;
	bool direct;	      /* property */
	bool is_block_device; /* known when connected */
};

/* How a struct io_uring_sqe begins; the same in all plain requests of a kind. */
struct iou_head {
	uint8_t opcode, flags;
	uint16_t ioprio;
	int32_t fd;
};
_Static_assert(sizeof(struct iou_head) == offsetof(struct io_uring_sqe, off), "up to the offset");

struct iou_queue {
	struct uring_queue u;
	struct iou_head plain[2], registered[2]; /* buffers; of BK_READ and BK_WRITE */
	bool needs_discard_ioctl;		 /* on block devices before Linux 6.12 */
};

static inline struct iou_dev *to_iou_dev(struct blkio *b)
{
	return container_of(b, struct iou_dev, u.b);
}

/* io_uring_file.c */

/* Open the device or adopt the fd, and fill in b.lim. */
int iou_connect(struct blkio *b);
int iou_capacity(struct blkio *b, uint64_t *bytes);

#endif
