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

static void prep_segment(struct iou_queue *q, uint8_t op, const struct iovec *segment,
			 struct io_uring_sqe *sqe)
{
	const struct iou_head *head = &q->plain[op];
	uint32_t len = min_u64(segment->iov_len, TRANSFER_MAX);
	int buffer = q->u.use_buffers ? uring_buffers_find(&q->u, segment->iov_base, len) : -1;

	if (buffer >= 0) {
		head = &q->registered[op];
		sqe->buf_index = buffer;
	}
	memcpy(sqe, head, sizeof(*head));
	sqe->addr = (uintptr_t)segment->iov_base;
	sqe->len = len;
}

static void prep_rw(struct iou_queue *q, const struct bk_req *r, struct io_uring_sqe *sqe)
{
	sqe->off = r->start;
	if (r->flags & BLKIO_REQ_FUA)
		sqe->rw_flags = RWF_DSYNC;
	if (r->iovcnt == 1) {
		prep_segment(q, r->op, r->iov, sqe);
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
 * command for it, and fallocate() refuses FALLOC_FL_NO_HIDE_STALE. Later it helps those whose pages
 * are busy in the page cache.
 */
static cold_path void discard_by_ioctl(struct iou_queue *q, struct bk_req *r, int error)
{
	uint64_t range[2] = { r->start, r->len };
	int ret = ioctl(to_iou_dev(q->u.q.b)->u.fd, BLKDISCARD, range) < 0 ? -errno : 0;

	if (!ret && error != -EBUSY)
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
		discard_by_ioctl(q, r, 0);
		return;
	}
	sqe = uring_get_sqe(&q->u.ring, false);
	if (!sqe) {
		bk_full(&q->u.q, r);
		return;
	}
	*sqe = (struct io_uring_sqe){
		.flags = q->u.sqe_flags,
		.fd = q->u.fd,
		.user_data = (uintptr_t)r,
	};
	prep_special(q, r, sqe);
}

static inline void submit_plain(struct iou_queue *q, struct bk_req *r, const struct iou_head *heads,
				uint16_t buffer)
{
	struct io_uring_sqe *sqe = uring_get_sqe(&q->u.ring, false);

	if (unlikely(!sqe)) {
		bk_full(&q->u.q, r);
		return;
	}
	memcpy(sqe, &heads[r->op], sizeof(*heads));
	sqe->off = r->start;
	sqe->addr = (uintptr_t)r->one.iov_base;
	sqe->len = r->len;
	sqe->rw_flags = 0;
	sqe->user_data = (uintptr_t)r;
	sqe->buf_index = buffer;
	sqe->personality = 0;
	sqe->file_index = 0;
	sqe->addr3 = 0;
	sqe->__pad2[0] = 0;
}

static void iou_submit(struct blkioq *bq, struct bk_req *r)
{
	struct iou_queue *q = to_iou(bq);

	if (unlikely(r->special))
		submit_special(q, r);
	else
		submit_plain(q, r, q->plain, 0);
}

/* A plain request whose buffer is not in the registered buffer that was used last. */
static __attribute__((noinline)) void submit_elsewhere(struct iou_queue *q, struct bk_req *r)
{
	int buffer = uring_buffers_find_slow(&q->u, r->one.iov_base, r->len);

	if (buffer >= 0)
		submit_plain(q, r, q->registered, buffer);
	else
		submit_plain(q, r, q->plain, 0);
}

/* A registered buffer saves pinning its pages for each request. */
static void iou_submit_registered(struct blkioq *bq, struct bk_req *r)
{
	struct iou_queue *q = to_iou(bq);

	if (unlikely(r->special))
		submit_special(q, r);
	else if (likely(uring_buffers_hit(&q->u, r->one.iov_base, r->len)))
		submit_plain(q, r, q->registered, q->u.buffers.hit.slot);
	else
		submit_elsewhere(q, r);
}

/* ---- Completion --------------------------------------------------------------------------- */

/*
 * Either the kernel has no BLOCK_URING_CMD_DISCARD, or it did not like this one. EBUSY: other
 * requests use pages of the cache that it would drop.
 */
static bool may_need_discard_ioctl(const struct iou_queue *q, const struct bk_req *r, int error)
{
	return r->op == BK_DISCARD && to_iou_dev(q->u.q.b)->is_block_device &&
	       (error == -ENOTSUP || error == -EINVAL || error == -ENOTTY || error == -EBUSY);
}

static void iou_failed(struct iou_queue *q, struct bk_req *r, int error)
{
	/*
	 * EAGAIN: the device has no more tags for polled requests. EINTR: a FUSE server's signal.
	 * ECANCELED: a signal kept the kernel from creating its first worker thread.
	 */
	if ((error == -EAGAIN && q->u.q.is_poll) || error == -EINTR || error == -ECANCELED)
		bk_retry_transient(&q->u.q, r, error);
	else if (may_need_discard_ioctl(q, r, error))
		discard_by_ioctl(q, r, error);
	else if (error == -ENODEV && r->op == BK_WRITE_ZEROES)
		bk_complete(&q->u.q, r, -ENOTSUP); /* a file system without fallocate */
	else
		bk_complete(&q->u.q, r, error);
}

static cold_path void complete_other(struct blkioq *bq, struct bk_req *r, int res)
{
	if (res >= 0)
		bk_complete(bq, r, res);
	else
		iou_failed(to_iou(bq), r, res);
}

static inline bool complete_fast(struct blkioq *bq, struct bk_req *r, int res)
{
	return bk_complete_fast(bq, r, res);
}

static inline void reap(struct uring_queue *q, unsigned n)
{
	uring_reap(q, n, false, complete_fast, complete_other);
}

static int iou_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	return uring_queue_enter(&to_iou(bq)->u, wait_nr, w, reap);
}

/* ---- Queues ------------------------------------------------------------------------------- */

static int iou_queue_init(struct blkio *b, struct blkioq *bq)
{
	struct iou_queue *q = to_iou(bq);
	int ret = uring_queue_init(b, bq, false);
	struct iou_head head = { .flags = q->u.sqe_flags, .fd = q->u.fd };

	q->plain[BK_READ] = q->plain[BK_WRITE] = head;
	q->registered[BK_READ] = q->registered[BK_WRITE] = head;
	q->plain[BK_READ].opcode = IORING_OP_READ;
	q->plain[BK_WRITE].opcode = IORING_OP_WRITE;
	q->registered[BK_READ].opcode = IORING_OP_READ_FIXED;
	q->registered[BK_WRITE].opcode = IORING_OP_WRITE_FIXED;
	if (q->u.use_buffers)
		bq->submit = iou_submit_registered;
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
