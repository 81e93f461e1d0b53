/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Misuse: offsets, lengths and buffers that are not multiples of what the properties say. */
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

static void buffers(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	size_t align = (size_t)get_int(b, "buf-alignment");
	char *buf = buffer(3 * BLOCK);
	struct iovec address[2] = { { buf, BLOCK }, { buf + BLOCK + 1, BLOCK } };
	struct iovec length[2] = { { buf, BLOCK - 1 }, { buf + BLOCK, BLOCK + 1 } };

	CHECK(align > 1);
	CHECK_IO_ERR(io_read(q, 0, buf + 1, BLOCK, 0), EINVAL, "buf-alignment");
	CHECK_IO_ERR(io_write(q, 0, buf + align / 2, BLOCK, 0), EINVAL, "buf-alignment");
	CHECK_IO_ERR(io_readv(q, 0, address, 2, 0), EINVAL, "buf-alignment");
	CHECK_IO_ERR(io_writev(q, 0, length, 2, 0), EINVAL, "buf-alignment");
	CHECK_EQ(io_read(q, 0, buf + align, BLOCK, 0), 0);
	buffer_free(buf);
	blkio_destroy(&b);
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
	{ "buffers", buffers, T_ALIGNED },
	{ "properties are consistent", properties, T_ANY },
};
TEST_MAIN(tests)
