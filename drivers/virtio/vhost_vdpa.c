/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * virtio-blk-vhost-vdpa: virtio-blk devices of the kernel's vDPA framework, hardware or software,
 * through /dev/vhost-vdpa-N. The kernel owns the device's control path and we its queues.
 */
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/path_fd.h"
#include "virtio/vhost_vdpa.h"

/* Not RESUME: whatever stops a device is followed by a reset. */
#define BACKEND_WANTED                                                                             \
	(BACKEND_BIT(VHOST_BACKEND_F_IOTLB_MSG_V2) | BACKEND_BIT(VHOST_BACKEND_F_IOTLB_BATCH) |    \
	 BACKEND_BIT(VHOST_BACKEND_F_SUSPEND) | BACKEND_BIT(VDPA_IOTLB_PERSIST))

/* ---- Connecting --------------------------------------------------------------------------- */

static int open_path(const char *path)
{
	/* Without waiting, should it be a FIFO. */
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		return fd;
	if (errno == EBUSY)
		return bk_err(EBUSY,
			      "%s is in use: only one program at a time can use a vhost-vdpa "
			      "device (\"fuser %s\" shows which)",
			      path, path);
	return bk_err(errno, "cannot open %s: %m", path);
}

static int check_fd(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return bk_err(errno, "property \"fd\" (%d) is not a file descriptor: %m", fd);
	if ((flags & O_ACCMODE) != O_RDWR || (flags & O_PATH))
		return bk_err(EBADF, "property \"fd\" (%d) is not open for reading and writing",
			      fd);
	return fd;
}

/* Whatever was opened may be anything, until it has answered this. */
static int check_device(const struct vdpa_dev *d)
{
	struct stat st;
	uint32_t id;

	if (fstat(d->device, &st) < 0 || !S_ISCHR(st.st_mode) ||
	    ioctl(d->device, VHOST_VDPA_GET_DEVICE_ID, &id) < 0)
		return bk_err(ENOTTY, "%s is not a vhost-vdpa device",
			      d->path ? d->path : "property \"fd\"");
	if (id != VIRTIO_ID_BLOCK)
		return bk_err(ENODEV,
			      "the vhost-vdpa device is not a block device (its device ID is %u)",
			      id);
	return 0;
}

static int negotiate_backend(struct vdpa_dev *d)
{
	uint64_t features;
	int ret = vdpa_call(d, VHOST_GET_BACKEND_FEATURES, &features, "GET_BACKEND_FEATURES");

	if (ret < 0)
		return ret;
	features &= BACKEND_WANTED;
	if (!(features & BACKEND_BIT(VHOST_BACKEND_F_IOTLB_MSG_V2)))
		return bk_err(ENOTSUP, "this kernel's vhost-vdpa is too old: it does not offer "
				       "VHOST_BACKEND_F_IOTLB_MSG_V2");
	d->backend_features = features;
	return vdpa_call(d, VHOST_SET_BACKEND_FEATURES, &features, "SET_BACKEND_FEATURES");
}

static int read_iova_range(struct vdpa_dev *d)
{
	struct vhost_vdpa_iova_range r = { .last = UINT64_MAX };
	struct iova_range usable;
	int ret;

	/* Linux before 5.11 does not say; nor has it devices with limits. */
	if (ioctl(d->device, VHOST_VDPA_GET_IOVA_RANGE, &r) < 0 && errno != ENOTTY)
		return bk_err(errno, "GET_IOVA_RANGE of the vhost-vdpa device: %m");
	d->range = usable = (struct iova_range){ r.first, r.last };
	ret = iova_init(&d->iova, &usable, 1, page_size());
	if (ret < 0)
		return bk_err(-ret,
			      "the device has no usable address range: it reports %#llx to %#llx",
			      (unsigned long long)r.first, (unsigned long long)r.last);
	return 0;
}

static int read_sizes(struct vdpa_dev *d, unsigned *max_queues)
{
	uint16_t ring;
	uint32_t queues;
	int ret = vdpa_call(d, VHOST_VDPA_GET_VRING_NUM, &ring, "GET_VRING_NUM");

	if (ret < 0)
		return ret;
	if (ring < 2)
		return bk_err(EPROTO,
			      "the vhost-vdpa device reports an impossible ring size: %u entries",
			      ring);
	/* Some have rings of any size: a power of two suits all. */
	d->v.max_queue_size = min_u64(1U << (31 - __builtin_clz(ring)), VIRTQ_SIZE_MAX);
	/* Since Linux 5.18; otherwise the configuration alone says how many there are. */
	*max_queues = VIRTIO_QUEUES_MAX;
	if (!ioctl(d->device, VHOST_VDPA_GET_VQS_COUNT, &queues))
		*max_queues = min_u64(max_u64(queues, 1), VIRTIO_QUEUES_MAX);
	return 0;
}

/* Also of a connect that failed further on: then fd is the application's as before. */
static void vdpa_close(struct virtio_blk *v)
{
	struct vdpa_dev *d = to_vdpa(v);

	iova_exit(&d->iova);
	vdpa_forget_memory(d);
	path_fd_close(&v->b, d->path, &d->device);
}

static int vdpa_open(struct virtio_blk *v, uint64_t *offered, unsigned *max_queues)
{
	struct vdpa_dev *d = to_vdpa(v);
	int ret = path_fd_open(d->path, d->fd, open_path, check_fd);

	if (ret < 0)
		return ret;
	d->device = ret;
	ret = check_device(d);
	if (!ret)
		ret = vdpa_call(d, VHOST_SET_OWNER, NULL, "SET_OWNER");
	if (!ret)
		ret = negotiate_backend(d);
	if (!ret)
		ret = vdpa_call(d, VHOST_GET_FEATURES, offered, "GET_FEATURES");
	if (!ret)
		ret = read_sizes(d, max_queues);
	if (!ret)
		ret = read_iova_range(d);
	if (ret < 0) {
		vdpa_close(v);
		return ret;
	}
	v->b.lim.mem_region_alignment = page_size();
	v->b.lim.max_mem_regions = UINT64_MAX;
	return 0;
}

static int vdpa_set_features(struct virtio_blk *v, uint64_t features)
{
	return vdpa_call(to_vdpa(v), VHOST_SET_FEATURES, &features, "SET_FEATURES");
}

static int vdpa_get_status(struct virtio_blk *v, uint8_t *status)
{
	return vdpa_call(to_vdpa(v), VHOST_VDPA_GET_STATUS, status, "GET_STATUS");
}

static int vdpa_set_status(struct virtio_blk *v, uint8_t status)
{
	return vdpa_call(to_vdpa(v), VHOST_VDPA_SET_STATUS, &status, "SET_STATUS");
}

static int vdpa_read_config(struct virtio_blk *v, void *buf, size_t len)
{
	struct vdpa_dev *d = to_vdpa(v);
	struct vhost_vdpa_config *c;
	uint32_t size;
	int ret;

	/* Of a smaller one, the fields that it has not are 0. Linux before 5.18 does not say. */
	if (!ioctl(d->device, VHOST_VDPA_GET_CONFIG_SIZE, &size))
		len = min_u64(len, size);
	c = calloc(1, sizeof(*c) + len);
	if (!c)
		return bk_err(ENOMEM, "out of memory");
	c->len = len;
	ret = vdpa_call(d, VHOST_VDPA_GET_CONFIG, c, "GET_CONFIG");
	if (!ret)
		memcpy(buf, c->buf, len);
	free(c);
	return ret;
}

/* ---- Queues ------------------------------------------------------------------------------- */

/* Of devices that offer it, the page to write to in place of an eventfd. */
static bool map_doorbell(const struct vdpa_dev *d, struct virtio_queue *q)
{
	size_t page = page_size();
	void *p = mmap(NULL, page, PROT_WRITE, MAP_SHARED, d->device, q->vring.index * page);

	if (p == MAP_FAILED)
		return false;
	q->kick = (struct virtio_doorbell){ .fd = -1, .index = q->vring.index, .mmio = p };
	return true;
}

static int set_up_kick(const struct vdpa_dev *d, struct virtio_queue *q)
{
	int ret;

	if (map_doorbell(d, q))
		return 0;
	q->kick.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (q->kick.fd < 0)
		return bk_err(errno, "cannot create queue %d: eventfd: %m", q->q.index);
	ret =
	    vdpa_set_ring_fd(d, VHOST_SET_VRING_KICK, q->vring.index, q->kick.fd, "SET_VRING_KICK");
	if (ret < 0)
		close(q->kick.fd);
	return ret;
}

static void vdpa_queue_stop(struct virtio_blk *v, struct virtio_queue *q)
{
	(void)v;
	if (q->kick.fd >= 0)
		close(q->kick.fd);
	else
		munmap((void *)q->kick.mmio, page_size());
}

static int vdpa_queue_start(struct virtio_blk *v, struct virtio_queue *q)
{
	const struct vdpa_dev *d = to_vdpa(v);
	int ret = set_up_kick(d, q);

	if (ret < 0)
		return ret;
	q->vring.base = virtio_vring_base(q);
	ret = vdpa_set_up_ring(d, &q->vring);
	if (ret < 0)
		vdpa_queue_stop(v, q);
	return ret;
}

static int vdpa_run(struct virtio_blk *v)
{
	int fd = virtio_config_fd(v);

	if (fd < 0)
		return fd;
	v->nr_watched = 1;
	return vdpa_call(to_vdpa(v), VHOST_VDPA_SET_CONFIG_CALL, &fd, "SET_CONFIG_CALL");
}

static const char *vdpa_event(struct virtio_blk *v, unsigned index, short revents)
{
	(void)index, (void)revents;
	return virtio_config_event(v);
}

/* ---- Driver ------------------------------------------------------------------------------- */

static const struct virtio_transport vdpa_transport = {
	.features = 1ULL << VIRTIO_F_ACCESS_PLATFORM | 1ULL << VIRTIO_F_ORDER_PLATFORM,
	.open = vdpa_open,
	.close = vdpa_close,
	.set_features = vdpa_set_features,
	.get_status = vdpa_get_status,
	.set_status = vdpa_set_status,
	.prepare = vdpa_prepare,
	.read_config = vdpa_read_config,
	.map = vdpa_map,
	.unmap = vdpa_unmap,
	.queue_start = vdpa_queue_start,
	.queue_stop = vdpa_queue_stop,
	.split_guests = true,
	.check_guests = vdpa_check_guests,
	.hold = vdpa_hold,
	.unhold = vdpa_unhold,
	.guest_start = vdpa_guest_start,
	.guest_stop = vdpa_guest_stop,
	.run = vdpa_run,
	.event = vdpa_event,
	.abandon = virtio_status_abandon,
	.has_let_go = virtio_status_has_let_go,
};

static void vdpa_init(struct blkio *b)
{
	struct vdpa_dev *d = container_of(b, struct vdpa_dev, v.b);

	virtio_blk_init(&d->v, &vdpa_transport);
	d->fd = -1;
	d->device = -1;
}

static const struct bk_prop vdpa_props[] = {
	VIRTIO_BLK_PROPS,
	VIRTIO_VRING_PROPS,
	{ "path", "The character device to open, such as /dev/vhost-vdpa-0.", BK_STR, BK_GET_ALWAYS,
	  BK_SET_CREATED, offsetof(struct vdpa_dev, path) },
	{ "fd",
	  "The open character device, to use instead of path. The library owns it after "
	  "blkio_connect().",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct vdpa_dev, fd) },
	{ 0 },
};

const struct bk_driver bk_driver_virtio_blk_vhost_vdpa = {
	.name = "virtio-blk-vhost-vdpa",
	.device_size = sizeof(struct vdpa_dev),
	.props = vdpa_props,
	.init = vdpa_init,
	.vring = &virtio_vring_ops,
	VIRTIO_BLK_DRIVER_OPS,
};
