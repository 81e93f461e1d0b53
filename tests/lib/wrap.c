/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * blkio_start(), as the test programs call it: the linker leads them here (--wrap), so that every
 * instance has the arena mapped.
 */
#include "arena.h"
#include "test.h"

int __real_blkio_start(struct blkio *b);
int __wrap_blkio_start(struct blkio *b);

int __wrap_blkio_start(struct blkio *b)
{
	bool is_started = blkio_get_queue(b, 0) || blkio_get_poll_queue(b, 0);
	int ret = __real_blkio_start(b);

	if (!ret && !is_started)
		arena_map(b);
	return ret;
}
