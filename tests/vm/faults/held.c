/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A device mapper disk, TEST_DISK, that does not answer for a while or not at all: nobody waits
 * longer than they said, nothing is lost, and what was acknowledged is there. Which test suits
 * which disk: "disks".
 */
#include <pthread.h>
#include <unistd.h>

#include "../../lib/io.h"
#include "../../lib/sys.h"
#include "../../lib/test.h"
#include "../disk.h"

#define BLOCK 4096u
#define N     64
#define MS    1000000LL

static void dmsetup(const char *command)
{
	char line[256];

	snprintf(line, sizeof(line), "dmsetup %s '%s'", command, getenv("TEST_DM"));
	CHECK_EQ(system(line), 0);
}

static void *resume_soon(void *arg)
{
	(void)arg;
	usleep(1000 * 1000);
	dmsetup("resume");
	return NULL;
}

static void queue_reads(struct blkioq *q, char *buf)
{
	for (uintptr_t i = 0; i < N; i++)
		blkioq_read(q, i * BLOCK, buf + i * BLOCK, BLOCK, (void *)i, 0);
}

static void fill(struct blkioq *q, char *buf)
{
	pattern(buf, 0, N * BLOCK, 3);
	CHECK_EQ(io_write(q, 0, buf, N * BLOCK, 0), 0);
	memset(buf, 0, N * BLOCK);
}

static void suspended(struct device *d)
{
	struct timespec limit = { .tv_nsec = 300 * MS };
	static struct blkio_completion c[N + 1];
	struct blkio *b = disk_start(0);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(N * BLOCK);
	int64_t begin;

	(void)d;
	fill(q, buf);
	blkioq_set_completion_fd_enabled(q, true);
	dmsetup("suspend --noflush --nolockfs");
	queue_reads(q, buf);
	begin = clock_ns();
	CHECK_EQ(blkioq_do_io(q, c, 1, N, &limit), -ETIME);
	CHECK(clock_ns() - begin < LATE_MS * MS);
	CHECK(!readable(blkioq_get_completion_fd(q), 100));
	dmsetup("resume");
	CHECK(readable(blkioq_get_completion_fd(q), LATE_MS));
	CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
	for (int i = 0; i < N; i++)
		CHECK_EQ(c[i].ret, 0);
	check_pattern(buf, 0, N * BLOCK, 3);
	free(buf);
	blkio_destroy(&b);
}

/* Discards are no exception, though some kernels have but a call that waits for them. */
static void discards_while_suspended(struct device *d)
{
	static struct blkio_completion c[2 * N];
	unsigned before = count_fds();
	struct blkio *b = disk_start(0);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(N * BLOCK);
	int64_t begin;

	(void)d;
	fill(q, buf);
	for (int warm = 0; warm < 2; warm++) {
		struct timespec limit = { .tv_nsec = 300 * MS };

		dmsetup("suspend --noflush --nolockfs");
		begin = clock_ns();
		for (uintptr_t i = 0; i < N; i++)
			blkioq_discard(q, (N + i) * BLOCK, BLOCK, (void *)i, 0);
		queue_reads(q, buf);
		CHECK_EQ(blkioq_do_io(q, c, 1, 2 * N, &limit), -ETIME);
		CHECK(clock_ns() - begin < LATE_MS * MS);
		dmsetup("resume");
		CHECK_EQ(blkioq_do_io(q, c, 2 * N, 2 * N, NULL), 2 * N);
		for (int i = 0; i < 2 * N; i++)
			CHECK_EQ(c[i].ret, 0);
		check_pattern(buf, 0, N * BLOCK, 3);
	}
	free(buf);
	/* It waits as for any request, and no longer. */
	dmsetup("suspend --noflush --nolockfs");
	blkioq_discard(q, N * BLOCK, BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	begin = clock_ns();
	blkio_destroy(&b);
	CHECK(clock_ns() - begin < (5000 + LATE_MS) * MS);
	dmsetup("resume");
	/* What still waited in the kernel gives back what it has. */
	while (count_fds() > before)
		usleep(10000);
}

/* Buffers are the application's again afterwards: so it waits, though not for ever. */
static void destroyed_while_suspended(struct device *d)
{
	struct blkio *b = disk_start(0);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(N * BLOCK);
	pthread_t thread;
	int64_t begin;

	(void)d;
	fill(q, buf);
	dmsetup("suspend --noflush --nolockfs");
	queue_reads(q, buf);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	CHECK_EQ(pthread_create(&thread, NULL, resume_soon, NULL), 0);
	begin = clock_ns();
	blkio_destroy(&b);
	CHECK(clock_ns() - begin > 500 * MS);
	check_pattern(buf, 0, N * BLOCK, 3);
	CHECK_EQ(pthread_join(thread, NULL), 0);

	b = disk_start(0);
	q = blkio_get_queue(b, 0);
	dmsetup("suspend --noflush --nolockfs");
	queue_reads(q, buf);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	begin = clock_ns();
	blkio_destroy(&b);
	CHECK(clock_ns() - begin < (5000 + LATE_MS) * MS);
	dmsetup("resume");
	usleep(500 * 1000); /* what arrives late needs the buffer, still */
	free(buf);
}

static void slow(struct device *d)
{
	static struct blkio_completion c[N];
	struct blkio *b = disk_start(0);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(N * BLOCK);
	int64_t begin, elapsed;

	(void)d;
	fill(q, buf);
	begin = clock_ns();
	queue_reads(q, buf);
	CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
	elapsed = clock_ns() - begin;
	CHECK(elapsed >= 200 * MS);
	CHECK(elapsed < N * 200 * MS / 2); /* all at once, not one after the other */
	check_pattern(buf, 0, N * BLOCK, 3);
	free(buf);
	blkio_destroy(&b);
}

/* Over two seconds of each: a request that failed may have been done or not, no other. */
static void comes_and_goes(struct device *d)
{
	struct blkio *b = disk_start(0);
	struct blkioq *q = blkio_get_queue(b, 0);
	unsigned good = 0, bad = 0, acknowledged[N] = { 0 };
	char *buf = buffer(BLOCK);
	int64_t end = clock_ns() + 5000 * MS;

	(void)d;
	for (unsigned seed = 1; clock_ns() < end; seed++) {
		unsigned at = seed % N;
		int ret;

		pattern(buf, at * BLOCK, BLOCK, seed);
		ret = io_write(q, at * BLOCK, buf, BLOCK, 0);
		CHECK(ret == 0 || ret == -EIO);
		acknowledged[at] = ret ? 0 : seed;
		good += !ret;
		bad += !!ret;
		at = (seed + N / 2) % N;
		ret = io_read(q, at * BLOCK, buf, BLOCK, 0);
		CHECK(ret == 0 || ret == -EIO);
		if (!ret && acknowledged[at])
			check_pattern(buf, at * BLOCK, BLOCK, acknowledged[at]);
		usleep(1000);
	}
	CHECK(good && bad);
	free(buf);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "a suspended disk", suspended, .timeout = 40 },
	{ "discards on a suspended disk", discards_while_suspended, .timeout = 60 },
	{ "destroyed while the disk is suspended", destroyed_while_suspended, .timeout = 60 },
	{ "a slow disk", slow, .timeout = 40 },
	{ "a disk that comes and goes", comes_and_goes, .timeout = 40 },
};

TEST_MAIN(tests)
