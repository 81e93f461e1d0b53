/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Memory regions: map and unmap, allocation, and what the library itself needs, such as the zero
 * buffer of the write-zeroes fallback. The lock is there for the latter: a queue makes it while
 * another thread may be mapping.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core.h"

#define HUGE_PAGE_SIZE (2ULL << 20)
#define ZEROES_SIZE    (64U << 10)

struct allocation {
	void *addr;
	size_t len, mapped_len;
	int fd;
};

struct bk_mem {
	pthread_mutex_t lock; /* of everything here and of writing the region table */
	uint64_t last_id;
	struct blkio_mem_region zeroes;
	struct allocation *allocs;
	size_t nr_allocs;
};

/* ---- Map and unmap ------------------------------------------------------------------------ */

static int check_region(const struct blkio *b, const struct blkio_mem_region *region)
{
	uint64_t align = b->lim.mem_region_alignment;
	uintptr_t addr = (uintptr_t)region->addr;

	if (!region->len)
		return bk_err(EINVAL, "memory region is empty: len is 0");
	if (addr % align || region->len % align)
		return bk_err(EINVAL,
			      "memory region %p, %zu bytes, is not a multiple of "
			      "mem-region-alignment (%llu)",
			      region->addr, region->len, (unsigned long long)align);
	/* Where mapping is a formality, fio's own engine maps NULL for jobs that only trim. */
	if ((!addr && b->lim.needs_mem_regions) || region->len > UINTPTR_MAX - addr)
		return bk_err(EINVAL, "memory region %p, %zu bytes, is no address range",
			      region->addr, region->len);
	if (b->lim.needs_mem_region_fd && (region->fd < 0 || region->fd_offset < 0))
		return bk_err(EINVAL,
			      "driver %s needs a file descriptor for memory regions, got "
			      "fd %d, fd_offset %lld",
			      b->drv->name, region->fd, (long long)region->fd_offset);
	return 0;
}

static int check_room(const struct blkio *b, const struct blkio_mem_region *region)
{
	uintptr_t addr = (uintptr_t)region->addr;
	struct bk_region_pair near = bk_region_neighbours(b, addr);
	const struct bk_region *overlap = NULL;

	if (near.below && addr - near.below->addr < near.below->len)
		overlap = near.below;
	else if (near.above && near.above->addr - addr < region->len)
		overlap = near.above;
	if (overlap)
		return bk_err(EINVAL,
			      "memory region %p, %zu bytes, overlaps one that is mapped: "
			      "%p, %llu bytes",
			      region->addr, region->len, (void *)overlap->addr,
			      (unsigned long long)overlap->len);
	if (bk_region_count(b) >= b->lim.max_mem_regions)
		return bk_err(ENOSPC, "cannot map another memory region: max-mem-regions is %llu",
			      (unsigned long long)b->lim.max_mem_regions);
	return 0;
}

static int map_region(struct blkio *b, const struct blkio_mem_region *region)
{
	struct bk_region r = {
		.addr = (uintptr_t)region->addr,
		.len = region->len,
		.iova = (uintptr_t)region->addr,
		.id = ++b->mem->last_id,
	};
	int ret = check_region(b, region);

	if (!ret)
		ret = check_room(b, region);
	if (!ret)
		ret = bk_region_reserve(b, &r.slot);
	if (ret < 0)
		return ret;
	if (b->drv->map) {
		ret = b->drv->map(b, &r, region->fd, region->fd_offset);
		if (ret < 0) {
			bk_region_release(b, r.slot);
			return ret;
		}
	}
	bk_region_insert(b, &r);
	return 0;
}

int blkio_map_mem_region(struct blkio *b, const struct blkio_mem_region *region)
{
	int ret;

	if (!b || !region)
		return bk_err(EINVAL, "%s must not be NULL", b ? "region" : "b");
	if (b->state != BK_STARTED)
		return bk_err(b->state == BK_CREATED ? ENODEV : EBUSY,
			      "cannot map a memory region: the instance is not started");
	pthread_mutex_lock(&b->mem->lock);
	ret = map_region(b, region);
	pthread_mutex_unlock(&b->mem->lock);
	return ret;
}

static void erase(struct blkio *b, struct bk_region r)
{
	bk_region_erase(b, &r);
	if (b->drv->unmap)
		b->drv->unmap(b, &r);
}

static void unmap_region(struct blkio *b, const struct blkio_mem_region *region)
{
	const struct bk_region *r = bk_region_neighbours(b, (uintptr_t)region->addr).below;

	if (r && r->addr == (uintptr_t)region->addr && r->len == region->len)
		erase(b, *r);
}

void blkio_unmap_mem_region(struct blkio *b, const struct blkio_mem_region *region)
{
	if (!b || !region)
		return;
	pthread_mutex_lock(&b->mem->lock);
	unmap_region(b, region);
	pthread_mutex_unlock(&b->mem->lock);
}

/* ---- Allocation --------------------------------------------------------------------------- */

int bk_memory_fd(const struct blkio *b, size_t *len)
{
	unsigned huge = b->lim.needs_huge_pages ? MFD_HUGETLB : 0;
	int fd = memfd_create("libblkio", MFD_CLOEXEC | MFD_ALLOW_SEALING | huge);
	struct statfs fs;
	int ret;

	/* The size of the page: of huge ones, the system's default. */
	if (fd < 0 || fstatfs(fd, &fs) < 0)
		goto fail;
	*len = round_up(*len, (size_t)fs.f_bsize);
	/* A server that got the descriptor could shorten the file, and our access be fatal. */
	if (!ftruncate(fd, *len) && !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK))
		return fd;
fail:
	ret = bk_memory_err(b, *len);
	if (fd >= 0)
		close(fd);
	return ret;
}

int bk_memory_err(const struct blkio *b, size_t len)
{
	int err = errno == EINVAL || errno == EFBIG ? ENOMEM : errno;

	return bk_err(err, "cannot allocate %zu bytes of memory: %s%s", len, strerror(err),
		      b->lim.needs_huge_pages
			  ? "; huge pages are needed: see /proc/sys/vm/nr_hugepages"
			  : "");
}

/* Map len bytes of fd so that huge pages can back them: aligned to their size. */
static void *map_aligned(const struct blkio *b, int fd, size_t len)
{
	size_t room = len + HUGE_PAGE_SIZE, before;
	char *base, *start;

	if (len < HUGE_PAGE_SIZE || b->lim.needs_huge_pages)
		return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	base = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return MAP_FAILED;
	start = (char *)round_up((uintptr_t)base, HUGE_PAGE_SIZE);
	before = start - base;
	if (mmap(start, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
		munmap(base, room);
		return MAP_FAILED;
	}
	if (before)
		munmap(base, before);
	if (room - before - len)
		munmap(start + len, room - before - len);
	madvise(start, len, MADV_HUGEPAGE);
	return start;
}

static int alloc_pages(const struct blkio *b, struct allocation *a)
{
	int ret;

	a->mapped_len = a->len;
	a->fd = bk_memory_fd(b, &a->mapped_len);
	if (a->fd < 0)
		return a->fd;
	a->addr = map_aligned(b, a->fd, a->mapped_len);
	if (a->addr != MAP_FAILED)
		return 0;
	ret = bk_memory_err(b, a->len);
	close(a->fd);
	return ret;
}

static int alloc_region(struct blkio *b, struct blkio_mem_region *region, size_t len)
{
	struct allocation *allocs, a = { .len = len };
	uint64_t align = b->lim.mem_region_alignment;
	int ret;

	if (!len || len % align)
		return bk_err(EINVAL,
			      "memory region length must be a positive multiple of "
			      "mem-region-alignment (%llu), got %zu",
			      (unsigned long long)align, len);
	if (len > INT64_MAX - 2 * HUGE_PAGE_SIZE)
		return bk_err(ENOMEM, "cannot allocate a memory region of %zu bytes", len);

	allocs = reallocarray(b->mem->allocs, b->mem->nr_allocs + 1, sizeof(*allocs));
	if (!allocs)
		return bk_err(ENOMEM, "out of memory");
	b->mem->allocs = allocs;
	ret = alloc_pages(b, &a);
	if (ret < 0)
		return ret;
	allocs[b->mem->nr_allocs++] = a;

	*region = (struct blkio_mem_region){ .addr = a.addr, .len = len, .fd = a.fd };
	return 0;
}

int blkio_alloc_mem_region(struct blkio *b, struct blkio_mem_region *region, size_t len)
{
	int ret;

	if (!b || !region)
		return bk_err(EINVAL, "%s must not be NULL", b ? "region" : "b");
	if (b->state == BK_CREATED)
		return bk_err(ENODEV, "cannot allocate a memory region before blkio_connect()");
	pthread_mutex_lock(&b->mem->lock);
	ret = alloc_region(b, region, len);
	pthread_mutex_unlock(&b->mem->lock);
	return ret;
}

static void free_allocation(struct allocation *a)
{
	munmap(a->addr, a->mapped_len);
	close(a->fd);
}

static void free_region(struct blkio *b, const struct blkio_mem_region *region)
{
	struct bk_mem *m = b->mem;

	for (size_t i = 0; i < m->nr_allocs; i++) {
		if (m->allocs[i].addr != region->addr || m->allocs[i].len != region->len)
			continue;
		unmap_region(b, region);
		free_allocation(&m->allocs[i]);
		m->allocs[i] = m->allocs[--m->nr_allocs];
		return;
	}
}

void blkio_free_mem_region(struct blkio *b, const struct blkio_mem_region *region)
{
	if (!b || !region)
		return;
	pthread_mutex_lock(&b->mem->lock);
	free_region(b, region);
	pthread_mutex_unlock(&b->mem->lock);
}

/* ---- The library's own -------------------------------------------------------------------- */

static int alloc_usable(struct blkio *b, struct blkio_mem_region *region, uint64_t len)
{
	int ret = alloc_region(b, region, len);

	if (!ret && b->lim.needs_mem_regions) {
		ret = map_region(b, region);
		if (ret < 0)
			free_region(b, region);
	}
	return ret;
}

int bk_mem_get(struct blkio *b, struct blkio_mem_region *region, uint64_t len)
{
	int ret;

	pthread_mutex_lock(&b->mem->lock);
	ret = alloc_usable(b, region, len);
	pthread_mutex_unlock(&b->mem->lock);
	return ret;
}

/* ---- Zero buffer -------------------------------------------------------------------------- */

static int make_zeroes(struct blkio *b)
{
	uint64_t align = max_u64(b->lim.mem_region_alignment, b->lim.request_alignment);
	struct blkio_mem_region region;
	int ret = alloc_usable(b, &region, round_up(ZEROES_SIZE, align));

	if (!ret)
		b->mem->zeroes = region;
	return ret;
}

int bk_mem_zeroes(struct blkio *b, void **buf, size_t *len)
{
	struct bk_mem *m = b->mem;
	int ret = 0;

	pthread_mutex_lock(&m->lock);
	if (!m->zeroes.addr)
		ret = make_zeroes(b);
	*buf = m->zeroes.addr;
	*len = m->zeroes.len;
	pthread_mutex_unlock(&m->lock);
	return ret;
}

/* ---- Lifecycle ---------------------------------------------------------------------------- */

int bk_mem_init(struct blkio *b)
{
	int ret;

	b->mem = calloc(1, sizeof(*b->mem));
	if (!b->mem)
		return bk_err(ENOMEM, "out of memory");
	ret = bk_regions_init(b);
	if (ret < 0) {
		free(b->mem);
		return ret;
	}
	pthread_mutex_init(&b->mem->lock, NULL);
	return 0;
}

void bk_mem_exit(struct blkio *b)
{
	struct bk_mem *m = b->mem;
	const struct bk_region *last;

	while ((last = bk_region_neighbours(b, UINTPTR_MAX).below))
		erase(b, *last);
	for (size_t i = 0; i < m->nr_allocs; i++)
		free_allocation(&m->allocs[i]);
	bk_regions_exit(b);
	free(m->allocs);
	pthread_mutex_destroy(&m->lock);
	free(m);
	b->mem = NULL;
}
