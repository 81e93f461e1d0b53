/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * nvme-vfio-pci: drives an NVMe controller from this process, past the kernel, through VFIO. This
 * file has the device's side: properties, connect, start, close. One process has the controller,
 * and with it all namespaces; an instance uses one of them.
 */
#include <linux/pci_regs.h>
#include <stdio.h>

#include "nvme/nvme_pci.h"
#include "vfio/vfio.h"

#define CLASS_NVME 0x010802 /* mass storage, non-volatile memory, NVM Express */

struct nvme_vfio_dev {
	struct nvme_pci_dev n;
	char *path;
	int nsid; /* the property; 0: the first that is active */
	bool allow_no_iommu;
	struct vfio_device vfio;
	struct vfio_window bar;
};

static inline struct nvme_vfio_dev *to_nvme_vfio(struct blkio *b)
{
	return container_of(b, struct nvme_vfio_dev, n.b);
}

/* ---- Memory ------------------------------------------------------------------------------- */

static int nvme_vfio_map(struct blkio *b, struct bk_region *region, int fd, int64_t fd_offset)
{
	struct vfio_device *d = &to_nvme_vfio(b)->vfio;

	(void)fd, (void)fd_offset; /* the kernel finds the memory by its address */
	return d->backend->map(d, region);
}

static void nvme_vfio_unmap(struct blkio *b, const struct bk_region *region)
{
	vfio_unmap_region(&to_nvme_vfio(b)->vfio, region, b->stuck);
}

/* ---- Opening the controller --------------------------------------------------------------- */

static int check_class(const struct nvme_vfio_dev *d)
{
	uint8_t class[4];
	int ret = vfio_read_config(&d->vfio, PCI_CLASS_REVISION, class, sizeof(class));

	if (ret < 0)
		return ret;
	if ((class[1] | class[2] << 8 | class[3] << 16) != CLASS_NVME)
		return bk_err(ENODEV,
			      "PCI device %s (class %02x%02x%02x) is not an NVMe controller",
			      d->vfio.address, class[3], class[2], class[1]);
	return 0;
}

static int map_registers(struct nvme_vfio_dev *d)
{
	uint64_t len;
	int ret = vfio_bar_size(&d->vfio, 0, &len);

	if (ret < 0)
		return ret;
	if (!len)
		return bk_err(ENOTSUP, "BAR 0 of PCI device %s cannot be mapped", d->vfio.address);
	ret = vfio_map_window(&d->vfio, 0, 0, len, &d->bar);
	if (ret < 0)
		return ret;
	d->n.regs = d->bar.addr;
	d->n.regs_len = len;
	return nvme_pci_check_registers(&d->n);
}

static int open_registers(struct nvme_vfio_dev *d)
{
	int ret = check_class(d);

	if (!ret)
		ret = vfio_enable(&d->vfio);
	if (!ret)
		ret = map_registers(d);
	if (!ret)
		ret = vfio_count_irqs(&d->vfio, VFIO_PCI_MSIX_IRQ_INDEX, &d->n.nr_vectors);
	return ret;
}

/* The controller is disabled, or there is nothing more to be done about it. */
static void close_controller(struct nvme_vfio_dev *d)
{
	nvme_pci_free_memory(&d->n);
	nvme_pci_free_admin(&d->n);
	vfio_unmap_window(&d->bar);
	vfio_close(&d->vfio);
}

/* A controller that does not stop is reset by other means, before its memory goes. */
static void stop_controller(struct nvme_vfio_dev *d)
{
	if (nvme_pci_disable(&d->n) < 0)
		vfio_reset(&d->vfio);
}

static int open_controller(struct nvme_vfio_dev *d)
{
	struct bk_limits *l = &d->n.b.lim;
	int ret;

	if (!d->path)
		return bk_err(EINVAL, "property \"path\" must be set");
	ret = vfio_open(&d->vfio, d->path, d->allow_no_iommu);
	if (ret < 0)
		return ret;
	l->mem_region_alignment = d->vfio.page;
	l->needs_huge_pages = vfio_is_physical(&d->vfio);
	ret = open_registers(d); /* the kernel has reset the device */
	if (ret < 0)
		goto close;
	ret = nvme_pci_enable(&d->n);
	if (ret < 0)
		goto stop;
	return 0;

stop:
	stop_controller(d);
close:
	close_controller(d);
	return ret;
}

/* ---- Connect ------------------------------------------------------------------------------ */

static int nvme_vfio_connect(struct blkio *b)
{
	struct nvme_vfio_dev *d = to_nvme_vfio(b);
	int ret = open_controller(d);

	if (ret < 0)
		return ret;
	ret = nvme_pci_find_limits(&d->n, d->nsid, d->vfio.address);
	if (ret < 0) {
		const struct bk_err_msg why = bk_err_save();

		stop_controller(d);
		close_controller(d);
		bk_err_restore(&why);
		return ret;
	}
	b->lim.mem_region_alignment = d->vfio.page;
	b->lim.max_mem_regions = d->vfio.max_mappings - 2; /* admin queue, I/O queues */
	return 0;
}

/* Connected or not: nothing is different afterwards. */
static int nvme_vfio_list(struct blkio *b, struct bk_exports *x)
{
	struct nvme_vfio_dev *d = to_nvme_vfio(b);
	const struct bk_limits before = b->lim;
	struct bk_err_msg why;
	int ret;

	if (b->state != BK_CREATED)
		return nvme_pci_list(&d->n, x);
	ret = open_controller(d);
	if (!ret) {
		ret = nvme_pci_list(&d->n, x);
		why = bk_err_save();
		stop_controller(d);
		close_controller(d);
		bk_err_restore(&why);
	}
	d->n.failure = NULL;
	b->lim = before;
	return ret;
}

/* ---- Start -------------------------------------------------------------------------------- */

static int set_vector(struct nvme_pci_dev *n, unsigned vector, int fd)
{
	return vfio_set_irq(&to_nvme_vfio(&n->b)->vfio, VFIO_PCI_MSIX_IRQ_INDEX, vector, fd);
}

static int enable_vectors(struct nvme_vfio_dev *d)
{
	int queues = d->n.b.num_queues;
	unsigned n = min_u64(d->n.nr_vectors, 1 + queues);

	if (n)
		return vfio_enable_irqs(&d->vfio, VFIO_PCI_MSIX_IRQ_INDEX, n);
	return !queues ? 0
		       : bk_err(EINVAL,
				"num-queues is %d but PCI device %s has no interrupts (MSI-X): "
				"set num-queues to 0 and use poll queues",
				queues, d->vfio.address);
}

static int nvme_vfio_start(struct blkio *b)
{
	struct nvme_vfio_dev *d = to_nvme_vfio(b);
	int ret = nvme_pci_check_alive(&d->n);

	if (ret < 0)
		return ret;
	if (b->lim.read_only && !b->read_only)
		return bk_err(EROFS,
			      "the namespace is write-protected: set property \"read-only\"");
	ret = enable_vectors(d);
	if (!ret)
		ret = nvme_pci_set_up_shadows(&d->n);
	return ret < 0 ? ret : nvme_pci_alloc_memory(&d->n);
}

_Static_assert((int)VFIO_EVENTS == (int)NVME_PCI_EVENTS, "all are watched");

static int nvme_vfio_run(struct blkio *b)
{
	struct nvme_vfio_dev *d = to_nvme_vfio(b);
	int ret = 0;

	for (unsigned i = 0; i < VFIO_EVENTS && !ret; i++) {
		d->n.event_texts[i] = vfio_event_text(i);
		ret = vfio_watch_event(&d->vfio, i, &d->n.watched[i]);
	}
	return ret < 0 ? ret : nvme_pci_watch_start(&d->n);
}

static void nvme_vfio_close(struct blkio *b)
{
	struct nvme_vfio_dev *d = to_nvme_vfio(b);

	nvme_pci_watch_stop(&d->n);
	if (b->state != BK_CREATED) {
		if (!nvme_pci_failure(&d->n))
			nvme_pci_shut_down(&d->n);
		stop_controller(d);
		close_controller(d);
	}
	pthread_mutex_destroy(&d->n.wake_lock);
	pthread_mutex_destroy(&d->n.admin_lock);
}

/* ---- Driver ------------------------------------------------------------------------------- */

static void nvme_vfio_init(struct blkio *b)
{
	struct nvme_vfio_dev *d = to_nvme_vfio(b);

	nvme_pci_init(&d->n);
	d->n.set_vector = set_vector;
	d->n.map = nvme_vfio_map;
	d->n.unmap = nvme_vfio_unmap;
}

static int get_nsid(struct blkio *b, union bk_val *val)
{
	const struct nvme_vfio_dev *d = to_nvme_vfio(b);

	val->i = b->state == BK_CREATED ? d->nsid : (int)d->n.ns.nsid;
	return 0;
}

static const struct bk_prop nvme_vfio_props[] = {
	{ "path",
	  "The PCI function, which must be bound to vfio-pci: its folder in sysfs, such as "
	  "/sys/bus/pci/devices/0000:01:00.0, or its address.",
	  BK_STR, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nvme_vfio_dev, path) },
	{ "nsid",
	  "The ID of the namespace to use; 0 for the first active one, whose ID the property has "
	  "after blkio_connect().",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nvme_vfio_dev, nsid),
	  .max = INT_MAX, .get = get_nsid },
	{ "allow-no-iommu",
	  "Whether to drive a device that is not behind an IOMMU, through physical addresses. "
	  "Nothing then prevents the device, or a mistake in the program, from overwriting any "
	  "memory of the machine.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nvme_vfio_dev, allow_no_iommu) },
	{ "queue-size",
	  "The number of ring entries of each queue, of which one stays free; more requests than "
	  "fit wait in the library; 256 by default.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CONNECTED, offsetof(struct nvme_vfio_dev, n.queue_size),
	  .check = nvme_pci_check_queue_size },
	BK_POLL_MAX_NS,
	{ "max-queue-size", "The largest possible value of queue-size.", BK_INT, BK_GET_ALWAYS,
	  BK_SET_NEVER, offsetof(struct nvme_vfio_dev, n.max_queue_size) },
	{ "shadow-doorbells",
	  "Whether to tell the controller of requests in memory while it looks there. This saves "
	  "register writes, which are slow where the controller is emulated. Few others support "
	  "it.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CONNECTED,
	  offsetof(struct nvme_vfio_dev, n.shadow_doorbells) },
	NVME_MAX_TRANSFER_PROP,
	NVME_PRODUCT_PROPS(nvme_pci_get_model, nvme_pci_get_serial, nvme_pci_get_firmware,
			   nvme_pci_get_formats),
	{ "power-state",
	  "The power state that the controller is in: 0 for that in which it may use most power.",
	  BK_INT, BK_GET_CONNECTED, BK_SET_NEVER, .get = nvme_pci_get_power_state },
	NVME_PROTECTION_PROP(nvme_pci_get_protection),
	NVME_ZONE_PROPS(struct nvme_vfio_dev, n.ns.zones),
	{ 0 },
};

const struct bk_driver bk_driver_nvme_vfio_pci = {
	.name = "nvme-vfio-pci",
	.device_size = sizeof(struct nvme_vfio_dev),
	.queue_size = sizeof(struct nvme_pci_queue),
	.props = nvme_vfio_props,
	.limits_from = BK_CONNECTED,
	.topology_from = BK_CONNECTED,
	.init = nvme_vfio_init,
	.connect = nvme_vfio_connect,
	.start = nvme_vfio_start,
	.close = nvme_vfio_close,
	.capacity = nvme_pci_capacity,
	.list = nvme_vfio_list,
	.map = nvme_vfio_map,
	.unmap = nvme_vfio_unmap,
	.queue_init = nvme_pci_queue_init,
	.run = nvme_vfio_run,
	.drain = nvme_pci_drain,
	.queue_exit = nvme_pci_queue_exit,
	.submit = nvme_pci_submit,
	.enter = nvme_pci_enter,
	.notify = nvme_pci_notify,
};
