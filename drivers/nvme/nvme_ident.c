/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See nvme_ident.h. */
#include "nvme/nvme_ident.h"

#include <endian.h>
#include <limits.h>
#include <stdlib.h>

#define BLOCK_SHIFT_MIN	      9
#define BLOCK_SHIFT_MAX	      20
#define VERSION_1_3	      0x10300
#define SEGMENTS_MAX	      1024
#define BUF_ALIGNMENT	      4 /* of a data pointer */
#define OPTIMAL_BUF_ALIGNMENT 4096

/*
 * The unit of several limits is the smallest page of the controller, which only PCI shows. No
 * controller has a smaller one, so the limits are never too large.
 */
#define PAGE_SHIFT_MIN 12

union identify_data {
	uint8_t raw[NVME_IDENTIFY_DATA_SIZE];
	struct nvme_id_ctrl ctrl;
	struct nvme_id_ns ns;
	struct nvme_id_ctrl_nvm ctrl_nvm;
	struct nvme_zns_id_ns zns_ns;
	struct nvme_zns_id_ctrl zns_ctrl;
};

struct identify {
	const struct nvme_admin *admin;
	const char *name;
	struct nvme_ns *ns;
	struct bk_limits *l;
	uint32_t version;
	unsigned format; /* index of the one in use */
	union identify_data data;
};

/* ---- Asking ------------------------------------------------------------------------------- */

/* 0, an NVMe status, or a negative errno value. */
static int identify(const struct nvme_admin *a, enum nvme_identify_cns cns, uint32_t nsid,
		    enum nvme_csi csi, union identify_data *data)
{
	const struct nvme_cmd c = {
		.opcode = nvme_admin_identify,
		.nsid = nsid,
		.cdw10 = cns,
		.cdw11 = (uint32_t)csi << 24,
	};

	memset(data, 0, sizeof(*data));
	return a->read(a, &c, data, sizeof(*data));
}

static int status_error(int status, const char *name)
{
	const char *msg;
	int errnum;

	if (status <= 0)
		return status;
	errnum = nvme_status(status, &msg);
	return bk_err(errnum, "cannot identify %s: %s (status %#x)", name, msg, status);
}

static int identify_ctrl(struct identify *id)
{
	return status_error(identify(id->admin, NVME_IDENTIFY_CNS_CTRL, 0, 0, &id->data), id->name);
}

static int identify_ns(struct identify *id)
{
	return status_error(identify(id->admin, NVME_IDENTIFY_CNS_NS, id->ns->nsid, 0, &id->data),
			    id->name);
}

/* ---- Limits ------------------------------------------------------------------------------- */

/* units of the smallest page; 0: no limit */
static uint64_t page_units(uint8_t shift)
{
	return !shift || shift >= 64 - PAGE_SHIFT_MIN ? UINT64_MAX
						      : 1ULL << (PAGE_SHIFT_MIN + shift);
}

void nvme_limit_transfer(struct nvme_ns *ns, struct bk_limits *l, uint64_t bytes)
{
	uint64_t block = 1ULL << ns->block_shift;

	bytes = max_u64(bytes & ~(block - 1), block);
	l->max_transfer = (int)min_u64(l->max_transfer, bytes);
	if (ns->zones.append)
		ns->zones.append_max = min_u64(ns->zones.append_max, l->max_transfer);
}

static void ctrl_limits(struct identify *id, uint8_t *mdts)
{
	const struct nvme_id_ctrl *c = &id->data.ctrl;
	uint16_t oncs = le16toh(c->oncs);
	struct bk_limits *l = id->l;

	id->version = le32toh(c->ver);
	*mdts = c->mdts;
	l->ops = BK_OPS_RW | BK_OP_BIT(BK_FLUSH);
	if (oncs & NVME_CTRL_ONCS_WRITE_ZEROES)
		l->ops |= BK_OP_BIT(BK_WRITE_ZEROES);
	if (oncs & NVME_CTRL_ONCS_DSM)
		l->ops |= BK_OP_BIT(BK_DISCARD);
	l->flush_needed = c->vwc & NVME_CTRL_VWC_PRESENT;
	l->supports_fua_natively = true;
	l->takes_fua_write = true;
	l->takes_fua_write_zeroes = true;
}

static int check_format(const struct identify *id, const struct nvme_lbaf *format)
{
	const struct nvme_id_ns *n = &id->data.ns;
	uint64_t blocks = le64toh(n->nsze);
	unsigned metadata = le16toh(format->ms);

	if (!blocks)
		return bk_err(ENODEV, "%s is not active", id->name);
	if (format->ds < BLOCK_SHIFT_MIN || format->ds > BLOCK_SHIFT_MAX ||
	    blocks > (uint64_t)INT64_MAX >> format->ds)
		return bk_err(EINVAL, "%s claims %llu blocks of 2^%u bytes", id->name,
			      (unsigned long long)blocks, format->ds);
	if (metadata && (n->dps & NVME_NS_DPS_PI_MASK))
		return bk_err(EINVAL,
			      "%s is formatted with protection information, which is not "
			      "supported; use the io_uring driver on its block device",
			      id->name);
	if (metadata && (n->flbas & NVME_NS_FLBAS_META_EXT))
		return bk_err(EINVAL,
			      "%s is formatted with blocks of %u + %u bytes (metadata within the "
			      "data), which is not supported; nvme format changes that",
			      id->name, 1U << format->ds, metadata);
	return 0;
}

/* NPWG and the like: 0's based numbers of blocks, as bytes that fit an int; or otherwise. */
static int hint(const struct identify *id, uint16_t blocks, int otherwise)
{
	uint64_t bytes = (le16toh(blocks) + 1ULL) << id->ns->block_shift;

	if (!(id->data.ns.nsfeat & NVME_NS_FEAT_IO_OPT) || bytes > INT_MAX)
		return otherwise;
	return (int)bytes;
}

static void alignments(struct identify *id)
{
	const struct nvme_id_ns *n = &id->data.ns;
	struct bk_limits *l = id->l;
	int block = 1 << id->ns->block_shift;

	l->request_alignment = block;
	l->optimal_io_alignment = hint(id, n->npwg, block);
	if (!is_power_of_2(l->optimal_io_alignment))
		l->optimal_io_alignment = block;
	l->optimal_io_size = hint(id, n->nows, 0);
	if (l->optimal_io_size % l->optimal_io_alignment)
		l->optimal_io_size = 0;
	l->discard_alignment = hint(id, n->npdg, block);
	l->discard_alignment_offset = 0;
	l->buf_alignment = BUF_ALIGNMENT;
	l->optimal_buf_alignment = OPTIMAL_BUF_ALIGNMENT;
	l->mem_region_alignment = BUF_ALIGNMENT;
}

static void lengths(struct identify *id, uint8_t mdts)
{
	struct nvme_ns *ns = id->ns;
	struct bk_limits *l = id->l;
	uint64_t commands_max = (uint64_t)NVME_BLOCKS_MAX << ns->block_shift;

	l->max_segments = SEGMENTS_MAX;
	l->max_transfer = INT_MAX & ~(l->request_alignment - 1);
	nvme_limit_transfer(ns, l, min_u64(commands_max, page_units(mdts)));
	l->max_write_zeroes_len = commands_max;
	l->max_discard_len = (uint64_t)UINT32_MAX << ns->block_shift;
	l->end = ns->nr_blocks << ns->block_shift;
}

static int ns_limits(struct identify *id, uint8_t mdts, bool read_only)
{
	const struct nvme_id_ns *n = &id->data.ns;
	const struct nvme_lbaf *format;
	int ret;

	id->format = n->flbas & NVME_NS_FLBAS_LOWER_MASK;
	if (n->nlbaf > 15) /* more than these bits can count */
		id->format |= (n->flbas & NVME_NS_FLBAS_HIGHER_MASK) >> 1;
	format = &n->lbaf[id->format];
	ret = check_format(id, format);
	if (ret < 0)
		return ret;
	if ((n->nsattr & NVME_NS_NSATTR_WRITE_PROTECTED) && !read_only)
		return bk_err(EROFS, "%s is write-protected; set property read-only", id->name);
	id->ns->block_shift = format->ds;
	id->ns->metadata_size = le16toh(format->ms);
	id->ns->nr_blocks = le64toh(n->nsze);
	id->ns->deac = (n->dlfeat & NVME_NS_DLFEAT_RB) == NVME_NS_DLFEAT_RB_ALL_0S &&
		       (n->dlfeat & NVME_NS_DLFEAT_WRITE_ZEROES);
	alignments(id);
	lengths(id, mdts);
	return 0;
}

/* Optional data: limits that are not there do not apply. */
static void command_set_limits(struct identify *id)
{
	const struct nvme_id_ctrl_nvm *c = &id->data.ctrl_nvm;
	struct bk_limits *l = id->l;
	uint64_t block = l->request_alignment, range;

	if (identify(id->admin, NVME_IDENTIFY_CNS_CSI_CTRL, 0, NVME_CSI_NVM, &id->data) != 0)
		return;
	l->max_write_zeroes_len = min_u64(l->max_write_zeroes_len, page_units(c->wzsl));
	l->max_write_zeroes_len &= ~(block - 1);
	/* Less than a block makes no sense, and 0 would be no limit at all. */
	l->max_write_zeroes_len = max_u64(l->max_write_zeroes_len, block);
	range = le32toh(c->dmrsl);
	if (le64toh(c->dmsl))
		range = min_u64(range ? range : UINT32_MAX, le64toh(c->dmsl));
	if (range)
		l->max_discard_len = min_u64(l->max_discard_len, range << id->ns->block_shift);
}

/* ---- Zones -------------------------------------------------------------------------------- */

/* The namespace's command set, out of its identification descriptors; -1 when they don't say. */
static int parse_csi(const union identify_data *data)
{
	size_t at = 0;

	while (at + sizeof(struct nvme_ns_id_desc) < sizeof(*data)) {
		/* Bytes: the device chooses the lengths, so nothing need be aligned. */
		const uint8_t *d = &data->raw[at];
		uint8_t len = d[offsetof(struct nvme_ns_id_desc, nidl)];

		if (!len)
			break;
		if (d[offsetof(struct nvme_ns_id_desc, nidt)] == NVME_NIDT_CSI)
			return d[offsetof(struct nvme_ns_id_desc, nid)];
		at += sizeof(struct nvme_ns_id_desc) + len;
	}
	return -1;
}

/* 0's based; all ones: no limit */
static int resources(uint32_t n)
{
	n = le32toh(n) + 1;
	return n > INT_MAX ? INT_MAX : (int)n;
}

static int zone_limits(struct identify *id)
{
	const struct nvme_zns_id_ns *n = &id->data.zns_ns;
	struct nvme_zones *z = &id->ns->zones;
	uint64_t blocks = le64toh(n->lbafe[id->format].zsze);

	if (!blocks || blocks > id->ns->nr_blocks)
		return bk_err(EINVAL, "%s claims zones of %llu blocks", id->name,
			      (unsigned long long)blocks);
	z->zoned = NVME_ZONED_HOST_MANAGED;
	z->size = blocks << id->ns->block_shift;
	z->nr = id->ns->nr_blocks / blocks;
	z->max_active = resources(n->mar);
	z->max_open = resources(n->mor);
	id->l->ops |= BK_OPS_ZONE;

	if (identify(id->admin, NVME_IDENTIFY_CNS_CSI_CTRL, 0, NVME_CSI_ZNS, &id->data) == 0) {
		z->append = true; /* mandatory (ZNS, 3.1) */
		z->append_max = min_u64(page_units(id->data.zns_ctrl.zasl), id->l->max_transfer);
	}
	return 0;
}

/* What command set the namespace has decides whether it has zones. */
static int find_zones(struct identify *id)
{
	int csi = -1, ret;

	if (id->version >= VERSION_1_3 &&
	    identify(id->admin, NVME_IDENTIFY_CNS_NS_DESC_LIST, id->ns->nsid, 0, &id->data) == 0)
		csi = parse_csi(&id->data);
	if (csi >= 0 && csi != NVME_CSI_NVM && csi != NVME_CSI_ZNS)
		return bk_err(ENOTSUP, "%s has command set %d, and not that of block devices",
			      id->name, csi);
	/* Without CAP_SYS_ADMIN, Linux does not hand out the descriptors: try. */
	if (csi == NVME_CSI_NVM || id->version < VERSION_1_3)
		return 0;
	ret = identify(id->admin, NVME_IDENTIFY_CNS_CSI_NS, id->ns->nsid, NVME_CSI_ZNS, &id->data);
	if (ret)
		return csi == NVME_CSI_ZNS ? status_error(ret, id->name) : 0;
	return zone_limits(id);
}

/* ---- Public ------------------------------------------------------------------------------- */

int nvme_identify(const struct nvme_admin *a, uint32_t nsid, const char *name, bool read_only,
		  struct nvme_ns *ns, struct bk_limits *l)
{
	struct identify *id = calloc(1, sizeof(*id));
	uint8_t mdts;
	int ret;

	if (!id)
		return bk_err(ENOMEM, "out of memory");
	*ns = (struct nvme_ns){ .nsid = nsid };
	id->admin = a;
	id->name = name;
	id->ns = ns;
	id->l = l;

	ret = identify_ctrl(id);
	if (ret < 0)
		goto out;
	ctrl_limits(id, &mdts);
	ret = identify_ns(id);
	if (!ret)
		ret = ns_limits(id, mdts, read_only);
	if (ret < 0)
		goto out;
	command_set_limits(id);
	ret = find_zones(id);
out:
	free(id);
	return ret;
}

int nvme_capacity(const struct nvme_admin *a, const struct nvme_ns *ns, uint64_t *bytes)
{
	union identify_data data;
	int ret;

	ret = status_error(identify(a, NVME_IDENTIFY_CNS_NS, ns->nsid, 0, &data), "the namespace");
	if (ret < 0)
		return ret;
	if (le64toh(data.ns.nsze) > (uint64_t)INT64_MAX >> ns->block_shift)
		return bk_err(EINVAL, "the namespace claims %llu blocks",
			      (unsigned long long)le64toh(data.ns.nsze));
	*bytes = le64toh(data.ns.nsze) << ns->block_shift;
	return 0;
}
