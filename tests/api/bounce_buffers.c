/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Property "bounce-buffers": I/O from and to any memory, on every target. */
#include "io.h"
#include "test.h"

enum { BUFFERS = 3, BUFFER = 8192, LEN = 5 * BUFFER + 4096 };

static struct blkio *start(struct device *d)
{
	struct blkio *b = device_connect(d);

	CHECK_EQ(get_bool(b, "needs-mem-regions"), !!(d->target->traits & T_REGIONS));
	CHECK_OK(blkio_set_int(b, "bounce-buffers", BUFFERS));
	CHECK_OK(blkio_set_int(b, "bounce-buffer-size", BUFFER));
	CHECK(!get_bool(b, "needs-mem-regions"));
	CHECK_OK(blkio_start(b));
	return b;
}

/* Neither mapped nor aligned. */
static char *odd_memory(size_t len)
{
	char *p = malloc(len + 1);

	CHECK(p);
	return p + 1;
}

static void plain(struct device *d)
{
	struct blkio *b = start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = odd_memory(LEN), *check = malloc(LEN);

	pattern(buf, 4096, LEN, 1);
	CHECK_EQ(io_write(q, 4096, buf, LEN, BLKIO_REQ_FUA), 0);
	device_peek(d, 4096, check, LEN);
	check_pattern(check, 4096, LEN, 1);
	memset(buf, 0, LEN);
	CHECK_EQ(io_read(q, 4096, buf, LEN, 0), 0);
	check_pattern(buf, 4096, LEN, 1);
	blkio_destroy(&b);
	free(buf - 1);
	free(check);
}

static void vectored(struct device *d)
{
	struct blkio *b = start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = odd_memory(LEN), *check = malloc(LEN);
	struct iovec iov[] = { { buf, 1000 }, { buf + 1000, 3096 }, { buf + 4096, LEN - 4096 } };

	pattern(buf, 0, LEN, 2);
	CHECK_EQ(io_writev(q, 0, iov, 3, 0), 0);
	memset(buf, 0, LEN);
	CHECK_EQ(io_readv(q, 0, iov, 3, 0), 0);
	check_pattern(buf, 0, LEN, 2);
	device_peek(d, 0, check, LEN);
	check_pattern(check, 0, LEN, 2);
	blkio_destroy(&b);
	free(buf - 1);
	free(check);
}

static void many(struct device *d)
{
	enum { N = 64, SIZE = 12288 };
	struct blkio *b = start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = odd_memory(N * SIZE);
	struct blkio_completion c[N];

	for (int round = 0; round < 2; round++) {
		for (uint64_t i = 0; i < N; i++) {
			char *at = buf + i * SIZE;

			if (round)
				memset(at, 0, SIZE);
			else
				pattern(at, i * SIZE, SIZE, 3);
			if (round)
				blkioq_read(q, i * SIZE, at, SIZE, at, 0);
			else
				blkioq_write(q, i * SIZE, at, SIZE, at, 0);
		}
		CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
		for (int i = 0; i < N; i++)
			CHECK_EQ(c[i].ret, 0);
	}
	check_pattern(buf, 0, N * SIZE, 3);
	blkio_destroy(&b);
	free(buf - 1);
}

static void limits(struct device *d)
{
	struct blkio *b = device_create(d);

	CHECK_ERR(blkio_set_int(b, "bounce-buffers", 1), ENODEV);
	CHECK_OK(blkio_connect(b));
	CHECK_ERR(blkio_set_int(b, "bounce-buffers", -1), EINVAL, "-1");
	CHECK_ERR(blkio_set_int(b, "bounce-buffers", 65537), EINVAL, "65536");
	CHECK_ERR(blkio_set_int(b, "bounce-buffer-size", 0), EINVAL, "512");
	CHECK_EQ(get_int(b, "bounce-buffers"), 0);
	CHECK_EQ(get_int(b, "bounce-buffer-size"), 131072);
	CHECK_OK(blkio_start(b));
	CHECK_ERR(blkio_set_int(b, "bounce-buffers", 1), EBUSY);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "read and write", plain, T_STORES },
	{ "vectored", vectored, T_STORES },
	{ "more requests than buffers", many, T_STORES },
	{ "limits", limits, T_ANY },
};
TEST_MAIN(tests)
