/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * io_uring: files and block devices through the kernel. This file has the properties and the
 * queues; io_uring_file.c opens the device, uring/ring.c is the ring itself.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "io_uring_dev.h"

#define NUM_ENTRIES_DEFAULT 128
#define NUM_ENTRIES_MAX	    32768
#define TRANSFER_MAX	    0x7ffff000U /* the kernel's MAX_RW_COUNT; longer ones are continued */

#ifndef BLOCK_URING_CMD_DISCARD
#define BLOCK_URING_CMD_DISCARD _IO(0x12, 0) /* Linux 6.12 */
#endif

/* Ways to discard on a block device, best first. Each queue goes on to the next on ENOTSUP. */
enum {
	DISCARD_URING_CMD, /* Linux 6.12 */
	DISCARD_FALLOCATE, /* FALLOC_FL_NO_HIDE_STALE, up to Linux 6.11 */
};

/* ---- Submission --------------------------------------------------------------------------- */

static inline struct iou_queue *to_iou(struct blkioq *q)
{
	return container_of(q, struct iou_queue, q);
}

static void prep_rw(struct iou_queue *q, const struct bk_req *r, struct io_uring_sqe *sqe)
{
	static const uint8_t vectored[] = {
		[BK_READ] = IORING_OP_READV, [BK_WRITE] = IORING_OP_WRITEV
	};
	static const uint8_t plain[] = { [BK_READ] = IORING_OP_READ, [BK_WRITE] = IORING_OP_WRITE };
	static const uint8_t fixed[] = {
		[BK_READ] = IORING_OP_READ_FIXED, [BK_WRITE] = IORING_OP_WRITE_FIXED
	};

	sqe->off = r->start;
	sqe->rw_flags = r->flags & BLKIO_REQ_FUA ? RWF_DSYNC : 0;
	if (unlikely(r->iovcnt != 1)) {
		sqe->opcode = vectored[r->op];
		sqe->addr = (uintptr_t)r->iov;
		sqe->len = r->iovcnt;
		return;
	}
	sqe->opcode = plain[r->op];
	sqe->addr = (uintptr_t)r->iov->iov_base;
	sqe->len = min_u64(r->iov->iov_len, TRANSFER_MAX);
	if (q->use_buffers) {
		int index = iou_buffers_find(q, r->iov->iov_base, sqe->len);

		if (index >= 0) {
			sqe->opcode = fixed[r->op];
			sqe->buf_index = index;
		}
	}
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
	const struct iou_dev *d = container_of(q->q.b, struct iou_dev, b);

	r->priv[0] = q->discard_method;
	if (!d->is_block_device) {
		prep_fallocate(r, sqe, FALLOC_FL_PUNCH_HOLE);
	} else if (q->discard_method == DISCARD_FALLOCATE) {
		prep_fallocate(r, sqe, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_NO_HIDE_STALE);
	} else {
		sqe->opcode = IORING_OP_URING_CMD;
		sqe->cmd_op = BLOCK_URING_CMD_DISCARD;
		sqe->addr = r->start;
		sqe->addr3 = r->len;
	}
}

static cold_path void prep_other(struct iou_queue *q, struct bk_req *r, struct io_uring_sqe *sqe)
{
	switch (r->op) {
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

static void iou_submit(struct blkioq *bq, struct bk_req *r)
{
	struct iou_queue *q = to_iou(bq);
	bool rw = r->op <= BK_WRITE;
	struct io_uring_sqe *sqe;

	if (unlikely(!rw && bq->is_poll)) {
		bk_fail(bq, r, ENOTSUP, "io_uring poll queues only take reads and writes");
		return;
	}
	sqe = uring_get_sqe(&q->ring);
	if (unlikely(!sqe)) {
		bk_full(bq, r);
		return;
	}
	*sqe = (struct io_uring_sqe){
		.flags = q->sqe_flags,
		.fd = q->fd,
		.user_data = (uintptr_t)r,
	};
	if (likely(rw))
		prep_rw(q, r, sqe);
	else
		prep_other(q, r, sqe);
}

/* ---- Completion --------------------------------------------------------------------------- */

static bool try_next_discard(struct iou_queue *q, const struct bk_req *r, int error)
{
	const struct iou_dev *d = container_of(q->q.b, struct iou_dev, b);

	if (r->op != BK_DISCARD || !d->is_block_device || r->priv[0] != DISCARD_URING_CMD ||
	    (error != -ENOTSUP && error != -EINVAL && error != -ENOTTY))
		return false;
	q->discard_method = DISCARD_FALLOCATE;
	return true;
}

static cold_path void iou_failed(struct iou_queue *q, struct bk_req *r, int error)
{
	/*
	 * EAGAIN: the device has no more tags for polled requests. EINTR: a FUSE server's signal.
	 * ECANCELED: a signal kept the kernel from creating its first worker thread.
	 */
	if ((error == -EAGAIN && q->q.is_poll) || error == -EINTR || error == -ECANCELED)
		bk_retry_transient(&q->q, r, error);
	else if (try_next_discard(q, r, error))
		bk_retry(&q->q, r);
	else if (error == -ENODEV && r->op == BK_WRITE_ZEROES)
		bk_complete(&q->q, r, -ENOTSUP); /* a file system without fallocate */
	else
		bk_complete(&q->q, r, error);
}

static void iou_reap(struct blkioq *bq)
{
	struct iou_queue *q = to_iou(bq);
	unsigned n = uring_ready(&q->ring);

	for (unsigned i = 0; i < n; i++) {
		const struct io_uring_cqe *cqe = uring_cqe(&q->ring, i);
		struct bk_req *r = (struct bk_req *)(uintptr_t)cqe->user_data;

		if (likely(cqe->res >= 0))
			bk_complete(bq, r, cqe->res);
		else
			iou_failed(q, r, cqe->res);
	}
	if (n)
		uring_seen(&q->ring, n);
}

static int iou_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	return uring_enter(&to_iou(bq)->ring, wait_nr, w);
}

static void iou_notify(struct blkioq *bq, bool on)
{
	uring_notify(&to_iou(bq)->ring, bq->completion_fd, on);
}

/* ---- Queues ------------------------------------------------------------------------------- */

/* Saves looking up the descriptor for each request. */
static void register_file(struct iou_queue *q, int fd)
{
	q->fd = fd;
	if (uring_register(&q->ring, IORING_REGISTER_FILES, &fd, 1) == 0) {
		q->fd = 0;
		q->sqe_flags = IOSQE_FIXED_FILE;
	}
}

static int iou_queue_init(struct blkio *b, struct blkioq *bq)
{
	const struct iou_dev *d = container_of(b, struct iou_dev, b);
	struct iou_queue *q = to_iou(bq);
	const struct uring_config config = {
		.entries = d->num_entries,
		.iopoll = bq->is_poll,
		.single_issuer = d->single_issuer,
		.sq_poll = d->sq_poll,
	};
	int ret = uring_init(&q->ring, &config);

	if (ret < 0)
		return ret;
	register_file(q, d->fd);
	q->use_buffers = d->register_buffers;
	if (q->use_buffers)
		iou_buffers_init(q);
	return 0;
}

static void iou_queue_exit(struct blkio *b, struct blkioq *bq)
{
	struct iou_queue *q = to_iou(bq);

	(void)b;
	uring_exit(&q->ring);
	iou_buffers_exit(q);
}

/* ---- Properties --------------------------------------------------------------------------- */

static void iou_init(struct blkio *b)
{
	struct iou_dev *d = container_of(b, struct iou_dev, b);

	d->fd = -1;
	d->num_entries = NUM_ENTRIES_DEFAULT;
	b->lim.max_queues = INT_MAX;
	b->lim.max_mem_regions = UINT64_MAX;
	b->lim.flush_needed = true;
}

static int iou_start(struct blkio *b)
{
	const struct iou_dev *d = container_of(b, struct iou_dev, b);

	if (d->num_entries > NUM_ENTRIES_MAX)
		return bk_err(EINVAL, "property \"num-entries\" must be at most %d, got %d",
			      NUM_ENTRIES_MAX, d->num_entries);
	return 0;
}

static int check_num_entries(struct blkio *b, const struct bk_prop *p, const union bk_val *val)
{
	(void)b;
	if (val->i <= 0)
		return bk_err(EINVAL, "property \"%s\" must be positive, got %d", p->name, val->i);
	return 0;
}

static int get_may_pin(struct blkio *b, union bk_val *val)
{
	val->b = container_of(b, struct iou_dev, b)->register_buffers;
	return 0;
}

#define FIELD(member) offsetof(struct iou_dev, member)

static const struct bk_prop iou_props[] = {
	{ "path", "The file or block device to open.", BK_STR, BK_GET_ALWAYS, BK_SET_CREATED,
	  FIELD(path) },
	{ "fd", "An open file descriptor to use in place of path; the library's once connected.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CREATED, FIELD(fd) },
	{ "direct", "Bypass the page cache (O_DIRECT).", BK_BOOL, BK_GET_ALWAYS, BK_SET_CREATED,
	  FIELD(direct) },
	{ "num-entries",
	  "The size of each queue's submission ring, up to 32768; more requests "
	  "than that wait in the library. 128 by default.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CONNECTED, FIELD(num_entries), .check = check_num_entries },
	{ "single-issuer",
	  "Promise that each queue is only ever used by one thread: the one that "
	  "first calls blkioq_do_io() on it, which should also remove it. Faster (Linux 6.1); "
	  "no effect on older kernels.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CONNECTED, FIELD(single_issuer) },
	{ "register-buffers",
	  "Register mapped memory regions with the kernel, which pins them. "
	  "Faster with direct; no effect where the kernel refuses, as beyond RLIMIT_MEMLOCK.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CONNECTED, FIELD(register_buffers) },
	{ "sq-poll",
	  "Let a kernel thread per queue watch for requests: no system calls to submit, "
	  "at the price of a busy CPU.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CONNECTED, FIELD(sq_poll) },
	{ "may-pin-mem-regions", "Whether mapped pages may be pinned: with register-buffers.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_NEVER, .get = get_may_pin },
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
	.init = iou_init,
	.connect = iou_connect,
	.start = iou_start,
	.close = iou_close,
	.capacity = iou_capacity,
	.queue_init = iou_queue_init,
	.queue_exit = iou_queue_exit,
	.submit = iou_submit,
	.enter = iou_enter,
	.reap = iou_reap,
	.notify = iou_notify,
};
