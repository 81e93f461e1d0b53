/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * virtio-blk over a transport in this process: what requests look like to the device, what its
 * answers become, what happens to requests when rings are lost and when the device fails.
 */
#include "io.h"
#include "test.h"
#include "virtio_blk_device.h"

enum { N = 40, RING = 16, LEN = 4096 };

/* ---- Set-up -------------------------------------------------------------------------------- */

struct rig {
	struct blkio *b;
	struct blkioq *q;
	struct blkio_mem_region region;
	char *buf;
	struct iovec iov[2];
};

static struct rig start(void)
{
	struct rig r;

	CHECK_OK(blkio_create("fake-virtio", &r.b));
	CHECK_OK(blkio_connect(r.b));
	CHECK_OK(blkio_set_int(r.b, "queue-size", RING));
	CHECK_OK(blkio_start(r.b));
	r.q = blkio_get_queue(r.b, 0);
	CHECK_OK(blkio_alloc_mem_region(r.b, &r.region, N * LEN));
	CHECK_OK(blkio_map_mem_region(r.b, &r.region));
	r.buf = r.region.addr;
	return r;
}

/* Of every kind of ring. */
static void on_each_ring(void (*test)(void))
{
	for (unsigned kind = 0; kind < 8; kind++) {
		device_reset();
		if (kind & 1)
			device.offered |= BIT(VIRTIO_F_RING_PACKED);
		if (kind & 2)
			device.offered &= ~BIT(VIRTIO_RING_F_INDIRECT_DESC);
		if (kind & 4)
			device.offered &= ~BIT(VIRTIO_RING_F_EVENT_IDX);
		printf("features %#llx\n", (unsigned long long)device.offered);
		test();
	}
}

static void submit(struct blkioq *q)
{
	CHECK_OK(blkioq_do_io(q, NULL, 0, 0, NULL));
}

static void *at(const struct virtq_buf *buf)
{
	return (void *)(uintptr_t)buf->iova;
}

/* Return a chain with this status, after the device wrote so many bytes. */
static void answer(const struct device_chain *c, uint8_t status, uint32_t len)
{
	CHECK_EQ(c->buf[c->n - 1].len, 1);
	CHECK(c->buf[c->n - 1].device_writes);
	*(uint8_t *)at(&c->buf[c->n - 1]) = status;
	device_push(&device.ring, c->id, len);
}

static unsigned answer_all(void)
{
	struct device_chain c;
	unsigned n = 0;

	for (; device_pop(&device.ring, &c); n++)
		answer(&c, VIRTIO_BLK_S_OK, 1);
	return n;
}

/* ---- Requests ------------------------------------------------------------------------------ */

/* The next chain has this header, and data (of the last argument, per buffer) in n buffers. */
static struct device_chain expect(uint32_t type, uint64_t sector, unsigned n, uint32_t len)
{
	const struct virtio_blk_outhdr *h;
	static struct device_chain c;

	CHECK(device_pop(&device.ring, &c));
	h = at(&c.buf[0]);
	CHECK_EQ(c.buf[0].len, sizeof(*h));
	CHECK(!c.buf[0].device_writes);
	CHECK_EQ(h->type, type);
	CHECK_EQ(h->ioprio, 0);
	CHECK_EQ(h->sector, sector);
	CHECK_EQ(c.n, n + 2);
	for (unsigned i = 1; i <= n; i++) {
		CHECK_EQ(c.buf[i].len, len);
		CHECK_EQ(c.buf[i].device_writes, type == VIRTIO_BLK_T_IN);
	}
	return c;
}

static void expect_range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	struct device_chain c = expect(type, 0, 1, sizeof(struct virtio_blk_discard_write_zeroes));
	const struct virtio_blk_discard_write_zeroes *range = at(&c.buf[1]);

	CHECK_EQ(range->sector, sector);
	CHECK_EQ(range->num_sectors, sectors);
	CHECK_EQ(range->flags, flags);
	answer(&c, VIRTIO_BLK_S_OK, 1);
}

static void what_the_device_sees(void)
{
	struct rig r = start();
	struct blkio_completion done[8];
	struct device_chain c;
	struct iovec iov[3] = { { r.buf, LEN }, { r.buf + 3 * LEN, LEN }, { r.buf + LEN, LEN } };

	for (int round = 0; round < 3 * RING; round++) {
		blkioq_read(r.q, 8 * 512, r.buf, LEN, NULL, 0);
		blkioq_writev(r.q, 7 * 512, iov, 3, NULL, 0);
		submit(r.q);
		c = expect(VIRTIO_BLK_T_IN, 8, 1, LEN);
		CHECK(at(&c.buf[1]) == r.buf);
		answer(&c, VIRTIO_BLK_S_OK, LEN + 1);
		c = expect(VIRTIO_BLK_T_OUT, 7, 3, LEN);
		for (int i = 0; i < 3; i++)
			CHECK(at(&c.buf[i + 1]) == iov[i].iov_base);
		answer(&c, VIRTIO_BLK_S_OK, 1);
		blkioq_flush(r.q, NULL, 0);
		blkioq_discard(r.q, 8 * 512, 16 * 512, NULL, 0);
		submit(r.q);
		c = expect(VIRTIO_BLK_T_FLUSH, 0, 0, 0);
		answer(&c, VIRTIO_BLK_S_OK, 1);
		expect_range(VIRTIO_BLK_T_DISCARD, 8, 16, 0);
		blkioq_write_zeroes(r.q, 512, 1024, NULL, 0);
		blkioq_write_zeroes(r.q, 512, 1024, NULL, BLKIO_REQ_NO_UNMAP);
		submit(r.q);
		expect_range(VIRTIO_BLK_T_WRITE_ZEROES, 1, 2, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
		expect_range(VIRTIO_BLK_T_WRITE_ZEROES, 1, 2, 0);
		CHECK_EQ(blkioq_do_io(r.q, done, 6, 6, NULL), 6);
		for (int i = 0; i < 6; i++)
			CHECK_EQ(done[i].ret, 0);
	}
	blkio_destroy(&r.b);
}

static void what_answers_become(void)
{
	static const struct {
		uint8_t status;
		uint32_t len;
		int ret;
	} answers[] = {
		{ VIRTIO_BLK_S_OK, LEN + 1, 0 },
		{ VIRTIO_BLK_S_OK, 0, 0 },
		{ VIRTIO_BLK_S_IOERR, 1, -EIO },
		{ VIRTIO_BLK_S_UNSUPP, 1, -ENOTSUP },
		{ 0xff, 1, -EPROTO },
		{ 77, 1, -EPROTO },
		{ VIRTIO_BLK_S_OK, UINT32_MAX, -EIO },
		{ VIRTIO_BLK_S_OK, LEN + 100, -EIO },
	};
	struct rig r = start();
	struct blkio_completion done;

	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct device_chain c;

		blkioq_read(r.q, 0, r.buf, LEN, NULL, 0);
		submit(r.q);
		c = expect(VIRTIO_BLK_T_IN, 0, 1, LEN);
		answer(&c, answers[i].status, answers[i].len);
		CHECK_EQ(blkioq_do_io(r.q, &done, 1, 1, NULL), 1);
		CHECK_EQ(done.ret, answers[i].ret);
	}
	blkio_destroy(&r.b);
}

/* ---- More than the device takes at once ---------------------------------------------------- */

/* The chains that a write becomes: from the sector on, the bytes of each; memory in order. */
static void expect_pieces(struct rig *r, const struct iovec *iov, int n, const uint32_t *pieces)
{
	uint64_t sector = 5;
	struct blkio_completion done;
	char *next = r->buf;

	blkioq_writev(r->q, sector * 512, (struct iovec *)iov, n, NULL, 0);
	for (; *pieces; pieces++) {
		struct device_chain c;
		uint32_t bytes = 0;

		CHECK_EQ(blkioq_do_io(r->q, &done, 0, 1, NULL), 0);
		CHECK(device_pop(&device.ring, &c));
		CHECK_EQ(((const struct virtio_blk_outhdr *)at(&c.buf[0]))->sector, sector);
		CHECK(c.n - 2 <= device.config.seg_max);
		for (unsigned i = 1; i < c.n - 1; i++) {
			CHECK(at(&c.buf[i]) == next);
			CHECK(c.buf[i].len);
			CHECK(!device.config.size_max || c.buf[i].len <= device.config.size_max);
			bytes += c.buf[i].len;
			next += c.buf[i].len;
		}
		CHECK_EQ(bytes, *pieces);
		sector += bytes / 512;
		answer(&c, VIRTIO_BLK_S_OK, 1);
	}
	CHECK_EQ(blkioq_do_io(r->q, &done, 1, 1, NULL), 1);
	CHECK_EQ(done.ret, 0);
}

static void more_segments(void)
{
	static const uint32_t whole[] = { 8 * LEN, 8 * LEN, 4 * LEN, 0 };
	static const uint32_t odd[] = { 14 * 512, 6 * 512, 0 };
	struct rig r = start();
	struct iovec iov[64];

	for (int i = 0; i < 20; i++)
		iov[i] = (struct iovec){ r.buf + i * LEN, LEN };
	for (int round = 0; round < RING; round++)
		expect_pieces(&r, iov, 20, whole);
	/* Pieces end where a block does, also within a segment. */
	iov[0] = (struct iovec){ r.buf, 100 };
	for (int i = 1; i < 10; i++)
		iov[i] = (struct iovec){ r.buf + 100 + (i - 1) * 1024, 1024 };
	iov[10] = (struct iovec){ r.buf + 100 + 9 * 1024, 924 };
	expect_pieces(&r, iov, 11, odd);
	for (int i = 0; i < 64; i++)
		iov[i] = (struct iovec){ r.buf + i * 8, 8 };
	CHECK_IO_ERR(io_writev(r.q, 0, iov, 64, 0), EINVAL, "max-segments");
	blkio_destroy(&r.b);
}

static void longer_segments(void)
{
	static const uint32_t pieces[] = { 13 * 512, 11 * 512, 0 };
	struct rig r;
	struct iovec iov[3];

	device.offered |= BIT(VIRTIO_BLK_F_SIZE_MAX);
	device.config.size_max = 1000;
	r = start();
	for (int i = 0; i < 3; i++)
		iov[i] = (struct iovec){ r.buf + i * LEN, LEN };
	expect_pieces(&r, iov, 3, pieces);
	expect_pieces(&r, iov, 1, (uint32_t[]){ LEN, 0 });
	blkio_destroy(&r.b);
}

/* ---- Loss ---------------------------------------------------------------------------------- */

static void queue_reads(struct rig *r, unsigned char *seen)
{
	r->iov[0] = (struct iovec){ r->buf, LEN };
	r->iov[1] = (struct iovec){ r->buf + 2 * LEN, LEN };
	for (int i = 0; i < N; i++) {
		if (i % 3)
			blkioq_read(r->q, 0, r->buf, LEN, seen + i, 0);
		else
			blkioq_readv(r->q, 0, r->iov, 2, seen + i, 0);
	}
	submit(r->q);
}

/* Up to so many completions, which all have this result. */
static unsigned collect_some(struct rig *r, int most, int want)
{
	struct blkio_completion done[N];
	int n = blkioq_do_io(r->q, done, 0, most, NULL);

	CHECK_OK(n);
	for (int i = 0; i < n; i++) {
		CHECK_EQ(done[i].ret, want);
		CHECK_EQ(++*(unsigned char *)done[i].user_data, 1);
	}
	return (unsigned)n;
}

static unsigned collect(struct rig *r, int want)
{
	return collect_some(r, N, want);
}

/* What was answered counts; the rest is on the new ring, with what waited behind it. */
static void rings_lost(void)
{
	struct rig r = start();

	for (unsigned round = 0; round < 20; round++) {
		unsigned char seen[N] = { 0 };
		unsigned answered = 0, updates = device.updates, got = 0;
		struct device_chain c;

		queue_reads(&r, seen);
		for (; answered < round % 5 && device_pop(&device.ring, &c); answered++)
			answer(&c, VIRTIO_BLK_S_OK, 1);
		virtio_lose_rings(device.v);
		got = collect(&r, 0);
		CHECK_EQ(got, answered);
		while (__atomic_load_n(&device.updates, __ATOMIC_ACQUIRE) == updates)
			usleep(100);
		device_take_ring(to_virtio_queue(r.q));
		while (got < N) {
			answer_all();
			got += collect(&r, 0);
		}
		CHECK_EQ(answer_all(), 0);
	}
	blkio_destroy(&r.b);
}

static void fails(void)
{
	struct rig r = start();
	unsigned char seen[N] = { 0 };
	unsigned got = 0;

	queue_reads(&r, seen);
	virtio_fail_as(device.v, ENOTCONN, "gone");
	virtio_fail(device.v, "again");
	CHECK_EQ(device.abandoned, 1);
	while (got < N)
		got += collect(&r, -ENOTCONN);
	CHECK_IO_ERR(io_read(r.q, 0, r.buf, LEN, 0), ENOTCONN, "gone");
	blkio_destroy(&r.b);
}

/* A device that breaks the rules is given up. */
static void breaks_the_rules(void)
{
	struct rig r = start();
	unsigned char seen[N] = { 0 };
	struct device_chain c;
	unsigned got;

	queue_reads(&r, seen);
	CHECK(device_pop(&device.ring, &c));
	answer(&c, VIRTIO_BLK_S_OK, 1);
	device.ring.chain_len[RING - 1] = 1;
	device_push(&device.ring, (uint16_t)(c.id == RING - 1 ? 0 : c.id), 0);
	got = collect_some(&r, 1, 0);
	CHECK_EQ(got, 1);
	while (got < N)
		got += collect(&r, -EIO);
	CHECK_EQ(device.abandoned, 1);
	blkio_destroy(&r.b);
}

#define ON_EACH_RING(test)                                                                         \
	static void each_##test(struct device *d)                                                  \
	{                                                                                          \
		(void)d;                                                                           \
		on_each_ring(test);                                                                \
	}

ON_EACH_RING(what_the_device_sees)
ON_EACH_RING(what_answers_become)
ON_EACH_RING(more_segments)
ON_EACH_RING(longer_segments)
ON_EACH_RING(rings_lost)
ON_EACH_RING(fails)
ON_EACH_RING(breaks_the_rules)

static const struct test tests[] = {
	{ "what the device sees", each_what_the_device_sees },
	{ "what its answers become", each_what_answers_become },
	{ "more segments than the device takes", each_more_segments },
	{ "longer segments than the device takes", each_longer_segments },
	{ "rings are lost", each_rings_lost },
	{ "the device fails", each_fails },
	{ "the device breaks the rules", each_breaks_the_rules },
};
TEST_MAIN(tests)
