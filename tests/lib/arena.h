/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Buffers for devices that only reach mapped memory regions: all come from one region, which every
 * instance gets when it starts (wrap.c), so that test cases need not care.
 */
#ifndef TEST_ARENA_H
#define TEST_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "blkio.h"

/* From now on buffer() takes from the arena. */
void arena_new(void);
/* Page-aligned; NULL when there is no arena. Never used again: an old pointer stays harmless. */
void *arena_alloc(size_t len);
bool arena_owns(const void *p);
/* Map it, where b needs it and has just been started. */
void arena_map(struct blkio *b);

#endif
