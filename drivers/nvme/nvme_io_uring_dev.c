/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * nvme-io_uring, the device's side: finding the generic node (/dev/ngXnY) of a namespace, and what
 * the namespace and the kernel in front of it can do.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/sysfs.h"
#include "nvme/nvme_io_uring.h"

#define KERNEL_SEGMENTS 127 /* of the NVMe driver, where sysfs does not say */

/* ---- Finding the namespace ---------------------------------------------------------------- */

/* What a device is called in sysfs. */
static struct sysfs_name node_name(const struct stat *st)
{
	char link[64];

	snprintf(link, sizeof(link), "/sys/dev/%s/%u:%u", S_ISBLK(st->st_mode) ? "block" : "char",
		 major(st->st_rdev), minor(st->st_rdev));
	return sysfs_read_link(link);
}

/* The numbers in names like ng0n1. */
struct ns_id {
	int ctrl, ns;
};

/* format: two %d, and %n at the end of it */
static bool parse_name(const struct sysfs_name *name, const char *format, struct ns_id *id)
{
	int end = 0;

	return sscanf(name->s, format, &id->ctrl, &id->ns, &end) == 2 && end && !name->s[end];
}

static int refuse_char(const struct sysfs_name *name, const char *what)
{
	int ctrl, end = 0;

	if (sscanf(name->s, "nvme%d%n", &ctrl, &end) == 1 && !name->s[end])
		return bk_err(
		    EINVAL,
		    "%s is an NVMe controller; use one of its namespaces, such as /dev/ng%dn1",
		    what, ctrl);
	return bk_err(EINVAL,
		      "%s is not the generic node of an NVMe namespace, /dev/ngXnY (it is \"%s\")",
		      what, name->s);
}

static int refuse_block(const struct sysfs_name *name, const char *what)
{
	struct ns_id id;
	int part;

	if (sscanf(name->s, "nvme%dn%dp%d", &id.ctrl, &id.ns, &part) == 3)
		return bk_err(EINVAL,
			      "%s is a partition, but NVMe commands access the whole namespace; "
			      "use the io_uring driver, or /dev/ng%dn%d",
			      what, id.ctrl, id.ns);
	return bk_err(EINVAL, "%s is not an NVMe namespace (it is \"%s\"); use the io_uring driver",
		      what, name->s);
}

/* Which namespace is it, given by its generic node or by its block device? */
static int find_namespace(const struct stat *st, const char *what, struct ns_id *id)
{
	struct sysfs_name name;

	if (!S_ISCHR(st->st_mode) && !S_ISBLK(st->st_mode))
		return bk_err(EINVAL, "%s is not a device; use an NVMe namespace, /dev/ngXnY",
			      what);
	name = node_name(st);
	if (S_ISCHR(st->st_mode))
		return parse_name(&name, "ng%dn%d%n", id) ? 0 : refuse_char(&name, what);
	return parse_name(&name, "nvme%dn%d%n", id) ? 0 : refuse_block(&name, what);
}

/* ---- Opening ------------------------------------------------------------------------------ */

/* fd must be the generic node of this namespace. */
static int check_generic(int fd, const char *what, struct ns_id *id)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return bk_err(errno, "cannot stat %s: %m", what);
	if (S_ISBLK(st.st_mode))
		return bk_err(EINVAL,
			      "%s is a block device; open the generic node of the namespace, "
			      "/dev/ngXnY",
			      what);
	return find_namespace(&st, what, id);
}

static int open_generic(const struct uring_dev *d, const char *node, struct ns_id *id)
{
	struct ns_id opened;
	int fd = open(node, O_CLOEXEC | (d->b.read_only ? O_RDONLY : O_RDWR));
	int ret;

	if (fd < 0)
		return bk_err(errno, "cannot open \"%s\" %s: %m", node,
			      d->b.read_only ? "for reading" : "for reading and writing");
	ret = check_generic(fd, node, &opened);
	if (!ret && (opened.ctrl != id->ctrl || opened.ns != id->ns))
		ret = bk_err(EINVAL, "\"%s\" is the node of a different namespace, ng%dn%d", node,
			     opened.ctrl, opened.ns);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	return fd;
}

static int open_path(const struct uring_dev *d, struct ns_id *id)
{
	char node[64];
	struct stat st;
	int ret;

	if (stat(d->path, &st) < 0)
		return bk_err(errno, "cannot open \"%s\": %m", d->path);
	ret = find_namespace(&st, path_fd_name(d->path, d->fd).s, id);
	if (ret < 0)
		return ret;
	snprintf(node, sizeof(node), "/dev/ng%dn%d", id->ctrl, id->ns);
	return open_generic(d, S_ISCHR(st.st_mode) ? d->path : node, id);
}

static int adopt_fd(const struct uring_dev *d, struct ns_id *id)
{
	int ret = path_fd_flags(d->fd);

	if (ret >= 0)
		ret = check_generic(d->fd, path_fd_name(d->path, d->fd).s, id);
	return ret < 0 ? ret : d->fd;
}

/* ---- Admin commands ----------------------------------------------------------------------- */

struct fd_admin {
	struct nvme_admin a;
	int fd;
};

static int no_privilege(int err)
{
	return bk_err(err, "the kernel refuses NVMe commands: they require CAP_SYS_ADMIN (since "
			   "Linux 6.2, access to the device node is enough)");
}

static int admin_read(const struct nvme_admin *a, const struct nvme_cmd *c, void *data,
		      uint32_t len)
{
	const struct fd_admin *f = container_of(a, struct fd_admin, a);
	struct nvme_passthru_cmd cmd = {
		.opcode = c->opcode,
		.nsid = c->nsid,
		.addr = (uintptr_t)data,
		.data_len = len,
		.cdw10 = c->cdw10,
		.cdw11 = c->cdw11,
	};
	int ret = ioctl(f->fd, NVME_IOCTL_ADMIN_CMD, &cmd);

	if (ret >= 0)
		return ret;
	if (errno == EACCES || errno == EPERM)
		return no_privilege(errno);
	return bk_err(errno, "cannot send an NVMe admin command: %m");
}

static struct fd_admin fd_admin(int fd)
{
	return (struct fd_admin){ { admin_read }, fd };
}

/* ---- Limits of the kernel ----------------------------------------------------------------- */

static uint64_t queue_attr(const struct ns_id *id, const char *name, uint64_t otherwise)
{
	char path[128];
	uint64_t val;

	snprintf(path, sizeof(path), "/sys/class/block/nvme%dn%d/queue/%s", id->ctrl, id->ns, name);
	return sysfs_read_number(path, &val) ? val : otherwise;
}

/*
 * The kernel does not split passthrough commands, so what is larger than its limits fails. A buffer
 * of any alignment touches one page more than its length says, and pages are one segment each.
 */
static void kernel_limits(struct nvme_iou_dev *d, const struct ns_id *id)
{
	uint64_t kib = queue_attr(id, "max_hw_sectors_kb", UINT32_MAX);
	uint64_t segments = queue_attr(id, "max_segments", KERNEL_SEGMENTS);
	uint64_t pages = segments > 1 ? segments - 1 : 1;

	nvme_limit_transfer(&d->ns, &d->u.b.lim, min_u64(kib << 10, pages * PAGE_SIZE_MIN));
}

/*
 * Does io_uring poll for commands here? Linux 6.0 polls for files only and says so before the NVMe
 * driver sees the command. One that does not exist gets that far without going to the device.
 */
static bool ring_polls(int fd)
{
	const struct uring_config config = {
		.entries = 1,
		.iopoll = true,
		.big = true,
		.completion_fd = -1,
	};
	struct io_uring_sqe *sqe;
	struct uring ring;
	bool ok = false;

	if (uring_init(&ring, &config) < 0)
		return false;
	sqe = uring_get_sqe(&ring, true);
	nvme_iou_prep(sqe, fd, 0, NULL);
	sqe->cmd_op = 0;
	while (!uring_ready(&ring) && uring_enter(&ring, 1, NULL) == 0)
		continue;
	if (uring_ready(&ring)) {
		ok = uring_cqe(&ring, 0, true)->res == -ENOTTY;
		uring_seen(&ring, 1);
	}
	uring_exit(&ring);
	return ok;
}

static bool polls(int fd, const struct ns_id *id)
{
	return queue_attr(id, "io_poll", 0) == 1 && ring_polls(fd);
}

/* ---- Connect ------------------------------------------------------------------------------ */

static int alloc_metadata(struct nvme_iou_dev *d)
{
	size_t len = ((size_t)d->u.b.lim.max_transfer >> d->ns.block_shift) * d->ns.metadata_size;

	if (!len)
		return 0;
	d->metadata_zeroes = calloc(1, len);
	d->metadata_sink = malloc(len);
	return d->metadata_zeroes && d->metadata_sink ? 0 : bk_err(ENOMEM, "out of memory");
}

static void free_metadata(struct nvme_iou_dev *d)
{
	free(d->metadata_zeroes);
	free(d->metadata_sink);
}

static int find_limits(struct nvme_iou_dev *d, int fd, const struct ns_id *id)
{
	struct fd_admin admin = fd_admin(fd);
	struct bk_limits *l = &d->u.b.lim;
	int nsid = ioctl(fd, NVME_IOCTL_ID);
	int ret;

	if (nsid <= 0)
		return bk_err(nsid < 0 ? errno : ENODEV, "cannot get the namespace ID of %s: %m",
			      path_fd_name(d->u.path, d->u.fd).s);
	ret = nvme_identify(&admin.a, nsid, path_fd_name(d->u.path, d->u.fd).s, &d->ns, l);
	if (ret < 0)
		return ret;
	/* The kernel copies what the controller cannot reach. */
	l->takes_odd_buffers = true;
	l->takes_long_requests = true;
	kernel_limits(d, id);
	ret = alloc_metadata(d);
	if (ret < 0)
		return ret;
	l->supports_poll_queues = polls(fd, id);
	return 0;
}

int nvme_iou_connect(struct blkio *b)
{
	struct nvme_iou_dev *d = to_nvme_iou_dev(b);
	struct ns_id id;
	int fd, ret;

	ret = path_fd_check(d->u.path, d->u.fd);
	if (ret < 0)
		return ret;
	fd = d->u.path ? open_path(&d->u, &id) : adopt_fd(&d->u, &id);
	if (fd < 0)
		return fd;
	/* First: what changes from here on will be noticed. */
	nvme_iou_watch_open(d, id.ctrl, id.ns);
	ret = find_limits(d, fd, &id);
	if (ret < 0) {
		nvme_iou_watch_close(d);
		free_metadata(d);
		if (d->u.path)
			close(fd);
		return ret;
	}
	if (!d->u.path)
		path_fd_limit(b, fd);
	d->u.fd = fd;
	return 0;
}

void nvme_iou_close(struct blkio *b)
{
	struct nvme_iou_dev *d = to_nvme_iou_dev(b);

	nvme_iou_watch_stop(d);
	nvme_iou_watch_close(d);
	if (!b->stuck)
		free_metadata(d);
	uring_dev_close(b);
}

int nvme_iou_capacity(struct blkio *b, uint64_t *bytes)
{
	struct nvme_iou_dev *d = to_nvme_iou_dev(b);
	struct fd_admin admin = fd_admin(d->u.fd);

	int ret = nvme_capacity(&admin.a, &d->ns, bytes);

	if (ret == -ENODEV)
		bk_set_gone(b, NVME_IOU_CHANGED);
	return ret;
}
