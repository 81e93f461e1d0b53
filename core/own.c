/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Memory that the library itself needs for requests: zeroes to write, and bounce buffers. It is all
 * allocated when blkio_start() (or blkio_add_queue()) returns, so that queueing never allocates or
 * maps memory: the device may be slow to map it, or its server may not answer.
 *
 * If the device can only access mapped regions, the driver allocates this memory together with that
 * of its queues, and it does not count towards the regions that the caller may map. Otherwise the
 * zeroes are read-only pages, and bounce buffers belong to their queue.
 */
#include <sys/mman.h>

#include "core.h"

#define ZEROES_LEN (64U << 10)

static uint64_t zeroes_len(const struct bk_limits *l)
{
	return round_up(ZEROES_LEN, max_u64(l->buf_alignment, l->request_alignment));
}

int bk_own_prepare(struct blkio *b)
{
	uint64_t queues = (uint64_t)b->num_queues + b->num_poll_queues;

	b->core.zeroes_len = zeroes_len(&b->lim);
	b->own = (struct bk_region){ .id = UINT64_MAX };
	if (b->lim.needs_mem_regions)
		b->own.len = b->core.zeroes_len + queues * bk_bounce_len(b);
	return bk_bounce_check(b);
}

/* Pages that are never written take no memory: all are the kernel's one page of zeroes. */
static int map_zeroes(struct blkio *b)
{
	size_t align = b->lim.buf_alignment, len = b->core.zeroes_len + align;
	void *map = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		return bk_memory_err(b, len);
	b->core.zeroes_map = map;
	b->core.zeroes = (char *)round_up((uintptr_t)map, align);
	return 0;
}

int bk_own_start(struct blkio *b)
{
	int ret;

	if (!b->own.len)
		return map_zeroes(b);
	ret = bk_region_reserve(b, &b->own.slot);
	if (ret < 0)
		return ret;
	bk_region_insert(b, &b->own);
	b->core.zeroes = (char *)b->own.addr;
	return 0;
}

void bk_own_stop(struct blkio *b)
{
	if (!b->core.zeroes)
		return;
	if (b->own.len)
		bk_region_erase(b, &b->own);
	else if (!b->stuck) /* or requests may yet read it */
		munmap(b->core.zeroes_map, b->core.zeroes_len + b->lim.buf_alignment);
	b->core.zeroes = NULL;
}

char *bk_own_bounce(const struct blkioq *q)
{
	const struct blkio *b = q->b;
	uint64_t index = q->index + (q->is_poll ? b->num_queues : 0);

	return b->own.len ? b->core.zeroes + b->core.zeroes_len + index * bk_bounce_len(b) : NULL;
}
