/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The io_uring driver on a real disk, TEST_DISK, whose data is lost: every request type does what
 * it says, checked where it can be against the kernel's own account of what the disk was told.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../lib/io.h"
#include "../lib/test.h"
#include "disk.h"

#define BLOCK 4096u
#define AREA  (256u << 10) /* more than one request of max_sectors_kb */

/* AREA of pattern 1 on the disk, from 0 on. */
static struct blkioq *start_filled(struct blkio **b, char *buf)
{
	*b = disk_start(0);
	return disk_fill(*b, buf, AREA);
}

static void properties(struct device *d)
{
	int fd = (int)SYS(open(disk_path(), O_RDONLY | O_CLOEXEC)), block_size;
	struct blkio *b = disk_connect();
	uint64_t capacity;

	(void)d;
	SYS(ioctl(fd, BLKSSZGET, &block_size));
	SYS(ioctl(fd, BLKGETSIZE64, &capacity));
	close(fd);
	CHECK_EQ(get_u64(b, "capacity"), capacity);
	CHECK_EQ(get_int(b, "request-alignment"), block_size);
	CHECK_EQ(get_bool(b, "supports-fua-natively"), disk_queue("fua"));
	CHECK_EQ(get_bool(b, "supports-poll-queues"), disk_queue("io_poll"));
	CHECK_EQ(get_int(b, "optimal-io-alignment"), disk_queue("physical_block_size"));
	CHECK(!get_bool(b, "can-grow"));
	blkio_destroy(&b);
}

static void data(struct device *d)
{
	char *buf = buffer(AREA), *seen = buffer(AREA);
	struct blkio *b;
	struct blkioq *q = start_filled(&b, buf);
	struct iovec iov[3] = { { buf + 2 * BLOCK, BLOCK }, { buf, 2 * BLOCK }, { buf, BLOCK } };

	(void)d;
	CHECK_EQ(io_read(q, 0, buf, AREA, 0), 0);
	check_pattern(buf, 0, AREA, 1);
	disk_peek(0, seen, AREA);
	check_pattern(seen, 0, AREA, 1);

	pattern(buf, 0, 3 * BLOCK, 2);
	iov[2].iov_base = buf + BLOCK;
	CHECK_EQ(io_writev(q, AREA, iov, 3, 0), 0);
	disk_peek(AREA, seen, BLOCK);
	check_pattern(seen, 2 * BLOCK, BLOCK, 2);
	disk_peek(AREA + BLOCK, seen, 2 * BLOCK);
	check_pattern(seen, 0, 2 * BLOCK, 2);
	free(seen);
	free(buf);
	blkio_destroy(&b);
}

static void properties_hold(struct device *d)
{
	(void)d;
	for (int poll = 0; poll < 2; poll++) {
		for (int registered = 0; registered < 2; registered++) {
			struct blkio *b = disk_connect();
			struct blkio_mem_region r;

			if (poll && !get_bool(b, "supports-poll-queues")) {
				blkio_destroy(&b);
				continue;
			}
			CHECK_OK(blkio_set_int(b, "num-poll-queues", poll));
			CHECK_OK(blkio_set_bool(b, "register-buffers", registered));
			CHECK_OK(blkio_start(b));
			CHECK_OK(blkio_alloc_mem_region(b, &r, ALIGNED_LEN));
			CHECK_OK(blkio_map_mem_region(b, &r));
			check_limits(b, poll ? blkio_get_poll_queue(b, 0) : blkio_get_queue(b, 0),
				     r.addr);
			blkio_destroy(&b);
		}
	}
}

static void write_zeroes(struct device *d)
{
	static const uint32_t flags[] = { 0, BLKIO_REQ_NO_UNMAP, BLKIO_REQ_FUA,
					  BLKIO_REQ_NO_UNMAP | BLKIO_REQ_FUA };
	char *buf = buffer(AREA);

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		struct blkio *b;
		struct blkioq *q = start_filled(&b, buf);

		CHECK_EQ(io_zeroes(q, 2 * BLOCK, AREA / 2, flags[i]), 0);
		disk_peek(0, buf, AREA);
		check_pattern(buf, 0, 2 * BLOCK, 1);
		check_all(buf + 2 * BLOCK, AREA / 2, 0);
		check_pattern(buf + 2 * BLOCK + AREA / 2, 2 * BLOCK + AREA / 2,
			      AREA / 2 - 2 * BLOCK, 1);
		blkio_destroy(&b);
	}
	free(buf);
}

static void write_zeroes_without_fallback(struct device *d)
{
	char *buf = buffer(AREA);
	struct blkio *b;
	struct blkioq *q = start_filled(&b, buf);
	int ret = io_zeroes(q, 0, AREA, BLKIO_REQ_NO_FALLBACK);

	(void)d;
	CHECK_EQ(ret, disk_queue("write_zeroes_max_bytes") ? 0 : -ENOTSUP);
	disk_peek(0, buf, AREA);
	if (ret)
		check_pattern(buf, 0, AREA, 1);
	else
		check_all(buf, AREA, 0);
	free(buf);
	blkio_destroy(&b);
}

static void discard(struct device *d)
{
	char *buf = buffer(AREA);
	struct blkio *b;
	struct blkioq *q = start_filled(&b, buf);
	uint64_t before = disk_count(DISK_DISCARDS);

	(void)d;
	CHECK_EQ(io_discard(q, BLOCK, AREA / 2, 0), 0);
	CHECK(disk_count(DISK_DISCARDS) > before);
	CHECK_EQ(io_read(q, 0, buf, AREA, 0), 0);
	check_pattern(buf, 0, BLOCK, 1);
	check_pattern(buf + BLOCK + AREA / 2, BLOCK + AREA / 2, AREA / 2 - BLOCK, 1);
	free(buf);
	blkio_destroy(&b);
}

static void flush(struct device *d)
{
	char *buf = buffer(AREA);
	struct blkio *b;
	struct blkioq *q = start_filled(&b, buf);
	uint64_t before = disk_count(DISK_FLUSHES);

	(void)d;
	CHECK_EQ(disk_queue("write_cache"), 1);
	CHECK_EQ(io_flush(q, 0), 0);
	CHECK(disk_count(DISK_FLUSHES) > before);
	free(buf);
	blkio_destroy(&b);
}

static void fua(struct device *d)
{
	char *buf = buffer(AREA);
	struct blkio *b;
	struct blkioq *q = start_filled(&b, buf);

	(void)d;
	CHECK_EQ(disk_queue("fua"), 1);
	trace_start();
	CHECK_EQ(io_write(q, 0, buf, BLOCK, 0), 0);
	CHECK(!trace_has_fua_write());
	trace_start();
	CHECK_EQ(io_write(q, 0, buf, BLOCK, BLKIO_REQ_FUA), 0);
	CHECK(trace_has_fua_write());
	free(buf);
	blkio_destroy(&b);
}

/* The kernel has no FUA for them, so a flush must follow. */
static void fua_of_write_zeroes(struct device *d)
{
	char *buf = buffer(AREA);
	struct blkio *b;
	struct blkioq *q = start_filled(&b, buf);
	uint64_t before = disk_count(DISK_FLUSHES);

	(void)d;
	CHECK_EQ(io_zeroes(q, 0, AREA, BLKIO_REQ_FUA), 0);
	CHECK(disk_count(DISK_FLUSHES) > before);
	free(buf);
	blkio_destroy(&b);
}

static void past_the_end(struct device *d)
{
	struct blkio *b = disk_start(0);
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t end = get_u64(b, "capacity");
	char *buf = buffer(2 * BLOCK);

	(void)d;
	CHECK_EQ(io_read(q, end - BLOCK, buf, BLOCK, 0), 0);
	CHECK(io_read(q, end, buf, BLOCK, 0) < 0);
	CHECK(io_write(q, end, buf, BLOCK, 0) < 0);
	CHECK(io_read(q, end - BLOCK, buf, 2 * BLOCK, 0) < 0);
	CHECK(io_discard(q, end, BLOCK, 0) < 0);
	CHECK(io_zeroes(q, end, BLOCK, 0) < 0);
	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	free(buf);
	blkio_destroy(&b);
}

static void read_only(struct device *d)
{
	int fd = (int)SYS(open(disk_path(), O_RDONLY | O_CLOEXEC)), yes = 1, no = 0;
	char *buf = buffer(BLOCK);
	struct blkio *b;

	(void)d;
	CHECK_OK(blkio_create("io_uring", &b));
	CHECK_OK(blkio_set_str(b, "path", disk_path()));
	SYS(ioctl(fd, BLKROSET, &yes));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
	CHECK_IO_ERR(io_write(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), EPERM, "");
	CHECK_IO_ERR(io_zeroes(blkio_get_queue(b, 0), 0, BLOCK, 0), EPERM, "");
	SYS(ioctl(fd, BLKROSET, &no));
	CHECK_EQ(io_write(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
	free(buf);
	close(fd);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "properties are the disk's", properties },
	{ "data arrives", data },
	{ "what keeps to the properties works", properties_hold },
	{ "write zeroes", write_zeroes },
	{ "write zeroes without fallback", write_zeroes_without_fallback },
	{ "discard reaches the disk", discard },
	{ "flush reaches the disk", flush },
	{ "FUA reaches the disk", fua },
	{ "FUA of write zeroes is a flush", fua_of_write_zeroes },
	{ "past the end", past_the_end },
	{ "a read-only disk", read_only },
};

TEST_MAIN(tests)
