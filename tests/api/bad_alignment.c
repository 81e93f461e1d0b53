/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Misuse: offsets, lengths and buffers that are not multiples of what the properties say. */
#include <fcntl.h>
#include <unistd.h>

#include "io.h"
#include "test.h"

enum { BLOCK = 4096 };

static void requests(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t align = (uint64_t)get_int(b, "request-alignment");
	char *buf = buffer(2 * BLOCK);

	CHECK(align > 1);
	CHECK_IO_ERR(io_read(q, 1, buf, BLOCK, 0), EINVAL, "request-alignment");
	CHECK_IO_ERR(io_read(q, align / 2, buf, BLOCK, 0), EINVAL, "request-alignment");
	CHECK_IO_ERR(io_write(q, 0, buf, align / 2, 0), EINVAL, "alignment");
	CHECK_IO_ERR(io_write(q, 0, buf, align + 1, 0), EINVAL, "alignment");
	CHECK_IO_ERR(io_zeroes(q, align / 2, align, 0), EINVAL, "request-alignment");
	CHECK_IO_ERR(io_zeroes(q, 0, align / 2, 0), EINVAL, "request-alignment");
	CHECK_IO_ERR(io_discard(q, align / 2, align, 0), EINVAL, "request-alignment");
	CHECK_IO_ERR(io_discard(q, 0, align / 2, 0), EINVAL, "request-alignment");
	CHECK_EQ(io_read(q, align, buf, align, 0), 0);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* The kernel's verdict counts: QEMU relies on buffers that it takes although they are odd. */
static void buffers(struct device *d)
{
	static const size_t lens[] = { 512, 1024, BLOCK, 16 * BLOCK };
	int fd = (int)SYS(open(d->path, O_RDONLY | O_DIRECT | O_CLOEXEC));
	char *buf = buffer(17 * BLOCK), *expected = buffer(17 * BLOCK);
	struct blkio *b;
	struct blkioq *q;

	for (size_t i = 0; i < 16 * BLOCK; i++)
		expected[i] = (char)(i % 251);
	device_poke(d, 0, expected, 16 * BLOCK);
	b = device_start(d);
	q = blkio_get_queue(b, 0);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		struct iovec iov[2] = { { buf + 1, lens[i] / 2 },
					{ buf + BLOCK * 8 + 1, lens[i] / 2 } };
		bool taken = pread(fd, buf + 1, lens[i], 0) == (ssize_t)lens[i];

		memset(buf, 0, 17 * BLOCK);
		if (taken) {
			CHECK_EQ(io_read(q, 0, buf + 1, lens[i], 0), 0);
			CHECK_MEM(buf + 1, expected, lens[i]);
		} else {
			CHECK_IO_ERR(io_read(q, 0, buf + 1, lens[i], 0), EINVAL, "alignment");
		}
		if (preadv(fd, iov, 2, 0) == (ssize_t)lens[i])
			CHECK_EQ(io_readv(q, 0, iov, 2, 0), 0);
		else
			CHECK_IO_ERR(io_readv(q, 0, iov, 2, 0), EINVAL, "alignment");
	}
	buffer_free(buf);
	buffer_free(expected);
	blkio_destroy(&b);
	close(fd);
}

/* Alignments are promises: powers of two, and the optimal ones at least the needed ones. */
static void properties(struct device *d)
{
	static const char *const names[] = { "request-alignment", "optimal-io-alignment",
					     "buf-alignment", "optimal-buf-alignment" };
	struct blkio *b = device_connect(d);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int value = get_int(b, names[i]);

		if (value < 1 || (value & (value - 1)))
			FAIL("%s is %d, not a power of two", names[i], value);
	}
	CHECK(get_int(b, "optimal-io-alignment") >= get_int(b, "request-alignment"));
	CHECK(get_int(b, "optimal-buf-alignment") >= get_int(b, "buf-alignment"));
	CHECK(get_u64(b, "mem-region-alignment") >= 1);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "requests", requests, T_ALIGNED },
	{ "buffers", buffers, T_ALIGNED | T_KERNEL },
	{ "properties are consistent", properties, T_ANY },
};
TEST_MAIN(tests)
