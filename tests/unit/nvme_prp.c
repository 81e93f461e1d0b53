/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Data pointers of NVMe commands: how much a PRP list can describe, and what is in lists. */
#include <endian.h>

#include "../lib/test.h"
#include "nvme/nvme_prp.h"

enum { P = 4096, LIST = 0x7000 };

#define RUNS(...) .runs = { __VA_ARGS__ }, .n = sizeof((struct nvme_run[]){ __VA_ARGS__ }) / 16

static const struct {
	const char *what;
	struct nvme_run runs[4];
	unsigned n;
	uint64_t fit;
	/* of as many bytes as fit */
	uint64_t prp1, prp2, list[4];
} cases[] = {
	{ "a block", RUNS({ 0x10000, 512 }), 512, 0x10000 },
	{ "a block at an offset", RUNS({ 0x10200, 512 }), 512, 0x10200 },
	{ "up to the end of its page", RUNS({ 0x10200, P - 0x200 }), P - 0x200, 0x10200 },
	{ "a page", RUNS({ 0x10000, P }), P, 0x10000 },
	{ "a dword beyond a page", RUNS({ 0x10000, P + 4 }), P + 4, 0x10000, 0x11000 },
	{ "a page across two", RUNS({ 0x10ffc, P }), P, 0x10ffc, 0x11000 },
	{ "two pages", RUNS({ 0x10000, 2 * P }), 2 * P, 0x10000, 0x11000 },
	{ "two pages across three",
	  RUNS({ 0x10004, 2 * P }),
	  2 * P,
	  0x10004,
	  LIST,
	  { 0x11000, 0x12000 } },
	{ "two pages and a dword",
	  RUNS({ 0x10000, 2 * P + 4 }),
	  2 * P + 4,
	  0x10000,
	  LIST,
	  { 0x11000, 0x12000 } },
	{ "above 4 GiB",
	  RUNS({ 0xfffffff000, 3 * P }),
	  3 * P,
	  0xfffffff000,
	  LIST,
	  { 0x10000000000, 0x10000001000 } },
	{ "two runs of a page", RUNS({ 0x10000, P }, { 0x30000, P }), 2 * P, 0x10000, 0x30000 },
	{ "from an offset to an end, pages, and a beginning",
	  RUNS({ 0x10e00, 512 }, { 0x30000, 2 * P }, { 0x50000, 1024 }),
	  512 + 2 * P + 1024,
	  0x10e00,
	  LIST,
	  { 0x30000, 0x31000, 0x50000 } },
	{ "the first does not end with its page", RUNS({ 0x10000, 512 }, { 0x30000, P }), 512,
	  0x10000 },
	{ "the second does not begin with its page", RUNS({ 0x10e00, 512 }, { 0x30200, P }), 512,
	  0x10e00 },
	{ "the third does not", RUNS({ 0x10000, P }, { 0x30000, P }, { 0x50004, 512 }), 2 * P,
	  0x10000, 0x30000 },
	{ "the second ends within its page", RUNS({ 0x10000, P }, { 0x30000, 512 }, { 0x50000, P }),
	  P + 512, 0x10000, 0x30000 },
	/* A list has 512 entries, one more is in the command. */
	{ "as long as can be", RUNS({ 0x200000, 513 * P }), 513 * P, 0x200000, LIST, { 0x201000 } },
	{ "a page too long", RUNS({ 0x200000, 514 * P }), 513 * P, 0x200000, LIST, { 0x201000 } },
	{ "the most that always fits, at an offset",
	  RUNS({ 0x200ffc, NVME_PRP_MAX }),
	  NVME_PRP_MAX,
	  0x200ffc,
	  LIST,
	  { 0x201000 } },
	{ "too long at an offset",
	  RUNS({ 0x200ffc, 513 * P }),
	  512 * P + 4,
	  0x200ffc,
	  LIST,
	  { 0x201000 } },
	{ "the second is too long",
	  RUNS({ 0x200000, P }, { 0x400000, 513 * P }),
	  513 * P,
	  0x200000,
	  LIST,
	  { 0x400000 } },
	{ "no entry is left for the second",
	  RUNS({ 0x200000, 513 * P }, { 0x800000, P }),
	  513 * P,
	  0x200000,
	  LIST,
	  { 0x201000 } },
};

static void check(const char *what, const struct nvme_cmd *c, const struct nvme_list *list,
		  uint64_t prp1, uint64_t prp2, const uint64_t *entries)
{
	printf("%s\n", what);
	CHECK_EQ(c->flags, 0);
	CHECK_EQ(c->dptr[0], prp1);
	CHECK_EQ(c->dptr[1], prp2);
	for (int i = 0; i < 4 && entries[i]; i++)
		CHECK_EQ(le64toh(list->prp[i]), entries[i]);
}

static void pages(struct device *d)
{
	static struct nvme_list list;

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct nvme_cmd c = { .dptr = { 1, 1 } };

		CHECK_EQ(nvme_prp_fit(cases[i].runs, cases[i].n), cases[i].fit);
		memset(&list, 0xa5, sizeof(list));
		nvme_prp_fill(&c, cases[i].runs, cases[i].fit, &list, LIST);
		check(cases[i].what, &c, &list, cases[i].prp1, cases[i].prp2, cases[i].list);
	}
}

/* The short cut for one run says the same. */
static void one_run(struct device *d)
{
	static struct nvme_list list;

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct nvme_cmd c = { 0 };

		if (cases[i].n > 1)
			continue;
		memset(&list, 0xa5, sizeof(list));
		nvme_prp_set(&c, cases[i].runs[0].iova, cases[i].fit, &list, LIST);
		check(cases[i].what, &c, &list, cases[i].prp1, cases[i].prp2, cases[i].list);
	}
}

/* Fewer bytes than there are: the entries of those. */
static void a_part(struct device *d)
{
	const struct nvme_run runs[] = { { 0x10000, P }, { 0x30000, 3 * P } };
	static struct nvme_list list;
	struct nvme_cmd c = { 0 };

	(void)d;
	nvme_prp_fill(&c, runs, 512, &list, LIST);
	check("in the first", &c, &list, 0x10000, 0, (uint64_t[4]){ 0 });
	nvme_prp_fill(&c, runs, P + 512, &list, LIST);
	check("into the second", &c, &list, 0x10000, 0x30000, (uint64_t[4]){ 0 });
	nvme_prp_fill(&c, runs, 2 * P + 512, &list, LIST);
	check("two pages of it", &c, &list, 0x10000, LIST, (uint64_t[4]){ 0x30000, 0x31000 });
}

static void lists_of_any_segments(struct device *d)
{
	const struct nvme_run runs[] = { { 0x10004, 12 }, { 0x30000, 500 }, { 0x7fff123, 4096 } };
	static struct nvme_list list;
	struct nvme_cmd c = { 0 };
	const uint8_t want[48] = {
		4,    0,    1, 0, 0, 0, 0, 0, 12,   0, 0, 0, 0, 0, 0, 0, /* address, length, type */
		0,    0,    3, 0, 0, 0, 0, 0, 0xf4, 1, 0, 0, 0, 0, 0, 0, 0x23,
		0xf1, 0xff, 7, 0, 0, 0, 0, 0, 2,    0, 0, 0, 0, 0, 0,
	};

	(void)d;
	nvme_sgl_fill(&c, runs, 1024, &list, LIST);
	CHECK_EQ(c.flags, 0x40);
	CHECK_EQ(c.dptr[0], LIST);
	CHECK_EQ(c.dptr[1], 48 | 0x30ull << 56);
	CHECK_MEM(&list, want, sizeof(want));
}

static const struct test tests[] = {
	{ "PRP entries", pages },
	{ "PRP entries of one run", one_run },
	{ "PRP entries of a part", a_part },
	{ "scatter-gather lists", lists_of_any_segments },
};

TEST_MAIN(tests)
