/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* NBD without a server: requests -> bytes, bytes -> what a reply says, and what it may not say. */
#include "nbd_rig.h"
#include "test.h"

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
};
TEST_MAIN(tests)
