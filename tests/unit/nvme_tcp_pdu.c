/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* NVMe/TCP without a target: commands -> bytes; bytes -> what a PDU says, and may not. */
#include "nvme_tcp/nvme_tcp_pdu.h"
#include "../lib/test.h"
#include "nvme_tcp/crc32c.h"

/* ---- Initialization ----------------------------------------------------------------------- */

static uint8_t p[256];

static void ic_resp(unsigned digests, unsigned align, uint32_t max_data)
{
	memset(p, 0, sizeof(p));
	p[0] = NVME_TCP_ICRESP;
	p[2] = 128;
	nvme_tcp_put32(p + 4, 128);
	p[10] = (uint8_t)align;
	p[11] = (uint8_t)digests;
	nvme_tcp_put32(p + 12, max_data);
}

static struct nvme_tcp_wire w;
static const char *why;

static void agree(struct device *d)
{
	(void)d;
	nvme_tcp_build_icreq(p, true, false);
	CHECK_EQ(nvme_tcp_get64(p), 0x8000800000ULL | 128ULL << 32 | 128 << 16);
	CHECK_EQ(p[11], 1);
	nvme_tcp_build_icreq(p, true, true);
	CHECK_EQ(p[11], 3);
	ic_resp(0, 0, 131072);
	CHECK(nvme_tcp_parse_icresp(p, false, false, &w, &why));
	CHECK_EQ(w.capsule_len, 72);
	CHECK_EQ(w.capsule_data_at, 72);
	CHECK_EQ(w.h2c_data_at, 24);
	CHECK_EQ(w.max_data, 131072);
	ic_resp(3, 31, 4096);
	CHECK(nvme_tcp_parse_icresp(p, true, true, &w, &why));
	CHECK(w.header_digest && w.data_digest);
	CHECK_EQ(w.capsule_len, 76);
	CHECK_EQ(w.capsule_data_at, 128);
	CHECK_EQ(w.h2c_data_at, 128);
	ic_resp(0, 2, 4096);
	CHECK(nvme_tcp_parse_icresp(p, false, false, &w, &why));
	CHECK_EQ(w.capsule_data_at, 72);
	CHECK_EQ(w.h2c_data_at, 24);
}

static void disagrees(const char *text)
{
	CHECK(!nvme_tcp_parse_icresp(p, true, false, &w, &why));
	CHECK(strstr(why, text));
}

static void disagree(struct device *d)
{
	(void)d;
	ic_resp(0, 0, 4096);
	disagrees("digests");
	ic_resp(2, 0, 4096);
	disagrees("digests");
	ic_resp(3, 0, 4096);
	disagrees("digests");
	ic_resp(1, 0, 4095);
	disagrees("4096");
	ic_resp(1, 32, 4096);
	disagrees("alignment");
	ic_resp(1, 0, 4096);
	p[8] = 1;
	disagrees("version");
	ic_resp(1, 0, 4096);
	p[4] = 64;
	disagrees("ICResp");
	ic_resp(1, 0, 4096);
	p[2] = 24;
	disagrees("ICResp");
	memcpy(p, "HTTP/1.1 400 Bad Request", 24);
	disagrees("is this an NVMe/TCP port?");
	p[0] = NVME_TCP_C2H_TERM;
	disagrees("refuses");
}

/* ---- What the controller sends ------------------------------------------------------------ */

enum { LEN = 8192, READ = 1, WRITE = 2, FLUSH = 3, CID = 0x3000 };

static struct nvme_tcp_slot slots[4];
static struct nvme_tcp_table table = { .n = 4, .slot = slots };
static struct nvme_tcp_event ev;
static size_t used;

static void begin(bool header_digest, bool data_digest)
{
	memset(slots, 0, sizeof(slots));
	for (unsigned i = 0; i < 4; i++)
		slots[i].cid = CID + i;
	slots[READ].in_flight = slots[WRITE].in_flight = slots[FLUSH].in_flight = true;
	slots[READ].way = NVME_TCP_IN;
	slots[WRITE].way = NVME_TCP_OUT;
	slots[READ].len = slots[WRITE].len = LEN;
	table.wire = (struct nvme_tcp_wire){ header_digest,	     data_digest,
					     72 + 4 * header_digest, 72 + 4 * header_digest,
					     24 + 4 * header_digest, 4096 };
	table.sent = 1000;
}

/* A PDU with a header of 24 bytes, and so much data. */
static void pdu(unsigned type, unsigned flags, uint32_t data)
{
	unsigned digest = table.wire.header_digest ? 4 : 0;
	unsigned trailer = table.wire.data_digest && data ? 4 : 0;

	p[0] = (uint8_t)type;
	p[1] = (uint8_t)(flags | (digest ? 1 : 0) | (trailer ? 2 : 0));
	p[2] = 24;
	p[3] = data ? (uint8_t)(24 + digest) : 0;
	nvme_tcp_put32(p + 4, 24 + digest + data + trailer);
	nvme_tcp_put32(p + 24, crc32c(0, p, 24));
	used = 24 + digest;
}

static void response(unsigned slot, unsigned status)
{
	memset(p, 0, sizeof(p));
	nvme_tcp_put32(p + 8, 0x55667788);
	nvme_tcp_put32(p + 12, 0x11223344);
	nvme_tcp_put16(p + 20, (uint16_t)(CID + slot));
	nvme_tcp_put16(p + 22, (uint16_t)(status << 1));
	pdu(NVME_TCP_CAPSULE_RESP, 0, 0);
}

static void data(unsigned slot, uint32_t at, uint32_t len, unsigned flags)
{
	memset(p, 0, sizeof(p));
	nvme_tcp_put16(p + 8, (uint16_t)(CID + slot));
	nvme_tcp_put32(p + 12, at);
	nvme_tcp_put32(p + 16, len);
	pdu(NVME_TCP_C2H_DATA, flags, len);
}

static void r2t(unsigned slot, uint32_t at, uint32_t len)
{
	memset(p, 0, sizeof(p));
	nvme_tcp_put16(p + 8, (uint16_t)(CID + slot));
	nvme_tcp_put16(p + 10, 77);
	nvme_tcp_put32(p + 12, at);
	nvme_tcp_put32(p + 16, len);
	pdu(NVME_TCP_R2T, 0, 0);
}

static int next(size_t n)
{
	why = NULL;
	return nvme_tcp_next(&table, p, n, &ev, &why);
}

/* All of it makes an event, and nothing less does. */
static void takes(enum nvme_tcp_kind kind, unsigned slot)
{
	for (size_t n = 0; n < used; n++)
		CHECK_EQ(next(n), 0);
	CHECK_EQ(next(used), used);
	CHECK_EQ(ev.kind, kind);
	CHECK(ev.slot == &slots[slot]);
}

static void breaks(const char *text)
{
	CHECK_EQ(next(used), NVME_TCP_BROKEN);
	CHECK(strstr(why, text));
}

static void answers(bool header_digest, bool data_digest)
{
	begin(header_digest, data_digest);
	response(FLUSH, 0);
	takes(NVME_TCP_DONE, FLUSH);
	CHECK_EQ(ev.status, 0);
	CHECK_EQ(ev.result, 0x1122334455667788);
	response(READ, 0x281);
	takes(NVME_TCP_DONE, READ);
	CHECK_EQ(ev.status, 0x281);
	data(READ, 0, 4096, 0);
	takes(NVME_TCP_DATA, READ);
	CHECK_EQ(ev.at, 0);
	CHECK_EQ(ev.len, 4096);
	CHECK(!ev.is_done);
	data(READ, 4096, LEN - 4096, NVME_TCP_LAST | NVME_TCP_SUCCESS);
	takes(NVME_TCP_DATA, READ);
	CHECK_EQ(ev.at, 4096);
	CHECK(ev.is_done);
	r2t(WRITE, 0, 1000);
	takes(NVME_TCP_ASKS, WRITE);
	CHECK_EQ(slots[WRITE].to_ask, 1000);
	CHECK_EQ(slots[WRITE].ttag, 77);
	slots[WRITE].to_ask = 0;
	r2t(WRITE, 1000, LEN - 1000);
	takes(NVME_TCP_ASKS, WRITE);
	slots[WRITE].to_ask = 0;
	response(WRITE, 0);
	takes(NVME_TCP_DONE, WRITE);
}

static void all_answers(struct device *d)
{
	(void)d;
	answers(false, false);
	answers(true, false);
	answers(false, true);
	answers(true, true);
}

static void broken_responses(struct device *d)
{
	(void)d;
	begin(false, false);
	response(0, 0);
	breaks("not in flight");
	response(5, 0);
	breaks("not in flight");
	response(FLUSH - 0x1000, 0); /* of another use of the slot */
	breaks("not in flight");
	response(READ, 0);
	breaks("without all of its data");
	response(WRITE, 0);
	breaks("without all of its data");
	slots[WRITE].end = 1001;
	response(WRITE, 6);
	CHECK_EQ(next(used), NVME_TCP_EARLY);
}

static void broken_data(struct device *d)
{
	(void)d;
	begin(false, false);
	data(WRITE, 0, 512, 0);
	breaks("no command");
	data(FLUSH, 0, 512, 0);
	breaks("no command");
	data(READ, 0, LEN + 1, 0);
	breaks("outside");
	data(READ, 512, 512, 0);
	breaks("outside");
	data(READ, UINT32_MAX, 1, 0);
	breaks("outside");
	data(READ, 0, 0, 0);
	breaks("do not fit"); /* without data there is no PDO */
	data(READ, 0, 512, 0);
	nvme_tcp_put32(p + 16, 511);
	breaks("do not fit");
	begin(false, false);
	data(READ, 0, 512, NVME_TCP_LAST | NVME_TCP_SUCCESS);
	breaks("without all of its data");
	begin(false, false);
	data(READ, 0, LEN, NVME_TCP_SUCCESS);
	breaks("without all of its data");
	begin(false, false);
	data(READ, 0, 512, NVME_TCP_LAST);
	takes(NVME_TCP_DATA, READ);
	data(READ, 512, 512, 0);
	breaks("outside");
	begin(false, false);
	slots[READ].end = 1001;
	data(READ, 0, 512, 0);
	CHECK_EQ(next(used), NVME_TCP_EARLY);
	CHECK_EQ(slots[READ].so_far, 0);
}

static void broken_r2ts(struct device *d)
{
	(void)d;
	begin(false, false);
	r2t(READ, 0, 512);
	breaks("no command");
	r2t(0, 0, 512);
	breaks("no command");
	r2t(WRITE, 512, 512);
	breaks("outside");
	r2t(WRITE, 0, LEN + 1);
	breaks("outside");
	r2t(WRITE, 0, 0);
	breaks("outside");
	r2t(WRITE, 0, 512);
	takes(NVME_TCP_ASKS, WRITE);
	r2t(WRITE, 512, 512);
	CHECK_EQ(next(used), NVME_TCP_EARLY); /* one at a time */
}

static void broken_headers(struct device *d)
{
	static const struct {
		unsigned at;
		uint8_t byte;
		const char *text;
	} cases[] = {
		{ 0, NVME_TCP_CAPSULE_CMD, "type" },
		{ 0, NVME_TCP_ICRESP, "type" },
		{ 0, 8, "type" },
		{ 0, 0xff, "type" },
		{ 1, 1, "digests" },
		{ 2, 0, "wrong length" },
		{ 2, 23, "wrong length" },
		{ 2, 25, "wrong length" },
		{ 2, 0xff, "wrong length" },
		{ 4, 23, "do not fit" },
		{ 4, 25, "do not fit" },
		{ 7, 0x80, "do not fit" },
	};

	(void)d;
	begin(false, false);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		response(FLUSH, 0);
		p[cases[i].at] = cases[i].byte;
		breaks(cases[i].text);
		CHECK_EQ(next(8), NVME_TCP_BROKEN); /* not before it, nor any later */
	}
	data(READ, 0, 512, 0);
	p[3] = 28;
	breaks("do not fit");
	data(READ, 0, 512, 0);
	p[1] = 2;
	breaks("digests");
	begin(true, true);
	data(READ, 0, 512, 0);
	p[1] = 1;
	breaks("digests");
	data(READ, 0, 512, 0);
	p[1] = 2;
	breaks("digests");
	data(READ, 0, 512, 0);
	p[24] ^= 1;
	CHECK_EQ(next(used), NVME_TCP_CORRUPT);
}

static void terminated(struct device *d)
{
	(void)d;
	begin(true, true);
	memset(p, 0, sizeof(p));
	p[0] = NVME_TCP_C2H_TERM;
	p[2] = 24;
	nvme_tcp_put32(p + 4, 152);
	p[8] = 4;
	CHECK_EQ(next(23), 0);
	CHECK_EQ(next(24), 24);
	CHECK_EQ(ev.kind, NVME_TCP_TERMINATED);
	CHECK(strstr(why, "out of range"));
	p[8] = 0xee;
	CHECK_EQ(next(24), 24);
	CHECK(strstr(why, "ended the connection"));
}

/* Whatever it calls whole, nvme_tcp_next() takes the same way. */
static void whole(struct device *d)
{
	bool done;

	(void)d;
	begin(false, false);
	data(READ, 0, LEN, NVME_TCP_LAST | NVME_TCP_SUCCESS);
	CHECK(nvme_tcp_is_whole(&table, &slots[READ], p, &done) && done);
	for (unsigned i = 0; i < 24; i++) {
		uint8_t byte = p[i];

		for (unsigned bit = 0; bit < 8; bit++) {
			p[i] = byte ^ (uint8_t)(1 << bit);
			begin(false, false);
			if (!nvme_tcp_is_whole(&table, &slots[READ], p, &done))
				continue;
			CHECK_EQ(next(24), 24);
			CHECK(ev.kind == NVME_TCP_DATA && ev.slot == &slots[READ] &&
			      ev.len == LEN && ev.is_done == done);
		}
		p[i] = byte;
	}
	data(READ, 0, LEN, NVME_TCP_LAST);
	begin(false, false);
	CHECK(nvme_tcp_is_whole(&table, &slots[READ], p, &done) && !done);
	data(READ, 0, LEN, 0);
	CHECK(!nvme_tcp_is_whole(&table, &slots[READ], p, &done));
	slots[READ].so_far = 512;
	data(READ, 0, LEN, NVME_TCP_LAST);
	CHECK(!nvme_tcp_is_whole(&table, &slots[READ], p, &done));
}

/* ---- What we send ------------------------------------------------------------------------- */

static void capsules(struct device *d)
{
	struct nvme_cmd c = { .opcode = 2, .cid = CID + READ, .nsid = 9 };

	(void)d;
	begin(false, false);
	memset(p, 0, sizeof(p));
	nvme_tcp_point(&c, LEN, false);
	CHECK_EQ(nvme_tcp_build_capsule(&table.wire, p, &c, 0), 72);
	CHECK_EQ(nvme_tcp_get64(p), 4 | 72 << 16 | 72ULL << 32);
	CHECK_EQ(p[8], 2);
	CHECK_EQ(p[9], 0x40); /* an SGL */
	CHECK_EQ(nvme_tcp_get16(p + 10), CID + READ);
	CHECK_EQ(nvme_tcp_get64(p + 32), 0);
	CHECK_EQ(nvme_tcp_get64(p + 40), LEN | 0x5aULL << 56);
	nvme_tcp_point(&c, LEN, true);
	CHECK_EQ(nvme_tcp_build_capsule(&table.wire, p, &c, LEN), 72);
	CHECK_EQ(nvme_tcp_get64(p), 4 | 72 << 16 | 72U << 24 | (72ULL + LEN) << 32);
	CHECK_EQ(nvme_tcp_get64(p + 40), LEN | 1ULL << 56);
	begin(true, true);
	table.wire.capsule_data_at = 128;
	CHECK_EQ(nvme_tcp_build_capsule(&table.wire, p, &c, LEN), 128);
	CHECK_EQ(nvme_tcp_get64(p), 4 | 3 << 8 | 72 << 16 | 128U << 24 | (128ULL + LEN + 4) << 32);
	CHECK_EQ(nvme_tcp_get32(p + 72), crc32c(0, p, 72));
	CHECK_EQ(nvme_tcp_get32(p + 76), 0);
	CHECK_EQ(nvme_tcp_build_capsule(&table.wire, p, &c, 0), 76);
	CHECK_EQ(p[1], 1); /* no data, no data digest */
}

static void h2c_data(struct device *d)
{
	(void)d;
	begin(true, true);
	slots[WRITE].ttag = 77;
	CHECK_EQ(nvme_tcp_build_data(&table.wire, p, &slots[WRITE], 4096, 512, true), 28);
	CHECK_EQ(nvme_tcp_get64(p), 6 | 7 << 8 | 24 << 16 | 28 << 24 | (28ULL + 512 + 4) << 32);
	CHECK_EQ(nvme_tcp_get16(p + 8), CID + WRITE);
	CHECK_EQ(nvme_tcp_get16(p + 10), 77);
	CHECK_EQ(nvme_tcp_get32(p + 12), 4096);
	CHECK_EQ(nvme_tcp_get32(p + 16), 512);
	CHECK_EQ(nvme_tcp_get32(p + 24), crc32c(0, p, 24));
	begin(false, false);
	CHECK_EQ(nvme_tcp_build_data(&table.wire, p, &slots[WRITE], 0, 512, false), 24);
	CHECK_EQ(nvme_tcp_get64(p), 6 | 24 << 16 | 24 << 24 | (24ULL + 512) << 32);
}

static const struct test tests[] = {
	{ "initialization", agree },
	{ "initialization that fails", disagree },
	{ "answers", all_answers },
	{ "broken responses", broken_responses },
	{ "broken data", broken_data },
	{ "broken R2Ts", broken_r2ts },
	{ "broken headers", broken_headers },
	{ "the controller ends the connection", terminated },
	{ "whole reads", whole },
	{ "capsules", capsules },
	{ "data", h2c_data },
};

TEST_MAIN(tests)
