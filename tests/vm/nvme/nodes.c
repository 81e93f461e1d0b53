/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* nvme-io_uring: what may be opened, by path or by descriptor, and by whom. TEST_DISK: nvme0n1. */
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../lib/sys.h"
#include "ns.h"

enum { BLOCK = 4096 };

static struct blkio *create(void)
{
	struct blkio *b;

	CHECK_OK(blkio_create("nvme-io_uring", &b));
	return b;
}

static void works(struct blkio *b)
{
	char *buf = buffer(4096);

	CHECK_OK(blkio_connect(b));
	CHECK_EQ(get_u64(b, "capacity"), 256 << 20);
	CHECK_OK(blkio_start(b));
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, 4096, 0), 0);
	free(buf);
	blkio_destroy(&b);
}

static void works_by_path(const char *path)
{
	struct blkio *b = create();

	CHECK_OK(blkio_set_str(b, "path", path));
	works(b);
}

static void good_paths(struct device *d)
{
	char link[4096];

	(void)d;
	works_by_path(ns_generic());
	works_by_path(disk_path());
	snprintf(link, sizeof(link), "%s/link", test_dir());
	SYS(symlink(disk_path(), link));
	works_by_path(link);
	SYS(unlink(link));
	SYS(symlink(ns_generic(), link));
	works_by_path(link);
	SYS(unlink(link));
}

static void refuses(const char *path, int errnum, const char *text)
{
	unsigned fds = count_fds();
	struct blkio *b = create();

	CHECK_OK(blkio_set_str(b, "path", path));
	CHECK_ERR(blkio_connect(b), errnum, path, text);
	CHECK_EQ(count_fds(), fds);
	CHECK_EQ(get_int(b, "zoned"), 0);
	/* Corrected, it goes on. */
	CHECK_OK(blkio_set_str(b, "path", ns_generic()));
	works(b);
}

static void other_nodes(struct device *d)
{
	(void)d;
	refuses("/dev/nvme0", EINVAL,
		"NVMe controller; use one of its namespaces, such as /dev/ng0n1");
	refuses("/dev/null", EINVAL, "/dev/ngXnY");
	refuses("/dev/ng0n4", EINVAL, "512 + 8 bytes");
	refuses("/dev/nvme0n4", EINVAL, "512 + 8 bytes");
	refuses("/dev", EINVAL, "not a device");
	refuses("/proc/self/exe", EINVAL, "not a device");
	refuses("/nonexistent", ENOENT, "No such file");
}

static void partition(struct device *d)
{
	struct blkpg_partition part = { .start = 1 << 20, .length = 1 << 20, .pno = 1 };
	struct blkpg_ioctl_arg arg = { BLKPG_ADD_PARTITION, 0, sizeof(part), &part };
	int fd = (int)SYS(open(disk_path(), O_RDWR | O_CLOEXEC));
	char path[64];

	(void)d;
	SYS(ioctl(fd, BLKPG, &arg));
	snprintf(path, sizeof(path), "%sp1", disk_path());
	refuses(path, EINVAL, ns_generic());
	arg.op = BLKPG_DEL_PARTITION;
	SYS(ioctl(fd, BLKPG, &arg));
	close(fd);
}

static void by_fd(struct device *d)
{
	int fd = (int)SYS(open(ns_generic(), O_RDWR | O_CLOEXEC));
	struct blkio *b = create();

	(void)d;
	CHECK_OK(blkio_set_int(b, "fd", fd));
	works(b);
	CHECK(fcntl(fd, F_GETFD) < 0); /* it was the library's, and closed with it */
}

static void refuses_fd(const char *path, int flags, int errnum, const char *text)
{
	int fd = (int)SYS(open(path, flags | O_CLOEXEC));
	struct blkio *b = create();

	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK_ERR(blkio_connect(b), errnum, text);
	CHECK(fcntl(fd, F_GETFD) >= 0);
	close(fd);
	blkio_destroy(&b);
}

/* What it was opened for decides, for root too, whom the kernel would let write. */
static void fd_for_reading_or_writing(struct device *d)
{
	const int modes[] = { O_RDONLY, O_WRONLY };
	char *buf = buffer(BLOCK);
	bool is_read_only;
	struct blkio *b;

	(void)d;
	for (unsigned i = 0; i < 2; i++) {
		bool reads = modes[i] == O_RDONLY;

		b = create();
		CHECK_OK(
		    blkio_set_int(b, "fd", (int)SYS(open(ns_generic(), modes[i] | O_CLOEXEC))));
		CHECK_OK(blkio_connect(b));
		CHECK_OK(blkio_get_bool(b, "read-only", &is_read_only));
		CHECK_EQ(is_read_only, reads);
		CHECK_OK(blkio_start(b));
		CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), reads ? 0 : -EBADF);
		CHECK_EQ(io_write(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), reads ? -EBADF : 0);
		blkio_destroy(&b);
	}
	/* Who asks for a read-only instance gets one, as of libblkio 1.5. */
	b = create();
	CHECK_OK(blkio_set_int(b, "fd", (int)SYS(open(ns_generic(), O_RDWR | O_CLOEXEC))));
	CHECK_OK(blkio_set_bool(b, "read-only", true));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_get_bool(b, "read-only", &is_read_only));
	CHECK(is_read_only);
	CHECK_OK(blkio_start(b));
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
	CHECK_EQ(io_write(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), -EBADF);
	blkio_destroy(&b);
	buffer_free(buf);
}

static void other_fds(struct device *d)
{
	struct blkio *b = create();

	(void)d;
	refuses_fd(disk_path(), O_RDWR, EINVAL, "block device; open the generic node");
	refuses_fd("/dev/nvme0", O_RDWR, EINVAL, "controller");
	refuses_fd("/dev/null", O_RDWR, EINVAL, "/dev/ngXnY");
	refuses_fd(ns_generic(), O_PATH, EBADF, "O_PATH");
	CHECK_ERR(blkio_connect(b), EINVAL, "path", "fd");
	CHECK_OK(blkio_set_int(b, "fd", 0));
	CHECK_OK(blkio_set_str(b, "path", ns_generic()));
	CHECK_ERR(blkio_connect(b), EINVAL, "path", "fd");
	blkio_destroy(&b);
}

/* ---- Without privileges ------------------------------------------------------------------- */

static void nobody_opens(struct device *d)
{
	struct blkio *b = create();

	(void)d;
	drop_privileges();
	CHECK_OK(blkio_set_str(b, "path", ns_generic()));
	CHECK_ERR(blkio_connect(b), EACCES, ns_generic(), "Permission denied");
	blkio_destroy(&b);
}

/* From Linux 6.2 on, whoever was given the descriptor may use it. */
static void nobody_is_given_the_fd(struct device *d)
{
	int fd = (int)SYS(open(ns_generic(), O_RDWR | O_CLOEXEC));
	struct blkio *b = create();
	int ret;

	(void)d;
	drop_privileges();
	CHECK_OK(blkio_set_int(b, "fd", fd));
	ret = blkio_connect(b);
	if (!ret) {
		works(b);
		return;
	}
	CHECK_ERR(blkio_connect(b), EACCES, "CAP_SYS_ADMIN");
	close(fd);
	blkio_destroy(&b);
}

static void privileges_are_dropped(struct device *d)
{
	char *buf = buffer(4096);
	struct blkio *b = ns_start();
	struct blkioq *q = blkio_get_queue(b, 0);
	int ret;

	(void)d;
	CHECK_EQ(io_read(q, 0, buf, 4096, 0), 0);
	drop_privileges();
	ret = io_read(q, 0, buf, 4096, 0);
	if (ret)
		CHECK_IO_ERR(ret, EACCES, "CAP_SYS_ADMIN");
	free(buf);
	blkio_destroy(&b);
}

/* ---- Older kernels ------------------------------------------------------------------------ */

static void without_large_entries(struct device *d)
{
	struct blkio *b;

	(void)d;
	forbid_syscall(SYS_io_uring_setup, EINVAL);
	b = ns_connect();
	CHECK(!get_bool(b, "supports-poll-queues"));
	CHECK_ERR(blkio_start(b), ENOSYS, "Linux 5.19");
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "good paths", good_paths },
	{ "other nodes", other_nodes },
	{ "partition", partition },
	{ "by fd", by_fd },
	{ "fd for reading or writing", fd_for_reading_or_writing },
	{ "other fds", other_fds },
	{ "nobody opens", nobody_opens },
	{ "nobody is given the fd", nobody_is_given_the_fd },
	{ "privileges are dropped", privileges_are_dropped },
	{ "without large entries", without_large_entries },
};
TEST_MAIN(tests)
