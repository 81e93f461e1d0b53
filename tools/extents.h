/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Which ranges of a target are known to read as zeroes, so that they need not be read: what the
 * target answers to block status requests. Of what nobody knows anything about, all is data. The
 * answers are used in order, from offset 0 on.
 */
#ifndef EXTENTS_H
#define EXTENTS_H

#include "blkio.h"

/* Shorter holes are data: reading them is cheaper than telling them apart. */
#define EXTENT_ZERO_MIN 65536

#define EXTENTS_LIST 1024 /* of one answer */

struct extent {
	uint64_t start, end;
	bool zero;
};

struct extents {
	struct blkioq *q; /* NULL: all is data */
	uint64_t size;
	uint64_t align;	    /* zero ranges begin and end at multiples of it */
	uint64_t zero_from; /* from here on all is zero, without asking */
	uint64_t known;	    /* everything before this offset was answered */
	bool asking;	    /* the answer is on its way */
	unsigned n, at;	    /* of the list: how many, and the first that is not used up */
	struct blkio_extent list[EXTENTS_LIST];
	struct extent last;
};

/* q: of the target; NULL: do not ask. size: how much of it matters, bytes. */
void extents_init(struct extents *e, struct blkioq *q, uint64_t size, uint64_t align);

/* Is it known what is at this offset? Otherwise ask. */
bool extents_known(const struct extents *e, uint64_t at);

/* Queue a request, whose user_data is e; then take its completion. */
void extents_ask(struct extents *e, uint64_t at);
void extents_answered(struct extents *e, const struct blkio_completion *c);

/*
 * The extent that holds offset at (known, and below size), from there on. It may end early, at a
 * multiple of align or at size; the next may be of the same kind.
 */
struct extent extents_at(struct extents *e, uint64_t at);

/* How many bytes of it are data. Asks, and waits: nothing may be outstanding. */
uint64_t extents_data(struct extents *e);

#endif
