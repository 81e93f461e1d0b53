/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See nvme_ident.h. */
#include "nvme/nvme_ident_data.h"

#include <endian.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK_SHIFT_MIN	      9
#define VERSION_1_3	      0x10300
#define SEGMENTS_MAX	      1024
#define BUF_ALIGNMENT	      4 /* of a data pointer */
#define OPTIMAL_BUF_ALIGNMENT 4096

/*
 * The unit of several limits is the smallest page of the controller, which only PCI shows. No
 * controller has a smaller one, so the limits are never too large.
 */
#define PAGE_SHIFT_MIN 12

struct identify {
	const struct nvme_admin *admin;
	const char *name;
	struct nvme_ns *ns;
	struct bk_limits *l;
	uint32_t version;
	unsigned awupf;	 /* blocks that any namespace writes atomically, as to power failures */
	unsigned format; /* index of the one in use */
	union nvme_identify_data data;
};

/* ---- Asking ------------------------------------------------------------------------------- */

int nvme_ask_identify(const struct nvme_admin *a, enum nvme_identify_cns cns, uint32_t nsid,
		      enum nvme_csi csi, union nvme_identify_data *data)
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

int nvme_identify_err(int status, const char *name)
{
	char what[320];

	snprintf(what, sizeof(what), "cannot identify %s", name);
	return nvme_status_err(status, what);
}

static int identify_ctrl(struct identify *id)
{
	return nvme_identify_err(
	    nvme_ask_identify(id->admin, NVME_IDENTIFY_CNS_CTRL, 0, 0, &id->data), id->name);
}

static int identify_ns(struct identify *id)
{
	return nvme_identify_err(
	    nvme_ask_identify(id->admin, NVME_IDENTIFY_CNS_NS, id->ns->nsid, 0, &id->data),
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
	l->max_append = min_u64(l->max_append, l->max_transfer);
	l->atomic.max = min_u64(l->atomic.max, l->max_transfer);
}

/* out: room for len + 1. The controller may say anything. */
static void copy_text(char *out, const char *text, size_t len)
{
	while (len && (text[len - 1] == ' ' || !text[len - 1]))
		len--;
	for (size_t i = 0; i < len; i++)
		out[i] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
	out[len] = '\0';
}

static void name_product(struct nvme_product *p, const struct nvme_id_ctrl *c)
{
	copy_text(p->model, c->mn, sizeof(c->mn));
	copy_text(p->serial, c->sn, sizeof(c->sn));
	copy_text(p->firmware, c->fr, sizeof(c->fr));
}

static void ctrl_limits(struct identify *id, uint8_t *mdts)
{
	const struct nvme_id_ctrl *c = &id->data.ctrl;
	uint16_t oncs = le16toh(c->oncs);
	struct bk_limits *l = id->l;

	id->version = le32toh(c->ver);
	id->awupf = le16toh(c->awupf) + 1U;
	name_product(&id->ns->product, c);
	id->ns->sgl = le32toh(c->sgls) & NVME_CTRL_SGLS_SUPPORTED;
	id->ns->has_shadow_doorbells = le16toh(c->oacs) & NVME_CTRL_OACS_DBBUF_CFG;
	id->ns->reports_changes = le32toh(c->oaes) & NVME_CTRL_OAES_NA;
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
	unsigned metadata = le16toh(format->ms), pi = nvme_protection_of(n, format);

	if (!blocks)
		return bk_err(ENODEV, "%s is not active", id->name);
	if (format->ds < BLOCK_SHIFT_MIN || format->ds > NVME_BLOCK_SHIFT_MAX ||
	    blocks > (uint64_t)INT64_MAX >> format->ds)
		return bk_err(EINVAL, "%s reports an impossible size: %llu blocks of 2^%u bytes",
			      id->name, (unsigned long long)blocks, format->ds);
	if (metadata && (n->flbas & NVME_NS_FLBAS_META_EXT))
		return bk_err(EINVAL,
			      "%s is formatted with blocks of %u + %u bytes (metadata within the "
			      "data), which is not supported; reformat it with nvme format",
			      id->name, 1U << format->ds, metadata);
	if (pi > NVME_NS_DPS_PI_TYPE3 || (pi && metadata != NVME_PI_SIZE))
		return bk_err(EINVAL,
			      "%s is formatted with protection information of type %u and %u bytes "
			      "of metadata; supported are types 1 to 3 and %u bytes, which the "
			      "controller inserts and checks; use the io_uring driver on its block "
			      "device",
			      id->name, pi, metadata, NVME_PI_SIZE);
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

	l->max_transfer = INT_MAX & ~(l->request_alignment - 1);
	nvme_limit_transfer(ns, l, min_u64(commands_max, page_units(mdts)));
	l->max_write_zeroes_len = commands_max;
	l->max_discard_len = (uint64_t)UINT32_MAX << ns->block_shift;
	/* The size may change at any time: the controller checks. */
	l->end = (uint64_t)INT64_MAX >> ns->block_shift << ns->block_shift;
}

/*
 * Atomicity as to power failures (NVM Command Set, 2.1.4). Unless the namespace has a unit of its
 * own, that of the controller applies. A write that crosses a boundary is not atomic; no write of
 * the unit may be longer than what is between two.
 */
static void atomic_writes(struct identify *id)
{
	const struct nvme_id_ns *n = &id->data.ns;
	bool own = n->nsfeat & NVME_NS_FEAT_NATOMIC;
	uint64_t unit = own && n->nawupf ? le16toh(n->nawupf) + 1U : id->awupf;
	uint64_t boundary = own && n->nabspf ? le16toh(n->nabspf) + 1U : 0;
	unsigned shift = id->ns->block_shift;

	if (boundary)
		unit = min_u64(unit, boundary);
	id->l->atomic = (struct bk_atomic){
		.min = 1ULL << shift,
		.max = unit << shift,
		.boundary = boundary << shift,
		.boundary_offset = boundary ? (uint64_t)le16toh(n->nabo) << shift : 0,
		.max_segments = id->l->max_segments,
	};
}

/* Those that the driver cannot use, too: they are a choice for whoever formats it. */
static void list_formats(struct identify *id)
{
	const struct nvme_id_ns *n = &id->data.ns;
	unsigned nr = min_u64(n->nlbaf, ARRAY_SIZE(n->lbaf) - 1) + 1;
	char *out = id->ns->formats;
	size_t len = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < nr && len < NVME_FORMATS_LEN; i++) {
		const struct nvme_lbaf *f = &n->lbaf[i];
		char metadata[8] = "";

		if (f->ds < BLOCK_SHIFT_MIN || f->ds > NVME_BLOCK_SHIFT_MAX)
			continue;
		if (f->ms)
			snprintf(metadata, sizeof(metadata), "+%u", le16toh(f->ms));
		len += snprintf(out + len, NVME_FORMATS_LEN - len, "%s%u%s%s", len ? ", " : "",
				1U << f->ds, metadata, i == id->format ? " (in use)" : "");
	}
}

static int ns_limits(struct identify *id, uint8_t mdts)
{
	const struct nvme_id_ns *n = &id->data.ns;
	const struct nvme_lbaf *format;
	int ret;

	id->format = nvme_format_of(n);
	format = &n->lbaf[id->format];
	ret = check_format(id, format);
	if (ret < 0)
		return ret;
	list_formats(id);
	id->l->read_only = n->nsattr & NVME_NS_NSATTR_WRITE_PROTECTED;
	id->ns->block_shift = format->ds;
	id->ns->pi = nvme_protection_of(n, format);
	id->ns->metadata_size = id->ns->pi ? 0 : le16toh(format->ms);
	id->ns->nr_blocks = le64toh(n->nsze);
	memcpy(id->ns->ids.nguid, n->nguid, sizeof(n->nguid));
	memcpy(id->ns->ids.eui64, n->eui64, sizeof(n->eui64));
	id->ns->deac = (n->dlfeat & NVME_NS_DLFEAT_RB) == NVME_NS_DLFEAT_RB_ALL_0S &&
		       (n->dlfeat & NVME_NS_DLFEAT_WRITE_ZEROES);
	alignments(id);
	id->l->max_segments = SEGMENTS_MAX;
	atomic_writes(id);
	lengths(id, mdts);
	return 0;
}

/* Optional data: limits that are not there do not apply. */
static void command_set_limits(struct identify *id)
{
	const struct nvme_id_ctrl_nvm *c = &id->data.ctrl_nvm;
	struct bk_limits *l = id->l;
	uint64_t block = l->request_alignment, range;

	if (nvme_ask_identify(id->admin, NVME_IDENTIFY_CNS_CSI_CTRL, 0, NVME_CSI_NVM, &id->data) !=
	    0)
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

/*
 * One of the namespace's identification descriptors, size bytes at least; NULL: it is not there.
 * Bytes: the device chooses the lengths, so nothing need be aligned.
 */
static const uint8_t *find_descriptor(const union nvme_identify_data *data, uint8_t type,
				      size_t size)
{
	size_t at = 0;

	while (at + sizeof(struct nvme_ns_id_desc) + size <= sizeof(*data)) {
		const uint8_t *d = &data->raw[at];
		uint8_t len = d[offsetof(struct nvme_ns_id_desc, nidl)];

		if (!len)
			break;
		if (d[offsetof(struct nvme_ns_id_desc, nidt)] == type && len >= size)
			return d + offsetof(struct nvme_ns_id_desc, nid);
		at += sizeof(struct nvme_ns_id_desc) + len;
	}
	return NULL;
}

/* The namespace's command set, or -1, and its UUID, as far as its descriptors say that. */
static int read_descriptors(struct identify *id)
{
	const uint8_t *csi, *uuid;

	if (id->version < VERSION_1_3 ||
	    nvme_ask_identify(id->admin, NVME_IDENTIFY_CNS_NS_DESC_LIST, id->ns->nsid, 0,
			      &id->data) != 0)
		return -1;
	uuid = find_descriptor(&id->data, NVME_NIDT_UUID, sizeof(id->ns->ids.uuid));
	if (uuid)
		memcpy(id->ns->ids.uuid, uuid, sizeof(id->ns->ids.uuid));
	csi = find_descriptor(&id->data, NVME_NIDT_CSI, 1);
	return csi ? *csi : -1;
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
		return bk_err(EINVAL, "%s reports an impossible zone size: %llu blocks", id->name,
			      (unsigned long long)blocks);
	z->zoned = NVME_ZONED_HOST_MANAGED;
	z->size = blocks << id->ns->block_shift;
	z->nr = id->ns->nr_blocks / blocks;
	z->max_active = resources(n->mar);
	z->max_open = resources(n->mor);
	id->l->ops |= BK_OPS_ZONE;

	if (nvme_ask_identify(id->admin, NVME_IDENTIFY_CNS_CSI_CTRL, 0, NVME_CSI_ZNS, &id->data) ==
	    0) {
		z->append = true; /* mandatory (ZNS, 3.1) */
		id->l->ops |= BK_OP_BIT(BK_ZONE_APPEND);
		id->l->max_append =
		    min_u64(page_units(id->data.zns_ctrl.zasl), id->l->max_transfer);
	}
	return 0;
}

/* What command set the namespace has decides whether it has zones. */
static int find_zones(struct identify *id)
{
	int csi = read_descriptors(id), ret;

	if (csi >= 0 && csi != NVME_CSI_NVM && csi != NVME_CSI_ZNS)
		return bk_err(ENOTSUP, "%s has command set %d, which is not that of a block device",
			      id->name, csi);
	/* Without CAP_SYS_ADMIN, Linux does not hand out the descriptors: try. */
	if (csi == NVME_CSI_NVM || id->version < VERSION_1_3)
		return 0;
	ret = nvme_ask_identify(id->admin, NVME_IDENTIFY_CNS_CSI_NS, id->ns->nsid, NVME_CSI_ZNS,
				&id->data);
	if (ret)
		return csi == NVME_CSI_ZNS ? nvme_identify_err(ret, id->name) : 0;
	return zone_limits(id);
}

/* ---- Public ------------------------------------------------------------------------------- */

int nvme_identify(const struct nvme_admin *a, uint32_t nsid, const char *name, struct nvme_ns *ns,
		  struct bk_limits *l)
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
		ret = ns_limits(id, mdts);
	if (ret < 0)
		goto out;
	command_set_limits(id);
	ret = find_zones(id);
out:
	free(id);
	return ret;
}

/* lim.max_transfer is that of a command; drivers that use this row set takes_long_requests. */
int nvme_get_max_transfer(struct blkio *b, union bk_val *val)
{
	(void)b;
	val->i = 0;
	return 0;
}
