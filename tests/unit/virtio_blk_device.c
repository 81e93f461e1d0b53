/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See virtio_blk_device.h. */
#include "virtio_blk_device.h"

#include <sys/eventfd.h>
#include <unistd.h>

struct fake_device device;

static int fake_open(struct virtio_blk *v, uint64_t *offered, unsigned *max_queues)
{
	device.v = v;
	*offered = device.offered;
	*max_queues = 4;
	v->b.lim.max_mem_regions = 16;
	return 0;
}

static void fake_close(struct virtio_blk *v)
{
	(void)v;
}

static int fake_set_features(struct virtio_blk *v, uint64_t features)
{
	(void)v;
	device.accepted = features;
	return 0;
}

static int fake_read_config(struct virtio_blk *v, void *buf, size_t len)
{
	(void)v;
	memcpy(buf, &device.config, len);
	return 0;
}

void device_take_ring(const struct virtio_queue *q)
{
	const struct virtq_config c = { q->vq.size, q->vq.packed, q->vq.event_idx, q->vq.indirect };

	device_init(&device.ring, &c, q->vring.desc);
}

static int fake_queue_start(struct virtio_blk *v, struct virtio_queue *q)
{
	(void)v;
	q->kick.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	device_take_ring(q);
	return 0;
}

static void fake_queue_stop(struct virtio_blk *v, struct virtio_queue *q)
{
	(void)v;
	close(q->kick.fd);
}

static int fake_run(struct virtio_blk *v)
{
	v->nr_watched = 0;
	return 0;
}

static void fake_update_queues(struct virtio_blk *v)
{
	(void)v;
	__atomic_add_fetch(&device.updates, 1, __ATOMIC_RELEASE);
}

static void fake_abandon(struct virtio_blk *v)
{
	(void)v;
	device.abandoned++;
}

static enum bk_drained fake_has_let_go(struct virtio_blk *v)
{
	(void)v;
	return device.abandoned ? BK_QUIET : BK_BUSY;
}

static int fake_map(struct virtio_blk *v, struct bk_region *region, int fd, int64_t fd_offset)
{
	(void)v, (void)region, (void)fd, (void)fd_offset;
	return 0;
}

static void fake_unmap(struct virtio_blk *v, const struct bk_region *region)
{
	(void)v, (void)region;
}

static const struct virtio_transport transport = {
	.open = fake_open,
	.close = fake_close,
	.set_features = fake_set_features,
	.read_config = fake_read_config,
	.map = fake_map,
	.unmap = fake_unmap,
	.queue_start = fake_queue_start,
	.queue_stop = fake_queue_stop,
	.run = fake_run,
	.update_queues = fake_update_queues,
	.abandon = fake_abandon,
	.has_let_go = fake_has_let_go,
};

static void init(struct blkio *b)
{
	virtio_blk_init(container_of(b, struct virtio_blk, b), &transport);
}

static const struct bk_prop props[] = { VIRTIO_BLK_PROPS, { 0 } };

static const struct bk_driver driver = {
	.name = "fake-virtio",
	.device_size = sizeof(struct virtio_blk),
	.props = props,
	.init = init,
	VIRTIO_BLK_DRIVER_OPS,
};

const struct bk_driver *bk_find_driver(const char *name)
{
	return strcmp(name, driver.name) ? NULL : &driver;
}

const struct bk_driver *bk_driver_at(size_t index)
{
	return index ? NULL : &driver;
}

static const uint64_t all_features =
    BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |
    BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_FLUSH) |
    BIT(VIRTIO_BLK_F_MQ) | BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES);

void device_reset(void)
{
	device = (struct fake_device){
		.offered = all_features,
		.config = {
			.capacity = 1 << 20,
			.seg_max = 8,
			.blk_size = 512,
			.num_queues = 4,
			.max_discard_sectors = 1000,
			.max_write_zeroes_sectors = 2000,
			.discard_sector_alignment = 8,
		},
	};
}
