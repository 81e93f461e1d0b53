/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * virtio-blk-vfio-pci: drives a virtio-blk PCI function from this process, past the kernel, through
 * VFIO. Registers are the device's memory: whatever is read from them is checked.
 */
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>
#include <sys/eventfd.h>

#include "vfio/vfio.h"
#include "virtio/virtio_blk.h"
#include "virtio/virtio_pci_caps.h"

#define PCI_VENDOR_VIRTIO     0x1af4
#define PCI_DEVICE_MODERN     (0x1040 + VIRTIO_ID_BLOCK)
#define PCI_DEVICE_TRANSITION 0x1001
#define GENERATION_TRIES      16
#define STATUS_GONE	      0xff /* what is read where no device answers */

enum { WATCH_EVENTS = VIRTIO_WATCH_CONFIG + 1 }; /* of the function */

struct vp_dev {
	struct virtio_blk v;
	char *path;
	bool allow_no_iommu;
	struct vfio_device vfio;
	struct vp_layout layout;
	struct vfio_window common, notify, config;
	unsigned nr_vectors; /* 0: for configuration changes; queue i has 1 + i */
};

static inline struct vp_dev *to_vp(struct virtio_blk *v)
{
	return container_of(v, struct vp_dev, v);
}

/* ---- Registers of the common configuration ------------------------------------------------ */

#define COMMON(d, type, offset) ((volatile type *)((volatile char *)(d)->common.addr + (offset)))

static uint16_t read16(const struct vp_dev *d, unsigned offset)
{
	return le16toh(*COMMON(d, uint16_t, offset));
}

static void write16(const struct vp_dev *d, unsigned offset, uint16_t value)
{
	*COMMON(d, uint16_t, offset) = htole16(value);
}

static void write32(const struct vp_dev *d, unsigned offset, uint32_t value)
{
	*COMMON(d, uint32_t, offset) = htole32(value);
}

/* As two halves, which all devices take. */
static void write64(const struct vp_dev *d, unsigned offset, uint64_t value)
{
	write32(d, offset, (uint32_t)value);
	write32(d, offset + 4, value >> 32);
}

static uint64_t read_features(const struct vp_dev *d)
{
	uint64_t low;

	write32(d, VIRTIO_PCI_COMMON_DFSELECT, 0);
	low = le32toh(*COMMON(d, uint32_t, VIRTIO_PCI_COMMON_DF));
	write32(d, VIRTIO_PCI_COMMON_DFSELECT, 1);
	return low | (uint64_t)le32toh(*COMMON(d, uint32_t, VIRTIO_PCI_COMMON_DF)) << 32;
}

static int vp_set_features(struct virtio_blk *v, uint64_t features)
{
	const struct vp_dev *d = to_vp(v);

	for (unsigned i = 0; i < 2; i++) {
		write32(d, VIRTIO_PCI_COMMON_GFSELECT, i);
		write32(d, VIRTIO_PCI_COMMON_GF, features >> 32 * i);
	}
	return 0;
}

static int vp_get_status(struct virtio_blk *v, uint8_t *status)
{
	*status = *COMMON(to_vp(v), uint8_t, VIRTIO_PCI_COMMON_STATUS);
	if (*status == STATUS_GONE)
		return bk_err(ENODEV, "PCI device %s has been removed", to_vp(v)->vfio.address);
	return 0;
}

static int vp_set_status(struct virtio_blk *v, uint8_t status)
{
	*COMMON(to_vp(v), uint8_t, VIRTIO_PCI_COMMON_STATUS) = status;
	return 0;
}

/* ---- Connecting --------------------------------------------------------------------------- */

static int check_identity(const struct vp_dev *d, const uint8_t *config)
{
	unsigned vendor = config[PCI_VENDOR_ID] | config[PCI_VENDOR_ID + 1] << 8;
	unsigned device = config[PCI_DEVICE_ID] | config[PCI_DEVICE_ID + 1] << 8;

	if (vendor == PCI_VENDOR_VIRTIO &&
	    (device == PCI_DEVICE_MODERN || device == PCI_DEVICE_TRANSITION))
		return 0;
	return bk_err(ENODEV, "PCI device %s (%04x:%04x) is not a virtio block device",
		      d->vfio.address, vendor, device);
}

static int find_registers(struct vp_dev *d)
{
	uint64_t bar_size[VFIO_NR_BARS] = { 0 };
	uint8_t config[PCI_CONFIG_LEN];
	const char *problem;
	int ret = vfio_read_config(&d->vfio, 0, config, sizeof(config));

	if (!ret)
		ret = check_identity(d, config);
	for (unsigned i = 0; i < VFIO_NR_BARS && !ret; i++)
		ret = vfio_bar_size(&d->vfio, i, &bar_size[i]);
	if (ret < 0)
		return ret;
	problem = vp_parse(config, bar_size, &d->layout);
	if (problem)
		return bk_err(ENOTSUP, "PCI device %s cannot be driven: %s", d->vfio.address,
			      problem);
	return 0;
}

static int map_part(struct vp_dev *d, const struct vp_part *p, struct vfio_window *w)
{
	return vfio_map_window(&d->vfio, p->bar, p->offset, p->len, w);
}

static int map_registers(struct vp_dev *d)
{
	int ret = map_part(d, &d->layout.common, &d->common);

	if (!ret)
		ret = map_part(d, &d->layout.notify, &d->notify);
	if (!ret)
		ret = map_part(d, &d->layout.config, &d->config);
	return ret;
}

/* Without, no memory but that of the machine's physical addresses would be reached. */
static int check_features(const struct vp_dev *d, uint64_t offered)
{
	if (offered >> VIRTIO_F_ACCESS_PLATFORM & 1 || vfio_is_physical(&d->vfio))
		return 0;
	return bk_err(ENOTSUP,
		      "PCI device %s does not offer VIRTIO_F_ACCESS_PLATFORM, so it bypasses the "
		      "IOMMU (in QEMU, set iommu_platform=on)",
		      d->vfio.address);
}

/* Ring sizes are powers of two; they are per queue, but never seen to differ. */
static int read_sizes(struct vp_dev *d, unsigned *max_queues)
{
	unsigned size, vectors, queues = read16(d, VIRTIO_PCI_COMMON_NUMQ);
	int ret = vfio_count_irqs(&d->vfio, VFIO_PCI_MSIX_IRQ_INDEX, &vectors);

	if (ret < 0)
		return ret;
	if (vectors < 2)
		return bk_err(ENOTSUP,
			      "PCI device %s has %u MSI-X vectors, but needs one for configuration "
			      "changes and one for each queue",
			      d->vfio.address, vectors);
	write16(d, VIRTIO_PCI_COMMON_Q_SELECT, 0);
	size = read16(d, VIRTIO_PCI_COMMON_Q_SIZE);
	if (size < 2 || size > VIRTQ_SIZE_MAX)
		return bk_err(EPROTO, "PCI device %s reports an impossible ring size: %u entries",
			      d->vfio.address, size);
	d->nr_vectors = vectors;
	d->v.max_queue_size = 1 << (31 - __builtin_clz(size));
	*max_queues = min_u64(queues, VIRTIO_QUEUES_MAX);
	return 0;
}

static void vp_close(struct virtio_blk *v)
{
	struct vp_dev *d = to_vp(v);

	vfio_unmap_window(&d->common);
	vfio_unmap_window(&d->notify);
	vfio_unmap_window(&d->config);
	vfio_close(&d->vfio);
}

static int vp_open(struct virtio_blk *v, uint64_t *offered, unsigned *max_queues)
{
	struct vp_dev *d = to_vp(v);
	int ret;

	if (!d->path)
		return bk_err(EINVAL, "property \"path\" must be set");
	ret = vfio_open(&d->vfio, d->path, d->allow_no_iommu);
	if (ret < 0)
		return ret;
	vfio_reset(&d->vfio);
	ret = find_registers(d);
	if (!ret)
		ret = vfio_enable(&d->vfio);
	if (!ret)
		ret = map_registers(d);
	if (!ret) {
		*offered = read_features(d);
		ret = check_features(d, *offered);
	}
	if (!ret)
		ret = read_sizes(d, max_queues);
	if (ret < 0) {
		vp_close(v);
		return ret;
	}
	v->b.lim.mem_region_alignment = d->vfio.page;
	v->b.lim.needs_huge_pages = vfio_is_physical(&d->vfio);
	v->b.lim.max_mem_regions = d->vfio.max_mappings - 1; /* one is for the queues */
	return 0;
}

/* ---- Configuration space of a block device ------------------------------------------------ */

/*
 * Fields are to be read in one access each (4.1.3.1); 64-bit ones may be two. These are the sizes
 * up to write_zeroes_may_unmap; padding follows.
 */
static const uint8_t field_sizes[] = {
	4, 4, 4, 4, 2, 1, 1, 4, 1, 1, 2, 4, 1, 1, 2, 4, 4, 4, 4, 4, 1
};

static size_t copy_field(void *to, const volatile void *from, size_t size)
{
	uint32_t value32;
	uint16_t value16;

	switch (size) {
	case sizeof(value32):
		value32 = *(const volatile uint32_t *)from;
		memcpy(to, &value32, size);
		break;
	case sizeof(value16):
		value16 = *(const volatile uint16_t *)from;
		memcpy(to, &value16, size);
		break;
	default:
		*(uint8_t *)to = *(const volatile uint8_t *)from;
	}
	return size;
}

static void copy_config(const struct vp_dev *d, char *buf, size_t len)
{
	const volatile char *from = d->config.addr;
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_SIZE(field_sizes) && at + field_sizes[i] <= len; i++)
		at += copy_field(buf + at, from + at, field_sizes[i]);
}

static int vp_read_config(struct virtio_blk *v, void *buf, size_t len)
{
	const struct vp_dev *d = to_vp(v);
	uint8_t status;
	int ret = vp_get_status(v, &status);

	if (ret < 0)
		return ret;
	/* Of a smaller one, the fields that it has not are 0. */
	len = min_u64(len, d->layout.config.len);
	for (int i = 0; i < GENERATION_TRIES; i++) {
		uint8_t generation = *COMMON(d, uint8_t, VIRTIO_PCI_COMMON_CFGGENERATION);

		copy_config(d, buf, len);
		if (*COMMON(d, uint8_t, VIRTIO_PCI_COMMON_CFGGENERATION) == generation)
			return 0;
	}
	return bk_err(EPROTO, "the configuration of PCI device %s changes each time it is read",
		      d->vfio.address);
}

/* ---- Memory ------------------------------------------------------------------------------- */

static int vp_map(struct virtio_blk *v, struct bk_region *region, int fd, int64_t fd_offset)
{
	struct vfio_device *d = &to_vp(v)->vfio;

	(void)fd, (void)fd_offset; /* the kernel finds the memory by its address */
	return d->backend->map(d, region);
}

static void vp_unmap(struct virtio_blk *v, const struct bk_region *region)
{
	vfio_unmap_region(&to_vp(v)->vfio, region, v->b.stuck);
}

/* ---- Queues ------------------------------------------------------------------------------- */

static int vp_prepare(struct virtio_blk *v)
{
	struct vp_dev *d = to_vp(v);
	unsigned need = 1 + v->b.num_queues;

	if (need > d->nr_vectors)
		return bk_err(EINVAL,
			      "num-queues is %d but the device has interrupts for %u queues; poll "
			      "queues do not need any",
			      v->b.num_queues, d->nr_vectors - 1);
	return vfio_enable_irqs(&d->vfio, VFIO_PCI_MSIX_IRQ_INDEX, need);
}

/* Let vector be signalled through register, as an eventfd; a device may have no room for it. */
static int set_vector(const struct vp_dev *d, unsigned reg, unsigned vector, int fd)
{
	int ret = vfio_set_irq(&d->vfio, VFIO_PCI_MSIX_IRQ_INDEX, vector, fd);

	if (ret < 0)
		return ret;
	write16(d, reg, vector);
	if (read16(d, reg) != vector)
		return bk_err(EIO, "PCI device %s rejected interrupt vector %u", d->vfio.address,
			      vector);
	return 0;
}

static int set_doorbell(const struct vp_dev *d, struct virtio_queue *q)
{
	uint64_t at = (uint64_t)read16(d, VIRTIO_PCI_COMMON_Q_NOFF) * d->layout.notify_multiplier;

	if (at + sizeof(uint16_t) > d->layout.notify.len)
		return bk_err(
		    EPROTO,
		    "PCI device %s places the doorbell of queue %u outside its notification area",
		    d->vfio.address, q->vring.index);
	q->kick = (struct virtio_doorbell){
		.fd = -1,
		.index = q->vring.index,
		.mmio = (volatile uint16_t *)((volatile char *)d->notify.addr + at),
	};
	return 0;
}

static int vp_queue_start(struct virtio_blk *v, struct virtio_queue *q)
{
	const struct vp_dev *d = to_vp(v);
	const struct virtio_vring *r = &q->vring;
	int ret = 0;

	write16(d, VIRTIO_PCI_COMMON_Q_SELECT, r->index);
	if (read16(d, VIRTIO_PCI_COMMON_Q_SIZE) < r->size)
		return bk_err(EINVAL, "queue %u of PCI device %s has at most %u entries, not %u",
			      r->index, d->vfio.address, read16(d, VIRTIO_PCI_COMMON_Q_SIZE),
			      r->size);
	write16(d, VIRTIO_PCI_COMMON_Q_SIZE, r->size);
	if (!q->q.is_poll)
		ret = set_vector(d, VIRTIO_PCI_COMMON_Q_MSIX, 1 + r->index, r->call_fd);
	if (!ret)
		ret = set_doorbell(d, q);
	if (ret < 0)
		return ret;
	write64(d, VIRTIO_PCI_COMMON_Q_DESCLO, r->desc_iova);
	write64(d, VIRTIO_PCI_COMMON_Q_AVAILLO, r->driver_iova);
	write64(d, VIRTIO_PCI_COMMON_Q_USEDLO, r->device_iova);
	write16(d, VIRTIO_PCI_COMMON_Q_ENABLE, 1);
	return 0;
}

static void vp_queue_stop(struct virtio_blk *v, struct virtio_queue *q)
{
	if (!q->q.is_poll)
		vfio_set_irq(&to_vp(v)->vfio, VFIO_PCI_MSIX_IRQ_INDEX, 1 + q->vring.index, -1);
}

/* ---- Events ------------------------------------------------------------------------------- */

static int vp_run(struct virtio_blk *v)
{
	struct vp_dev *d = to_vp(v);
	int fd = virtio_config_fd(v), ret = 0;

	if (fd < 0)
		return fd;
	for (unsigned i = 0; i < VFIO_EVENTS && !ret; i++)
		ret = vfio_watch_event(&d->vfio, i, &v->watched[WATCH_EVENTS + i]);
	v->nr_watched = WATCH_EVENTS + VFIO_EVENTS;
	return ret < 0 ? ret : set_vector(d, VIRTIO_PCI_COMMON_MSIX, 0, fd);
}

static const char *vp_event(struct virtio_blk *v, unsigned index, short revents)
{
	(void)revents;
	return index >= WATCH_EVENTS ? vfio_event_text(index - WATCH_EVENTS)
				     : virtio_config_event(v);
}

/* ---- Driver ------------------------------------------------------------------------------- */

static const struct virtio_transport vp_transport = {
	.features = 1ULL << VIRTIO_F_ACCESS_PLATFORM | 1ULL << VIRTIO_F_ORDER_PLATFORM,
	.open = vp_open,
	.close = vp_close,
	.set_features = vp_set_features,
	.get_status = vp_get_status,
	.set_status = vp_set_status,
	.prepare = vp_prepare,
	.read_config = vp_read_config,
	.map = vp_map,
	.unmap = vp_unmap,
	.queue_start = vp_queue_start,
	.queue_stop = vp_queue_stop,
	.run = vp_run,
	.event = vp_event,
	.abandon = virtio_status_abandon,
	.has_let_go = virtio_status_has_let_go,
};

static void vp_init(struct blkio *b)
{
	struct vp_dev *d = container_of(b, struct vp_dev, v.b);

	virtio_blk_init(&d->v, &vp_transport);
	b->lim.needs_mem_region_fd = false;
}

static const struct bk_prop vp_props[] = {
	VIRTIO_BLK_PROPS,
	{ "path",
	  "The PCI function, which must be bound to vfio-pci: its folder in sysfs, such as "
	  "/sys/bus/pci/devices/0000:01:00.0, or its address.",
	  BK_STR, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct vp_dev, path) },
	{ "allow-no-iommu",
	  "Whether to drive a device that is not behind an IOMMU, through physical addresses. "
	  "Nothing then prevents the device, or a mistake in the program, from overwriting any "
	  "memory of the machine.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct vp_dev, allow_no_iommu) },
	{ 0 },
};

const struct bk_driver bk_driver_virtio_blk_vfio_pci = {
	.name = "virtio-blk-vfio-pci",
	.device_size = sizeof(struct vp_dev),
	.props = vp_props,
	.init = vp_init,
	VIRTIO_BLK_DRIVER_OPS,
};
