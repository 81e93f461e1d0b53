/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The two lists of a queue: the backlog, of requests that the device has no room for yet and of
 * next stages, and the done list, of requests that the caller has not collected. This file knows
 * nothing else of queues and calls no other file of the core.
 */
#include <stdlib.h>

#include "core.h"

/* ---- Backlog ------------------------------------------------------------------------------ */

void bk_retry(struct blkioq *q, struct bk_req *r)
{
	r->next = q->backlog.head;
	if (!r->next)
		q->backlog.tail = &r->next;
	q->backlog.head = r;
}

void bk_full(struct blkioq *q, struct bk_req *r)
{
	q->core.full = true;
	bk_retry(q, r);
}

unsigned bk_feed(struct blkioq *q)
{
	unsigned fed = 0;
	struct bk_req *r;

	q->core.full = false;
	while ((r = q->backlog.head)) {
		/* Off the list first: submit() may put it back, also for its next stage. */
		bk_list_set_head(&q->backlog, r->next);
		__atomic_load_n(&q->submit, __ATOMIC_RELAXED)(q, r);
		if (q->core.full)
			break;
		fed++;
	}
	return fed;
}

/* ---- Done list ---------------------------------------------------------------------------- */

cold_path void bk_req_reset(struct bk_req *r)
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

void bk_finish(struct blkioq *q, struct bk_req *r, int ret)
{
	r->ret = ret;
	bk_trace(complete, q, r, ret);
	bk_done(q, r);
}

/* Takes the requests up to last off the done list; they are free again. */
static inline int collected(struct blkioq *q, struct bk_req *last, int n)
{
	struct bk_req *first = q->done.head;

	bk_list_set_head(&q->done, last->next);
	last->next = q->free;
	q->free = first;
	q->nr_done -= n;
	q->core.outstanding -= n;
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
			bk_req_reset(r);
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

cold_path void bk_return_to_done(struct blkioq *q, unsigned n)
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
