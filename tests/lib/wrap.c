/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Calls of the test programs that the linker leads here (--wrap): blkio_start() maps the arena, and
 * free() leaves its buffers alone.
 */
#include "arena.h"
#include "test.h"

/* Visible: with sanitizers the linker believes that libraries refer to them. */
#pragma GCC visibility push(default)

int __real_blkio_start(struct blkio *b);
int __wrap_blkio_start(struct blkio *b);
void __real_free(void *p);
void __wrap_free(void *p);

int __wrap_blkio_start(struct blkio *b)
{
	bool is_started = blkio_get_queue(b, 0) || blkio_get_poll_queue(b, 0);
	int ret = __real_blkio_start(b);

	if (!ret && !is_started)
		arena_map(b);
	return ret;
}

void __wrap_free(void *p)
{
	if (!arena_owns(p))
		__real_free(p);
}
