/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The end of the device, files that grow, and lengths that do not fit 31 or 32 bits. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "test.h"

enum { BLOCK = 4096 };
#define GIB (1ull << 30)

static void reads_past_eof_are_zeroes(struct device *d)
{
	struct blkio *b;
	char *buf = buffer(8 * BLOCK);
	struct iovec iov[3] = { { buf, BLOCK },
				{ buf + BLOCK, 2 * BLOCK },
				{ buf + 3 * BLOCK, BLOCK } };

	pattern(buf, DEVICE_SIZE - BLOCK, BLOCK, 1);
	device_poke(d, DEVICE_SIZE - BLOCK, buf, BLOCK);
	b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);

	memset(buf, 0xee, 8 * BLOCK);
	CHECK_EQ(io_read(q, DEVICE_SIZE - BLOCK, buf, 4 * BLOCK, 0), 0);
	check_pattern(buf, DEVICE_SIZE - BLOCK, BLOCK, 1);
	check_all(buf + BLOCK, 3 * BLOCK, 0);
	check_all(buf + 4 * BLOCK, 4 * BLOCK, 0xee);
	memset(buf, 0xee, 8 * BLOCK);
	CHECK_EQ(io_readv(q, DEVICE_SIZE - 2 * BLOCK, iov, 3, 0), 0);
	check_pattern(buf + BLOCK, DEVICE_SIZE - BLOCK, BLOCK, 1);
	check_all(buf + 2 * BLOCK, 2 * BLOCK, 0);
	memset(buf, 0xee, 8 * BLOCK);
	CHECK_EQ(io_read(q, DEVICE_SIZE + 100 * BLOCK, buf, 2 * BLOCK, 0), 0);
	check_all(buf, 2 * BLOCK, 0);
	CHECK_EQ(get_u64(b, "capacity"), DEVICE_SIZE);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* A file whose end is inside a block, also with O_DIRECT. */
static void odd_file_size(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(2 * BLOCK);

	pattern(buf, 0, 1000, 2);
	SYS(truncate(d->path, 0));
	device_poke(d, 0, buf, 1000);
	CHECK_EQ(get_u64(b, "capacity"), 1000);
	memset(buf, 0xee, 2 * BLOCK);
	CHECK_EQ(io_read(q, 0, buf, 2 * BLOCK, 0), 0);
	check_pattern(buf, 0, 1000, 2);
	check_all(buf + 1000, 2 * BLOCK - 1000, 0);
	SYS(truncate(d->path, 0));
	memset(buf, 0xee, 2 * BLOCK);
	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	check_all(buf, BLOCK, 0);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void writes_grow(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(2 * BLOCK);

	CHECK(get_bool(b, "can-grow"));
	pattern(buf, DEVICE_SIZE + BLOCK, BLOCK, 3);
	CHECK_EQ(io_write(q, DEVICE_SIZE + BLOCK, buf, BLOCK, 0), 0);
	CHECK_EQ(get_u64(b, "capacity"), DEVICE_SIZE + 2 * BLOCK);
	CHECK_EQ(io_read(q, DEVICE_SIZE, buf, 2 * BLOCK, 0), 0);
	check_all(buf, BLOCK, 0);
	check_pattern(buf + BLOCK, DEVICE_SIZE + BLOCK, BLOCK, 3);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* A device ends where it ends; what straddles the end must not be half done silently. */
static void beyond_capacity(struct device *d)
{
	static const uint64_t far[] = { DEVICE_SIZE, DEVICE_SIZE - BLOCK, 1ull << 40,
					INT64_MAX & ~4095ll, UINT64_MAX & ~4095ull };
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(2 * BLOCK);

	CHECK(!get_bool(b, "can-grow"));
	for (size_t i = 0; i < ARRAY_LEN(far); i++) {
		int r = io_read(q, far[i], buf, 2 * BLOCK, 0);
		int w = io_write(q, far[i], buf, 2 * BLOCK, 0);

		if (r != -EIO && r != -EINVAL)
			FAIL("read at %llu gave %d", (unsigned long long)far[i], r);
		if (w != -ENOSPC && w != -EIO && w != -EINVAL)
			FAIL("write at %llu gave %d", (unsigned long long)far[i], w);
	}
	CHECK_EQ(io_read(q, DEVICE_SIZE - 2 * BLOCK, buf, 2 * BLOCK, 0), 0);
	CHECK_EQ(io_write(q, DEVICE_SIZE - 2 * BLOCK, buf, 2 * BLOCK, 0), 0);
	CHECK_EQ(get_u64(b, "capacity"), DEVICE_SIZE);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void absurd_file_offsets(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(2 * BLOCK);

	CHECK(io_read(q, UINT64_MAX & ~4095ull, buf, 2 * BLOCK, 0) < 0);
	CHECK(io_write(q, UINT64_MAX & ~4095ull, buf, 2 * BLOCK, 0) < 0);
	CHECK(io_write(q, INT64_MAX & ~4095ll, buf, 2 * BLOCK, 0) < 0);
	CHECK(io_zeroes(q, INT64_MAX & ~4095ll, 2 * BLOCK, 0) < 0);
	CHECK_EQ(get_u64(b, "capacity"), DEVICE_SIZE);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void empty_requests(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(BLOCK);
	struct iovec none = { buf, 0 };
	int ret[] = { io_read(q, 0, buf, 0, 0), io_write(q, 0, buf, 0, 0),
		      io_readv(q, 0, &none, 1, 0), io_writev(q, 0, &none, 0, 0) };

	/* nothing to do, or nothing valid: what counts is that each comes back */
	for (size_t i = 0; i < ARRAY_LEN(ret); i++) {
		if (ret[i] && ret[i] != -EINVAL)
			FAIL("empty request %zu gave %d", i, ret[i]);
	}
	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* ---- Lengths beyond 2 and 4 GiB ----------------------------------------------------------- */

static void *reserve(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		SKIP("cannot reserve %zu GiB of addresses: %s", len >> 30, strerror(errno));
	return p;
}

/* Kernel transfers stop just below 2 GiB: the rest has to be asked for again. */
static void read_of_more_than_2_gib(struct device *d)
{
	size_t len = 2 * GIB + 2 * BLOCK;
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char mark[BLOCK];
	char *buf;

	if (sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE) < (long)(5 * GIB))
		SKIP("needs 5 GiB of free memory");
	SYS(truncate(d->path, (off_t)(2 * GIB + BLOCK)));
	pattern(mark, 2 * GIB, BLOCK, 4);
	device_poke(d, 2 * GIB, mark, BLOCK);
	buf = reserve(len);
	memset(buf + 2 * GIB, 0xee, 2 * BLOCK);
	CHECK_EQ(io_read(q, 0, buf, len, 0), 0);
	check_pattern(buf + 2 * GIB, 2 * GIB, BLOCK, 4);
	check_all(buf + 2 * GIB + BLOCK, BLOCK, 0); /* past the end */
	SYS(munmap(buf, len));
	blkio_destroy(&b);
}

static void zeroes_of_more_than_4_gib(struct device *d)
{
	uint64_t len = 5 * GIB;
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(3 * BLOCK);
	static const uint64_t marks[] = { 0, 4 * GIB, 5 * GIB };

	if (truncate(d->path, (off_t)(len + BLOCK)) < 0)
		SKIP("no file of 5 GiB: %s", strerror(errno));
	pattern(buf, 0, BLOCK, 5);
	for (size_t i = 0; i < ARRAY_LEN(marks); i++)
		device_poke(d, marks[i], buf, BLOCK);
	CHECK_EQ(io_zeroes(q, 0, len, 0), 0);
	for (size_t i = 0; i < 2; i++) {
		CHECK_EQ(io_read(q, marks[i], buf, BLOCK, 0), 0);
		check_all(buf, BLOCK, 0);
	}
	CHECK_EQ(io_read(q, len, buf, BLOCK, 0), 0);
	check_pattern(buf, 0, BLOCK, 5);
	CHECK_EQ(io_discard(q, 0, len + BLOCK, 0), 0);
	CHECK_EQ(io_read(q, len, buf, BLOCK, 0), 0);
	check_all(buf, BLOCK, 0);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void capacity_is_read_again(struct device *d)
{
	struct blkio *b = device_start(d);

	CHECK_EQ(get_u64(b, "capacity"), DEVICE_SIZE);
	SYS(truncate(d->path, 12345));
	CHECK_EQ(get_u64(b, "capacity"), 12345);
	SYS(truncate(d->path, 0));
	CHECK_EQ(get_u64(b, "capacity"), 0);
	blkio_destroy(&b);
}

/* The file may not grow: an error for the request that needs it, and the queue lives on. */
static void file_size_limit(struct device *d)
{
	const struct rlimit limit = { DEVICE_SIZE, DEVICE_SIZE };
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(BLOCK);

	signal(SIGXFSZ, SIG_IGN);
	SYS(setrlimit(RLIMIT_FSIZE, &limit));
	CHECK_EQ(io_write(q, DEVICE_SIZE, buf, BLOCK, 0), -EFBIG);
	CHECK_EQ(get_u64(b, "capacity"), DEVICE_SIZE);
	CHECK_EQ(io_write(q, 0, buf, BLOCK, 0), 0);
	buffer_free(buf);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "reads past EOF are zeroes", reads_past_eof_are_zeroes, T_FILE },
	{ "odd file size", odd_file_size, T_FILE },
	{ "writes grow files", writes_grow, T_FILE },
	{ "beyond capacity", beyond_capacity, T_ANY, T_FILE },
	{ "absurd file offsets", absurd_file_offsets, T_FILE },
	{ "empty requests", empty_requests, T_ANY },
	{ "read of more than 2 GiB", read_of_more_than_2_gib, T_FILE, T_DIRECT, 60 },
	{ "zeroes and discard of more than 4 GiB", zeroes_of_more_than_4_gib, T_FILE, T_DIRECT,
	  60 },
	{ "capacity is read again", capacity_is_read_again, T_FILE },
	{ "file size limit", file_size_limit, T_FILE, T_DIRECT },
};
TEST_MAIN(tests)
