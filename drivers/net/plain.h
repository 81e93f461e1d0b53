/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The kernel's part of a stream's ring, where rings are not permitted: plain system calls carry out
 * what the stream puts there. The stream prepares entries and looks at completions as ever; they
 * lie in memory of the library's own, so that a stream on a real ring pays nothing. Knows the
 * operations of streams only.
 */
#ifndef BK_NET_PLAIN_H
#define BK_NET_PLAIN_H

#include "uring/ring.h"

#define NET_RING_ENTRIES 4 /* one send, one receive and one timer at a time */

struct net_plain;

/*
 * Make *u such a ring. Its entries tell the operations apart by user_data, below NET_RING_ENTRIES.
 * completion_fd: -1 for a queue that polls. 0 or bk_err().
 */
int net_plain_init(struct net_plain **plain, struct uring *u, int completion_fd);
/* What is in flight is forgotten. NULL is fine. */
void net_plain_exit(struct net_plain *p);

/* What uring_enter() does. need: wait for one completion. */
int net_plain_enter(struct net_plain *p, bool need, const struct bk_wait *w);

/* Let the completion fd fire when what is in flight can go on, or stop. */
void net_plain_notify(struct net_plain *p, bool on);

#endif
