/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * io_uring, the device's side: opening the file or block device, and what it can do, asked from
 * statx(2), ioctls and sysfs.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "io_uring_dev.h"

#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif

#define DEFAULT_BLOCK_SIZE	  512
#define OPTIMAL_BUF_ALIGNMENT	  4096
#define DEFAULT_OPTIMAL_ALIGNMENT 4096

/* ---- Opening ------------------------------------------------------------------------------ */

static int open_path(const struct iou_dev *d)
{
	int flags = O_CLOEXEC | (d->u.b.read_only ? O_RDONLY : O_RDWR) | (d->direct ? O_DIRECT : 0);
	/* O_NONBLOCK: a FIFO must not keep us waiting for its other end. */
	int fd = open(d->u.path, flags | O_NONBLOCK);

	if (fd < 0)
		return bk_err(errno, "cannot open \"%s\" %s%s: %m", d->u.path,
			      d->u.b.read_only ? "for reading" : "for reading and writing",
			      d->direct ? " with O_DIRECT" : "");
	if (fcntl(fd, F_SETFL, flags & O_DIRECT) < 0) {
		int err = errno;

		close(fd);
		return bk_err(err, "cannot set the flags of \"%s\": %s", d->u.path, strerror(err));
	}
	return fd;
}

/* What property "direct" asks for is set on a given fd too, and reported where it is there already.
 */
static int adopt_fd(struct iou_dev *d)
{
	int flags = uring_dev_check_fd(&d->u);

	if (flags < 0)
		return flags;
	if (flags & O_DIRECT)
		d->direct = true;
	return d->u.fd;
}

/* Its magic number; 0 when it has none to tell. */
static long file_system(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 ? fs.f_type : 0;
}

/* Nodes of block devices lie on a file system in memory, too. */
static bool is_in_memory(const struct iou_dev *d, int fd)
{
	long type = file_system(fd);

	return !d->is_block_device && (type == TMPFS_MAGIC || type == RAMFS_MAGIC);
}

/*
 * O_NONBLOCK makes io_uring try requests at once. For files in memory, which have nothing to wait
 * for, it does not by itself: it hands each to a worker thread, which takes seven times as long
 * (512 B, Linux 6.18).
 */
static int set_status_flags(const struct iou_dev *d, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	int wanted = flags | (d->direct ? O_DIRECT : 0) | (is_in_memory(d, fd) ? O_NONBLOCK : 0);

	if (flags == wanted || fcntl(fd, F_SETFL, wanted) == 0)
		return 0;
	return bk_err(errno, "cannot set O_DIRECT on fd %d: %m", fd);
}

/* ---- Limits ------------------------------------------------------------------------------- */

static bool sysfs_number(dev_t dev, const char *name, uint64_t *val)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(dev), minor(dev), name);
	return uring_sysfs_number(path, val);
}

/* An attribute of the queue of a block device, or of the disk that it is a partition of. */
static uint64_t queue_attr(dev_t dev, const char *name, uint64_t otherwise)
{
	char path[64];
	uint64_t val;

	snprintf(path, sizeof(path), "../queue/%s", name);
	return sysfs_number(dev, path + 3, &val) || sysfs_number(dev, path, &val) ? val : otherwise;
}

/* Keeps what we do not understand from becoming an impossible property. */
static int block_size_or(uint64_t n, int otherwise)
{
	return is_power_of_2(n) && n <= (1 << 30) ? (int)n : otherwise;
}

/* O_DIRECT's needs: STATX_DIOALIGN (Linux 6.1), else the logical block size. */
static void direct_alignment(struct iou_dev *d, int fd, dev_t dev)
{
	struct bk_limits *l = &d->u.b.lim;
	int block = block_size_or(queue_attr(dev, "logical_block_size", 0), DEFAULT_BLOCK_SIZE);

	l->request_alignment = block;
	l->buf_alignment = block;
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    (stx.stx_mask & STATX_DIOALIGN) && stx.stx_dio_offset_align) {
		l->request_alignment = block_size_or(stx.stx_dio_offset_align, block);
		l->buf_alignment = block_size_or(stx.stx_dio_mem_align, block);
	}
#endif
}

static void common_limits(struct iou_dev *d, dev_t dev)
{
	struct bk_limits *l = &d->u.b.lim;

	l->ops = BK_OPS_BLOCK;
	l->max_segments = IOV_MAX;
	l->optimal_buf_alignment = OPTIMAL_BUF_ALIGNMENT;
	l->optimal_io_alignment =
	    block_size_or(queue_attr(dev, "physical_block_size", 0), DEFAULT_OPTIMAL_ALIGNMENT);
	if (l->optimal_io_alignment < l->request_alignment)
		l->optimal_io_alignment = l->request_alignment;
	l->optimal_io_size = min_u64(queue_attr(dev, "optimal_io_size", 0), INT_MAX);
	if (l->optimal_io_size % l->optimal_io_alignment)
		l->optimal_io_size = 0;
	l->mem_region_alignment = l->buf_alignment;
	/* Some kernels take short ones within a page; QEMU reads the headers of images so. */
	l->takes_odd_buffers = true;
	l->end = INT64_MAX; /* the kernel knows */
	l->takes_fua_write = true;
	/* Polling bypasses the page cache, so only O_DIRECT I/O is ever polled. */
	l->supports_poll_queues = d->direct && queue_attr(dev, "io_poll", 0) == 1;
}

static void block_limits(struct iou_dev *d, dev_t dev)
{
	struct bk_limits *l = &d->u.b.lim;
	uint64_t granularity = queue_attr(dev, "discard_granularity", 0);
	uint64_t offset = 0;

	l->discard_alignment =
	    granularity && granularity <= INT_MAX ? (int)granularity : l->request_alignment;
	sysfs_number(dev, "discard_alignment", &offset);
	l->discard_alignment_offset = min_u64(offset, INT_MAX);
	l->supports_fua_natively = queue_attr(dev, "fua", 0) == 1;
}

static void file_limits(struct iou_dev *d, int fd)
{
	struct bk_limits *l = &d->u.b.lim;

	l->discard_alignment = l->request_alignment;
	l->can_grow = true;
	l->zero_fill_eof = true;
	/* FUSE's page cache drops RWF_DSYNC: a flush must follow instead. */
	if (file_system(fd) == FUSE_SUPER_MAGIC)
		l->takes_fua_write = false;
}

static int check_block_device(const struct iou_dev *d, int fd, const char *name)
{
	int read_only = 0;

	if (!d->u.b.read_only && ioctl(fd, BLKROGET, &read_only) == 0 && read_only)
		return bk_err(EROFS, "block device %s is read-only; set property read-only", name);
	return 0;
}

static int find_limits(struct iou_dev *d, int fd, const char *name)
{
	struct bk_limits *l = &d->u.b.lim;
	struct stat st;
	dev_t dev;
	int ret;

	if (fstat(fd, &st) < 0)
		return bk_err(errno, "cannot stat %s: %m", name);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return bk_err(EINVAL, "%s is neither a regular file nor a block device", name);
	d->is_block_device = S_ISBLK(st.st_mode);
	if (d->is_block_device) {
		ret = check_block_device(d, fd, name);
		if (ret < 0)
			return ret;
	}

	dev = d->is_block_device ? st.st_rdev : st.st_dev;
	if (d->direct)
		direct_alignment(d, fd, dev);
	else
		l->request_alignment = l->buf_alignment = 1;
	common_limits(d, dev);
	if (d->is_block_device)
		block_limits(d, dev);
	else
		file_limits(d, fd);
	return 0;
}

/* ---- Connect ------------------------------------------------------------------------------ */

int iou_connect(struct blkio *b)
{
	struct iou_dev *d = to_iou_dev(b);
	bool direct = d->direct;
	int fd, ret = uring_dev_check(&d->u);

	if (ret < 0)
		return ret;
	fd = d->u.path ? open_path(d) : adopt_fd(d);
	if (fd < 0)
		return fd;
	ret = find_limits(d, fd, uring_dev_name(&d->u).s);
	/* Last: a failed connect leaves the caller's fd as it was. */
	if (!ret)
		ret = set_status_flags(d, fd);
	if (ret < 0) {
		if (d->u.path)
			close(fd);
		d->direct = direct;
		return ret;
	}
	d->u.fd = fd;
	return 0;
}

int iou_capacity(struct blkio *b, uint64_t *bytes)
{
	const struct iou_dev *d = to_iou_dev(b);
	struct stat st;

	if (d->is_block_device) {
		if (ioctl(d->u.fd, BLKGETSIZE64, bytes) < 0)
			return bk_err(errno, "cannot read the size of the block device: %m");
		return 0;
	}
	if (fstat(d->u.fd, &st) < 0)
		return bk_err(errno, "cannot read the size of the file: %m");
	*bytes = st.st_size;
	return 0;
}
