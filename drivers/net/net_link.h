/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The connection of a queue, where it may be replaced: property "reconnect-timeout". A thread makes
 * a new one when the queue says that it is down, and says when it is back, or that there will be
 * none. Knows nothing of what a connection is.
 */
#ifndef BK_NET_NET_LINK_H
#define BK_NET_NET_LINK_H

#include "common/comeback.h"
#include "common/watcher.h"

enum net_link_state { NET_LINK_UP, NET_LINK_DOWN, NET_LINK_BACK, NET_LINK_OVER };

struct net_link;

/* A driver's part. */
struct net_link_ops {
	const char *peer; /* who is at the other end, for BLKIO_DEBUG */
	/* Static texts of failed requests: it did not come back; it closes each connection. */
	const char *away, *useless;
	/* In the thread. Optional: close what is left of the lost connection. */
	void (*close_old)(struct net_link *l);
	/*
	 * In the thread: make a connection, for the queue to use once it is told. 0; or bk_err(),
	 * and then *changed, static text, if the device is no longer what it was.
	 */
	int (*connect)(struct net_link *l, const struct bk_deadline *by, const char **changed);
	/* In the queue's thread: go on with that connection. Calls net_link_up(). */
	void (*go_on)(struct net_link *l);
	/*
	 * In the queue's thread: there will be none, so fail all requests; with this errno value
	 * and static text, or if why is NULL, with what is known of the lost connection.
	 */
	void (*fail)(struct net_link *l, int error, const char *why);
};

struct net_link {
	const struct net_link_ops *ops;
	struct blkioq *q;
	struct comeback comeback;
	struct watcher watcher;
	enum net_link_state state; /* atomic; hands over all that follows */
	const char *why;	   /* NET_LINK_OVER: with the error value, why there is none */
	int error;
	bool progressed;      /* NET_LINK_DOWN: a request has completed since it was up */
	int wake_fd;	      /* eventfd: for the queue's thread, which sleeps while it is down */
	pthread_mutex_t lock; /* for moments, of ... */
	bool notifies;	      /* the completion fd fires when the queue can go on */
	/* the queue's own */
	bool is_away;	   /* down, as far as the queue knows */
	bool ends;	   /* no other connection is wanted */
	unsigned finished; /* requests, when it was up last */
};

/* The connection is there. comeback: what the link begins with. 0 or bk_err(). */
int net_link_init(struct net_link *l, struct blkioq *q, const struct comeback *comeback,
		  const struct net_link_ops *ops);
/* End the thread: what it had made is the driver's to close. */
void net_link_exit(struct net_link *l);

/* Acquire: what it hands over is there. */
static inline enum net_link_state net_link_state(const struct net_link *l)
{
	return __atomic_load_n(&l->state, __ATOMIC_ACQUIRE);
}

/* Is there to be another connection when this one is lost? */
static inline bool net_link_returns(const struct net_link *l)
{
	return l->comeback.timeout_ms && !l->ends && net_link_state(l) == NET_LINK_UP;
}

/* It is lost: let the thread make another. finished: requests of the queue, ever. */
void net_link_down(struct net_link *l, unsigned finished);
/* For enter(), while it is away: sleep if need be, then go on, or fail, if it is time to. */
int net_link_wait(struct net_link *l, bool wait, const struct bk_wait *w);
/* No other connection is wanted any more: what waits for one fails. */
void net_link_end(struct net_link *l);
/* There will be no other connection. why: as for fail(). */
void net_link_fail(struct net_link *l, int error, const char *why);
/* The queue has taken what NET_LINK_BACK handed over. */
void net_link_up(struct net_link *l, unsigned finished);
/*
 * For notify(), once the queue's own source of events knows. When the completion fd is silent
 * again, what it said must not be seen any more.
 */
void net_link_notify(struct net_link *l, bool on);

#endif
