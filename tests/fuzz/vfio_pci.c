/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fuzzer: a virtio PCI device: its configuration space with the lists of capabilities, sizes and
 * kinds of its BARs, the registers in them, its interrupts; then its rings. The device is a file in
 * memory, which the library maps: what it writes to a register, it reads back.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <linux/virtio_pci.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "traffic.h"
#include "virtio/virtio_blk.h"
#include "virtio/virtio_pci_caps.h"
#include "world.h"

enum {
	BAR_LEN = 16 << 10,
	NR_BARS = 6,
	BAR = 4, /* the one that a good device has */
	COMMON = 0,
	CONFIG = 4096,
	NOTIFY = 8192,
	CONFIG_SPACE = 4096, /* before the BARs in the file */
	QUEUE_SIZE = 256,
};

struct says {
	uint8_t vectors, failing;
	uint32_t bar_len, bar_flags; /* of the good device's, in what differs */
	uint8_t other_bars;
} __attribute__((packed));

struct pci {
	struct traffic t;
	struct says says;
	struct fuzz_input in;
	unsigned calls;
	uint8_t *mem; /* the file: configuration space, BARs */
};

/* ---- A good device ------------------------------------------------------------------------ */

static void put(uint8_t *at, uint64_t value, size_t size)
{
	memcpy(at, &value, size);
}

/* Returns where the next one goes. */
static unsigned put_cap(uint8_t *space, unsigned at, uint8_t type, uint32_t offset)
{
	uint8_t *cap = space + at;

	cap[0] = PCI_CAP_ID_VNDR;
	cap[PCI_CAP_LIST_NEXT] = (uint8_t)(at + 20);
	cap[VIRTIO_PCI_CAP_LEN] = 20;
	cap[VIRTIO_PCI_CAP_CFG_TYPE] = type;
	cap[VIRTIO_PCI_CAP_BAR] = BAR;
	put(cap + VIRTIO_PCI_CAP_OFFSET, offset, 4);
	put(cap + VIRTIO_PCI_CAP_LENGTH, 4096, 4);
	put(cap + VIRTIO_PCI_NOTIFY_CAP_MULT, 4, 4);
	return at + 20;
}

static void make_space(uint8_t *space)
{
	unsigned at = 0x40;

	put(space + PCI_VENDOR_ID, 0x1af4, 2);
	put(space + PCI_DEVICE_ID, 0x1042, 2);
	space[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	space[PCI_CAPABILITY_LIST] = (uint8_t)at;
	at = put_cap(space, at, VIRTIO_PCI_CAP_COMMON_CFG, COMMON);
	at = put_cap(space, at, VIRTIO_PCI_CAP_DEVICE_CFG, CONFIG);
	at = put_cap(space, at, VIRTIO_PCI_CAP_NOTIFY_CFG, NOTIFY);
	space[at - 20 + PCI_CAP_LIST_NEXT] = 0;
}

static void make_registers(uint8_t *bar)
{
	const struct virtio_blk_config config = {
		.capacity = 1 << 20, .seg_max = 6, .blk_size = 512, .num_queues = 3
	};

	/* Both halves of the features read the same: VERSION_1, ACCESS_PLATFORM; SIZE_MAX of 0. */
	put(bar + COMMON + VIRTIO_PCI_COMMON_DF, 3, 4);
	put(bar + COMMON + VIRTIO_PCI_COMMON_NUMQ, 3, 2);
	put(bar + COMMON + VIRTIO_PCI_COMMON_Q_SIZE, QUEUE_SIZE, 2);
	memcpy(bar + CONFIG, &config, sizeof(config));
}

/* ---- What the kernel says ----------------------------------------------------------------- */

static int region_info(const struct pci *p, struct vfio_region_info *info)
{
	if (info->index >= NR_BARS) {
		errno = EINVAL;
		return -1;
	}
	info->offset = CONFIG_SPACE + (uint64_t)info->index * BAR_LEN;
	info->size = p->says.other_bars >> info->index & 1 ? BAR_LEN : 0;
	info->flags =
	    VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE | VFIO_REGION_INFO_FLAG_MMAP;
	if (info->index == BAR) {
		info->size = BAR_LEN - p->says.bar_len % (BAR_LEN + 1);
		info->flags ^= p->says.bar_flags;
	}
	return 0;
}

static int pci_ioctl(void *arg, unsigned long request, void *data)
{
	struct pci *p = arg;
	struct vfio_irq_info *irq = data;
	struct vfio_device_info *device = data;

	if (p->says.failing && ++p->calls == p->says.failing) {
		errno = EIO;
		return -1;
	}
	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		device->flags = VFIO_DEVICE_FLAGS_RESET;
		break;
	case VFIO_DEVICE_GET_REGION_INFO:
		return region_info(p, data);
	case VFIO_DEVICE_GET_IRQ_INFO:
		irq->flags = VFIO_IRQ_INFO_EVENTFD;
		irq->count = p->says.vectors ^ 4;
		break;
	default:
		break;
	}
	return 0;
}

static bool pci_idle(void *arg)
{
	struct pci *p = arg;
	uint8_t how = p->t.b ? 0 : fuzz_u8(&p->in);

	/* While it is being set up, a register changes now and then. */
	if (how & 1)
		p->mem[CONFIG_SPACE + BAR * BAR_LEN + (how >> 1) % 64] = fuzz_u8(&p->in);
	return traffic_device_turn(&p->t);
}

/* ---- Fuzzer ------------------------------------------------------------------------------- */

/* The parser itself: whatever it accepts lies within the BARs. */
static void check_parser(const struct pci *p)
{
	uint64_t sizes[NR_BARS] = { 0 };
	struct vp_layout l;
	const struct vp_part *const parts[] = { &l.common, &l.config, &l.notify };

	for (unsigned i = 0; i < NR_BARS; i++)
		sizes[i] = (uint64_t)p->mem[0xf0 + i] << 8;
	sizes[BAR] = BAR_LEN;
	if (vp_parse(p->mem, sizes, &l))
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(parts); i++)
		MUST(parts[i]->bar < NR_BARS && parts[i]->len &&
		     (uint64_t)parts[i]->offset + parts[i]->len <= sizes[parts[i]->bar]);
	MUST(l.common.len >= VP_COMMON_LEN && l.notify_multiplier % 2 == 0);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	static struct pci p;
	size_t size = CONFIG_SPACE + NR_BARS * BAR_LEN;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct blkio *b;

	p = (struct pci){ .t.device = &traffic_virtio, .in = { data, data + len } };
	MUST(fd >= 0 && !ftruncate(fd, size));
	p.mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(p.mem != MAP_FAILED);
	make_space(p.mem);
	make_registers(p.mem + CONFIG_SPACE + BAR * BAR_LEN);
	fuzz_bytes(&p.in, &p.says, sizeof(p.says));
	fuzz_patch(&p.in, p.mem, PCI_CONFIG_LEN);
	fuzz_patch(&p.in, p.mem + CONFIG_SPACE + BAR * BAR_LEN + COMMON, 64);
	fuzz_patch(&p.in, p.mem + CONFIG_SPACE + BAR * BAR_LEN + CONFIG, 64);
	check_parser(&p);

	fuzz_world.idle = pci_idle;
	fuzz_world.ioctl = pci_ioctl;
	fuzz_world.arg = &p;
	fuzz_world.vfio_fd = fd;
	MUST(!blkio_create("virtio-blk-vfio-pci", &b) && !blkio_set_str(b, "path", "fuzz"));
	if (!blkio_connect(b))
		traffic_run(&p.t, b, &p.in);
	blkio_destroy(&b);
	munmap(p.mem, size);
	close(fd);
}
