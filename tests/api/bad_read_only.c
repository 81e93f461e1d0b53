/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Misuse: writing to what is read-only, by property or by nature. */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "io.h"
#include "test.h"

enum { BLOCK = 4096 };

static void refuses_to_write(struct blkioq *q)
{
	char *buf = buffer(BLOCK);
	struct iovec iov = { buf, BLOCK };

	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	CHECK_EQ(io_readv(q, 0, &iov, 1, 0), 0);
	CHECK_EQ(io_write(q, 0, buf, BLOCK, 0), -EBADF);
	CHECK_EQ(io_write(q, 0, buf, BLOCK, BLKIO_REQ_FUA), -EBADF);
	CHECK_EQ(io_writev(q, 0, &iov, 1, 0), -EBADF);
	CHECK_EQ(io_zeroes(q, 0, BLOCK, 0), -EBADF);
	CHECK_EQ(io_zeroes(q, 0, BLOCK, BLKIO_REQ_NO_UNMAP | BLKIO_REQ_NO_FALLBACK), -EBADF);
	CHECK_EQ(io_discard(q, 0, BLOCK, 0), -EBADF);
	CHECK_EQ(io_flush(q, 0), 0);
	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	buffer_free(buf);
}

static void by_property(struct device *d)
{
	struct blkio *b = device_start_with(d, "read-only", "true");

	CHECK(get_bool(b, "read-only"));
	refuses_to_write(blkio_get_queue(b, 0));
	blkio_destroy(&b);
}

static void data_is_untouched(struct device *d)
{
	char *buf = buffer(DEVICE_SIZE);
	struct blkio *b;

	pattern(buf, 0, DEVICE_SIZE, 1);
	device_poke(d, 0, buf, DEVICE_SIZE);
	b = device_start_with(d, "read-only", "true");
	refuses_to_write(blkio_get_queue(b, 0));
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

/* A block device that is write-protected: refused for writing, by path or fd, fine for reading. */
static void protected_block_device(struct device *d)
{
	struct blkio *b = device_create(d);

	set_protection(d, 1);
	CHECK_ERR(blkio_connect(b), EROFS, "read-only");
	CHECK_OK(blkio_set_bool(b, "read-only", true));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	refuses_to_write(blkio_get_queue(b, 0));
	blkio_destroy(&b);
	set_protection(d, 0);
}

static void read_only_descriptor(struct device *d)
{
	int fd = (int)SYS(open(d->path, O_RDONLY | O_CLOEXEC));
	struct blkio *b;

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK_ERR(blkio_connect(b), EBADF, "read-only");
	CHECK(fcntl(fd, F_GETFD) >= 0);
	CHECK_OK(blkio_set_bool(b, "read-only", true));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	refuses_to_write(blkio_get_queue(b, 0));
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "by property", by_property, T_ANY },
	{ "data is untouched", data_is_untouched, T_STORES },
	{ "write-protected block device", protected_block_device, T_BLOCK },
	{ "read-only descriptor", read_only_descriptor, T_IO_URING, T_DIRECT },
};
TEST_MAIN(tests)
