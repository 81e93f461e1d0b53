/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Memory regions: map and unmap, allocation. No lock is held while the driver maps or unmaps, which
 * may take long. Threads that map at the same time, which they should not, take turns.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core.h"

#define HUGE_PAGE_SIZE (2ULL << 20)

struct allocation {
	void *addr;
	size_t len, mapped_len;
	int fd;
};

struct bk_mem {
	pthread_mutex_t lock; /* of everything here and of writing the region table */
	pthread_cond_t idle;  /* nobody maps */
	bool busy;	      /* a thread maps or unmaps; it may release the lock meanwhile */
	uint64_t last_id;
	struct allocation *allocs;
	size_t nr_allocs;
};

/* With the lock held from take_turn() to end_turn(), but for the time that the driver takes. */
static void take_turn(struct bk_mem *m)
{
	pthread_mutex_lock(&m->lock);
	while (m->busy)
		pthread_cond_wait(&m->idle, &m->lock);
	m->busy = true;
}

static void end_turn(struct bk_mem *m)
{
	m->busy = false;
	pthread_cond_signal(&m->idle);
	pthread_mutex_unlock(&m->lock);
}

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
		return bk_err(EINVAL, "memory region %p, %zu bytes, is not a valid address range",
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
		return bk_err(
		    EINVAL, "memory region %p, %zu bytes, overlaps a mapped region: %p, %llu bytes",
		    region->addr, region->len, (void *)overlap->addr,
		    (unsigned long long)overlap->len);
	if (bk_region_count(b) - !!b->own.len >= b->lim.max_mem_regions)
		return bk_err(ENOSPC, "cannot map another memory region: max-mem-regions is %llu",
			      (unsigned long long)b->lim.max_mem_regions);
	return 0;
}

static int check_guest(const struct blkio *b, const struct bk_region *r)
{
	uint64_t align = b->lim.mem_region_alignment;
	const struct bk_region *other;

	if (!b->num_vrings)
		return 0;
	if (r->guest && (r->iova % align || r->len > UINT64_MAX - r->iova))
		return bk_err(EINVAL,
			      "guest address %#llx of a memory region of %llu bytes is not a valid "
			      "range, or not a multiple of mem-region-alignment (%llu)",
			      (unsigned long long)r->iova, (unsigned long long)r->len,
			      (unsigned long long)align);
	other = bk_region_at_iova(b, r->iova, r->len);
	if (other)
		return bk_err(EINVAL,
			      "the device would know memory region %p, %llu bytes, by addresses "
			      "(from %#llx) of the region at %p, %llu bytes",
			      (void *)r->addr, (unsigned long long)r->len,
			      (unsigned long long)r->iova, (void *)other->addr,
			      (unsigned long long)other->len);
	return 0;
}

static int map_region(struct blkio *b, const struct blkio_mem_region *region)
{
	bool guest = b->num_vrings && region->flags & BLKIO_MEM_GUEST;
	struct bk_region r = {
		.addr = (uintptr_t)region->addr,
		.len = region->len,
		.iova = guest ? region->iova : (uintptr_t)region->addr,
		.id = ++b->core.mem->last_id,
		.guest = guest,
	};
	int ret = check_region(b, region);

	if (!ret)
		ret = check_room(b, region);
	if (!ret)
		ret = check_guest(b, &r);
	if (!ret)
		ret = bk_region_reserve(b, &r.slot);
	if (ret < 0)
		return ret;
	if (b->drv->map) {
		pthread_mutex_unlock(&b->core.mem->lock);
		ret = b->drv->map(b, &r, region->fd, region->fd_offset);
		pthread_mutex_lock(&b->core.mem->lock);
		if (ret < 0) {
			bk_region_release(b, r.slot);
			return ret;
		}
	}
	bk_region_insert(b, &r);
	bk_debug("instance %p: mapped %llu bytes at %p, IOVA %#llx", (void *)b,
		 (unsigned long long)r.len, (void *)r.addr, (unsigned long long)r.iova);
	return 0;
}

static int map_call(struct blkio *b, const union bk_call_args *args)
{
	int ret;

	if (b->state != BK_STARTED)
		return bk_err(b->state == BK_CREATED ? ENODEV : EBUSY,
			      "cannot map a memory region: the instance is not started");
	take_turn(b->core.mem);
	ret = map_region(b, &args->region);
	end_turn(b->core.mem);
	return ret;
}

int blkio_map_mem_region(struct blkio *b, const struct blkio_mem_region *region)
{
	union bk_call_args args;

	if (!b || !region)
		return bk_err(EINVAL, "%s must not be NULL", b ? "region" : "b");
	args.region = *region;
	return bk_control_call(b, map_call, &args);
}

static void erase(struct blkio *b, struct bk_region r)
{
	bk_debug("instance %p: unmap %llu bytes at %p", (void *)b, (unsigned long long)r.len,
		 (void *)r.addr);
	bk_region_erase(b, &r);
	if (!b->drv->unmap)
		return;
	pthread_mutex_unlock(&b->core.mem->lock);
	b->drv->unmap(b, &r);
	pthread_mutex_lock(&b->core.mem->lock);
}

static int unmap_region(struct blkio *b, const struct blkio_mem_region *region)
{
	const struct bk_region *r = bk_region_neighbours(b, (uintptr_t)region->addr).below;
	int ret;

	if (!r || r->addr != (uintptr_t)region->addr || r->len != region->len || r->id == b->own.id)
		return 0;
	ret = bk_check_unmap(b, r);
	if (!ret)
		erase(b, *r);
	return ret;
}

static int unmap_call(struct blkio *b, const union bk_call_args *args)
{
	int ret;

	take_turn(b->core.mem);
	ret = unmap_region(b, &args->region);
	end_turn(b->core.mem);
	return ret;
}

void blkio_unmap_mem_region(struct blkio *b, const struct blkio_mem_region *region)
{
	if (b && region)
		bk_control_call_after(b, unmap_call, &(union bk_call_args){ .region = *region });
}

int blkio_map_mem_region_async(struct blkio *b, const struct blkio_mem_region *region)
{
	union bk_call_args args;

	if (!b || !region)
		return bk_err(EINVAL, "%s must not be NULL", b ? "region" : "b");
	args.region = *region;
	return bk_control_start(b, map_call, &args);
}

int blkio_unmap_mem_region_async(struct blkio *b, const struct blkio_mem_region *region)
{
	union bk_call_args args;

	if (!b || !region)
		return bk_err(EINVAL, "%s must not be NULL", b ? "region" : "b");
	args.region = *region;
	return bk_control_start(b, unmap_call, &args);
}

/* ---- Allocation --------------------------------------------------------------------------- */

int bk_set_file_size(int fd, size_t len)
{
	static const struct timespec at_once;
	sigset_t set, pending, before;
	int ret, err;

	sigemptyset(&set);
	sigaddset(&set, SIGXFSZ);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &set, &before);
	ret = ftruncate(fd, (off_t)len);
	err = errno;
	/* Take back the signal that the call has sent to this thread, but none from before. */
	if (ret < 0 && err == EFBIG && !sigismember(&pending, SIGXFSZ))
		sigtimedwait(&set, NULL, &at_once);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = err;
	return ret;
}

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
	if (!bk_set_file_size(fd, *len) && !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK))
		return fd;
fail:
	ret = bk_memory_err(b, *len);
	if (fd >= 0)
		close(fd);
	return ret;
}

int bk_memory_err(const struct blkio *b, size_t len)
{
	bool too_large = errno == EFBIG;
	int err = errno == EINVAL || too_large ? ENOMEM : errno;

	return bk_err(err, "cannot allocate %zu bytes of memory: %s%s", len, strerror(err),
		      too_large ? "; RLIMIT_FSIZE also limits memory that has a descriptor"
		      : b->lim.needs_huge_pages
			  ? "; this needs huge pages: see /proc/sys/vm/nr_hugepages"
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

	allocs = reallocarray(b->core.mem->allocs, b->core.mem->nr_allocs + 1, sizeof(*allocs));
	if (!allocs)
		return bk_err(ENOMEM, "out of memory");
	b->core.mem->allocs = allocs;
	ret = alloc_pages(b, &a);
	if (ret < 0)
		return ret;
	allocs[b->core.mem->nr_allocs++] = a;

	*region = (struct blkio_mem_region){ .addr = a.addr, .len = len, .fd = a.fd };
	return 0;
}

int blkio_alloc_mem_region(struct blkio *b, struct blkio_mem_region *region, size_t len)
{
	int ret;

	if (!b || !region)
		return bk_err(EINVAL, "%s must not be NULL", b ? "region" : "b");
	if (bk_control_check(b) < 0)
		return -EBUSY;
	if (b->state == BK_CREATED)
		return bk_err(ENODEV, "cannot allocate a memory region before blkio_connect()");
	pthread_mutex_lock(&b->core.mem->lock);
	ret = alloc_region(b, region, len);
	pthread_mutex_unlock(&b->core.mem->lock);
	return ret;
}

static void free_allocation(struct allocation *a)
{
	munmap(a->addr, a->mapped_len);
	close(a->fd);
}

static int free_region(struct blkio *b, const struct blkio_mem_region *region)
{
	struct bk_mem *m = b->core.mem;
	int ret;

	for (size_t i = 0; i < m->nr_allocs; i++) {
		if (m->allocs[i].addr != region->addr || m->allocs[i].len != region->len)
			continue;
		ret = unmap_region(b, region);
		if (ret < 0)
			return ret;
		free_allocation(&m->allocs[i]);
		m->allocs[i] = m->allocs[--m->nr_allocs];
		break;
	}
	return 0;
}

static int free_call(struct blkio *b, const union bk_call_args *args)
{
	int ret;

	take_turn(b->core.mem);
	ret = free_region(b, &args->region);
	end_turn(b->core.mem);
	return ret;
}

void blkio_free_mem_region(struct blkio *b, const struct blkio_mem_region *region)
{
	if (b && region)
		bk_control_call_after(b, free_call, &(union bk_call_args){ .region = *region });
}

/* ---- Lifecycle ---------------------------------------------------------------------------- */

int bk_mem_init(struct blkio *b)
{
	int ret;

	b->core.mem = calloc(1, sizeof(*b->core.mem));
	if (!b->core.mem)
		return bk_err(ENOMEM, "out of memory");
	ret = bk_regions_init(b);
	if (ret < 0) {
		free(b->core.mem);
		return ret;
	}
	pthread_mutex_init(&b->core.mem->lock, NULL);
	pthread_cond_init(&b->core.mem->idle, NULL);
	return 0;
}

void bk_mem_exit(struct blkio *b)
{
	struct bk_mem *m = b->core.mem;
	const struct bk_region *last;

	take_turn(m);
	while ((last = bk_region_neighbours(b, UINTPTR_MAX).below))
		erase(b, *last);
	end_turn(m);
	bk_regions_exit(b);
	/* Without unmap(), what is in flight reaches memory by our addresses. */
	if (b->stuck && !b->drv->unmap)
		return;
	for (size_t i = 0; i < m->nr_allocs; i++)
		free_allocation(&m->allocs[i]);
	free(m->allocs);
	pthread_cond_destroy(&m->idle);
	pthread_mutex_destroy(&m->lock);
	free(m);
	b->core.mem = NULL;
}
