/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The targets and their scratch devices. A new driver joins the API tests with one entry here. */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arena.h"
#include "sys.h"
#include "test.h"

/* ---- Making scratch devices --------------------------------------------------------------- */

static void make_null(struct device *d)
{
	(void)d;
}

static void make_backing(struct device *d, const char *directory)
{
	int fd;

	snprintf(d->backing, sizeof(d->backing), "%s/device", directory);
	unlink(d->backing); /* a loop device of a case that failed may still write to its file */
	fd = (int)SYS(open(d->backing, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600));
	SYS(ftruncate(fd, DEVICE_SIZE));
	close(fd);
}

static void need_direct(const char *path)
{
	int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		SKIP("the file system of %s has no O_DIRECT: %s", path, strerror(errno));
	close(fd);
}

static void make_file_in(struct device *d, const char *directory)
{
	make_backing(d, directory);
	strcpy(d->path, d->backing);
	strcpy(d->storage, d->backing);
	if (d->target->traits & T_DIRECT)
		need_direct(d->path);
}

static void make_file(struct device *d)
{
	make_file_in(d, test_dir());
}

static void make_tmpfs(struct device *d)
{
	if (!test_tmpfs_dir())
		SKIP("/dev/shm cannot be written to");
	make_file_in(d, test_tmpfs_dir());
}

/* Attach d->backing to a free loop device, which detaches itself after the last close. */
static bool attach_loop(struct device *d, int control, int backing_fd)
{
	struct loop_config config = {
		.fd = (uint32_t)backing_fd,
		.block_size = d->target->block_size,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR,
	};
	int writable = 0, number = ioctl(control, LOOP_CTL_GET_FREE);

	if (number < 0)
		SKIP("no free loop device: %s", strerror(errno));
	snprintf(d->path, sizeof(d->path), "/dev/loop%d", number);
	d->loop_fd = open(d->path, O_RDWR | O_CLOEXEC);
	if (d->loop_fd < 0)
		SKIP("%s: %s", d->path, strerror(errno));
	if (!ioctl(d->loop_fd, LOOP_CONFIGURE, &config)) {
		ioctl(d->loop_fd, BLKROSET, &writable); /* an earlier user's choice would stay */
		return true;
	}
	if (errno != EBUSY)
		SKIP("%s cannot be configured: %s", d->path, strerror(errno));
	close(d->loop_fd); /* another test was faster */
	return false;
}

static void make_loop(struct device *d)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int backing_fd;
	bool attached;

	if (control < 0)
		SKIP("no loop devices: /dev/loop-control: %s", strerror(errno));
	make_backing(d, test_dir());
	backing_fd = (int)SYS(open(d->backing, O_RDWR | O_CLOEXEC));
	do
		attached = attach_loop(d, control, backing_fd);
	while (!attached);
	strcpy(d->storage, d->path);
	close(backing_fd);
	close(control);
}

/* ---- Files served by another process ------------------------------------------------------ */

#define VHOST_USER_EXPORT "writable=on,num-queues=5"
#define NBD_EXPORT	  "writable=on"

static const char *blockdev_of(const struct device *d)
{
	static char blockdev[4200];

	snprintf(blockdev, sizeof(blockdev), "driver=file,discard=unmap,filename=%s", d->backing);
	return blockdev;
}

static void make_vhost_user(struct device *d)
{
	make_backing(d, test_dir());
	strcpy(d->storage, d->backing);
	qsd_start(&d->server, blockdev_of(d), VHOST_USER_EXPORT);
	strcpy(d->path, d->server.socket);
}

static void make_nbd(struct device *d)
{
	make_backing(d, test_dir());
	strcpy(d->storage, d->backing);
	qsd_start_nbd(&d->server, blockdev_of(d), NBD_EXPORT);
	strcpy(d->path, d->server.socket);
}

/* For a process that may not use io_uring, as in a container. */
static void make_nbd_plain(struct device *d)
{
	make_nbd(d);
	forbid_syscall(__NR_io_uring_setup, EPERM);
}

static void start_tgt(struct device *d)
{
	tgt_start(&d->tgt);
	d->server.pid = d->tgt.pid;
}

static void start_nvme_target(struct device *d)
{
	nvme_target_start(&d->nvme);
	d->server.pid = d->nvme.pid;
}

static void make_nvme_target(struct device *d)
{
	make_backing(d, test_dir());
	strcpy(d->storage, d->backing);
	d->nvme.file = d->backing;
	start_nvme_target(d);
	strcpy(d->path, nvme_target_uri(&d->nvme));
}

static void make_nvme_tcp(struct device *d)
{
	d->nvme.capsule_data = 16 << 10;
	make_nvme_target(d);
}

/* The same with what is rare: it asks for all data, bit by bit, and sends it so. */
static void make_nvme_tcp_r2t(struct device *d)
{
	d->nvme.r2t_max = 320 << 10;
	d->nvme.max_data = 192 << 10;
	d->nvme.c2h_max = 7 << 10;
	d->nvme.align = 15;
	d->nvme.responds = true;
	d->nvme.asks_connect = true;
	d->has_digests = true;
	make_nvme_target(d);
}

static void make_iscsi(struct device *d)
{
	struct blkio *b;

	if (blkio_create("iscsi", &b) < 0)
		SKIP("%s", blkio_get_error_msg());
	blkio_destroy(&b);
	make_backing(d, test_dir());
	strcpy(d->storage, d->backing);
	d->tgt.file = d->backing;
	start_tgt(d);
	strcpy(d->path, tgt_uri(&d->tgt));
}

void device_restart_server(struct device *d)
{
	qsd_kill(&d->server);
	if (d->target->traits & T_ISCSI) {
		start_tgt(d);
		return;
	}
	if (d->target->traits & T_NVME_TCP) {
		nvme_target_kill(&d->nvme);
		start_nvme_target(d);
		return;
	}
	qsd_restart(&d->server, blockdev_of(d), d->server.is_nbd ? NBD_EXPORT : VHOST_USER_EXPORT);
}

/* ---- Devices of the test VM -------------------------------------------------------------- */

/* The block device of an NVMe namespace of just the right size, in the test VM. */
static void make_nvme(struct device *d)
{
	uint64_t range[2] = { 0, DEVICE_SIZE };
	int fd;

	snprintf(d->path, sizeof(d->path), "%s", getenv(d->target->env));
	strcpy(d->storage, d->path);
	fd = (int)SYS(open(d->path, O_RDWR | O_CLOEXEC));
	SYS(ioctl(fd, BLKZEROOUT, range));
	close(fd);
}

/* An NVMe controller that VFIO lends, and a namespace of it as the kernel's other controller has
 * it. */
static void make_nvme_vfio(struct device *d)
{
	uint64_t range[2] = { 0, DEVICE_SIZE };
	int fd;

	snprintf(d->path, sizeof(d->path), "%s", getenv(d->target->env));
	snprintf(d->storage, sizeof(d->storage), "%s", getenv("TEST_NVME_STORAGE"));
	fd = (int)SYS(open(d->storage, O_RDWR | O_CLOEXEC));
	SYS(ioctl(fd, BLKZEROOUT, range));
	close(fd);
}

/* A device of the test VM that a server there keeps in a file, of just the right size. */
static void make_served(struct device *d, const char *file)
{
	int fd;

	snprintf(d->path, sizeof(d->path), "%s", getenv(d->target->env));
	snprintf(d->storage, sizeof(d->storage), "%s", getenv(file));
	fd = (int)SYS(open(d->storage, O_RDWR | O_CLOEXEC));
	SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, DEVICE_SIZE));
	close(fd);
}

/* A unit of the kernel's iSCSI target. */
static void make_lio(struct device *d)
{
	make_served(d, "TEST_LIO_FILE");
}

/* A namespace of the kernel's NVMe/TCP target. */
static void make_nvmet(struct device *d)
{
	make_served(d, "TEST_NVMET_FILE");
}

static void make_nvmet_digests(struct device *d)
{
	d->has_digests = true;
	make_served(d, "TEST_NVMET_512_FILE");
}

/* A device of the test VM that must not be written to: each request takes SLOW_MS. */
static void make_slow(struct device *d)
{
	snprintf(d->path, sizeof(d->path), "%s", getenv(d->target->env));
}

/* The same on an NVMe controller that VFIO lends: one of its namespaces. */
static void make_slow_nvme_vfio(struct device *d)
{
	make_slow(d);
	d->nsid = 7;
}

/* A vDPA device. */
static void make_vdpa(struct device *d)
{
	make_served(d, "TEST_VDPA_FILE");
}

#define KERNEL_TRAITS (T_ANY | T_STORES | T_KERNEL | T_PATH | T_ADD_QUEUES | T_DISCARDS)
#define FILE_TRAITS   (KERNEL_TRAITS | T_FILE | T_STATUS)
#define LOOP_TRAITS   (KERNEL_TRAITS | T_BLOCK)

#define NVME_TCP_TRAITS                                                                            \
	(T_ANY | T_STORES | T_URI | T_DISCARDS | T_ADD_QUEUES | T_BLOCKS | T_NVME_TCP)
/* It decides itself whether zeroes take space: without T_DISCARDS. */
#define NVMET_TRAITS  (T_ANY | T_STORES | T_URI | T_ADD_QUEUES | T_BLOCKS)
#define DIRECT_TRAITS (T_DIRECT | T_ALIGNED)
#define T_SLOW_TRAITS (T_SLOW | T_HOLDS | T_PATH)
#define NBD_TRAITS                                                                                 \
	(T_ANY | T_STORES | T_PATH | T_DISCARDS | T_ADD_QUEUES | T_NBD | T_NETWORK | T_HOLDS |     \
	 T_SERVER | T_STATUS)
#define VIRTIO_TRAITS                                                                              \
	(T_ANY | T_STORES | T_PATH | T_DISCARDS | T_REGIONS | T_EXCLUSIVE | T_VIRTIO | T_LATE)

const struct target targets[] = {
	{ "null", "null", T_ANY | T_ADD_QUEUES, make_null, 1 },
	{ "file", "io_uring", FILE_TRAITS | T_IO_URING, make_file, 1 },
	{ "file-direct", "io_uring", FILE_TRAITS | T_IO_URING | DIRECT_TRAITS, make_file, 512 },
	{ "tmpfs", "io_uring", FILE_TRAITS | T_IO_URING | T_OFFLOADS | T_HOLDS, make_tmpfs, 1 },
	{ "tmpfs-direct", "io_uring", FILE_TRAITS | T_IO_URING | DIRECT_TRAITS, make_tmpfs, 512 },
	{ "loop", "io_uring", LOOP_TRAITS | T_IO_URING, make_loop, 512 },
	{ "loop4k", "io_uring", LOOP_TRAITS | T_IO_URING, make_loop, 4096 },
	{ "loop-direct", "io_uring", LOOP_TRAITS | T_IO_URING | DIRECT_TRAITS, make_loop, 512 },
	{ "loop4k-direct", "io_uring", LOOP_TRAITS | T_IO_URING | DIRECT_TRAITS, make_loop, 4096 },
	{ "posix-file", "posix", FILE_TRAITS, make_file, 1 },
	{ "posix-file-direct", "posix", FILE_TRAITS | DIRECT_TRAITS, make_file, 512 },
	{ "posix-tmpfs", "posix", FILE_TRAITS | T_OFFLOADS | T_HOLDS, make_tmpfs, 1 },
	{ "posix-tmpfs-direct", "posix", FILE_TRAITS | DIRECT_TRAITS, make_tmpfs, 512 },
	{ "posix-loop", "posix", LOOP_TRAITS, make_loop, 512 },
	{ "posix-loop4k", "posix", LOOP_TRAITS, make_loop, 4096 },
	{ "posix-loop-direct", "posix", LOOP_TRAITS | DIRECT_TRAITS, make_loop, 512 },
	{ "posix-loop4k-direct", "posix", LOOP_TRAITS | DIRECT_TRAITS, make_loop, 4096 },
	{ "vhost-user", "virtio-blk-vhost-user",
	  VIRTIO_TRAITS | T_VHOST_USER | T_HOLDS | T_SERVER | T_VRINGS, make_vhost_user, 512 },
	{ "nbd", "nbd", NBD_TRAITS, make_nbd, 1 },
	{ "nbd-plain", "nbd", NBD_TRAITS | T_PLAIN, make_nbd_plain, 1 },
	{ "iscsi", "iscsi",
	  T_ANY | T_STORES | T_ISCSI | T_URI | T_BLOCKS | T_DISCARDS | T_ADD_QUEUES | T_NETWORK |
	      T_HOLDS | T_SERVER | T_STATUS,
	  make_iscsi, 512 },
	{ "nvme-tcp", "nvme-tcp", NVME_TCP_TRAITS | T_NETWORK | T_HOLDS | T_SERVER, make_nvme_tcp,
	  512 },
	{ "nvme-tcp-r2t", "nvme-tcp", NVME_TCP_TRAITS, make_nvme_tcp_r2t, 512 },
	{ "lio", "iscsi", T_ANY | T_STORES | T_ISCSI | T_URI | T_BLOCKS | T_DISCARDS | T_ADD_QUEUES,
	  make_lio, 512, "TEST_LIO" },
	{ "nvme", "nvme-io_uring", T_ANY | T_STORES | T_PATH | T_ADD_QUEUES | T_ALIGNED, make_nvme,
	  512, "TEST_NVME" },
	{ "nvme-vfio", "nvme-vfio-pci",
	  T_ANY | T_STORES | T_PATH | T_ALIGNED | T_REGIONS | T_EXCLUSIVE | T_LATE, make_nvme_vfio,
	  512, "TEST_NVME_VFIO" },
	{ "nvmet", "nvme-tcp", NVMET_TRAITS, make_nvmet, 4096, "TEST_NVMET" },
	{ "nvmet-digests", "nvme-tcp", NVMET_TRAITS, make_nvmet_digests, 512, "TEST_NVMET_512" },
	{ "vhost-vdpa", "virtio-blk-vhost-vdpa", VIRTIO_TRAITS | T_VDUSE | T_VRINGS, make_vdpa, 512,
	  "TEST_VDPA" },
	{ "slow-disk", "io_uring", T_SLOW_TRAITS | T_DIRECT, make_slow, 512, "TEST_SLOW_DISK" },
	{ "posix-slow-disk", "posix", T_SLOW_TRAITS | T_DIRECT, make_slow, 512, "TEST_SLOW_DISK" },
	{ "slow-nvme", "nvme-io_uring", T_SLOW_TRAITS, make_slow, 512, "TEST_SLOW_DISK" },
	{ "slow-nvme-vfio", "nvme-vfio-pci", T_SLOW_TRAITS | T_REGIONS | T_EXCLUSIVE | T_LATE,
	  make_slow_nvme_vfio, 512, "TEST_SLOW_NVME_VFIO" },
	{ 0 },
};

/* ---- Devices ------------------------------------------------------------------------------ */

struct device *device_new(const struct target *target)
{
	struct device *d = calloc(1, sizeof(*d));

	CHECK(d);
	d->target = target;
	d->driver = target->driver;
	d->loop_fd = -1;
	if (target->traits & T_REGIONS)
		arena_new();
	target->make(d);
	return d;
}

void device_free(struct device *d)
{
	if (!d)
		return;
	qsd_kill(&d->server);
	if (d->loop_fd >= 0)
		close(d->loop_fd);
	if (d->backing[0])
		unlink(d->backing);
	free(d);
}

struct blkio *device_create(struct device *d)
{
	struct blkio *b;

	CHECK_OK(blkio_create(d->driver, &b));
	if (d->target->traits & T_PATH)
		CHECK_OK(blkio_set_str(b, "path", d->path));
	else if (d->target->traits & T_URI)
		CHECK_OK(blkio_set_str(b, "uri", d->path));
	else
		CHECK_OK(blkio_set_uint64(b, "capacity", DEVICE_SIZE));
	if (d->target->traits & T_DIRECT)
		CHECK_OK(blkio_set_bool(b, "direct", true));
	if (d->has_digests)
		CHECK_OK(blkio_set_str(b, "digests", "both"));
	if (d->nsid)
		CHECK_OK(blkio_set_int(b, "nsid", d->nsid));
	return b;
}

struct blkio *device_connect(struct device *d)
{
	struct blkio *b = device_create(d);

	CHECK_OK(blkio_connect(b));
	return b;
}

struct blkio *device_start(struct device *d)
{
	struct blkio *b = device_connect(d);

	CHECK_OK(blkio_start(b));
	return b;
}

struct blkio *device_start_with(struct device *d, const char *prop, const char *value)
{
	struct blkio *b = device_create(d);
	int ret = blkio_set_str(b, prop, value);

	CHECK(!ret || ret == -ENODEV);
	CHECK_OK(blkio_connect(b));
	if (ret)
		CHECK_OK(blkio_set_str(b, prop, value));
	CHECK_OK(blkio_start(b));
	return b;
}

struct blkio *device_start_narrow(struct device *d, int n)
{
	char value[16];

	snprintf(value, sizeof(value), "%d", n);
	return device_start_with(d, d->target->traits & T_IO_URING ? "num-entries" : "num-threads",
				 value);
}

static int open_storage(struct device *d, int flags)
{
	return (int)SYS(open(d->storage, flags | O_CLOEXEC));
}

void device_peek(struct device *d, uint64_t start, void *buf, size_t len)
{
	int fd = open_storage(d, O_RDONLY);

	CHECK_EQ(pread(fd, buf, len, (off_t)start), len);
	close(fd);
}

void device_poke(struct device *d, uint64_t start, const void *buf, size_t len)
{
	int fd = open_storage(d, O_WRONLY);

	CHECK_EQ(pwrite(fd, buf, len, (off_t)start), len);
	SYS(fsync(fd));
	close(fd);
}

uint64_t device_allocated(struct device *d)
{
	int fd = (int)SYS(open(d->backing[0] ? d->backing : d->storage, O_RDONLY | O_CLOEXEC));
	struct stat st;

	SYS(fsync(fd)); /* or delayed allocation would hide blocks */
	SYS(fstat(fd, &st));
	close(fd);
	return (uint64_t)st.st_blocks * 512;
}

/* ---- Properties --------------------------------------------------------------------------- */

int get_int(struct blkio *b, const char *name)
{
	int value;

	CHECK_OK(blkio_get_int(b, name, &value));
	return value;
}

bool get_bool(struct blkio *b, const char *name)
{
	bool value;

	CHECK_OK(blkio_get_bool(b, name, &value));
	return value;
}

uint64_t get_u64(struct blkio *b, const char *name)
{
	uint64_t value;

	CHECK_OK(blkio_get_uint64(b, name, &value));
	return value;
}
