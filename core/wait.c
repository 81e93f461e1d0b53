/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * blkioq_do_io(): submit, wait, collect. Completions reach the caller in one of two ways: written
 * by the driver straight into the caller's array, up to q->out_end, or by way of the done list,
 * from which finish() collects them in order. Which function leads where:
 *
 *   blkioq_do_io
 *     backlog, timeout or bad arguments: do_io_slow
 *     done list not empty: do_io_busy, which enters once with q->out == q->out_end
 *       enough on the list: finish
 *       error, or too few: do_io_slow
 *     else: enter, straight to the caller
 *       enough, and both lists empty: return
 *       enough, and more on a list: do_io_rest, finish
 *       error, or too few: do_io_rest, which moves them to the done list, then do_io_slow
 *   blkioq_do_io_interruptible, do_io_slow: do_io
 *     wait_for: rounds of push_backlog and enter, until there are enough; then finish
 *
 * What has finished is on the done list before anything can fail, so an error loses nothing.
 */
#include <signal.h>

#include "core.h"

/* The deadline of one call. */
struct deadline {
	struct timespec *timeout; /* the caller's; NULL: none */
	struct timespec left;
	int64_t end_ns;
};

/* Returns whether there is time left. */
static bool deadline_update(struct deadline *d)
{
	int64_t ns = d->end_ns - now_ns();

	d->left = to_timespec(ns);
	return ns > 0;
}

static int check_args(const struct blkioq *q, const struct blkio_completion *out, int min, int max,
		      const struct timespec *timeout)
{
	if (min < 0 || max < 0)
		return bk_err(EINVAL, "min and max must not be negative, got %d and %d", min, max);
	if (min > max)
		return bk_err(EINVAL, "min (%d) must not be larger than max (%d)", min, max);
	if (max && !out)
		return bk_err(EINVAL, "completions must not be NULL when max is %d", max);
	if (timeout && bk_check_timeout(timeout) < 0)
		return -EINVAL;
	if ((unsigned)min > q->core.outstanding)
		return bk_err(EINVAL, "min is %d but only %u requests are outstanding", min,
			      q->core.outstanding);
	return 0;
}

/* Get as much of the backlog to the device as it takes without waiting. */
static cold_path void push_backlog(struct blkioq *q)
{
	do {
		bk_feed(q);
		if (!q->backlog.head)
			return;
		/* What blocks the backlog may be requests that the device has yet to be shown. */
		if (q->enter(q, 0, NULL) < 0)
			return;
	} while (bk_feed(q));
}

static int wait_for(struct blkioq *q, unsigned min, struct deadline *d, const struct bk_wait *w)
{
	for (;;) {
		unsigned need;
		int ret;

		if (q->backlog.head)
			push_backlog(q);
		need = min > q->nr_done ? min - q->nr_done : 0;
		/* With more to submit, every completion makes room. */
		if (need && q->backlog.head)
			need = 1;

		bk_trace(wait, q, need);
		ret = q->enter(q, need, w);
		if (q->nr_done >= min)
			return q->nr_done || ret == -EINTR ? 0 : ret;
		if (ret == -EINTR && w->interruptible)
			return bk_err(EINTR, "interrupted by a signal");
		if (ret < 0 && ret != -EINTR && ret != -ETIME)
			return ret;
		if (d->timeout && !deadline_update(d))
			return bk_err(ETIME, "%u of %u completions came before the timeout",
				      q->nr_done, min);
	}
}

/* Signals of the thread's own doing must not be held back. */
static void block_signals(sigset_t *before)
{
	static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT };
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		sigdelset(&set, own[i]);
	pthread_sigmask(SIG_BLOCK, &set, before);
}

/*
 * No signal is missed between two sleeps: only while it sleeps does the thread let signals in, and
 * then the driver reports them.
 */
static int wait_interruptibly(struct blkioq *q, unsigned min, struct deadline *d, struct bk_wait *w)
{
	int ret = wait_for(q, 0, d, w);
	sigset_t before;

	if (ret < 0 || q->nr_done >= min)
		return ret;
	block_signals(&before);
	if (!w->sigmask)
		w->sigmask = &before;
	ret = wait_for(q, min, d, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret;
}

/* Where completion n goes. C does not define NULL + 0, which is what max 0 may come with. */
static inline struct blkio_completion *nth(struct blkio_completion *out, int n)
{
	return bk_behind(out, (size_t)n * sizeof(*out));
}

/* What follows the wait: n completions are in out already. */
static inline int finish(struct blkioq *q, struct blkio_completion *out, int n, int max)
{
	/* Stages and what found no room before: the device has something to do meanwhile. */
	if (unlikely(q->backlog.head)) {
		push_backlog(q);
		q->enter(q, 0, NULL);
	}
	q->core.outstanding -= n;
	n += bk_collect(q, nth(out, n), max - n);
	bk_signal_done(q);
	return n;
}

/* Any call: with timeout and signal mask, and also those that something is wrong with. */
static cold_path int do_io(struct blkioq *q, struct blkio_completion *out, int min, int max,
			   struct timespec *timeout, const sigset_t *sigmask, bool interruptible)
{
	struct bk_wait w = { .sigmask = sigmask, .interruptible = interruptible };
	struct deadline d = { .timeout = timeout };
	int ret;

	if (!q)
		return bk_err(EINVAL, "q must not be NULL");
	if (q->core.nr_dropped) {
		unsigned n = q->core.nr_dropped;

		/* They are gone; the caller learns it here, once. */
		q->core.nr_dropped = 0;
		return bk_err(ENOMEM, "out of memory: the last %u requests were not queued", n);
	}
	ret = check_args(q, out, min, max, timeout);
	if (ret < 0)
		return ret;
	if (q->is_poll && w.interruptible && min > 0)
		return bk_err(ENOTSUP, "blkioq_do_io_interruptible() cannot wait on poll queues; "
				       "use blkioq_do_io()");
	if (timeout) {
		d.left = *timeout;
		d.end_ns = deadline_after(timeout);
		w.timeout = &d.left;
	}

	ret = interruptible && min ? wait_interruptibly(q, min, &d, &w) : wait_for(q, min, &d, &w);
	if (ret >= 0)
		ret = finish(q, out, 0, max);
	else
		bk_signal_done(q);
	if (timeout) {
		deadline_update(&d);
		*timeout = d.left;
	}
	return ret;
}

static __attribute__((noinline)) int do_io_slow(struct blkioq *q, struct blkio_completion *out,
						int min, int max, struct timespec *timeout)
{
	return do_io(q, out, min, max, timeout, NULL, false);
}

/* Something is on the done list. First come, first served: meanwhile all go there. */
static __attribute__((noinline)) int do_io_busy(struct blkioq *q, struct blkio_completion *out,
						int min, int max)
{
	int ret = q->enter(q, (unsigned)min > q->nr_done ? min - q->nr_done : 0, NULL);

	if (unlikely(ret < 0 || (unsigned)min > q->nr_done))
		return do_io_slow(q, out, min, max, NULL);
	return finish(q, out, 0, max);
}

/* Completions are in out up to q->out, but enter() also returned something else, or too early. */
static __attribute__((noinline)) int do_io_rest(struct blkioq *q, struct blkio_completion *out,
						int min, int ret)
{
	int n = q->out - out, max = q->out_end - out;

	q->out_end = q->out;
	if (ret >= 0 && n + (int)q->nr_done >= min)
		return finish(q, out, n, max);
	bk_return_to_done(q, n);
	return do_io_slow(q, out, min, max, NULL);
}

int blkioq_do_io(struct blkioq *q, struct blkio_completion *completions, int min, int max,
		 struct timespec *timeout)
{
	int n, ret;

	if (unlikely(!q))
		return do_io_slow(q, completions, min, max, timeout);
	/* A negative min is above outstanding, too. */
	if (unlikely(min > max || (!completions && max) || (unsigned)min > q->core.outstanding ||
		     (uintptr_t)timeout | (uintptr_t)q->backlog.head | q->core.nr_dropped))
		return do_io_slow(q, completions, min, max, timeout);
	if (unlikely(q->nr_done))
		return do_io_busy(q, completions, min, max);

	q->out = completions;
	q->out_end = nth(completions, max);
	ret = q->enter(q, min, NULL);
	n = q->out - completions;
	if (unlikely((uintptr_t)q->backlog.head | q->nr_done || ret < 0 || n < min))
		return do_io_rest(q, completions, min, ret);
	q->out_end = q->out;
	q->core.outstanding -= n;
	return n;
}

int blkioq_do_io_interruptible(struct blkioq *q, struct blkio_completion *completions, int min,
			       int max, struct timespec *timeout, const sigset_t *sig)
{
	return do_io(q, completions, min, max, timeout, sig, true);
}

int blkioq_get_completion_fd(struct blkioq *q)
{
	return q ? q->completion_fd : -1;
}

void blkioq_set_completion_fd_enabled(struct blkioq *q, bool enable)
{
	if (!q || q->completion_fd < 0 || q->notify_on == enable)
		return;
	q->notify_on = enable;
	if (q->drv->notify)
		q->drv->notify(q, enable);
	bk_signal_done(q);
}
