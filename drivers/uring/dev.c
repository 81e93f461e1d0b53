/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See dev.h. */
#include "uring/dev.h"

#include <unistd.h>

#define NUM_ENTRIES_DEFAULT 128
#define NUM_ENTRIES_MAX	    32768

static struct uring_dev *to_dev(struct blkio *b)
{
	return container_of(b, struct uring_dev, b);
}

static struct uring_queue *to_queue(struct blkioq *q)
{
	return container_of(q, struct uring_queue, q);
}

/* ---- Device ------------------------------------------------------------------------------- */

void uring_dev_init(struct blkio *b)
{
	struct uring_dev *d = to_dev(b);

	d->fd = -1;
	d->own_fd = -1;
	d->num_entries = NUM_ENTRIES_DEFAULT;
	b->lim.max_queues = INT_MAX;
	b->lim.max_mem_regions = UINT64_MAX;
	b->lim.flush_needed = true;
}

int uring_dev_start(struct blkio *b)
{
	const struct uring_dev *d = to_dev(b);

	if (d->num_entries > NUM_ENTRIES_MAX)
		return bk_err(EINVAL, "property \"num-entries\" must be at most %d, got %d",
			      NUM_ENTRIES_MAX, d->num_entries);
	return 0;
}

void uring_dev_close(struct blkio *b)
{
	struct uring_dev *d = to_dev(b);

	/* Until connected, the path is only a name: a connect() that fails closes what it opened.
	 */
	path_fd_close(b, NULL, &d->fd);
	if (d->own_fd >= 0)
		close(d->own_fd);
}

int uring_get_may_pin(struct blkio *b, union bk_val *val)
{
	val->b = to_dev(b)->register_buffers;
	return 0;
}

/* ---- Queues ------------------------------------------------------------------------------- */

static void use_file(struct uring_queue *q, int fd)
{
	q->fd = fd;
	if (uring_register_file(&q->ring, fd)) {
		q->fd = 0;
		q->sqe_flags = IOSQE_FIXED_FILE;
	}
}

int uring_queue_init(struct blkio *b, struct blkioq *bq, bool big)
{
	const struct uring_dev *d = to_dev(b);
	struct uring_queue *q = to_queue(bq);
	const struct uring_config config = {
		.entries = d->num_entries,
		.iopoll = bq->is_poll,
		.single_issuer = d->single_issuer,
		.sq_poll = d->sq_poll,
		.big = big,
		.completion_fd = bq->completion_fd,
	};
	int ret = uring_init(&q->ring, &config);

	if (ret < 0)
		return ret;
	use_file(q, d->own_fd >= 0 ? d->own_fd : d->fd);
	q->use_buffers = d->register_buffers;
	if (q->use_buffers)
		uring_buffers_init(q);
	return 0;
}

void uring_queue_exit(struct blkio *b, struct blkioq *bq)
{
	struct uring_queue *q = to_queue(bq);

	(void)b;
	uring_exit(&q->ring);
	uring_buffers_exit(q);
}

void uring_queue_notify(struct blkioq *bq, bool on)
{
	uring_notify(&to_queue(bq)->ring, on);
}

/* ---- Completion --------------------------------------------------------------------------- */

void uring_reap_slow(struct uring_queue *q, const struct uring_ops *ops)
{
	unsigned n = uring_ready(&q->ring);

	for (unsigned i = 0; i < n; i++) {
		const struct io_uring_cqe *cqe = uring_cqe(&q->ring, i, ops->big);

		if (ops->big)
			q->result = cqe->big_cqe[0];
		ops->complete(&q->q, (struct bk_req *)(uintptr_t)cqe->user_data, cqe->res);
	}
	uring_seen(&q->ring, n);
}

int uring_enter_slow(struct uring_queue *q, unsigned wait_nr, const struct bk_wait *w)
{
	if (unlikely(q->buffers.behind)) {
		int ret = uring_enter(&q->ring, 0, NULL);

		if (ret < 0)
			return ret;
		uring_buffers_update(q);
	}
	return uring_enter(&q->ring, wait_nr, w);
}

enum bk_drained uring_queue_drain(struct uring_queue *q, bool cancel, const struct uring_ops *ops)
{
	enum bk_drained state;
	uint64_t cookie;

	while ((cookie = uring_withdraw(&q->ring, ops->big)))
		bk_cancel(&q->q, (struct bk_req *)(uintptr_t)cookie);
	state = uring_drain(&q->ring, cancel, q->q.leaving);
	uring_reap_slow(q, ops);
	return uring_inflight(&q->ring) ? state : BK_QUIET;
}
