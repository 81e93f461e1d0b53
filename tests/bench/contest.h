/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The same loop over several libraries, in one process and in turns, so that what disturbs the
 * machine disturbs all: what bench_ring, bench_nbd and bench_iscsi share.
 */
#ifndef BENCH_CONTEST_H
#define BENCH_CONTEST_H

#include <stdbool.h>
#include <stdint.h>

#include "library.h"

struct workload {
	const char *path; /* a file, the socket of a server, or a URI */
	uint64_t size;	  /* bytes */
	unsigned len, depth;
};

/* A property that is not left at its default. */
struct bool_prop {
	const char *name;
	bool value;
};

struct contender {
	const char *name;
	bool best; /* everything that makes it faster, against the defaults */
	void *(*open)(const struct workload *w, const struct contender *c);
	/* Read `requests` blocks at pseudo-random places, depth in flight. */
	void (*run)(void *state, const struct workload *w, unsigned requests);
	void (*close)(void *state);
	/* libblkio only */
	const struct library *library; /* without functions: it takes no part */
	const char *driver;
	const char *place; /* the property that names it; NULL: "path" */
	struct bool_prop before_connect[2], after_connect[2];
};

/*
 * For main(): the workload that the command line PATH LEN DEPTH REQUESTS ROUNDS [CONTENDER] asks
 * for, whose size the caller fills in; then its rounds, with a line of JSON for each contender in
 * each. Only the contender that is named, or all.
 */
struct contest {
	struct workload w;
	unsigned requests, rounds;
	const char *only;
};
struct contest contest_parse(int argc, char **argv);
void contest_run(const struct contest *c, const struct contender *contenders, unsigned n);

void *liburing_open(const struct workload *w, const struct contender *c);
void liburing_run(void *state, const struct workload *w, unsigned requests);
void liburing_close(void *state);

void *libnbd_open(const struct workload *w, const struct contender *c);
void libnbd_run(void *state, const struct workload *w, unsigned requests);
void libnbd_close(void *state);

void *libiscsi_open(const struct workload *w, const struct contender *c);
void libiscsi_run(void *state, const struct workload *w, unsigned requests);
void libiscsi_close(void *state);

/* One at a time, whatever the depth. */
void *preadv_open(const struct workload *w, const struct contender *c);
void preadv_run(void *state, const struct workload *w, unsigned requests);
void preadv_close(void *state);

void *libblkio_open(const struct workload *w, const struct contender *c);
void libblkio_run(void *state, const struct workload *w, unsigned requests);
void libblkio_close(void *state);
/* Of the device at path, in bytes. */
uint64_t libblkio_size(const struct contender *c, const char *path);

/* Cheap, and the same sequence for every contender. */
static inline uint64_t next_offset(uint32_t *seed, const struct workload *w)
{
	*seed = *seed * 1664525u + 1013904223u;
	return ((uint64_t)*seed * (w->size / w->len) >> 32) * w->len;
}

#endif
