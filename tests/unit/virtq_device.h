/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The other side of a virtqueue, in this process: written from the specification alone, it shares
 * nothing with the driver but the ring. Bus addresses are pointers.
 */
#ifndef UNIT_VIRTQ_DEVICE_H
#define UNIT_VIRTQ_DEVICE_H

#include "virtio/virtq.h"

enum { DEVICE_BUFS_MAX = 1100 };

struct virtq_device {
	struct virtq_config config;
	struct vring_desc *desc;
	struct vring_packed_desc *pdesc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t *avail_event;
	struct vring_packed_desc_event *driver_event, *device_event;
	uint16_t avail_pos, used_pos, signalled;
	bool avail_wrap, used_wrap;
	uint16_t chain_len[VIRTQ_SIZE_MAX]; /* packed: descriptors, by id */
};

struct device_chain {
	uint16_t id;
	unsigned n;
	struct virtq_buf buf[DEVICE_BUFS_MAX];
};

void device_init(struct virtq_device *d, const struct virtq_config *c, void *mem);
/* Take the next available chain; false when there is none. */
bool device_pop(struct virtq_device *d, struct device_chain *c);
/* Return a chain. */
void device_push(struct virtq_device *d, uint16_t id, uint32_t len);
/* Whether the driver wants to be signalled for what was pushed since the last call. */
bool device_must_signal(struct virtq_device *d);
/* Ask for a kick with the n-th chain from now on (event index), or for each; or for none. */
void device_want_kick(struct virtq_device *d, unsigned n);
void device_want_no_kick(struct virtq_device *d);

#endif
