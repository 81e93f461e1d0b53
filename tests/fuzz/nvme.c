/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fuzzer: the pages that an NVMe controller identifies itself and its namespace with, and zone
 * reports. What comes out of them are limits and commands that make sense, or an error.
 */
#include <errno.h>

#include "fuzz.h"
#include "input.h"
#include "nvme/nvme_ident.h"

struct controller {
	struct nvme_admin admin;
	struct fuzz_input *in;
};

/* ---- What the controller says ------------------------------------------------------------- */

/* A plausible page, in which the input changes what it likes. */
static void plausible(const struct nvme_cmd *c, uint8_t *page, bool zoned)
{
	switch (c->cdw10 & 0xff) {
	case NVME_IDENTIFY_CNS_CTRL:
		((struct nvme_id_ctrl *)page)->ver = htole32(0x20000);
		((struct nvme_id_ctrl *)page)->oncs = htole16(0xffff);
		break;
	case NVME_IDENTIFY_CNS_NS:
		((struct nvme_id_ns *)page)->nsze = htole64(1 << 20);
		((struct nvme_id_ns *)page)->lbaf[0].ds = 9;
		break;
	case NVME_IDENTIFY_CNS_NS_DESC_LIST:
		page[0] = NVME_NIDT_CSI;
		page[1] = 1;
		page[4] = zoned ? NVME_CSI_ZNS : NVME_CSI_NVM;
		break;
	case NVME_IDENTIFY_CNS_CSI_NS:
		((struct nvme_zns_id_ns *)page)->lbafe[0].zsze = htole64(1 << 12);
		break;
	}
}

/* Half of the changes are where the limits are, of all the 4 KiB. */
static void change(struct fuzz_input *in, uint8_t *page, uint32_t len)
{
	for (unsigned n = fuzz_u8(in) & 15; n; n--) {
		size_t at = fuzz_u16(in), size = 1 + (fuzz_u8(in) & 7);

		at = (at & 0x8000 ? at & 0xff : at) % len;
		fuzz_bytes(in, page + at, size < len - at ? size : len - at);
	}
}

static int answer(const struct nvme_admin *a, const struct nvme_cmd *c, void *data, uint32_t len)
{
	struct fuzz_input *in = container_of(a, struct controller, admin)->in;
	uint8_t how = fuzz_u8(in);

	if (how >= 0xf8)
		return bk_err(EIO, "the ioctl failed");
	if (how >= 0xf0)
		return fuzz_u16(in) & 0x7fff;
	plausible(c, data, how & 1);
	change(in, data, len);
	return 0;
}

/* ---- What comes out ----------------------------------------------------------------------- */

static void check_limits(const struct nvme_ns *ns, const struct bk_limits *l)
{
	uint64_t block = 1ULL << ns->block_shift;

	MUST(ns->block_shift >= 9 && ns->block_shift <= 20);
	MUST(ns->nr_blocks && ns->nr_blocks <= l->end >> ns->block_shift);
	MUST(l->end <= INT64_MAX && l->end % block == 0);
	MUST((uint64_t)l->request_alignment == block);
	MUST(is_power_of_2(l->optimal_io_alignment) && l->optimal_io_size >= 0);
	MUST(l->discard_alignment > 0 && l->max_segments > 0);
	MUST(l->max_transfer > 0 && l->max_transfer % block == 0);
	MUST(l->atomic.min == block && l->atomic.max >= block);
	MUST(l->atomic.max <= (uint64_t)l->max_transfer && l->atomic.max % block == 0);
	MUST(!l->atomic.boundary || l->atomic.max <= l->atomic.boundary);
	MUST(ns->pi <= 3 && (!ns->pi || !ns->metadata_size));
	/* 0 would be no limit */
	MUST(l->max_write_zeroes_len >= block && l->max_discard_len >= block);
	if (ns->zones.zoned) {
		MUST(ns->zones.size && ns->zones.nr && ns->zones.size <= l->end);
		MUST(ns->zones.max_open >= 0 && ns->zones.max_active >= 0);
		MUST(!ns->zones.append == !(l->ops & BK_OP_BIT(BK_ZONE_APPEND)));
		MUST(!ns->zones.append == !l->max_append);
		MUST(l->max_append <= (uint64_t)l->max_transfer);
	}
}

/* The longest request that the core lets through: its blocks fit into their field. */
static void check_command(const struct nvme_ns *ns, const struct bk_limits *l, enum bk_op op,
			  uint64_t max, uint8_t flags)
{
	uint64_t block = 1ULL << ns->block_shift;
	struct bk_req r = { .op = op, .len = min_u64(max, l->end) & ~(block - 1), .flags = flags };
	struct nvme_cmd c;

	r.start = l->end - r.len;
	nvme_prep(ns, &r, &c);
	MUST(c.nsid == ns->nsid);
	if (op == BK_DISCARD) {
		MUST(le32toh(nvme_discard_range(ns, &r).nlb) == r.len >> ns->block_shift);
		MUST(!nvme_request_error(ns, &r) == (l->end <= ns->nr_blocks << ns->block_shift));
		return;
	}
	MUST((c.cdw12 & 0xffff) + 1ULL == r.len >> ns->block_shift);
	MUST((c.cdw10 | (uint64_t)c.cdw11 << 32) == r.start >> ns->block_shift);
}

/* Wherever the controller says that an append went, it is within the zone. */
static void check_append(const struct nvme_ns *ns, const struct bk_limits *l, struct fuzz_input *in)
{
	uint64_t block = 1ULL << ns->block_shift, at = UINT64_MAX;
	struct bk_req r = { .op = BK_ZONE_APPEND,
			    .start = fuzz_u8(in) % ns->zones.nr * ns->zones.size,
			    .len = min_u64(l->max_append, block * (1 + fuzz_u8(in))),
			    .written_at = &at };
	const char *msg = NULL;
	uint64_t came = (r.start >> ns->block_shift) + (int32_t)fuzz_u32(in);

	r.len = max_u64(r.len & ~(block - 1), block);
	check_command(ns, l, BK_ZONE_APPEND, r.len, 0);
	if (nvme_append_came(ns, &r, came, &msg) < 0) {
		MUST(msg && msg[0] && at == UINT64_MAX);
		return;
	}
	MUST(at >= r.start && at + r.len <= r.start + ns->zones.size);
}

static void check_report(const struct nvme_ns *ns, struct fuzz_input *in)
{
	uint32_t asked = 1 + (fuzz_u8(in) & 7), max = 1 + (fuzz_u8(in) & 7);
	uint32_t len = nvme_report_len(asked);
	struct nvme_zone_report *report = calloc(1, len);
	struct blkio_zone *zones = calloc(max, sizeof(*zones));
	const char *msg = NULL;
	int n;

	MUST(report && zones);
	report->nr_zones = htole64(asked);
	for (unsigned i = 0; i < asked; i++) {
		report->entries[i].zslba = htole64((ns->zones.size >> ns->block_shift) * i);
		report->entries[i].wp = report->entries[i].zslba;
	}
	change(in, (uint8_t *)report, len);
	n = nvme_parse_report(ns, report, len, zones, max, &msg);
	MUST(n < 0 ? msg && msg[0] : (uint32_t)n <= max && (uint32_t)n <= asked);
	for (int i = 0; i < n; i++) {
		const struct blkio_zone *z = &zones[i];
		uint64_t end = ns->nr_blocks << ns->block_shift;

		MUST(z->start < end && z->len && z->len <= end - z->start);
		MUST(z->start % ns->zones.size == 0 && z->capacity <= ns->zones.size);
		MUST(z->write_pointer >= z->start && z->write_pointer <= z->start + z->len);
	}
	free(report);
	free(zones);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, data + len };
	struct controller c = { { answer }, &in };
	uint8_t how = fuzz_u8(&in);
	struct bk_limits l = { 0 };
	const char *msg = NULL;
	struct nvme_ns ns;
	uint64_t bytes;

	MUST(nvme_status(fuzz_u16(&in) | 1, &msg) > 0 && msg && msg[0]);
	if (nvme_identify(&c.admin, 1, "fuzz", &ns, &l) < 0)
		return;
	check_limits(&ns, &l);
	if (how & 2) {
		nvme_limit_transfer(&ns, &l, fuzz_u32(&in));
		check_limits(&ns, &l);
	}
	check_command(&ns, &l, BK_READ, l.max_transfer, 0);
	check_command(&ns, &l, BK_WRITE, l.max_transfer, BLKIO_REQ_FUA);
	check_command(&ns, &l, BK_WRITE_ZEROES, l.max_write_zeroes_len, how >> 6);
	check_command(&ns, &l, BK_DISCARD, l.max_discard_len, 0);
	if (ns.zones.zoned)
		check_report(&ns, &in);
	if (ns.zones.append)
		check_append(&ns, &l, &in);
	if (!nvme_capacity(&c.admin, &ns, &bytes))
		MUST(bytes <= INT64_MAX);
}
