/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests that complete when the test says so: writes from memory whose page faults wait for
 * the test (userfaultfd). Only for targets with T_OFFLOADS, where the fault stops a kernel thread
 * and not the caller.
 */
#ifndef TEST_SLOW_H
#define TEST_SLOW_H

#include <stddef.h>

struct slow;

/* Memory that blocks who touches it. Skips where the kernel does not let this process do that. */
struct slow *slow_new(size_t len);
void *slow_buffer(struct slow *s);
/* Until somebody waits for it: a request that was only submitted can still be cancelled. */
void slow_await(struct slow *s);
void slow_release(struct slow *s); /* now, or */
/* The same, and who waited finds this byte everywhere. */
void slow_fill(struct slow *s, unsigned char byte);
void slow_release_after(struct slow *s, unsigned ms);
void slow_free(struct slow *s);

#endif
