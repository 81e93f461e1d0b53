/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The ways in which an application can wait for completions, for tests that try all of them. */
#ifndef TEST_WAYS_H
#define TEST_WAYS_H

#include "blkio.h"

enum wait { WAIT_BLOCK, WAIT_EVENT, WAIT_POLL_QUEUE, WAIT_TIMEOUT, NR_WAITS };

/* Start with one queue, of the kind that this way takes, and return it. */
struct blkioq *start_by(struct blkio *b, enum wait wait);

/* Up to most completions; none only after an event. The test fails when none comes in seconds. */
int collect_by(struct blkioq *q, enum wait wait, struct blkio_completion *c, int most, int seconds);

/*
 * n completions, each with this result. user_data points to the count of a request's completions,
 * an unsigned char: each must be its first.
 */
void collect_each(struct blkioq *q, enum wait wait, int n, int want);

#endif
