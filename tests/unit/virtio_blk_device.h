/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A virtio-blk device in this process and the driver "fake-virtio" that reaches it: one queue,
 * whose other side virtq_device.h plays.
 */
#ifndef UNIT_VIRTIO_BLK_DEVICE_H
#define UNIT_VIRTIO_BLK_DEVICE_H

#include "core.h"
#include "virtio/virtio_blk.h"
#include "virtq_device.h"

#define BIT(n) (1ull << (n))

extern struct fake_device {
	struct virtio_blk *v;
	uint64_t offered, accepted;
	struct virtio_blk_config config;
	struct virtq_device ring;
	unsigned abandoned, updates;
} device;

/* As new: 512 MiB, most features. */
void device_reset(void);
/* Begin with the queue's rings as they are now. */
void device_take_ring(const struct virtio_queue *q);

#endif
