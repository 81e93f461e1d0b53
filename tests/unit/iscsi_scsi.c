/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* SCSI data of an iSCSI target, also what makes no sense, cut short at every byte. */
#include "iscsi/iscsi_scsi.h"
#include "../lib/test.h"

/* ---- Capacity ----------------------------------------------------------------------------- */

static uint8_t capacity[32];

static void set_capacity(uint64_t last, uint32_t block)
{
	memset(capacity, 0, sizeof(capacity));
	for (int i = 0; i < 8; i++)
		capacity[i] = last >> (56 - 8 * i) & 0xff;
	for (int i = 0; i < 4; i++)
		capacity[8 + i] = block >> (24 - 8 * i) & 0xff;
}

static void capacities(struct device *d)
{
	struct iscsi_unit u = { 0 };

	(void)d;
	set_capacity(7, 512);
	capacity[13] = 3;
	capacity[14] = 0xc0;
	CHECK_OK(iscsi_parse_capacity(capacity, 32, &u));
	CHECK_EQ(u.blocks, 8);
	CHECK_EQ(u.block_size, 512);
	CHECK_EQ(u.physical_block, 4096);
	CHECK(u.thin && u.reads_zeroes);
	CHECK_OK(iscsi_parse_capacity(capacity, 12, &u));
	CHECK(u.physical_block == 512 && !u.thin && !u.reads_zeroes);
	CHECK_ERR(iscsi_parse_capacity(capacity, 11, &u), EIO);
	for (unsigned exponent = 0; exponent < 16; exponent++) {
		set_capacity(7, 65536);
		capacity[13] = exponent;
		CHECK_OK(iscsi_parse_capacity(capacity, 32, &u));
		CHECK_EQ(u.physical_block, 65536);
	}
	set_capacity((uint64_t)INT64_MAX / 512 - 2, 512);
	CHECK_OK(iscsi_parse_capacity(capacity, 32, &u));
	CHECK(u.blocks * u.block_size <= INT64_MAX);
}

static void impossible_capacities(struct device *d)
{
	static const uint32_t blocks[] = { 0, 1, 256, 511, 513, 520, 4097, 1 << 17, 1U << 31 };
	static const uint64_t lasts[] = { (uint64_t)INT64_MAX / 512 - 1, INT64_MAX, UINT64_MAX };
	struct iscsi_unit u = { 0 };

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
		set_capacity(7, blocks[i]);
		CHECK_ERR(iscsi_parse_capacity(capacity, 32, &u), ENOTSUP, "blocks");
	}
	for (size_t i = 0; i < ARRAY_LEN(lasts); i++) {
		set_capacity(lasts[i], 512);
		CHECK_ERR(iscsi_parse_capacity(capacity, 32, &u), EFBIG);
	}
}

/* ---- Other data --------------------------------------------------------------------------- */

/* In memory of just that length, so that a sanitizer sees who reads behind it. */
static uint8_t *cut(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	CHECK(copy);
	memcpy(copy, data, len);
	return copy;
}

static void pages(struct device *d)
{
	static const uint8_t limits[64] = { 0,	  0xb0, 0,	  60, 0, 0, 0, 8, 0, 0, 1, 0, 0, 0,
					    0,	  64,	[20] = 0, 1,  0, 0, 0, 0, 0, 1, 0, 0, 0, 16,
					    0x80, 0,	0,	  4,  0, 0, 0, 0, 0, 1, 0, 0 };
	static const uint8_t thin[8] = { 0, 0xb2, 0, 4, 0, 0xc0 };
	struct iscsi_unit u;

	(void)d;
	u = (struct iscsi_unit){ 0 };
	iscsi_parse_limits(limits, 64, &u);
	CHECK_EQ(u.granularity, 8);
	CHECK_EQ(u.max_transfer, 256);
	CHECK_EQ(u.optimal_transfer, 64);
	CHECK_EQ(u.max_unmap, 65536);
	CHECK_EQ(u.unmap_granularity, 16);
	CHECK_EQ(u.unmap_alignment, 4);
	CHECK_EQ(u.max_write_same, 65536);
	iscsi_parse_thin(thin, 8, &u);
	CHECK(u.unmap && u.write_same_unmap);
	for (size_t len = 0; len < 64; len++) {
		uint8_t *copy = cut(limits, len);

		u = (struct iscsi_unit){ 0 };
		iscsi_parse_limits(copy, len, &u);
		CHECK(len >= 16 || !u.max_transfer);
		CHECK(len >= 36 || !u.max_unmap);
		CHECK(len >= 44 || !u.max_write_same);
		iscsi_parse_thin(copy, len, &u); /* it is another page */
		CHECK(!u.unmap);
		CHECK(!iscsi_has_page(copy, len, 0));
		free(copy);
	}
}

static void lists_of_pages(struct device *d)
{
	static const uint8_t list[] = { 0, 0, 0, 3, 0x00, 0x83, 0xb0, 0xb2 };

	(void)d;
	CHECK(iscsi_has_page(list, 8, 0x83));
	CHECK(iscsi_has_page(list, 8, 0xb0));
	CHECK(!iscsi_has_page(list, 8, 0xb2)); /* behind the list */
	CHECK(!iscsi_has_page(list, 5, 0x83));
	CHECK(!iscsi_has_page(list, 4, 0x00));
}

static void caching(struct device *d)
{
	uint8_t page[40] = { 0, 38, 0, 0x90, 0, 0, 0, 8, [16] = 0x08, 0x12, 0x04 };
	struct iscsi_unit u = { 0 };

	(void)d;
	iscsi_parse_caching(page, 40, &u);
	CHECK(u.read_only && u.takes_fua && u.has_cache);
	page[18] = 0;
	iscsi_parse_caching(page, 40, &u);
	CHECK(!u.has_cache);
	page[6] = 0xff; /* block descriptors that go on behind the data */
	u.has_cache = true;
	for (size_t len = 0; len <= 40; len++) {
		uint8_t *copy = cut(page, len);

		iscsi_parse_caching(copy, len, &u);
		CHECK(u.has_cache);
		free(copy);
	}
}

static void kinds(struct device *d)
{
	(void)d;
	CHECK_OK(iscsi_parse_inquiry((const uint8_t[]){ 0 }, 1));
	CHECK_ERR(iscsi_parse_inquiry(NULL, 0), EIO);
	CHECK_ERR(iscsi_parse_inquiry((const uint8_t[]){ 5 }, 1), ENOTSUP, "0x5");
	CHECK_ERR(iscsi_parse_inquiry((const uint8_t[]){ 0x7f }, 1), ENXIO, "uri");
	CHECK_ERR(iscsi_parse_inquiry((const uint8_t[]){ 0x20 }, 1), ENXIO, "uri");
}

static void ranges(struct device *d)
{
	uint8_t data[8 + 32] = { 0, 0, 0, 36, [15] = 7, [19] = 9, [20] = 0x21 };
	struct iscsi_range range;

	(void)d;
	CHECK(iscsi_parse_range(data, 40, 0, &range));
	CHECK(range.lba == 7 && range.blocks == 9 && range.status == 1);
	CHECK(iscsi_parse_range(data, 40, 1, &range));
	CHECK(!iscsi_parse_range(data, 40, 2, &range));
	CHECK(!iscsi_parse_range(data, 39, 1, &range));
	CHECK(!iscsi_parse_range(data, 40, UINT32_MAX, &range));
	CHECK(!iscsi_parse_range(data, 7, 0, &range));
	memset(data, 0xff, 4); /* says that there is more than came */
	CHECK(iscsi_parse_range(data, 40, 1, &range));
	CHECK(!iscsi_parse_range(data, 40, 2, &range));
	memset(data, 0, 4);
	CHECK(!iscsi_parse_range(data, 40, 0, &range));
}

/* ---- How a command ended ------------------------------------------------------------------ */

static struct iscsi_verdict sense_of(uint8_t key, uint8_t asc, uint8_t ascq, bool descriptors,
				     bool writes)
{
	const uint8_t fixed[20] = { 0, 18, 0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq };
	const uint8_t other[10] = { 0, 8, 0x72, key, asc, ascq };

	return iscsi_judge(ISCSI_CHECK_CONDITION, descriptors ? other : fixed,
			   descriptors ? sizeof(other) : sizeof(fixed), writes);
}

static struct iscsi_verdict sense(uint8_t key, uint8_t asc, uint8_t ascq, bool descriptors)
{
	return sense_of(key, asc, ascq, descriptors, false);
}

/* tgt calls every failure of a file a read error, LIO one of communication. */
static void failed_writes(struct device *d)
{
	(void)d;
	for (int i = 0; i < 2; i++) {
		struct iscsi_verdict v = sense_of(0x3, 0x11, 0x00, i, true);

		CHECK_EQ(v.error, EIO);
		CHECK(strstr(v.text, "written") && strstr(v.text, "no space"));
		v = sense_of(0x2, 0x08, 0x00, i, true);
		CHECK_EQ(v.error, EIO);
		CHECK(strstr(v.text, "no space"));
		CHECK_EQ(sense_of(0x7, 0x27, 0x07, i, true).error, ENOSPC);
	}
}

static void verdicts(struct device *d)
{
	static const struct {
		uint8_t key, asc, ascq;
		enum iscsi_then then;
		int error;
	} cases[] = {
		{ 0x1, 0x17, 0x01, ISCSI_DONE, 0 },
		{ 0x2, 0x04, 0x01, ISCSI_TRY_LATER, EBUSY },
		{ 0x2, 0x3a, 0x00, ISCSI_FAIL, ENOMEDIUM },
		{ 0x3, 0x11, 0x00, ISCSI_FAIL, ENODATA },
		{ 0x3, 0x0c, 0x02, ISCSI_FAIL, EIO },
		{ 0x4, 0x44, 0x00, ISCSI_FAIL, EIO },
		{ 0x5, 0x20, 0x00, ISCSI_FAIL, ENOTSUP },
		{ 0x5, 0x21, 0x00, ISCSI_FAIL, EINVAL },
		{ 0x5, 0x25, 0x00, ISCSI_FAIL, ENXIO },
		{ 0x6, 0x29, 0x00, ISCSI_TRY_AGAIN, EIO },
		{ 0x6, 0x38, 0x07, ISCSI_TRY_AGAIN, EIO },
		{ 0x7, 0x27, 0x07, ISCSI_FAIL, ENOSPC },
		{ 0x7, 0x27, 0x00, ISCSI_FAIL, EROFS },
		{ 0xb, 0x00, 0x00, ISCSI_TRY_LATER, EIO },
		{ 0xd, 0x00, 0x00, ISCSI_FAIL, ENOSPC },
		{ 0x0, 0x00, 0x00, ISCSI_FAIL, EIO },
		{ 0xf, 0xff, 0xff, ISCSI_FAIL, EIO },
	};

	(void)d;
	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		struct iscsi_verdict v =
		    sense(cases[i / 2].key, cases[i / 2].asc, cases[i / 2].ascq, i % 2);

		printf("case %zu\n", i);
		CHECK_EQ(v.then, cases[i / 2].then);
		CHECK_EQ(v.error, cases[i / 2].error);
		CHECK(v.then == ISCSI_DONE || v.text);
	}
}

/* Whatever comes as sense data, or as status, something is made of it, and nothing else read. */
static void nonsense(struct device *d)
{
	uint8_t data[300];
	unsigned seed = 1;

	(void)d;
	CHECK_EQ(iscsi_judge(ISCSI_CHECK_CONDITION, NULL, 0, false).error, EIO);
	for (int i = 0; i < 20000; i++) {
		size_t len = rand_r(&seed) % sizeof(data);
		struct iscsi_verdict v;
		uint8_t *copy;

		for (size_t k = 0; k < len; k++)
			data[k] = rand_r(&seed);
		if (len > 2 && i % 2)
			data[2] = 0x70 + rand_r(&seed) % 4;
		copy = cut(data, len);
		v = iscsi_judge(ISCSI_CHECK_CONDITION, copy, len, i & 1);
		CHECK(v.then == ISCSI_DONE || (v.error && v.text));
		free(copy);
	}
	for (uint32_t status = 0; status < 0x200; status++) {
		struct iscsi_verdict v = iscsi_judge(status, NULL, 0, false);

		CHECK(status == ISCSI_GOOD || status == ISCSI_CONDITION_MET ||
		      (v.then != ISCSI_DONE && v.error && v.text));
	}
	CHECK_EQ(iscsi_judge(0x0f000001, NULL, 0, false).then, ISCSI_FAIL);
}

/* ---- Commands ----------------------------------------------------------------------------- */

static void commands(struct device *d)
{
	struct iscsi_cdb c = iscsi_cdb_write(0x0102030405060708, 0x090a0b0c, ISCSI_FUA);
	uint8_t unmap[ISCSI_UNMAP_LEN];

	(void)d;
	CHECK_EQ(c.len, 16);
	CHECK_MEM(c.b, "\x8a\x08\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\0\0", 16);
	c = iscsi_cdb_inquiry(0xb0, 512);
	CHECK_EQ(c.len, 6);
	CHECK_MEM(c.b, "\x12\1\xb0\2\0\0", 6);
	iscsi_build_unmap(unmap, 0x0102030405060708, 0x090a0b0c);
	CHECK_MEM(unmap, "\0\x16\0\x10\0\0\0\0\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\0\0\0\0", 24);
}

static const struct test tests[] = {
	{ "capacities", capacities, 0 },
	{ "impossible capacities", impossible_capacities, 0 },
	{ "pages", pages, 0 },
	{ "lists of pages", lists_of_pages, 0 },
	{ "caching", caching, 0 },
	{ "kinds of device", kinds, 0 },
	{ "ranges of blocks", ranges, 0 },
	{ "how commands end", verdicts, 0 },
	{ "failed writes", failed_writes, 0 },
	{ "nonsense", nonsense, 0 },
	{ "commands", commands, 0 },
};
TEST_MAIN(tests)
