/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A guest that keeps its ring busy: each slot has a block of its own, writes the next version to it
 * and reads it back. A request that is lost leaves the slot busy; one that is carried out again,
 * later, brings an old version back. One at a time.
 */
#ifndef TEST_GUEST_LOAD_H
#define TEST_GUEST_LOAD_H

#include <pthread.h>

#include "guest.h"

/* A thread that keeps so many requests in flight, on the first blocks of the device. */
pthread_t guest_load_begin(struct guest *g, unsigned depth);
/* End it, and wait for what is in flight. */
void guest_load_end(pthread_t thread);
/* End it; what is in flight need not complete. */
void guest_load_abandon(pthread_t thread);

#endif
