/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * NVMe commands: what a request becomes on a namespace, and what a status says. Pure functions that
 * know no carrier (io_uring passthrough, PCI, TCP); a carrier adds the data pointer and sends.
 *
 * References are to the NVM Express Base, NVM Command Set and Zoned Namespace Command Set (ZNS)
 * specifications.
 */
#ifndef BK_NVME_CMD_H
#define BK_NVME_CMD_H

#include <nvme/types.h>

#include "driver.h"

/* A submission queue entry (Base, 3.3.3.1), in the host's byte order. */
struct nvme_cmd {
	uint8_t opcode, flags;
	uint16_t cid; /* the carrier's, as all that is 0 below */
	uint32_t nsid;
	uint32_t cdw2, cdw3;
	uint64_t mptr;
	uint64_t dptr[2];
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
_Static_assert(sizeof(struct nvme_cmd) == 64, "as the specification says");

/* Commands count their blocks in 16 bits, 0's based. */
#define NVME_BLOCKS_MAX 65536U

/* A namespace, as far as commands depend on it; nvme_ident.h fills it in. */
struct nvme_ns {
	uint32_t nsid;
	uint8_t block_shift;
	bool deac;		/* what Write Zeroes deallocates reads as zeroes */
	uint16_t metadata_size; /* bytes per block, in a buffer of their own */
	uint64_t nr_blocks;
	/* The properties about zones; all 0 without zones. */
	struct nvme_zones {
		int zoned;		  /* NVME_ZONED_* */
		int max_open, max_active; /* 0: no limit */
		uint64_t size, nr;	  /* bytes */
		bool append;
		uint64_t append_max; /* bytes */
	} zones;
};

/* The kernel's numbers for the models of zoned devices. */
#define NVME_ZONED_NONE		0
#define NVME_ZONED_HOST_MANAGED 2

/* ---- Commands ----------------------------------------------------------------------------- */

/* The blocks of a command that has any, and no flags. */
static inline void nvme_set_blocks(const struct nvme_ns *ns, uint64_t start, uint64_t len,
				   struct nvme_cmd *c)
{
	uint64_t slba = start >> ns->block_shift;

	c->cdw10 = (uint32_t)slba;
	c->cdw11 = (uint32_t)(slba >> 32);
	c->cdw12 = (uint32_t)(len >> ns->block_shift) - 1;
}

/* Any request but BK_ZONE_REPORT. BK_DISCARD takes one nvme_dsm_range as its data. */
void nvme_prep(const struct nvme_ns *ns, const struct bk_req *r, struct nvme_cmd *c);

struct nvme_dsm_range nvme_discard_range(const struct nvme_ns *ns, const struct bk_req *r);

/* ---- Zone reports ------------------------------------------------------------------------- */

/* The length of a report on this many zones. */
static inline uint32_t nvme_report_len(uint32_t nr_zones)
{
	return sizeof(struct nvme_zone_report) + nr_zones * sizeof(struct nvme_zns_desc);
}

/* Ask for a report from the zone on that holds byte start; len: a multiple of 4. */
void nvme_prep_report(const struct nvme_ns *ns, uint64_t start, uint32_t len, struct nvme_cmd *c);

/*
 * Take up to max zones out of a report of len bytes. Returns how many, or a negative errno value
 * with *msg when the device reports what cannot be.
 */
int nvme_parse_report(const struct nvme_ns *ns, const void *report, uint32_t len,
		      struct blkio_zone *out, uint32_t max, const char **msg);

/* ---- Status ------------------------------------------------------------------------------- */

/*
 * The errno value (positive) for a status field other than success: type and code, as the kernel
 * gives it, without the phase bit. *msg: static text.
 */
int nvme_status(unsigned status, const char **msg);

#endif
