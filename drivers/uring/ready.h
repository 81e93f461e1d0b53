/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The completion fd of a queue whose device is a descriptor that somebody else reads and writes,
 * such as a library: it fires when that can go on. A ring polls the descriptor, without a thread.
 * Where rings are not permitted, a thread does.
 */
#ifndef BK_URING_READY_H
#define BK_URING_READY_H

#include "common/watcher.h"
#include "uring/ring.h"

struct uring_ready {
	bool by_thread;
	bool on; /* by_thread: of lock, but for who sets it */
	/* by a ring */
	struct uring ring;
	bool in, out;	 /* the ring polls for it */
	uint64_t series; /* of polls: counts descriptors */
	/* by a thread */
	struct watcher watcher;
	pthread_mutex_t lock;
	int epoll_fd, completion_fd;
};

/* completion_fd: an eventfd. 0 or bk_err(). */
int uring_ready_init(struct uring_ready *p, int completion_fd);
/* Shut the descriptor down before, if it is a socket: what is armed holds it open for a moment. */
void uring_ready_exit(struct uring_ready *p);

/* Let the completion fd fire, or stop; then uring_ready_arm(). */
void uring_ready_notify(struct uring_ready *p, bool on);

/*
 * Once nothing more can be read and written: let the completion fd fire when fd has one of the
 * events (POLLIN, POLLOUT), or the other end closes it. Does nothing while notifying is off.
 */
void uring_ready_arm(struct uring_ready *p, int fd, short events);

/* What follows is about another descriptor; the old one has been shut down. */
void uring_ready_replace(struct uring_ready *p);

#endif
