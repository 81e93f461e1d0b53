/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* NVMe without hardware: request -> 64-byte command, zone report -> zones, status -> errno. */
#include <endian.h>

#include "../lib/test.h"
#include "nvme/nvme_cmd.h"

#define GIB (1ull << 30)

/* ---- Commands ----------------------------------------------------------------------------- */

static const struct nvme_ns ns512 = { .nsid = 1, .block_shift = 9, .nr_blocks = 1ull << 33 };
static const struct nvme_ns ns4k = {
	.nsid = 0x12345678, .block_shift = 12, .nr_blocks = 1ull << 40, .deac = true
};
static const struct nvme_ns zns = {
	.nsid = 3,
	.block_shift = 12,
	.nr_blocks = 64 * 1024,
	.zones = { .zoned = NVME_ZONED_HOST_MANAGED, .size = 4 << 20, .nr = 64 },
};

/* With protection information, of each type. */
static const struct nvme_ns pi1 = { .nsid = 1, .block_shift = 9, .nr_blocks = 1ull << 40, .pi = 1 };
static const struct nvme_ns pi3 = { .nsid = 1, .block_shift = 9, .nr_blocks = 1ull << 40, .pi = 3 };
static const struct nvme_ns pi2_zns = {
	.nsid = 3,
	.block_shift = 12,
	.nr_blocks = 64 * 1024,
	.zones = { .zoned = NVME_ZONED_HOST_MANAGED, .size = 4 << 20, .nr = 64 },
	.pi = 2,
};

/* As on the wire, dword by dword; those not given are 0: no data pointer, no command id. */
static const struct command {
	const char *what;
	const struct nvme_ns *ns;
	struct bk_req r;
	uint32_t dw[16];
} commands[] = {
	{ "read of one block", &ns512, { .op = BK_READ, .len = 512 }, { 0x02, 1 } },
	{ "read",
	  &ns512,
	  { .op = BK_READ, .start = 0x200 * 0x1234, .len = 8 * 512 },
	  { 0x02, 1, [10] = 0x1234, [12] = 7 } },
	{ "read beyond 2^32 blocks",
	  &ns512,
	  { .op = BK_READ, .start = 512 * 0x1fedcba98, .len = 512 },
	  { 0x02, 1, [10] = 0xfedcba98, [11] = 1 } },
	{ "read, 4 KiB blocks, as long as can be",
	  &ns4k,
	  { .op = BK_READ, .start = 4096, .len = 65536ull << 12 },
	  { 0x02, 0x12345678, [10] = 1, [12] = 0xffff } },
	{ "write",
	  &ns4k,
	  { .op = BK_WRITE, .start = 8192, .len = 8192 },
	  { 0x01, 0x12345678, [10] = 2, [12] = 1 } },
	{ "write with FUA",
	  &ns4k,
	  { .op = BK_WRITE, .start = 8192, .len = 4096, .flags = BLKIO_REQ_FUA },
	  { 0x01, 0x12345678, [10] = 2, [12] = 0x40000000 } },
	{ "write zeroes, deallocating",
	  &ns4k,
	  { .op = BK_WRITE_ZEROES, .start = 0, .len = 8192 },
	  { 0x08, 0x12345678, [12] = 0x02000001 } },
	{ "write zeroes, not deallocating",
	  &ns4k,
	  { .op = BK_WRITE_ZEROES, .len = 4096, .flags = BLKIO_REQ_NO_UNMAP },
	  { 0x08, 0x12345678 } },
	{ "write zeroes where deallocated blocks read as anything",
	  &ns512,
	  { .op = BK_WRITE_ZEROES, .start = 512, .len = 512 },
	  { 0x08, 1, [10] = 1 } },
	{ "write zeroes with FUA",
	  &ns4k,
	  { .op = BK_WRITE_ZEROES, .len = 4096, .flags = BLKIO_REQ_FUA },
	  { 0x08, 0x12345678, [12] = 0x42000000 } },
	{ "discard",
	  &ns4k,
	  { .op = BK_DISCARD, .start = 4096, .len = GIB },
	  { 0x09, 0x12345678, [11] = 4 } },
	{ "zone append",
	  &zns,
	  { .op = BK_ZONE_APPEND, .start = 4 << 20, .len = 3 << 12 },
	  { 0x7d, 3, [10] = 1024, [12] = 2 } },
	{ "zone append with FUA",
	  &zns,
	  { .op = BK_ZONE_APPEND, .len = 4096, .flags = BLKIO_REQ_FUA },
	  { 0x7d, 3, [12] = 0x40000000 } },
	{ "atomic write",
	  &ns512,
	  { .op = BK_WRITE, .start = 512, .len = 4096, .flags = BLKIO_REQ_ATOMIC },
	  { 0x01, 1, [10] = 1, [12] = 7 } },
	{ "atomic write with FUA",
	  &ns512,
	  { .op = BK_WRITE, .len = 512, .flags = BLKIO_REQ_ATOMIC | BLKIO_REQ_FUA },
	  { 0x01, 1, [12] = 0x40000000 } },
	{ "read with protection information",
	  &pi1,
	  { .op = BK_READ, .start = 512 * 0x1fedcba98, .len = 1024 },
	  { 0x02, 1, [10] = 0xfedcba98, [11] = 1, [12] = 0x34000001, [14] = 0xfedcba98 } },
	{ "write with protection information",
	  &pi1,
	  { .op = BK_WRITE, .start = 512 * 7, .len = 512 },
	  { 0x01, 1, [10] = 7, [12] = 0x34000000, [14] = 7 } },
	{ "FUA write with protection information",
	  &pi1,
	  { .op = BK_WRITE, .start = 512 * 7, .len = 512, .flags = BLKIO_REQ_FUA },
	  { 0x01, 1, [10] = 7, [12] = 0x74000000, [14] = 7 } },
	{ "write with protection information of type 3",
	  &pi3,
	  { .op = BK_WRITE, .start = 512 * 7, .len = 512 },
	  { 0x01, 1, [10] = 7, [12] = 0x30000000 } },
	{ "write zeroes with protection information",
	  &pi1,
	  { .op = BK_WRITE_ZEROES, .start = 512 * 7, .len = 512 },
	  { 0x08, 1, [10] = 7, [12] = 0x20000000, [14] = 7 } },
	{ "discard with protection information",
	  &pi1,
	  { .op = BK_DISCARD, .start = 4096, .len = 512 },
	  { 0x09, 1, [11] = 4 } },
	{ "zone append with protection information",
	  &pi2_zns,
	  { .op = BK_ZONE_APPEND, .start = 4 << 20, .len = 4096 },
	  { 0x7d, 3, [10] = 1024, [12] = 0x36000000, [14] = 1024 } },
	{ "reset of a zone with protection information",
	  &pi2_zns,
	  { .op = BK_ZONE_RESET, .start = 4 << 20 },
	  { 0x79, 3, [10] = 1024, [13] = 4 } },
	{ "flush", &ns512, { .op = BK_FLUSH }, { 0x00, 1 } },
	{ "close zone",
	  &zns,
	  { .op = BK_ZONE_CLOSE, .start = 4 << 20 },
	  { 0x79, 3, [10] = 1024, [13] = 1 } },
	{ "finish zone",
	  &zns,
	  { .op = BK_ZONE_FINISH, .start = 8 << 20 },
	  { 0x79, 3, [10] = 2048, [13] = 2 } },
	{ "open zone", &zns, { .op = BK_ZONE_OPEN }, { 0x79, 3, [13] = 3 } },
	{ "reset zone",
	  &zns,
	  { .op = BK_ZONE_RESET, .start = 4 << 20 },
	  { 0x79, 3, [10] = 1024, [13] = 4 } },
	{ "close all zones",
	  &zns,
	  { .op = BK_ZONE_CLOSE, .flags = BK_REQ_ALL_ZONES },
	  { 0x79, 3, [13] = 0x101 } },
	{ "finish all zones",
	  &zns,
	  { .op = BK_ZONE_FINISH, .flags = BK_REQ_ALL_ZONES },
	  { 0x79, 3, [13] = 0x102 } },
	{ "open all zones",
	  &zns,
	  { .op = BK_ZONE_OPEN, .flags = BK_REQ_ALL_ZONES },
	  { 0x79, 3, [13] = 0x103 } },
	{ "reset all zones",
	  &zns,
	  { .op = BK_ZONE_RESET, .flags = BK_REQ_ALL_ZONES },
	  { 0x79, 3, [13] = 0x104 } },
};

static void check_command(const char *what, const struct nvme_cmd *c, const uint32_t *want)
{
	uint32_t got[16];

	memcpy(got, c, sizeof(got));
	for (int i = 0; i < 16; i++) {
		if (got[i] != want[i])
			FAIL("%s: dword %d is %#x, not %#x", what, i, got[i], want[i]);
	}
}

static void every_command(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		struct nvme_cmd c;

		memset(&c, 0xa5, sizeof(c));
		nvme_prep(commands[i].ns, &commands[i].r, &c);
		check_command(commands[i].what, &c, commands[i].dw);
	}
}

/* The short cut of plain reads and writes: a template of which only the blocks change. */
static void template(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const struct bk_req *r = &commands[i].r;
		struct nvme_cmd c;

		if (r->op > BK_WRITE || r->flags || commands[i].ns->pi)
			continue;
		nvme_prep(commands[i].ns, &(struct bk_req){ .op = r->op }, &c);
		nvme_set_blocks(commands[i].ns, r->start, r->len, &c);
		check_command(commands[i].what, &c, commands[i].dw);
	}
}

static void discard_range(struct device *d)
{
	const struct bk_req r = { .op = BK_DISCARD, .start = 3 * 4096, .len = GIB };
	struct nvme_ns small = { .block_shift = 12, .nr_blocks = 3 + GIB / 4096 };
	const uint8_t want[16] = { 0, 0, 0, 0, 0, 0, 4, 0, 3 };
	struct nvme_dsm_range range = nvme_discard_range(&ns4k, &r);

	(void)d;
	CHECK_MEM(&range, want, sizeof(want));
	CHECK(!nvme_request_error(&small, &r));
	nvme_resize(&small, small.nr_blocks - 1);
	CHECK_STR(nvme_request_error(&small, &r), "the range ends past the capacity");
}

static void report_command(struct device *d)
{
	struct nvme_cmd c;

	(void)d;
	CHECK_EQ(nvme_report_len(0), 64);
	CHECK_EQ(nvme_report_len(1023), 64 << 10);
	nvme_prep_report(&zns, 5 << 20, nvme_report_len(1), &c);
	check_command("report", &c,
		      (const uint32_t[16]){ 0x7a, 3, [10] = 1280, [12] = 31, [13] = 0x10000 });
}

/* Where an append went is within its zone, as a whole. */
static void appended(struct device *d)
{
	static const struct {
		uint64_t block;
		bool ok;
	} cases[] = {
		{ 1024, true },	 { 1025, true },  { 2045, true },	 { 2046, false },
		{ 1023, false }, { 2048, false }, { UINT64_MAX, false }, { 0, false },
	};

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t at = 7;
		struct bk_req r = {
			.op = BK_ZONE_APPEND, .start = 4 << 20, .len = 3 << 12, .written_at = &at
		};
		const char *msg = NULL;
		int ret = nvme_append_came(&zns, &r, cases[i].block, &msg);

		CHECK_EQ(ret, cases[i].ok ? 0 : -EIO);
		CHECK(!msg == cases[i].ok);
		CHECK_EQ(at, cases[i].ok ? cases[i].block << 12 : 7);
	}
}

/* ---- Zone reports ------------------------------------------------------------------------- */

/* struct nvme_zone_report with its descriptors */
struct report {
	uint64_t nr_zones;
	uint8_t reserved[56];
	struct nvme_zns_desc zone[3];
};

/* Three zones at the end of zns: open, full, empty. */
static struct report report(void)
{
	return (struct report){
		.nr_zones = htole64(3),
		.zone = {
			{ .zt = 2, .zs = 0x20, .za = NVME_ZNS_ZA_RZR, .zcap = htole64(1000),
			  .zslba = htole64(61 * 1024), .wp = htole64(61 * 1024 + 5) },
			{ .zt = 2, .zs = 0xe0, .zcap = htole64(1000), .zslba = htole64(62 * 1024),
			  .wp = htole64(UINT64_MAX) },
			{ .zt = 2, .zs = 0x10, .zcap = htole64(1024), .zslba = htole64(63 * 1024),
			  .wp = htole64(63 * 1024) },
		},
	};
}

static int parse(const struct report *rep, uint32_t len, struct blkio_zone *out, uint32_t max)
{
	const char *msg = NULL;
	int n;

	memset(out, 0xee, 3 * sizeof(*out));
	n = nvme_parse_report(&zns, rep, len, out, max, &msg);
	CHECK(n >= 0 ? !msg : msg && *msg);
	return n;
}

static void parse_report(struct device *d)
{
	const struct blkio_zone want[3] = {
		{ .start = 244 << 20,
		  .len = 4 << 20,
		  .capacity = 4096000,
		  .write_pointer = (244 << 20) + 5 * 4096,
		  .zone_type = BLKIO_ZONE_TYPE_SEQWRITE_REQ,
		  .zone_state = BLKIO_ZONE_STATE_IMP_OPEN,
		  .reset = 1 },
		{ .start = 248 << 20,
		  .len = 4 << 20,
		  .capacity = 4096000,
		  .write_pointer = 252 << 20,
		  .zone_type = BLKIO_ZONE_TYPE_SEQWRITE_REQ,
		  .zone_state = BLKIO_ZONE_STATE_FULL },
		{ .start = 252 << 20,
		  .len = 4 << 20,
		  .capacity = 4 << 20,
		  .write_pointer = 252 << 20,
		  .zone_type = BLKIO_ZONE_TYPE_SEQWRITE_REQ,
		  .zone_state = BLKIO_ZONE_STATE_EMPTY },
	};
	struct report rep = report();
	struct blkio_zone z[3];

	(void)d;
	CHECK_EQ(parse(&rep, sizeof(rep), z, 3), 3);
	CHECK_MEM(z, want, sizeof(want));
	/* Whatever it claims, no more than there is room for and than was asked for. */
	rep.nr_zones = htole64(UINT64_MAX);
	CHECK_EQ(parse(&rep, sizeof(rep), z, 3), 3);
	CHECK_EQ(parse(&rep, sizeof(rep), z, 2), 2);
	CHECK_EQ(z[2].start, 0xeeeeeeeeeeeeeeee);
	CHECK_EQ(parse(&rep, nvme_report_len(1), z, 3), 1);
	CHECK_EQ(parse(&rep, nvme_report_len(0), z, 3), 0);
	rep.nr_zones = 0;
	CHECK_EQ(parse(&rep, sizeof(rep), z, 3), 0);
}

static void impossible_zones(struct device *d)
{
	struct blkio_zone z[3];
	struct report rep;

	(void)d;
#define REFUSED(field, value)                                                                      \
	rep = report();                                                                            \
	rep.zone[2].field = htole64(value);                                                        \
	CHECK_EQ(parse(&rep, sizeof(rep), z, 3), -EIO)
	REFUSED(zslba, 64 * 1024);
	REFUSED(zslba, UINT64_MAX);
	REFUSED(zslba, 63 * 1024 - 1);
	REFUSED(zcap, 1025);
	REFUSED(wp, 63 * 1024 - 1);
	REFUSED(wp, 64 * 1024 + 1);
	REFUSED(wp, UINT64_MAX);
#undef REFUSED
}

/* ---- Status ------------------------------------------------------------------------------- */

static void status(struct device *d)
{
	static const struct {
		unsigned status;
		int errnum;
		const char *msg;
	} wanted[] = {
		{ 0x001, ENOTSUP, "does not support the command" },
		{ 0x002, EINVAL, "invalid field" },
		{ 0x020, EROFS, "write-protected" },
		{ 0x080, EINVAL, "LBA out of range" },
		{ 0x081, ENOSPC, "capacity" },
		{ 0x1b8, EINVAL, "boundary" },
		{ 0x1b9, ENOSPC, "full" },
		{ 0x1ba, EROFS, "read-only" },
		{ 0x1bc, EINVAL, "write pointer" },
		{ 0x1bd, EOVERFLOW, "too many active" },
		{ 0x1be, ETOOMANYREFS, "too many open" },
		{ 0x1bf, EINVAL, "transition" },
		{ 0x281, ENODATA, "unrecovered read" },
		/* with "do not retry" and "more", which say nothing about what happened */
		{ 0x4080, EINVAL, "LBA out of range" },
		{ 0x61b9, ENOSPC, "full" },
		/* not in the table */
		{ 0x07f, EIO, "generic" },
		{ 0x7c0, EIO, "vendor" },
	};
	const char *msg;

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		CHECK_EQ(nvme_status(wanted[i].status, &msg), wanted[i].errnum);
		if (!strstr(msg, wanted[i].msg))
			FAIL("status %#x: \"%s\"", wanted[i].status, msg);
	}
	for (unsigned s = 1; s < 0x10000; s++)
		CHECK(nvme_status(s, &msg) > 0 && msg && strstr(msg, "NVMe: "));
}

static const struct test tests[] = {
	{ "every command", every_command },	  { "template of reads and writes", template },
	{ "range of a discard", discard_range },  { "command of a zone report", report_command },
	{ "where an append went", appended },	  { "zone report", parse_report },
	{ "impossible zones", impossible_zones }, { "status", status },
};
TEST_MAIN(tests)
