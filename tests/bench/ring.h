/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The two sides of bench_ring: the same loop over liburing itself and over libblkio. */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "library.h"

struct workload {
	const char *path; /* a file, to be read from the page cache */
	uint64_t file_size;
	unsigned len, depth;
};

struct contender {
	const char *name;
	bool best; /* every flag and registration there is, against the defaults */
	const struct library *library;
	void *(*open)(const struct workload *w, const struct contender *c);
	/* Read `requests` blocks at pseudo-random places, depth in flight. */
	void (*run)(void *state, const struct workload *w, unsigned requests);
	void (*close)(void *state);
};

void *liburing_open(const struct workload *w, const struct contender *c);
void liburing_run(void *state, const struct workload *w, unsigned requests);
void liburing_close(void *state);

void *libblkio_open(const struct workload *w, const struct contender *c);
void libblkio_run(void *state, const struct workload *w, unsigned requests);
void libblkio_close(void *state);

/* Cheap, and the same sequence for every contender. */
static inline uint64_t next_offset(uint32_t *seed, const struct workload *w)
{
	*seed = *seed * 1664525u + 1013904223u;
	return ((uint64_t)*seed * (w->file_size / w->len) >> 32) * w->len;
}

#endif
