/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pieces of polled requests: as long as may be, and none that the kernel has to split. */
#include "io_uring_dev.h"
#include "test.h"

#define KIB  1024u
#define PAGE 4096u
#define ADDR 0x10000000u /* of a page; nothing is read or written */

static const struct iou_unsplit nvme = {
	.bytes = 128 * KIB,
	.pages = 16,
	.boundary_mask = PAGE - 1,
	.physical_block = 512,
	.block = 512,
};

static struct iovec segment(uintptr_t offset, size_t len)
{
	return (struct iovec){ (void *)(ADDR + offset), len };
}

static struct iou_piece piece(const struct iou_unsplit *u, uint64_t start, const struct iovec *iov,
			      int n)
{
	struct bk_req r = { .start = start, .iov = iov, .iovcnt = n };

	for (int i = 0; i < n; i++)
		r.len += iov[i].iov_len;
	return iou_first_piece(u, &r);
}

static void check_piece(struct iou_piece got, const struct iovec *iov, int n, uint64_t len)
{
	CHECK(got.iov == iov);
	CHECK_EQ(got.iovcnt, n);
	CHECK_EQ(got.len, len);
}

static void whole(struct device *d)
{
	struct iovec iov[] = { segment(0, PAGE), segment(2 * PAGE, PAGE), segment(8 * PAGE, 512) };

	(void)d;
	check_piece(piece(&nvme, 512, iov, 3), iov, 3, 2 * PAGE + 512);
	check_piece(piece(&nvme, 0, iov, 1), iov, 1, PAGE);
	iov[0] = segment(512, 15 * PAGE);
	check_piece(piece(&nvme, 0, iov, 1), iov, 1, 15 * PAGE);
}

static void gaps(struct device *d)
{
	struct iovec iov[] = { segment(0, 512), segment(512, 512), segment(2 * PAGE, 512) };
	struct iou_unsplit u = nvme;

	(void)d;
	check_piece(piece(&nvme, 0, iov, 3), iov, 2, 1024); /* two are adjacent */
	iov[0] = segment(PAGE, PAGE);
	check_piece(piece(&nvme, 0, iov, 3), iov, 1, PAGE); /* begins within a page */
	u.boundary_mask = 0;
	check_piece(piece(&u, 0, iov, 3), iov, 3, PAGE + 1024);
}

static void empty_segments(struct device *d)
{
	struct iovec iov[] = { segment(7, 0), segment(0, PAGE), segment(9, 0), segment(PAGE, PAGE),
			       segment(0, 400 * KIB) };

	(void)d;
	check_piece(piece(&nvme, 0, iov, 4), iov, 4, 2 * PAGE);
	check_piece(piece(&nvme, 0, iov + 4, 1), iov + 4, 1, 16 * PAGE);
	iov[1] = segment(512, 400 * KIB);
	check_piece(piece(&nvme, 0, iov, 4), iov + 1, 1, 16 * PAGE - 512);
}

static void too_many_pages(struct device *d)
{
	struct iovec iov[20];
	struct iou_unsplit u = nvme;

	(void)d;
	for (unsigned i = 0; i < ARRAY_SIZE(iov); i++)
		iov[i] = segment(i * 2 * PAGE, PAGE);
	check_piece(piece(&nvme, 0, iov, 20), iov, 16, 16 * PAGE);
	u.boundary_mask = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(iov); i++)
		iov[i] = segment(i * 2 * PAGE + 3584, PAGE); /* two pages each */
	check_piece(piece(&u, 0, iov, 20), iov, 8, 8 * PAGE);
}

static void too_long(struct device *d)
{
	struct iovec one = segment(0, 300 * KIB);
	struct iovec iov[] = { segment(0, 100 * KIB), segment(100 * KIB, 100 * KIB) };
	struct iou_unsplit u = nvme;

	(void)d;
	u.pages = 128;
	check_piece(piece(&u, 512, &one, 1), &one, 1, 128 * KIB);
	check_piece(piece(&u, 512, iov, 2), iov, 1, 100 * KIB);
	CHECK_EQ(iou_unsplit_buffer(&u), 128 * KIB);
	CHECK_EQ(iou_unsplit_buffer(&nvme), 15 * PAGE);
	/* The kernel would split where a physical block ends. */
	u.physical_block = PAGE;
	check_piece(piece(&u, 0, &one, 1), &one, 1, 128 * KIB);
	check_piece(piece(&u, 512, &one, 1), &one, 1, 128 * KIB - 512);
	CHECK_EQ(iou_unsplit_buffer(&u), 128 * KIB - PAGE + 512);
	u.disk_start = 63 * 512;
	check_piece(piece(&u, 512, &one, 1), &one, 1, 128 * KIB);
}

static void chunks(struct device *d)
{
	struct iovec iov[] = { segment(0, PAGE), segment(PAGE, PAGE) };
	struct iou_unsplit u = nvme;

	(void)d;
	u.chunk = 3 * PAGE;
	check_piece(piece(&u, 0, iov, 2), iov, 2, 2 * PAGE);
	check_piece(piece(&u, 2 * PAGE, iov, 2), iov, 1, PAGE);
	check_piece(piece(&u, 2 * PAGE + 512, iov, 2), iov, 1, PAGE - 512);
	u.disk_start = 512;
	check_piece(piece(&u, 2 * PAGE + 512, iov, 2), iov, 1, PAGE - 1024);
	CHECK_EQ(iou_unsplit_buffer(&u), 0);
}

/* The kernel judges what has no whole blocks to begin with. */
static void odd_segments(struct device *d)
{
	struct iovec iov[] = { segment(0, 256), segment(2 * PAGE, 256),
			       segment(2 * PAGE + 256, 512) };

	(void)d;
	check_piece(piece(&nvme, 0, iov, 3), iov, 3, 1024);
	iov[1] = segment(256, 256);
	check_piece(piece(&nvme, 0, iov, 3), iov, 2, 512);
}

static const struct test tests[] = {
	{ "what needs no split is one piece", whole },
	{ "gaps between segments", gaps },
	{ "empty segments", empty_segments },
	{ "more pages than segments of the disk", too_many_pages },
	{ "longer than a request of the disk", too_long },
	{ "chunks", chunks },
	{ "odd segments", odd_segments },
};

TEST_MAIN(tests)
