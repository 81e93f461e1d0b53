/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See file.h. What a device can do is asked from statx(2), ioctls and sysfs. */
#include "file/file.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/path_fd.h"
#include "common/sysfs.h"

#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif

#define DEFAULT_BLOCK_SIZE	  512
#define OPTIMAL_BUF_ALIGNMENT	  4096
#define DEFAULT_OPTIMAL_ALIGNMENT 4096
#define SEEKS_MAX		  4096 /* of one request */

/* ---- Opening ------------------------------------------------------------------------------ */

static int open_path(const struct blkio *b, const struct file_info *f, const char *path)
{
	int flags = O_CLOEXEC | (b->read_only ? O_RDONLY : O_RDWR) | (f->direct ? O_DIRECT : 0);
	/* O_NONBLOCK: a FIFO must not keep us waiting for its other end. */
	int fd = open(path, flags | O_NONBLOCK);

	if (fd < 0)
		return bk_err(errno, "cannot open \"%s\" %s%s: %m", path,
			      b->read_only ? "for reading" : "for reading and writing",
			      f->direct ? " with O_DIRECT" : "");
	if (fcntl(fd, F_SETFL, flags & O_DIRECT) < 0) {
		int err = errno;

		close(fd);
		return bk_err(err, "cannot set the flags of \"%s\": %s", path, strerror(err));
	}
	return fd;
}

static int adopt_fd(struct file_info *f, int fd)
{
	int flags = path_fd_flags(fd);

	if (flags < 0)
		return flags;
	f->direct = flags & O_DIRECT;
	return fd;
}

int file_open_again(int fd, int flags)
{
	char path[64];
	struct stat given, opened;
	int own;

	/* Threads may have a descriptor table of their own. */
	snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", fd);
	own = open(path, flags | O_NONBLOCK | O_CLOEXEC);
	if (own < 0)
		return -1;
	if (fstat(fd, &given) == 0 && fstat(own, &opened) == 0 && given.st_dev == opened.st_dev &&
	    given.st_ino == opened.st_ino)
		return own;
	close(own);
	return -1;
}

/* Its magic number; 0 when it has none to tell. */
static long file_system(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 ? fs.f_type : 0;
}

bool file_is_in_memory(const struct file_info *f, int fd)
{
	long type = file_system(fd);

	return !f->is_block_device && (type == TMPFS_MAGIC || type == RAMFS_MAGIC);
}

/* ---- Limits ------------------------------------------------------------------------------- */

bool file_sysfs_number(dev_t dev, const char *name, uint64_t *val)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(dev), minor(dev), name);
	return sysfs_read_number(path, val);
}

uint64_t file_queue_attr(dev_t dev, const char *name, uint64_t otherwise)
{
	char path[64];
	uint64_t val;

	snprintf(path, sizeof(path), "../queue/%s", name);
	return file_sysfs_number(dev, path + 3, &val) || file_sysfs_number(dev, path, &val)
		   ? val
		   : otherwise;
}

int file_block_size_or(uint64_t n, int otherwise)
{
	return is_power_of_2(n) && n <= (1 << 30) ? (int)n : otherwise;
}

/*
 * O_DIRECT's needs: STATX_DIOALIGN (Linux 6.1), else the logical block size. stx_dio_mem_align is
 * about addresses only, and often 4. Until Linux 6.17 the length of each segment must be a multiple
 * of the logical block as well, and so must each page's share of a registered buffer.
 */
static void direct_alignment(struct blkio *b, const struct file_info *f, int fd)
{
	struct bk_limits *l = &b->lim;
	int block = file_block_size_or(file_queue_attr(f->dev, "logical_block_size", 0),
				       DEFAULT_BLOCK_SIZE);

	l->request_alignment = block;
	l->buf_alignment = block;
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    (stx.stx_mask & STATX_DIOALIGN) && stx.stx_dio_offset_align) {
		l->request_alignment = file_block_size_or(stx.stx_dio_offset_align, block);
		l->buf_alignment =
		    max_u64(file_block_size_or(stx.stx_dio_mem_align, block), l->request_alignment);
	}
#endif
}

/*
 * STATX_WRITE_ATOMIC (Linux 6.11), with what headers before it call spare:
 * include/uapi/linux/stat.h. The kernel takes such writes only with O_DIRECT.
 */
#define WRITE_ATOMIC	    0x10000U
#define WRITE_ATOMIC_OFFSET 0xa8 /* in struct statx */
struct write_atomic {
	uint32_t unit_min, unit_max, segments_max;
};

static void atomic_limits(struct blkio *b, int fd)
{
	struct bk_atomic *l = &b->lim.atomic;
	struct write_atomic a;
	struct statx stx = { 0 };

	_Static_assert(WRITE_ATOMIC_OFFSET + sizeof(a) <= sizeof(stx), "within what there is");
	if (statx(fd, "", AT_EMPTY_PATH, WRITE_ATOMIC, &stx) < 0 || !(stx.stx_mask & WRITE_ATOMIC))
		return;
	memcpy(&a, (char *)&stx + WRITE_ATOMIC_OFFSET, sizeof(a));
	if (!is_power_of_2(a.unit_min) || !is_power_of_2(a.unit_max) || a.unit_min > a.unit_max)
		return;
	*l = (struct bk_atomic){
		.min = max_u64(a.unit_min, b->lim.request_alignment),
		.max = a.unit_max,
		.max_segments = a.segments_max ? min_u64(a.segments_max, IOV_MAX) : 1,
		.natural = true,
	};
	if (l->min > l->max)
		*l = (struct bk_atomic){ 0 };
}

static void common_limits(struct blkio *b, const struct file_info *f)
{
	struct bk_limits *l = &b->lim;

	l->ops = BK_OPS_BLOCK;
	l->max_segments = IOV_MAX;
	l->optimal_buf_alignment = max_u64(OPTIMAL_BUF_ALIGNMENT, l->buf_alignment);
	l->optimal_io_alignment = file_block_size_or(
	    file_queue_attr(f->dev, "physical_block_size", 0), DEFAULT_OPTIMAL_ALIGNMENT);
	if (l->optimal_io_alignment < l->request_alignment)
		l->optimal_io_alignment = l->request_alignment;
	l->optimal_io_size = min_u64(file_queue_attr(f->dev, "optimal_io_size", 0), INT_MAX);
	if (l->optimal_io_size % l->optimal_io_alignment)
		l->optimal_io_size = 0;
	l->mem_region_alignment = l->buf_alignment;
	/* Some kernels take short ones within a page; QEMU reads the headers of images so. */
	l->takes_odd_buffers = true;
	l->end = INT64_MAX; /* the kernel knows */
	l->takes_fua_write = true;
}

static int block_limits(struct blkio *b, struct file_info *f, int fd, const char *name)
{
	struct bk_limits *l = &b->lim;
	uint64_t granularity = file_queue_attr(f->dev, "discard_granularity", 0);
	uint64_t offset = 0;

	l->discard_alignment =
	    granularity && granularity <= INT_MAX ? (int)granularity : l->request_alignment;
	file_sysfs_number(f->dev, "discard_alignment", &offset);
	l->discard_alignment_offset = min_u64(offset, INT_MAX);
	l->supports_fua_natively = file_queue_attr(f->dev, "fua", 0) == 1;
	if (ioctl(fd, BLKSSZGET, &f->block_size) < 0)
		return bk_err(errno, "cannot read the logical block size of %s: %m", name);
	/* fallocate() and discards bypass the page cache. */
	l->whole_blocks = file_block_size_or(f->block_size, DEFAULT_BLOCK_SIZE);
	return 0;
}

static int file_limits(struct blkio *b, int fd, const char *name)
{
	struct bk_limits *l = &b->lim;
	int flags = fcntl(fd, F_GETFL);

	if ((flags & O_APPEND) && (flags & O_ACCMODE) != O_RDONLY)
		return bk_err(EINVAL,
			      "%s was opened with O_APPEND, which sends all writes to the end of "
			      "the file: open it without O_APPEND",
			      name);
	l->discard_alignment = l->request_alignment;
	l->ops |= BK_OP_BIT(BK_BLOCK_STATUS);
	l->can_grow = true;
	l->zero_fill_eof = true;
	/* FUSE's page cache drops RWF_DSYNC: a flush must follow instead. */
	if (file_system(fd) == FUSE_SUPER_MAGIC)
		l->takes_fua_write = false;
	return 0;
}

static bool is_write_protected(int fd)
{
	int read_only = 0;

	return ioctl(fd, BLKROGET, &read_only) == 0 && read_only;
}

static int find_limits(struct blkio *b, struct file_info *f, int fd, const char *name)
{
	struct bk_limits *l = &b->lim;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return bk_err(errno, "cannot stat %s: %m", name);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return bk_err(EINVAL, "%s is neither a regular file nor a block device", name);
	f->is_block_device = S_ISBLK(st.st_mode);
	l->read_only = f->is_block_device && is_write_protected(fd);

	f->dev = f->is_block_device ? st.st_rdev : st.st_dev;
	if (f->direct) {
		direct_alignment(b, f, fd);
		atomic_limits(b, fd);
	} else {
		l->request_alignment = l->buf_alignment = 1;
	}
	common_limits(b, f);
	if (!f->is_block_device)
		return file_limits(b, fd, name);
	return block_limits(b, f, fd, name);
}

/* ---- Connect ------------------------------------------------------------------------------ */

int file_connect(struct blkio *b, struct file_info *f, const char *path, int *fd)
{
	int ret = path_fd_check(path, *fd), opened;

	if (ret < 0)
		return ret;
	opened = path ? open_path(b, f, path) : adopt_fd(f, *fd);
	if (opened < 0)
		return opened;
	ret = find_limits(b, f, opened, path_fd_name(path, *fd).s);
	if (ret < 0) {
		if (path)
			close(opened);
		return ret;
	}
	/* What a given fd was opened for decides alone. */
	b->read_only &= !!path;
	if (!path)
		path_fd_limit(b, opened);
	*fd = opened;
	return 0;
}

int file_check_blocks(struct blkio *b, const struct file_info *f, int fd)
{
	int now;

	if (!f->is_block_device || ioctl(fd, BLKSSZGET, &now) < 0 || now == f->block_size)
		return 0;
	bk_set_gone(b, "the logical block size of the block device has changed since "
		       "blkio_connect(): create a new instance");
	return bk_err(ENODEV,
		      "the logical block size of the block device is now %d bytes, and was %d at "
		      "blkio_connect(): create a new instance",
		      now, f->block_size);
}

int file_capacity(struct blkio *b, const struct file_info *f, int fd, uint64_t *bytes)
{
	struct stat st;
	int ret = file_check_blocks(b, f, fd);

	if (ret < 0)
		return ret;
	if (f->is_block_device) {
		if (ioctl(fd, BLKGETSIZE64, bytes) < 0)
			return bk_err(errno, "cannot read the size of the block device: %m");
		return 0;
	}
	if (fstat(fd, &st) < 0)
		return bk_err(errno, "cannot read the size of the file: %m");
	*bytes = st.st_size;
	return 0;
}

/* ---- Requests ----------------------------------------------------------------------------- */

int file_zeroes_mode(const struct bk_req *r)
{
	return FALLOC_FL_KEEP_SIZE |
	       (r->flags & BLKIO_REQ_NO_UNMAP ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE);
}

/* The end of the data or of the hole at this offset. Behind the last data, all is a hole. */
static int64_t seek(int fd, uint64_t at, int whence)
{
	off_t found = lseek(fd, (off_t)at, whence);

	if (found >= 0)
		return found;
	if (errno == ENXIO)
		return whence == SEEK_DATA ? INT64_MAX : (int64_t)at;
	return errno == EINVAL ? -ENOTSUP : -errno;
}

/* The file may change meanwhile: then there is nothing between two offsets. */
int file_block_status(struct bk_req *r, int fd)
{
	int64_t at = (int64_t)r->start, found;
	bool more = true, data = false;

	if (fd < 0) {
		r->error_msg = "the file that was given as property fd cannot be opened again";
		return -ENOTSUP;
	}
	bk_extents_begin(r);
	for (int i = 0; more && i < SEEKS_MAX; i++, data = !data) {
		found = seek(fd, at, data ? SEEK_HOLE : SEEK_DATA);
		if (found < 0)
			return (int)found;
		if (found > at)
			more = bk_extent_add(r, found - at,
					     data ? BLKIO_EXTENT_ALLOCATED : BLKIO_EXTENT_ZERO);
		at = found;
	}
	return 0;
}

void file_failed(struct blkioq *q, struct bk_req *r, const struct file_info *f, int fd, int error)
{
	/* Not whole blocks: they were, when the core looked. */
	if (error == -EINVAL && file_check_blocks(q->b, f, fd) < 0)
		bk_fail(q, r, ENODEV, bk_gone(q->b));
	else if (error == -EINTR) /* a FUSE server's signal */
		bk_retry_transient(q, r, error);
	else if (error == -ENODEV && r->op == BK_WRITE_ZEROES)
		bk_complete(q, r, -ENOTSUP); /* a file system without fallocate */
	else
		bk_complete(q, r, error);
}
