/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A thread that watches a started device. An application that sleeps on completion fds cannot
 * detect that the device has changed or gone away. All signals are blocked in it: they are for the
 * application's threads.
 */
#ifndef BK_COMMON_WATCHER_H
#define BK_COMMON_WATCHER_H

#include <poll.h>
#include <pthread.h>

#include "driver.h"

struct watcher {
	pthread_t thread;
	int wake_fd; /* eventfd */
	bool runs, ends;
};

/* what: that is watched, for the message. 0 or bk_err(). */
int watcher_start(struct watcher *w, const char *what, void *(*run)(void *arg), void *arg);
/* Let run() return, and wait for it. Stopping twice is fine. */
void watcher_stop(struct watcher *w);

/* From any thread. */
static inline bool watcher_runs(const struct watcher *w)
{
	return __atomic_load_n(&w->runs, __ATOMIC_RELAXED);
}

static inline bool watcher_ends(const struct watcher *w)
{
	return __atomic_load_n(&w->ends, __ATOMIC_ACQUIRE);
}

/* From any thread: end the sleep of watcher_sleep(), or the next one. */
void watcher_wake(struct watcher *w);

/*
 * In the thread: sleep until one of n descriptors has events, for ms milliseconds at most (-1: no
 * limit), or until woken. fds has room for one more, whose revents say whether it was woken. False
 * when the thread is to end.
 */
bool watcher_sleep(struct watcher *w, struct pollfd *fds, unsigned n, int ms);

#endif
