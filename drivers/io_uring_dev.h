/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the files of the io_uring driver share. */
#ifndef BK_IO_URING_DEV_H
#define BK_IO_URING_DEV_H

#include "uring/ring.h"

struct iou_dev {
	struct blkio b;
	/* properties */
	char *path;
	int fd;
	bool direct;
	int num_entries;
	bool single_issuer, register_buffers, sq_poll;
	/* known when connected */
	bool is_block_device;
};

/* A queue's mirror of the region table in its ring's registered buffers. */
struct iou_buffers {
	uint64_t generation; /* of the region table when last mirrored */
	unsigned n;	     /* slots of the ring; 0: the kernel refused them */
	struct bk_region *slot;
	struct bk_region *snapshot;
	struct bk_region hit; /* the last that was found; len 0: none */
};

struct iou_queue {
	struct blkioq q;
	struct uring ring;
	int fd;		   /* the device: descriptor, or index of the registered file */
	uint8_t sqe_flags; /* IOSQE_FIXED_FILE, or 0 */
	bool use_buffers;
	uint8_t discard_method; /* enum in io_uring.c */
	struct iou_buffers buffers;
};

/* io_uring_file.c */

/* Open the device or adopt the fd, and fill in b.lim. */
int iou_connect(struct blkio *b);
void iou_close(struct blkio *b);
int iou_capacity(struct blkio *b, uint64_t *bytes);

/* io_uring_buffers.c */

void iou_buffers_init(struct iou_queue *q);
void iou_buffers_exit(struct iou_queue *q);

int iou_buffers_find_slow(struct iou_queue *q, const void *addr, size_t len);

/* The registered buffer that holds [addr, addr + len), or -1. */
static inline int iou_buffers_find(struct iou_queue *q, const void *addr, size_t len)
{
	const struct iou_buffers *bufs = &q->buffers;

	if (likely(bufs->generation == bk_region_generation(q->q.b) &&
		   bk_region_holds(&bufs->hit, (uintptr_t)addr, len)))
		return bufs->hit.slot;
	return iou_buffers_find_slow(q, addr, len);
}

#endif
