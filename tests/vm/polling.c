/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Poll queues of the io_uring driver on TEST_DISK: where they exist they poll, which is to say that
 * no interrupt comes; where polling would silently be waiting, they are refused.
 */
#include <time.h>

#include "../lib/io.h"
#include "../lib/test.h"
#include "disk.h"

#define BLOCK	 4096u
#define NR_READS 100
#define DEPTH	 64

static bool disk_is_nvme(void)
{
	return strncmp(disk_name(), "nvme", 4) == 0;
}

static void need_poll_queues(void)
{
	if (!disk_queue("io_poll"))
		SKIP("%s has no poll queues", disk_name());
}

static void read_one_by_one(struct blkioq *q, unsigned n)
{
	char *buf = buffer(BLOCK);

	for (unsigned i = 0; i < n; i++)
		CHECK_EQ(io_read(q, (uint64_t)i * BLOCK, buf, BLOCK, 0), 0);
	free(buf);
}

static void no_interrupts(struct device *d)
{
	struct blkio *b;
	uint64_t before;

	(void)d;
	need_poll_queues();
	if (!disk_is_nvme())
		SKIP("%s is not NVMe: it has no interrupts of its own", disk_name());
	b = disk_start(1);
	before = disk_interrupts();
	read_one_by_one(blkio_get_poll_queue(b, 0), NR_READS);
	CHECK_EQ(disk_interrupts(), before);
	/* And the count is worth something. */
	read_one_by_one(blkio_get_queue(b, 0), NR_READS);
	CHECK(disk_interrupts() >= before + NR_READS);
	blkio_destroy(&b);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* TEST_DISK_DELAY: the milliseconds that a request takes when nobody polls. */
static void polling_overtakes_the_timer(struct device *d)
{
	const char *delay = getenv("TEST_DISK_DELAY");
	unsigned n = 10;
	struct blkio *b;
	double start, polled, waited;

	(void)d;
	if (!delay)
		SKIP("TEST_DISK_DELAY is not set: %s is not slow", disk_name());
	b = disk_start(1);
	start = seconds();
	read_one_by_one(blkio_get_poll_queue(b, 0), n);
	polled = seconds() - start;
	read_one_by_one(blkio_get_queue(b, 0), n);
	waited = seconds() - start - polled;
	printf("%u reads: %.3f s polled, %.3f s not\n", n, polled, waited);
	CHECK(waited >= n * atof(delay) / 1000);
	CHECK(polled < n * atof(delay) / 1000);
	blkio_destroy(&b);
}

/* Many at once, more than the device has tags for, with data that tells them apart. */
static void many_in_flight(struct device *d)
{
	static struct blkio_completion c[DEPTH];
	struct blkio *b;
	struct blkioq *q;
	char *buf;

	(void)d;
	need_poll_queues();
	b = disk_start(1);
	q = blkio_get_poll_queue(b, 0);
	buf = buffer(DEPTH * BLOCK);
	pattern(buf, 0, DEPTH * BLOCK, 7);
	for (uint64_t i = 0; i < DEPTH; i++)
		blkioq_write(q, i * BLOCK, buf + i * BLOCK, BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, c, DEPTH, DEPTH, NULL), DEPTH);
	for (unsigned i = 0; i < DEPTH; i++)
		CHECK_EQ(c[i].ret, 0);
	memset(buf, 0, DEPTH * BLOCK);
	for (uint64_t i = 0; i < DEPTH; i++)
		blkioq_read(q, i * BLOCK, buf + i * BLOCK, BLOCK, NULL, 0);
	for (unsigned done = 0; done < DEPTH;) {
		int n = blkioq_do_io(q, c, 1, DEPTH, NULL);

		CHECK_OK(n);
		for (int i = 0; i < n; i++)
			CHECK_EQ(c[i].ret, 0);
		done += (unsigned)n;
	}
	disk_peek(0, buf, DEPTH * BLOCK);
	check_pattern(buf, 0, DEPTH * BLOCK, 7);
	free(buf);
	blkio_destroy(&b);
}

static void reads_and_writes_only(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	need_poll_queues();
	b = disk_start(1);
	q = blkio_get_poll_queue(b, 0);
	CHECK_EQ(blkioq_get_completion_fd(q), -1);
	CHECK_IO_ERR(io_flush(q, 0), ENOTSUP, "poll queues support only reads and writes");
	CHECK_IO_ERR(io_discard(q, 0, BLOCK, 0), ENOTSUP,
		     "poll queues support only reads and writes");
	CHECK_IO_ERR(io_zeroes(q, 0, BLOCK, BLKIO_REQ_NO_FALLBACK), ENOTSUP, "");
	/* Zeroes that are written, on the other hand, can be polled for. */
	CHECK_EQ(io_zeroes(q, 0, BLOCK, 0), 0);
	read_one_by_one(q, 1);
	blkio_destroy(&b);
}

/* The kernel splits them there, which Linux 6.1 does not do with polled ones. */
static void across_zones(struct device *d)
{
	uint64_t zone = disk_queue("chunk_sectors") * 512;
	struct blkio *b;
	struct blkioq *q;
	char *buf;

	(void)d;
	need_poll_queues();
	if (!zone)
		SKIP("%s has no zones", disk_name());
	b = disk_start(1);
	q = blkio_get_poll_queue(b, 0);
	buf = buffer(2 * BLOCK);
	for (uint64_t end = zone; end <= 2 * zone; end += zone) {
		struct iovec iov[] = { { buf + BLOCK, BLOCK }, { buf, BLOCK } };

		CHECK_EQ(io_read(q, end - 512, buf, 2 * BLOCK, 0), 0);
		CHECK_EQ(io_readv(q, end - BLOCK - 512, iov, 2, 0), 0);
	}
	free(buf);
	blkio_destroy(&b);
}

static void nothing_to_wait_for(struct device *d)
{
	struct timespec timeout = { .tv_nsec = 1000 * 1000 };
	struct blkio_completion c;
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	need_poll_queues();
	b = disk_start(1);
	q = blkio_get_poll_queue(b, 0);
	CHECK_EQ(blkioq_do_io(q, &c, 0, 1, &timeout), 0);
	CHECK_ERR(blkioq_do_io(q, &c, 1, 1, &timeout), EINVAL);
	read_one_by_one(q, 1);
	blkio_destroy(&b);
}

static void refused_where_it_would_not_poll(struct device *d)
{
	struct blkio *b = disk_connect();

	(void)d;
	if (disk_queue("io_poll"))
		SKIP("%s has poll queues", disk_name());
	CHECK(!get_bool(b, "supports-poll-queues"));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", 1));
	CHECK_ERR(blkio_start(b), EINVAL, "poll");
	CHECK_OK(blkio_set_int(b, "num-poll-queues", 0));
	CHECK_OK(blkio_start(b));
	CHECK_ERR(blkio_add_poll_queue(b), ENOTSUP, "poll");
	read_one_by_one(blkio_get_queue(b, 0), 1);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "no interrupts", no_interrupts },
	{ "polling overtakes the timer", polling_overtakes_the_timer },
	{ "many in flight", many_in_flight },
	{ "reads and writes only", reads_and_writes_only },
	{ "across zones", across_zones },
	{ "nothing to wait for", nothing_to_wait_for },
	{ "refused where it would not poll", refused_where_it_would_not_poll },
};

TEST_MAIN(tests)
