/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Bounce buffers from the device's side: which requests go through them, in which pieces, and that
 * none is ever lost.
 */
#include "fake.h"
#include "io.h"

enum { BUFFER = 4096, BUFFERS = 2, LONG = 3 * BUFFER + 512 };

static char theirs[LONG + 1], stored[1 << 20];

/* A device that keeps its data and insists on aligned buffers in mapped memory. */
static struct blkioq *q_of_device;

static int64_t store(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	uint64_t at = op->start;

	(void)index;
	if (op->op > BK_WRITE)
		return 0;
	for (int i = 0; i < r->iovcnt; i++) {
		const struct iovec *v = &r->iov[i];

		CHECK((((uintptr_t)v->iov_base | v->iov_len) & 511) == 0);
		CHECK(bk_region_find(q_of_device, v->iov_base, v->iov_len));
		if (op->op == BK_READ)
			memcpy(v->iov_base, stored + at, v->iov_len);
		else
			memcpy(stored + at, v->iov_base, v->iov_len);
		at += v->iov_len;
	}
	return (int64_t)op->len;
}

static struct blkioq *begin(struct blkio **b)
{
	fake.limits.request_alignment = 512;
	fake.limits.buf_alignment = 512;
	fake.limits.mem_region_alignment = 512;
	fake.limits.needs_mem_regions = true;
	if (!fake.result)
		fake.result = store;
	*b = fake_connect();
	CHECK_OK(blkio_set_int(*b, "bounce-buffers", BUFFERS));
	CHECK_OK(blkio_set_int(*b, "bounce-buffer-size", BUFFER));
	CHECK_OK(blkio_start(*b));
	q_of_device = blkio_get_queue(*b, 0);
	return q_of_device;
}

static void pieces(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	q = begin(&b);
	pattern(theirs + 1, 512, LONG, 1);
	CHECK_EQ(io_write(q, 512, theirs + 1, LONG, 0), 0);
	CHECK_EQ(fake.nr_ops, 4);
	for (unsigned i = 0; i < 3; i++)
		fake_check(i, BK_WRITE, 512 + i * BUFFER, BUFFER);
	fake_check(3, BK_WRITE, 512 + 3 * BUFFER, 512);
	CHECK_MEM(stored + 512, theirs + 1, LONG);

	memset(theirs, 0, sizeof(theirs));
	CHECK_EQ(io_read(q, 512, theirs + 1, LONG, 0), 0);
	check_pattern(theirs + 1, 512, LONG, 1);
	CHECK_EQ(theirs[0], 0);
	blkio_destroy(&b);
}

/* Segments that match neither the device's alignment nor the pieces. */
static void segments(struct device *d)
{
	struct iovec iov[] = { { theirs + 7, 100 },  { NULL, 0 },
			       { theirs + 1107, 1 }, { theirs + 2000, BUFFER },
			       { theirs, 0 },	     { theirs + 2000 + BUFFER, 2 * 512 - 101 } };
	const size_t len = BUFFER + 2 * 512;
	char want[BUFFER + 2 * 512], *at = want;
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	q = begin(&b);
	pattern(stored, 0, len, 2);
	CHECK_EQ(io_readv(q, 0, iov, 6, 0), 0);
	CHECK_EQ(fake.nr_ops, 2);
	for (size_t i = 0; i < 6; i++) {
		if (iov[i].iov_len)
			memcpy(at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	check_pattern(want, 0, len, 2);

	memset(stored, 0, len);
	CHECK_EQ(io_writev(q, 0, iov, 6, 0), 0);
	check_pattern(stored, 0, len, 2);
	blkio_destroy(&b);
}

/* What fits the device does not pass through a buffer. */
static void direct(struct device *d)
{
	struct blkio_mem_region region;
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	q = begin(&b);
	CHECK_OK(blkio_alloc_mem_region(b, &region, 4 * BUFFER));
	CHECK_OK(blkio_map_mem_region(b, &region));
	CHECK_EQ(io_write(q, 0, region.addr, 4 * BUFFER, 0), 0);
	CHECK_EQ(fake.nr_ops, 1);
	CHECK(fake.log[0].base == region.addr);
	CHECK_EQ(io_zeroes(q, 0, BUFFER, 0), 0);
	CHECK_EQ(io_discard(q, 0, BUFFER, 0), 0);
	CHECK_EQ(io_flush(q, 0), 0);
	CHECK_EQ(io_write(q, 0, (char *)region.addr + 1, BUFFER, 0), 0);
	CHECK_STR(fake.calls, "icsqm"); /* nothing is mapped but what the caller maps */
	CHECK(fake.log[4].base != (char *)region.addr + 1);
	blkio_destroy(&b);
}

static int64_t fail_second(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	return index % 2 ? -EIO : store(op, r, index);
}

static int64_t half(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	(void)r;
	if (op->op != BK_WRITE)
		return 0;
	return (int64_t)(index % 2 ? op->len : op->len / 2);
}

/* A buffer whose request fails half way serves the next one. */
static void errors(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.result = fail_second;
	q = begin(&b);
	for (int i = 0; i < 4 * BUFFERS; i++)
		CHECK_EQ(io_write(q, 0, theirs, LONG, 0), -EIO);
	CHECK_EQ(fake.nr_ops, 8 * BUFFERS);
	CHECK_IO_ERR(io_read(q, 0, NULL, BUFFER, 0), EFAULT, "NULL");
	fake.result = store;
	CHECK_EQ(io_write(q, 0, theirs, LONG, 0), 0);
	CHECK_IO_ERR(io_write(q, 1 << 20, theirs, LONG, 0), EINVAL, "capacity");
	blkio_destroy(&b);
}

static void short_and_fua(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.result = half;
	fake.limits.takes_fua_write = false;
	q = begin(&b);
	CHECK_EQ(io_write(q, 0, theirs, 2 * BUFFER, BLKIO_REQ_FUA), 0);
	CHECK_EQ(fake.nr_ops, 5);
	fake_check(0, BK_WRITE, 0, BUFFER);
	fake_check(1, BK_WRITE, BUFFER / 2, BUFFER / 2);
	fake_check(2, BK_WRITE, BUFFER, BUFFER);
	fake_check(3, BK_WRITE, BUFFER + BUFFER / 2, BUFFER / 2);
	CHECK_EQ(fake.log[4].op, BK_FLUSH);
	blkio_destroy(&b);
}

/* Many more requests than buffers, on a device with little room of its own. */
static void crowd(struct device *d)
{
	enum { N = 100 };
	struct blkio_completion c[N];
	bool seen[N] = { false };
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.ring_size = 3;
	fake.finish_per_enter = 1;
	q = begin(&b);
	for (uint64_t i = 0; i < N; i++) {
		memset(theirs, (int)i, 512);
		blkioq_write(q, i * 512, theirs + i * 128 % BUFFER + 1, 512, (void *)i, 0);
	}
	CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
	for (int i = 0; i < N; i++) {
		CHECK_EQ(c[i].ret, 0);
		CHECK(!seen[(uintptr_t)c[i].user_data]);
		seen[(uintptr_t)c[i].user_data] = true;
	}
	CHECK_EQ(fake.nr_ops, N);
	blkio_destroy(&b);
}

/* The buffers are there when the instance is started, or it is not started. */
static void no_pool(struct device *d)
{
	struct blkio *b;

	(void)d;
	fake_reset();
	fake.limits.request_alignment = 2 * BUFFER;
	b = fake_connect();
	CHECK_OK(blkio_set_int(b, "bounce-buffers", BUFFERS));
	CHECK_OK(blkio_set_int(b, "bounce-buffer-size", BUFFER));
	CHECK_ERR(blkio_start(b), EINVAL, "bounce-buffer-size", "4096", "8192");
	CHECK_OK(blkio_set_int(b, "bounce-buffer-size", 4 * BUFFER));
	CHECK_OK(blkio_start(b));
	blkio_destroy(&b);
}

/* All regions are the caller's, and the library's memory is none that the caller can take away. */
static void regions(struct device *d)
{
	static char memory[4 * BUFFER] __attribute__((aligned(BUFFER)));
	struct blkio_mem_region theirs_too = { memory, sizeof(memory), 0, 0, -1, 0 };
	struct blkio_mem_region own;
	struct blkio *b;

	(void)d;
	fake_reset();
	fake.limits.max_mem_regions = 1;
	begin(&b);
	own = (struct blkio_mem_region){ (void *)b->own.addr, b->own.len, 0, 0, -1, 0 };
	CHECK_ERR(blkio_map_mem_region(b, &own), EINVAL, "overlaps");
	blkio_unmap_mem_region(b, &own);
	CHECK_OK(blkio_map_mem_region(b, &theirs_too));
	CHECK_EQ(io_write(q_of_device, 0, theirs, 512, 0), 0);
	CHECK_STR(fake.calls, "icsqm");
	for (int i = 0; i < 3; i++) {
		CHECK_OK(blkio_remove_queue(b, 0));
		CHECK_OK(blkio_add_queue(b));
		q_of_device = blkio_get_queue(b, 0);
		CHECK_EQ(io_write(q_of_device, 0, theirs, 512, 0), 0);
	}
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "pieces", pieces },
	{ "segments", segments },
	{ "what fits the device", direct },
	{ "errors", errors },
	{ "short transfers and FUA", short_and_fua },
	{ "more requests than buffers", crowd },
	{ "buffers that cannot be", no_pool },
	{ "memory regions", regions },
};
TEST_MAIN(tests)
