/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The calls of which control.c tests that they keep to their limit, and what they need. */
#ifndef PROMISES_CONTROL_CALLS_H
#define PROMISES_CONTROL_CALLS_H

#include "guest.h"

/* The state that a call is for. */
enum from { CREATED, CONNECTED, STARTED, RUNNING /* a vring */ };

/* What the call needs of the server; a call that ASKS cannot report that it got no answer. */
enum need { NOTHING, ASKS, FAILS };

extern const struct call {
	enum from from;
	int (*now)(struct blkio *b);
	int (*async)(struct blkio *b); /* NULL: there is none */
	enum need vhost_user, nbd;
} call_connects, call_starts, call_maps, call_unmaps, call_frees, call_adds, call_adds_poll,
    call_removes_poll, call_removes, call_starts_vring, call_stops_vring, call_gets_config,
    call_asks_capacity, call_drains;

/* What calls use: the second region is mapped. */
extern struct blkio_mem_region control_regions[2];
extern struct guest control_guest;
int control_start_vring(struct blkio *b);

#endif
