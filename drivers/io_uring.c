/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * io_uring: files and block devices through the kernel. This file has the requests; file/ opens the
 * device, uring/ has the rings and the rest of the queues.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>

#include "io_uring_dev.h"

#define TRANSFER_MAX 0x7ffff000U /* the kernel's MAX_RW_COUNT; longer ones are continued */

#define NO_THREAD "cannot create the thread for requests that io_uring cannot do"

#ifndef BLOCK_URING_CMD_DISCARD
#define BLOCK_URING_CMD_DISCARD _IO(0x12, 0) /* Linux 6.12 */
#endif

/* ---- Submission --------------------------------------------------------------------------- */

static inline struct iou_queue *to_iou(struct blkioq *q)
{
	return container_of(q, struct iou_queue, u.q);
}

static void prep_buffer(struct iou_queue *q, const struct bk_req *r, void *buf, uint64_t bytes,
			struct io_uring_sqe *sqe)
{
	const struct iou_head *head = &q->plain[r->op];
	uint32_t len = min_u64(bytes, TRANSFER_MAX);
	/* The kernel takes no atomic writes from registered buffers. */
	bool use_buffers = q->u.use_buffers && !(r->flags & BLKIO_REQ_ATOMIC);
	int buffer = use_buffers ? uring_buffers_find(&q->u, buf, len) : -1;

	if (buffer >= 0) {
		head = &q->registered[r->op];
		sqe->buf_index = buffer;
	}
	memcpy(sqe, head, sizeof(*head));
	sqe->addr = (uintptr_t)buf;
	sqe->len = len;
}

static void prep_rw(struct iou_queue *q, const struct bk_req *r, struct io_uring_sqe *sqe)
{
	struct iou_piece piece = { r->iov, r->iovcnt, r->len };

	if (unlikely(q->unsplit))
		piece = iou_first_piece(q->unsplit, r);
	sqe->off = r->start;
	if (r->flags & BLKIO_REQ_FUA)
		sqe->rw_flags = RWF_DSYNC;
	if (r->flags & BLKIO_REQ_ATOMIC)
		sqe->rw_flags |= RWF_ATOMIC;
	if (piece.iovcnt == 1) {
		prep_buffer(q, r, piece.iov->iov_base, piece.len, sqe);
		return;
	}
	sqe->opcode = r->op == BK_READ ? IORING_OP_READV : IORING_OP_WRITEV;
	sqe->addr = (uintptr_t)piece.iov;
	sqe->len = piece.iovcnt;
}

static void prep_fallocate(const struct bk_req *r, struct io_uring_sqe *sqe, int mode)
{
	sqe->opcode = IORING_OP_FALLOCATE;
	sqe->off = r->start;
	sqe->addr = r->len;
	sqe->len = mode;
}

static void prep_discard(struct iou_queue *q, struct bk_req *r, struct io_uring_sqe *sqe)
{
	if (!to_iou_dev(q->u.q.b)->file.is_block_device) {
		prep_fallocate(r, sqe, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	} else {
		sqe->opcode = IORING_OP_URING_CMD;
		sqe->cmd_op = BLOCK_URING_CMD_DISCARD;
		sqe->addr = r->start;
		sqe->addr3 = r->len;
	}
}

static void prep_special(struct iou_queue *q, struct bk_req *r, struct io_uring_sqe *sqe)
{
	switch (r->op) {
	case BK_READ:
	case BK_WRITE:
		prep_rw(q, r, sqe);
		break;
	case BK_WRITE_ZEROES:
		prep_fallocate(r, sqe, file_zeroes_mode(r));
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

static bool discard_takes_ioctl(const struct iou_queue *q, struct bk_req *r)
{
	if (!r->retries)
		r->priv[1] = q->needs_discard_ioctl ? IOU_BY_IOCTL : IOU_BY_COMMAND;
	return r->priv[1] != IOU_BY_COMMAND;
}

static void submit_to_thread(struct iou_queue *q, struct bk_req *r)
{
	if (iou_thread_begin(q))
		iou_thread_submit(q, r);
	else
		bk_fail(&q->u.q, r, EAGAIN, NO_THREAD);
}

static void submit_special(struct iou_queue *q, struct bk_req *r)
{
	struct io_uring_sqe *sqe;

	if (!bk_is_rw(r) && q->u.q.is_poll) {
		bk_fail(&q->u.q, r, ENOTSUP, "io_uring poll queues support only reads and writes");
		return;
	}
	if ((r->op == BK_DISCARD && discard_takes_ioctl(q, r)) || r->op == BK_BLOCK_STATUS) {
		submit_to_thread(q, r);
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
	return r->op == BK_DISCARD && to_iou_dev(q->u.q.b)->file.is_block_device &&
	       (error == -ENOTSUP || error == -EINVAL || error == -ENOTTY || error == -EBUSY);
}

static void retry_with_ioctl(struct iou_queue *q, struct bk_req *r, int error)
{
	if (!iou_thread_begin(q)) {
		bk_fail(&q->u.q, r, EAGAIN, NO_THREAD);
		return;
	}
	r->priv[1] = error == -EBUSY ? IOU_BY_IOCTL_ONCE : IOU_BY_IOCTL;
	bk_retry_transient(&q->u.q, r, error);
}

static void iou_failed(struct iou_queue *q, struct bk_req *r, int error)
{
	const struct iou_dev *d = to_iou_dev(q->u.q.b);

	/*
	 * EAGAIN: the device has no more tags for polled requests. ECANCELED: a signal kept the
	 * kernel from creating its first worker thread.
	 */
	if ((error == -EAGAIN && q->u.q.is_poll) || error == -ECANCELED)
		bk_retry_transient(&q->u.q, r, error);
	else if (may_need_discard_ioctl(q, r, error) && !iou_check_blocks(q->u.q.b))
		retry_with_ioctl(q, r, error);
	else
		file_failed(&q->u.q, r, &d->file, d->u.fd, error);
}

static cold_path void complete(struct blkioq *bq, struct bk_req *r, int res)
{
	if (iou_thread_complete(to_iou(bq), r, res))
		return;
	if (res >= 0)
		bk_complete(bq, r, res);
	else
		iou_failed(to_iou(bq), r, res);
}

static force_inline bool complete_fast(struct blkioq *bq, struct bk_req *r, int res)
{
	return bk_complete_fast(bq, r, res);
}

static const struct uring_ops ops = {
	.complete_fast = complete_fast,
	.complete = complete,
};

static int iou_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	return uring_queue_enter(&to_iou(bq)->u, wait_nr, w, &ops);
}

static enum bk_drained iou_drain(struct blkio *b, struct blkioq *bq, bool cancel)
{
	struct iou_queue *q = to_iou(bq);
	enum bk_drained state;

	(void)b;
	iou_thread_cancel(q);
	state = uring_queue_drain(&q->u, cancel, &ops);
	/* What the ring waits for can be cancelled, what the thread is at cannot. */
	return state == BK_QUIET && iou_thread_busy(q) ? BK_BUSY : state;
}

/* ---- Queues ------------------------------------------------------------------------------- */

/* Longer plain requests take the slow path, which cuts them. */
static void bound_polled(struct iou_queue *q)
{
	const struct iou_unsplit *u = &to_iou_dev(q->u.q.b)->unsplit;
	uint64_t max = iou_unsplit_buffer(u);

	if (!q->u.q.is_poll || uring_splits_polled(&q->u.ring))
		return;
	q->unsplit = u;
	q->u.q.max_read = min_u64(q->u.q.max_read, max);
	q->u.q.max_write = min_u64(q->u.q.max_write, max);
}

static int iou_queue_init(struct blkio *b, struct blkioq *bq)
{
	struct iou_queue *q = to_iou(bq);
	int ret = iou_check_blocks(b) ?: uring_queue_init(b, bq, false);
	struct iou_head head = { .flags = q->u.sqe_flags, .fd = q->u.fd };

	q->plain[BK_READ] = q->plain[BK_WRITE] = head;
	q->registered[BK_READ] = q->registered[BK_WRITE] = head;
	q->plain[BK_READ].opcode = IORING_OP_READ;
	q->plain[BK_WRITE].opcode = IORING_OP_WRITE;
	q->registered[BK_READ].opcode = IORING_OP_READ_FIXED;
	q->registered[BK_WRITE].opcode = IORING_OP_WRITE_FIXED;
	if (q->u.use_buffers)
		bq->submit = iou_submit_registered;
	bound_polled(q);
	return ret;
}

static void iou_queue_exit(struct blkio *b, struct blkioq *bq)
{
	uring_queue_exit(b, bq);
	iou_thread_end(to_iou(bq));
}

/* ---- Properties --------------------------------------------------------------------------- */

static const struct bk_prop iou_props[] = {
	FILE_PROPS(struct iou_dev, u.path, file.direct),
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
	.opens_files = true,
	.is_permitted = uring_is_permitted,
	.can_add_queues = true,
	.init = uring_dev_init,
	.connect = iou_connect,
	.start = uring_dev_start,
	.close = uring_dev_close,
	.capacity = iou_capacity,
	.queue_init = iou_queue_init,
	.drain = iou_drain,
	.queue_exit = iou_queue_exit,
	.submit = iou_submit,
	.enter = iou_enter,
	.notify = uring_queue_notify,
};
