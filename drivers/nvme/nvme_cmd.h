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

#define NVME_FORMATS_LEN 1024 /* 64 of at most 16 characters */

/* A namespace, as far as commands depend on it; nvme_ident.h fills it in. */
struct nvme_ns {
	uint32_t nsid;
	uint8_t block_shift;
	bool deac;	      /* what Write Zeroes deallocates reads as zeroes */
	bool sgl;	      /* the controller takes scatter-gather lists for data */
	bool reports_changes; /* of namespaces, as asynchronous events */
	bool has_shadow_doorbells;
	uint16_t
	    metadata_size; /* bytes per block that commands transfer, in a buffer of their own */
	/*
	 * Type of protection information, which is all of the metadata: the controller inserts and
	 * checks it, and transfers none. 0: none.
	 */
	uint8_t pi;
	uint64_t nr_blocks; /* as last heard; it may grow and shrink: nvme_blocks() */
	/* By which others know it, as the controller gives them; all zeroes: not given. */
	struct nvme_ids {
		uint8_t uuid[16], nguid[16], eui64[8];
	} ids;
	/* The properties about zones; all 0 without zones. */
	struct nvme_zones {
		int zoned;		  /* NVME_ZONED_* */
		int max_open, max_active; /* 0: no limit */
		uint64_t size, nr;	  /* bytes */
		bool append;		  /* up to lim.max_append */
	} zones;
	/* Of the controller: printable ASCII without the padding. */
	struct nvme_product {
		char model[41], serial[21], firmware[9];
	} product;
	char formats[NVME_FORMATS_LEN]; /* what it can be formatted with: "512, 4096+8 (in use)" */
};

/* The kernel's numbers for the models of zoned devices. */
#define NVME_ZONED_NONE		0
#define NVME_ZONED_HOST_MANAGED 2

static inline uint64_t nvme_blocks(const struct nvme_ns *ns)
{
	return __atomic_load_n(&ns->nr_blocks, __ATOMIC_RELAXED);
}

static inline void nvme_resize(struct nvme_ns *ns, uint64_t nr_blocks)
{
	__atomic_store_n(&ns->nr_blocks, nr_blocks, __ATOMIC_RELAXED);
}

/* ---- Commands ----------------------------------------------------------------------------- */

/* The blocks of a command that has any, and no flags; of a namespace without ns->pi. */
static inline void nvme_set_blocks(const struct nvme_ns *ns, uint64_t start, uint64_t len,
				   struct nvme_cmd *c)
{
	uint64_t slba = start >> ns->block_shift;

	c->cdw10 = (uint32_t)slba;
	c->cdw11 = (uint32_t)(slba >> 32);
	c->cdw12 = (uint32_t)(len >> ns->block_shift) - 1;
}

/*
 * Any request but BK_ZONE_REPORT. BK_DISCARD takes one nvme_dsm_range as its data. Where ns->pi,
 * plain reads and writes need this, too: nvme_set_blocks() is not enough for them.
 */
void nvme_prep(const struct nvme_ns *ns, const struct bk_req *r, struct nvme_cmd *c);

struct nvme_dsm_range nvme_discard_range(const struct nvme_ns *ns, const struct bk_req *r);

/* Why a request cannot be sent, though the core found it valid: then it is an EINVAL. Or NULL. */
const char *nvme_request_error(const struct nvme_ns *ns, const struct bk_req *r);

/* ---- Admin commands ----------------------------------------------------------------------- */

/* Of CC: the sizes of entries in both kinds of queues, as powers of two. */
#define NVME_CC_ENTRY_SIZES (6U << NVME_CC_IOSQES_SHIFT | 4U << NVME_CC_IOCQES_SHIFT)

/* How many pairs of I/O queues there are, at most max, by the result of Number of Queues. */
static inline unsigned nvme_given_queues(uint32_t result, unsigned max)
{
	return min_u64(max, min_u64(result & 0xffff, result >> 16) + 1);
}

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

/*
 * A request for a report may take several commands. Meanwhile start, zones and nr_zones are about
 * the rest, and len is how many zones there are so far. The length of the next one's data: room
 * at most.
 */
uint32_t nvme_report_next(const struct bk_req *r, uint64_t room);

/*
 * It came, len bytes. zones: room for as many as it can hold. 0 when that was all, 1 when another
 * command is needed, or a negative errno value with *msg.
 */
int nvme_report_came(const struct nvme_ns *ns, struct bk_req *r, const void *report, uint32_t len,
		     struct blkio_zone *zones, const char **msg);

/* ---- Zone append -------------------------------------------------------------------------- */

/*
 * A BK_ZONE_APPEND succeeded, and the first block written is this one, by the result of the
 * command. 0, or a negative errno value with *msg.
 */
int nvme_append_came(const struct nvme_ns *ns, struct bk_req *r, uint64_t block, const char **msg);

/* ---- Status ------------------------------------------------------------------------------- */

/*
 * The errno value (positive) for a status field other than success: type and code, as the kernel
 * gives it, without the phase bit. *msg: static text.
 */
int nvme_status(unsigned status, const char **msg);

/* What a command returned, 0, a status or bk_err(), as 0 or bk_err(): "WHAT: what the status is".
 */
int nvme_status_err(int status, const char *what);

#endif
