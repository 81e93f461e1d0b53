/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The load that blkio-bench puts on a started target: threads with a queue each. */
#ifndef LOAD_H
#define LOAD_H

#include <pthread.h>

#include "histogram.h"
#include "target.h"

enum load_wait {
	WAIT_BLOCK,   /* blkioq_do_io() sleeps */
	WAIT_EVENTFD, /* poll(2) on the completion fd */
	WAIT_LOOP,    /* blkioq_do_io() that never sleeps, again and again */
	WAIT_POLL,    /* poll queues: the kernel or the device is polled */
};

struct load_plan {
	struct target *t;
	unsigned threads, depth;
	int batch; /* completions to wait for at a time */
	uint64_t block;
	uint64_t blocks; /* that the device has, from offset 0 on */
	bool random;
	unsigned write_percent;
	enum load_wait wait;
	bool latency; /* take the time of each request */
	int64_t warm_up_ns, time_ns;
	uint64_t count; /* requests per thread; UINT64_MAX: until time is up */
	uint64_t seed;
};

/* What one thread did; measured after the warm-up. */
struct load_result {
	uint64_t ios[2]; /* reads, writes */
	struct histogram latency[2];
	int64_t begin_ns, end_ns;
	/* The first failed request; error 0: none. */
	struct {
		int error; /* positive errno; -1: blkioq_do_io() failed */
		bool is_write;
		uint64_t start;
		char msg[256];
	} failure;
};

struct load_worker {
	const struct load_plan *plan;
	unsigned index;
	pthread_t thread;
	struct load_result result;
	uint64_t done; /* for whoever watches */
	bool finished;
};

/* Start the threads; they end by themselves, or early on tool_stop_signal or a failure. */
struct load_worker *load_start(const struct load_plan *plan);
void load_join(struct load_worker *workers);

#endif
