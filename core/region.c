/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The table of mapped memory regions, sorted by address.
 *
 * Queues look addresses up while another thread maps and unmaps. Readers take no lock: the table is
 * under a sequence counter, odd while the (single) writer changes it, and readers whose counter
 * moved read again. Arrays that were outgrown are kept until the instance ends, so a reader may
 * finish its pass over a stale one; they double, so together they are no larger than the last.
 */
#include <stdlib.h>

#include "core.h"

#define TABLE_MIN 16

struct array {
	struct array *outgrown;
	size_t capacity;
	struct bk_region r[];
};

struct bk_region_table {
	struct array *array;
	size_t n;
	uint8_t *slot_used; /* writers only; as many as the array has room for */
};

/* ---- Reading the table -------------------------------------------------------------------- */

/*
 * Fields are read with acquire, so that the counter is read again after them, and written with
 * release, so that whoever sees a change sees the odd counter too. (Fences would do the same for
 * less on other machines than x86, but thread sanitizers do not know them.)
 */
#define READ_FIELD(x)	  __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define WRITE_FIELD(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELEASE)

static uint64_t read_begin(const struct blkio *b)
{
	uint64_t seq;

	/* Odd only for the span of a memmove. */
	while ((seq = bk_region_generation(b)) & 1)
		cpu_relax();
	return seq;
}

static bool read_retry(const struct blkio *b, uint64_t seq)
{
	return __atomic_load_n(&b->core.region_seq, __ATOMIC_RELAXED) != seq;
}

/* Of a guest's address only control calls want to know, which read the table itself. */
static void read_region(struct bk_region *dst, const struct bk_region *src)
{
	dst->addr = READ_FIELD(src->addr);
	dst->len = READ_FIELD(src->len);
	dst->iova = READ_FIELD(src->iova);
	dst->id = READ_FIELD(src->id);
	dst->slot = READ_FIELD(src->slot);
	dst->guest = false;
}

static void write_region(struct bk_region *dst, const struct bk_region *src)
{
	WRITE_FIELD(dst->addr, src->addr);
	WRITE_FIELD(dst->len, src->len);
	WRITE_FIELD(dst->iova, src->iova);
	WRITE_FIELD(dst->id, src->id);
	WRITE_FIELD(dst->slot, src->slot);
	dst->guest = src->guest;
}

/*
 * The last of n regions that starts at or below addr, or else the first. No branch depends on addr:
 * of those, random addresses would have half mispredicted.
 */
static const struct bk_region *last_below(const struct bk_region *r, size_t n, uintptr_t addr)
{
	while (n > 1) {
		const struct bk_region *mid = r + n / 2;

		n -= n / 2;
		r = READ_FIELD(mid->addr) <= addr ? mid : r;
	}
	return r;
}

const struct bk_region *bk_region_find_slow(struct blkioq *q, uintptr_t addr, size_t len)
{
	const struct bk_region_table *t = q->b->core.regions;
	struct bk_region *found = &q->hit.region;
	uint64_t seq;

	do {
		const struct array *a;
		size_t n;

		seq = read_begin(q->b);
		a = READ_FIELD(t->array);
		n = min_u64(READ_FIELD(t->n), a->capacity);
		/* Behind the end of an empty table: nothing, or a region that was erased. */
		read_region(found, last_below(a->r, n, addr));
		if (unlikely(!n))
			found->len = 0;
	} while (read_retry(q->b, seq));
	/* If it does not hold addr, it is still a region that is mapped, or empty. */
	q->hit.generation = seq;
	return bk_region_holds(found, addr, len) ? found : NULL;
}

size_t bk_region_snapshot(const struct blkio *b, struct bk_region *out, size_t max)
{
	const struct bk_region_table *t = b->core.regions;
	uint64_t seq;
	size_t n;

	do {
		const struct array *a;

		seq = read_begin(b);
		a = READ_FIELD(t->array);
		n = min_u64(READ_FIELD(t->n), a->capacity);
		for (size_t i = 0; i < n && i < max; i++)
			read_region(&out[i], &a->r[i]);
	} while (read_retry(b, seq));
	return n;
}

/* ---- Writing the table -------------------------------------------------------------------- */

static void write_begin(struct blkio *b)
{
	__atomic_store_n(&b->core.region_seq, b->core.region_seq + 1, __ATOMIC_RELAXED);
}

static void write_end(struct blkio *b)
{
	__atomic_store_n(&b->core.region_seq, b->core.region_seq + 1, __ATOMIC_RELEASE);
}

static struct array *array_new(size_t capacity)
{
	struct array *a = calloc(1, sizeof(*a) + capacity * sizeof(a->r[0]));

	if (a)
		a->capacity = capacity;
	return a;
}

/* How many regions start at or below addr. */
static size_t upper_bound(const struct bk_region_table *t, uintptr_t addr)
{
	const struct bk_region *first = t->array->r, *r;

	if (!t->n)
		return 0;
	r = last_below(first, t->n, addr);
	return (r - first) + (r->addr <= addr);
}

/* Room for one more region and one more slot. Readers see no change. */
static int grow(struct bk_region_table *t)
{
	size_t capacity = 2 * t->array->capacity;
	struct array *bigger;
	uint8_t *slots;

	slots = realloc(t->slot_used, capacity);
	if (!slots)
		return bk_err(ENOMEM, "out of memory");
	memset(slots + t->array->capacity, 0, capacity - t->array->capacity);
	t->slot_used = slots;

	bigger = array_new(capacity);
	if (!bigger)
		return bk_err(ENOMEM, "out of memory");
	memcpy(bigger->r, t->array->r, t->n * sizeof(bigger->r[0]));
	bigger->outgrown = t->array;
	/* Release: its contents are there before it is. */
	__atomic_store_n(&t->array, bigger, __ATOMIC_RELEASE);
	return 0;
}

int bk_region_reserve(struct blkio *b, uint32_t *slot)
{
	struct bk_region_table *t = b->core.regions;
	int ret = t->n < t->array->capacity ? 0 : grow(t);

	if (ret < 0)
		return ret;
	for (*slot = 0; t->slot_used[*slot];)
		++*slot;
	t->slot_used[*slot] = 1;
	return 0;
}

void bk_region_release(struct blkio *b, uint32_t slot)
{
	b->core.regions->slot_used[slot] = 0;
}

void bk_region_insert(struct blkio *b, const struct bk_region *region)
{
	struct bk_region_table *t = b->core.regions;
	struct bk_region *r = t->array->r;
	size_t at = upper_bound(t, region->addr);

	write_begin(b);
	for (size_t i = t->n; i > at; i--)
		write_region(&r[i], &r[i - 1]);
	write_region(&r[at], region);
	WRITE_FIELD(t->n, t->n + 1);
	write_end(b);
}

void bk_region_erase(struct blkio *b, const struct bk_region *region)
{
	struct bk_region_table *t = b->core.regions;
	struct bk_region *r = t->array->r;
	size_t at = upper_bound(t, region->addr);

	write_begin(b);
	for (size_t i = at; i < t->n; i++)
		write_region(&r[i - 1], &r[i]);
	WRITE_FIELD(t->n, t->n - 1);
	write_end(b);
	bk_region_release(b, region->slot);
}

struct bk_region_pair bk_region_neighbours(const struct blkio *b, uintptr_t addr)
{
	const struct bk_region_table *t = b->core.regions;
	size_t at = upper_bound(t, addr);

	return (struct bk_region_pair){
		.below = at ? &t->array->r[at - 1] : NULL,
		.above = at < t->n ? &t->array->r[at] : NULL,
	};
}

const struct bk_region *bk_region_of_guest(const struct blkio *b, uint64_t iova, uint64_t len)
{
	const struct bk_region_table *t = b->core.regions;

	for (size_t i = 0; i < t->n; i++) {
		const struct bk_region *r = &t->array->r[i];

		if (r->guest && iova - r->iova < r->len && len <= r->len - (iova - r->iova))
			return r;
	}
	return NULL;
}

const struct bk_region *bk_region_at_iova(const struct blkio *b, uint64_t iova, uint64_t len)
{
	const struct bk_region_table *t = b->core.regions;

	for (size_t i = 0; i < t->n; i++) {
		const struct bk_region *r = &t->array->r[i];

		if (iova - r->iova < r->len || r->iova - iova < len)
			return r;
	}
	return NULL;
}

size_t bk_region_count(const struct blkio *b)
{
	return b->core.regions->n;
}

/* ---- Lifecycle ---------------------------------------------------------------------------- */

int bk_regions_init(struct blkio *b)
{
	struct bk_region_table *t = calloc(1, sizeof(*t));

	if (!t)
		return bk_err(ENOMEM, "out of memory");
	b->core.region_seq = 2; /* not 0: that is the generation of a queue's empty hit */
	b->core.regions = t;
	t->array = array_new(TABLE_MIN);
	t->slot_used = calloc(TABLE_MIN, 1);
	if (!t->array || !t->slot_used) {
		bk_regions_exit(b);
		return bk_err(ENOMEM, "out of memory");
	}
	return 0;
}

void bk_regions_exit(struct blkio *b)
{
	struct bk_region_table *t = b->core.regions;

	while (t->array) {
		struct array *a = t->array;

		t->array = a->outgrown;
		free(a);
	}
	free(t->slot_used);
	free(t);
	b->core.regions = NULL;
}
