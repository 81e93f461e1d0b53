/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * nvme-io_uring on a namespace without zones: every request type does what it says, seen both in
 * the data and in the commands that the kernel sends.
 */
#include <fcntl.h>
#include <unistd.h>

#include "append.h"
#include "ns.h"

#define BLOCK 4096u
#define AREA  (256u << 10)

/* This many requests at a time, of several commands each. */
enum { NR_LONG = 4, LONG_LEN = 2 << 20 };

/* One page less than the segments: any buffer of that length works, wherever it begins. */
static size_t longest_command(void)
{
	uint64_t by_segments = (disk_queue("max_segments") - 1) * 4096;
	uint64_t by_sectors = disk_queue("max_hw_sectors_kb") << 10;

	return by_segments < by_sectors ? by_segments : by_sectors;
}

static void properties(struct device *d)
{
	struct blkio *b = ns_connect();
	uint64_t block = disk_queue("logical_block_size");

	(void)d;
	CHECK_EQ(get_int(b, "request-alignment"), block);
	CHECK_EQ(get_u64(b, "capacity"), 256 << 20);
	CHECK_EQ(get_int(b, "max-transfer"), 0);
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

/* One command, wherever the buffer begins; one block more takes two. */
static void longest_transfer(struct device *d)
{
	struct blkio *b = ns_start();
	struct blkioq *q = blkio_get_queue(b, 0);
	size_t max = longest_command(), block = get_int(b, "request-alignment");
	static const size_t offsets[] = { 0, 1, 4, 512, 4092, 4095 };
	char *buf = buffer(max + 2 * BLOCK);

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
		char *at = buf + offsets[i];

		pattern(at, 0, max, 20 + i);
		commands_start();
		CHECK_EQ(io_write(q, 0, at, max, 0), 0);
		CHECK_EQ(commands_count("nvme_cmd_write"), 1);
		memset(at, 0, max);
		CHECK_EQ(io_read(q, 0, at, max, 0), 0);
		check_pattern(at, 0, max, 20 + i);
	}
	commands_start();
	CHECK_EQ(io_write(q, 0, buf, max + block, BLKIO_REQ_FUA), 0);
	CHECK_EQ(commands_count("ctrl=0x4000,"), 2);
	free(buf);
	blkio_destroy(&b);
}

/* 2 MiB in segments of any place and length, whose ends are not those of the commands. */
static void try_long(struct blkioq *q, char *buf, uint32_t seed)
{
	enum { LONG = 2 << 20, AT = 3 * BLOCK };
	struct iovec iov[] = { { buf, 100 },
			       { buf + 9001, 1 << 20 },
			       { buf + (5 << 20), 0 },
			       { buf + (4 << 20), LONG - (1 << 20) - 100 } };
	uint64_t at = AT;

	for (size_t i = 0; i < ARRAY_LEN(iov); at += iov[i++].iov_len)
		pattern(iov[i].iov_base, at, iov[i].iov_len, seed);
	CHECK_EQ(io_writev(q, AT, iov, ARRAY_LEN(iov), 0), 0);
	memset(buf, 0xee, LONG);
	CHECK_EQ(io_read(q, AT, buf, LONG, 0), 0);
	check_pattern(buf, AT, LONG, seed);
	for (size_t i = 0; i < ARRAY_LEN(iov); i++)
		memset(iov[i].iov_base, 0, iov[i].iov_len);
	CHECK_EQ(io_readv(q, AT, iov, ARRAY_LEN(iov), 0), 0);
	at = AT;
	for (size_t i = 0; i < ARRAY_LEN(iov); at += iov[i++].iov_len)
		check_pattern(iov[i].iov_base, at, iov[i].iov_len, seed);
}

/* How many of the reads completed, with all their data; the others were cancelled. */
static int count_whole(struct blkioq *q, char *buf, uint32_t seed)
{
	struct blkio_completion c[NR_LONG];
	int whole = 0;

	CHECK_EQ(blkioq_do_io(q, c, NR_LONG, NR_LONG, NULL), NR_LONG);
	for (size_t k = 0; k < NR_LONG; k++) {
		char *at = buf + (uintptr_t)c[k].user_data * LONG_LEN;

		CHECK(!c[k].ret || c[k].ret == -ECANCELED);
		whole += !c[k].ret;
		if (!c[k].ret)
			check_pattern(at, 0, LONG_LEN, seed);
	}
	return whole;
}

/*
 * How far the device gets before the drain, nobody knows: each request is cancelled or whole. What
 * it was never shown is cancelled.
 */
static void end_amidst_long(struct blkio *b, char *buf, uint32_t seed, bool shown)
{
	struct blkioq *q = blkio_get_queue(b, 0);
	int whole;

	memset(buf, 0, NR_LONG * LONG_LEN);
	for (uintptr_t k = 0; k < NR_LONG; k++)
		blkioq_read(q, 0, buf + k * LONG_LEN, LONG_LEN, (void *)k, 0);
	if (shown)
		CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	CHECK_EQ(blkio_drain(b, NULL), 0);
	whole = count_whole(q, buf, seed);
	if (!shown) {
		CHECK_EQ(whole, 0);
		check_all(buf, NR_LONG * LONG_LEN, 0);
	}
}

/* On each kind of queue, also from registered buffers, and with several in flight. */
static void long_requests(struct device *d)
{
	static const char *const ways[] = { NULL, "single-issuer", "sq-poll" };
	struct blkio_completion c[NR_LONG];
	struct blkio_mem_region r;

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct blkio *b = ns_connect();
		bool polls = get_bool(b, "supports-poll-queues");

		CHECK_OK(blkio_set_bool(b, "register-buffers", i != 1));
		if (ways[i])
			CHECK_OK(blkio_set_bool(b, ways[i], true));
		CHECK_OK(blkio_set_int(b, "num-entries", 2));
		CHECK_OK(blkio_set_int(b, "num-poll-queues", polls));
		CHECK_OK(blkio_start(b));
		CHECK_OK(blkio_alloc_mem_region(b, &r, 8 << 20));
		CHECK_OK(blkio_map_mem_region(b, &r));
		try_long(blkio_get_queue(b, 0), r.addr, i);
		if (polls)
			try_long(blkio_get_poll_queue(b, 0), r.addr, i + 9);
		pattern(r.addr, 0, NR_LONG * LONG_LEN, i);
		for (size_t k = 0; k < NR_LONG; k++)
			blkioq_write(blkio_get_queue(b, 0), k * LONG_LEN,
				     (char *)r.addr + k * LONG_LEN, LONG_LEN, NULL, 0);
		CHECK_EQ(blkioq_do_io(blkio_get_queue(b, 0), c, NR_LONG, NR_LONG, NULL), NR_LONG);
		memset(r.addr, 0, NR_LONG * LONG_LEN);
		CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, r.addr, NR_LONG * LONG_LEN, 0), 0);
		check_pattern(r.addr, 0, NR_LONG * LONG_LEN, i);
		end_amidst_long(b, r.addr, i, i != 1);
		blkio_destroy(&b);
	}
}

/* The kernel copies what the controller cannot reach, on each kind of queue. */
static void try_odd_buffers(struct blkioq *q, char *buf, char *got)
{
	for (size_t at = 1; at < 8; at++) {
		struct iovec in[3] = { { buf + at, 3 },
				       { buf + 64, BLOCK - 3 },
				       { buf + 8192, BLOCK } };
		struct iovec out[2] = { { got + at, BLOCK + 1 }, { got + 12288, BLOCK - 1 } };

		pattern(buf + at, BLOCK, BLOCK, at);
		CHECK_EQ(io_write(q, BLOCK, buf + at, BLOCK, 0), 0);
		CHECK_EQ(io_read(q, BLOCK, got + at, BLOCK, 0), 0);
		check_pattern(got + at, BLOCK, BLOCK, at);
		CHECK_EQ(io_writev(q, BLOCK, in, 3, 0), 0);
		CHECK_EQ(io_readv(q, BLOCK, out, 2, 0), 0);
		CHECK_MEM(got + at, buf + at, 3);
		CHECK_MEM(got + at + 3, buf + 64, BLOCK - 3);
		CHECK_MEM(got + at + BLOCK, buf + 8192, 1);
		CHECK_MEM(got + 12288, buf + 8193, BLOCK - 1);
	}
}

static void odd_buffers(struct device *d)
{
	struct blkio_mem_region region;
	struct blkio *b = ns_connect();
	bool polls;

	(void)d;
	CHECK_OK(blkio_get_bool(b, "supports-poll-queues", &polls));
	CHECK_OK(blkio_set_bool(b, "register-buffers", true));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", polls));
	CHECK_OK(blkio_start(b));
	CHECK_OK(blkio_alloc_mem_region(b, &region, 65536));
	for (int mapped = 0; mapped < 2; mapped++) {
		char *mem = region.addr;

		if (mapped)
			CHECK_OK(blkio_map_mem_region(b, &region));
		try_odd_buffers(blkio_get_queue(b, 0), mem, mem + 32768);
		if (polls)
			try_odd_buffers(blkio_get_poll_queue(b, 0), mem, mem + 32768);
	}
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

static void atomic_writes(struct device *d)
{
	char *buf = buffer(AREA);
	struct blkio *b = ns_start();

	(void)d;
	commands_start();
	check_atomic(b, buf);
	CHECK_EQ(commands_count("nvme_cmd_write"), 3);
	blkio_destroy(&b);
	free(buf);
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
	{ "long requests", long_requests },
	{ "odd buffers", odd_buffers },
	{ "write zeroes", write_zeroes },
	{ "longest write zeroes", longest_write_zeroes },
	{ "discard", discard },
	{ "flush and FUA", flush_and_fua },
	{ "atomic writes", atomic_writes },
	{ "no zones", no_zones },
};
TEST_MAIN(tests)
