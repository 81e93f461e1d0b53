/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests that stay in flight: the device has them and does not answer until it is let go. On
 * tmpfs, writes from memory that is not there yet; of a vhost-user server, reads while it is
 * stopped; of a slow device, reads, which take their time whatever the test does.
 */
#ifndef TEST_HOLD_H
#define TEST_HOLD_H

#include "matrix.h"

struct hold;

/* For targets with T_HOLDS. Skips where the kernel does not let this process hold requests. */
struct hold *hold_new(struct setting *s);
/* One more request on the queue, of its own memory; submitted. */
void hold_request(struct hold *h, struct blkioq *q, void *user_data);
/* A new one, and an instance that is started, with so many requests in flight on each queue. */
struct hold *hold_start(struct setting *s, int per_queue);
/* Let the device go: now, or after so many ms, which is when it happens the earliest. */
void hold_release(struct hold *h);
unsigned hold_release_after(struct hold *h, unsigned ms);
/*
 * The memory of the requests is the caller's again: use it, and give the device some time in which
 * it must not touch it.
 */
void hold_check_untouched(struct hold *h);
/* When the instance is gone. */
void hold_free(struct hold *h);

#endif
