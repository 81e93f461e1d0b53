/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Replies to NBD block status requests, and the gaps that the pieces of a read leave. */
#include "nbd_rig.h"
#include "test.h"

static const enum nbd_mode chunked[] = { NBD_STRUCTURED, NBD_LONG };

/* The header of a chunk of n extents, which claims to have so many bytes. */
static void put_status(unsigned flags, unsigned n, uint64_t len)
{
	bool is_long = table.mode == NBD_LONG;

	put_chunk(flags, is_long ? NBD_CHUNK_STATUS_LONG : NBD_CHUNK_STATUS, STATUS, len);
	put(CONTEXT, 4);
	if (is_long)
		put(n, 4);
}

static uint64_t status_len(unsigned n)
{
	return table.mode == NBD_LONG ? 8 + 16 * n : 4 + 8 * n;
}

static struct nbd_extent extent;

static int take(uint64_t len, uint64_t flags)
{
	size_t size = table.mode == NBD_LONG ? 8 : 4;

	used = 0;
	put(len, size);
	put(flags, size);
	CHECK_EQ(used, nbd_extent_len(table.mode));
	return nbd_take_extent(table.mode, &slots[3], bytes, &extent, &why);
}

static void status(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(chunked); i++) {
		begin(chunked[i]);
		put_status(0, 3, status_len(3));
		takes(NBD_STATUS, 0, status_len(3) - status_len(0), false);
		CHECK_EQ(take(512, 0), 0);
		CHECK(extent.len == 512 && extent.flags == BLKIO_EXTENT_ALLOCATED);
		CHECK_EQ(take(256, NBD_STATE_HOLE | NBD_STATE_ZERO), 0);
		CHECK(extent.len == 256 && extent.flags == BLKIO_EXTENT_ZERO);
		/* The last one may go on. Flags that nobody knows mean nothing. */
		CHECK_EQ(take(0xfffffe00, 0xfffffffd), 0);
		CHECK(extent.len == 256 && extent.flags == 0);
		put_chunk(NBD_CHUNK_DONE, NBD_CHUNK_NONE, STATUS, 0);
		takes(NBD_SKIP, 0, 0, true);
		CHECK(!slots[3].error);

		/* Less than was asked, and an error in place of an answer. */
		begin(chunked[i]);
		put_status(NBD_CHUNK_DONE, 0, status_len(1));
		takes(NBD_STATUS, 0, nbd_extent_len(table.mode), true);
		begin(chunked[i]);
		put_chunk(NBD_CHUNK_DONE, NBD_CHUNK_ERROR | 1, STATUS, 6);
		put(95, 4);
		put(0, 2);
		takes(NBD_SKIP, 0, 0, true);
		CHECK_EQ(slots[3].error, ENOTSUP);
	}
}

/* CVE-2023-5871: lengths of 64 bits are numbers like others. */
static void extents_of_any_length(struct device *d)
{
	(void)d;
	begin(NBD_LONG);
	put_status(0, 1, status_len(1));
	CHECK_EQ(next(used), used);
	CHECK_EQ(take(UINT64_MAX, UINT64_MAX), 0);
	CHECK(extent.len == LEN && extent.flags == BLKIO_EXTENT_ZERO);
	CHECK_EQ(take(1, 0), NBD_BROKEN);
}

static void status_lengths(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(chunked); i++) {
		begin(chunked[i]);
		for (uint64_t len = 0; len < 64; len++) {
			bool good = len >= status_len(1) &&
				    (len - status_len(0)) % nbd_extent_len(table.mode) == 0;

			put_status(0, 0, len);
			if (!good)
				breaks("wrong length");
		}
		put_status(0, 0, status_len(0) + (NBD_EXTENTS_MAX + 1ull) * 16);
		breaks("wrong length");
		put_status(0, 0, UINT64_MAX - 7);
		breaks("wrong length");
	}
	begin(NBD_LONG);
	put_status(0, 2, status_len(1));
	breaks("miscounted");
}

static void status_lies(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(chunked); i++) {
		begin(chunked[i]);
		put_status(0, 1, status_len(1));
		bytes[used - (table.mode == NBD_LONG ? 5 : 1)] ^= 1;
		breaks("context");
		put_chunk(0, chunked[i] == NBD_LONG ? NBD_CHUNK_STATUS : NBD_CHUNK_STATUS_LONG,
			  STATUS, status_len(1));
		breaks("not asked for");
		put_status(0, 1, status_len(1));
		used = 8;
		put_cookie(COOKIE); /* of the read */
		breaks("not asked for");
		put_chunk(0, NBD_CHUNK_OFFSET_DATA, STATUS, 8 + 16);
		put(START, 8);
		breaks("not a read");
		put_chunk(NBD_CHUNK_DONE, NBD_CHUNK_NONE, STATUS, 0);
		breaks("all that");
		put_status(0, 1, status_len(1));
		takes(NBD_STATUS, 0, nbd_extent_len(table.mode), false);
		CHECK_EQ(take(0, 0), NBD_BROKEN);
		CHECK(strstr(why, "length 0"));
		CHECK_EQ(take(LEN, 0), 0);
		CHECK_EQ(take(1, 0), NBD_BROKEN);
		CHECK(strstr(why, "outside"));
		put_status(0, 1, status_len(1));
		breaks("twice");
	}
	begin(NBD_STRUCTURED);
	put_simple(0, STATUS);
	breaks("which blocks");
}

/* ---- Gaps --------------------------------------------------------------------------------- */

/* Pieces in any order fill a read; each one only once. */
static void gaps(struct device *d)
{
	static const unsigned order[] = { 5, 0, 7, 2, 1, 6, 3, 4 };
	struct nbd_gaps g;

	(void)d;
	nbd_gaps_init(&g, 80);
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		CHECK(nbd_gaps_fill(&g, order[i] * 10, 10));
		CHECK(!nbd_gaps_fill(&g, order[i] * 10, 10));
		CHECK(!nbd_gaps_fill(&g, order[i] * 10 + 9, 1));
	}
	CHECK_EQ(g.n, 0);
	CHECK(!nbd_gaps_fill(&g, 0, 1));

	nbd_gaps_init(&g, 1000);
	for (unsigned i = 1; i < NBD_GAPS_MAX; i++)
		CHECK(nbd_gaps_fill(&g, 2 * i, 1));
	CHECK_EQ(g.n, NBD_GAPS_MAX);
	CHECK(!nbd_gaps_fill(&g, 500, 1));
	CHECK(nbd_gaps_fill(&g, 0, 2)); /* which makes none */
	CHECK(nbd_gaps_fill(&g, 500, 1));
}

static const struct test tests[] = {
	{ "extents", status },
	{ "extents of any length", extents_of_any_length },
	{ "extents, wrong lengths", status_lengths },
	{ "extents, lies", status_lies },
	{ "gaps", gaps },
};
TEST_MAIN(tests)
