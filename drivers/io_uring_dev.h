/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the files of the io_uring driver share. */
#ifndef BK_IO_URING_DEV_H
#define BK_IO_URING_DEV_H

#include "file/file.h"
#include "uring/dev.h"

/* What the block layer does in one piece; sizes in bytes. */
struct iou_unsplit {
	uint64_t bytes;
	uint64_t pages;		 /* that the buffers touch */
	uint64_t boundary_mask;	 /* where one segment ends and the next begins, unless adjacent */
	uint64_t chunk;		 /* a piece does not cross its multiples, on the disk; 0: none */
	uint64_t disk_start;	 /* of a partition */
	uint64_t physical_block; /* a power of two: where a long piece ends, on the disk */
	uint64_t block;		 /* request-alignment */
};

/* The first iovcnt segments, or the first len bytes of one. */
struct iou_piece {
	const struct iovec *iov;
	int iovcnt;
	uint64_t len;
};

struct iou_dev {
	struct uring_dev u;
	struct file_info file;
	struct iou_unsplit unsplit;
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
	const struct iou_unsplit *unsplit;	 /* NULL: the kernel splits by itself */
	bool needs_discard_ioctl;		 /* on block devices before Linux 6.12 */
	struct iou_thread *thread;		 /* NULL: none needed so far */
};

static inline struct iou_dev *to_iou_dev(struct blkio *b)
{
	return container_of(b, struct iou_dev, u.b);
}

/* io_uring_file.c */

/* Open the device or adopt the fd, and fill in b.lim. */
int iou_connect(struct blkio *b);
/* Has a block device still the blocks that it was connected to with? Else it is gone: bk_err(). */
int iou_check_blocks(struct blkio *b);
int iou_capacity(struct blkio *b, uint64_t *bytes);

/* io_uring_polled.c */

/* The part of a read or write to begin with: what needs no split. */
struct iou_piece iou_first_piece(const struct iou_unsplit *u, const struct bk_req *r);
/* The longest single buffer that is a piece wherever it is; 0: depends. */
uint64_t iou_unsplit_buffer(const struct iou_unsplit *u);

/* io_uring_thread.c */

/* In priv[1] of a discard: how it is done. The last is for this one only. */
enum { IOU_BY_COMMAND, IOU_BY_IOCTL, IOU_BY_IOCTL_ONCE };

/* When the first request needs it: false when there cannot be a thread. */
bool iou_thread_begin(struct iou_queue *q);
void iou_thread_end(struct iou_queue *q);
/* Those that wait for others: they never happen. */
void iou_thread_cancel(struct iou_queue *q);
/* Is the thread at one? */
bool iou_thread_busy(const struct iou_queue *q);
/* Let the thread do r, after what it has. */
void iou_thread_submit(struct iou_queue *q, struct bk_req *r);
/* The ring reports that r is done. True: the thread's request, handled; false: not one of its. */
bool iou_thread_complete(struct iou_queue *q, struct bk_req *r, int res);

#endif
