/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * io_uring: files and block devices through the kernel. This file has the requests;
 * io_uring_file.c opens the device, uring/ has the rings and the rest of the queues.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "io_uring_dev.h"

#define TRANSFER_MAX 0x7ffff000U /* the kernel's MAX_RW_COUNT; longer ones are continued */

#ifndef BLOCK_URING_CMD_DISCARD
#define BLOCK_URING_CMD_DISCARD _IO(0x12, 0) /* Linux 6.12 */
#endif

/* ---- Submission --------------------------------------------------------------------------- */

static inline struct iou_queue *to_iou(struct blkioq *q)
{
	return container_of(q, struct iou_queue, u.q);
}

/* The registered buffer around a segment, where there is one: saves pinning its pages. */
static inline void use_registered_buffer(struct iou_queue *q, struct io_uring_sqe *sqe, void *addr)
{
	int index = uring_buffers_find(&q->u, addr, sqe->len);

	if (index >= 0) {
		sqe->opcode =
		    sqe->opcode == IORING_OP_READ ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
		sqe->buf_index = index;
	}
}

static inline void prep_segment(struct iou_queue *q, struct io_uring_sqe *sqe,
				const struct iovec *segment)
{
	sqe->addr = (uintptr_t)segment->iov_base;
	sqe->len = min_u64(segment->iov_len, TRANSFER_MAX);
	if (q->u.use_buffers)
		use_registered_buffer(q, sqe, segment->iov_base);
}

static void prep_rw(struct iou_queue *q, const struct bk_req *r, struct io_uring_sqe *sqe)
{
	sqe->off = r->start;
	if (r->flags & BLKIO_REQ_FUA)
		sqe->rw_flags = RWF_DSYNC;
	if (r->iovcnt == 1) {
		prep_segment(q, sqe, r->iov);
		return;
	}
	sqe->opcode = r->op == BK_READ ? IORING_OP_READV : IORING_OP_WRITEV;
	sqe->addr = (uintptr_t)r->iov;
	sqe->len = r->iovcnt;
}

static void prep_fallocate(const struct bk_req *r, struct io_uring_sqe *sqe, int mode)
{
	sqe->opcode = IORING_OP_FALLOCATE;
	sqe->off = r->start;
	sqe->addr = r->len;
	sqe->len = mode | FALLOC_FL_KEEP_SIZE;
}

static void prep_discard(struct iou_queue *q, struct bk_req *r, struct io_uring_sqe *sqe)
{
	if (!to_iou_dev(q->u.q.b)->is_block_device) {
		prep_fallocate(r, sqe, FALLOC_FL_PUNCH_HOLE);
	} else {
		sqe->opcode = IORING_OP_URING_CMD;
		sqe->cmd_op = BLOCK_URING_CMD_DISCARD;
		sqe->addr = r->start;
		sqe->addr3 = r->len;
	}
}

/*
 * Before Linux 6.12 nothing else discards on a block device, and this blocks: io_uring has no
 * command for it, and fallocate() refuses FALLOC_FL_NO_HIDE_STALE.
 */
static cold_path void discard_by_ioctl(struct iou_queue *q, struct bk_req *r)
{
	uint64_t range[2] = { r->start, r->len };
	int ret = ioctl(to_iou_dev(q->u.q.b)->u.fd, BLKDISCARD, range) < 0 ? -errno : 0;

	if (!ret)
		q->needs_discard_ioctl = true;
	bk_complete(&q->u.q, r, ret);
}

static void prep_special(struct iou_queue *q, struct bk_req *r, struct io_uring_sqe *sqe)
{
	switch (r->op) {
	case BK_READ:
	case BK_WRITE:
		prep_rw(q, r, sqe);
		break;
	case BK_WRITE_ZEROES:
		prep_fallocate(r, sqe,
			       r->flags & BLKIO_REQ_NO_UNMAP ? FALLOC_FL_ZERO_RANGE
							     : FALLOC_FL_PUNCH_HOLE);
		break;
	case BK_DISCARD:
		prep_discard(q, r, sqe);
		break;
	case BK_FLUSH:
		sqe->opcode = IORING_OP_FSYNC;
		sqe->fsync_flags = IORING_FSYNC_DATASYNC;
		break;
	}
}

static void submit_special(struct iou_queue *q, struct bk_req *r)
{
	struct io_uring_sqe *sqe;

	if (r->op > BK_WRITE && q->u.q.is_poll) {
		bk_fail(&q->u.q, r, ENOTSUP, "io_uring poll queues only take reads and writes");
		return;
	}
	if (r->op == BK_DISCARD && q->needs_discard_ioctl) {
		discard_by_ioctl(q, r);
		return;
	}
	sqe = uring_get_sqe(&q->u.ring);
	if (!sqe) {
		bk_full(&q->u.q, r);
		return;
	}
	*sqe = q->templates[r->op == BK_WRITE ? BK_WRITE : BK_READ];
	sqe->user_data = (uintptr_t)r;
	prep_special(q, r, sqe);
}

static void iou_submit(struct blkioq *bq, struct bk_req *r)
{
	struct iou_queue *q = to_iou(bq);
	struct io_uring_sqe *sqe;

	if (unlikely(r->special)) {
		submit_special(q, r);
		return;
	}
	sqe = uring_get_sqe(&q->u.ring);
	if (unlikely(!sqe)) {
		bk_full(bq, r);
		return;
	}
	*sqe = q->templates[r->op];
	sqe->off = r->start;
	sqe->user_data = (uintptr_t)r;
	prep_segment(q, sqe, &r->one);
}

/* ---- Completion --------------------------------------------------------------------------- */

/* Either the kernel has no BLOCK_URING_CMD_DISCARD, or it did not like this one. */
static bool may_need_discard_ioctl(const struct iou_queue *q, const struct bk_req *r, int error)
{
	return r->op == BK_DISCARD && to_iou_dev(q->u.q.b)->is_block_device &&
	       (error == -ENOTSUP || error == -EINVAL || error == -ENOTTY);
}

static cold_path void iou_failed(struct iou_queue *q, struct bk_req *r, int error)
{
	/*
	 * EAGAIN: the device has no more tags for polled requests. EINTR: a FUSE server's signal.
	 * ECANCELED: a signal kept the kernel from creating its first worker thread.
	 */
	if ((error == -EAGAIN && q->u.q.is_poll) || error == -EINTR || error == -ECANCELED)
		bk_retry_transient(&q->u.q, r, error);
	else if (may_need_discard_ioctl(q, r, error))
		discard_by_ioctl(q, r);
	else if (error == -ENODEV && r->op == BK_WRITE_ZEROES)
		bk_complete(&q->u.q, r, -ENOTSUP); /* a file system without fallocate */
	else
		bk_complete(&q->u.q, r, error);
}

static inline void reap(struct iou_queue *q, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct io_uring_cqe *cqe = uring_cqe(&q->u.ring, i);
		struct bk_req *r = (struct bk_req *)(uintptr_t)cqe->user_data;

		if (likely(cqe->res >= 0))
			bk_complete(&q->u.q, r, cqe->res);
		else
			iou_failed(q, r, cqe->res);
	}
	uring_seen(&q->u.ring, n);
}

static int iou_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	struct iou_queue *q = to_iou(bq);
	int ret = uring_enter(&q->u.ring, wait_nr, w);
	unsigned n = uring_ready(&q->u.ring);

	if (n)
		reap(q, n);
	return ret;
}

static int iou_queue_init(struct blkio *b, struct blkioq *bq)
{
	static const uint8_t opcodes[] = {
		[BK_READ] = IORING_OP_READ, [BK_WRITE] = IORING_OP_WRITE
	};
	struct iou_queue *q = to_iou(bq);
	int ret = uring_queue_init(b, bq, false);

	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		q->templates[i] = (struct io_uring_sqe){
			.opcode = opcodes[i],
			.flags = q->u.sqe_flags,
			.fd = q->u.fd,
		};
	}
	return ret;
}

/* ---- Properties --------------------------------------------------------------------------- */

static const struct bk_prop iou_props[] = {
	{ "path", "The file or block device to open.", BK_STR, BK_GET_ALWAYS, BK_SET_CREATED,
	  offsetof(struct uring_dev, path) },
	{ "direct", "Bypass the page cache (O_DIRECT).", BK_BOOL, BK_GET_ALWAYS, BK_SET_CREATED,
	  offsetof(struct iou_dev, direct) },
	URING_DEV_PROPS,
	{ 0 },
};

const struct bk_driver bk_driver_io_uring = {
	.name = "io_uring",
	.device_size = sizeof(struct iou_dev),
	.queue_size = sizeof(struct iou_queue),
	.props = iou_props,
	.limits_from = BK_CONNECTED,
	.topology_from = BK_CREATED,
	.can_add_queues = true,
	.init = uring_dev_init,
	.connect = iou_connect,
	.start = uring_dev_start,
	.close = uring_dev_close,
	.capacity = iou_capacity,
	.queue_init = iou_queue_init,
	.queue_exit = uring_queue_exit,
	.submit = iou_submit,
	.enter = iou_enter,
	.notify = uring_queue_notify,
};
