/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests of several operations: short transfers, emulated FUA, write zeroes by writing. What the
 * device is asked for, operation by operation, and what the caller gets in the end.
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
	CHECK_IO_ERR(io_read(q, 0, memory, 1000, 0), EIO, "ended");
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

/* ---- Write zeroes by writing -------------------------------------------------------------- */

static char medium[1 << 20];

/* A device that cannot write zeroes, with a memory. */
static int64_t no_zeroes(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	uint64_t at = op->start;

	(void)index;
	if (op->op == BK_WRITE_ZEROES)
		return -ENOTSUP;
	if (op->op != BK_WRITE)
		return 0;
	for (int i = 0; i < r->iovcnt; at += r->iov[i++].iov_len)
		memcpy(medium + at, r->iov[i].iov_base, r->iov[i].iov_len);
	CHECK_EQ(at - op->start, op->len);
	return (int64_t)op->len;
}

static void check_zeroes(const struct blkioq *q, uint64_t start, uint64_t len)
{
	const struct bk_limits *l = &q->b->lim;

	check_all(medium, start, 0x77);
	check_all(medium + start, len, 0);
	check_all(medium + start + len, sizeof(medium) - start - len, 0x77);
	for (unsigned i = 0; i < fake.nr_ops; i++) {
		if (fake.log[i].op != BK_WRITE)
			continue;
		CHECK(!l->max_transfer || fake.log[i].len <= (uint64_t)l->max_transfer);
		CHECK(fake.log[i].iovcnt <= l->max_segments);
		CHECK_EQ(fake.log[i].len % (uint64_t)l->request_alignment, 0);
	}
}

static void fallback_writes_zeroes(struct device *d)
{
	static const struct {
		int max_transfer, max_segments, max_segment_len, alignment;
	} cases[] = {
		{ 0, 1024, 0, 1 },    { 0, 1, 0, 512 },	     { 5000, 1024, 0, 512 },
		{ 512, 1, 512, 512 }, { 65536, 4, 3000, 1 }, { 1 << 20, 1024, 0, 4096 },
	};

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int listed = 0; listed < 2; listed++) {
			struct blkio *b;
			struct blkioq *q;

			fake_reset();
			fake.result = no_zeroes;
			fake.limits.max_transfer = cases[i].max_transfer;
			fake.limits.max_segments = cases[i].max_segments;
			fake.limits.max_segment_len = cases[i].max_segment_len;
			fake.limits.request_alignment = cases[i].alignment;
			if (!listed)
				fake.limits.ops &= ~BK_OP_BIT(BK_WRITE_ZEROES);
			q = begin(&b);
			memset(medium, 0x77, sizeof(medium));
			CHECK_EQ(io_zeroes(q, 8192, 401408, 0), 0);
			check_zeroes(q, 8192, 401408);
			blkio_destroy(&b);
		}
	}
}

static void fallback_with_fua(struct device *d)
{
	(void)d;
	for (int native = 0; native < 2; native++) {
		struct blkio *b;
		struct blkioq *q;

		fake_reset();
		fake.result = no_zeroes;
		fake.limits.max_transfer = 65536;
		fake.limits.takes_fua_write = fake.limits.takes_fua_write_zeroes = native;
		q = begin(&b);
		memset(medium, 0x77, sizeof(medium));
		CHECK_EQ(io_zeroes(q, 0, 1 << 20, BLKIO_REQ_FUA | BLKIO_REQ_NO_UNMAP), 0);
		check_zeroes(q, 0, 1 << 20);
		if (!native)
			CHECK_EQ(fake.log[fake.nr_ops - 1].op, BK_FLUSH);
		for (unsigned i = 0; i < fake.nr_ops; i++) {
			if (fake.log[i].op == BK_WRITE)
				CHECK_EQ(fake.log[i].flags & 7, native ? BLKIO_REQ_FUA : 0);
		}
		blkio_destroy(&b);
	}
}

static void no_fallback(struct device *d)
{
	(void)d;
	for (int listed = 0; listed < 2; listed++) {
		struct blkio *b;
		struct blkioq *q;

		fake_reset();
		fake.result = no_zeroes;
		if (!listed)
			fake.limits.ops &= ~BK_OP_BIT(BK_WRITE_ZEROES);
		q = begin(&b);
		CHECK_IO_ERR(io_zeroes(q, 0, 4096, BLKIO_REQ_NO_FALLBACK), ENOTSUP, "FALLBACK");
		CHECK_EQ(fake.nr_ops, listed);
		CHECK_EQ(io_zeroes(q, 0, 4096, 0), 0);
		blkio_destroy(&b);
	}
}

static int64_t fail_third_write(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	(void)r;
	if (op->op == BK_WRITE_ZEROES)
		return -ENOTSUP;
	return index == 3 ? -ENOLINK : (int64_t)op->len;
}

static void fallback_error(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.limits.max_transfer = 4096;
	fake.result = fail_third_write;
	q = begin(&b);
	CHECK_EQ(io_zeroes(q, 0, 1 << 20, 0), -ENOLINK);
	CHECK_EQ(fake.nr_ops, 4);
	blkio_destroy(&b);
}

static int64_t refuse_everything(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	(void)op, (void)r, (void)index;
	return -ENOTSUP;
}

/* A device that does not even write: the error, not a loop. */
static void nothing_works(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.result = refuse_everything;
	q = begin(&b);
	CHECK_EQ(io_zeroes(q, 0, 1 << 20, 0), -ENOTSUP);
	CHECK_EQ(io_write(q, 0, memory, 4096, BLKIO_REQ_FUA), -ENOTSUP);
	CHECK_EQ(io_flush(q, 0), -ENOTSUP);
	CHECK_EQ(io_discard(q, 0, 4096, 0), -ENOTSUP);
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
	{ "fallback writes zeroes", fallback_writes_zeroes },
	{ "fallback with FUA", fallback_with_fua },
	{ "no fallback", no_fallback },
	{ "fallback error", fallback_error },
	{ "nothing works", nothing_works },
};
TEST_MAIN(tests)
