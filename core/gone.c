/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A device that has changed since connect(). Its limits are no longer true, so that further
 * requests could damage data, or memory next to a buffer: every further request fails.
 *
 * The thread that detects the change replaces the submit() of each queue by one that fails. So the
 * check costs requests nothing, and requests in the backlog fail, too. Queues on hold are diverted
 * in the same way, until the hold ends.
 */
#include "core.h"

static void submit_to_gone(struct blkioq *q, struct bk_req *r)
{
	bk_fail(q, r, ENODEV, bk_gone(q->b));
}

static void submit_to_held(struct blkioq *q, struct bk_req *r)
{
	bk_fail(q, r, EBUSY, __atomic_load_n(&q->b->core.held, __ATOMIC_RELAXED));
}

int bk_check_gone(const struct blkio *b)
{
	const char *msg = bk_gone(b);

	return msg ? bk_err(ENODEV, "%s", msg) : 0;
}

/* With gone_lock held. */
static void divert(struct blkioq *q)
{
	__atomic_store_n(&q->submit, submit_to_gone, __ATOMIC_RELAXED);
}

void bk_set_gone(struct blkio *b, const char *msg)
{
	bk_debug("instance %p: %s", (void *)b, msg);
	pthread_mutex_lock(&b->core.gone_lock);
	if (!b->core.gone) {
		/* Release: a thread that fails a request because of it sees the message. */
		__atomic_store_n(&b->core.gone, msg, __ATOMIC_RELEASE);
		for (struct blkioq *q = b->core.live; q; q = q->core.next_live)
			divert(q);
	}
	pthread_mutex_unlock(&b->core.gone_lock);
}

void bk_hold(struct blkio *b, const char *msg)
{
	pthread_mutex_lock(&b->core.gone_lock);
	/* It stays, for a thread that was about to fail a request when the hold ended. */
	__atomic_store_n(&b->core.held, msg, __ATOMIC_RELAXED);
	for (struct blkioq *q = b->core.live; q && !b->core.gone; q = q->core.next_live) {
		q->core.held_submit = q->submit;
		__atomic_store_n(&q->submit, submit_to_held, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&b->core.gone_lock);
}

void bk_unhold(struct blkio *b)
{
	pthread_mutex_lock(&b->core.gone_lock);
	for (struct blkioq *q = b->core.live; q; q = q->core.next_live) {
		if (q->submit == submit_to_held) /* and nothing worse has happened */
			__atomic_store_n(&q->submit, q->core.held_submit, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&b->core.gone_lock);
}

void bk_gone_add_queue(struct blkioq *q)
{
	struct blkio *b = q->b;

	pthread_mutex_lock(&b->core.gone_lock);
	q->core.next_live = b->core.live;
	b->core.live = q;
	if (b->core.gone)
		divert(q);
	pthread_mutex_unlock(&b->core.gone_lock);
}

void bk_gone_remove_queue(struct blkioq *q)
{
	struct blkioq **p;

	pthread_mutex_lock(&q->b->core.gone_lock);
	for (p = &q->b->core.live; *p; p = &(*p)->core.next_live) {
		if (*p == q) {
			*p = q->core.next_live;
			break;
		}
	}
	pthread_mutex_unlock(&q->b->core.gone_lock);
}
