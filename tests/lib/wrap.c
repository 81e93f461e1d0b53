/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What makes rings, as the test programs call it: the linker leads them here (--wrap), so that
 * every instance has the arena mapped, and cases are skipped where there can be no ring.
 */
#include "arena.h"
#include "sys.h"
#include "test.h"

int __real_blkio_start(struct blkio *b);
int __wrap_blkio_start(struct blkio *b);

int __wrap_blkio_start(struct blkio *b)
{
	bool is_started = blkio_get_queue(b, 0) || blkio_get_poll_queue(b, 0);
	int ret = __real_blkio_start(b);

	need_ring(ret);
	if (!ret && !is_started)
		arena_map(b);
	return ret;
}

int __real_blkio_add_queue(struct blkio *b);
int __wrap_blkio_add_queue(struct blkio *b);

int __wrap_blkio_add_queue(struct blkio *b)
{
	int ret = __real_blkio_add_queue(b);

	need_ring(ret);
	return ret;
}
