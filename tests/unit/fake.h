/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A driver in this process, for tests of the core: the only one in its registry, under the name
 * "fake". It records what the core asks for and answers what the test says.
 */
#ifndef UNIT_FAKE_H
#define UNIT_FAKE_H

#include <errno.h>

#include "core.h"
#include "test.h"

enum { FAKE_LOG = 4096, FAKE_CALLS = 256, FAKE_STARTED_SEGMENTS = 17 };

/* One operation, as submitted. */
struct fake_op {
	enum bk_op op;
	uint64_t start, len;
	int iovcnt;
	uint8_t flags;
	void *base; /* of the first segment */
};

extern struct fake {
	/* what the test says */
	struct bk_limits limits; /* after connect */
	bool can_add_queues;
	unsigned ring_size;	   /* how many requests it takes before it is full */
	unsigned finish_per_enter; /* how many it finishes each time; 0: all */
	/* the result of an operation, in the order of log; NULL: success */
	int64_t (*result)(const struct fake_op *op, struct bk_req *r, unsigned index);
	int enter_error;  /* returned, after having finished what it finishes */
	bool error_stays; /* not only the next time */
	int connect_error, start_error, map_error;
	void (*while_mapping)(struct blkio *b); /* in map() and unmap(), for what must not wait */
	enum bk_drained drain; /* what drain() says: once busy_for calls are over, BK_QUIET */
	unsigned busy_for;
	bool drain_finishes; /* drain() finishes what is in flight, as far as it goes */
	int failing_queue;   /* index whose queue_init fails; -1: none */
	/* what the core did */
	struct fake_op log[FAKE_LOG];
	unsigned nr_ops;
	char calls[FAKE_CALLS]; /* one letter per control call, in order */
	unsigned enters;
	unsigned drains;
	unsigned drain_takes_us;
	bool cancelled;
	int64_t cancelled_at;		   /* clock_ns() */
	void *memory;			   /* for the core's own */
	unsigned min_wait_nr, max_wait_nr; /* smallest and largest wait_nr other than 0 */
} fake;

/* Back to a device of 1 MiB that does everything, without limits. */
void fake_reset(void);

struct blkio *fake_connect(void);
struct blkio *fake_start(void);

/* log[i] must be this. */
void fake_check(unsigned i, enum bk_op op, uint64_t start, uint64_t len);

#endif
