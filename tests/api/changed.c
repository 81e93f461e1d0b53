/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A device that gets another block size while it is open. The limits that the application keeps to
 * are not true any more: once it is noticed, every request fails.
 */
#include <linux/loop.h>
#include <sys/ioctl.h>

#include "io.h"
#include "test.h"

enum { BLOCK = 4096 };

static void set_block_size(struct device *d, unsigned size)
{
	if (ioctl(d->loop_fd, LOOP_SET_BLOCK_SIZE, (unsigned long)size) < 0)
		SKIP("LOOP_SET_BLOCK_SIZE: %s", strerror(errno));
}

static unsigned other_size(const struct device *d)
{
	return d->target->block_size == 512 ? 4096 : 512;
}

static void check_gone(struct blkio *b, struct blkioq *q)
{
	char *buf = buffer(BLOCK);
	struct iovec iov = { buf, BLOCK };
	uint64_t capacity;

	memset(buf, 0xee, BLOCK);
	CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 0), ENODEV, "create a new instance");
	CHECK_IO_ERR(io_readv(q, 0, &iov, 1, 0), ENODEV, "create a new instance");
	CHECK_IO_ERR(io_write(q, 0, buf, BLOCK, 0), ENODEV, "create a new instance");
	CHECK_IO_ERR(io_write(q, 0, buf, BLOCK, BLKIO_REQ_FUA), ENODEV, "create a new instance");
	CHECK_IO_ERR(io_zeroes(q, 0, BLOCK, 0), ENODEV, "create a new instance");
	CHECK_IO_ERR(io_discard(q, 0, BLOCK, 0), ENODEV, "create a new instance");
	CHECK_IO_ERR(io_flush(q, 0), ENODEV, "create a new instance");
	check_all(buf, BLOCK, 0xee);
	CHECK_ERR(blkio_get_uint64(b, "capacity", &capacity), ENODEV, "create a new instance");
	CHECK_ERR(blkio_add_queue(b), ENODEV, "create a new instance");
	buffer_free(buf);
}

/* Reading the capacity notices, and then all queues know. */
static void capacity_notices(struct device *d)
{
	struct blkio *b = device_connect(d);
	uint64_t capacity;

	CHECK_OK(blkio_set_int(b, "num-queues", 2));
	CHECK_OK(blkio_start(b));
	set_block_size(d, other_size(d));
	CHECK_ERR(blkio_get_uint64(b, "capacity", &capacity), ENODEV, "4096", "512");
	check_gone(b, blkio_get_queue(b, 0));
	check_gone(b, blkio_get_queue(b, 1));
	blkio_destroy(&b);
	b = device_start(d);
	CHECK_EQ(get_u64(b, "capacity"), DEVICE_SIZE);
	blkio_destroy(&b);
}

static void start_notices(struct device *d)
{
	struct blkio *b = device_connect(d);

	set_block_size(d, other_size(d));
	CHECK_ERR(blkio_start(b), ENODEV, "4096", "512");
	blkio_destroy(&b);
}

/* The kernel refuses what is not whole blocks any more. */
static void request_notices(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(BLOCK);

	if (d->target->block_size != 512)
		SKIP("blocks of 512 bytes suit smaller ones, too");
	CHECK_EQ(io_read(q, 512, buf, 512, 0), 0);
	set_block_size(d, 4096);
	CHECK_IO_ERR(io_read(q, 512, buf, 512, 0), ENODEV, "create a new instance");
	check_gone(b, q);
	buffer_free(buf);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "capacity notices another block size", capacity_notices, T_BLOCK },
	{ "start notices another block size", start_notices, T_BLOCK },
	{ "a request notices another block size", request_notices, T_BLOCK | T_DIRECT },
};
TEST_MAIN(tests)
