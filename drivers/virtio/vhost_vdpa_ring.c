/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Calls of a vhost-vdpa device, and what it is told of a ring, our own or a guest's. */
#include <sys/ioctl.h>

#include "virtio/vhost_vdpa.h"

int vdpa_call(const struct vdpa_dev *d, unsigned long request, void *arg, const char *what)
{
	int ret = ioctl(d->device, request, arg);

	bk_trace(message, d->device, request, ret);
	bk_debug("vhost-vdpa: %s: %s", what, ret < 0 ? "failed" : "done");
	return ret < 0 ? bk_err(errno, "%s of the vhost-vdpa device: %m", what) : 0;
}

int vdpa_set_ring_fd(const struct vdpa_dev *d, unsigned long request, unsigned index, int fd,
		     const char *what)
{
	struct vhost_vring_file f = { .index = index, .fd = fd };

	return vdpa_call(d, request, &f, what);
}

static int set_base(const struct vdpa_dev *d, const struct virtio_vring *r)
{
	struct vhost_vring_state state = { .index = r->index, .num = r->base };

	/*
	 * Linux before 6.4 does not know in time that rings are packed and takes no wrap counters.
	 * A device that has just been reset begins there anyway.
	 */
	if (ioctl(d->device, VHOST_SET_VRING_BASE, &state) < 0 &&
	    !(virtio_has(&d->v, VIRTIO_F_RING_PACKED) && errno == EINVAL))
		return bk_err(errno, "SET_VRING_BASE of the vhost-vdpa device: %m");
	return 0;
}

int vdpa_enable_ring(const struct vdpa_dev *d, const struct virtio_vring *r, bool enable)
{
	struct vhost_vring_state state = { .index = r->index, .num = enable };

	return vdpa_call(d, VHOST_VDPA_SET_VRING_ENABLE, &state, "SET_VRING_ENABLE");
}

int vdpa_set_up_ring(const struct vdpa_dev *d, const struct virtio_vring *r)
{
	struct vhost_vring_state num = { .index = r->index, .num = r->size };
	struct vhost_vring_addr addr = {
		.index = r->index,
		.desc_user_addr = r->desc_iova,
		.avail_user_addr = r->driver_iova,
		.used_user_addr = r->device_iova,
	};
	int ret = vdpa_call(d, VHOST_SET_VRING_NUM, &num, "SET_VRING_NUM");

	if (!ret)
		ret = set_base(d, r);
	if (!ret)
		ret = vdpa_call(d, VHOST_SET_VRING_ADDR, &addr, "SET_VRING_ADDR");
	if (!ret)
		ret = vdpa_set_ring_fd(d, VHOST_SET_VRING_CALL, r->index, r->call_fd,
				       "SET_VRING_CALL");
	return ret < 0 ? ret : vdpa_enable_ring(d, r, true);
}
