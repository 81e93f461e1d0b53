/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* nvme-io_uring on a namespace without zones: kinds of queues, opt-ins, and what a queue may do. */
#include <fcntl.h>
#include <unistd.h>

#include "ns.h"

#define BLOCK 4096u
#define AREA  (256u << 10)

/* Far more than the ring's entries and the device's tags. */
static void many_in_flight(struct blkioq *q, char *buf, uint32_t seed)
{
	enum { N = AREA / BLOCK };
	struct blkio_completion c[N];

	pattern(buf, 0, AREA, seed);
	for (uint64_t i = 0; i < N; i++)
		blkioq_write(q, i * BLOCK, buf + i * BLOCK, BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
	for (int i = 0; i < N; i++)
		CHECK_EQ(c[i].ret, 0);
	memset(buf, 0xee, AREA);
	for (uint64_t i = 0; i < N; i++)
		blkioq_read(q, i * BLOCK, buf + i * BLOCK, BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
	check_pattern(buf, 0, AREA, seed);
}

static void opt_ins(struct device *d)
{
	static const char *const names[] = { "single-issuer", "register-buffers", "sq-poll" };

	(void)d;
	for (unsigned bits = 0; bits < 1u << ARRAY_LEN(names); bits++) {
		struct blkio *b = ns_connect();
		struct blkio_mem_region r;
		char *buf = buffer(AREA);
		struct blkioq *q;

		printf("combination %u\n", bits);
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			CHECK_OK(blkio_set_bool(b, names[i], bits >> i & 1));
		CHECK_OK(blkio_set_int(b, "num-entries", 16));
		CHECK_OK(blkio_start(b));
		q = blkio_get_queue(b, 0);
		many_in_flight(q, buf, bits);
		CHECK_OK(blkio_alloc_mem_region(b, &r, AREA));
		CHECK_OK(blkio_map_mem_region(b, &r));
		many_in_flight(q, r.addr, bits + 10);
		CHECK_EQ(
		    io_writev(q, 0, (struct iovec[]){ { r.addr, BLOCK }, { buf, BLOCK } }, 2, 0),
		    0);
		CHECK_EQ(io_zeroes(q, 0, AREA, 0), 0);
		CHECK_EQ(io_flush(q, 0), 0);
		CHECK_EQ(io_read(q, 0, r.addr, AREA, 0), 0);
		check_all(r.addr, AREA, 0);
		blkio_unmap_mem_region(b, &r);
		many_in_flight(q, r.addr, bits + 20);
		blkio_free_mem_region(b, &r);
		free(buf);
		blkio_destroy(&b);
	}
}

/* Regions of many pages, used from anywhere to anywhere: registered where the kernel can. */
static void large_regions(struct device *d)
{
	struct blkio *b = ns_connect();
	struct blkio_mem_region r;
	struct blkioq *q;
	char *buf;

	(void)d;
	CHECK_OK(blkio_set_bool(b, "register-buffers", true));
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	CHECK_OK(blkio_alloc_mem_region(b, &r, 8 << 20));
	CHECK_OK(blkio_map_mem_region(b, &r));
	for (size_t len = BLOCK; len <= AREA; len *= 4) {
		for (size_t at = 0; at < r.len; at += r.len / 16 + 516) {
			buf = (char *)r.addr + (at > r.len - len ? r.len - len : at);
			pattern(buf, 0, len, at);
			CHECK_EQ(io_write(q, 0, buf, len, 0), 0);
			memset(buf, 0xee, len);
			CHECK_EQ(io_read(q, 0, buf, len, 0), 0);
			check_pattern(buf, 0, len, at);
		}
	}
	blkio_free_mem_region(b, &r);
	blkio_destroy(&b);
}

static void need_poll_queues(void)
{
	if (!disk_queue("io_poll"))
		SKIP("%s has no poll queues", disk_name());
}

static void poll_queue(struct device *d)
{
	struct blkio *b = ns_connect();
	char *buf = buffer(AREA);
	struct blkioq *q;
	uint64_t before;

	(void)d;
	need_poll_queues();
	CHECK_OK(blkio_set_int(b, "num-poll-queues", 1));
	CHECK_OK(blkio_set_bool(b, "register-buffers", true));
	CHECK_OK(blkio_start(b));
	q = blkio_get_poll_queue(b, 0);
	before = disk_interrupts();
	for (uint32_t i = 0; i < 4; i++)
		many_in_flight(q, buf, 40 + i);
	CHECK_EQ(
	    io_readv(q, 0, (struct iovec[]){ { buf, BLOCK }, { buf + 3 * BLOCK, BLOCK } }, 2, 0),
	    0);
	CHECK_EQ(io_write(q, 0, buf, BLOCK, BLKIO_REQ_FUA), 0);
	CHECK_EQ(io_discard(q, 0, AREA, 0), 0);
	CHECK_EQ(io_zeroes(q, 0, AREA, 0), 0); /* by writing zeroes */
	CHECK_EQ(disk_interrupts(), before);
	CHECK_IO_ERR(io_flush(q, 0), ENOTSUP, "poll queue");
	CHECK_IO_ERR(io_zeroes(q, 0, AREA, BLKIO_REQ_NO_FALLBACK), ENOTSUP, "");
	/* And the count is worth something. */
	many_in_flight(blkio_get_queue(b, 0), buf, 50);
	CHECK(disk_interrupts() > before);
	free(buf);
	blkio_destroy(&b);
}

static void no_poll_queue_without_polling(struct device *d)
{
	struct blkio *b = ns_connect();

	(void)d;
	if (disk_queue("io_poll"))
		SKIP("%s has poll queues", disk_name());
	CHECK(!get_bool(b, "supports-poll-queues"));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", 1));
	CHECK_ERR(blkio_start(b), EINVAL, "poll");
	blkio_destroy(&b);
}

static void completion_fd(struct device *d)
{
	struct blkio *b = ns_start();
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(BLOCK);
	struct blkio_completion c;
	uint64_t count;

	(void)d;
	blkioq_set_completion_fd_enabled(q, true);
	SYS(fcntl(blkioq_get_completion_fd(q), F_SETFL, 0));
	blkioq_read(q, 0, buf, BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	CHECK_EQ(read(blkioq_get_completion_fd(q), &count, sizeof(count)), 8); /* sleeps */
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
	CHECK_EQ(c.ret, 0);
	free(buf);
	blkio_destroy(&b);
}

static void read_only(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;
	char *buf = buffer(BLOCK);

	(void)d;
	CHECK_OK(blkio_create("nvme-io_uring", &b));
	CHECK_OK(blkio_set_str(b, "path", ns_generic()));
	CHECK_OK(blkio_set_bool(b, "read-only", true));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	CHECK_IO_ERR(io_write(q, 0, buf, BLOCK, 0), EBADF, "read-only");
	CHECK_IO_ERR(io_zeroes(q, 0, BLOCK, 0), EBADF, "read-only");
	CHECK_IO_ERR(io_discard(q, 0, BLOCK, 0), EBADF, "read-only");
	free(buf);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "opt-ins", opt_ins },
	{ "large regions", large_regions },
	{ "poll queue", poll_queue },
	{ "no poll queue without polling", no_poll_queue_without_polling },
	{ "completion fd", completion_fd },
	{ "read-only", read_only },
};
TEST_MAIN(tests)
