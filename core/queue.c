/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Queues: their request memory, the backlog, the done list. Request memory is never returned before
 * the queue ends, so the hot path allocates nothing once warm.
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

static cold_path void reset_req(struct bk_req *r)
{
	free(r->iov_copy);
	r->iov_copy = NULL;
	r->iov = &r->one;
	r->iovcnt = 1;
	r->flags = 0;
	r->stage = 0;
	r->error_msg = NULL;
	r->ret = 0;
	r->retries = 0;
	r->special = false;
}

cold_path bool bk_add_requests(struct blkioq *q)
{
	unsigned n = q->chunks ? min_u64(2 * q->chunks->n, CHUNK_MAX) : CHUNK_MIN;
	size_t size = sizeof(struct bk_chunk) + n * sizeof(struct bk_req);
	struct bk_chunk *c = aligned_alloc(CACHE_LINE, size);

	if (!c)
		return false;
	memset(c, 0, size);
	c->n = n;
	c->next = q->chunks;
	q->chunks = c;
	for (unsigned i = n; i-- > 0;) {
		reset_req(&c->r[i]);
		c->r[i].next = q->free;
		q->free = &c->r[i];
	}
	return true;
}

/* ---- Backlog and done list ---------------------------------------------------------------- */

static void list_init(struct bk_req_list *l)
{
	l->head = NULL;
	l->tail = &l->head;
}

static inline void list_set_head(struct bk_req_list *l, struct bk_req *r)
{
	l->head = r;
	if (!r)
		l->tail = &l->head;
}

void bk_retry(struct blkioq *q, struct bk_req *r)
{
	r->next = q->backlog.head;
	if (!r->next)
		q->backlog.tail = &r->next;
	q->backlog.head = r;
}

void bk_full(struct blkioq *q, struct bk_req *r)
{
	q->full = true;
	bk_retry(q, r);
}

unsigned bk_feed(struct blkioq *q)
{
	unsigned fed = 0;
	struct bk_req *r;

	q->full = false;
	while ((r = q->backlog.head)) {
		/* Off the list first: submit() may put it back, also for its next stage. */
		list_set_head(&q->backlog, r->next);
		q->submit(q, r);
		if (q->full)
			break;
		fed++;
	}
	return fed;
}

void bk_finish(struct blkioq *q, struct bk_req *r, int ret)
{
	r->ret = ret;
	bk_done(q, r);
}

/* Takes the requests up to last off the done list; they are free again. */
static inline int collected(struct blkioq *q, struct bk_req *last, int n)
{
	struct bk_req *first = q->done.head;

	list_set_head(&q->done, last->next);
	last->next = q->free;
	q->free = first;
	q->nr_done -= n;
	q->outstanding -= n;
	return n;
}

/* bk_collect(), once a request is among them that has more to say than that it succeeded. */
static cold_path int collect_special(struct blkioq *q, struct blkio_completion *out, int max, int n,
				     struct bk_req *r)
{
	struct bk_req *last;

	do {
		out[n++] = (struct blkio_completion){
			.user_data = r->user_data,
			.error_msg = r->error_msg,
			.ret = r->ret,
		};
		if (r->special)
			reset_req(r);
		last = r;
		r = r->next;
	} while (r && n < max);
	return collected(q, last, n);
}

int bk_collect(struct blkioq *q, struct blkio_completion *out, int max)
{
	struct bk_req *r = q->done.head, *last;
	int n = 0;

	if (!r || !max)
		return 0;
	do {
		if (unlikely(r->special))
			return collect_special(q, out, max, n, r);
		out[n++] = (struct blkio_completion){ .user_data = r->user_data };
		last = r;
		r = r->next;
	} while (r && n < max);
	return collected(q, last, n);
}

cold_path void bk_undeliver(struct blkioq *q, unsigned n)
{
	while (n-- > 0) {
		struct bk_req *r = q->free;

		q->free = r->next;
		r->next = q->done.head;
		if (!r->next)
			q->done.tail = &r->next;
		q->done.head = r;
		q->nr_done++;
	}
}

/* ---- Queues ------------------------------------------------------------------------------- */

static void set_limits(struct blkioq *q)
{
	const struct bk_limits *l = &q->b->lim;
	uint64_t max = min_u64(l->end, BK_PLAIN_MAX);

	if (l->max_transfer)
		max = min_u64(max, l->max_transfer);
	if (l->max_segment_len)
		max = min_u64(max, l->max_segment_len);
	q->end = l->end;
	q->request_mask = l->request_alignment - 1;
	q->buf_mask = l->takes_odd_buffers ? 0 : l->buf_alignment - 1;
	q->max_read = max;
	q->max_write = q->b->read_only ? 0 : max;
}

int bk_queue_new(struct blkio *b, int index, bool poll, struct blkioq **qp)
{
	size_t size = round_up(b->drv->queue_size, CACHE_LINE);
	struct blkioq *q = aligned_alloc(CACHE_LINE, size);
	int ret = -ENOMEM;

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
	list_init(&q->backlog);
	list_init(&q->done);
	set_limits(q);

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
	if (b->drv->queue_init) {
		ret = b->drv->queue_init(b, q);
		if (ret < 0)
			goto close_fd;
	}
	bk_bounce_init(q);
	*qp = q;
	return 0;

close_fd:
	if (q->completion_fd >= 0)
		close(q->completion_fd);
free_chunk:
	free(q->chunks);
free_queue:
	free(q);
	return ret;
}

void bk_queue_free(struct blkioq *q)
{
	if (q->drv->queue_exit)
		q->drv->queue_exit(q->b, q);
	bk_bounce_exit(q);
	if (q->completion_fd >= 0)
		close(q->completion_fd);
	while (q->chunks) {
		struct bk_chunk *c = q->chunks;

		q->chunks = c->next;
		for (unsigned i = 0; i < c->n; i++)
			free(c->r[i].iov_copy);
		free(c);
	}
	free(q);
}
