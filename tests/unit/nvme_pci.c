/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * NVMe queues and a controller in this process: what requests look like to the controller, what its
 * answers become, and what happens when it lies.
 */
#include "io.h"
#include "nvme_pci_rig.h"
#include "test.h"

/* The data of a read or write lies exactly in these segments. */
static void expect_data(const struct nvme_cmd *c, const struct iovec *iov, int n)
{
	static struct device_piece piece[1024];
	size_t len = ((c->cdw12 & 0xffff) + 1) * 512u, at = 0;
	unsigned nr = device_data(c, len, piece, ARRAY_LEN(piece)), p = 0;

	for (int i = 0; i < n; i++) {
		for (size_t done = 0; done < iov[i].iov_len && p < nr; done++) {
			CHECK(piece[p].at + at == (uint8_t *)iov[i].iov_base + done);
			if (++at == piece[p].len) {
				at = 0;
				p++;
			}
		}
	}
	CHECK_EQ(p, nr);
}

/* ---- Requests ----------------------------------------------------------------------------- */

static void what_the_controller_sees(struct device *d)
{
	struct rig r = start();
	struct nvme_cmd c;

	(void)d;
	for (int round = 0; round < 5 * RING; round++) {
		size_t len = 512u * (1 + round * 7 % 256);
		struct iovec v = { r.buf + 4 * (round % 100), len };

		blkioq_read(r.q, 8 * 512, v.iov_base, len, NULL, 0);
		submit(r.q);
		c = expect(2, 8, len / 512);
		expect_data(&c, &v, 1);
		finish(&r, &c, 0, 0);
		blkioq_write(r.q, 512, v.iov_base, len, NULL, BLKIO_REQ_FUA);
		submit(r.q);
		c = expect(1, 1, len / 512);
		CHECK_EQ(c.cdw12 >> 16, 1 << 14);
		expect_data(&c, &v, 1);
		finish(&r, &c, 0, 0);
	}
	blkioq_flush(r.q, NULL, 0);
	submit(r.q);
	CHECK(device_pop(1, &c) && c.opcode == 0);
	finish(&r, &c, 0, 0);
	blkioq_write_zeroes(r.q, 512, 1024, NULL, 0);
	submit(r.q);
	c = expect(8, 1, 2);
	finish(&r, &c, 0, 0);
	blkioq_discard(r.q, 8 * 512, 16 * 512, NULL, 0);
	submit(r.q);
	CHECK(device_pop(1, &c) && c.opcode == 9 && c.cdw10 == 0 && c.cdw11 == 4);
	CHECK_MEM((void *)(uintptr_t)c.dptr[0], ((const uint8_t[16]){ 0, 0, 0, 0, 16, 0, 0, 0, 8 }),
		  16);
	finish(&r, &c, 0, 0);
	blkio_destroy(&r.b);
	CHECK_EQ(device.shutdowns, 1);
	CHECK(!device.running);
}

/* All at once, in any order, more than fit: each is completed as its own. */
static void batches(struct device *d)
{
	enum { N = 40 };
	struct rig r = start();
	struct nvme_cmd c[RING];
	struct blkio_completion done[N];
	int finished = 0, seen[N] = { 0 };

	(void)d;
	for (int i = 0; i < N; i++)
		blkioq_read(r.q, i * 512, r.buf + i * LEN, 512, &seen[i], 0);
	while (finished < N) {
		int n = 0, got;

		submit(r.q);
		while (device_pop(1, &c[n]))
			n++;
		CHECK(n && n < RING);
		for (int i = n; i-- > 0;) {
			CHECK(c[i].dptr[0] == (uintptr_t)(r.buf + (size_t)c[i].cdw10 * LEN));
			device_complete(1, &c[i], 0);
		}
		got = blkioq_do_io(r.q, done, n, N, NULL);
		CHECK_EQ(got, n);
		for (int i = 0; i < got; i++) {
			CHECK_EQ(done[i].ret, 0);
			CHECK_EQ((*(int *)done[i].user_data)++, 0);
		}
		finished += got;
	}
	blkio_destroy(&r.b);
}

/* What a PRP list, or one command, cannot describe is done in several, or as a list of segments. */
static void vectored(bool sgl)
{
	struct rig r;
	struct nvme_cmd c;
	struct iovec odd[3], whole[3];

	device_reset();
	device.ctrl.sgls = sgl ? 1 : 0;
	r = start_queues(1, 0);
	for (int i = 0; i < 3; i++) {
		odd[i] = (struct iovec){ r.buf + 2 * i * LEN + 512, 1024 };
		whole[i] = (struct iovec){ r.buf + 2 * i * LEN, LEN };
	}
	blkioq_readv(r.q, 0, whole, 3, NULL, 0);
	submit(r.q);
	c = expect(2, 0, 24);
	CHECK_EQ(c.flags, 0);
	expect_data(&c, whole, 3);
	finish(&r, &c, 0, 0);

	blkioq_writev(r.q, 512, odd, 3, NULL, BLKIO_REQ_FUA);
	submit(r.q);
	if (sgl) {
		c = expect(1, 1, 6);
		CHECK_EQ(c.flags, 0x40);
		expect_data(&c, odd, 3);
		finish(&r, &c, 0, 0);
	}
	for (int i = 0; i < 3 && !sgl; i++) {
		c = expect(1, 1 + 2 * i, 2);
		CHECK_EQ(c.cdw12 >> 16, 1 << 14);
		expect_data(&c, &odd[i], 1);
		expect_none();
		device_complete(1, &c, 0);
		if (i < 2)
			submit(r.q);
	}
	if (!sgl) {
		struct blkio_completion done;

		CHECK_EQ(blkioq_do_io(r.q, &done, 1, 1, NULL), 1);
		CHECK_EQ(done.ret, 0);
	}
	blkio_destroy(&r.b);
}

static void vectored_prp(struct device *d)
{
	(void)d;
	vectored(false);
}

static void vectored_sgl(struct device *d)
{
	(void)d;
	vectored(true);
}

/* Without scatter-gather lists, blocks that lie in pieces are copied. */
static void blocks_in_pieces(struct device *d)
{
	struct rig r = start();
	struct device_piece piece;
	struct nvme_cmd c;
	struct iovec v[] = { { r.buf, 4 }, { r.buf + LEN, 508 }, { r.buf + 2 * LEN, 512 } };

	(void)d;
	memset(r.buf, 1, 4);
	memset(r.buf + LEN, 2, 508);
	memset(r.buf + 2 * LEN, 3, 512);
	blkioq_writev(r.q, 0, v, 3, NULL, 0);
	submit(r.q);
	c = expect(1, 0, 2);
	CHECK_EQ(device_data(&c, 1024, &piece, 1), 1);
	check_all(piece.at, 4, 1);
	check_all(piece.at + 4, 508, 2);
	check_all(piece.at + 512, 512, 3);
	finish(&r, &c, 0, 0);
	blkioq_readv(r.q, 0, v, 3, NULL, 0);
	submit(r.q);
	c = expect(2, 0, 2);
	CHECK_EQ(device_data(&c, 1024, &piece, 1), 1);
	memset(piece.at, 7, 512);
	memset(piece.at + 512, 8, 512);
	finish(&r, &c, 0, 0);
	check_all(r.buf, 4, 7);
	check_all(r.buf + LEN, 508, 7);
	check_all(r.buf + 2 * LEN, 512, 8);
	CHECK_EQ(r.buf[4] | r.buf[LEN + 508], 0);
	blkio_destroy(&r.b);
}

static void longer_than_a_transfer(struct device *d)
{
	struct rig r = start();
	size_t len = 300 << 10, most = 128 << 10;
	struct blkio_completion done;
	struct nvme_cmd c;

	(void)d;
	blkioq_write(r.q, 0, r.buf, len, NULL, 0);
	for (size_t at = 0; at < len; at += most) {
		struct iovec v = { r.buf + at, len - at < most ? len - at : most };

		submit(r.q);
		c = expect(1, at / 512, v.iov_len / 512);
		expect_data(&c, &v, 1);
		expect_none();
		device_complete(1, &c, 0);
	}
	CHECK_EQ(blkioq_do_io(r.q, &done, 1, 1, NULL), 1);
	CHECK_EQ(done.ret, 0);
	blkio_destroy(&r.b);
}

static void statuses(struct device *d)
{
	struct rig r = start();
	struct nvme_cmd c;

	(void)d;
	blkioq_read(r.q, 0, r.buf, 512, NULL, 0);
	submit(r.q);
	c = expect(2, 0, 1);
	finish(&r, &c, 0x281 | 0x4000, -ENODATA); /* unrecovered read error, do not retry */
	blkioq_write(r.q, 0, r.buf, 512, NULL, 0);
	submit(r.q);
	c = expect(1, 0, 1);
	finish(&r, &c, 0x20, -EROFS);
	blkioq_read(r.q, 0, r.buf + PAGES * LEN - 512, 1024, NULL, 0);
	submit(r.q);
	expect_none();
	blkio_destroy(&r.b);
}

/* The controller is to insert and check it, also in what is else a plain request. */
static void protection(struct device *d)
{
	struct rig r;
	struct nvme_cmd c;

	(void)d;
	device_reset();
	device.ns.lbaf[0].ms = 8;
	device.ns.dps = 1;
	r = start_queues(1, 0);
	CHECK_EQ(to_nvme_pci_dev(r.b)->ns.pi, 1);
	for (int round = 0; round < 3 * RING; round++) {
		blkioq_write(r.q, 7 * 512, r.buf, 1024, NULL, round % 2 ? BLKIO_REQ_FUA : 0);
		blkioq_read(r.q, 9 * 512, r.buf, 512, NULL, 0);
		submit(r.q);
		c = expect(1, 7, 2);
		CHECK_EQ(c.cdw12, (round % 2 ? 0x74000001 : 0x34000001));
		CHECK_EQ(c.cdw14, 7);
		CHECK(!c.mptr);
		finish(&r, &c, 0, 0);
		c = expect(2, 9, 1);
		CHECK_EQ(c.cdw12, 0x34000000);
		CHECK_EQ(c.cdw14, 9);
		finish(&r, &c, round % 2 ? 0x282 : 0, round % 2 ? -EILSEQ : 0);
	}
	blkio_destroy(&r.b);
}

static void metadata(struct device *d)
{
	struct rig r;
	struct nvme_cmd c;

	(void)d;
	device_reset();
	device.ns.lbaf[0].ms = 8;
	r = start_queues(1, 0);
	memset(r.buf, 0xff, LEN);
	blkioq_write(r.q, 0, r.buf, LEN, NULL, 0);
	blkioq_read(r.q, 0, r.buf, LEN, NULL, 0);
	submit(r.q);
	c = expect(1, 0, 8);
	CHECK(c.mptr && c.mptr % 4 == 0);
	check_all((void *)(uintptr_t)c.mptr, 64, 0);
	finish(&r, &c, 0, 0);
	c = expect(2, 0, 8);
	CHECK(c.mptr);
	memset((void *)(uintptr_t)c.mptr, 0xee, 64);
	finish(&r, &c, 0, 0);
	blkioq_writev(r.q, 0, &(struct iovec){ r.buf, LEN }, 1, NULL, 0);
	submit(r.q);
	c = expect(1, 0, 8);
	check_all((void *)(uintptr_t)c.mptr, 64, 0);
	finish(&r, &c, 0, 0);
	blkio_destroy(&r.b);
}

/* ---- Lies --------------------------------------------------------------------------------- */

/* With two reads in flight, as the first answer; both end with an error. */
static void lie(struct device_says says)
{
	struct rig r = start();
	struct blkio_completion done[3];
	struct nvme_cmd c;

	printf("identifier %u, queue %u, head %u\n", says.cid, says.sqid, says.sq_head);
	blkioq_read(r.q, 0, r.buf, 512, NULL, 0);
	blkioq_read(r.q, 0, r.buf, 512, NULL, 0);
	submit(r.q);
	while (device_pop(1, &c))
		continue;
	device_push(1, says);
	CHECK_EQ(blkioq_do_io(r.q, done, 2, 2, NULL), 2);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(done[i].ret, -EIO);
	/* It is told to stop, and everything fails from now on. */
	CHECK_EQ(nvme_reg_read32(device.regs, 0x14), 0);
	blkioq_read(r.q, 0, r.buf, 512, NULL, 0);
	CHECK_EQ(blkioq_do_io(r.q, done, 1, 3, NULL), 1);
	CHECK_EQ(done[0].ret, -EIO);
	CHECK_STR(done[0].error_msg,
		  "the NVMe controller completed a command that it was not sent");
	device_turn();
	blkio_destroy(&r.b);
	CHECK_EQ(device.shutdowns, 0);
}

static void lies(struct device *d)
{
	(void)d;
	lie((struct device_says){ .cid = 0, .sqid = 2 });
	lie((struct device_says){ .cid = 0, .sqid = 0 });
	lie((struct device_says){ .cid = 0, .sqid = 1, .sq_head = RING });
	lie((struct device_says){ .cid = 2, .sqid = 1 });
	lie((struct device_says){ .cid = RING - 1, .sqid = 1 });
	lie((struct device_says){ .cid = 0xffff, .sqid = 1 });
}

static void twice(struct device *d)
{
	struct rig r = start();
	struct blkio_completion done[2];
	struct nvme_cmd c;

	(void)d;
	for (int i = 0; i < 2; i++)
		blkioq_read(r.q, 0, r.buf, 512, NULL, 0);
	submit(r.q);
	c = expect(2, 0, 1);
	device_complete(1, &c, 0);
	device_complete(1, &c, 0);
	CHECK_EQ(blkioq_do_io(r.q, done, 2, 2, NULL), 2);
	CHECK_EQ(done[0].ret, 0);
	CHECK_EQ(done[1].ret, -EIO);
	device_turn();
	blkio_destroy(&r.b);
}

/* What is not there yet does not count, whatever else it says. */
static void old_entries(struct device *d)
{
	struct timespec soon = { .tv_nsec = 1000 };
	struct rig r = start();
	struct blkio_completion done;
	struct nvme_cmd c;

	(void)d;
	for (int i = 0; i < 3 * RING; i++) {
		blkioq_read(r.q, 0, r.buf, 512, NULL, 0);
		submit(r.q);
		c = expect(2, 0, 1);
		device_push(1, (struct device_says){ c.cid, 0, 1, 0, .old_phase = true });
		CHECK_EQ(blkioq_do_io(r.q, &done, 1, 1, &soon), -ETIME);
		soon.tv_nsec = 1000;
		finish(&r, &c, 0, 0);
	}
	blkio_destroy(&r.b);
}

static const struct test tests[] = {
	{ "what the controller sees", what_the_controller_sees },
	{ "batches, and completions in any order", batches },
	{ "vectored, with PRP lists", vectored_prp },
	{ "vectored, with scatter-gather lists", vectored_sgl },
	{ "blocks in pieces", blocks_in_pieces },
	{ "longer than a transfer", longer_than_a_transfer },
	{ "statuses", statuses },
	{ "protection information", protection },
	{ "metadata", metadata },
	{ "lies", lies },
	{ "a completion comes twice", twice },
	{ "entries of the other phase", old_entries },
};

TEST_MAIN(tests)
