/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Addresses for devices: within the IOMMU's ranges, never twice, given back and used again. */
#include <errno.h>

#include "common/iova.h"
#include "test.h"

#define PAGE 4096ull
#define MIB  (1ull << 20)
#define GIB  (1ull << 30)

/* What an Intel IOMMU says: all but where interrupts are sent. */
static const struct iova_range intel[] = { { 0, 0xfedfffff }, { 0xfef00000, 0xffffffffffff } };

static void init(struct iova_space *s, const struct iova_range *r, size_t n)
{
	CHECK_EQ(iova_init(s, r, n, PAGE), 0);
}

static void check_usable(const struct iova_space *s, uint64_t iova, uint64_t len)
{
	for (size_t i = 0; i < s->nr_usable; i++) {
		if (iova >= s->usable[i].first && iova <= s->usable[i].last) {
			CHECK(len - 1 <= s->usable[i].last - iova);
			return;
		}
	}
	FAIL("%#llx is in no usable range", (unsigned long long)iova);
}

static void check_disjoint(const struct iova_space *s)
{
	for (size_t i = 1; i < s->nr_taken; i++)
		CHECK(s->taken[i - 1].last < s->taken[i].first);
}

static void skips_page_0_and_holes(struct device *d)
{
	struct iova_space s;
	uint64_t iova;

	(void)d;
	init(&s, intel, ARRAY_LEN(intel));
	CHECK_EQ(iova_alloc(&s, 0x7f0000000000, PAGE, &iova), 0);
	CHECK_EQ(iova, PAGE);
	/* more than the first range holds */
	CHECK_EQ(iova_alloc(&s, 0x7f0000000000, 4 * GIB, &iova), 0);
	CHECK(iova >= 0xfef00000);
	check_usable(&s, iova, 4 * GIB);
	iova_exit(&s);
}

static void large_pages_line_up(struct device *d)
{
	struct iova_space s;
	uint64_t iova;

	(void)d;
	init(&s, intel, ARRAY_LEN(intel));
	CHECK_EQ(iova_alloc(&s, 0x7f0000000000, PAGE, &iova), 0);
	CHECK_EQ(iova_alloc(&s, 0x7f0000203000, 2 * MIB, &iova), 0);
	CHECK_EQ(iova % (2 * MIB), 0x3000);
	CHECK_EQ(iova_alloc(&s, 0x7f0040200000, GIB, &iova), 0);
	CHECK_EQ(iova % GIB, 0x200000);
	check_disjoint(&s);
	iova_exit(&s);
}

/* Where a large page does not fit, small ones do. */
static void falls_back_to_small_pages(struct device *d)
{
	static const struct iova_range tight = { 0x1000, 0x1000 + 2 * MIB - 1 };
	struct iova_space s;
	uint64_t iova;

	(void)d;
	init(&s, &tight, 1);
	CHECK_EQ(iova_alloc(&s, 0x7f0000000000, 2 * MIB, &iova), 0);
	CHECK_EQ(iova, 0x1000);
	CHECK_EQ(iova_alloc(&s, 0x7f0000400000, PAGE, &iova), -ENOSPC);
	iova_free(&s, 0x1000);
	CHECK_EQ(iova_alloc(&s, 0x7f0000400000, PAGE, &iova), 0);
	iova_exit(&s);
}

static void the_last_address_of_all(struct device *d)
{
	static const struct iova_range top = { UINT64_MAX - 4 * PAGE + 1, UINT64_MAX };
	static const struct iova_range everything = { 0, UINT64_MAX };
	struct iova_space s;
	uint64_t iova;

	(void)d;
	init(&s, &top, 1);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(iova_alloc(&s, 0x1000, PAGE, &iova), 0);
	CHECK_EQ(iova, UINT64_MAX - PAGE + 1);
	CHECK_EQ(iova_alloc(&s, 0x1000, PAGE, &iova), -ENOSPC);
	check_disjoint(&s);
	iova_exit(&s);

	init(&s, &everything, 1);
	CHECK_EQ(s.usable[0].last, UINT64_MAX);
	CHECK_EQ(iova_alloc(&s, 0, UINT64_MAX - PAGE + 1, &iova), 0);
	CHECK_EQ(iova_alloc(&s, 0, PAGE, &iova), -ENOSPC);
	iova_exit(&s);
}

static void strange_ranges(struct device *d)
{
	static const struct iova_range less_than_a_page[] = { { 0x1001, 0x2ffe }, { 0, 0xfff } };
	static const struct iova_range backwards = { 0x9000, 0x1000 };
	static const struct iova_range overlapping[] = { { 0x1000, 0x4fff }, { 0x4000, 0x8fff } };
	static const struct iova_range at_the_top = { UINT64_MAX - 5, UINT64_MAX };
	static const struct iova_range ragged = { 0x1001, 0x3fff };
	struct iova_space s;
	uint64_t iova;

	(void)d;
	CHECK_EQ(iova_init(&s, less_than_a_page, 2, PAGE), -EINVAL);
	CHECK_EQ(iova_init(&s, &backwards, 1, PAGE), -EINVAL);
	CHECK_EQ(iova_init(&s, overlapping, 2, PAGE), -EINVAL);
	CHECK_EQ(iova_init(&s, &at_the_top, 1, PAGE), -EINVAL);
	CHECK_EQ(iova_init(&s, NULL, 0, PAGE), -EINVAL);
	init(&s, &ragged, 1);
	CHECK_EQ(iova_alloc(&s, 0, 2 * PAGE, &iova), 0);
	CHECK_EQ(iova, 0x2000);
	CHECK_EQ(iova_alloc(&s, 0, PAGE, &iova), -ENOSPC);
	iova_free(&s, 0x12345000); /* never taken */
	CHECK_EQ(iova_alloc(&s, 0, 0, &iova), -ENOSPC);
	iova_exit(&s);
}

/* Taken and given in any order: never twice at a time, and in the end all is free again. */
static void churn(struct device *d)
{
	enum { N = 200, ROUNDS = 20000 };
	static const struct iova_range small[] = { { 0x10000, 0x3ffff }, { 0x80000, 0x2fffff } };
	struct iova_space s;
	uint64_t held[N] = { 0 }, iova;
	uint32_t random = 1;

	(void)d;
	init(&s, small, ARRAY_LEN(small));
	for (int i = 0; i < ROUNDS; i++) {
		unsigned slot = (random >> 8) % N;
		uint64_t len = ((random >> 20) % 64 + 1) * PAGE;

		random = random * 1664525 + 1013904223;
		if (held[slot]) {
			iova_free(&s, held[slot]);
			held[slot] = 0;
		} else if (!iova_alloc(&s, 0x7f0000000000, len, &iova)) {
			held[slot] = iova;
			check_usable(&s, iova, len);
			check_disjoint(&s);
		}
	}
	for (int i = 0; i < N; i++)
		iova_free(&s, held[i]);
	CHECK_EQ(s.nr_taken, 0);
	iova_exit(&s);
}

static const struct test tests[] = {
	{ "skips page 0 and holes", skips_page_0_and_holes },
	{ "large pages line up", large_pages_line_up },
	{ "falls back to small pages", falls_back_to_small_pages },
	{ "the last address of all", the_last_address_of_all },
	{ "strange ranges", strange_ranges },
	{ "churn", churn },
};

TEST_MAIN(tests)
