/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The answer to a block status request, of a device that says anything, in any pieces. */
#include <stdlib.h>
#include <sys/mman.h>

#include "core.h"
#include "test.h"

enum { UNITS = 4096, START = 1 << 20, EXTENTS = UNITS };

static struct blkio_extent extents[EXTENTS + 1];
static struct bk_req r;

static void begin(unsigned block, uint64_t len, uint32_t n)
{
	memset(extents, 0xee, sizeof(extents));
	r = (struct bk_req){
		.op = BK_BLOCK_STATUS,
		.start = START,
		.len = len,
		.extents = extents,
		.nr_extents = n,
		.found.block = block,
	};
	bk_extents_begin(&r);
}

/* What the device says of each byte, of which the first `known` count. */
static uint8_t said[2 * UNITS];
static uint64_t known;

/* Up to len bytes, in pieces of at most max; what is behind them is said as well, at times. */
static void say(uint64_t len, unsigned max)
{
	bool more = true;

	known = 0;
	while (known < len && more) {
		uint64_t n = 1 + (uint64_t)rand() % max;
		uint8_t flags = rand() & 3;

		if (known + n > sizeof(said))
			n = sizeof(said) - known;
		memset(said + known, flags, n);
		known += n;
		more = bk_extent_add(&r, n, flags);
	}
	known = min_u64(known, r.len);
}

/* A block is allocated if any of its bytes is, and zero if all are. */
static uint32_t flags_of_block(uint64_t at, uint64_t size)
{
	uint32_t flags = BLKIO_EXTENT_ZERO;

	for (uint64_t i = at; i < at + size; i++) {
		flags |= said[i] & BLKIO_EXTENT_ALLOCATED;
		flags &= said[i] | ~(uint32_t)BLKIO_EXTENT_ZERO;
	}
	return flags;
}

static void check(unsigned block, int n, uint32_t max)
{
	uint64_t size = 1ull << block, at = 0;

	CHECK(n >= 1 && (uint32_t)n <= max);
	for (int i = 0; i < n; i++) {
		const struct blkio_extent *e = &extents[i];

		CHECK_EQ(e->start, START + at);
		CHECK(e->len && e->len % size == 0 && at + e->len <= known);
		CHECK(!i || e->flags != e[-1].flags);
		for (uint64_t end = at + e->len; at < end; at += size)
			CHECK_EQ(e->flags, flags_of_block(at, size));
	}
	/* All whole blocks, if there was room. */
	if ((uint32_t)n < max)
		CHECK_EQ(at, known & ~(size - 1));
	for (uint32_t i = max; i <= EXTENTS; i++)
		CHECK_EQ(extents[i].flags, 0xeeeeeeee);
}

static void any_pieces(struct device *d)
{
	(void)d;
	srand(1);
	for (int i = 0; i < 3000; i++) {
		unsigned block = rand() % 7, max = 1 + rand() % 300;
		uint64_t size = 1ull << block, len = (1 + rand() % (UNITS / size)) * size;
		uint32_t n = i & 1 ? EXTENTS : 1 + rand() % 70;
		int ret;

		begin(block, len, n);
		say(i & 2 ? len : size + rand() % len, max);
		ret = bk_extents_end(&r);
		if (known >= size)
			check(block, ret, n);
	}
}

/* There is always one. */
static void less_than_a_block(struct device *d)
{
	(void)d;
	begin(12, 8192, 5);
	CHECK(bk_extent_add(&r, 100, BLKIO_EXTENT_ZERO));
	CHECK_EQ(bk_extents_end(&r), 1);
	CHECK(extents[0].start == START && extents[0].len == 4096);
	CHECK_EQ(extents[0].flags, BLKIO_EXTENT_ALLOCATED);
}

static void once_more(struct device *d)
{
	(void)d;
	begin(9, 8192, 5);
	CHECK(bk_extent_add(&r, 1000, BLKIO_EXTENT_ZERO));
	bk_extents_begin(&r);
	CHECK(!bk_extent_add(&r, UINT64_MAX, 0));
	CHECK_EQ(bk_extents_end(&r), 1);
	CHECK(extents[0].len == 8192 && extents[0].flags == 0);
}

/* The array ends, or cannot be written, where a page does. */
static void bad_arrays(struct device *d)
{
	const size_t page = 4096, per_page = page / sizeof(struct blkio_extent);
	char *map =
	    mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)d;
	CHECK(map != MAP_FAILED);
	SYS(mprotect(map + page, page, PROT_READ));
	for (size_t n = per_page; n <= per_page + 1; n++) {
		begin(0, UNITS, (uint32_t)n);
		r.extents = (struct blkio_extent *)map;
		while (bk_extent_add(&r, 1, r.found.to & 1))
			;
		CHECK_EQ(bk_extents_end(&r), n == per_page ? (int)n : -EFAULT);
	}
	SYS(munmap(map, 2 * page));
}

static const struct test tests[] = {
	{ "any pieces", any_pieces },
	{ "less than a block", less_than_a_block },
	{ "once more", once_more },
	{ "arrays that cannot be written", bad_arrays },
};
TEST_MAIN(tests)
