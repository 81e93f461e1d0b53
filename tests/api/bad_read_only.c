/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Misuse: writing to what is read-only, by property or by nature. */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"

enum { BLOCK = 4096 };

static void refuses_to_write(struct blkioq *q, int errnum)
{
	char *buf = buffer(BLOCK);
	struct iovec iov = { buf, BLOCK };

	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	CHECK_EQ(io_readv(q, 0, &iov, 1, 0), 0);
	CHECK_EQ(io_write(q, 0, buf, BLOCK, 0), -errnum);
	CHECK_EQ(io_write(q, 0, buf, BLOCK, BLKIO_REQ_FUA), -errnum);
	CHECK_EQ(io_writev(q, 0, &iov, 1, 0), -errnum);
	CHECK_EQ(io_zeroes(q, 0, BLOCK, 0), -errnum);
	CHECK_EQ(io_zeroes(q, 0, BLOCK, BLKIO_REQ_NO_UNMAP | BLKIO_REQ_NO_FALLBACK), -errnum);
	CHECK_EQ(io_discard(q, 0, BLOCK, 0), -errnum);
	CHECK_EQ(io_flush(q, 0), 0);
	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	buffer_free(buf);
}

static void by_property(struct device *d)
{
	struct blkio *b = device_start_with(d, "read-only", "true");

	CHECK(get_bool(b, "read-only"));
	refuses_to_write(blkio_get_queue(b, 0), EBADF);
	blkio_destroy(&b);
}

static void data_is_untouched(struct device *d)
{
	char *buf = buffer(DEVICE_SIZE);
	struct blkio *b;

	pattern(buf, 0, DEVICE_SIZE, 1);
	device_poke(d, 0, buf, DEVICE_SIZE);
	b = device_start_with(d, "read-only", "true");
	refuses_to_write(blkio_get_queue(b, 0), EBADF);
	blkio_destroy(&b);
	memset(buf, 0, DEVICE_SIZE);
	device_peek(d, 0, buf, DEVICE_SIZE);
	check_pattern(buf, 0, DEVICE_SIZE, 1);
	buffer_free(buf);
}

static void set_protection(struct device *d, int protect)
{
	int fd = (int)SYS(open(d->path, O_RDONLY | O_CLOEXEC));

	SYS(ioctl(fd, BLKROSET, &protect));
	close(fd);
}

/* A block device that is write-protected, by path or fd: to write is not permitted, the kernel
 * says. */
static void protected_block_device(struct device *d)
{
	set_protection(d, 1);
	for (int given = 0; given < 2; given++) {
		struct blkio *b = device_create(d);

		if (given) {
			CHECK_OK(blkio_set_str(b, "path", ""));
			CHECK_OK(
			    blkio_set_int(b, "fd", (int)SYS(open(d->path, O_RDWR | O_CLOEXEC))));
		}
		CHECK_OK(blkio_connect(b));
		CHECK(!get_bool(b, "read-only"));
		CHECK_OK(blkio_start(b));
		refuses_to_write(blkio_get_queue(b, 0), EPERM);
		blkio_destroy(&b);
	}
	by_property(d);
	set_protection(d, 0);
}

/* ---- Property "auto-read-only" ------------------------------------------------------------ */

static struct blkio *create_auto(struct device *d)
{
	struct blkio *b = device_create(d);

	CHECK_OK(blkio_set_bool(b, "auto-read-only", true));
	CHECK(!get_bool(b, "read-only"));
	return b;
}

static void must_have_become_read_only(struct blkio *b)
{
	CHECK_OK(blkio_connect(b));
	CHECK(get_bool(b, "read-only"));
	CHECK_OK(blkio_start(b));
	refuses_to_write(blkio_get_queue(b, 0), EBADF);
	blkio_destroy(&b);
}

static void auto_writable(struct device *d)
{
	struct blkio *b = create_auto(d);
	char *buf = buffer(BLOCK);

	CHECK_OK(blkio_connect(b));
	CHECK(!get_bool(b, "read-only"));
	CHECK_OK(blkio_start(b));
	CHECK_EQ(io_write(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
	blkio_destroy(&b);
	buffer_free(buf);
}

static void auto_block_device(struct device *d)
{
	set_protection(d, 1);
	must_have_become_read_only(create_auto(d));
	set_protection(d, 0);
}

/* Be someone for whom the file has this mode. */
static void leave_mode(struct device *d, mode_t mode)
{
	SYS(chmod(d->path, mode));
	strcpy(d->path, reachable(d->path));
	SYS(chmod(".", 0755));
	drop_privileges();
}

static void auto_file(struct device *d)
{
	leave_mode(d, 0444);
	must_have_become_read_only(create_auto(d));
}

static void auto_descriptor(struct device *d)
{
	struct blkio *b;

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", (int)SYS(open(d->path, O_RDONLY | O_CLOEXEC))));
	CHECK_OK(blkio_set_bool(b, "auto-read-only", true));
	must_have_become_read_only(b);
}

/* What cannot be read either stays an error, and leaves read-only as it was. */
static void auto_in_vain(struct device *d)
{
	struct blkio *b;

	leave_mode(d, 0);
	b = create_auto(d);
	CHECK_ERR(blkio_connect(b), EACCES, d->path);
	CHECK(!get_bool(b, "read-only"));
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "auto-read-only, writable", auto_writable, T_STORES },
	{ "auto-read-only, write-protected block device", auto_block_device, T_BLOCK },
	{ "auto-read-only, file mode", auto_file, T_FILE },
	{ "auto-read-only, descriptor", auto_descriptor, T_KERNEL, T_DIRECT },
	{ "auto-read-only, unreadable", auto_in_vain, T_FILE },
	{ "by property", by_property, T_ANY },
	{ "data is untouched", data_is_untouched, T_STORES },
	{ "write-protected block device", protected_block_device, T_BLOCK },
};
TEST_MAIN(tests)
