/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests of several operations: short transfers and emulated FUA. What the device is asked for,
 * operation by operation, and what the caller gets in the end. Write zeroes: stages_zeroes.c.
 */
#include "fake.h"
#include "io.h"

static char memory[1 << 20];

/* Start a fresh device with the limits that are set; one queue. */
static struct blkioq *begin(struct blkio **b)
{
	*b = fake_start();
	return blkio_get_queue(*b, 0);
}

/* ---- Short transfers ---------------------------------------------------------------------- */

static int64_t at_most_1000(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	(void)r, (void)index;
	return op->len > 1000 ? 1000 : (int64_t)op->len;
}

static void short_transfers_continue(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.result = at_most_1000;
	q = begin(&b);
	CHECK_EQ(io_read(q, 5000, memory, 2500, 0), 0);
	CHECK_EQ(fake.nr_ops, 3);
	fake_check(0, BK_READ, 5000, 2500);
	fake_check(1, BK_READ, 6000, 1500);
	fake_check(2, BK_READ, 7000, 500);
	CHECK(fake.log[1].base == memory + 1000);
	CHECK(fake.log[2].base == memory + 2000);
	CHECK_EQ(io_write(q, 0, memory, 1001, 0), 0);
	fake_check(4, BK_WRITE, 1000, 1);
	CHECK(fake.log[4].base == memory + 1000);
	blkio_destroy(&b);
}

static uint64_t gathered[64];
static unsigned nr_gathered;

/* One byte less than the segments up to the second's end, then whatever is asked for. */
static int64_t cut_in_second_segment(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	for (int i = 0; i < r->iovcnt; i++)
		gathered[nr_gathered++] =
		    (uint64_t)(uintptr_t)r->iov[i].iov_base << 16 | r->iov[i].iov_len;
	return index ? (int64_t)op->len : (int64_t)(r->iov[0].iov_len + r->iov[1].iov_len - 1);
}

static void short_vectored_transfer(struct device *d)
{
	struct iovec iov[4] = { { memory, 100 },
				{ memory + 1000, 200 },
				{ memory + 2000, 0 },
				{ memory + 3000, 300 } };
	struct iovec before[4];
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	memcpy(before, iov, sizeof(iov));
	fake_reset();
	fake.result = cut_in_second_segment;
	q = begin(&b);
	CHECK_EQ(io_readv(q, 0, iov, 4, 0), 0);
	CHECK_MEM(iov, before, sizeof(iov)); /* the caller's array is the caller's */
	CHECK_EQ(fake.nr_ops, 2);
	fake_check(1, BK_READ, 299, 301);
	CHECK_EQ(gathered[4], (uint64_t)(uintptr_t)(memory + 1199) << 16 | 1);
	CHECK_EQ(gathered[nr_gathered - 1], (uint64_t)(uintptr_t)(memory + 3000) << 16 | 300);
	blkio_destroy(&b);
}

static int64_t one_byte(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	(void)op, (void)r, (void)index;
	return 1;
}

/* The worst device: one byte at a time, over many segments. */
static void byte_by_byte(struct device *d)
{
	struct iovec iov[50];
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	for (int i = 0; i < 50; i++)
		iov[i] = (struct iovec){ memory + i * 64, (size_t)(i % 7) };
	fake_reset();
	fake.result = one_byte;
	fake.ring_size = 1;
	q = begin(&b);
	CHECK_EQ(io_writev(q, 10, iov, 50, 0), 0);
	CHECK_EQ(fake.nr_ops, 147);
	for (unsigned i = 0; i < fake.nr_ops; i++)
		fake_check(i, BK_WRITE, 10 + i, 147 - i);
	blkio_destroy(&b);
}

static int64_t stop_after_half(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	(void)r;
	return index ? 0 : (int64_t)op->len / 2;
}

static void end_of_file(struct device *d)
{
	struct iovec iov[2] = { { memory, 1000 }, { memory + 2000, 1000 } };
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.result = stop_after_half;
	fake.limits.zero_fill_eof = true;
	q = begin(&b);
	memset(memory, 0xee, 4000);
	CHECK_EQ(io_readv(q, 0, iov, 2, 0), 0);
	check_all(memory, 2000, 0xee); /* left to the device */
	check_all(memory + 2000, 1000, 0);
	check_all(memory + 3000, 1000, 0xee);
	blkio_destroy(&b);

	fake_reset();
	fake.result = stop_after_half;
	q = begin(&b);
	CHECK_IO_ERR(io_read(q, 0, memory, 1000, 0), EIO, "past the end");
	blkio_destroy(&b);

	fake_reset();
	fake.result = stop_after_half;
	q = begin(&b);
	CHECK_EQ(io_write(q, 0, memory, 1000, 0), -ENOSPC);
	blkio_destroy(&b);
}

static int64_t too_much(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	(void)r, (void)index;
	return (int64_t)op->len + 1;
}

static void device_claims_too_much(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.result = too_much;
	q = begin(&b);
	CHECK_IO_ERR(io_read(q, 0, memory, 1000, 0), EIO, "more");
	CHECK_EQ(io_write(q, 0, memory, 1000, 0), -EIO);
	blkio_destroy(&b);
}

static int64_t fail_second(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	(void)op, (void)r;
	return index == 1 ? -ENOLINK : 10;
}

static void error_after_a_short_transfer(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.result = fail_second;
	q = begin(&b);
	CHECK_EQ(io_read(q, 0, memory, 1000, 0), -ENOLINK);
	CHECK_EQ(fake.nr_ops, 2);
	fake.result = NULL;
	CHECK_EQ(io_read(q, 0, memory, 1000, 0), 0); /* the request memory was left clean */
	CHECK_EQ(io_readv(q, 0, &(struct iovec){ memory, 5 }, 1, 0), 0);
	fake_check(3, BK_READ, 0, 5);
	blkio_destroy(&b);
}

/* ---- FUA ---------------------------------------------------------------------------------- */

static void fua_is_write_then_flush(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.limits.takes_fua_write = fake.limits.takes_fua_write_zeroes = false;
	q = begin(&b);
	CHECK_EQ(io_write(q, 100, memory, 1000, BLKIO_REQ_FUA), 0);
	CHECK_EQ(fake.nr_ops, 2);
	fake_check(0, BK_WRITE, 100, 1000);
	CHECK_EQ(fake.log[0].flags & BLKIO_REQ_FUA, 0);
	CHECK_EQ(fake.log[1].op, BK_FLUSH);
	CHECK_EQ(io_zeroes(q, 0, 4096, BLKIO_REQ_FUA | BLKIO_REQ_NO_UNMAP), 0);
	fake_check(2, BK_WRITE_ZEROES, 0, 4096);
	CHECK_EQ(fake.log[2].flags, BLKIO_REQ_NO_UNMAP);
	CHECK_EQ(fake.log[3].op, BK_FLUSH);
	CHECK_EQ(io_write(q, 100, memory, 1000, 0), 0);
	CHECK_EQ(fake.nr_ops, 5); /* no flush without the flag */
	blkio_destroy(&b);
}

static void fua_of_the_device(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	q = begin(&b);
	CHECK_EQ(io_write(q, 0, memory, 1000, BLKIO_REQ_FUA), 0);
	CHECK_EQ(io_zeroes(q, 0, 1000, BLKIO_REQ_FUA), 0);
	CHECK_EQ(fake.nr_ops, 2);
	CHECK_EQ(fake.log[0].flags & 7, BLKIO_REQ_FUA);
	CHECK_EQ(fake.log[1].flags & 7, BLKIO_REQ_FUA);
	blkio_destroy(&b);
}

static int64_t short_then_all(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	(void)r;
	if (op->op == BK_FLUSH)
		return 0;
	return index ? (int64_t)op->len : 300;
}

static void fua_of_a_short_write(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	for (int native = 0; native < 2; native++) {
		fake_reset();
		fake.limits.takes_fua_write = native;
		fake.result = short_then_all;
		q = begin(&b);
		CHECK_EQ(io_write(q, 0, memory, 1000, BLKIO_REQ_FUA), 0);
		fake_check(1, BK_WRITE, 300, 700);
		CHECK_EQ(fake.log[1].flags & BLKIO_REQ_FUA, native ? BLKIO_REQ_FUA : 0);
		CHECK_EQ(fake.nr_ops, native ? 2 : 3); /* one flush, after the last part */
		blkio_destroy(&b);
	}
}

static int64_t failing_write(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	(void)r, (void)index;
	return op->op == BK_WRITE ? -ENOLINK : 0;
}

static int64_t failing_flush(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	(void)r, (void)index;
	return op->op == BK_FLUSH ? -EREMOTEIO : (int64_t)op->len;
}

static void fua_errors(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.limits.takes_fua_write = false;
	fake.result = failing_write;
	q = begin(&b);
	CHECK_EQ(io_write(q, 0, memory, 1000, BLKIO_REQ_FUA), -ENOLINK);
	CHECK_EQ(fake.nr_ops, 1); /* nothing to flush */
	fake.result = failing_flush;
	CHECK_EQ(io_write(q, 0, memory, 1000, BLKIO_REQ_FUA), -EREMOTEIO);
	CHECK_EQ(fake.nr_ops, 3);
	blkio_destroy(&b);
}

/* ---- Requests that are longer than the device takes ---------------------------------------- */

static struct blkioq *long_queue;
static char *next_byte; /* of the request's memory, segment after segment in order */
static const struct iovec *next_segment, *end_of_segments;

/* The next bytes of the caller's segments are these. */
static void check_next(const char *base, size_t len)
{
	while (len) {
		size_t n;

		while (next_byte == (char *)next_segment->iov_base + next_segment->iov_len) {
			next_segment++;
			CHECK(next_segment < end_of_segments);
			next_byte = next_segment->iov_base;
		}
		n = (char *)next_segment->iov_base + next_segment->iov_len - next_byte;
		n = n < len ? n : len;
		CHECK(base == next_byte);
		base += n;
		next_byte += n;
		len -= n;
	}
}

static int64_t piece_by_piece(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	struct bk_piece p, again;
	uint64_t len;
	int ret = bk_first_piece(long_queue, r, &p);

	(void)op, (void)index;
	if (ret < 0)
		return ret;
	CHECK_EQ(bk_first_piece(long_queue, r, &again), 0);
	CHECK(again.iovcnt == p.iovcnt && again.len == p.len);
	CHECK(p.iovcnt && p.iovcnt <= fake.limits.max_segments && p.iovcnt <= r->iovcnt);
	CHECK(p.len && p.len <= (uint64_t)fake.limits.max_transfer && p.len % 512 == 0);
	len = p.len;
	for (int i = 0; i < p.iovcnt; i++) {
		size_t n = p.iovcnt == 1 ? p.len : r->iov[i].iov_len;

		CHECK(n <= r->iov[i].iov_len && n <= len);
		check_next(r->iov[i].iov_base, n);
		len -= n;
	}
	CHECK_EQ(len, 0);
	return (int64_t)p.len;
}

static void long_requests_in_pieces(struct device *d)
{
	static const struct {
		int max_transfer, max_segments, n, pieces;
		size_t len[6];
	} cases[] = {
		{ 8192, 4, 1, 1, { 8192 } },
		{ 8192, 4, 1, 3, { 17408 } },
		{ 8192, 4, 2, 2, { 8192, 512 } },
		{ 8192, 4, 3, 3, { 100, 8192, 9116 } },	   /* blocks begin in one, end in another */
		{ 8192, 4, 5, 1, { 0, 1024, 0, 512, 0 } }, /* too many, but of no length */
		{ 8192, 2, 5, 3, { 512, 512, 512, 512, 512 } }, /* too many */
		{ 8192, 2, 4, 3, { 512, 100, 924, 512 } },
		{ 512, 4, 4, 4, { 256, 768, 1000, 24 } },
		{ 1024, 3, 6, 4, { 4, 8, 500, 2048, 3, 1021 } },
	};

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct iovec iov[6], before[6];
		struct blkio *b;
		char *at = memory;

		for (int k = 0; k < cases[i].n; k++, at += 40000)
			iov[k] = (struct iovec){ at, cases[i].len[k] };
		memcpy(before, iov, sizeof(iov));
		fake_reset();
		fake.limits.request_alignment = 512;
		fake.limits.takes_long_requests = true;
		fake.limits.max_transfer = cases[i].max_transfer;
		fake.limits.max_segments = cases[i].max_segments;
		fake.limits.takes_fua_write = i % 2;
		fake.result = piece_by_piece;
		long_queue = begin(&b);
		next_segment = iov;
		end_of_segments = iov + cases[i].n;
		next_byte = iov[0].iov_base;
		CHECK_EQ(io_writev(long_queue, 0, iov, cases[i].n, i % 2 ? BLKIO_REQ_FUA : 0), 0);
		CHECK_MEM(iov, before, cases[i].n * sizeof(*iov));
		CHECK_EQ(fake.nr_ops, cases[i].pieces);
		for (unsigned k = 0; k < fake.nr_ops; k++)
			CHECK_EQ(fake.log[k].flags, i % 2 ? BLKIO_REQ_FUA : 0);
		blkio_destroy(&b);
	}
}

static void block_in_too_many_segments(struct device *d)
{
	struct iovec iov[3] = { { memory, 200 }, { memory + 1000, 200 }, { memory + 2000, 112 } };
	struct blkio *b;

	(void)d;
	fake_reset();
	fake.limits.request_alignment = 512;
	fake.limits.takes_long_requests = true;
	fake.limits.max_segments = 2;
	fake.limits.max_transfer = 8192;
	fake.result = piece_by_piece;
	long_queue = begin(&b);
	CHECK_IO_ERR(io_readv(long_queue, 0, iov, 3, 0), EINVAL, "max-segments");
	blkio_destroy(&b);
}

static int64_t second_piece_fails(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	int64_t ret = piece_by_piece(op, r, index);

	return index ? -ENODATA : ret;
}

static void long_request_fails(struct device *d)
{
	struct iovec iov = { memory, 32768 };
	struct blkio *b;

	(void)d;
	fake_reset();
	fake.limits.request_alignment = 512;
	fake.limits.takes_long_requests = true;
	fake.limits.max_transfer = 8192;
	fake.limits.max_segments = 1;
	fake.result = second_piece_fails;
	long_queue = begin(&b);
	next_segment = &iov;
	end_of_segments = &iov + 1;
	next_byte = iov.iov_base;
	CHECK_EQ(io_write(long_queue, 4096, memory, 32768, 0), -ENODATA);
	CHECK_EQ(fake.nr_ops, 2);
	fake_check(1, BK_WRITE, 4096 + 8192, 32768 - 8192);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "short transfers continue", short_transfers_continue },
	{ "short vectored transfer", short_vectored_transfer },
	{ "byte by byte", byte_by_byte },
	{ "end of file", end_of_file },
	{ "the device claims too much", device_claims_too_much },
	{ "error after a short transfer", error_after_a_short_transfer },
	{ "FUA is write then flush", fua_is_write_then_flush },
	{ "FUA of the device", fua_of_the_device },
	{ "FUA of a short write", fua_of_a_short_write },
	{ "FUA errors", fua_errors },
	{ "long requests, in pieces", long_requests_in_pieces },
	{ "a block in too many segments", block_in_too_many_segments },
	{ "a long request fails", long_request_fails },
};
TEST_MAIN(tests)
