/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a device must hold: for each block, the number of the write that was the last. Every word of
 * a block depends on the seed, the block and that number, so that data which are stale, torn, or
 * somebody else's are found out.
 */
#ifndef STRESS_SHADOW_H
#define STRESS_SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SHADOW_ZEROES = 0,
	SHADOW_ANYTHING = -1, /* discarded */
};

struct shadow {
	uint32_t seed;
	size_t block; /* bytes */
	size_t nr;
	uint32_t *version; /* of each block */
	bool *busy;	   /* a request is under way */
};

void shadow_init(struct shadow *s, uint32_t seed, size_t block, size_t nr);
void shadow_free(struct shadow *s);
/* n blocks from first on, as the write with this number has them. */
void shadow_fill(const struct shadow *s, size_t first, size_t n, uint32_t version, void *buf);
/* Fails the case if these are not the blocks. Returns how many bytes were compared. */
size_t shadow_check(const struct shadow *s, size_t first, size_t n, const void *buf);
/* From now on they are of this version. */
void shadow_set(struct shadow *s, size_t first, size_t n, uint32_t version);
void shadow_set_busy(struct shadow *s, size_t first, size_t n, bool busy);

#endif
