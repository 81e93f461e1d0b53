/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Identify data -> limits, with a device that says what the test wants, true or not. */
#include <endian.h>

#include "../lib/test.h"
#include "nvme/nvme_ident.h"

/* What the fake device answers; a status where it refuses. */
static struct {
	struct nvme_id_ctrl ctrl;
	struct nvme_id_ns ns;
	struct nvme_id_ctrl_nvm nvm;
	struct nvme_zns_id_ns zns;
	struct nvme_zns_id_ctrl zns_ctrl;
	uint8_t desc[4096];
	int ctrl_status, ns_status, nvm_status, zns_status, desc_status;
	unsigned asked_for_zones;
} dev;

static int give(void *data, uint32_t len, const void *answer, int status)
{
	CHECK_EQ(len, 4096);
	if (!status)
		memcpy(data, answer, len);
	return status;
}

static int fake_read(const struct nvme_admin *a, const struct nvme_cmd *c, void *data, uint32_t len)
{
	unsigned csi = c->cdw11 >> 24;

	(void)a;
	CHECK_EQ(c->opcode, 6);
	switch (c->cdw10) {
	case 0:
		CHECK_EQ(c->nsid, 9);
		return give(data, len, &dev.ns, dev.ns_status);
	case 1:
		return give(data, len, &dev.ctrl, dev.ctrl_status);
	case 2:
		return give(data, len, dev.desc, 0);
	case 3:
		return give(data, len, dev.desc, dev.desc_status);
	case 5:
		CHECK_EQ(csi, 2);
		dev.asked_for_zones++;
		return give(data, len, &dev.zns, dev.zns_status);
	case 6:
		if (csi == 0)
			return give(data, len, &dev.nvm, dev.nvm_status);
		return give(data, len, &dev.zns_ctrl, dev.zns_status);
	}
	FAIL("identify with CNS %#x", c->cdw10);
}

static const struct nvme_admin admin = { fake_read };
static struct nvme_ns ns;
static struct bk_limits lim;

static int identify(void)
{
	memset(&ns, 0xa5, sizeof(ns));
	memset(&lim, 0, sizeof(lim));
	return nvme_identify(&admin, 9, "the device", &ns, &lim);
}

/* NVMe 1.2: 1000 blocks of 4 KiB, no options. */
static void simple_device(void)
{
	memset(&dev, 0, sizeof(dev));
	dev.ctrl.ver = htole32(0x10200);
	dev.ns.nsze = htole64(1000);
	dev.ns.lbaf[0].ds = 12;
	dev.nvm_status = dev.zns_status = dev.desc_status = 2;
}

static void simple(struct device *d)
{
	(void)d;
	simple_device();
	CHECK_OK(identify());
	CHECK_EQ(ns.nsid, 9);
	CHECK_EQ(ns.block_shift, 12);
	CHECK_EQ(ns.nr_blocks, 1000);
	CHECK(!ns.deac && !ns.metadata_size && !ns.zones.zoned && !dev.asked_for_zones);
	CHECK_EQ(lim.ops, BK_OPS_RW | BK_OP_BIT(BK_FLUSH));
	CHECK_EQ(lim.end, INT64_MAX & ~4095ull); /* the size may change */
	CHECK_EQ(lim.request_alignment, 4096);
	CHECK_EQ(lim.optimal_io_alignment, 4096);
	CHECK_EQ(lim.optimal_io_size, 0);
	CHECK_EQ(lim.discard_alignment, 4096);
	CHECK_EQ(lim.max_transfer, 65536 << 12);
	CHECK_EQ(lim.max_write_zeroes_len, 65536 << 12);
	CHECK_EQ(lim.max_discard_len, 0xffffffffull << 12);
	CHECK(!lim.flush_needed && lim.supports_fua_natively && lim.takes_fua_write &&
	      lim.takes_fua_write_zeroes);
}

/* Padded with spaces, says the specification; a controller may say anything. */
static void product(struct device *d)
{
	(void)d;
	simple_device();
	memcpy(dev.ctrl.mn, "A Disk                                  ", 40);
	memcpy(dev.ctrl.sn, "exactly twenty chars", 20);
	memcpy(dev.ctrl.fr, "1\n\x80\x1b 2\0", 8);
	CHECK_OK(identify());
	CHECK_STR(ns.product.model, "A Disk");
	CHECK_STR(ns.product.serial, "exactly twenty chars");
	CHECK_STR(ns.product.firmware, "1??? 2");
}

static void namespaces(struct device *d)
{
	uint32_t ids[4];
	uint64_t bytes;
	char text[64];

	(void)d;
	simple_device();
	dev.ns.lbaf[0].ms = htole16(8);
	CHECK_OK(nvme_describe(&admin, 9, text, sizeof(text), &bytes));
	CHECK_STR(text, "blocks of 4096 bytes and 8 bytes of metadata");
	CHECK_EQ(bytes, 4096000);
	dev.ns.lbaf[0].ds = 200;
	CHECK_ERR(nvme_describe(&admin, 9, text, sizeof(text), &bytes), EINVAL, "namespace 9");
	memset(dev.desc, 0, sizeof(dev.desc));
	memcpy(dev.desc, ((const uint32_t[]){ 2, 5, 5, 7 }), 16);
	/* Not in ascending order: what follows is not believed. */
	CHECK_EQ(nvme_list_namespaces(&admin, 0, ids, 4), 2);
	CHECK_EQ(ids[0], 2);
	CHECK_EQ(ids[1], 5);
	CHECK_EQ(nvme_list_namespaces(&admin, 2, ids, 4), 0);
}

static void options(struct device *d)
{
	(void)d;
	simple_device();
	dev.ctrl.oncs = htole16(NVME_CTRL_ONCS_DSM | NVME_CTRL_ONCS_WRITE_ZEROES);
	dev.ctrl.vwc = 1;
	dev.ctrl.mdts = 5;
	dev.ns.dlfeat = 9;
	dev.ns.nsfeat = NVME_NS_FEAT_IO_OPT;
	dev.ns.npwg = htole16(3);
	dev.ns.nows = htole16(63);
	dev.ns.npdg = htole16(2);
	dev.nvm_status = 0;
	dev.nvm.wzsl = 3;
	dev.nvm.dmrsl = htole32(100);
	dev.nvm.dmsl = htole64(50);
	CHECK_OK(identify());
	CHECK_EQ(lim.ops, BK_OPS_BLOCK);
	CHECK(lim.flush_needed && ns.deac);
	CHECK_EQ(lim.max_transfer, 128 << 10);
	CHECK_EQ(lim.optimal_io_alignment, 16 << 10);
	CHECK_EQ(lim.optimal_io_size, 256 << 10);
	CHECK_EQ(lim.discard_alignment, 12 << 10);
	CHECK_EQ(lim.max_write_zeroes_len, 32 << 10);
	CHECK_EQ(lim.max_discard_len, 50 << 12);
	/* Hints that are not what the properties promise are no hints. */
	dev.ns.npwg = htole16(2);
	dev.ns.nows = htole16(2);
	CHECK_OK(identify());
	CHECK_EQ(lim.optimal_io_alignment, 4096);
	CHECK_EQ(lim.optimal_io_size, 12 << 10);
	/* Deallocated blocks that read as anything must not be made by write zeroes. */
	dev.ns.dlfeat = 8;
	CHECK_OK(identify());
	CHECK(!ns.deac);
	/* A limit below a block is none that can be kept; 0 would be no limit. */
	dev.ns.lbaf[0].ds = 16;
	CHECK_OK(identify());
	CHECK_EQ(lim.max_write_zeroes_len, 1 << 16);
}

static void limit_transfer(struct device *d)
{
	(void)d;
	simple_device();
	CHECK_OK(identify());
	nvme_limit_transfer(&ns, &lim, UINT64_MAX);
	CHECK_EQ(lim.max_transfer, 65536 << 12);
	nvme_limit_transfer(&ns, &lim, 126 * 4096 + 4095);
	CHECK_EQ(lim.max_transfer, 126 * 4096);
	nvme_limit_transfer(&ns, &lim, 0);
	CHECK_EQ(lim.max_transfer, 4096);
}

static void formats(struct device *d)
{
	(void)d;
	simple_device();
	dev.ns.flbas = 3 | 1 << 5;
	dev.ns.lbaf[3].ds = 9;
	dev.ns.lbaf[19].ds = 12;
	dev.ns.nlbaf = 15; /* the upper bits of flbas mean nothing */
	CHECK_OK(identify());
	CHECK_EQ(ns.block_shift, 9);
	dev.ns.nlbaf = 20;
	CHECK_OK(identify());
	CHECK_EQ(ns.block_shift, 12);

	dev.ns.lbaf[19].ms = htole16(8);
	CHECK_OK(identify());
	CHECK_EQ(ns.metadata_size, 8);
	dev.ns.flbas |= NVME_NS_FLBAS_META_EXT;
	CHECK_ERR(identify(), EINVAL, "the device", "4096 + 8", "nvme format");
	dev.ns.flbas &= ~NVME_NS_FLBAS_META_EXT;
}

/* What the controller inserts and checks by itself; all else is refused by name. */
static void protection(struct device *d)
{
	uint64_t bytes;

	(void)d;
	simple_device();
	dev.ns.dps = 1; /* without metadata it means nothing */
	CHECK_OK(identify());
	CHECK_EQ(ns.pi, 0);
	dev.ns.lbaf[0].ms = htole16(8);
	for (uint8_t type = 0; type < 8; type++) {
		dev.ns.dps = type | NVME_NS_DPS_PI_FIRST;
		if (type > 3) {
			CHECK_ERR(identify(), EINVAL, "the device", "protection");
			continue;
		}
		CHECK_OK(identify());
		CHECK_EQ(ns.pi, type);
		CHECK_EQ(ns.metadata_size, type ? 0 : 8);
		CHECK_OK(nvme_capacity(&admin, &ns, &bytes));
		dev.ns.dps ^= 1;
		CHECK_ERR(nvme_capacity(&admin, &ns, &bytes), ENODEV, "formatted", "type");
	}
	dev.ns.dps = 1;
	dev.ns.lbaf[0].ms = htole16(16);
	CHECK_ERR(identify(), EINVAL, "the device", "type 1 and 16 bytes");
	dev.ns.lbaf[0].ms = htole16(8);
	dev.ns.flbas |= NVME_NS_FLBAS_META_EXT;
	CHECK_ERR(identify(), EINVAL, "the device", "within the data");
}

/* Units and boundaries of atomic writes: of the controller, or of the namespace. */
static void atomic_units(struct device *d)
{
	static const struct {
		uint16_t awupf, nawupf, nabspf, nabo;
		bool own;
		uint64_t max, boundary, offset; /* blocks */
	} cases[] = {
		{ 0, 0, 0, 0, false, 1, 0, 0 },
		{ 7, 3, 9, 1, false, 8, 0, 0 }, /* not what the namespace does not claim */
		{ 7, 15, 0, 0, true, 16, 0, 0 },
		{ 7, 0, 0, 5, true, 8, 0, 0 },
		{ 7, 15, 31, 3, true, 16, 32, 3 },
		{ 7, 15, 3, 0, true, 4, 4, 0 },
		{ 0xffff, 0, 0, 0, false, 32, 0, 0 }, /* as long as a command */
	};

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		simple_device();
		dev.ctrl.mdts = 5;
		dev.ctrl.awupf = htole16(cases[i].awupf);
		dev.ns.nawupf = htole16(cases[i].nawupf);
		dev.ns.nabspf = htole16(cases[i].nabspf);
		dev.ns.nabo = htole16(cases[i].nabo);
		dev.ns.nsfeat = cases[i].own ? NVME_NS_FEAT_NATOMIC : 0;
		CHECK_OK(identify());
		CHECK_EQ(lim.atomic.min, 4096);
		CHECK_EQ(lim.atomic.max, cases[i].max << 12);
		CHECK_EQ(lim.atomic.boundary, cases[i].boundary << 12);
		CHECK_EQ(lim.atomic.boundary_offset, cases[i].offset << 12);
		CHECK(!lim.atomic.natural && lim.atomic.max_segments == lim.max_segments);
	}
	nvme_limit_transfer(&ns, &lim, 8192);
	CHECK_EQ(lim.atomic.max, 8192);
}

static void write_protected(struct device *d)
{
	(void)d;
	simple_device();
	dev.ns.nsattr = 1;
	CHECK_OK(identify());
	CHECK(lim.read_only);
	dev.ns.nsattr = 0;
	CHECK_OK(identify());
	CHECK(!lim.read_only);
}

static void lies(struct device *d)
{
	(void)d;
	simple_device();
	dev.ns.nsze = 0;
	CHECK_ERR(identify(), ENODEV, "the device");
	dev.ns.nsze = htole64(1ull << 51);
	CHECK_ERR(identify(), EINVAL, "the device");
	for (unsigned ds = 0; ds < 256; ds++) {
		dev.ns.nsze = htole64(1000);
		dev.ns.lbaf[0].ds = ds;
		CHECK_EQ(identify(), ds >= 9 && ds <= 20 ? 0 : -EINVAL);
	}
	simple_device();
	dev.ctrl.mdts = 255;
	CHECK_OK(identify());
	CHECK_EQ(lim.max_transfer, 65536 << 12);
	dev.ctrl_status = 6;
	CHECK_ERR(identify(), EIO, "the device", "internal error");
	/* All ones: whatever comes out, limits keep their promises. */
	memset(&dev, 0xff, offsetof(typeof(dev), ctrl_status));
	dev.ns.nsze = htole64(1000);
	for (size_t i = 0; i < 64; i++)
		dev.ns.lbaf[i] = (struct nvme_lbaf){ .ds = 9 };
	dev.ns.nsattr = 0;
	dev.zns_status = dev.desc_status = dev.ctrl_status = dev.ns_status = dev.nvm_status = 0;
	identify();
	CHECK(lim.max_transfer > 0 && lim.max_transfer % 512 == 0);
	CHECK(lim.optimal_io_size >= 0 && lim.discard_alignment > 0);
}

/* ---- Zones -------------------------------------------------------------------------------- */

static void zoned_device(void)
{
	static const uint8_t desc[] = { 2, 16, 0, 0, [20] = 4, 1, 0, 0, 2 };

	simple_device();
	dev.ctrl.ver = htole32(0x20000);
	dev.desc_status = dev.zns_status = 0;
	memcpy(dev.desc, desc, sizeof(desc));
	dev.zns.mar = htole32(13);
	dev.zns.mor = htole32(6);
	dev.zns.lbafe[0].zsze = htole64(300);
	dev.zns_ctrl.zasl = 4;
}

static void zones(struct device *d)
{
	(void)d;
	zoned_device();
	CHECK_OK(identify());
	CHECK_EQ(ns.zones.zoned, 2);
	CHECK_EQ(ns.zones.size, 300 << 12);
	CHECK_EQ(ns.zones.nr, 3);
	CHECK_EQ(ns.zones.max_active, 14);
	CHECK_EQ(ns.zones.max_open, 7);
	CHECK(ns.zones.append);
	CHECK_EQ(lim.max_append, 64 << 10);
	CHECK(lim.ops & BK_OP_BIT(BK_ZONE_RESET));
	CHECK(lim.ops & BK_OP_BIT(BK_ZONE_APPEND));
	nvme_limit_transfer(&ns, &lim, 16 << 10);
	CHECK_EQ(lim.max_append, 16 << 10);
	/* Without a limit of its own it is that of writes; all ones: no limit. */
	dev.zns_ctrl.zasl = 0;
	dev.zns.mar = dev.zns.mor = htole32(UINT32_MAX);
	CHECK_OK(identify());
	CHECK_EQ(lim.max_append, lim.max_transfer);
	CHECK_EQ(ns.zones.max_active, 0);
	CHECK_EQ(ns.zones.max_open, 0);
}

static void zone_lies(struct device *d)
{
	(void)d;
	zoned_device();
	dev.zns.lbafe[0].zsze = 0;
	CHECK_ERR(identify(), EINVAL, "the device", "zone size");
	dev.zns.lbafe[0].zsze = htole64(UINT64_MAX);
	CHECK_ERR(identify(), EINVAL, "the device", "zone size");
	zoned_device();
	dev.zns_status = 0x2c;
	CHECK_ERR(identify(), EIO, "the device");
}

static void command_sets(struct device *d)
{
	(void)d;
	/* The descriptors don't say: it is worth asking. */
	zoned_device();
	dev.desc_status = -EACCES;
	CHECK_OK(identify());
	CHECK_EQ(ns.zones.zoned, 2);
	dev.zns_status = 2;
	CHECK_OK(identify());
	CHECK_EQ(ns.zones.zoned, 0);
	/* They say: no zones, or not even blocks. */
	zoned_device();
	dev.desc[24] = 0;
	CHECK_OK(identify());
	CHECK(!ns.zones.zoned && !dev.asked_for_zones);
	dev.desc[24] = 1;
	CHECK_ERR(identify(), ENOTSUP, "the device", "command set 1");
	/* Descriptors that lead past the end. */
	zoned_device();
	memset(dev.desc, 0xff, sizeof(dev.desc));
	CHECK_OK(identify());
}

/* Each as the controller gives it, or zeroes. */
static void ids(struct device *d)
{
	static const uint8_t none[16];

	(void)d;
	simple_device();
	CHECK_OK(identify());
	CHECK_MEM(ns.ids.uuid, none, 16);
	CHECK_MEM(ns.ids.nguid, none, 16);
	CHECK_MEM(ns.ids.eui64, none, 8);
	dev.ctrl.ver = htole32(0x10300);
	dev.desc_status = 0;
	memcpy(dev.desc, "\1\10\0\0eui-of-8\3\20\0\0uuid-of-16-bytes", 32);
	memcpy(dev.ns.nguid, "nguid-of-16-byte", 16);
	memcpy(dev.ns.eui64, "eui-of-8", 8);
	CHECK_OK(identify());
	CHECK_MEM(ns.ids.uuid, "uuid-of-16-bytes", 16);
	CHECK_MEM(ns.ids.nguid, "nguid-of-16-byte", 16);
	CHECK_MEM(ns.ids.eui64, "eui-of-8", 8);
	/* Too short to be one, or not all of it is there. */
	dev.desc[13] = 15;
	CHECK_OK(identify());
	CHECK_MEM(ns.ids.uuid, none, 16);
	memset(dev.desc, 0, sizeof(dev.desc));
	for (size_t at = 0; at < sizeof(dev.desc) - 16; at += 16)
		memcpy(dev.desc + at, "\1\14", 2);
	memcpy(dev.desc + sizeof(dev.desc) - 16, "\3\20", 2);
	CHECK_OK(identify());
	CHECK_MEM(ns.ids.uuid, none, 16);
}

/* The size may change, the format may not. */
static void other_format(struct device *d)
{
	uint64_t bytes;

	(void)d;
	simple_device();
	dev.ns.lbaf[1].ds = 9;
	dev.ns.lbaf[2] = (struct nvme_lbaf){ .ds = 12, .ms = htole16(8) };
	CHECK_OK(identify());
	dev.ns.nsze = htole64(2000);
	CHECK_OK(nvme_capacity(&admin, &ns, &bytes));
	CHECK_EQ(bytes, 2000 << 12);
	dev.ns.flbas = 1;
	CHECK_ERR(nvme_capacity(&admin, &ns, &bytes), ENODEV, "formatted", "2^12", "2^9");
	dev.ns.flbas = 2;
	CHECK_ERR(nvme_capacity(&admin, &ns, &bytes), ENODEV, "formatted");
	/* The same metadata, but moved into the data. */
	CHECK_OK(identify());
	CHECK_OK(nvme_capacity(&admin, &ns, &bytes));
	dev.ns.flbas |= NVME_NS_FLBAS_META_EXT;
	CHECK_ERR(nvme_capacity(&admin, &ns, &bytes), ENODEV, "formatted");
	dev.ns.nsze = 0;
	CHECK_ERR(nvme_capacity(&admin, &ns, &bytes), ENODEV, "no longer active");
}

static const struct test tests[] = {
	{ "another format", other_format },
	{ "simple device", simple },
	{ "product", product },
	{ "IDs", ids },
	{ "namespaces", namespaces },
	{ "options", options },
	{ "limit of the carrier", limit_transfer },
	{ "formats", formats },
	{ "protection information", protection },
	{ "atomic units", atomic_units },
	{ "write-protected", write_protected },
	{ "lies", lies },
	{ "zones", zones },
	{ "lies about zones", zone_lies },
	{ "command sets", command_sets },
};
TEST_MAIN(tests)
