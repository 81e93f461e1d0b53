/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Control calls: how long each may wait, what ends it early, and how to make one without waiting.
 * Drivers ask bk_deadline() and wait in bk_wait_events(), so that every wait of a control call
 * keeps to one deadline and can be cancelled, and the fast path knows nothing of it.
 *
 * An asynchronous call runs the synchronous code on a thread. The alternative, a state machine in
 * each driver, would write every handshake a second time, and could still not wait for open(),
 * ioctl() and mmap(), which no poll() covers. The thread exists from the call to its collection.
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "core.h"

#define ANSWERS_NS 100000000 /* that all answers have at least, when the instance ends */

/* The usual 8 MiB would all be locked memory in a program that calls mlockall(MCL_FUTURE). */
#define STACK_BYTES (256 << 10)

struct bk_control {
	bool cancelled; /* the call in progress, by blkio_cancel() */
	int cancel_fd;	/* eventfd: readable when cancelled; -1 before the first wait */
	/* The asynchronous call, if there is one that was not collected. */
	bk_call *call; /* NULL: none */
	union bk_call_args args;
	int64_t deadline;
	pthread_t thread;
	bool joined;
	bool over; /* by the thread; what follows is set */
	int result;
	struct bk_err_msg msg; /* of a result that is an error */
	int control_fd;	       /* eventfd: readable when over; -1 until asked for or needed */
};

/* The control call that this thread is in. */
static __thread struct {
	const struct blkio *b; /* NULL: none */
	int64_t deadline;      /* now_ns(); INT64_MAX: none */
} running;

/* ---- Deadlines ---------------------------------------------------------------------------- */

static int64_t timeout_of(const struct blkio *b)
{
	return b->connect_timeout ? deadline_in(b->connect_timeout * NSEC_PER_MSEC) : INT64_MAX;
}

/* What ends is bounded by the end alone, also when the call has used up its time. */
static int64_t answer_by(const struct blkio *b, int64_t end_by)
{
	int64_t latest = end_by < INT64_MAX - ANSWERS_NS ? end_by + ANSWERS_NS : INT64_MAX;

	return min_u64(latest, timeout_of(b));
}

/*
 * Made by the first call that waits, for most never do. Sequentially consistent: either
 * blkio_cancel() sees the descriptor, or we see that it was called. Without a free descriptor the
 * call cannot be cancelled.
 */
int bk_cancel_fd(const struct blkio *b)
{
	struct bk_control *c = b->control;

	if (running.b != b)
		return -1;
	if (c->cancel_fd >= 0)
		return c->cancel_fd;
	__atomic_store_n(&c->cancel_fd, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), __ATOMIC_SEQ_CST);
	if (c->cancel_fd >= 0 && __atomic_load_n(&c->cancelled, __ATOMIC_SEQ_CST))
		eventfd_write(c->cancel_fd, 1);
	return c->cancel_fd;
}

struct bk_deadline bk_deadline(const struct blkio *b)
{
	int64_t end_by = __atomic_load_n(&b->core.end_by, __ATOMIC_RELAXED);

	if (end_by)
		return (struct bk_deadline){ answer_by(b, end_by), -1, b->connect_timeout };
	return (struct bk_deadline){
		.at = running.b == b ? running.deadline : timeout_of(b),
		.cancel_fd = bk_cancel_fd(b),
		.ms = b->connect_timeout,
	};
}

int bk_wait_events(int fd, short events, const struct bk_deadline *d)
{
	struct pollfd p[] = { { .fd = d->cancel_fd, .events = POLLIN },
			      { .fd = fd, .events = events } };

	for (;;) {
		int64_t left = d->at == INT64_MAX ? INT64_MAX : d->at - now_ns();
		struct timespec ts = to_timespec(left);
		/* Without time left, what can be had from fd comes too late. */
		int n = ppoll(p, left > 0 ? 2 : 1, left == INT64_MAX ? NULL : &ts, NULL);

		if (n > 0)
			return p[0].revents ? -ECANCELED : 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (left <= 0)
			return -ETIMEDOUT;
	}
}

int bk_pause(struct bk_pauses *p)
{
	struct bk_deadline pause = p->deadline;
	int ret;

	if (now_ns() >= p->deadline.at)
		return -ETIMEDOUT;
	pause.at = min_u64(pause.at, deadline_in(p->next_ns));
	p->next_ns = min_u64(2 * p->next_ns, p->max_ns);
	ret = bk_wait_events(-1, 0, &pause);
	return ret == -ETIMEDOUT ? 0 : ret;
}

int bk_wait_err(const struct bk_deadline *d, int err, const char *step, const char *awaited)
{
	switch (err) {
	case -ETIMEDOUT:
		return bk_err(ETIMEDOUT, "%s: no %s within %d ms (property \"connect-timeout\")",
			      step, awaited, d->ms);
	case -ECANCELED:
		return bk_err(ECANCELED, "%s: blkio_cancel() ended the wait for the %s", step,
			      awaited);
	default:
		return bk_err(-err, "%s: no %s: %s", step, awaited, strerror(-err));
	}
}

/* ---- Calls -------------------------------------------------------------------------------- */

/* What was meant for a call that was over by then is not for the next one. */
static void forget_cancel(struct bk_control *c)
{
	eventfd_t count;

	__atomic_store_n(&c->cancelled, false, __ATOMIC_SEQ_CST);
	if (c->cancel_fd >= 0)
		eventfd_read(c->cancel_fd, &count);
}

static int run(struct blkio *b, bk_call *call, const union bk_call_args *args, int64_t deadline)
{
	int ret;

	running.deadline = deadline;
	running.b = b;
	ret = call(b, args);
	running.b = NULL;
	bk_debug("instance %p: the call returns %d", (void *)b, ret);
	return ret;
}

int bk_control_check(const struct blkio *b)
{
	if (!b)
		return bk_err(EINVAL, "b must not be NULL");
	return b->control->call
		   ? bk_err(EBUSY, "an asynchronous call is in progress: collect it with "
				   "blkio_control_result() first")
		   : 0;
}

int bk_control_call(struct blkio *b, bk_call *call, const union bk_call_args *args)
{
	int ret = bk_control_check(b);

	if (ret < 0)
		return ret;
	forget_cancel(b->control);
	return run(b, call, args, timeout_of(b));
}

void bk_control_restart(const struct blkio *b)
{
	running.deadline = timeout_of(b);
}

void bk_control_limit(const struct blkio *b, int64_t at)
{
	if (running.b == b)
		running.deadline = min_u64(running.deadline, at);
}

void bk_control_call_after(struct blkio *b, bk_call *call, const union bk_call_args *args)
{
	bk_control_settle(b);
	forget_cancel(b->control);
	run(b, call, args, timeout_of(b));
}

void blkio_cancel(struct blkio *b)
{
	int saved = errno, fd;

	if (!b)
		return;
	__atomic_store_n(&b->control->cancelled, true, __ATOMIC_SEQ_CST);
	fd = __atomic_load_n(&b->control->cancel_fd, __ATOMIC_SEQ_CST);
	if (fd >= 0)
		eventfd_write(fd, 1);
	errno = saved;
}

/* ---- Asynchronous calls ------------------------------------------------------------------- */

int bk_thread_create(pthread_t *thread, void *(*start)(void *arg), void *arg)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int ret = pthread_attr_init(&attr);

	if (ret)
		return ret;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(thread, &attr, start, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return ret;
}

static void *run_async(void *arg)
{
	struct blkio *b = arg;
	struct bk_control *c = b->control;

	c->result = run(b, c->call, &c->args, c->deadline);
	if (c->result < 0)
		c->msg = bk_err_save();
	/* Release: whoever sees it sees the result. */
	__atomic_store_n(&c->over, true, __ATOMIC_RELEASE);
	eventfd_write(c->control_fd, 1);
	return NULL;
}

int bk_control_start(struct blkio *b, bk_call *call, const union bk_call_args *args)
{
	struct bk_control *c;
	int ret = bk_control_check(b);

	if (!ret)
		ret = blkio_get_control_fd(b);
	if (ret < 0)
		return ret;
	c = b->control;
	forget_cancel(c);
	c->call = call;
	c->args = args ? *args : (union bk_call_args){ 0 };
	c->deadline = timeout_of(b);
	c->joined = c->over = false;
	ret = bk_thread_create(&c->thread, run_async, b);
	if (!ret)
		return 0;
	c->call = NULL;
	return bk_err(ret, "cannot start a thread for the call: %s", strerror(ret));
}

bk_call *bk_control_running(const struct blkio *b)
{
	return b->control->call;
}

void bk_control_settle(struct blkio *b)
{
	struct bk_control *c = b->control;

	if (c->call && !c->joined)
		pthread_join(c->thread, NULL);
	c->joined = true;
}

int blkio_get_control_fd(struct blkio *b)
{
	struct bk_control *c;

	if (!b)
		return bk_err(EINVAL, "b must not be NULL");
	c = b->control;
	if (c->control_fd < 0)
		c->control_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return c->control_fd < 0 ? bk_err(errno, "cannot create the control fd: eventfd: %m")
				 : c->control_fd;
}

int blkio_control_result(struct blkio *b)
{
	struct bk_control *c;
	eventfd_t count;

	if (!b)
		return bk_err(EINVAL, "b must not be NULL");
	c = b->control;
	if (!c->call)
		return bk_err(
		    EINVAL,
		    "no asynchronous call was started, or its result was collected already");
	if (!__atomic_load_n(&c->over, __ATOMIC_ACQUIRE))
		return bk_err(EINPROGRESS, "the asynchronous call is in progress");
	bk_control_settle(b);
	eventfd_read(c->control_fd, &count);
	c->call = NULL;
	if (c->result < 0)
		bk_err_restore(&c->msg);
	return c->result;
}

/* ---- Lifecycle ---------------------------------------------------------------------------- */

int bk_control_init(struct blkio *b)
{
	b->control = calloc(1, sizeof(*b->control));
	if (!b->control)
		return bk_err(ENOMEM, "out of memory");
	b->control->cancel_fd = -1;
	b->control->control_fd = -1;
	return 0;
}

void bk_control_exit(struct blkio *b)
{
	if (b->control->cancel_fd >= 0)
		close(b->control->cancel_fd);
	if (b->control->control_fd >= 0)
		close(b->control->control_fd);
	free(b->control);
	b->control = NULL;
}
