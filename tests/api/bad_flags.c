/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Misuse: request flags that are unknown, or known but not for this kind of request. */
#include "io.h"
#include "test.h"

enum { BLOCK = 4096 };

static void flags(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(BLOCK);
	struct iovec iov = { buf, BLOCK };

	for (int bit = 4; bit < 32; bit++) {
		uint32_t flag = 1u << bit;

		CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, flag), EINVAL, "flag");
		CHECK_IO_ERR(io_write(q, 0, buf, BLOCK, flag | BLKIO_REQ_FUA), EINVAL, "flag");
		CHECK_IO_ERR(io_zeroes(q, 0, BLOCK, flag | BLKIO_REQ_NO_UNMAP), EINVAL, "flag");
		CHECK_IO_ERR(io_flush(q, flag), EINVAL, "flag");
	}
	CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, BLKIO_REQ_FUA), EINVAL, "FUA");
	CHECK_IO_ERR(io_readv(q, 0, &iov, 1, BLKIO_REQ_FUA), EINVAL, "FUA");
	CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, BLKIO_REQ_NO_UNMAP), EINVAL, "NO_UNMAP");
	CHECK_IO_ERR(io_write(q, 0, buf, BLOCK, BLKIO_REQ_NO_UNMAP), EINVAL, "NO_UNMAP");
	CHECK_IO_ERR(io_writev(q, 0, &iov, 1, BLKIO_REQ_NO_FALLBACK), EINVAL, "NO_FALLBACK");
	CHECK_IO_ERR(io_discard(q, 0, BLOCK, BLKIO_REQ_FUA), EINVAL, "FUA");
	CHECK_IO_ERR(io_discard(q, 0, BLOCK, BLKIO_REQ_NO_UNMAP), EINVAL, "NO_UNMAP");
	CHECK_IO_ERR(io_flush(q, BLKIO_REQ_FUA), EINVAL, "FUA");
	CHECK_IO_ERR(io_flush(q, BLKIO_REQ_NO_FALLBACK), EINVAL, "NO_FALLBACK");
	CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, BLKIO_REQ_ATOMIC), EINVAL, "ATOMIC");
	CHECK_IO_ERR(io_zeroes(q, 0, BLOCK, BLKIO_REQ_ATOMIC), EINVAL, "ATOMIC");
	CHECK_IO_ERR(io_discard(q, 0, BLOCK, BLKIO_REQ_ATOMIC), EINVAL, "ATOMIC");
	CHECK_IO_ERR(io_flush(q, BLKIO_REQ_ATOMIC), EINVAL, "ATOMIC");
	/* the order in which they are judged */
	CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 7), EINVAL, "FUA");
	CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 6), EINVAL, "NO_UNMAP");
	CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 12), EINVAL, "NO_FALLBACK");
	CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 31), EINVAL, "unknown");
	buffer_free(buf);
	blkio_destroy(&b);
}

/* Atomic, or not at all: whichever property says that it cannot be is in the message. */
static void atomic_writes(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t max = get_u64(b, "atomic-write-unit-max");
	char *buf = buffer(2 * BLOCK);
	struct iovec iov[2] = { { buf, BLOCK }, { buf + BLOCK, BLOCK } };

	CHECK_EQ(io_write(q, 0, buf, 0, BLKIO_REQ_ATOMIC), 0);
	if (!max) {
		CHECK_EQ(get_u64(b, "atomic-write-unit-min"), 0);
		CHECK_EQ(get_u64(b, "atomic-write-boundary"), 0);
		CHECK_IO_ERR(io_write(q, 0, buf, BLOCK, BLKIO_REQ_ATOMIC), ENOTSUP,
			     "atomic-write-unit-max");
		CHECK_IO_ERR(io_writev(q, 0, iov, 2, BLKIO_REQ_ATOMIC | BLKIO_REQ_FUA), ENOTSUP,
			     "atomic-write-unit-max");
	} else if (max < 1 << 30) {
		char *large = buffer(2 * max);

		CHECK_IO_ERR(io_write(q, 0, large, 2 * max, BLKIO_REQ_ATOMIC), EINVAL,
			     "atomic-write-unit-max");
		memset(large, 3, max);
		CHECK_EQ(io_write(q, 0, large, max, BLKIO_REQ_ATOMIC | BLKIO_REQ_FUA), 0);
		memset(large, 0, max);
		CHECK_EQ(io_read(q, 0, large, max, 0), 0);
		check_all(large, max, 3);
		buffer_free(large);
	}
	buffer_free(buf);
	blkio_destroy(&b);
}

/* Flags come before everything else that is wrong with a request. */
static void flags_first(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);

	CHECK_IO_ERR(io_readv(q, UINT64_MAX, NULL, -1, BLKIO_REQ_FUA), EINVAL, "FUA");
	CHECK_IO_ERR(io_zeroes(q, UINT64_MAX, 0, 1u << 30), EINVAL, "unknown");
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "flags", flags, T_ANY },
	{ "flags come first", flags_first, T_ANY },
	{ "atomic writes", atomic_writes, T_ANY },
};
TEST_MAIN(tests)
