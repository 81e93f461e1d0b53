/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The end of queues: afterwards nothing accesses the memory of requests any more. All queues of an
 * instance share one deadline, regardless of their kind and of the thread that ends them. The core
 * polls the drivers (bk_driver.drain), with pauses in between. No call of a driver sleeps, so a
 * signal cannot cut the time short, and one queue cannot use up the time of another.
 */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "core.h"

#define END_SECONDS  5	     /* of destroying an instance, or of removing a queue */
#define PAUSE_MIN_NS 20000   /* 20 us */
#define PAUSE_MAX_NS 2000000 /* 2 ms */

struct ending {
	int64_t cancel_at; /* now_ns(); INT64_MAX: never */
	struct bk_pauses pauses;
};

/* ---- Kept memory -------------------------------------------------------------------------- */

/* Reachable, so that it is not taken for a leak. */
static struct bk_kept *kept;
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;

void bk_keep(struct bk_kept *k)
{
	pthread_mutex_lock(&kept_lock);
	k->next = kept;
	kept = k;
	pthread_mutex_unlock(&kept_lock);
}

/* ---- Queues that have begun to end -------------------------------------------------------- */

void bk_cancel(struct blkioq *q, struct bk_req *r)
{
	bk_fail(q, r, ECANCELED, "the queue ended before the request was submitted");
}

/* With the thread's signal mask where mask is NULL. Returns whether no signal cut it short. */
static bool sleep_ns(int64_t ns, const sigset_t *mask)
{
	const struct timespec pause = to_timespec(ns);

	return !ppoll(NULL, 0, &pause, mask);
}

static enum bk_drained ask_driver(struct blkioq *q, bool cancel)
{
	return q->drv->drain ? q->drv->drain(q->b, q, cancel) : BK_QUIET;
}

/* Returns whether there is something to wait for. */
static bool drain_once(struct blkioq *q, bool cancel)
{
	enum bk_drained state = q->quiet ? BK_QUIET : ask_driver(q, cancel);

	q->quiet = state == BK_QUIET;
	/* The next stages of what has finished, and what has not been submitted. */
	bk_feed(q);
	/* The device signals what it has finished, but not what it was never shown. */
	bk_signal_done(q);
	return state == BK_BUSY;
}

/* For blkioq_do_io() after blkio_drain(): to collect what is there, and what may still come. */
static int enter_ended(struct blkioq *q, unsigned wait_nr, const struct bk_wait *w)
{
	const struct blkio_completion *out = q->out;
	unsigned nr_done = q->nr_done;
	int64_t ns = PAUSE_MAX_NS;

	drain_once(q, false);
	if (!wait_nr || q->out != out || q->nr_done != nr_done)
		return 0;
	if (q->quiet)
		return bk_err(ECANCELED,
			      "the instance has been drained: no outstanding request can complete");
	if (w && w->timeout && !w->timeout->tv_sec)
		ns = min_u64(ns, w->timeout->tv_nsec);
	return sleep_ns(ns, w ? w->sigmask : NULL) ? 0 : -EINTR;
}

static void begin(struct blkioq *q, bool leaving)
{
	q->leaving |= leaving;
	/* Another thread may just notice that the device is gone. */
	__atomic_store_n(&q->submit, bk_cancel, __ATOMIC_RELAXED);
	q->enter = enter_ended;
}

/* ---- Time --------------------------------------------------------------------------------- */

/* Nine tenths of the time are the device's to finish; then it is made to let go. */
static struct ending ending_in(int64_t ns, int cancel_fd)
{
	int64_t end_at = deadline_in(ns);

	return (struct ending){
		.cancel_at = end_at == INT64_MAX ? INT64_MAX : end_at - ns / 10,
		.pauses = { { end_at, cancel_fd }, PAUSE_MIN_NS, PAUSE_MAX_NS },
	};
}

/* ---- Ending ------------------------------------------------------------------------------- */

static void begin_table(const struct bk_queue_table *t, bool leaving)
{
	for (int i = 0; i < t->n; i++) {
		if (t->q[i])
			begin(t->q[i], leaving);
	}
}

/* All of them, also after one that is busy: they finish at the same time. */
static bool drain_table(const struct bk_queue_table *t, bool cancel)
{
	bool busy = false;

	for (int i = 0; i < t->n; i++) {
		if (t->q[i])
			busy |= drain_once(t->q[i], cancel);
	}
	return busy;
}

static bool drain_all(struct blkio *b, bool cancel)
{
	bool busy = drain_table(&b->core.queues, cancel);

	return drain_table(&b->core.poll_queues, cancel) || busy;
}

static bool is_quiet(const struct bk_queue_table *t)
{
	for (int i = 0; i < t->n; i++) {
		if (t->q[i] && !t->q[i]->quiet)
			return false;
	}
	return true;
}

/* -ETIMEDOUT or -ECANCELED when something is left. */
static int end_all(struct blkio *b, struct ending *e, bool leaving)
{
	bool cancel;
	int ret = 0;

	begin_table(&b->core.queues, leaving);
	begin_table(&b->core.poll_queues, leaving);
	b->ending = true;
	__atomic_store_n(&b->core.end_by, e->pauses.deadline.at, __ATOMIC_RELAXED);
	do {
		cancel = now_ns() >= e->cancel_at;
		if (!drain_all(b, cancel))
			break;
		ret = bk_pause(&e->pauses);
	} while (!ret);
	/* Something took the time that was left to cancel. */
	if (ret == -ETIMEDOUT && !cancel)
		drain_all(b, true);
	b->stuck = !is_quiet(&b->core.queues) || !is_quiet(&b->core.poll_queues);
	return ret;
}

void bk_end_all(struct blkio *b)
{
	struct ending e = ending_in(END_SECONDS * NSEC_PER_SEC, -1);

	__atomic_store_n(&b->core.end_by, e.pauses.deadline.at, __ATOMIC_RELAXED);
	bk_end_vrings(b);
	end_all(b, &e, true);
}

void bk_end_undo(struct blkio *b)
{
	__atomic_store_n(&b->core.end_by, 0, __ATOMIC_RELAXED);
	b->ending = false;
}

int bk_end_queue(struct blkioq *q)
{
	struct ending e = ending_in(END_SECONDS * NSEC_PER_SEC, bk_cancel_fd(q->b));
	bool cancel;
	int ret = 0;

	begin(q, true);
	do {
		cancel = now_ns() >= e.cancel_at;
		if (!drain_once(q, cancel))
			break;
		ret = bk_pause(&e.pauses);
	} while (!ret);
	if (ret == -ETIMEDOUT && !cancel)
		drain_once(q, true);
	if (q->quiet)
		return 0;
	return bk_err(ret == -ECANCELED ? ECANCELED : ETIME,
		      "the queue is not removed: it has requests in flight");
}

int bk_check_timeout(const struct timespec *timeout)
{
	if (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= NSEC_PER_SEC)
		return bk_err(EINVAL, "timeout is not valid: %lld s, %ld ns",
			      (long long)timeout->tv_sec, timeout->tv_nsec);
	return 0;
}

static int drain_call(struct blkio *b, const union bk_call_args *args)
{
	struct timespec *timeout = args->timeout;
	struct ending e;
	int vrings, ret;

	if (timeout && bk_check_timeout(timeout) < 0)
		return -EINVAL;
	if (b->state != BK_STARTED)
		return 0;
	e = ending_in(to_ns(timeout), bk_cancel_fd(b));
	bk_control_limit(b, e.pauses.deadline.at);
	vrings = bk_end_vrings(b);
	ret = end_all(b, &e, false);
	__atomic_store_n(&b->core.end_by, 0, __ATOMIC_RELAXED);
	if (timeout)
		*timeout = to_timespec(e.pauses.deadline.at - now_ns());
	if (!b->stuck && !vrings)
		return 0;
	return bk_err(ret == -ECANCELED || vrings == -ECANCELED ? ECANCELED : ETIME,
		      "requests in flight may still access their memory");
}

int blkio_drain(struct blkio *b, struct timespec *timeout)
{
	return bk_control_call(b, drain_call, &(union bk_call_args){ .timeout = timeout });
}
