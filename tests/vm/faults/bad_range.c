/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A disk of which a part fails, TEST_DISK: requests that touch it end with the disk's error, all
 * others succeed and have their data, and none is lost. TEST_BAD: "first last errno", the bad bytes
 * and how; TEST_BAD_OPS: "r", or "rw" when writing fails, too.
 */
#include "../../lib/io.h"
#include "../../lib/test.h"
#include "../disk.h"

#define BLOCK  4096u
#define STRIDE (2 * BLOCK) /* the kernel merges neighbours, which then share their fate */

struct bad {
	uint64_t first, last;
	int err;
};

static struct bad bad_range(void)
{
	const char *text = getenv("TEST_BAD");
	unsigned long long first, last;
	struct bad bad;

	if (!text || sscanf(text, "%llu %llu %d", &first, &last, &bad.err) != 3)
		FAIL("set TEST_BAD");
	bad.first = first;
	bad.last = last;
	return bad;
}

static bool writes_fail(void)
{
	return strchr(getenv("TEST_BAD_OPS"), 'w');
}

static bool touches(const struct bad *bad, uint64_t start, size_t len)
{
	return start <= bad->last && start + len > bad->first;
}

/* Around the bad part, and across its edges. */
static void one_at_a_time(struct device *d)
{
	enum { LEN = 4 * BLOCK };
	struct bad bad = bad_range();
	struct blkio *b = disk_start(0);
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t from = bad.first / BLOCK * BLOCK - 8 * BLOCK;
	char *buf = buffer(LEN);
	struct iovec iov[2] = { { buf, BLOCK }, { buf + BLOCK, LEN - BLOCK } };

	(void)d;
	for (uint64_t at = from; at < bad.last + 8 * BLOCK; at += BLOCK) {
		int want = touches(&bad, at, LEN) ? -bad.err : 0;
		int want_write = writes_fail() ? want : 0;

		pattern(buf, at, LEN, 1);
		CHECK_EQ(io_write(q, at, buf, LEN, 0), want_write);
		CHECK_EQ(io_writev(q, at, iov, 2, BLKIO_REQ_FUA), want_write);
		memset(buf, 0, LEN);
		CHECK_EQ(io_read(q, at, buf, LEN, 0), want);
		if (!want)
			check_pattern(buf, at, LEN, 1);
		CHECK_EQ(io_readv(q, at, iov, 2, 0), want);
		if (!want)
			check_pattern(buf, at, LEN, 1);
		CHECK_EQ(io_flush(q, 0), 0);
	}
	free(buf);
	blkio_destroy(&b);
}

/* Every request ends once, with its own result, whatever becomes of its neighbours. */
static void many_in_flight(struct device *d)
{
	enum { N = 256, ROUNDS = 8 };
	struct bad bad = bad_range();
	struct blkio *b = disk_start(0);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(N * STRIDE);
	static struct blkio_completion c[N];
	uint64_t from = bad.first / BLOCK * BLOCK - N / 2 * STRIDE;

	(void)d;
	for (int i = 0; i < N; i++) {
		pattern(buf, from + i * STRIDE, BLOCK, 2);
		io_write(q, from + i * STRIDE, buf, BLOCK, 0);
	}
	for (int round = 0; round < ROUNDS; round++) {
		bool seen[N] = { false };
		unsigned failed = 0;

		memset(buf, 0, N * STRIDE);
		for (uintptr_t i = 0; i < N; i++)
			blkioq_read(q, from + i * STRIDE, buf + i * STRIDE, BLOCK, (void *)i, 0);
		CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
		for (int i = 0; i < N; i++) {
			uintptr_t id = (uintptr_t)c[i].user_data;
			uint64_t at = from + id * STRIDE;

			CHECK(id < N && !seen[id]);
			seen[id] = true;
			failed += c[i].ret != 0;
			CHECK_EQ(c[i].ret, touches(&bad, at, BLOCK) ? -bad.err : 0);
			if (!c[i].ret)
				check_pattern(buf + id * STRIDE, at, BLOCK, 2);
		}
		CHECK(failed > 0 && failed < N);
		CHECK_EQ(blkioq_do_io(q, c, 0, N, NULL), 0);
	}
	free(buf);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "one request at a time", one_at_a_time, .timeout = 60 },
	{ "many in flight", many_in_flight, .timeout = 60 },
};

TEST_MAIN(tests)
