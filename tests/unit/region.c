/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The region table against a model, and its readers against a writer. */
#include <pthread.h>

#include "fake.h"

enum { PAGES = 512, PAGE = 4096 };

static char *memory; /* addresses only: nothing is read or written there */

/* model[p]: 1 + the first page of the region that holds page p; 0: none. */
static uint16_t model[PAGES], model_len[PAGES];

static uint32_t random_below(uint32_t n)
{
	static uint32_t state = 1;

	state = state * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)state * n >> 32);
}

static struct blkio_mem_region pages(unsigned first, unsigned n)
{
	return (
	    struct blkio_mem_region){ .addr = memory + first * PAGE, .len = n * PAGE, .fd = -1 };
}

static void map_some(struct blkio *b)
{
	unsigned first = random_below(PAGES), n = 1 + random_below(6);
	struct blkio_mem_region r;
	bool is_free = true;

	if (first + n > PAGES)
		n = PAGES - first;
	for (unsigned p = first; p < first + n; p++)
		is_free &= !model[p];
	r = pages(first, n);
	CHECK_EQ(blkio_map_mem_region(b, &r), is_free ? 0 : -EINVAL);
	if (!is_free)
		return;
	for (unsigned p = first; p < first + n; p++)
		model[p] = (uint16_t)(first + 1);
	model_len[first] = (uint16_t)n;
}

static void unmap_some(struct blkio *b)
{
	unsigned first = random_below(PAGES);
	struct blkio_mem_region r;

	if (model[first] != first + 1)
		return;
	r = pages(first, model_len[first]);
	blkio_unmap_mem_region(b, &r);
	for (unsigned p = first; p < first + model_len[first]; p++)
		model[p] = 0;
}

static void look_up(struct blkioq *q)
{
	uintptr_t at = random_below(PAGES * PAGE);
	size_t len = 1 + random_below(3 * PAGE);
	unsigned page = (unsigned)(at / PAGE);
	const struct bk_region *r = bk_region_find(q, memory + at, len);
	unsigned first = model[page] ? model[page] - 1u : 0;

	if (!model[page] || at + len > (first + model_len[first]) * (uintptr_t)PAGE) {
		CHECK(!r);
		return;
	}
	CHECK(r);
	CHECK_EQ(r->addr, (uintptr_t)memory + first * PAGE);
	CHECK_EQ(r->len, model_len[first] * PAGE);
	CHECK_EQ(r->iova, r->addr);
}

/* Slots are small numbers, and no two regions share one. */
static void check_slots(struct blkio *b)
{
	static struct bk_region all[PAGES];
	static bool used[2 * PAGES];
	size_t n = bk_region_snapshot(b, all, PAGES);

	CHECK(n <= PAGES);
	memset(used, 0, sizeof(used));
	for (size_t i = 0; i < n; i++) {
		CHECK(all[i].slot < ARRAY_LEN(used) && !used[all[i].slot]);
		used[all[i].slot] = true;
		CHECK(!i || all[i - 1].addr + all[i - 1].len <= all[i].addr);
	}
}

static void against_a_model(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	memory = (char *)(uintptr_t)(1ull << 40);
	b = fake_start();
	q = blkio_get_queue(b, 0);
	for (int i = 0; i < 20000; i++) {
		if (random_below(3))
			map_some(b);
		else
			unmap_some(b);
		memset(fake.calls, 0, sizeof(fake.calls));
		for (int k = 0; k < 5; k++)
			look_up(q);
		if (i % 64 == 0)
			check_slots(b);
	}
	memset(fake.calls, 0, sizeof(fake.calls));
	for (unsigned p = 0; p < PAGES; p++) {
		struct blkio_mem_region r = pages(p, model_len[p]);

		if (model[p] == p + 1)
			blkio_unmap_mem_region(b, &r);
		memset(fake.calls, 0, sizeof(fake.calls));
	}
	CHECK_EQ(bk_region_snapshot(b, NULL, 0), 0);
	blkio_destroy(&b);
}

static void edges(struct device *d)
{
	struct blkio_mem_region top, r;
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	b = fake_start();
	q = blkio_get_queue(b, 0);
	CHECK(!bk_region_find(q, NULL, 0));
	CHECK(!bk_region_find(q, NULL, 1));
	top = (struct blkio_mem_region){ .addr = (void *)(UINTPTR_MAX - 8191), .len = 4096 };
	CHECK_OK(blkio_map_mem_region(b, &top));
	CHECK(bk_region_find(q, (void *)(UINTPTR_MAX - 8191), 4096));
	CHECK(!bk_region_find(q, (void *)(UINTPTR_MAX - 8191), 4097));
	CHECK(!bk_region_find(q, (void *)(UINTPTR_MAX - 8191), SIZE_MAX));
	CHECK(!bk_region_find(q, (void *)(UINTPTR_MAX - 8192), 2));
	CHECK(!bk_region_find(q, (void *)UINTPTR_MAX, 1));
	r = (struct blkio_mem_region){ .addr = (void *)(UINTPTR_MAX - 4095), .len = 8192 };
	CHECK_EQ(blkio_map_mem_region(b, &r), -EINVAL); /* wraps */
	blkio_destroy(&b);
}

/* A region that went and came back is another one, also for a queue that looked in between never.
 */
static void remapped_is_noticed(struct device *d)
{
	struct blkio_mem_region r;
	struct blkio *b;
	struct blkioq *q;
	uint64_t generation;

	(void)d;
	fake_reset();
	memory = (char *)(uintptr_t)(1ull << 40);
	r = pages(0, 1);
	b = fake_start();
	q = blkio_get_queue(b, 0);
	CHECK_OK(blkio_map_mem_region(b, &r));
	CHECK(bk_region_find(q, memory, 1));
	generation = bk_region_generation(b);
	blkio_unmap_mem_region(b, &r);
	CHECK(!bk_region_find(q, memory, 1));
	CHECK_OK(blkio_map_mem_region(b, &r));
	CHECK(bk_region_generation(b) != generation);
	CHECK(bk_region_find(q, memory, 1));
	blkio_destroy(&b);
}

/* ---- Readers and a writer ----------------------------------------------------------------- */

struct reader {
	pthread_t thread;
	struct blkioq *q;
	bool *stop;
	uint64_t found;
};

/* Pages 0 and 300 are always mapped; whatever is found must hold what was asked for. */
static void *look_up_always(void *arg)
{
	struct reader *t = arg;
	uint32_t state = (uint32_t)(uintptr_t)t;

	while (!__atomic_load_n(t->stop, __ATOMIC_RELAXED)) {
		const struct bk_region *r;
		uintptr_t at;

		state = state * 1664525u + 1013904223u;
		at = (uintptr_t)memory + (state >> 8) % (PAGES * PAGE);
		r = bk_region_find(t->q, (void *)at, 1);
		CHECK(!r || (r->addr <= at && at < r->addr + r->len));
		CHECK(bk_region_find(t->q, memory, PAGE));
		CHECK(bk_region_find(t->q, memory + 300 * PAGE, PAGE));
		t->found += r != NULL;
	}
	return NULL;
}

static void readers_and_a_writer(struct device *d)
{
	struct reader readers[2];
	struct blkio_mem_region r;
	bool stop = false;
	struct blkio *b;

	(void)d;
	fake_reset();
	memory = (char *)(uintptr_t)(1ull << 40);
	b = fake_connect();
	CHECK_OK(blkio_set_int(b, "num-queues", ARRAY_LEN(readers)));
	CHECK_OK(blkio_start(b));
	r = pages(0, 1);
	CHECK_OK(blkio_map_mem_region(b, &r));
	r = pages(300, 1);
	CHECK_OK(blkio_map_mem_region(b, &r));
	for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
		readers[i] = (struct reader){ .q = blkio_get_queue(b, (int)i), .stop = &stop };
		CHECK_EQ(pthread_create(&readers[i].thread, NULL, look_up_always, &readers[i]), 0);
	}
	for (int round = 0; round < 200; round++) {
		for (unsigned p = 1; p < 290; p += 2) {
			r = pages(p, 1);
			CHECK_OK(blkio_map_mem_region(b, &r));
			memset(fake.calls, 0, sizeof(fake.calls));
		}
		for (unsigned p = 1; p < 290; p += 2) {
			r = pages(p, 1);
			blkio_unmap_mem_region(b, &r);
			memset(fake.calls, 0, sizeof(fake.calls));
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < ARRAY_LEN(readers); i++)
		CHECK_EQ(pthread_join(readers[i].thread, NULL), 0);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "against a model", against_a_model },
	{ "edges", edges },
	{ "remapped is noticed", remapped_is_noticed },
	{ "readers and a writer", readers_and_a_writer, .timeout = 60 },
};
TEST_MAIN(tests)
