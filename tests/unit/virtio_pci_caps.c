/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Where virtio PCI registers are, read from configuration spaces that are good, odd and hostile. */
#include <endian.h>
#include <linux/virtio_pci.h>

#include "test.h"
#include "virtio/virtio_pci_caps.h"

static const uint64_t bars[6] = { [1] = 4096, [4] = 16384 };

struct space {
	uint8_t byte[PCI_CONFIG_LEN];
	unsigned last, free;
};

static void begin(struct space *s)
{
	*s = (struct space){ .last = PCI_CAPABILITY_LIST, .free = 0x40 };
	s->byte[PCI_STATUS] = PCI_STATUS_CAP_LIST;
}

static void put32(struct space *s, unsigned at, uint32_t value)
{
	value = htole32(value);
	memcpy(s->byte + at, &value, sizeof(value));
}

/* Adds a virtio capability behind the others; returns its offset. */
static unsigned add(struct space *s, uint8_t type, uint8_t bar, uint32_t offset, uint32_t len)
{
	unsigned at = s->free;

	s->free += 20;
	s->byte[s->last] = (uint8_t)at;
	s->last = at + PCI_CAP_LIST_NEXT;
	s->byte[at] = PCI_CAP_ID_VNDR;
	s->byte[at + VIRTIO_PCI_CAP_LEN] = 20;
	s->byte[at + VIRTIO_PCI_CAP_CFG_TYPE] = type;
	s->byte[at + VIRTIO_PCI_CAP_BAR] = bar;
	put32(s, at + VIRTIO_PCI_CAP_OFFSET, offset);
	put32(s, at + VIRTIO_PCI_CAP_LENGTH, len);
	put32(s, at + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
	return at;
}

static void good(struct space *s)
{
	begin(s);
	add(s, VIRTIO_PCI_CAP_COMMON_CFG, 4, 0, 4096);
	add(s, VIRTIO_PCI_CAP_ISR_CFG, 4, 4096, 4096);
	add(s, VIRTIO_PCI_CAP_DEVICE_CFG, 4, 8192, 4096);
	add(s, VIRTIO_PCI_CAP_NOTIFY_CFG, 4, 12288, 4096);
}

static const char *parse(const struct space *s, struct vp_layout *l)
{
	return vp_parse(s->byte, bars, l);
}

/* Refused, with this text. */
static void refused(const struct space *s, const char *why)
{
	struct vp_layout l;
	const char *problem = parse(s, &l);

	if (!problem || !strstr(problem, why))
		FAIL("\"%s\" does not contain \"%s\"", problem ? problem : "(accepted)", why);
}

static void a_good_device(struct device *d)
{
	struct vp_layout l;
	struct space s;

	(void)d;
	good(&s);
	CHECK(!parse(&s, &l));
	CHECK_EQ(l.common.bar, 4);
	CHECK_EQ(l.common.offset, 0);
	CHECK_EQ(l.config.offset, 8192);
	CHECK_EQ(l.notify.offset, 12288);
	CHECK_EQ(l.notify.len, 4096);
	CHECK_EQ(l.notify_multiplier, 4);
}

static void legacy_and_incomplete(struct device *d)
{
	struct space s;

	(void)d;
	good(&s);
	s.byte[PCI_STATUS] = 0;
	refused(&s, "legacy");
	begin(&s);
	refused(&s, "legacy");
	add(&s, VIRTIO_PCI_CAP_COMMON_CFG, 4, 0, 4096);
	refused(&s, "device configuration");
	add(&s, VIRTIO_PCI_CAP_DEVICE_CFG, 4, 8192, 4096);
	refused(&s, "doorbells");
}

/* Unknown types, reserved BARs and what cannot be used: the next one may do. */
static void passes_over_what_it_cannot_use(struct device *d)
{
	struct vp_layout l;
	struct space s;

	(void)d;
	begin(&s);
	add(&s, 77, 4, 0, 4096);
	add(&s, VIRTIO_PCI_CAP_COMMON_CFG, 6, 0, 4096);
	add(&s, VIRTIO_PCI_CAP_COMMON_CFG, 0, 0, 4096); /* an I/O BAR, or none */
	add(&s, VIRTIO_PCI_CAP_COMMON_CFG, 1, 0, 4096);
	add(&s, VIRTIO_PCI_CAP_COMMON_CFG, 4, 0, 4096);
	add(&s, VIRTIO_PCI_CAP_DEVICE_CFG, 4, 8192, 60);
	add(&s, VIRTIO_PCI_CAP_NOTIFY_CFG, 4, 12288, 2);
	CHECK(!parse(&s, &l));
	CHECK_EQ(l.common.bar, 1);
	CHECK_EQ(l.notify.len, 2);
}

static void out_of_the_bar(struct device *d)
{
	static const struct {
		uint32_t offset, len;
	} cases[] = {
		{ 16384, 4096 },      { 12289, 4096 },
		{ 0, 16385 },	      { UINT32_MAX, 56 },
		{ 0, UINT32_MAX },    { UINT32_MAX, UINT32_MAX },
		{ 0x80000000, 4096 }, { 0, VP_COMMON_LEN - 1 },
		{ 2, 4096 },	      { 0, 0 },
	};
	struct space s;

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		begin(&s);
		add(&s, VIRTIO_PCI_CAP_COMMON_CFG, 4, cases[i].offset, cases[i].len);
		refused(&s, "common configuration");
	}
}

static void odd_doorbells(struct device *d)
{
	struct vp_layout l;
	unsigned at;
	struct space s;

	(void)d;
	good(&s);
	at = s.free - 20;
	put32(&s, at + VIRTIO_PCI_NOTIFY_CAP_MULT, 3);
	refused(&s, "not aligned");
	put32(&s, at + VIRTIO_PCI_NOTIFY_CAP_MULT, 0); /* one for all queues */
	CHECK(!parse(&s, &l));
	s.byte[at + VIRTIO_PCI_CAP_LEN] = 16; /* without the multiplier */
	refused(&s, "doorbells");
}

static void circles_and_ends(struct device *d)
{
	struct space s;

	(void)d;
	good(&s);
	s.byte[0x40 + PCI_CAP_LIST_NEXT] = 0x40;
	refused(&s, "device configuration");
	good(&s);
	s.byte[PCI_CAPABILITY_LIST] = 0x04; /* into the header */
	refused(&s, "common configuration");
	begin(&s);
	s.byte[PCI_CAPABILITY_LIST] = 0xff; /* no room for a virtio capability there */
	s.byte[0xfc] = PCI_CAP_ID_VNDR;
	s.byte[0xfe] = 20;
	s.byte[0xff] = VIRTIO_PCI_CAP_COMMON_CFG;
	refused(&s, "common configuration");
	memset(s.byte, 0xff, sizeof(s.byte)); /* a device that is gone */
	refused(&s, "common configuration");
}

/* Whatever is in there: it ends, and what it accepts lies in the BARs. */
static void noise(struct device *d)
{
	uint64_t random = 1;
	unsigned accepted = 0;

	(void)d;
	for (int i = 0; i < 200000; i++) {
		struct vp_layout l;
		struct space s;

		good(&s);
		for (int k = 0; k < 6; k++) {
			random = random * 6364136223846793005ull + 1442695040888963407ull;
			s.byte[0x34 + (random >> 40) % 0x70] = (uint8_t)(random >> 32);
		}
		if (parse(&s, &l))
			continue;
		accepted++;
		CHECK((uint64_t)l.common.offset + l.common.len <= bars[l.common.bar]);
		CHECK((uint64_t)l.config.offset + l.config.len <= bars[l.config.bar]);
		CHECK((uint64_t)l.notify.offset + l.notify.len <= bars[l.notify.bar]);
	}
	CHECK(accepted);
}

static const struct test tests[] = {
	{ "a good device", a_good_device },
	{ "legacy and incomplete devices", legacy_and_incomplete },
	{ "passes over what it cannot use", passes_over_what_it_cannot_use },
	{ "out of the BAR", out_of_the_bar },
	{ "odd doorbells", odd_doorbells },
	{ "circles and ends", circles_and_ends },
	{ "noise", noise },
};

TEST_MAIN(tests)
