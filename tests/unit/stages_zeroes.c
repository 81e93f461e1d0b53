/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Write-zeroes and discard requests that the device cannot do as they are: zeroes are written, in
 * whole or around whole blocks, and discards are rounded.
 */
#include "fake.h"
#include "io.h"

/* Start a fresh device with the limits that are set; one queue. */
static struct blkioq *begin(struct blkio **b)
{
	*b = fake_start();
	return blkio_get_queue(*b, 0);
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
	CHECK_EQ(io_write(q, 0, medium, 4096, BLKIO_REQ_FUA), -ENOTSUP);
	CHECK_EQ(io_flush(q, 0), -ENOTSUP);
	CHECK_EQ(io_discard(q, 0, 4096, 0), -ENOTSUP);
	blkio_destroy(&b);
}

/* ---- Whole blocks ------------------------------------------------------------------------- */

static struct blkioq *begin_blocks(struct blkio **b)
{
	fake_reset();
	fake.limits.whole_blocks = 4096;
	fake.limits.takes_fua_write_zeroes = false;
	return begin(b);
}

static void zeroes_around_blocks(struct device *d)
{
	struct blkio *b;
	struct blkioq *q = begin_blocks(&b);

	(void)d;
	CHECK_EQ(io_zeroes(q, 4000, 10000, BLKIO_REQ_NO_UNMAP), 0);
	CHECK_EQ(fake.nr_ops, 3);
	fake_check(0, BK_WRITE, 4000, 96);
	fake_check(1, BK_WRITE_ZEROES, 4096, 8192);
	CHECK(fake.log[1].flags & BLKIO_REQ_NO_UNMAP);
	fake_check(2, BK_WRITE, 12288, 1712);
	CHECK_EQ(io_zeroes(q, 4096, 4097, BLKIO_REQ_FUA), 0);
	CHECK_EQ(fake.nr_ops, 6);
	fake_check(3, BK_WRITE_ZEROES, 4096, 4096);
	fake_check(4, BK_WRITE, 8192, 1);
	CHECK_EQ(fake.log[5].op, BK_FLUSH);
	CHECK_EQ(io_zeroes(q, 100, 200, 0), 0);
	CHECK_EQ(fake.nr_ops, 7);
	fake_check(6, BK_WRITE, 100, 200);
	CHECK_EQ(io_zeroes(q, 8192, 4096, BLKIO_REQ_NO_FALLBACK), 0);
	fake_check(7, BK_WRITE_ZEROES, 8192, 4096);
	CHECK_IO_ERR(io_zeroes(q, 8192, 4095, BLKIO_REQ_NO_FALLBACK), ENOTSUP, "NO_FALLBACK");
	CHECK_EQ(fake.nr_ops, 8);
	blkio_destroy(&b);
}

/* The operation turns out not to be there when the head is written already. */
static void blocks_without_operation(struct device *d)
{
	struct blkio *b;
	struct blkioq *q = begin_blocks(&b);

	(void)d;
	memset(medium, 0x77, sizeof(medium));
	fake.result = no_zeroes;
	CHECK_EQ(io_zeroes(q, 4000, 100000, 0), 0);
	check_zeroes(q, 4000, 100000);
	blkio_destroy(&b);
}

static void discards_round_inwards(struct device *d)
{
	struct blkio *b;
	struct blkioq *q = begin_blocks(&b);

	(void)d;
	CHECK_EQ(io_discard(q, 1, 12288, 0), 0);
	CHECK_EQ(fake.nr_ops, 1);
	fake_check(0, BK_DISCARD, 4096, 8192);
	CHECK_EQ(io_discard(q, 1, 8190, 0), 0);
	CHECK_EQ(io_discard(q, 4095, 4096, 0), 0);
	CHECK_EQ(fake.nr_ops, 1);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "fallback writes zeroes", fallback_writes_zeroes },
	{ "fallback with FUA", fallback_with_fua },
	{ "no fallback", no_fallback },
	{ "fallback error", fallback_error },
	{ "nothing works", nothing_works },
	{ "zeroes around blocks", zeroes_around_blocks },
	{ "blocks without the operation", blocks_without_operation },
	{ "discards round inwards", discards_round_inwards },
};
TEST_MAIN(tests)
