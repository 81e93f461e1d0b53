/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See nvme_cmd.h. */
#include "nvme/nvme_cmd.h"

#include <endian.h>
#include <stdlib.h>

/* ---- Commands ----------------------------------------------------------------------------- */

/*
 * Protection information of 8 bytes, with PRACT (NVM Command Set, 5.3): the controller inserts it
 * into what is written, and checks and strips it from what is read. The reference tag is the lower
 * half of the block's address, which types 1 and 2 check; an append tells that of the zone, and the
 * controller goes on from there.
 */
static void set_protection(const struct nvme_ns *ns, struct nvme_cmd *c)
{
	bool has_ref = ns->pi != NVME_NS_DPS_PI_TYPE3;
	uint32_t control = NVME_IO_PRINFO_PRACT;

	switch (c->opcode) {
	case nvme_zns_cmd_append:
		if (has_ref)
			control |= NVME_IO_ZNS_APPEND_PIREMAP;
		/* fallthrough */
	case nvme_cmd_read:
	case nvme_cmd_write:
		control |= NVME_IO_PRINFO_PRCHK_GUARD;
		if (has_ref)
			control |= NVME_IO_PRINFO_PRCHK_REF;
		break;
	default: /* write zeroes, which checks nothing */
		break;
	}
	c->cdw12 |= control << 16;
	c->cdw14 = has_ref ? c->cdw10 : 0;
}

static void set_slba(const struct nvme_ns *ns, uint64_t start, struct nvme_cmd *c)
{
	nvme_set_blocks(ns, start, 0, c);
	c->cdw12 = 0;
}

static void prep_blocks(const struct nvme_ns *ns, const struct bk_req *r, struct nvme_cmd *c,
			enum nvme_io_opcode opcode)
{
	uint32_t control = r->flags & BLKIO_REQ_FUA ? NVME_IO_FUA : 0;

	if (r->op == BK_WRITE_ZEROES && ns->deac && !(r->flags & BLKIO_REQ_NO_UNMAP))
		control |= NVME_IO_DEAC;
	c->opcode = opcode;
	nvme_set_blocks(ns, r->start, r->len, c);
	c->cdw12 |= control << 16;
	if (ns->pi)
		set_protection(ns, c);
}

/* Zone Management Send (ZNS, 3.4.3) */
static void prep_zone_send(const struct nvme_ns *ns, const struct bk_req *r, struct nvme_cmd *c,
			   enum nvme_zns_send_action action)
{
	const uint32_t select_all = 1 << 8;

	c->opcode = nvme_zns_cmd_mgmt_send;
	set_slba(ns, r->start, c);
	c->cdw13 = action | (r->flags & BK_REQ_ALL_ZONES ? select_all : 0);
}

void nvme_prep(const struct nvme_ns *ns, const struct bk_req *r, struct nvme_cmd *c)
{
	*c = (struct nvme_cmd){ .nsid = ns->nsid };
	switch (r->op) {
	case BK_READ:
		prep_blocks(ns, r, c, nvme_cmd_read);
		break;
	case BK_WRITE:
		prep_blocks(ns, r, c, nvme_cmd_write);
		break;
	case BK_ZONE_APPEND:
		prep_blocks(ns, r, c, nvme_zns_cmd_append);
		break;
	case BK_WRITE_ZEROES:
		prep_blocks(ns, r, c, nvme_cmd_write_zeroes);
		break;
	case BK_DISCARD:
		c->opcode = nvme_cmd_dsm;
		c->cdw10 = 0; /* one range, 0's based */
		c->cdw11 = NVME_DSMGMT_AD;
		break;
	case BK_FLUSH:
		c->opcode = nvme_cmd_flush;
		break;
	case BK_ZONE_OPEN:
		prep_zone_send(ns, r, c, NVME_ZNS_ZSA_OPEN);
		break;
	case BK_ZONE_CLOSE:
		prep_zone_send(ns, r, c, NVME_ZNS_ZSA_CLOSE);
		break;
	case BK_ZONE_FINISH:
		prep_zone_send(ns, r, c, NVME_ZNS_ZSA_FINISH);
		break;
	case BK_ZONE_RESET:
		prep_zone_send(ns, r, c, NVME_ZNS_ZSA_RESET);
		break;
	}
}

struct nvme_dsm_range nvme_discard_range(const struct nvme_ns *ns, const struct bk_req *r)
{
	return (struct nvme_dsm_range){
		.nlb = htole32((uint32_t)(r->len >> ns->block_shift)),
		.slba = htole64(r->start >> ns->block_shift),
	};
}

const char *nvme_request_error(const struct nvme_ns *ns, const struct bk_req *r)
{
	/* The core checks what has a length; a report begins with the zone around its start. */
	if (r->op != BK_ZONE_REPORT && r->start & ((1ULL << ns->block_shift) - 1))
		return "the zone offset is not a multiple of property request-alignment";
	/* Controllers refuse what else goes there, but need not refuse this. */
	if (r->op == BK_DISCARD && (r->start + r->len) >> ns->block_shift > nvme_blocks(ns))
		return "the range ends past the capacity";
	return NULL;
}

/* ---- Zone reports ------------------------------------------------------------------------- */

/* Zone Management Receive (ZNS, 3.4.2) */
void nvme_prep_report(const struct nvme_ns *ns, uint64_t start, uint32_t len, struct nvme_cmd *c)
{
	/* Without it, the number of zones would not be that of the descriptors that came. */
	const uint32_t partial = 1 << 16;

	*c = (struct nvme_cmd){ .opcode = nvme_zns_cmd_mgmt_recv, .nsid = ns->nsid };
	set_slba(ns, start, c);
	c->cdw12 = len / 4 - 1;
	c->cdw13 = NVME_ZNS_ZRA_REPORT_ZONES | NVME_ZNS_ZRAS_REPORT_ALL << 8 | partial;
}

/* Returns false for a zone that cannot be on this namespace. */
static bool parse_zone(const struct nvme_ns *ns, const struct nvme_zns_desc *d,
		       struct blkio_zone *z)
{
	uint64_t slba = le64toh(d->zslba), capacity = le64toh(d->zcap), wp = le64toh(d->wp);
	uint64_t size = ns->zones.size >> ns->block_shift, blocks = nvme_blocks(ns);
	uint64_t end;

	if (slba >= blocks || slba % size || capacity > size)
		return false;
	end = min_u64(slba + size, blocks);
	*z = (struct blkio_zone){
		.start = slba << ns->block_shift,
		.len = (end - slba) << ns->block_shift,
		.capacity = capacity << ns->block_shift,
		.zone_type = d->zt & 0xf,
		.zone_state = d->zs >> 4,
		.reset = !!(d->za & NVME_ZNS_ZA_RZR),
	};
	/* Full, read-only and offline zones have none (ZNS, 2.1.1.2.1): their end. */
	if (z->zone_state >= BLKIO_ZONE_STATE_READONLY)
		wp = end;
	else if (wp < slba || wp > end)
		return false;
	z->write_pointer = wp << ns->block_shift;
	return true;
}

int nvme_parse_report(const struct nvme_ns *ns, const void *report, uint32_t len,
		      struct blkio_zone *out, uint32_t max, const char **msg)
{
	const struct nvme_zone_report *rep = report;
	uint64_t room = (len - sizeof(*rep)) / sizeof(rep->entries[0]);
	uint64_t n = min_u64(le64toh(rep->nr_zones), min_u64(room, max));

	for (uint64_t i = 0; i < n; i++) {
		if (!parse_zone(ns, &rep->entries[i], &out[i])) {
			*msg = "the device reports a zone outside the namespace";
			return -EIO;
		}
	}
	return (int)n;
}

uint32_t nvme_report_next(const struct bk_req *r, uint64_t room)
{
	uint32_t most = room & ~3U;

	return min_u64(most, nvme_report_len(min_u64(r->nr_zones, most)));
}

int nvme_report_came(const struct nvme_ns *ns, struct bk_req *r, const void *report, uint32_t len,
		     struct blkio_zone *zones, const char **msg)
{
	uint32_t asked = (len - nvme_report_len(0)) / (nvme_report_len(1) - nvme_report_len(0));
	int n = nvme_parse_report(ns, report, len, zones, r->nr_zones, msg);

	if (n < 0)
		return n;
	if (bk_copy_to_caller(r->zones, zones, n * sizeof(zones[0])) < 0) {
		*msg = "the array of zones cannot be written";
		return -EFAULT;
	}
	r->len += n;
	r->nr_zones -= n;
	r->zones += n;
	if ((uint32_t)n < asked || !r->nr_zones)
		return 0;
	r->start = zones[n - 1].start + zones[n - 1].len;
	return r->start >> ns->block_shift < nvme_blocks(ns);
}

/* ---- Zone append -------------------------------------------------------------------------- */

int nvme_append_came(const struct nvme_ns *ns, struct bk_req *r, uint64_t block, const char **msg)
{
	uint64_t zone = r->start >> ns->block_shift, n = r->len >> ns->block_shift;
	uint64_t size = ns->zones.size >> ns->block_shift;

	if (block < zone || n > size || block - zone > size - n) {
		*msg = "the device reports that it appended outside the zone";
		return -EIO;
	}
	*r->written_at = block << ns->block_shift;
	return 0;
}

/* ---- Status ------------------------------------------------------------------------------- */

#define GENERIC(code)  (NVME_SCT_GENERIC << NVME_SCT_SHIFT | (code))
#define SPECIFIC(code) (NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT | (code))
#define MEDIA(code)    (NVME_SCT_MEDIA << NVME_SCT_SHIFT | (code))
#define PATH(code)     (NVME_SCT_PATH << NVME_SCT_SHIFT | (code))

/*
 * Where the kernel's block layer has an errno value of its own for a status, so have we; for what
 * is the caller's mistake it is EINVAL, as with requests that the library refuses itself.
 */
static const struct status {
	uint16_t status;
	uint8_t errnum;
	const char *msg;
} statuses[] = {
	{ GENERIC(NVME_SC_INVALID_OPCODE), ENOTSUP,
	  "NVMe: the device does not support the command" },
	{ GENERIC(NVME_SC_INVALID_FIELD), EINVAL, "NVMe: invalid field in command" },
	{ GENERIC(NVME_SC_DATA_XFER_ERROR), EIO, "NVMe: data transfer error" },
	{ GENERIC(NVME_SC_POWER_LOSS), EIO, "NVMe: aborted, the device is losing power" },
	{ GENERIC(NVME_SC_INTERNAL), EIO, "NVMe: internal error of the device" },
	{ GENERIC(NVME_SC_ABORT_REQ), EIO, "NVMe: the command was aborted" },
	{ GENERIC(NVME_SC_ABORT_QUEUE), EIO, "NVMe: aborted, the queue was deleted" },
	{ GENERIC(NVME_SC_INVALID_NS), ENODEV, "NVMe: the namespace is gone" },
	{ GENERIC(NVME_SC_AWU_EXCEEDED), EINVAL, "NVMe: atomic write unit exceeded" },
	{ GENERIC(NVME_SC_OP_DENIED), EACCES, "NVMe: operation denied" },
	{ GENERIC(NVME_SC_SANITIZE_FAILED), EIO, "NVMe: the last sanitize operation failed" },
	{ GENERIC(NVME_SC_SANITIZE_IN_PROGRESS), EBUSY, "NVMe: sanitize in progress" },
	{ GENERIC(NVME_SC_NS_WRITE_PROTECTED), EROFS, "NVMe: the namespace is write-protected" },
	{ GENERIC(NVME_SC_CMD_INTERRUPTED), EAGAIN, "NVMe: command interrupted, try again" },
	{ GENERIC(NVME_SC_TRAN_TPORT_ERROR), EAGAIN, "NVMe: transient transport error" },
	{ GENERIC(NVME_SC_LBA_RANGE), EINVAL,
	  "NVMe: LBA out of range, the request ends past the capacity" },
	{ GENERIC(NVME_SC_CAP_EXCEEDED), ENOSPC, "NVMe: capacity of the namespace exceeded" },
	{ GENERIC(NVME_SC_NS_NOT_READY), EBUSY, "NVMe: the namespace is not ready" },
	{ GENERIC(NVME_SC_RESERVATION_CONFLICT), EBADE, "NVMe: reservation conflict" },
	{ GENERIC(NVME_SC_FORMAT_IN_PROGRESS), EBUSY, "NVMe: format in progress" },

	{ SPECIFIC(NVME_SC_BAD_ATTRIBUTES), EINVAL, "NVMe: conflicting attributes" },
	{ SPECIFIC(NVME_SC_INVALID_PI), EINVAL, "NVMe: invalid protection information" },
	{ SPECIFIC(NVME_SC_READ_ONLY), EROFS, "NVMe: attempted write to a read-only range" },
	{ SPECIFIC(NVME_SC_CMD_SIZE_LIMIT_EXCEEDED), EINVAL, "NVMe: command size limit exceeded" },
	{ SPECIFIC(NVME_SC_ZNS_BOUNDARY_ERROR), EINVAL,
	  "NVMe: zone boundary error, the request crosses the end of a zone" },
	{ SPECIFIC(NVME_SC_ZNS_FULL), ENOSPC, "NVMe: the zone is full" },
	{ SPECIFIC(NVME_SC_ZNS_READ_ONLY), EROFS, "NVMe: the zone is read-only" },
	{ SPECIFIC(NVME_SC_ZNS_OFFLINE), EIO, "NVMe: the zone is offline" },
	{ SPECIFIC(NVME_SC_ZNS_INVALID_WRITE), EINVAL,
	  "NVMe: zone invalid write, not at the write pointer" },
	{ SPECIFIC(NVME_SC_ZNS_TOO_MANY_ACTIVE), EOVERFLOW, "NVMe: too many active zones" },
	{ SPECIFIC(NVME_SC_ZNS_TOO_MANY_OPENS), ETOOMANYREFS, "NVMe: too many open zones" },
	{ SPECIFIC(NVME_SC_ZNS_INVAL_TRANSITION), EINVAL, "NVMe: invalid zone state transition" },

	{ MEDIA(NVME_SC_WRITE_FAULT), ENODATA, "NVMe: write fault" },
	{ MEDIA(NVME_SC_READ_ERROR), ENODATA, "NVMe: unrecovered read error" },
	{ MEDIA(NVME_SC_GUARD_CHECK), EILSEQ, "NVMe: end-to-end guard check error" },
	{ MEDIA(NVME_SC_APPTAG_CHECK), EILSEQ, "NVMe: application tag check error" },
	{ MEDIA(NVME_SC_REFTAG_CHECK), EILSEQ, "NVMe: reference tag check error" },
	{ MEDIA(NVME_SC_COMPARE_FAILED), EIO, "NVMe: compare failure" },
	{ MEDIA(NVME_SC_ACCESS_DENIED), EACCES, "NVMe: access denied" },
	{ MEDIA(NVME_SC_UNWRITTEN_BLOCK), ENODATA, "NVMe: deallocated or unwritten block" },

	{ PATH(NVME_SC_ANA_PERSISTENT_LOSS), ENOLINK, "NVMe: the path is lost for good" },
	{ PATH(NVME_SC_ANA_INACCESSIBLE), ENOLINK, "NVMe: the path is inaccessible" },
	{ PATH(NVME_SC_ANA_TRANSITION), ENOLINK, "NVMe: the path changes its state" },
	{ PATH(NVME_SC_HOST_PATH_ERROR), ENOLINK, "NVMe: path error on the host's side" },
	{ PATH(NVME_SC_CMD_ABORTED_BY_HOST), EIO, "NVMe: the host aborted the command" },
};

/* A status that the table lacks still says what kind it is. */
static const char *const type_msgs[] = {
	[NVME_SCT_GENERIC] = "NVMe: generic error",
	[NVME_SCT_CMD_SPECIFIC] = "NVMe: command-specific error",
	[NVME_SCT_MEDIA] = "NVMe: media or data integrity error",
	[NVME_SCT_PATH] = "NVMe: path error",
	[4] = "NVMe: error of a reserved type",
	[5] = "NVMe: error of a reserved type",
	[6] = "NVMe: error of a reserved type",
	[NVME_SCT_VS] = "NVMe: vendor-specific error",
};

int nvme_status(unsigned status, const char **msg)
{
	unsigned type = status >> NVME_SCT_SHIFT & NVME_SCT_MASK;
	unsigned code = status & NVME_SC_MASK;

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		if (statuses[i].status == (type << NVME_SCT_SHIFT | code)) {
			*msg = statuses[i].msg;
			return statuses[i].errnum;
		}
	}
	*msg = type_msgs[type];
	return EIO;
}

int nvme_status_err(int status, const char *what)
{
	const char *msg;
	int errnum;

	if (status <= 0)
		return status;
	errnum = nvme_status(status, &msg);
	return bk_err(errnum, "%s: %s (status %#x)", what, msg, status);
}
