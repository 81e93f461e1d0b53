/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * blkioq_do_io(): submit, wait, collect. Each round feeds the backlog to the driver and enters it;
 * what has finished then is on the done list before anything can fail, so an error loses nothing.
 */
#include <sys/eventfd.h>

#include "core.h"

/* The deadline of one call. */
struct deadline {
	struct timespec *timeout; /* the caller's; NULL: none */
	struct timespec left;
	int64_t end_ns;
};

static struct timespec to_timespec(int64_t ns)
{
	return (struct timespec){ .tv_sec = ns / NSEC_PER_SEC, .tv_nsec = ns % NSEC_PER_SEC };
}

static void deadline_start(struct deadline *d)
{
	int64_t ns;

	d->left = *d->timeout;
	/* Beyond 292 years is as good as never. */
	if (__builtin_mul_overflow(d->left.tv_sec, NSEC_PER_SEC, &ns) ||
	    __builtin_add_overflow(ns, d->left.tv_nsec, &ns) ||
	    __builtin_add_overflow(ns, now_ns(), &d->end_ns))
		d->end_ns = INT64_MAX;
}

/* Returns whether there is time left. */
static bool deadline_update(struct deadline *d)
{
	int64_t ns = d->end_ns - now_ns();

	d->left = to_timespec(ns > 0 ? ns : 0);
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
	if (timeout &&
	    (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= NSEC_PER_SEC))
		return bk_err(EINVAL, "timeout is not valid: %lld s, %ld ns",
			      (long long)timeout->tv_sec, timeout->tv_nsec);
	if ((unsigned)min > q->outstanding)
		return bk_err(EINVAL, "min is %d but only %u requests are outstanding", min,
			      q->outstanding);
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

/* The caller sleeps on the fd next: it must know about what is left. */
static inline void signal_leftovers(struct blkioq *q)
{
	if (unlikely(q->notify_on) && q->done.head)
		eventfd_write(q->completion_fd, 1);
}

/* What follows the wait: n completions are in out already. */
static inline int finish(struct blkioq *q, struct blkio_completion *out, int n, int max)
{
	/* Stages and what found no room before: the device has something to do meanwhile. */
	if (unlikely(q->backlog.head)) {
		push_backlog(q);
		q->enter(q, 0, NULL);
	}
	q->outstanding -= n;
	n += bk_collect(q, out + n, max - n);
	signal_leftovers(q);
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
	if (q->nr_dropped) {
		unsigned n = q->nr_dropped;

		/* They are gone; the caller learns it here, once. */
		q->nr_dropped = 0;
		return bk_err(ENOMEM, "out of memory: the last %u requests were not queued", n);
	}
	ret = check_args(q, out, min, max, timeout);
	if (ret < 0)
		return ret;
	if (q->is_poll && w.interruptible && min > 0)
		return bk_err(ENOTSUP, "blkioq_do_io_interruptible() cannot wait on poll queues; "
				       "use blkioq_do_io()");
	if (timeout) {
		deadline_start(&d);
		w.timeout = &d.left;
	}

	ret = wait_for(q, min, &d, &w);
	if (ret >= 0)
		ret = finish(q, out, 0, max);
	else
		signal_leftovers(q);
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
	bk_undeliver(q, n);
	return do_io_slow(q, out, min, max, NULL);
}

int blkioq_do_io(struct blkioq *q, struct blkio_completion *completions, int min, int max,
		 struct timespec *timeout)
{
	int n, ret;

	if (unlikely(!q))
		return do_io_slow(q, completions, min, max, timeout);
	/* A negative min is above outstanding, too. */
	if (unlikely(min > max || (!completions && max) || (unsigned)min > q->outstanding ||
		     (uintptr_t)timeout | (uintptr_t)q->backlog.head | q->nr_dropped))
		return do_io_slow(q, completions, min, max, timeout);
	if (unlikely(q->nr_done))
		return do_io_busy(q, completions, min, max);

	q->out = completions;
	q->out_end = completions + max;
	ret = q->enter(q, min, NULL);
	n = q->out - completions;
	if (unlikely((uintptr_t)q->backlog.head | q->nr_done || ret < 0 || n < min))
		return do_io_rest(q, completions, min, ret);
	q->out_end = q->out;
	q->outstanding -= n;
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
	if (enable && q->done.head)
		eventfd_write(q->completion_fd, 1);
}
