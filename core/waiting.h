/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Waiting on control paths, for drivers.
 *
 * A control call has one deadline for all that it waits for, and blkio_cancel() ends it. So nothing
 * on a control path sleeps but with bk_wait_events() and the deadline that bk_deadline() gives.
 *
 * The call's deadline is b->connect_timeout after its beginning. Where that is a property of the
 * driver (BK_CONNECT_TIMEOUT), init() sets the default; 0: no limit.
 */
#ifndef BK_WAITING_H
#define BK_WAITING_H

#include <pthread.h>
#include <stdint.h>

struct blkio;

struct bk_deadline {
	int64_t at;    /* now_ns(); INT64_MAX: none */
	int cancel_fd; /* readable once the call is to end; -1: it cannot be cancelled */
	int ms;	       /* connect-timeout, for messages */
};

/*
 * The deadline of the control call that this thread is in; in other threads, such as a watcher, of
 * a wait that begins now. While queues end, it is that of the end.
 */
struct bk_deadline bk_deadline(const struct blkio *b);

/*
 * Sleep until fd has one of the events; fd -1: just sleep. 0, -ETIMEDOUT, -ECANCELED or another
 * -errno; signals do not matter. Sets no message: bk_wait_err() does.
 */
int bk_wait_events(int fd, short events, const struct bk_deadline *d);

/* Pauses that grow, between attempts of something that takes a while. */
struct bk_pauses {
	struct bk_deadline deadline;
	long next_ns, max_ns;
};

/* Sleep for the next one; -ETIMEDOUT or -ECANCELED when that was all. */
int bk_pause(struct bk_pauses *p);

/* Say which step waited for what, such as "GET_FEATURES", "answer"; returns err, a -errno. */
int bk_wait_err(const struct bk_deadline *d, int err, const char *step, const char *awaited);

/* pthread_create() of a thread with all signals blocked; an errno value. */
int bk_thread_create(pthread_t *thread, void *(*run)(void *arg), void *arg);

/* A driver's row for the property. */
#define BK_CONNECT_TIMEOUT                                                                         \
	{                                                                                          \
		"connect-timeout",                                                                 \
		    "How long blkio_connect(), and each later control call, may wait in all for "  \
		    "the other side, in milliseconds; 10000 by default; 0 if without limit. The "  \
		    "call then fails with ETIMEDOUT. Requests in flight when a queue ends have 5 " \
		    "seconds of their own.",                                                       \
		    BK_INT, BK_GET_ALWAYS, BK_SET_CREATED,                                         \
		    offsetof(struct blkio, connect_timeout), .max = INT_MAX                        \
	}

#define BK_NUM_VRINGS                                                                              \
	{                                                                                          \
		"num-vrings",                                                                      \
		    "The number of a guest's virtqueues that the device may be given with "        \
		    "blkio_start_vring(); at most max-queues. While one runs, the instance's own " \
		    "queues cannot be used.",                                                      \
		    BK_INT, BK_GET_ALWAYS, BK_SET_CONNECTED, offsetof(struct blkio, num_vrings),   \
		    .max = INT_MAX                                                                 \
	}

#define BK_POLL_MAX_NS                                                                             \
	{                                                                                          \
		"poll-max-ns",                                                                     \
		    "How long blkioq_do_io() may look for completions before it sleeps, in "       \
		    "nanoseconds; 0, the default: it sleeps at once. It learns from earlier "      \
		    "waits "                                                                       \
		    "how long is worth it, and sleeps at once where the device takes longer. "     \
		    "Saves the time that waking up takes, at the price of CPU time. Poll queues "  \
		    "never sleep.",                                                                \
		    BK_INT, BK_GET_ALWAYS, BK_SET_CONNECTED, offsetof(struct blkio, poll_max_ns),  \
		    .max = 10000000                                                                \
	}

#endif
