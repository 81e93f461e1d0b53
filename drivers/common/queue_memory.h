/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Memory of the library's own that the device reads and writes: the rings of queues and what
 * belongs to them.
 */
#ifndef BK_COMMON_QUEUE_MEMORY_H
#define BK_COMMON_QUEUE_MEMORY_H

#include "driver.h"

struct queue_memory {
	struct queue_memory *next; /* older */
	struct bk_region region;
	int fd;
};

/* As in struct bk_driver. */
typedef int queue_memory_map(struct blkio *b, struct bk_region *region, int fd, int64_t fd_offset);
typedef void queue_memory_unmap(struct blkio *b, const struct bk_region *region);

/*
 * Put at least len bytes, zeroed, in front of *list; 0 or bk_err(). If the newest already has as
 * many it is used again. An older one that is too small stays where it is until all are freed: the
 * device may still know addresses in it.
 */
int queue_memory_alloc(struct blkio *b, struct queue_memory **list, size_t len,
		       queue_memory_map *map);
void queue_memory_free(struct blkio *b, struct queue_memory **list, queue_memory_unmap *unmap);

#endif
