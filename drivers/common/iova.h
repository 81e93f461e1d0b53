/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Which addresses a device uses for our memory. An IOMMU translates some ranges of addresses only;
 * within them an allocator hands out what is free. Pure bookkeeping: nothing is mapped here, and
 * the caller excludes other threads.
 */
#ifndef BK_COMMON_IOVA_H
#define BK_COMMON_IOVA_H

#include "util.h"

struct iova_range {
	uint64_t first, last; /* inclusive: a range may end with the last address there is */
};

struct iova_space {
	struct iova_range *usable, *taken; /* both sorted, without overlap */
	size_t nr_usable, nr_taken, room;
	uint64_t page; /* the granularity of mappings, a power of two */
};

/* 0, -EINVAL when the ranges hold no page, or -ENOMEM; then nothing is to be undone. */
int iova_init(struct iova_space *s, const struct iova_range *usable, size_t n, uint64_t page);
void iova_exit(struct iova_space *s);

/*
 * Allocate len bytes, a multiple of the page, for the memory at addr. Where possible *iova is as
 * far from a large page's boundary as addr, so that the IOMMU can use large pages. -ENOSPC,
 * -ENOMEM.
 */
int iova_alloc(struct iova_space *s, uintptr_t addr, uint64_t len, uint64_t *iova);
/* Free the range that starts at iova. */
void iova_free(struct iova_space *s, uint64_t iova);

#endif
