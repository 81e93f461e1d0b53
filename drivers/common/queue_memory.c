/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See queue_memory.h. */
#include "common/queue_memory.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int map_memory(struct blkio *b, struct queue_memory *m, size_t len, queue_memory_map *map)
{
	void *addr = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	int ret;

	if (addr == MAP_FAILED)
		return bk_memory_err(b, len);
	m->region =
	    (struct bk_region){ .addr = (uintptr_t)addr, .len = len, .iova = (uintptr_t)addr };
	ret = map(b, &m->region, m->fd, 0);
	if (ret < 0)
		munmap(addr, len);
	return ret;
}

int queue_memory_alloc(struct blkio *b, struct queue_memory **list, size_t len,
		       queue_memory_map *map)
{
	struct queue_memory *m;
	int ret;

	len = round_up(len, b->lim.mem_region_alignment);
	if (*list && (*list)->region.len >= len)
		return 0;
	m = calloc(1, sizeof(*m));
	if (!m)
		return bk_err(ENOMEM, "out of memory");
	ret = bk_memory_fd(b, &len);
	if (ret < 0)
		goto free_memory;
	m->fd = ret;
	ret = map_memory(b, m, len, map);
	if (ret < 0)
		goto close_fd;
	m->next = *list;
	*list = m;
	return 0;

close_fd:
	close(m->fd);
free_memory:
	free(m);
	return ret;
}

void queue_memory_free(struct blkio *b, struct queue_memory **list, queue_memory_unmap *unmap)
{
	while (*list) {
		struct queue_memory *m = *list;

		*list = m->next;
		unmap(b, &m->region);
		munmap((void *)m->region.addr, m->region.len);
		close(m->fd);
		free(m);
	}
}
