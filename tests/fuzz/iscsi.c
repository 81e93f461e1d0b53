/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fuzzer: what an iSCSI target says of a logical unit and of how commands ended, its answers during
 * the login, and URIs. What comes out of them are limits and commands that make sense, or an error.
 */
#include "fuzz.h"
#include "input.h"
#include "iscsi/iscsi_dev.h"

enum { TEXT_MAX = 600 };

/* Memory of just that length, so that a sanitizer sees who reads behind it. */
static uint8_t *take(struct fuzz_input *in, const uint8_t *plausible, size_t len, size_t *said)
{
	uint8_t page[ISCSI_DATA_MAX] = { 0 }, *copy;

	memcpy(page, plausible, len);
	if (fuzz_u8(in) & 1)
		fuzz_patch(in, page, sizeof(page));
	*said = fuzz_u8(in) & 3 ? len : fuzz_u16(in) % (sizeof(page) + 1);
	copy = malloc(*said ? *said : 1);
	MUST(copy);
	memcpy(copy, page, *said);
	return copy;
}

/* ---- The logical unit --------------------------------------------------------------------- */

static void check_limits(const struct iscsi_unit *u)
{
	struct bk_limits l = { 0 };
	uint64_t block = u->block_size;

	iscsi_set_limits(&l, u);
	MUST(is_power_of_2(u->block_size) && block >= 512 && block <= 65536);
	MUST(u->blocks && u->blocks <= (uint64_t)INT64_MAX / block);
	MUST(l.request_alignment == (int)block && l.buf_alignment == 1);
	MUST(is_power_of_2(l.optimal_io_alignment) && l.optimal_io_alignment >= (int)block);
	MUST(l.optimal_io_size >= 0 && l.max_segments > 0);
	MUST(l.max_transfer >= (int)block && l.max_transfer % (int)block == 0 &&
	     l.max_transfer <= INT_MAX);
	/* 0 would be no limit; the number of blocks has 32 bits in a command. */
	MUST(l.max_write_zeroes_len >= block && l.max_write_zeroes_len / block <= UINT32_MAX);
	MUST(l.max_discard_len >= block && l.max_discard_len / block <= UINT32_MAX);
	MUST(l.discard_alignment > 0 && l.discard_alignment % (int)block == 0);
	MUST(l.discard_alignment_offset >= 0 && l.discard_alignment_offset < l.discard_alignment);
}

static void fuzz_unit(struct fuzz_input *in)
{
	static const uint8_t capacity[32] = { [6] = 1, [10] = 2, [13] = 3, [14] = 0xc0 };
	static const uint8_t limits[64] = {
		0, 0xb0, 0, 60, [7] = 8, [20] = 1, [31] = 8, [32] = 0x80
	};
	static const uint8_t thin[8] = { 0, 0xb2, 0, 4, 0, 0xc0 };
	static const uint8_t caching[28] = { 0, 26, 0, 0x10, 0, 0, 0, 0, 0x08, 18, 4 };
	static const uint8_t pages[8] = { 0, 0, 0, 4, 0, 0x83, 0xb0, 0xb2 };
	struct iscsi_unit u = { 0 };
	bool usable;
	size_t len;
	uint8_t *data = take(in, capacity, sizeof(capacity), &len);

	usable = !iscsi_parse_capacity(data, len, &u);
	free(data);
	data = take(in, limits, sizeof(limits), &len);
	iscsi_parse_limits(data, len, &u);
	free(data);
	data = take(in, thin, sizeof(thin), &len);
	iscsi_parse_thin(data, len, &u);
	free(data);
	data = take(in, caching, sizeof(caching), &len);
	iscsi_parse_caching(data, len, &u);
	free(data);
	data = take(in, pages, sizeof(pages), &len);
	iscsi_parse_inquiry(data, len);
	iscsi_has_page(data, len, fuzz_u8(in));
	free(data);
	if (usable)
		check_limits(&u);
}

/* ---- Ends of commands --------------------------------------------------------------------- */

static void fuzz_ranges(struct fuzz_input *in)
{
	static const uint8_t ranges[40] = { 0, 0, 0, 36, [19] = 8, [27] = 8 };
	struct iscsi_range range;
	size_t len;
	uint8_t *data = take(in, ranges, sizeof(ranges), &len);
	unsigned n = 0;

	while (iscsi_parse_range(data, len, n, &range))
		n++;
	MUST(n <= ISCSI_DATA_MAX / ISCSI_STATUS_DESCRIPTOR);
	MUST(!iscsi_parse_range(data, len, UINT32_MAX, &range));
	free(data);
}

static void fuzz_verdict(struct fuzz_input *in)
{
	static const uint8_t fixed[20] = { 0, 18, 0x70, 0, 7, [14] = 0x27, 7 };
	static const uint8_t described[10] = { 0, 8, 0x72, 7, 0x27, 7 };
	bool writes = fuzz_u8(in) & 1;
	uint32_t status = fuzz_u8(in) & 1 ? ISCSI_CHECK_CONDITION : fuzz_u32(in);
	struct iscsi_verdict v;
	size_t len;
	uint8_t *data = writes ? take(in, fixed, sizeof(fixed), &len)
			       : take(in, described, sizeof(described), &len);

	v = iscsi_judge(status, data, len, writes);
	MUST(v.then == ISCSI_DONE ? !v.error : v.error > 0 && v.error < 4096 && v.text && *v.text);
	/* Nothing is lost in silence: only the target's word ends a command well. */
	MUST(v.then != ISCSI_DONE || status == ISCSI_GOOD || status == ISCSI_CONDITION_MET ||
	     status == ISCSI_CHECK_CONDITION);
	free(data);
}

/* ---- Texts -------------------------------------------------------------------------------- */

/* A target that is to authenticate itself: it is not believed before it answered a challenge. */
static void fuzz_login(struct fuzz_input *in)
{
	struct iscsi_login l = { .mutual = fuzz_u8(in) & 1 };

	for (unsigned n = fuzz_u8(in) & 7; n; n--) {
		static const char *const says[] = { "AuthMethod=CHAP",	 "CHAP_A=5",
						    "CHAP_C=0x1234",	 "CHAP_R=0x5678",
						    "HeaderDigest=None", "MaxBurstLength=262144" };
		uint8_t header[48] = { 0x23, fuzz_u8(in) };
		char text[TEXT_MAX];
		size_t len = 0;

		for (unsigned keys = fuzz_u8(in) & 3; keys; keys--) {
			const char *key = says[fuzz_u8(in) % ARRAY_SIZE(says)];

			memcpy(text + len, key, strlen(key) + 1);
			len += strlen(key) + 1;
		}
		if (fuzz_u8(in) & 1 && len)
			fuzz_patch(in, text, len);
		if (iscsi_login_check(&l, header, text, len) < 0)
			return;
	}
	MUST(iscsi_login_over(&l) == 0 || l.mutual);
	MUST(!l.authenticated || (l.mutual && l.has_challenged));
	MUST(iscsi_login_errno(fuzz_u16(in)) > 0);
}

static void fuzz_uri(struct fuzz_input *in)
{
	char uri[TEXT_MAX] =
	    "iscsi://me%secret@[::1]:3260/iqn.2024-01.org:disk/7?header_digest=none";
	struct iscsi_target t;
	size_t len = strlen(uri);

	fuzz_patch(in, uri, len);
	if (fuzz_u8(in) & 1)
		fuzz_bytes(in, uri + 8, TEXT_MAX - 9);
	if (iscsi_parse_uri(uri, &t) < 0) {
		MUST(!t.memory && *blkio_get_error_msg());
		return;
	}
	MUST(t.name && strlen(t.name) <= 223 && t.address.port > 0);
	MUST(t.lun >= 0 && t.lun <= 0x7fff);
	iscsi_target_free(&t);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	static void (*const kinds[])(struct fuzz_input * in) = { fuzz_unit, fuzz_ranges,
								 fuzz_verdict, fuzz_login,
								 fuzz_uri };
	struct fuzz_input in = { data, data + len };

	kinds[fuzz_u8(&in) % ARRAY_SIZE(kinds)](&in);
}
