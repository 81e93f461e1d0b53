/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* NBD without a server: requests -> bytes, bytes -> what a reply says, and what it may not say. */
#include "nbd/nbd_reply.h"
#include "../lib/test.h"

enum { STATUS = 0x70003 };
enum { START = 4096, LEN = 1024, COOKIE = 0x70001, CONTEXT = 0x12345678 };

/* One read of LEN bytes, a flush, and a block status request, in slots 1 to 3 of four. */
static struct bk_req reqs[3];
static struct nbd_slot slots[4];
static struct nbd_gaps slot_gaps[4];
static struct nbd_table table = { .mask = 3, .slot = slots, .context = CONTEXT };
static uint8_t bytes[64];
static size_t used;

static void begin(enum nbd_mode mode)
{
	memset(slot_gaps, 0xee, sizeof(slot_gaps));
	reqs[0] = (struct bk_req){ .op = BK_READ, .start = START, .len = LEN };
	reqs[1] = (struct bk_req){ .op = BK_FLUSH };
	slots[0] = (struct nbd_slot){ .kind = NBD_FREE, .gaps = &slot_gaps[0] };
	slots[1] = (struct nbd_slot){ .r = &reqs[0], .cookie = COOKIE, .gaps = &slot_gaps[1] };
	slots[2] = (struct nbd_slot){
		.r = &reqs[1], .cookie = COOKIE + 1, .kind = NBD_OTHER, .gaps = &slot_gaps[2]
	};
	reqs[2] = (struct bk_req){ .op = BK_BLOCK_STATUS, .start = START, .len = LEN };
	slots[3] = (struct nbd_slot){
		.r = &reqs[2], .cookie = STATUS, .kind = NBD_OTHER, .gaps = &slot_gaps[3]
	};
	table.mode = mode;
	table.whole_read = htobe64(nbd_whole_read_begin(mode));
	used = 0;
}

static void put(uint64_t value, size_t size)
{
	for (size_t i = size; i-- > 0;)
		bytes[used++] = value >> 8 * i & 0xff;
}

/* As it was sent: in no byte order. */
static void put_cookie(uint64_t cookie)
{
	memcpy(bytes + used, &cookie, sizeof(cookie));
	used += sizeof(cookie);
}

static void put_simple(uint32_t error, uint64_t cookie)
{
	used = 0;
	put(NBD_SIMPLE_REPLY_MAGIC, 4);
	put(error, 4);
	put_cookie(cookie);
}

static void put_chunk(unsigned flags, unsigned type, uint64_t cookie, uint64_t len)
{
	used = 0;
	put(table.mode == NBD_LONG ? NBD_LONG_CHUNK_MAGIC : NBD_CHUNK_MAGIC, 4);
	put(flags, 2);
	put(type, 2);
	put_cookie(cookie);
	if (table.mode == NBD_LONG) {
		put(START, 8);
		put(len, 8);
	} else {
		put(len, 4);
	}
}

static struct nbd_event ev;
static const char *why;

static int next(size_t n)
{
	why = NULL;
	ev = (struct nbd_event){ 0 };
	return nbd_next_reply(&table, bytes, n, &ev, &why);
}

/* All of it makes an event, and nothing less does. */
static void takes(enum nbd_event_kind kind, uint64_t at, uint64_t len, bool last)
{
	for (size_t n = 0; n < used; n++)
		CHECK_EQ(next(n), 0);
	CHECK_EQ(next(used), used);
	CHECK_EQ(ev.kind, kind);
	CHECK_EQ(ev.at, at);
	CHECK_EQ(ev.len, len);
	CHECK_EQ(ev.is_last, last);
}

static void breaks(const char *word)
{
	CHECK_EQ(next(sizeof(bytes)), NBD_BROKEN);
	CHECK(why);
	if (!strstr(why, word))
		FAIL("\"%s\" does not contain \"%s\"", why, word);
}

/* ---- Requests ----------------------------------------------------------------------------- */

static void requests(struct device *d)
{
	static const uint8_t compact[] = { 0x25, 0x60, 0x95, 0x13, 0, 1, 0, 1, 1,  2, 3, 4, 5, 6,
					   7,	 8,    0,    0,	   0, 0, 0, 0, 16, 0, 0, 0, 2, 0 };
	static const uint8_t extended[] = { 0x21, 0xe4, 0x1c, 0x71, 0, 0, 0, 4, 1, 2, 3,
					    4,	  5,	6,    7,    8, 0, 0, 0, 0, 0, 0,
					    16,	  0,	0,    0,    0, 2, 0, 0, 0, 1 };
	const uint64_t cookie = htobe64(0x0102030405060708); /* in no byte order */
	struct nbd_request rq = { NBD_CMD_WRITE, NBD_CMD_FLAG_FUA, cookie, 4096, 512 };
	uint8_t out[32];

	(void)d;
	nbd_build_request(out, NBD_SIMPLE, &rq);
	CHECK_MEM(out, compact, sizeof(compact));
	rq = (struct nbd_request){ NBD_CMD_TRIM, 0, cookie, 4096, 0x200000001 };
	nbd_build_request(out, NBD_LONG, &rq);
	CHECK_MEM(out, extended, sizeof(extended));
}

/* ---- Replies ------------------------------------------------------------------------------ */

static void simple(struct device *d)
{
	(void)d;
	begin(NBD_SIMPLE);
	put_simple(0, COOKIE);
	CHECK(nbd_is_whole_read(&table, &slots[1], bytes));
	takes(NBD_DATA, 0, LEN, true);
	CHECK(ev.slot == &slots[1] && !ev.slot->error);
	put_simple(0, COOKIE + 1);
	takes(NBD_DATA, 0, 0, true);
	put_simple(28, COOKIE);
	CHECK(!nbd_is_whole_read(&table, &slots[1], bytes));
	takes(NBD_DATA, 0, 0, true);
	CHECK_EQ(slots[1].error, ENOSPC);
	put_simple(12345, COOKIE + 1);
	takes(NBD_DATA, 0, 0, true);
	CHECK_EQ(slots[2].error, EINVAL);
}

static const struct lie {
	uint64_t cookie;
	const char *word;
} lies[] = {
	{ COOKIE + 0x10000, "not in flight" }, { COOKIE - 1, "not in flight" },
	{ COOKIE + 3, "not in flight" },       { 0xffff, "not in flight" },
	{ UINT64_MAX, "not in flight" },       { 0, "not in flight" },
};

static void replies_to_nothing(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		begin(NBD_SIMPLE);
		put_simple(0, lies[i].cookie);
		breaks(lies[i].word);
		begin(NBD_STRUCTURED);
		put_chunk(NBD_CHUNK_DONE, NBD_CHUNK_NONE, lies[i].cookie, 0);
		breaks(lies[i].word);
	}
	begin(NBD_SIMPLE);
	slots[1].end = 1;
	put_simple(0, COOKIE);
	CHECK_EQ(next(used), NBD_EARLY);
	slots[1].end = 0;
	slots[1].is_answered = true;
	breaks("not in flight");
}

/* What is found by the short way: whole reads, and of what is not quite one, nothing. */
static void whole_reads(struct device *d)
{
	(void)d;
	for (int mode = NBD_SIMPLE; mode <= NBD_LONG; mode++) {
		begin(mode);
		if (mode == NBD_SIMPLE) {
			put_simple(0, COOKIE);
		} else {
			put_chunk(NBD_CHUNK_DONE, NBD_CHUNK_OFFSET_DATA, COOKIE, 8 + LEN);
			put(START, 8);
		}
		CHECK_EQ(used, nbd_data_header_len(mode));
		CHECK(nbd_find_plain_read(&table, bytes) == &slots[1]);
		for (size_t i = 0; i < used; i++) {
			/* Nobody looks at the offset of an extended header. */
			bool is_ignored = mode == NBD_LONG && i >= 16 && i < 24;

			bytes[i] ^= 2;
			CHECK_EQ(!nbd_find_plain_read(&table, bytes), !is_ignored);
			bytes[i] ^= 2;
		}
		slots[1].end = 1;
		CHECK(!nbd_find_plain_read(&table, bytes));
		slots[1].end = 0;
		slots[1].error = EFAULT;
		CHECK(!nbd_find_plain_read(&table, bytes));
		slots[1].error = 0;
		slots[1].is_answered = true;
		CHECK(!nbd_find_plain_read(&table, bytes));
		slots[1].is_answered = false;
		slots[1].has_come = true;
		CHECK(!nbd_find_plain_read(&table, bytes));
		for (int kind = NBD_PLAIN_READ; kind <= NBD_FREE; kind++) {
			slots[1].has_come = false;
			slots[1].kind = kind;
			CHECK_EQ(!nbd_find_plain_read(&table, bytes), kind != NBD_PLAIN_READ);
		}
	}
	begin(NBD_STRUCTURED);
	put_chunk(0, NBD_CHUNK_OFFSET_DATA, COOKIE, 8 + LEN);
	put(START, 8);
	CHECK(nbd_is_whole_read(&table, &slots[1], bytes));
	CHECK(!nbd_find_plain_read(&table, bytes)); /* more may follow */
}

static void wrong_form(struct device *d)
{
	(void)d;
	begin(NBD_STRUCTURED);
	put_simple(0, COOKIE);
	breaks("structured");
	put_simple(5, COOKIE); /* an error may come so */
	takes(NBD_DATA, 0, 0, true);
	begin(NBD_SIMPLE);
	put_chunk(NBD_CHUNK_DONE, NBD_CHUNK_NONE, COOKIE, 0);
	table.mode = NBD_SIMPLE;
	breaks("not a reply");
	begin(NBD_LONG);
	put_simple(0, COOKIE);
	breaks("not a reply");
	memset(bytes, 0, sizeof(bytes));
	breaks("not a reply");
}

static void data(struct device *d)
{
	const enum nbd_mode modes[] = { NBD_STRUCTURED, NBD_LONG };

	(void)d;
	for (int i = 0; i < 2; i++) {
		begin(modes[i]);
		put_chunk(NBD_CHUNK_DONE, NBD_CHUNK_OFFSET_DATA, COOKIE, 8 + LEN);
		put(START, 8);
		CHECK_EQ(used, nbd_data_header_len(modes[i]));
		CHECK(nbd_is_whole_read(&table, &slots[1], bytes));
		takes(NBD_DATA, 0, LEN, true);

		begin(modes[i]);
		put_chunk(0, NBD_CHUNK_OFFSET_DATA, COOKIE, 8 + 24);
		put(START + 1000, 8);
		CHECK(!nbd_is_whole_read(&table, &slots[1], bytes));
		takes(NBD_DATA, 1000, 24, false);
		put_chunk(0, NBD_CHUNK_OFFSET_HOLE, COOKIE, 12);
		put(START, 8);
		put(1000, 4);
		takes(NBD_HOLE, 0, 1000, false);
		put_chunk(NBD_CHUNK_DONE, NBD_CHUNK_NONE, COOKIE, 0);
		takes(NBD_SKIP, 0, 0, true);
		CHECK(!slots[1].error);
	}
}

static const struct piece {
	uint64_t offset, len;
	const char *word;
} bad_pieces[] = {
	{ START - 1, 16, "outside" },	   { START + LEN, 1, "outside" },
	{ START + LEN - 1, 2, "outside" }, { START, LEN + 1, "outside" },
	{ START, 0xfffffff0, "outside" },  { UINT64_MAX, 2, "outside" },
	{ 0, START + 1, "outside" },	   { START, 0, "without data" },
};

static void data_elsewhere(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(bad_pieces); i++) {
		const struct piece *p = &bad_pieces[i];

		begin(NBD_STRUCTURED);
		put_chunk(0, NBD_CHUNK_OFFSET_DATA, COOKIE, 8 + p->len);
		put(p->offset, 8);
		breaks(p->word);
		begin(NBD_STRUCTURED);
		put_chunk(0, NBD_CHUNK_OFFSET_HOLE, COOKIE, 12);
		put(p->offset, 8);
		put(p->len, 4);
		breaks("outside");
	}
	begin(NBD_LONG);
	put_chunk(0, NBD_CHUNK_OFFSET_DATA, COOKIE, UINT64_MAX);
	put(START, 8);
	breaks("outside");
	begin(NBD_STRUCTURED);
	put_chunk(0, NBD_CHUNK_OFFSET_DATA, COOKIE + 1, 8 + 16);
	put(0, 8);
	breaks("not a read");
}

static void data_twice_or_never(struct device *d)
{
	(void)d;
	begin(NBD_STRUCTURED);
	put_chunk(0, NBD_CHUNK_OFFSET_DATA, COOKIE, 8 + 16);
	put(START, 8);
	takes(NBD_DATA, 0, 16, false);
	breaks("twice");
	put_chunk(NBD_CHUNK_DONE, NBD_CHUNK_NONE, COOKIE, 0);
	breaks("all that");
	begin(NBD_STRUCTURED);
	put_chunk(0, NBD_CHUNK_NONE, COOKIE, 0);
	breaks("not the last");
	begin(NBD_STRUCTURED);
	put_chunk(NBD_CHUNK_DONE, 7, COOKIE, 0);
	breaks("unknown type");
}

static void errors(struct device *d)
{
	(void)d;
	begin(NBD_STRUCTURED);
	put_chunk(0, NBD_CHUNK_ERROR | 2, COOKIE, 6 + 3 + 8);
	put(5, 4);
	put(3, 2);
	takes(NBD_SKIP, 0, 3 + 8, false);
	put_chunk(NBD_CHUNK_DONE, NBD_CHUNK_NONE, COOKIE, 0);
	takes(NBD_SKIP, 0, 0, true);
	CHECK_EQ(slots[1].error, EIO);

	begin(NBD_STRUCTURED);
	put_chunk(NBD_CHUNK_DONE, NBD_CHUNK_ERROR | 1, COOKIE + 1, 6);
	put(95, 4);
	put(0, 2);
	takes(NBD_SKIP, 0, 0, true);
	CHECK_EQ(slots[2].error, ENOTSUP);

	put_chunk(0, NBD_CHUNK_ERROR | 1, COOKIE, 6);
	put(5, 4);
	put(1, 2);
	breaks("not valid"); /* longer text than chunk */
	put_chunk(0, NBD_CHUNK_ERROR | 1, COOKIE, 6);
	put(0, 6);
	breaks("not valid"); /* no error */
	put_chunk(0, NBD_CHUNK_ERROR | 1, COOKIE, 5);
	breaks("wrong length");
	put_chunk(0, NBD_CHUNK_ERROR | 1, COOKIE, 0xffffffff);
	breaks("wrong length");
	begin(NBD_STRUCTURED);
	put_chunk(0, NBD_CHUNK_ERROR | 1, COOKIE, 6);
	put(5, 4);
	put(0, 2);
	for (int i = 0; i < NBD_ERRORS_MAX; i++)
		CHECK_EQ(next(used), used);
	breaks("too many errors");
}

/* ---- Extents ------------------------------------------------------------------------------ */

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
	{ "requests", requests },
	{ "simple replies", simple },
	{ "replies to nothing", replies_to_nothing },
	{ "whole reads", whole_reads },
	{ "replies of the wrong form", wrong_form },
	{ "data and holes", data },
	{ "data elsewhere", data_elsewhere },
	{ "data twice, or not at all", data_twice_or_never },
	{ "errors", errors },
	{ "extents", status },
	{ "extents of any length", extents_of_any_length },
	{ "extents, wrong lengths", status_lengths },
	{ "extents, lies", status_lies },
	{ "gaps", gaps },
};
TEST_MAIN(tests)
