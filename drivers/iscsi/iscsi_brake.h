/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How long libiscsi may read. It goes on as long as there is something on the socket, so a target
 * that keeps sending would keep it, and our caller, for ever; with much in flight, a good target
 * for seconds.
 *
 * A thread of the session looks every few milliseconds whether libiscsi is still in the same call.
 * If so, it puts a socket from which there is nothing to read in the place of libiscsi's, which
 * returns then, as after every read. Then the connection's own socket comes back: nothing is lost.
 * The thread sleeps while the session is not used.
 */
#ifndef BK_ISCSI_BRAKE_H
#define BK_ISCSI_BRAKE_H

#include "common/watcher.h"

struct iscsi_brake {
	/* ISCSI_READS and ISCSI_PULLED; what is above counts the calls. Atomic. */
	uint32_t call;
	bool awake; /* atomic: the thread looks */
	int sock;   /* libiscsi's, while the session lives */
	int own;    /* the connection's, under another number */
	int dry;    /* a socket from which there is nothing to read */
	struct watcher watcher;
	pthread_mutex_t lock; /* of what follows: for as long as it takes to put a socket */
	bool pulled;	      /* libiscsi has the dry one */
};

enum { ISCSI_READS = 1, ISCSI_PULLED = 2, ISCSI_CALL = 4 };

/* Once the socket is connected. 0 or bk_err(). */
int iscsi_brake_init(struct iscsi_brake *k, int sock);
/* Twice is fine, as is without init. */
void iscsi_brake_exit(struct iscsi_brake *k);

/* A call that reads began after that. */
static inline uint32_t iscsi_brake_begin(struct iscsi_brake *k)
{
	/* In this order: the thread looks at the call after it has said that it sleeps. */
	uint32_t call = __atomic_add_fetch(&k->call, ISCSI_READS, __ATOMIC_SEQ_CST);

	if (unlikely(!__atomic_load_n(&k->awake, __ATOMIC_SEQ_CST)))
		watcher_wake(&k->watcher);
	return call;
}

void iscsi_brake_release(struct iscsi_brake *k, uint32_t call);

/* It is over. Returns whether it took too long. */
static inline bool iscsi_brake_end(struct iscsi_brake *k, uint32_t call)
{
	if (likely(__atomic_compare_exchange_n(&k->call, &(uint32_t){ call },
					       call - ISCSI_READS + ISCSI_CALL, false,
					       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)))
		return false;
	iscsi_brake_release(k, call);
	return true;
}

#endif
