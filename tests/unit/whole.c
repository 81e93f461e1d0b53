/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests that must be one operation of the device: atomic writes and zone appends. What cannot be
 * one is refused before the device sees any of it, and is never continued.
 */
#include "fake.h"
#include "io.h"

enum { KIB = 1024, BLOCK = 512 };

static char memory[1 << 20];

static struct blkioq *begin(struct blkio **b)
{
	*b = fake_start();
	return blkio_get_queue(*b, 0);
}

static void reset(struct bk_atomic atomic)
{
	fake_reset();
	fake.limits.request_alignment = BLOCK;
	fake.limits.takes_fua_write = true;
	fake.limits.max_segments = 8;
	fake.limits.takes_long_requests = true;
	fake.limits.max_transfer = 128 * KIB;
	fake.limits.atomic = atomic;
}

/* ---- Atomic writes ------------------------------------------------------------------------ */

static const struct bk_atomic nvme = { .min = BLOCK, .max = 16 * KIB, .max_segments = 8 };
static const struct bk_atomic kernel = {
	.min = 4 * KIB, .max = 16 * KIB, .max_segments = 1, .natural = true
};
static const struct bk_atomic bounded = { .min = BLOCK,
					  .max = 16 * KIB,
					  .max_segments = 8,
					  .boundary = 32 * KIB,
					  .boundary_offset = 8 * KIB };

static const struct atomic_case {
	const struct bk_atomic *atomic;
	uint64_t start, len;
	int segments;
	const char *msg; /* NULL: it is done */
} cases[] = {
	{ &nvme, 0, BLOCK, 1, NULL },
	{ &nvme, 3 * BLOCK, 16 * KIB, 1, NULL },
	{ &nvme, 3 * BLOCK, 5 * BLOCK, 5, NULL },
	{ &nvme, 0, 16 * KIB + BLOCK, 1, "atomic-write-unit-max" },
	{ &nvme, 0, 256 * KIB, 1, "atomic-write-unit-max" },
	{ &nvme, 0, 9 * BLOCK, 9, "segments" },
	{ &kernel, 16 * KIB, 16 * KIB, 1, NULL },
	{ &kernel, 8 * KIB, 8 * KIB, 1, NULL },
	{ &kernel, 0, 2 * KIB, 1, "atomic-write-unit-min" },
	{ &kernel, 0, 32 * KIB, 1, "atomic-write-unit-max" },
	{ &kernel, 0, 12 * KIB, 1, "power of two" },
	{ &kernel, 4 * KIB, 8 * KIB, 1, "multiple" },
	{ &kernel, 0, 8 * KIB, 2, "segments" },
	{ &bounded, 0, 8 * KIB, 1, NULL },
	{ &bounded, 0, 8 * KIB + BLOCK, 1, "atomic-write-boundary" },
	{ &bounded, 8 * KIB, 16 * KIB, 1, NULL },
	{ &bounded, 24 * KIB, 16 * KIB, 1, NULL },
	{ &bounded, 24 * KIB + BLOCK, 16 * KIB, 1, "atomic-write-boundary" },
	{ &bounded, 40 * KIB - BLOCK, 2 * BLOCK, 1, "atomic-write-boundary" },
	{ &bounded, 40 * KIB, 16 * KIB, 1, NULL },
};

static void try_atomic(const struct atomic_case *c, uint32_t flags)
{
	struct iovec iov[9];
	struct blkio *b;
	struct blkioq *q;

	reset(*c->atomic);
	q = begin(&b);
	for (int i = 0; i < c->segments; i++)
		iov[i] = (struct iovec){ memory + i * 8192, c->len / c->segments };
	if (c->msg)
		CHECK_IO_ERR(io_writev(q, c->start, iov, c->segments, flags), EINVAL, c->msg);
	else
		CHECK_EQ(io_writev(q, c->start, iov, c->segments, flags), 0);
	CHECK_EQ(fake.nr_ops, c->msg ? 0 : 1);
	if (!c->msg) {
		fake_check(0, BK_WRITE, c->start, c->len);
		CHECK_EQ(fake.log[0].flags, flags);
	}
	blkio_destroy(&b);
}

static void atomic_writes(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		try_atomic(&cases[i], BLKIO_REQ_ATOMIC);
		try_atomic(&cases[i], BLKIO_REQ_ATOMIC | BLKIO_REQ_FUA);
	}
}

static void no_atomic_writes(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	reset((struct bk_atomic){ 0 });
	q = begin(&b);
	CHECK_IO_ERR(io_write(q, 0, memory, BLOCK, BLKIO_REQ_ATOMIC), ENOTSUP,
		     "atomic-write-unit-max is 0");
	CHECK_EQ(fake.nr_ops, 0);
	blkio_destroy(&b);
}

/* A flush may follow: the write is atomic all the same. */
static void emulated_fua(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	reset(nvme);
	fake.limits.takes_fua_write = false;
	q = begin(&b);
	CHECK_EQ(io_write(q, 0, memory, BLOCK, BLKIO_REQ_ATOMIC | BLKIO_REQ_FUA), 0);
	CHECK_EQ(fake.nr_ops, 2);
	fake_check(0, BK_WRITE, 0, BLOCK);
	CHECK_EQ(fake.log[0].flags, BLKIO_REQ_ATOMIC);
	fake_check(1, BK_FLUSH, 0, BLOCK);
	blkio_destroy(&b);
}

static int64_t half(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	(void)r, (void)index;
	return op->len / 2;
}

static void short_write(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	reset(nvme);
	fake.result = half;
	q = begin(&b);
	CHECK_IO_ERR(io_write(q, 0, memory, 2 * BLOCK, BLKIO_REQ_ATOMIC), EIO, "as a whole");
	CHECK_EQ(fake.nr_ops, 1);
	blkio_destroy(&b);
}

/* A bounce buffer takes all of it, or it is refused. */
static void bounced(struct device *d)
{
	static char odd[64 * KIB + 1];
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	reset(nvme);
	fake.limits.buf_alignment = 4;
	b = fake_connect();
	CHECK_OK(blkio_set_int(b, "bounce-buffers", 1));
	CHECK_OK(blkio_set_int(b, "bounce-buffer-size", 4 * KIB));
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	CHECK_EQ(io_write(q, 0, odd + 1, 4 * KIB, BLKIO_REQ_ATOMIC), 0);
	CHECK_EQ(fake.nr_ops, 1);
	CHECK(fake.log[0].base != odd + 1);
	CHECK_EQ(fake.log[0].flags, BLKIO_REQ_ATOMIC);
	CHECK_IO_ERR(io_write(q, 0, odd + 1, 8 * KIB, BLKIO_REQ_ATOMIC), EINVAL,
		     "bounce-buffer-size");
	CHECK_EQ(fake.nr_ops, 1);
	CHECK_EQ(io_write(q, 0, odd + 1, 8 * KIB, 0), 0);
	CHECK_EQ(fake.nr_ops, 3);
	CHECK_EQ(io_write(q, 0, odd + 4, 8 * KIB, BLKIO_REQ_ATOMIC), 0);
	blkio_destroy(&b);
}

/* ---- Zone appends ------------------------------------------------------------------------- */

static int64_t appended(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	(void)index;
	if (op->op != BK_ZONE_APPEND)
		return 0;
	*r->written_at = op->start + 3 * BLOCK;
	return (int64_t)op->len;
}

static int append(struct blkioq *q, const void *buf, size_t len, uint64_t *at, uint32_t flags)
{
	blkioq_zone_append(q, 64 * KIB, buf, len, at, at, flags);
	return io_finish(q, at);
}

static struct blkio *start_zoned(bool takes_fua)
{
	struct blkio *b;

	reset(nvme);
	fake.limits.ops |= BK_OP_BIT(BK_ZONE_APPEND);
	fake.limits.max_append = 8 * KIB;
	fake.limits.buf_alignment = 4;
	fake.limits.takes_fua_write = takes_fua;
	fake.result = appended;
	b = fake_connect();
	CHECK_OK(blkio_set_int(b, "bounce-buffers", 1));
	CHECK_OK(blkio_set_int(b, "bounce-buffer-size", 4 * KIB));
	CHECK_OK(blkio_start(b));
	return b;
}

static void appends(struct device *d)
{
	struct blkio *b = start_zoned(true);
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t at = 1;

	(void)d;
	CHECK_IO_ERR(append(q, memory, 8 * KIB + BLOCK, &at, 0), EINVAL, "zone-append-max-bytes");
	CHECK_IO_ERR(append(q, memory + 1, 8 * KIB, &at, 0), EINVAL, "bounce-buffer-size");
	CHECK_IO_ERR(append(q, memory, 0, &at, 0), EINVAL, "length is 0");
	CHECK_IO_ERR(append(q, memory, BLOCK, &at, BLKIO_REQ_ATOMIC), EINVAL, "ATOMIC");
	CHECK_EQ(fake.nr_ops, 0);
	CHECK_EQ(at, 1);
	CHECK_EQ(append(q, memory, 8 * KIB, &at, BLKIO_REQ_FUA), 0);
	CHECK_EQ(at, 64 * KIB + 3 * BLOCK);
	fake_check(0, BK_ZONE_APPEND, 64 * KIB, 8 * KIB);
	CHECK_EQ(fake.log[0].flags, BLKIO_REQ_FUA);
	at = 1;
	CHECK_EQ(append(q, memory + 1, 4 * KIB, &at, 0), 0);
	CHECK_EQ(at, 64 * KIB + 3 * BLOCK);
	CHECK(fake.log[1].base != memory + 1);
	CHECK_EQ(fake.nr_ops, 2);
	fake.result = half;
	CHECK_IO_ERR(append(q, memory, 8 * KIB, &at, 0), EIO, "as a whole");
	CHECK_EQ(fake.nr_ops, 3);
	blkio_destroy(&b);
}

static void append_then_flush(struct device *d)
{
	struct blkio *b = start_zoned(false);
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t at = 1;

	(void)d;
	CHECK_EQ(append(q, memory, BLOCK, &at, BLKIO_REQ_FUA), 0);
	CHECK_EQ(at, 64 * KIB + 3 * BLOCK);
	CHECK_EQ(fake.nr_ops, 2);
	CHECK_EQ(fake.log[1].op, BK_FLUSH);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "atomic writes", atomic_writes },
	{ "no atomic writes", no_atomic_writes },
	{ "atomic writes with emulated FUA", emulated_fua },
	{ "a short write", short_write },
	{ "bounce buffers", bounced },
	{ "zone appends", appends },
	{ "zone append with emulated FUA", append_then_flush },
};
TEST_MAIN(tests)
