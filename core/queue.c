/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Queues: how they begin and end, and the memory of their requests. It is never returned before the
 * queue ends, so the hot path allocates nothing once warm.
 */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core.h"

#define CHUNK_MIN  64U
#define CHUNK_MAX  4096U
#define CACHE_LINE 64

/* ---- Request memory ----------------------------------------------------------------------- */

struct bk_chunk {
	struct bk_chunk *next;
	unsigned n;
	struct bk_req r[] __attribute__((aligned(CACHE_LINE)));
};

cold_path bool bk_add_requests(struct blkioq *q)
{
	unsigned n = q->core.chunks ? min_u64(2 * q->core.chunks->n, CHUNK_MAX) : CHUNK_MIN;
	size_t size = sizeof(struct bk_chunk) + n * sizeof(struct bk_req);
	struct bk_chunk *c = aligned_alloc(CACHE_LINE, size);

	if (!c)
		return false;
	memset(c, 0, size);
	c->n = n;
	c->next = q->core.chunks;
	q->core.chunks = c;
	for (unsigned i = n; i-- > 0;) {
		bk_req_reset(&c->r[i]);
		c->r[i].next = q->free;
		q->free = &c->r[i];
	}
	return true;
}

/* ---- Queues ------------------------------------------------------------------------------- */

void bk_queue_set_end(struct blkioq *q, uint64_t end)
{
	const struct bk_limits *l = &q->b->lim;
	uint64_t max = min_u64(end, BK_PLAIN_MAX);

	if (l->max_transfer)
		max = min_u64(max, l->max_transfer);
	if (l->max_segment_len)
		max = min_u64(max, l->max_segment_len);
	q->end = end;
	q->request_mask = l->request_alignment - 1;
	q->buf_mask = l->takes_odd_buffers ? 0 : l->buf_alignment - 1;
	q->max_read = l->write_only ? 0 : max;
	q->max_write = q->b->read_only ? 0 : max;
}

int bk_queue_new(struct blkio *b, int index, bool poll, struct blkioq **qp)
{
	size_t size = round_up(b->drv->queue_size, CACHE_LINE);
	struct blkioq *q = aligned_alloc(CACHE_LINE, size);
	int ret;

	if (!q)
		return bk_err(ENOMEM, "out of memory");
	memset(q, 0, size);
	q->drv = b->drv;
	q->submit = b->drv->submit;
	q->enter = b->drv->enter;
	q->b = b;
	q->index = index;
	q->is_poll = poll;
	q->completion_fd = -1;
	bk_list_init(&q->backlog);
	bk_list_init(&q->done);
	bk_queue_set_end(q, b->lim.end);

	ret = bk_check_gone(b);
	if (ret < 0)
		goto free_queue;
	if (!bk_add_requests(q)) {
		ret = bk_err(ENOMEM, "out of memory");
		goto free_queue;
	}
	if (!poll) {
		q->completion_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (q->completion_fd < 0) {
			ret = bk_err(errno,
				     "cannot create the completion fd of queue %d: "
				     "eventfd: %m",
				     index);
			goto free_chunk;
		}
	}
	ret = bk_bounce_init(q, bk_own_bounce(q));
	if (ret < 0)
		goto close_fd;
	if (b->drv->queue_init) {
		ret = b->drv->queue_init(b, q);
		if (ret < 0)
			goto free_bounce;
	}
	bk_bounce_attach(q);
	bk_gone_add_queue(q);
	*qp = q;
	return 0;

free_bounce:
	bk_bounce_exit(q);
close_fd:
	if (q->completion_fd >= 0)
		close(q->completion_fd);
free_chunk:
	free(q->core.chunks);
free_queue:
	free(q);
	return ret;
}

void bk_queue_free(struct blkioq *q)
{
	bk_gone_remove_queue(q);
	if (q->drv->queue_exit)
		q->drv->queue_exit(q->b, q);
	if (q->completion_fd >= 0)
		close(q->completion_fd);
	if (!q->quiet) {
		bk_keep(&q->core.kept); /* with all requests, whose parts the device may read */
		return;
	}
	bk_bounce_exit(q);
	while (q->core.chunks) {
		struct bk_chunk *c = q->core.chunks;

		q->core.chunks = c->next;
		for (unsigned i = 0; i < c->n; i++)
			free(c->r[i].iov_copy);
		free(c);
	}
	free(q);
}
