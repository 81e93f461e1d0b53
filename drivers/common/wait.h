/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How hot functions wait: for a descriptor or in memory, as struct bk_wait says. Control paths have
 * bk_wait_events() and bk_pause().
 */
#ifndef BK_COMMON_WAIT_H
#define BK_COMMON_WAIT_H

#include <poll.h>
#include <sched.h>

#include "driver.h"

/* For enter(): sleep until fd has an event. 0, -ETIME, -EINTR, or bk_err(). w may be NULL. */
int wait_events(int fd, short events, const struct bk_wait *w);
/* The same until one of n descriptors has. */
int wait_fds(struct pollfd *fds, unsigned n, const struct bk_wait *w);

static inline int wait_readable(int fd, const struct bk_wait *w)
{
	return wait_events(fd, POLLIN, w);
}

#define WAIT_SPINS 2000 /* before others may have the CPU: tens of microseconds */

/*
 * For enter() of poll queues: look until there is something to see. 0 or -ETIME. Always inline, so
 * that looking costs no call.
 */
static force_inline int wait_spin(bool (*look)(const void *arg), const void *arg,
				  const struct bk_wait *w)
{
	int64_t deadline = deadline_after(w ? w->timeout : NULL);

	for (;;) {
		for (int i = 0; i < WAIT_SPINS; i++) {
			if (look(arg))
				return 0;
			cpu_relax();
		}
		if (deadline != INT64_MAX && now_ns() >= deadline)
			return -ETIME;
		sched_yield();
	}
}

/*
 * Property poll-max-ns: how long a queue with interrupts spins before it sleeps. What comes soon is
 * then seen without a sleep, which takes two system calls, a signal from the device, and the time
 * until the thread runs again. How soon is learnt from earlier waits: the window grows to twice
 * what a wait took, up to the property. Spinning goes on while four of five waits find something in
 * the window; otherwise the next waits sleep at once.
 */
struct wait_window {
	int64_t max_ns;		  /* the property; 0: never spin */
	int64_t ns;		  /* how long the next wait spins; 0: it only measures */
	int64_t began;		  /* of this wait, in now_ns(); 0: it is not measured */
	unsigned rest, last_rest; /* so many waits to come sleep at once; as many as last time */
	int credit;		  /* grows with what is found, shrinks with windows in vain */
};

#define WAIT_LOOKS 32 /* between looks at the clock: a microsecond or two */

/* It was found while spinning. */
void wait_found(struct wait_window *v);
/* It came after a sleep, took nanoseconds after the wait began. */
void wait_missed(struct wait_window *v, int64_t took);

/* Before a sleep in enter(): true when there is something to see already. */
static force_inline bool wait_spin_first(struct wait_window *v, bool (*look)(const void *arg),
					 const void *arg, const struct bk_wait *w)
{
	int64_t ns = v->ns, end;

	v->began = 0;
	if (likely(!v->max_ns))
		return false;
	if (v->rest) {
		v->rest--;
		return false;
	}
	v->began = now_ns();
	if (!ns)
		return false;
	end = v->began + (int64_t)min_u64(ns, to_ns(w ? w->timeout : NULL));
	do {
		for (int i = 0; i < WAIT_LOOKS; i++) {
			if (look(arg)) {
				wait_found(v);
				return true;
			}
			cpu_relax();
		}
	} while (now_ns() < end);
	return false;
}

/* After the sleep, when there is something to see. */
static inline void wait_slept(struct wait_window *v)
{
	if (v->began)
		wait_missed(v, now_ns() - v->began);
}

/* For enter(): poll queues spin; others do as long as it pays, and then sleep. */
static force_inline int wait_or_sleep(bool is_poll, struct wait_window *v,
				      bool (*look)(const void *arg),
				      int (*sleep)(const void *arg, const struct bk_wait *w),
				      const void *arg, const struct bk_wait *w)
{
	int ret;

	if (is_poll)
		return wait_spin(look, arg, w);
	if (wait_spin_first(v, look, arg, w))
		return 0;
	ret = sleep(arg, w);
	if (!ret)
		wait_slept(v);
	return ret;
}

#endif
