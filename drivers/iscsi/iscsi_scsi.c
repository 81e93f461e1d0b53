/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See iscsi_scsi.h: commands, and the data that describes a logical unit. */
#include "iscsi/iscsi_scsi.h"

#include <string.h>

#include "driver.h"

#define BLOCK_MIN 512
#define BLOCK_MAX (1U << 16)

/* ---- Bytes -------------------------------------------------------------------------------- */

static void put16(uint8_t *b, uint16_t v)
{
	b[0] = v >> 8;
	b[1] = v & 0xff;
}

static void put32(uint8_t *b, uint32_t v)
{
	put16(b, v >> 16);
	put16(b + 2, v & 0xffff);
}

static void put64(uint8_t *b, uint64_t v)
{
	put32(b, v >> 32);
	put32(b + 4, v & 0xffffffff);
}

static uint16_t get16(const uint8_t *b)
{
	return b[0] << 8 | b[1];
}

static uint32_t get32(const uint8_t *b)
{
	return (uint32_t)get16(b) << 16 | get16(b + 2);
}

static uint64_t get64(const uint8_t *b)
{
	return (uint64_t)get32(b) << 32 | get32(b + 4);
}

/* ---- Commands ----------------------------------------------------------------------------- */

struct iscsi_cdb iscsi_cdb_inquiry(int page, uint16_t len)
{
	struct iscsi_cdb c = { { 0x12 }, 6 };

	if (page != ISCSI_PAGE_NONE) {
		c.b[1] = 1; /* EVPD */
		c.b[2] = page;
	}
	put16(c.b + 3, len);
	return c;
}

struct iscsi_cdb iscsi_cdb_capacity(uint32_t len)
{
	struct iscsi_cdb c = { { 0x9e, 0x10 }, 16 }; /* READ CAPACITY(16) */

	put32(c.b + 10, len);
	return c;
}

struct iscsi_cdb iscsi_cdb_caching(uint16_t len)
{
	struct iscsi_cdb c = { { 0x5a, 0, 0x08 }, 10 }; /* MODE SENSE(10), current values */

	put16(c.b + 7, len);
	return c;
}

struct iscsi_cdb iscsi_cdb_test(void)
{
	return (struct iscsi_cdb){ { 0x00 }, 6 }; /* TEST UNIT READY */
}

static struct iscsi_cdb cdb_of_range(uint8_t opcode, uint8_t flags, uint64_t lba, uint32_t blocks)
{
	struct iscsi_cdb c = { { opcode, flags }, 16 };

	put64(c.b + 2, lba);
	put32(c.b + 10, blocks);
	return c;
}

struct iscsi_cdb iscsi_cdb_read(uint64_t lba, uint32_t blocks)
{
	return cdb_of_range(0x88, 0, lba, blocks);
}

struct iscsi_cdb iscsi_cdb_write(uint64_t lba, uint32_t blocks, uint8_t flags)
{
	return cdb_of_range(0x8a, flags, lba, blocks);
}

struct iscsi_cdb iscsi_cdb_write_same(uint64_t lba, uint32_t blocks, uint8_t flags)
{
	return cdb_of_range(0x93, flags, lba, blocks);
}

struct iscsi_cdb iscsi_cdb_flush(void)
{
	return cdb_of_range(0x91, 0, 0, 0); /* SYNCHRONIZE CACHE(16) of all blocks */
}

struct iscsi_cdb iscsi_cdb_block_status(uint64_t lba, uint32_t len)
{
	return cdb_of_range(0x9e, 0x12, lba, len); /* GET LBA STATUS */
}

struct iscsi_cdb iscsi_cdb_unmap(void)
{
	struct iscsi_cdb c = { { 0x42 }, 10 };

	put16(c.b + 7, ISCSI_UNMAP_LEN);
	return c;
}

void iscsi_build_unmap(uint8_t *data, uint64_t lba, uint32_t blocks)
{
	memset(data, 0, ISCSI_UNMAP_LEN);
	put16(data, ISCSI_UNMAP_LEN - 2);
	put16(data + 2, ISCSI_UNMAP_LEN - 8);
	put64(data + 8, lba);
	put32(data + 16, blocks);
}

/* ---- What it is --------------------------------------------------------------------------- */

int iscsi_parse_inquiry(const uint8_t *data, size_t len)
{
	if (len < 1)
		return bk_err(EIO, "the iSCSI target does not say what the logical unit is");
	if (data[0] >> 5)
		return bk_err(ENXIO,
			      "the iSCSI target has no such logical unit; check the LUN, the "
			      "last part of property \"uri\"");
	if (data[0])
		return bk_err(ENOTSUP,
			      "the logical unit is not a disk: its device type is %#x, not 0",
			      data[0]);
	return 0;
}

static bool is_block_size(uint32_t size)
{
	return size >= BLOCK_MIN && size <= BLOCK_MAX && !(size & (size - 1));
}

int iscsi_parse_capacity(const uint8_t *data, size_t len, struct iscsi_unit *u)
{
	uint64_t last;
	unsigned exponent;

	if (len < 12)
		return bk_err(EIO, "the iSCSI target does not say how large the logical unit is");
	last = get64(data);
	u->block_size = get32(data + 8);
	if (!is_block_size(u->block_size))
		return bk_err(ENOTSUP,
			      "the logical unit has blocks of %u bytes, but only powers of two "
			      "from 512 to 65536 are supported",
			      u->block_size);
	if (last >= (uint64_t)INT64_MAX / u->block_size - 1)
		return bk_err(EFBIG, "the logical unit is too large: its last block is number %llu",
			      (unsigned long long)last);
	u->blocks = last + 1;
	exponent = len > 13 ? data[13] & 0xf : 0;
	u->physical_block = u->block_size << exponent;
	if (!is_block_size(u->physical_block))
		u->physical_block = u->block_size;
	u->thin = len > 14 && data[14] & 0x80;
	u->reads_zeroes = u->thin && data[14] & 0x40;
	return 0;
}

bool iscsi_has_page(const uint8_t *data, size_t len, uint8_t page)
{
	size_t n = len >= 4 ? min_u64(get16(data + 2), len - 4) : 0;

	return n && data[1] == ISCSI_PAGE_PAGES && memchr(data + 4, page, n);
}

/* Of a vital product data page: what is there of it. */
static size_t page_len(const uint8_t *data, size_t len, uint8_t page)
{
	if (len < 4 || data[1] != page)
		return 0;
	return min_u64(get16(data + 2) + 4, len);
}

void iscsi_parse_limits(const uint8_t *data, size_t len, struct iscsi_unit *u)
{
	len = page_len(data, len, ISCSI_PAGE_LIMITS);
	if (len < 16)
		return;
	u->granularity = get16(data + 6);
	u->max_transfer = get32(data + 8);
	u->optimal_transfer = get32(data + 12);
	if (len < 36)
		return;
	u->max_unmap = get32(data + 20);
	u->unmap_granularity = get32(data + 28);
	if (data[32] & 0x80)
		u->unmap_alignment = get32(data + 32) & 0x7fffffff;
	if (len >= 44)
		u->max_write_same = get64(data + 36);
}

void iscsi_parse_thin(const uint8_t *data, size_t len, struct iscsi_unit *u)
{
	len = page_len(data, len, ISCSI_PAGE_THIN);
	if (len < 6)
		return;
	u->unmap = data[5] & 0x80;
	u->write_same_unmap = data[5] & 0x40;
}

void iscsi_parse_caching(const uint8_t *data, size_t len, struct iscsi_unit *u)
{
	size_t at;

	if (len < 8)
		return;
	u->read_only = data[3] & 0x80;
	u->takes_fua = data[3] & 0x10;
	at = 8 + get16(data + 6);
	if (len > at + 2 && (data[at] & 0x3f) == 0x08)
		u->has_cache = data[at + 2] & 0x04; /* WCE */
}

bool iscsi_parse_range(const uint8_t *data, size_t len, unsigned i, struct iscsi_range *range)
{
	size_t at = ISCSI_STATUS_HEADER + (size_t)i * ISCSI_STATUS_DESCRIPTOR;

	if (len < ISCSI_STATUS_HEADER)
		return false;
	len = min_u64(len, (uint64_t)get32(data) + 4);
	if (at + ISCSI_STATUS_DESCRIPTOR > len)
		return false;
	*range = (struct iscsi_range){
		.lba = get64(data + at),
		.blocks = get32(data + at + 8),
		.status = data[at + 12] & 0xf,
	};
	return true;
}
