/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Moves blocks between two started targets, many at a time: copies them, or compares them. Sleeps
 * on the completion fds of both. One thread does so, or several, each with a queue of both targets.
 */
#ifndef PUMP_H
#define PUMP_H

#include "extents.h"
#include "place.h"
#include "progress.h"
#include "target.h"

/* One of the two targets. */
struct pump_end {
	struct target *t;
	const struct place *place;
	struct extents extents; /* what is known to be zero */
};

/* What to do. */
struct pump_plan {
	struct pump_end src, dst;
	uint64_t size;	     /* bytes from offset 0 on */
	size_t block;	     /* bytes per read; a multiple of 4096 */
	unsigned depth;	     /* blocks under way, in all lanes; at least as many as lanes */
	unsigned lanes;	     /* threads; 1 with skip_errors: which block was read last matters */
	bool skip_errors;    /* what a medium has lost is zeroes in the copy */
	bool compare;	     /* rather than copy */
	bool find_zeroes;    /* write-zeroes requests in place of zeroes */
	uint64_t max_zeroes; /* bytes of such a request */
	uint64_t zero_align; /* they begin and end at multiples of it */
};

/* How it went. */
struct pump_result {
	uint64_t done;	 /* everything before this offset is copied, or equal */
	uint64_t zeroes; /* bytes that were found to be zero */
	/* skip_errors: what could not be read, in order, and that there is data in between */
	struct pump_range {
		uint64_t start, len;
	} * unreadable;
	unsigned nr_unreadable;
	/* compare: the first byte that is not equal; else UINT64_MAX */
	uint64_t differs_at;
	/* The failed request of the lowest offset; what NULL: none. */
	struct pump_failure {
		const char *what; /* "read", ... */
		const struct target *target;
		uint64_t start, len;
		int error; /* positive errno; 0: msg says it all */
		const char *msg;
	} failure;
};

/*
 * Returns early on a failure, a difference or tool_stop_signal; nothing is in flight then. The
 * caller frees result->unreadable.
 */
void pump_run(struct pump_plan *plan, struct pump_result *result, struct progress *progress);

#endif
