/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Misuse: paths and descriptors that are no file or block device the caller may open. */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"

/* Connect must fail so, name the path, leave no descriptor, and not hang. */
static void refuses(const char *path, bool read_only, int errnum)
{
	struct blkio *b;
	unsigned fds = count_fds();

	CHECK_OK(blkio_create("io_uring", &b));
	CHECK_OK(blkio_set_str(b, "path", path));
	CHECK_OK(blkio_set_bool(b, "read-only", read_only));
	CHECK_ERR(blkio_connect(b), errnum, path);
	CHECK_EQ(count_fds(), fds);
	CHECK_ERR(blkio_start(b), ENODEV);
	blkio_destroy(&b);
}

static const char *scratch(const char *name)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", test_dir(), name);
	return path;
}

static void missing(struct device *d)
{
	(void)d;
	refuses("/nonexistent", false, ENOENT);
	refuses("/dev/null/x", false, ENOTDIR);
	refuses("relative/nowhere", true, ENOENT);
}

static void directory(struct device *d)
{
	(void)d;
	refuses(test_dir(), true, EINVAL);
	refuses(test_dir(), false, EISDIR);
}

/* Opening a FIFO waits for its other end: a hang, were it not refused. */
static void fifo(struct device *d)
{
	const char *path = scratch("fifo");

	(void)d;
	SYS(mkfifo(path, 0600));
	refuses(path, false, EINVAL);
	refuses(path, true, EINVAL);
	SYS(unlink(path));
}

static void character_device(struct device *d)
{
	(void)d;
	refuses("/dev/zero", true, EINVAL);
	refuses("/dev/null", false, EINVAL);
}

static void socket_file(struct device *d)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int s = (int)SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

	(void)d;
	strcpy(addr.sun_path, reachable(scratch("socket")));
	SYS(bind(s, (struct sockaddr *)&addr, sizeof(addr)));
	refuses(addr.sun_path, false, ENXIO);
	SYS(unlink(addr.sun_path));
	close(s);
}

static void symlink_loop(struct device *d)
{
	const char *path = scratch("loop");

	(void)d;
	SYS(symlink("loop", path));
	refuses(path, false, ELOOP);
	SYS(unlink(path));
}

static void no_permission(struct device *d)
{
	const char *path = reachable(scratch("secret"));
	int fd = (int)SYS(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));

	(void)d;
	close(fd);
	SYS(chmod(test_dir(), 0755));
	drop_privileges();
	refuses(path, false, EACCES);
	refuses(path, true, EACCES);
}

/* Readable but not writable: fine read-only, refused else. */
static void write_protected(struct device *d)
{
	const char *path = reachable(scratch("protected"));
	int fd = (int)SYS(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0444));
	struct blkio *b;

	(void)d;
	SYS(ftruncate(fd, 4096));
	close(fd);
	SYS(chmod(test_dir(), 0755));
	drop_privileges();
	refuses(path, false, EACCES);
	CHECK_OK(blkio_create("io_uring", &b));
	CHECK_OK(blkio_set_str(b, "path", path));
	CHECK_OK(blkio_set_bool(b, "read-only", true));
	CHECK_OK(blkio_connect(b));
	blkio_destroy(&b);
}

/* ---- Descriptors -------------------------------------------------------------------------- */

/* The descriptor must be refused and stay the caller's. */
static void refuses_fd(int fd, bool read_only, int errnum)
{
	struct blkio *b;
	int flags = (int)SYS(fcntl(fd, F_GETFL));
	char number[16];

	snprintf(number, sizeof(number), "%d", fd);
	CHECK_OK(blkio_create("io_uring", &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK_OK(blkio_set_bool(b, "direct", true));
	CHECK_OK(blkio_set_bool(b, "read-only", read_only));
	CHECK_ERR(blkio_connect(b), errnum, "\"fd\"", number);
	blkio_destroy(&b);
	CHECK_EQ(SYS(fcntl(fd, F_GETFL)), flags);
	close(fd);
}

static void wrong_descriptors(struct device *d)
{
	int pipefd[2];

	refuses_fd((int)SYS(open(d->path, O_PATH | O_CLOEXEC)), true, EBADF);
	refuses_fd((int)SYS(open(d->path, O_PATH | O_CLOEXEC)), false, EBADF);
	refuses_fd((int)SYS(open(test_dir(), O_DIRECTORY | O_CLOEXEC)), true, EINVAL);
	refuses_fd((int)SYS(open("/dev/zero", O_RDWR | O_CLOEXEC)), false, EINVAL);
	refuses_fd((int)SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), false, EINVAL);
	SYS(pipe2(pipefd, O_CLOEXEC));
	refuses_fd(pipefd[0], true, EINVAL);
	close(pipefd[1]);
	refuses_fd((int)SYS(open(d->path, O_RDWR | O_APPEND | O_CLOEXEC)), false, EINVAL);
	refuses_fd((int)SYS(open(d->path, O_WRONLY | O_APPEND | O_CLOEXEC)), true, EINVAL);
}

static void numbers_that_are_no_descriptors(struct device *d)
{
	struct blkio *b;

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", 12345));
	CHECK_ERR(blkio_connect(b), EBADF, "12345");
	CHECK_OK(blkio_set_int(b, "fd", -7));
	CHECK(blkio_connect(b) < 0);
	blkio_destroy(&b);
}

static bool has_property(const char *driver, const char *name)
{
	struct blkio_property_info info;

	for (int i = 0; !blkio_get_property_info(driver, i, &info, sizeof(info)); i++) {
		if (!strcmp(info.name, name))
			return true;
	}
	return false;
}

static void keeps_fd(const char *driver, int fd)
{
	int flags = (int)SYS(fcntl(fd, F_GETFL));
	struct blkio *b;

	printf("%s\n", driver);
	CHECK_OK(blkio_create(driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK_OK(blkio_set_bool(b, "auto-read-only", true)); /* tries twice */
	CHECK(blkio_connect(b) < 0);
	CHECK_OK(blkio_set_str(b, "path", "/dev/null"));
	CHECK_ERR(blkio_connect(b), EINVAL, "\"path\"", "\"fd\"");
	blkio_destroy(&b);
	CHECK_EQ(SYS(fcntl(fd, F_GETFL)), flags);
}

/* Of whatever driver: until connected, the descriptor is the caller's. */
static void every_driver_keeps_descriptors(struct device *d)
{
	int null = (int)SYS(open("/dev/null", O_RDWR | O_CLOEXEC)), pair[2], tried = 0;
	const char *driver;

	(void)d;
	SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	close(pair[1]);
	for (int i = 0; (driver = blkio_get_driver_name(i)); i++) {
		if (!has_property(driver, "fd"))
			continue;
		keeps_fd(driver, null);
		keeps_fd(driver, pair[0]);
		tried++;
	}
	CHECK(tried >= 4);
	close(null);
	close(pair[0]);
}

static const struct test tests[] = {
	{ "missing", missing },
	{ "directory", directory },
	{ "FIFO", fifo },
	{ "character device", character_device },
	{ "socket", socket_file },
	{ "loop of symbolic links", symlink_loop },
	{ "no permission", no_permission },
	{ "write-protected", write_protected },
	{ "wrong descriptors", wrong_descriptors, T_KERNEL | T_FILE, T_DIRECT },
	{ "every driver keeps descriptors", every_driver_keeps_descriptors },
	{ "numbers that are no descriptors", numbers_that_are_no_descriptors, T_KERNEL | T_FILE,
	  T_DIRECT },
};
TEST_MAIN(tests)
