/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A file given as "fd": what it was opened for decides, whatever the properties say; its open file
 * description, which others may share, stays as it was; and whose it is.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"

enum { BLOCK = 4096 };

static struct blkio *create(const char *driver, int fd)
{
	struct blkio *b;

	CHECK_OK(blkio_create(driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	return b;
}

/* What a descriptor opened so can do, and nothing else. */
static void does_what_it_can(struct blkioq *q, int mode)
{
	int r = mode == O_WRONLY ? -EBADF : 0, w = mode == O_RDONLY ? -EBADF : 0;
	char *buf = buffer(2 * BLOCK);
	struct iovec iov[2] = { { buf, BLOCK }, { buf + BLOCK, BLOCK } };

	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), r);
	CHECK_EQ(io_read(q, 0, buf, 0, 0), r);
	CHECK_EQ(io_readv(q, 0, iov, 2, 0), r);
	CHECK_EQ(io_write(q, 0, buf, BLOCK, 0), w);
	CHECK_EQ(io_write(q, 0, buf, BLOCK, BLKIO_REQ_FUA), w);
	CHECK_EQ(io_writev(q, 0, iov, 2, 0), w);
	CHECK_EQ(io_zeroes(q, 0, BLOCK, 0), w);
	CHECK_EQ(io_discard(q, 0, BLOCK, 0), w);
	CHECK_EQ(io_flush(q, 0), 0);
	buffer_free(buf);
}

/* However the properties are set, they tell what the descriptor is. */
static void with_properties(struct device *d, int flags, bool read_only, bool direct,
			    bool automatic)
{
	int fd = (int)SYS(open(d->path, flags | O_CLOEXEC)), twin = (int)SYS(dup(fd));
	int before = (int)SYS(fcntl(fd, F_GETFL));
	struct blkio *b = create(d->driver, fd);

	CHECK_OK(blkio_set_bool(b, "read-only", read_only));
	CHECK_OK(blkio_set_bool(b, "direct", direct));
	CHECK_OK(blkio_set_bool(b, "auto-read-only", automatic));
	CHECK_OK(blkio_connect(b));
	CHECK_EQ(get_bool(b, "read-only"), (flags & O_ACCMODE) == O_RDONLY);
	CHECK_EQ(get_bool(b, "direct"), !!(flags & O_DIRECT));
	CHECK_EQ(get_int(b, "fd"), fd);
	CHECK_OK(blkio_start(b));
	does_what_it_can(blkio_get_queue(b, 0), flags & O_ACCMODE);
	CHECK_EQ(SYS(fcntl(twin, F_GETFL)), before);
	blkio_destroy(&b);
	CHECK_EQ(fcntl(fd, F_GETFD), -1);
	CHECK_EQ(SYS(fcntl(twin, F_GETFL)), before);
	close(twin);
}

static void modes(struct device *d)
{
	int direct = d->target->traits & T_DIRECT ? O_DIRECT : 0;

	for (int set = 0; set < 8; set++) {
		with_properties(d, O_RDONLY | direct, set & 1, set & 2, set & 4);
		with_properties(d, O_WRONLY | direct, set & 1, set & 2, set & 4);
		with_properties(d, O_RDWR | direct, set & 1, set & 2, set & 4);
		with_properties(d, O_RDWR, set & 1, set & 2, set & 4);
	}
}

/* ---- Files in memory ---------------------------------------------------------------------- */

/* Reads and writes work, through whatever description, and the caller's is as it was. */
static void works_and_leaves_flags(const char *driver, int fd)
{
	int twin = (int)SYS(dup(fd)), before = (int)SYS(fcntl(fd, F_GETFL));
	char *buf = buffer(BLOCK), *got = buffer(BLOCK);
	struct blkio *b = create(driver, fd);
	struct blkioq *q;

	pattern(buf, 0, BLOCK, 5);
	CHECK_OK(blkio_connect(b));
	CHECK_EQ(SYS(fcntl(twin, F_GETFL)), before);
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	CHECK_EQ(io_write(q, BLOCK, buf, BLOCK, 0), 0);
	CHECK_EQ(io_read(q, BLOCK, got, BLOCK, 0), 0);
	check_pattern(got, 0, BLOCK, 5);
	CHECK_EQ(SYS(fcntl(twin, F_GETFL)), before);
	blkio_destroy(&b);
	CHECK_EQ(fcntl(fd, F_GETFD), -1);
	CHECK_EQ(SYS(fcntl(twin, F_GETFL)), before);
	CHECK_EQ(SYS(pread(twin, got, BLOCK, BLOCK)), BLOCK);
	check_pattern(got, 0, BLOCK, 5);
	close(twin);
	buffer_free(buf);
	buffer_free(got);
}

static int memory_file(void)
{
	int fd = (int)SYS(memfd_create("given", MFD_CLOEXEC | MFD_ALLOW_SEALING));

	SYS(ftruncate(fd, 4 * BLOCK));
	return fd;
}

static void files_without_name(struct device *d)
{
	char path[4096];
	int fd;

	(void)d;
	if (!test_tmpfs_dir())
		SKIP("/dev/shm cannot be written to");
	works_and_leaves_flags("io_uring", memory_file());

	fd = memory_file();
	SYS(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	works_and_leaves_flags("io_uring", fd);

	works_and_leaves_flags(
	    "io_uring", (int)SYS(open(test_tmpfs_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)));
	works_and_leaves_flags("io_uring",
			       (int)SYS(open(test_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)));

	snprintf(path, sizeof(path), "%s/deleted", test_tmpfs_dir());
	fd = (int)SYS(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	SYS(unlink(path));
	works_and_leaves_flags("io_uring", fd);
}

/* Whoever was given the descriptor may use it, even if he may not open the file. */
static void file_that_cannot_be_opened_again(struct device *d)
{
	int fd = memory_file();

	(void)d;
	SYS(fchmod(fd, 0));
	drop_privileges();
	works_and_leaves_flags("io_uring", fd);
}

static void no_proc(struct device *d)
{
	int fd = memory_file(), status;
	pid_t child;

	(void)d;
	if (geteuid())
		SKIP("chroot() needs root");
	/* The harness itself looks into /proc. */
	child = (pid_t)SYS(fork());
	if (!child) {
		SYS(chroot(test_dir()));
		works_and_leaves_flags("io_uring", fd);
		_exit(0);
	}
	SYS(waitpid(child, &status, 0));
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP)
		_exit(EXIT_SKIP);
	CHECK_EQ(status, 0);
	close(fd);
}

/* ---- After a failure ---------------------------------------------------------------------- */

/* Does this process hold a lock on the file? Asked by another one, as it must be. */
static bool is_locked(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	pid_t child = (pid_t)SYS(fork());
	int status;

	if (!child)
		_exit(fcntl(fd, F_GETLK, &lock) < 0 ? 2 : lock.l_type != F_UNLCK);
	SYS(waitpid(child, &status, 0));
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	return WEXITSTATUS(status);
}

/*
 * The properties, the descriptor and the process's locks on the file are as before. (Closing any
 * descriptor of a file would drop them.)
 */
static void fails_without_a_trace(const char *driver, int good)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	int flags = (int)SYS(fcntl(good, F_GETFL));
	struct blkio *b = create(driver, good);

	SYS(fcntl(good, F_SETLK, &lock));
	SYS(fcntl(good, F_SETFL, flags | O_APPEND));
	CHECK_OK(blkio_set_bool(b, "read-only", true));
	CHECK_OK(blkio_set_bool(b, "direct", true));
	CHECK_ERR(blkio_connect(b), EINVAL, "O_APPEND");
	CHECK_EQ(SYS(fcntl(good, F_GETFL)), flags | O_APPEND);
	CHECK(get_bool(b, "read-only"));
	CHECK(get_bool(b, "direct"));
	CHECK(is_locked(good));
	SYS(fcntl(good, F_SETFL, flags));
	CHECK_OK(blkio_connect(b)); /* once it can work, it does */
	CHECK(!get_bool(b, "read-only"));
	CHECK(!get_bool(b, "direct"));
	CHECK(is_locked(good));
	blkio_destroy(&b);
}

static void failed_connect(struct device *d)
{
	fails_without_a_trace(d->driver, memory_file());
	fails_without_a_trace(d->driver, (int)SYS(open(d->path, O_RDWR | O_CLOEXEC)));
}

/* In a file that is only read, O_APPEND means nothing; nor on a block device. */
static void harmless_append(struct device *d)
{
	int flags = O_APPEND | (d->target->traits & T_BLOCK ? O_RDWR : O_RDONLY);
	struct blkio *b = create(d->driver, (int)SYS(open(d->path, flags | O_CLOEXEC)));

	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	does_what_it_can(blkio_get_queue(b, 0), flags & O_ACCMODE);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "modes", modes, T_KERNEL },
	{ "files without a name", files_without_name },
	{ "a file that cannot be opened again", file_that_cannot_be_opened_again },
	{ "without /proc", no_proc },
	{ "failed connect", failed_connect, T_KERNEL | T_FILE, T_DIRECT },
	{ "O_APPEND where it means nothing", harmless_append, T_KERNEL, T_DIRECT },
};
TEST_MAIN(tests)
