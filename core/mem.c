/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Memory regions: allocation, and the sorted table of what is mapped.
 *
 * Queues look addresses up while another thread maps and unmaps. Readers take no lock: the table is
 * under a sequence counter, odd while the (single) writer changes it, and readers whose counter
 * moved read again. Tables that were outgrown are kept until the instance ends, so a reader may
 * finish its pass over a stale one; they double, so together they are no larger than the last.
 * The lock is between writers: queues are among them when they need the zero buffer.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core.h"

#define HUGE_PAGE_SIZE (2ULL << 20)
#define TABLE_MIN      16
#define ZEROES_SIZE    (64U << 10)

struct table {
	struct table *outgrown;
	size_t capacity;
	struct bk_region r[];
};

struct allocation {
	void *addr;
	size_t len, mapped_len;
	int fd;
};

struct bk_mem {
	uint64_t seq; /* the table's generation */
	struct table *table;
	size_t n;
	/* below: writers only */
	pthread_mutex_t lock;
	struct blkio_mem_region zeroes;
	struct allocation *allocs;
	size_t nr_allocs;
	uint8_t *slot_used; /* one per slot */
	size_t nr_slots;
};

/* ---- Reading the table -------------------------------------------------------------------- */

#define READ_RELAXED(x)	    __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_RELAXED(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)

static uint64_t read_begin(const struct bk_mem *m)
{
	uint64_t seq;

	/* Acquire: the table is read after the counter. Odd only for the span of a memmove. */
	while ((seq = __atomic_load_n(&m->seq, __ATOMIC_ACQUIRE)) & 1)
		cpu_relax();
	return seq;
}

static bool read_retry(const struct bk_mem *m, uint64_t seq)
{
	/* Keeps the reads of the table before the second read of the counter. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return READ_RELAXED(m->seq) != seq;
}

static struct bk_region read_region(const struct bk_region *r)
{
	return (struct bk_region){
		.addr = READ_RELAXED(r->addr),
		.len = READ_RELAXED(r->len),
		.iova = READ_RELAXED(r->iova),
		.slot = READ_RELAXED(r->slot),
	};
}

static void write_region(struct bk_region *dst, const struct bk_region *src)
{
	WRITE_RELAXED(dst->addr, src->addr);
	WRITE_RELAXED(dst->len, src->len);
	WRITE_RELAXED(dst->iova, src->iova);
	WRITE_RELAXED(dst->slot, src->slot);
}

/* How many regions start at or below addr; the one that may hold addr is just before that. */
static size_t upper_bound(const struct table *t, size_t n, uintptr_t addr)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (READ_RELAXED(t->r[mid].addr) <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool holds(const struct bk_region *r, uintptr_t addr, size_t len)
{
	return addr - r->addr < r->len && len <= r->len - (addr - r->addr);
}

const struct bk_region *bk_region_find(struct blkioq *q, const void *ptr, size_t len)
{
	const struct bk_mem *m = q->b->mem;
	uintptr_t addr = (uintptr_t)ptr;
	struct bk_region found;
	uint64_t seq;

	if (likely(q->hit.generation == __atomic_load_n(&m->seq, __ATOMIC_ACQUIRE) &&
		   holds(&q->hit.region, addr, len)))
		return &q->hit.region;

	do {
		const struct table *t;
		size_t i;

		seq = read_begin(m);
		t = __atomic_load_n(&m->table, __ATOMIC_ACQUIRE);
		i = upper_bound(t, min_u64(READ_RELAXED(m->n), t->capacity), addr);
		found = i ? read_region(&t->r[i - 1]) : (struct bk_region){ 0 };
	} while (read_retry(m, seq));

	if (!holds(&found, addr, len))
		return NULL;
	q->hit.region = found;
	q->hit.generation = seq;
	return &q->hit.region;
}

uint64_t bk_region_generation(const struct blkio *b)
{
	return read_begin(b->mem);
}

size_t bk_region_snapshot(const struct blkio *b, struct bk_region *out, size_t max)
{
	const struct bk_mem *m = b->mem;
	uint64_t seq;
	size_t n;

	do {
		const struct table *t;

		seq = read_begin(m);
		t = __atomic_load_n(&m->table, __ATOMIC_ACQUIRE);
		n = min_u64(READ_RELAXED(m->n), t->capacity);
		for (size_t i = 0; i < n && i < max; i++)
			out[i] = read_region(&t->r[i]);
	} while (read_retry(m, seq));
	return n;
}

/* ---- Writing the table -------------------------------------------------------------------- */

static void write_begin(struct bk_mem *m)
{
	WRITE_RELAXED(m->seq, m->seq + 1);
	/* Readers that see any change below also see the odd counter. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void write_end(struct bk_mem *m)
{
	__atomic_store_n(&m->seq, m->seq + 1, __ATOMIC_RELEASE);
}

static struct table *table_new(size_t capacity)
{
	struct table *t = calloc(1, sizeof(*t) + capacity * sizeof(t->r[0]));

	if (t)
		t->capacity = capacity;
	return t;
}

/* Room for one more region and one more slot. Readers see no change. */
static int reserve(struct bk_mem *m)
{
	struct table *bigger;
	uint8_t *slots;

	if (m->n < m->table->capacity)
		return 0;
	slots = realloc(m->slot_used, 2 * m->table->capacity);
	if (!slots)
		return bk_err(ENOMEM, "out of memory");
	memset(slots + m->nr_slots, 0, 2 * m->table->capacity - m->nr_slots);
	m->slot_used = slots;
	m->nr_slots = 2 * m->table->capacity;

	bigger = table_new(2 * m->table->capacity);
	if (!bigger)
		return bk_err(ENOMEM, "out of memory");
	memcpy(bigger->r, m->table->r, m->n * sizeof(bigger->r[0]));
	bigger->outgrown = m->table;
	__atomic_store_n(&m->table, bigger, __ATOMIC_RELEASE);
	return 0;
}

static uint32_t take_slot(struct bk_mem *m)
{
	size_t slot = 0;

	while (m->slot_used[slot])
		slot++;
	m->slot_used[slot] = 1;
	return slot;
}

static void insert(struct bk_mem *m, const struct bk_region *region)
{
	struct bk_region *r = m->table->r;
	size_t at = upper_bound(m->table, m->n, region->addr);

	write_begin(m);
	for (size_t i = m->n; i > at; i--)
		write_region(&r[i], &r[i - 1]);
	write_region(&r[at], region);
	WRITE_RELAXED(m->n, m->n + 1);
	write_end(m);
}

static void erase(struct bk_mem *m, size_t at)
{
	struct bk_region *r = m->table->r;

	write_begin(m);
	for (size_t i = at + 1; i < m->n; i++)
		write_region(&r[i - 1], &r[i]);
	WRITE_RELAXED(m->n, m->n - 1);
	write_end(m);
}

/* ---- Map and unmap ------------------------------------------------------------------------ */

static int check_region(const struct blkio *b, const struct blkio_mem_region *region)
{
	uint64_t align = b->lim.mem_region_alignment;
	uintptr_t addr = (uintptr_t)region->addr;

	if (!region->len)
		return bk_err(EINVAL, "memory region is empty: len is 0");
	if (addr % align || region->len % align)
		return bk_err(EINVAL, "memory region %p, %zu bytes, is not a multiple of "
			      "mem-region-alignment (%llu)", region->addr, region->len,
			      (unsigned long long)align);
	if (!addr || region->len > UINTPTR_MAX - addr)
		return bk_err(EINVAL, "memory region %p, %zu bytes, is no address range",
			      region->addr, region->len);
	if (region->flags)
		return bk_err(EINVAL, "memory region flags must be 0, got %#x", region->flags);
	if (b->lim.needs_mem_region_fd && (region->fd < 0 || region->fd_offset < 0))
		return bk_err(EINVAL, "driver %s needs a file descriptor for memory regions, got "
			      "fd %d, fd_offset %lld", b->drv->name, region->fd,
			      (long long)region->fd_offset);
	return 0;
}

static int check_room(const struct blkio *b, const struct blkio_mem_region *region)
{
	const struct bk_mem *m = b->mem;
	uintptr_t addr = (uintptr_t)region->addr;
	size_t next = upper_bound(m->table, m->n, addr);
	const struct bk_region *r = m->table->r;

	if (next && addr - r[next - 1].addr < r[next - 1].len)
		return bk_err(EINVAL, "memory region %p, %zu bytes, overlaps one that is mapped "
			      "at %p", region->addr, region->len, (void *)r[next - 1].addr);
	if (next < m->n && r[next].addr - addr < region->len)
		return bk_err(EINVAL, "memory region %p, %zu bytes, overlaps one that is mapped "
			      "at %p", region->addr, region->len, (void *)r[next].addr);
	if (m->n >= b->lim.max_mem_regions)
		return bk_err(ENOSPC, "cannot map another memory region: max-mem-regions is %llu",
			      (unsigned long long)b->lim.max_mem_regions);
	return 0;
}

static int map_region(struct blkio *b, const struct blkio_mem_region *region)
{
	struct bk_region r;
	int ret;

	ret = check_region(b, region);
	if (!ret)
		ret = check_room(b, region);
	if (!ret)
		ret = reserve(b->mem);
	if (ret < 0)
		return ret;

	r = (struct bk_region){
		.addr = (uintptr_t)region->addr,
		.len = region->len,
		.iova = (uintptr_t)region->addr,
		.slot = take_slot(b->mem),
	};
	if (b->drv->map) {
		ret = b->drv->map(b, &r, region->fd, region->fd_offset);
		if (ret < 0) {
			b->mem->slot_used[r.slot] = 0;
			return ret;
		}
	}
	insert(b->mem, &r);
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

static void unmap_at(struct blkio *b, size_t at)
{
	struct bk_region r = b->mem->table->r[at];

	erase(b->mem, at);
	b->mem->slot_used[r.slot] = 0;
	if (b->drv->unmap)
		b->drv->unmap(b, &r);
}

static void unmap_region(struct blkio *b, const struct blkio_mem_region *region)
{
	uintptr_t addr = (uintptr_t)region->addr;
	size_t next = upper_bound(b->mem->table, b->mem->n, addr);
	const struct bk_region *r;

	if (!next)
		return;
	r = &b->mem->table->r[next - 1];
	if (r->addr == addr && r->len == region->len)
		unmap_at(b, next - 1);
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

/* Map len bytes of fd so that huge pages can back them: aligned to their size. */
static void *map_aligned(int fd, size_t len)
{
	size_t room = len + HUGE_PAGE_SIZE, before;
	char *base, *start;

	if (len < HUGE_PAGE_SIZE)
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

static int alloc_pages(struct allocation *a)
{
	int err;

	a->fd = memfd_create("libblkio", MFD_CLOEXEC);
	if (a->fd < 0)
		return bk_err(errno, "cannot create memory for a region: memfd_create: %m");
	if (ftruncate(a->fd, a->mapped_len) < 0)
		goto close_fd;
	a->addr = map_aligned(a->fd, a->mapped_len);
	if (a->addr == MAP_FAILED)
		goto close_fd;
	return 0;

close_fd:
	err = errno == EINVAL || errno == EFBIG ? ENOMEM : errno;
	close(a->fd);
	return bk_err(err, "cannot allocate a memory region of %zu bytes: %s", a->len,
		      strerror(err));
}

static int alloc_region(struct blkio *b, struct blkio_mem_region *region, size_t len)
{
	size_t page = sysconf(_SC_PAGESIZE);
	struct allocation *allocs, a = { .len = len };
	uint64_t align = b->lim.mem_region_alignment;
	int ret;

	if (!len || len % align)
		return bk_err(EINVAL, "memory region length must be a positive multiple of "
			      "mem-region-alignment (%llu), got %zu", (unsigned long long)align,
			      len);
	if (len > INT64_MAX - HUGE_PAGE_SIZE - page)
		return bk_err(ENOMEM, "cannot allocate a memory region of %zu bytes", len);
	a.mapped_len = round_up(len, page);

	allocs = reallocarray(b->mem->allocs, b->mem->nr_allocs + 1, sizeof(*allocs));
	if (!allocs)
		return bk_err(ENOMEM, "out of memory");
	b->mem->allocs = allocs;
	ret = alloc_pages(&a);
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

/* ---- Zero buffer -------------------------------------------------------------------------- */

static int make_zeroes(struct blkio *b)
{
	uint64_t align = max_u64(b->lim.mem_region_alignment, b->lim.request_alignment);
	struct blkio_mem_region region;
	int ret;

	ret = alloc_region(b, &region, round_up(ZEROES_SIZE, align));
	if (ret < 0)
		return ret;
	if (b->lim.needs_mem_regions) {
		ret = map_region(b, &region);
		if (ret < 0) {
			free_region(b, &region);
			return ret;
		}
	}
	b->mem->zeroes = region;
	return 0;
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
	struct bk_mem *m = calloc(1, sizeof(*m));

	if (!m)
		return bk_err(ENOMEM, "out of memory");
	pthread_mutex_init(&m->lock, NULL);
	m->seq = 2; /* not 0: that is the generation of a queue's empty hit */
	m->nr_slots = TABLE_MIN;
	m->table = table_new(TABLE_MIN);
	m->slot_used = calloc(TABLE_MIN, 1);
	b->mem = m;
	if (!m->table || !m->slot_used) {
		bk_mem_exit(b);
		return bk_err(ENOMEM, "out of memory");
	}
	return 0;
}

void bk_mem_exit(struct blkio *b)
{
	struct bk_mem *m = b->mem;

	while (m->n)
		unmap_at(b, m->n - 1);
	for (size_t i = 0; i < m->nr_allocs; i++)
		free_allocation(&m->allocs[i]);
	while (m->table) {
		struct table *t = m->table;

		m->table = t->outgrown;
		free(t);
	}
	free(m->allocs);
	free(m->slot_used);
	pthread_mutex_destroy(&m->lock);
	free(m);
	b->mem = NULL;
}
