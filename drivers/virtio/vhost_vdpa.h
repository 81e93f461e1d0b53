/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of the vhost-vdpa transport share.
 *
 *	vhost_vdpa.c         properties, the driver, the device, our own rings
 *	vhost_vdpa_vring.c   a guest's rings in place of our own
 *	vhost_vdpa_memory.c  the memory that the device can reach
 *	vhost_vdpa_ring.c    a ring: telling the device of it
 */
#ifndef BK_VHOST_VDPA_H
#define BK_VHOST_VDPA_H

#include <linux/vhost.h>

#include "common/iova.h"
#include "virtio/virtio_blk.h"

#define BACKEND_BIT(bit) (1ULL << (bit))
/* Linux 6.7: mappings outlive a reset. Newer than the headers that this builds with. */
#define VDPA_IOTLB_PERSIST 8

/* A mapped region. */
struct vdpa_memory {
	uintptr_t addr;
	uint64_t len, iova;
	bool guest; /* a guest's memory */
	bool shown; /* the kernel knows it */
};

struct vdpa_dev {
	struct virtio_blk v;
	char *path;
	int fd;	    /* property; the library owns it after connect */
	int device; /* fd, or path opened; -1 */
	uint64_t backend_features;
	struct iova_range range;
	struct iova_space iova;
	struct vdpa_memory *memory;
	unsigned nr_memory;
	int64_t stop_by; /* of now_ns(): when rings are to be idle that are being stopped */
	bool held;	 /* the device has guests' rings and memory, and none of our own */
};

static inline struct vdpa_dev *to_vdpa(struct virtio_blk *v)
{
	return container_of(v, struct vdpa_dev, v);
}

static inline bool vdpa_has(const struct vdpa_dev *d, unsigned backend_feature)
{
	return d->backend_features >> backend_feature & 1;
}

/* Functions that return int: 0 or bk_err(). */

/* vhost_vdpa_vring.c: ops of the transport */
int vdpa_check_guests(const struct virtio_blk *v);
int vdpa_hold(struct virtio_blk *v, const struct virtio_vring *home);
int vdpa_unhold(struct virtio_blk *v);
int vdpa_guest_start(struct virtio_blk *v, struct virtio_guest *g);
int vdpa_guest_stop(struct virtio_blk *v, struct virtio_guest *g);

/* vhost_vdpa_memory.c: ops of the transport, and ... */
int vdpa_prepare(struct virtio_blk *v);
int vdpa_map(struct virtio_blk *v, struct bk_region *r, int fd, int64_t fd_offset);
void vdpa_unmap(struct virtio_blk *v, const struct bk_region *r);
/* After a reset: let the device reach all memory that it is to reach. */
int vdpa_show_memory(struct vdpa_dev *d);
void vdpa_forget_memory(struct vdpa_dev *d);

/* vhost_vdpa_ring.c */

/* ioctl(), with what to say when it fails. */
int vdpa_call(const struct vdpa_dev *d, unsigned long request, void *arg, const char *what);
int vdpa_set_ring_fd(const struct vdpa_dev *d, unsigned long request, unsigned index, int fd,
		     const char *what);
int vdpa_enable_ring(const struct vdpa_dev *d, const struct virtio_vring *r, bool enable);
/* All of a ring but its kicks. */
int vdpa_set_up_ring(const struct vdpa_dev *d, const struct virtio_vring *r);

#endif
