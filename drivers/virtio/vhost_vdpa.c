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

#include "vfio/iova.h"
#include "virtio/virtio_blk.h"

#define BACKEND_BIT(bit) (1ULL << (bit))
/* Linux 6.7: mappings outlive a reset. Newer than the headers that this builds with. */
#define IOTLB_PERSIST 8

/* Not SUSPEND and RESUME: nothing here stops a device but for good, which a reset is for. */
#define BACKEND_WANTED                                                                             \
	(BACKEND_BIT(VHOST_BACKEND_F_IOTLB_MSG_V2) | BACKEND_BIT(VHOST_BACKEND_F_IOTLB_BATCH) |    \
	 BACKEND_BIT(IOTLB_PERSIST))

#define PAGE 4096

struct vdpa_dev {
	struct virtio_blk v;
	char *path;
	int fd;	    /* property; the library's once connected */
	int device; /* fd, or path opened; -1 */
	uint64_t backend_features;
	struct iova_space iova;
};

static inline struct vdpa_dev *to_vdpa(struct virtio_blk *v)
{
	return container_of(v, struct vdpa_dev, v);
}

/* ioctl(), with what to say when it fails. 0 or bk_err(). */
static int call(const struct vdpa_dev *d, unsigned long request, void *arg, const char *what)
{
	if (ioctl(d->device, request, arg) < 0)
		return bk_err(errno, "%s of the vhost-vdpa device: %m", what);
	return 0;
}

/* ---- Connecting --------------------------------------------------------------------------- */

static int open_path(const char *path)
{
	/* Without waiting, should it be a FIFO. */
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		return fd;
	if (errno == EBUSY)
		return bk_err(EBUSY,
			      "%s is open elsewhere: a vhost-vdpa device serves one program at a "
			      "time (\"fuser %s\" names it)",
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
		return bk_err(ENODEV, "the vhost-vdpa device is no block device (its id is %u)",
			      id);
	return 0;
}

static int negotiate_backend(struct vdpa_dev *d)
{
	uint64_t features;
	int ret = call(d, VHOST_GET_BACKEND_FEATURES, &features, "GET_BACKEND_FEATURES");

	if (ret < 0)
		return ret;
	features &= BACKEND_WANTED;
	if (!(features & BACKEND_BIT(VHOST_BACKEND_F_IOTLB_MSG_V2)))
		return bk_err(ENOTSUP, "this kernel's vhost-vdpa is too old: it has no "
				       "VHOST_BACKEND_F_IOTLB_MSG_V2");
	d->backend_features = features;
	return call(d, VHOST_SET_BACKEND_FEATURES, &features, "SET_BACKEND_FEATURES");
}

static int read_iova_range(struct vdpa_dev *d)
{
	struct vhost_vdpa_iova_range r = { .last = UINT64_MAX };
	struct iova_range usable;
	int ret;

	/* Linux before 5.11 does not say; nor has it devices with limits. */
	if (ioctl(d->device, VHOST_VDPA_GET_IOVA_RANGE, &r) < 0 && errno != ENOTTY)
		return bk_err(errno, "GET_IOVA_RANGE of the vhost-vdpa device: %m");
	usable = (struct iova_range){ r.first, r.last };
	ret = iova_init(&d->iova, &usable, 1, PAGE);
	if (ret < 0)
		return bk_err(-ret,
			      "no memory can be mapped for the device: addresses %#llx to "
			      "%#llx",
			      (unsigned long long)r.first, (unsigned long long)r.last);
	return 0;
}

static int read_sizes(struct vdpa_dev *d, unsigned *max_queues)
{
	uint16_t ring;
	uint32_t queues;
	int ret = call(d, VHOST_VDPA_GET_VRING_NUM, &ring, "GET_VRING_NUM");

	if (ret < 0)
		return ret;
	if (ring < 2)
		return bk_err(EPROTO, "the vhost-vdpa device has rings of %u entries", ring);
	/* Some have rings of any size: a power of two suits all. */
	d->v.max_queue_size = min_u64(1U << (31 - __builtin_clz(ring)), VIRTQ_SIZE_MAX);
	/* Since Linux 5.18; otherwise the configuration alone says how many there are. */
	*max_queues = VIRTIO_QUEUES_MAX;
	if (!ioctl(d->device, VHOST_VDPA_GET_VQS_COUNT, &queues))
		*max_queues = min_u64(max_u64(queues, 1), VIRTIO_QUEUES_MAX);
	return 0;
}

static void let_go(struct vdpa_dev *d, bool close_it)
{
	iova_exit(&d->iova);
	if (close_it)
		close(d->device);
	d->device = -1;
}

static int vdpa_open(struct virtio_blk *v, uint64_t *offered, unsigned *max_queues)
{
	struct vdpa_dev *d = to_vdpa(v);
	int ret = virtio_open(d->path, d->fd, open_path, check_fd);

	if (ret < 0)
		return ret;
	d->device = ret;
	ret = check_device(d);
	if (!ret)
		ret = call(d, VHOST_SET_OWNER, NULL, "SET_OWNER");
	if (!ret)
		ret = negotiate_backend(d);
	if (!ret)
		ret = call(d, VHOST_GET_FEATURES, offered, "GET_FEATURES");
	if (!ret)
		ret = read_sizes(d, max_queues);
	if (!ret)
		ret = read_iova_range(d);
	if (ret < 0) {
		let_go(d, d->path);
		return ret;
	}
	v->b.lim.mem_region_alignment = PAGE;
	v->b.lim.max_mem_regions = UINT64_MAX;
	return 0;
}

/* Also of a connect that failed further on: then fd is the application's as before. */
static void vdpa_close(struct virtio_blk *v)
{
	struct vdpa_dev *d = to_vdpa(v);

	let_go(d, d->path || v->b.state != BK_CREATED);
}

static int vdpa_set_features(struct virtio_blk *v, uint64_t features)
{
	return call(to_vdpa(v), VHOST_SET_FEATURES, &features, "SET_FEATURES");
}

static int vdpa_get_status(struct virtio_blk *v, uint8_t *status)
{
	return call(to_vdpa(v), VHOST_VDPA_GET_STATUS, status, "GET_STATUS");
}

static int vdpa_set_status(struct virtio_blk *v, uint8_t status)
{
	return call(to_vdpa(v), VHOST_VDPA_SET_STATUS, &status, "SET_STATUS");
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
	ret = call(d, VHOST_VDPA_GET_CONFIG, c, "GET_CONFIG");
	if (!ret)
		memcpy(buf, c->buf, len);
	free(c);
	return ret;
}

/* ---- Memory ------------------------------------------------------------------------------- */

static int send_iotlb(const struct vdpa_dev *d, uint8_t type, uint64_t iova, uint64_t len,
		      uintptr_t addr)
{
	struct vhost_msg_v2 m = {
		.type = VHOST_IOTLB_MSG_V2,
		.iotlb = {
			.iova = iova,
			.size = len,
			.uaddr = addr,
			.perm = VHOST_ACCESS_RW,
			.type = type,
		},
	};
	ssize_t n = write(d->device, &m, sizeof(m));

	if (n == sizeof(m))
		return 0;
	return n < 0 ? -errno : -EIO;
}

/*
 * The kernel maps memory piece by piece, as it lies in physical memory. In a batch, the device gets
 * to know of all pieces at once.
 */
static int update_iotlb(const struct vdpa_dev *d, uint8_t type, uint64_t iova, uint64_t len,
			uintptr_t addr)
{
	bool batch = d->backend_features & BACKEND_BIT(VHOST_BACKEND_F_IOTLB_BATCH);
	int ret = batch ? send_iotlb(d, VHOST_IOTLB_BATCH_BEGIN, 0, 0, 0) : 0, end;

	if (!ret)
		ret = send_iotlb(d, type, iova, len, addr);
	if (!batch)
		return ret;
	end = send_iotlb(d, VHOST_IOTLB_BATCH_END, 0, 0, 0);
	return ret < 0 ? ret : end;
}

static int vdpa_map(struct blkio *b, struct bk_region *r, int fd, int64_t fd_offset)
{
	struct vdpa_dev *d = container_of(b, struct vdpa_dev, v.b);
	int ret = iova_take(&d->iova, r->addr, r->len, &r->iova);

	(void)fd, (void)fd_offset; /* the kernel finds them by the address */
	if (ret < 0)
		return bk_err(-ret, "the device has no addresses left for %llu bytes",
			      (unsigned long long)r->len);
	ret = update_iotlb(d, VHOST_IOTLB_UPDATE, r->iova, r->len, r->addr);
	if (ret < 0) {
		update_iotlb(d, VHOST_IOTLB_INVALIDATE, r->iova, r->len, 0);
		iova_give(&d->iova, r->iova);
		return bk_err(
		    -ret,
		    "cannot map %llu bytes at %p for the vhost-vdpa device: %s; is "
		    "RLIMIT_MEMLOCK (\"ulimit -l\") too small, or has the device no room?",
		    (unsigned long long)r->len, (void *)r->addr, strerror(-ret));
	}
	return 0;
}

static void vdpa_unmap(struct blkio *b, const struct bk_region *r)
{
	struct vdpa_dev *d = container_of(b, struct vdpa_dev, v.b);

	/* Addresses that could not be unmapped are not used again. */
	if (!update_iotlb(d, VHOST_IOTLB_INVALIDATE, r->iova, r->len, 0))
		iova_give(&d->iova, r->iova);
}

/* ---- Queues ------------------------------------------------------------------------------- */

static int set_vring_file(const struct vdpa_dev *d, unsigned long request, unsigned index, int fd,
			  const char *what)
{
	struct vhost_vring_file f = { .index = index, .fd = fd };

	return call(d, request, &f, what);
}

/* Of devices that offer it, the page to write to in place of an eventfd. */
static bool map_doorbell(const struct vdpa_dev *d, struct virtio_queue *q)
{
	size_t page = sysconf(_SC_PAGESIZE);
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
	ret = set_vring_file(d, VHOST_SET_VRING_KICK, q->vring.index, q->kick.fd, "SET_VRING_KICK");
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
		munmap((void *)q->kick.mmio, sysconf(_SC_PAGESIZE));
}

static int set_base(const struct vdpa_dev *d, const struct virtio_queue *q)
{
	struct vhost_vring_state state = { .index = q->vring.index, .num = virtio_vring_base(q) };

	/*
	 * Linux before 6.4 does not know in time that rings are packed and takes no wrap counters.
	 * A device that has just been reset begins there anyway.
	 */
	if (ioctl(d->device, VHOST_SET_VRING_BASE, &state) < 0 &&
	    !(q->vq.packed && errno == EINVAL))
		return bk_err(errno, "SET_VRING_BASE of the vhost-vdpa device: %m");
	return 0;
}

static int set_up_vring(const struct vdpa_dev *d, const struct virtio_queue *q)
{
	const struct virtio_vring *r = &q->vring;
	struct vhost_vring_state num = { .index = r->index, .num = r->size };
	struct vhost_vring_state enable = { .index = r->index, .num = 1 };
	struct vhost_vring_addr addr = {
		.index = r->index,
		.desc_user_addr = r->desc_iova,
		.avail_user_addr = r->driver_iova,
		.used_user_addr = r->device_iova,
	};
	int ret = call(d, VHOST_SET_VRING_NUM, &num, "SET_VRING_NUM");

	if (!ret)
		ret = set_base(d, q);
	if (!ret)
		ret = call(d, VHOST_SET_VRING_ADDR, &addr, "SET_VRING_ADDR");
	if (!ret)
		ret =
		    set_vring_file(d, VHOST_SET_VRING_CALL, r->index, r->call_fd, "SET_VRING_CALL");
	if (!ret)
		ret = call(d, VHOST_VDPA_SET_VRING_ENABLE, &enable, "SET_VRING_ENABLE");
	return ret;
}

static int vdpa_queue_start(struct virtio_blk *v, struct virtio_queue *q)
{
	const struct vdpa_dev *d = to_vdpa(v);
	int ret = set_up_kick(d, q);

	if (ret < 0)
		return ret;
	ret = set_up_vring(d, q);
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
	return call(to_vdpa(v), VHOST_VDPA_SET_CONFIG_CALL, &fd, "SET_CONFIG_CALL");
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
	.read_config = vdpa_read_config,
	.queue_start = vdpa_queue_start,
	.queue_stop = vdpa_queue_stop,
	.run = vdpa_run,
	.event = vdpa_event,
	.abandon = virtio_status_abandon,
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
	{ "path", "The character device, such as /dev/vhost-vdpa-0.", BK_STR, BK_GET_ALWAYS,
	  BK_SET_CREATED, offsetof(struct vdpa_dev, path) },
	{ "fd", "The open character device in place of path; the library's once connected.", BK_INT,
	  BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct vdpa_dev, fd) },
	{ 0 },
};

const struct bk_driver bk_driver_virtio_blk_vhost_vdpa = {
	.name = "virtio-blk-vhost-vdpa",
	.device_size = sizeof(struct vdpa_dev),
	.props = vdpa_props,
	.init = vdpa_init,
	.map = vdpa_map,
	.unmap = vdpa_unmap,
	VIRTIO_BLK_DRIVER_OPS,
};
