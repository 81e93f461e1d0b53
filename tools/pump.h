/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Moves blocks between two started targets, many at a time, in one thread: copies them, or compares
 * them. Sleeps on the completion fds of both.
 */
#ifndef PUMP_H
#define PUMP_H

#include "progress.h"
#include "target.h"

/* What to do. */
struct pump_plan {
	struct target *src, *dst;
	uint64_t size;	  /* bytes from offset 0 on */
	size_t block;	  /* bytes per read; a multiple of 4096 */
	unsigned depth;	  /* blocks under way */
	bool skip_errors; /* what cannot be read is zeroes in the copy, and a warning */
	bool compare;	  /* rather than copy */
	bool find_zeroes; /* write-zeroes requests in place of zeroes */
	bool skip_zeroes; /* dst has nothing but zeroes, so they need not be written at all */
};

/* How it went. */
struct pump_result {
	uint64_t done;	     /* everything before this offset is copied, or equal */
	uint64_t zeroes;     /* bytes that were found to be zero */
	uint64_t unreadable; /* bytes, with skip_errors */
	/* compare: the first byte that is not equal; else UINT64_MAX */
	uint64_t differs_at;
	/* The failed request of the lowest offset; what NULL: none. */
	struct pump_failure {
		const char *what; /* "read", ... */
		const struct target *target;
		uint64_t start, len;
		int error; /* positive errno */
		const char *msg;
	} failure;
};

/* Returns early on a failure, a difference or tool_stop_signal; nothing is in flight then. */
void pump_run(const struct pump_plan *plan, struct pump_result *result, struct progress *progress);

#endif
