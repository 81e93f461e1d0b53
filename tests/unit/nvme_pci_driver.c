/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The driver "fake-nvme", see nvme_pci_device.h: the functions of nvme-vfio-pci without VFIO. */
#include "nvme_pci_device.h"
#include "test.h"

static int fake_set_vector(struct nvme_pci_dev *d, unsigned vector, int fd)
{
	(void)d;
	CHECK(vector < device.vectors);
	device.fds[vector] = fd;
	return 0;
}

static int fake_map(struct blkio *b, struct bk_region *region, int fd, int64_t fd_offset)
{
	(void)b, (void)region, (void)fd, (void)fd_offset;
	return 0;
}

static void fake_unmap(struct blkio *b, const struct bk_region *region)
{
	(void)b, (void)region;
}

static void fake_init(struct blkio *b)
{
	struct nvme_pci_dev *d = to_nvme_pci_dev(b);

	nvme_pci_init(d);
	d->set_vector = fake_set_vector;
	d->map = fake_map;
	d->unmap = fake_unmap;
}

static int fake_connect(struct blkio *b)
{
	struct nvme_pci_dev *d = to_nvme_pci_dev(b);
	int ret;

	device.d = d;
	d->regs = device.regs;
	d->regs_len = DEVICE_REGS;
	b->lim.mem_region_alignment = 4096;
	ret = nvme_pci_check_registers(d);
	if (!ret)
		ret = nvme_pci_enable(d);
	if (!ret)
		ret = nvme_pci_find_limits(d, 0, "fake");
	b->lim.mem_region_alignment = 4096;
	b->lim.max_mem_regions = 16;
	if (ret < 0)
		nvme_pci_free_admin(d);
	return ret;
}

static int fake_start(struct blkio *b)
{
	struct nvme_pci_dev *d = to_nvme_pci_dev(b);
	int ret = nvme_pci_set_up_shadows(d);

	d->nr_vectors = device.vectors;
	return ret < 0 ? ret : nvme_pci_alloc_memory(d);
}

static int fake_run(struct blkio *b)
{
	struct nvme_pci_dev *d = to_nvme_pci_dev(b);

	return device.watched ? nvme_pci_watch_start(d) : nvme_pci_ask_for_events(d);
}

static void fake_close(struct blkio *b)
{
	struct nvme_pci_dev *d = to_nvme_pci_dev(b);

	nvme_pci_watch_stop(d);
	if (b->state != BK_CREATED) {
		if (!d->failure)
			nvme_pci_shut_down(d);
		nvme_pci_disable(d);
	}
	nvme_pci_free_memory(d);
	nvme_pci_free_admin(d);
}

static const struct bk_prop props[] = {
	{ "queue-size", "", BK_INT, BK_GET_ALWAYS, BK_SET_CONNECTED,
	  offsetof(struct nvme_pci_dev, queue_size), .check = nvme_pci_check_queue_size },
	{ "shadow-doorbells", "", BK_BOOL, BK_GET_ALWAYS, BK_SET_CONNECTED,
	  offsetof(struct nvme_pci_dev, shadow_doorbells) },
	{ "power-state", "", BK_INT, BK_GET_CONNECTED, BK_SET_NEVER,
	  .get = nvme_pci_get_power_state },
	{ "formats", "", BK_STR, BK_GET_CONNECTED, BK_SET_NEVER, .get = nvme_pci_get_formats },
	{ 0 },
};

static const struct bk_driver driver = {
	.name = "fake-nvme",
	.device_size = sizeof(struct nvme_pci_dev),
	.queue_size = sizeof(struct nvme_pci_queue),
	.props = props,
	.limits_from = BK_CONNECTED,
	.topology_from = BK_CONNECTED,
	.init = fake_init,
	.connect = fake_connect,
	.start = fake_start,
	.close = fake_close,
	.capacity = nvme_pci_capacity,
	.map = fake_map,
	.unmap = fake_unmap,
	.queue_init = nvme_pci_queue_init,
	.run = fake_run,
	.drain = nvme_pci_drain,
	.queue_exit = nvme_pci_queue_exit,
	.submit = nvme_pci_submit,
	.enter = nvme_pci_enter,
	.notify = nvme_pci_notify,
};

const struct bk_driver *bk_find_driver(const char *name)
{
	return strcmp(name, driver.name) ? NULL : &driver;
}

const struct bk_driver *bk_driver_at(size_t index)
{
	return index ? NULL : &driver;
}
