/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * SCSI, as bytes: commands for block devices (SPC-4, SBC-3), and what is in the data and the sense
 * data that come back. All of that is the target's: it is checked here, and nothing else believes
 * it. Knows nothing of connections.
 */
#ifndef BK_ISCSI_SCSI_H
#define BK_ISCSI_SCSI_H

#include <stddef.h>

#include "util.h"

/* ---- Commands ----------------------------------------------------------------------------- */

struct iscsi_cdb {
	uint8_t b[16];
	uint8_t len;
};

enum {
	ISCSI_FUA = 1 << 3,   /* of reads and writes */
	ISCSI_UNMAP = 1 << 3, /* of WRITE SAME: it may deallocate */
};

#define ISCSI_PAGE_NONE -1 /* standard inquiry data */
enum { ISCSI_PAGE_PAGES = 0x00, ISCSI_PAGE_LIMITS = 0xb0, ISCSI_PAGE_MEDIUM, ISCSI_PAGE_THIN };

/* Each for data of at most len bytes. */
struct iscsi_cdb iscsi_cdb_inquiry(int page, uint16_t len);
struct iscsi_cdb iscsi_cdb_capacity(uint32_t len);
struct iscsi_cdb iscsi_cdb_caching(uint16_t len);
struct iscsi_cdb iscsi_cdb_test(void);

/* In logical blocks. */
struct iscsi_cdb iscsi_cdb_read(uint64_t lba, uint32_t blocks);
struct iscsi_cdb iscsi_cdb_write(uint64_t lba, uint32_t blocks, uint8_t flags);
struct iscsi_cdb iscsi_cdb_write_same(uint64_t lba, uint32_t blocks, uint8_t flags);
struct iscsi_cdb iscsi_cdb_flush(void);
struct iscsi_cdb iscsi_cdb_block_status(uint64_t lba, uint32_t len);

#define ISCSI_UNMAP_LEN 24 /* bytes of data, of one range */
struct iscsi_cdb iscsi_cdb_unmap(void);
void iscsi_build_unmap(uint8_t *data, uint64_t lba, uint32_t blocks);

/* ---- Data --------------------------------------------------------------------------------- */

#define ISCSI_DATA_MAX 512 /* bytes: more than any data that describes a logical unit */

/* A logical unit, as it describes itself. Lengths are in logical blocks, and 0: not said. */
struct iscsi_unit {
	uint64_t blocks;
	uint32_t block_size;	 /* bytes, a power of two */
	uint32_t physical_block; /* the same */
	bool thin, reads_zeroes; /* LBPME; LBPRZ: what is deallocated reads as zeroes */
	bool read_only, has_cache, takes_fua;
	bool unmap, write_same_unmap; /* LBPU, LBPWS */
	uint32_t max_transfer, optimal_transfer, granularity;
	uint32_t max_unmap, unmap_granularity, unmap_alignment;
	uint64_t max_write_same;
};

/* 0, or bk_err() if it is not a block device that can be used. data: what came, len bytes. */
int iscsi_parse_inquiry(const uint8_t *data, size_t len);
int iscsi_parse_capacity(const uint8_t *data, size_t len, struct iscsi_unit *u);
/* Does it have the page? */
bool iscsi_has_page(const uint8_t *data, size_t len, uint8_t page);
/* What is not there, or makes no sense, is left out. */
void iscsi_parse_limits(const uint8_t *data, size_t len, struct iscsi_unit *u);
void iscsi_parse_thin(const uint8_t *data, size_t len, struct iscsi_unit *u);
void iscsi_parse_caching(const uint8_t *data, size_t len, struct iscsi_unit *u);

#define ISCSI_STATUS_HEADER	8
#define ISCSI_STATUS_DESCRIPTOR 16

/* A range of blocks that GET LBA STATUS describes. */
struct iscsi_range {
	uint64_t lba;
	uint32_t blocks;
	uint8_t status; /* 0: mapped, 1: deallocated, 2: anchored */
};
/* The i-th; false: there is none. */
bool iscsi_parse_range(const uint8_t *data, size_t len, unsigned i, struct iscsi_range *range);

/* ---- How a command ended ------------------------------------------------------------------ */

enum {
	ISCSI_GOOD = 0x00,
	ISCSI_CHECK_CONDITION = 0x02,
	ISCSI_CONDITION_MET = 0x04,
	ISCSI_BUSY = 0x08,
	ISCSI_RESERVATION_CONFLICT = 0x18,
	ISCSI_TASK_SET_FULL = 0x28,
	ISCSI_ACA_ACTIVE = 0x30,
	ISCSI_TASK_ABORTED = 0x40,
};

enum iscsi_then {
	ISCSI_DONE,	 /* it did what it should */
	ISCSI_FAIL,	 /* with error and text */
	ISCSI_TRY_AGAIN, /* nothing was done: the target had something else to say first */
	ISCSI_TRY_LATER, /* the same, and it needs a pause */
};

struct iscsi_verdict {
	enum iscsi_then then;
	int error;	  /* an errno value */
	const char *text; /* static */
};

/*
 * status: of the command, and whether it writes; sense: len bytes that came with CHECK CONDITION,
 * after their length.
 */
struct iscsi_verdict iscsi_judge(uint32_t status, const uint8_t *sense, size_t len, bool writes);

#endif
