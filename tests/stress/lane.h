/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A lane: a queue, the memory of its requests, and the requests. Each lane belongs to one thread;
 * each thread to one part of the device, so that no two requests in flight overlap.
 */
#ifndef STRESS_LANE_H
#define STRESS_LANE_H

#include <pthread.h>

#include "blkio.h"
#include "shadow.h"

enum { CHUNK = 128 << 10, DEPTH = 16, SEGMENTS = 8 };

enum kind { READ, WRITE, WRITE_ZEROES, DISCARD, FLUSH, NR_KINDS };

/* What was done, by all processes together: in memory that they share. */
struct totals {
	uint64_t done[NR_KINDS];
	uint64_t verified; /* bytes */
	uint64_t maps, queues, timeouts;
	uint64_t errors;
};

/* One run, on one device. */
struct stress {
	struct blkio *b;
	pthread_mutex_t control; /* of blkio_*() calls */
	struct shadow shadow;
	struct totals *totals;
	unsigned nr_threads;
	size_t buf_align;
	size_t max_discard, max_zeroes, max_io; /* bytes */
	int max_segments;
	bool may_remap, must_map, may_add_queues;
};

struct request {
	struct request *next; /* of the free ones */
	enum kind kind;
	uint32_t flags, version;
	size_t first, n; /* blocks */
	char *buf;
	size_t len;
	struct iovec iov[SEGMENTS];
	int nr_iov;
};

struct lane {
	struct stress *s;
	struct blkioq *q;
	int index;
	unsigned thread;
	unsigned inflight;
	uint64_t *random; /* the thread's */
	uint32_t *writes; /* the number of the thread's last write */
	struct request *free;
	struct request requests[DEPTH];
	struct blkio_mem_region memory;
	bool is_mapped;
	char *scratch;
};

uint64_t random_below(uint64_t *state, uint64_t n);

void lane_open(struct lane *l, int index);
void lane_close(struct lane *l);
/* Fill it with requests, and take some of what has finished. */
void lane_submit(struct lane *l);
void lane_collect(struct lane *l);
void lane_drain(struct lane *l);
/* Other memory, or another queue, while other lanes go on. Nothing may be in flight. */
void lane_change(struct lane *l);

#endif
