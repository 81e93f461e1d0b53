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

static int identify(bool read_only)
{
	memset(&ns, 0xa5, sizeof(ns));
	memset(&lim, 0, sizeof(lim));
	return nvme_identify(&admin, 9, "the device", read_only, &ns, &lim);
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
	CHECK_OK(identify(false));
	CHECK_EQ(ns.nsid, 9);
	CHECK_EQ(ns.block_shift, 12);
	CHECK_EQ(ns.nr_blocks, 1000);
	CHECK(!ns.deac && !ns.metadata_size && !ns.zones.zoned && !dev.asked_for_zones);
	CHECK_EQ(lim.ops, BK_OPS_RW | BK_OP_BIT(BK_FLUSH));
	CHECK_EQ(lim.end, 4096000);
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
	CHECK_OK(identify(false));
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
	CHECK_OK(identify(false));
	CHECK_EQ(lim.optimal_io_alignment, 4096);
	CHECK_EQ(lim.optimal_io_size, 12 << 10);
	/* Deallocated blocks that read as anything must not be made by write zeroes. */
	dev.ns.dlfeat = 8;
	CHECK_OK(identify(false));
	CHECK(!ns.deac);
	/* A limit below a block is none that can be kept; 0 would be no limit. */
	dev.ns.lbaf[0].ds = 16;
	CHECK_OK(identify(false));
	CHECK_EQ(lim.max_write_zeroes_len, 1 << 16);
}

static void limit_transfer(struct device *d)
{
	(void)d;
	simple_device();
	CHECK_OK(identify(false));
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
	CHECK_OK(identify(false));
	CHECK_EQ(ns.block_shift, 9);
	dev.ns.nlbaf = 20;
	CHECK_OK(identify(false));
	CHECK_EQ(ns.block_shift, 12);

	dev.ns.lbaf[19].ms = htole16(8);
	CHECK_OK(identify(false));
	CHECK_EQ(ns.metadata_size, 8);
	dev.ns.flbas |= NVME_NS_FLBAS_META_EXT;
	CHECK_ERR(identify(false), EINVAL, "the device", "4096 + 8", "nvme format");
	dev.ns.flbas &= ~NVME_NS_FLBAS_META_EXT;
	dev.ns.dps = 1;
	CHECK_ERR(identify(false), EINVAL, "the device", "protection");
}

static void write_protected(struct device *d)
{
	(void)d;
	simple_device();
	dev.ns.nsattr = 1;
	CHECK_ERR(identify(false), EROFS, "the device", "read-only");
	CHECK_OK(identify(true));
}

static void lies(struct device *d)
{
	(void)d;
	simple_device();
	dev.ns.nsze = 0;
	CHECK_ERR(identify(false), ENODEV, "the device");
	dev.ns.nsze = htole64(1ull << 51);
	CHECK_ERR(identify(false), EINVAL, "the device");
	for (unsigned ds = 0; ds < 256; ds++) {
		dev.ns.nsze = htole64(1000);
		dev.ns.lbaf[0].ds = ds;
		CHECK_EQ(identify(false), ds >= 9 && ds <= 20 ? 0 : -EINVAL);
	}
	simple_device();
	dev.ctrl.mdts = 255;
	CHECK_OK(identify(false));
	CHECK_EQ(lim.max_transfer, 65536 << 12);
	dev.ctrl_status = 6;
	CHECK_ERR(identify(false), EIO, "the device", "internal error");
	/* All ones: whatever comes out, limits keep their promises. */
	memset(&dev, 0xff, offsetof(typeof(dev), ctrl_status));
	dev.ns.nsze = htole64(1000);
	for (size_t i = 0; i < 64; i++)
		dev.ns.lbaf[i] = (struct nvme_lbaf){ .ds = 9 };
	dev.ns.nsattr = 0;
	dev.zns_status = dev.desc_status = dev.ctrl_status = dev.ns_status = dev.nvm_status = 0;
	identify(false);
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
	CHECK_OK(identify(false));
	CHECK_EQ(ns.zones.zoned, 2);
	CHECK_EQ(ns.zones.size, 300 << 12);
	CHECK_EQ(ns.zones.nr, 3);
	CHECK_EQ(ns.zones.max_active, 14);
	CHECK_EQ(ns.zones.max_open, 7);
	CHECK(ns.zones.append);
	CHECK_EQ(ns.zones.append_max, 64 << 10);
	CHECK(lim.ops & BK_OP_BIT(BK_ZONE_RESET));
	nvme_limit_transfer(&ns, &lim, 16 << 10);
	CHECK_EQ(ns.zones.append_max, 16 << 10);
	/* Without a limit of its own it is that of writes; all ones: no limit. */
	dev.zns_ctrl.zasl = 0;
	dev.zns.mar = dev.zns.mor = htole32(UINT32_MAX);
	CHECK_OK(identify(false));
	CHECK_EQ(ns.zones.append_max, lim.max_transfer);
	CHECK_EQ(ns.zones.max_active, 0);
	CHECK_EQ(ns.zones.max_open, 0);
}

static void zone_lies(struct device *d)
{
	(void)d;
	zoned_device();
	dev.zns.lbafe[0].zsze = 0;
	CHECK_ERR(identify(false), EINVAL, "the device", "zones");
	dev.zns.lbafe[0].zsze = htole64(UINT64_MAX);
	CHECK_ERR(identify(false), EINVAL, "the device", "zones");
	zoned_device();
	dev.zns_status = 0x2c;
	CHECK_ERR(identify(false), EIO, "the device");
}

static void command_sets(struct device *d)
{
	(void)d;
	/* The descriptors don't say: it is worth asking. */
	zoned_device();
	dev.desc_status = -EACCES;
	CHECK_OK(identify(false));
	CHECK_EQ(ns.zones.zoned, 2);
	dev.zns_status = 2;
	CHECK_OK(identify(false));
	CHECK_EQ(ns.zones.zoned, 0);
	/* They say: no zones, or not even blocks. */
	zoned_device();
	dev.desc[24] = 0;
	CHECK_OK(identify(false));
	CHECK(!ns.zones.zoned && !dev.asked_for_zones);
	dev.desc[24] = 1;
	CHECK_ERR(identify(false), ENOTSUP, "the device", "command set 1");
	/* Descriptors that lead past the end. */
	zoned_device();
	memset(dev.desc, 0xff, sizeof(dev.desc));
	CHECK_OK(identify(false));
}

static const struct test tests[] = {
	{ "simple device", simple },
	{ "options", options },
	{ "limit of the carrier", limit_transfer },
	{ "formats", formats },
	{ "write-protected", write_protected },
	{ "lies", lies },
	{ "zones", zones },
	{ "lies about zones", zone_lies },
	{ "command sets", command_sets },
};
TEST_MAIN(tests)
