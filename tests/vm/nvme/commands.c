/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * nvme-io_uring on a namespace without zones: every request type does what it says, seen both in
 * the data and in the commands that the kernel sends.
 */
#include <fcntl.h>
#include <unistd.h>

#include "ns.h"

#define BLOCK 4096u
#define AREA  (256u << 10)

static void properties(struct device *d)
{
	struct blkio *b = ns_connect();
	uint64_t block = disk_queue("logical_block_size");
	/* One page less than the segments: any buffer of that length works, wherever it begins. */
	uint64_t by_segments = (disk_queue("max_segments") - 1) * 4096;
	uint64_t by_sectors = disk_queue("max_hw_sectors_kb") << 10;

	(void)d;
	CHECK_EQ(get_int(b, "request-alignment"), block);
	CHECK_EQ(get_u64(b, "capacity"), 256 << 20);
	CHECK_EQ(get_int(b, "max-transfer"), by_segments < by_sectors ? by_segments : by_sectors);
	CHECK_EQ(get_int(b, "optimal-io-alignment"), disk_queue("physical_block_size"));
	CHECK_EQ(get_u64(b, "max-write-zeroes-len"), 65536 * block);
	CHECK(get_u64(b, "max-discard-len") > 1 << 20);
	CHECK_EQ(get_bool(b, "flush-needed"), disk_queue("write_cache"));
	CHECK_EQ(get_bool(b, "supports-fua-natively"), disk_queue("fua"));
	CHECK_EQ(get_bool(b, "supports-poll-queues"), disk_queue("io_poll"));
	CHECK(!get_bool(b, "can-grow") && !get_bool(b, "needs-mem-regions"));
	CHECK_EQ(get_int(b, "zoned"), 0);
	CHECK_EQ(get_u64(b, "nr-zones"), 0);
	CHECK(!get_bool(b, "append-support"));
	blkio_destroy(&b);
}

/* AREA of pattern 1 on the disk, from 0 on. */
static struct blkioq *start_filled(struct blkio **b, char *buf)
{
	*b = ns_start();
	return disk_fill(*b, buf, AREA);
}

static void data(struct device *d)
{
	char *buf = buffer(AREA);
	struct blkio *b;
	struct blkioq *q = start_filled(&b, buf);

	(void)d;
	disk_peek(0, buf, AREA);
	check_pattern(buf, 0, AREA, 1);
	memset(buf, 0xee, AREA);
	CHECK_EQ(io_read(q, BLOCK, buf, AREA - BLOCK, 0), 0);
	check_pattern(buf, BLOCK, AREA - BLOCK, 1);
	check_all(buf + AREA - BLOCK, BLOCK, 0xee);
	free(buf);
	blkio_destroy(&b);
}

/* Everything to its last block, whatever the device, and nothing behind it. */
static void end_of_device(struct device *d)
{
	struct blkio *b = ns_start();
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t end = get_u64(b, "capacity"), block = get_int(b, "request-alignment");
	char *buf = buffer(2 * BLOCK);

	(void)d;
	pattern(buf, end - BLOCK, BLOCK, 3);
	CHECK_EQ(io_write(q, end - BLOCK, buf, BLOCK, 0), 0);
	disk_peek(end - BLOCK, buf, BLOCK);
	check_pattern(buf, end - BLOCK, BLOCK, 3);
	CHECK_IO_ERR(io_read(q, end, buf, BLOCK, 0), EINVAL, "capacity");
	CHECK_IO_ERR(io_write(q, end - BLOCK, buf, 2 * BLOCK, 0), EINVAL, "capacity");
	CHECK_IO_ERR(io_zeroes(q, end - BLOCK, 2 * BLOCK, 0), EINVAL, "capacity");
	CHECK_IO_ERR(io_discard(q, end, BLOCK, 0), EINVAL, "capacity");
	CHECK_IO_ERR(io_read(q, block / 2, buf, block, 0), EINVAL, "request-alignment");
	CHECK_IO_ERR(io_write(q, 0, buf, block / 2, 0), EINVAL, "request-alignment");
	CHECK_IO_ERR(io_zeroes(q, 0, 0, 0), EINVAL, "0");
	CHECK_IO_ERR(io_discard(q, 0, 0, 0), EINVAL, "0");
	/* To the kernel these are commands without data, which devices write to anywhere. */
	commands_start();
	CHECK_IO_ERR(io_read(q, 0, NULL, BLOCK, 0), EFAULT, "NULL");
	CHECK_IO_ERR(io_write(q, 0, NULL, BLOCK, BLKIO_REQ_FUA), EFAULT, "NULL");
	CHECK_IO_ERR(io_readv(q, 0, &(struct iovec){ NULL, BLOCK }, 1, 0), EFAULT, "NULL");
	CHECK_EQ(io_readv(q, 0, (struct iovec[]){ { NULL, BLOCK }, { buf, BLOCK } }, 2, 0),
		 -EFAULT);
	CHECK_EQ(commands_count("nvme_cmd"), 0);
	free(buf);
	blkio_destroy(&b);
}

/* Segments of any length and place; the kernel has to copy those that leave gaps. */
static void vectored(struct device *d)
{
	enum { N = 1024 };
	static struct iovec iov[N];
	struct blkio *b = ns_start();
	struct blkioq *q = blkio_get_queue(b, 0);
	size_t lens[] = { 256, 4096, 8, 1000 };
	char *buf = buffer(8 << 20);

	(void)d;
	for (size_t l = 0; l < ARRAY_LEN(lens); l++) {
		unsigned n = lens[l] == 4096 ? 120 : lens[l] == 1000 ? 504 : N;
		size_t total = 0;

		for (unsigned i = 0; i < n; i++) {
			iov[i] = (struct iovec){ buf + i * 5000 + 4 * (i % 3), lens[l] };
			if (lens[l] == 1000 && i % 2)
				iov[i].iov_len = 1048; /* 2048 each pair */
			pattern(iov[i].iov_base, total, iov[i].iov_len, 10 + l);
			total += iov[i].iov_len;
		}
		CHECK_EQ(io_writev(q, 0, iov, n, 0), 0);
		memset(buf, 0, 8 << 20);
		CHECK_EQ(io_readv(q, 0, iov, n, 0), 0);
		total = 0;
		for (unsigned i = 0; i < n; i++) {
			check_pattern(iov[i].iov_base, total, iov[i].iov_len, 10 + l);
			total += iov[i].iov_len;
		}
		disk_peek(0, buf, total);
		check_pattern(buf, 0, total, 10 + l);
	}
	free(buf);
	blkio_destroy(&b);
}

/* max-transfer is a promise: any buffer of that length works. One block more is refused. */
static void longest_transfer(struct device *d)
{
	struct blkio *b = ns_start();
	struct blkioq *q = blkio_get_queue(b, 0);
	int max = get_int(b, "max-transfer"), block = get_int(b, "request-alignment");
	static const size_t offsets[] = { 0, 4, 512, 4092 };
	char *buf = buffer((size_t)max + 2 * BLOCK);

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
		char *at = buf + offsets[i];

		pattern(at, 0, max, 20 + i);
		CHECK_EQ(io_write(q, 0, at, max, 0), 0);
		memset(at, 0, max);
		CHECK_EQ(io_read(q, 0, at, max, 0), 0);
		check_pattern(at, 0, max, 20 + i);
	}
	CHECK_IO_ERR(io_read(q, 0, buf, max + block, 0), EINVAL, "max-transfer");
	CHECK_IO_ERR(io_write(q, 0, buf + 1, BLOCK, 0), EINVAL, "buf-alignment");
	free(buf);
	blkio_destroy(&b);
}

/* Deallocation is asked for only where the namespace says that it takes that and reads zeroes. */
static void write_zeroes(struct device *d)
{
	enum { DEAC = 0x200, FUA = 0x4000 };
	const unsigned deac = (ns_dlfeat() & 0xf) == 9 ? DEAC : 0;
	const struct {
		uint32_t flags;
		unsigned ctrl;
	} cases[] = {
		{ 0, deac },
		{ BLKIO_REQ_NO_UNMAP, 0 },
		{ BLKIO_REQ_FUA | BLKIO_REQ_NO_FALLBACK, FUA | deac },
		{ BLKIO_REQ_NO_UNMAP | BLKIO_REQ_FUA, FUA },
	};
	char *buf = buffer(AREA), ctrl[32];

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct blkio *b;
		struct blkioq *q = start_filled(&b, buf);

		snprintf(ctrl, sizeof(ctrl), "ctrl=0x%x,", cases[i].ctrl);
		commands_start();
		CHECK_EQ(io_zeroes(q, 2 * BLOCK, AREA / 2, cases[i].flags), 0);
		CHECK_EQ(commands_count("nvme_cmd_write_zeroes"), 1);
		CHECK_EQ(commands_count(ctrl), 1);
		disk_peek(0, buf, AREA);
		check_pattern(buf, 0, 2 * BLOCK, 1);
		check_all(buf + 2 * BLOCK, AREA / 2, 0);
		check_pattern(buf + 2 * BLOCK + AREA / 2, 2 * BLOCK + AREA / 2,
			      AREA / 2 - 2 * BLOCK, 1);
		blkio_destroy(&b);
	}
	free(buf);
}

static void longest_write_zeroes(struct device *d)
{
	struct blkio *b = ns_start();
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t max = get_u64(b, "max-write-zeroes-len"), block = get_int(b, "request-alignment");
	char *buf = buffer(BLOCK);

	(void)d;
	pattern(buf, max - BLOCK, BLOCK, 4);
	CHECK_EQ(io_write(q, max - BLOCK, buf, BLOCK, 0), 0);
	CHECK_EQ(io_zeroes(q, 0, max, 0), 0);
	disk_peek(max - BLOCK, buf, BLOCK);
	check_all(buf, BLOCK, 0);
	CHECK_IO_ERR(io_zeroes(q, 0, max + block, 0), EINVAL, "");
	free(buf);
	blkio_destroy(&b);
}

/* The emulated disk gives the space back: what was discarded reads as zeroes. */
static void discard(struct device *d)
{
	char *buf = buffer(AREA);
	struct blkio *b;
	struct blkioq *q = start_filled(&b, buf);

	(void)d;
	commands_start();
	CHECK_EQ(io_discard(q, BLOCK, AREA / 2, 0), 0);
	CHECK_EQ(commands_count("(nvme_cmd_dsm nr=0, attributes=4)"), 1);
	CHECK_EQ(io_read(q, 0, buf, AREA, 0), 0);
	check_pattern(buf, 0, BLOCK, 1);
	check_all(buf + BLOCK, AREA / 2, 0);
	check_pattern(buf + BLOCK + AREA / 2, BLOCK + AREA / 2, AREA / 2 - BLOCK, 1);
	free(buf);
	blkio_destroy(&b);
}

static void flush_and_fua(struct device *d)
{
	char *buf = buffer(AREA);
	struct blkio *b;
	struct blkioq *q = start_filled(&b, buf);

	(void)d;
	commands_start();
	CHECK_EQ(io_flush(q, 0), 0);
	CHECK_EQ(commands_count("(nvme_cmd_flush"), 1);
	commands_start();
	CHECK_EQ(io_write(q, 0, buf, BLOCK, BLKIO_REQ_FUA), 0);
	CHECK_EQ(commands_count("nvme_cmd_flush"), 0);
	CHECK_EQ(commands_count("ctrl=0x4000,"), 1);
	commands_start();
	CHECK_EQ(io_write(q, 0, buf, BLOCK, 0), 0);
	CHECK_EQ(commands_count("nvme_cmd_write slba=0"), 1);
	CHECK_EQ(commands_count("ctrl=0x0,"), 1);
	free(buf);
	blkio_destroy(&b);
}

/* ---- Queues ------------------------------------------------------------------------------- */

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

static void no_zones(struct device *d)
{
	struct blkio *b = ns_start();
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_zone z;
	int cookie;

	(void)d;
	blkioq_report_zones(q, 0, &z, 1, &cookie, 0);
	CHECK_IO_ERR(io_finish(q, &cookie), ENOTSUP, "support");
	blkioq_reset_all_zones(q, &cookie, 0);
	CHECK_IO_ERR(io_finish(q, &cookie), ENOTSUP, "support");
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "properties", properties },
	{ "data", data },
	{ "end of the device", end_of_device },
	{ "vectored", vectored },
	{ "longest transfer", longest_transfer },
	{ "write zeroes", write_zeroes },
	{ "longest write zeroes", longest_write_zeroes },
	{ "discard", discard },
	{ "flush and FUA", flush_and_fua },
	{ "opt-ins", opt_ins },
	{ "large regions", large_regions },
	{ "poll queue", poll_queue },
	{ "no poll queue without polling", no_poll_queue_without_polling },
	{ "completion fd", completion_fd },
	{ "read-only", read_only },
	{ "no zones", no_zones },
};
TEST_MAIN(tests)
