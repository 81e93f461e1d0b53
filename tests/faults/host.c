/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a host does to its programs: storms of signals, disks that are full, children. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"

enum { BLOCK = 4096, N = 32, STORM_US = 150, STORM_MS = 1500, FORKS = 40 };

/* ---- Requests in flight, and their data --------------------------------------------------- */

static void queue_writes(struct blkioq *q, char *buf, uint32_t seed)
{
	pattern(buf, 0, (size_t)N * BLOCK, seed);
	for (uint64_t i = 0; i < N; i++)
		blkioq_write(q, i * BLOCK, buf + i * BLOCK, BLOCK, NULL, 0);
}

static void queue_reads(struct blkioq *q, char *buf)
{
	memset(buf, 0xee, (size_t)N * BLOCK);
	for (uint64_t i = 0; i < N; i++)
		blkioq_read(q, i * BLOCK, buf + i * BLOCK, BLOCK, NULL, 0);
}

static void collect(struct blkioq *q)
{
	struct blkio_completion c[N];

	CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
	for (int i = 0; i < N; i++)
		CHECK_EQ(c[i].ret, 0);
}

/* The same, for a caller who wants to hear of signals. */
static void collect_interrupted(struct blkioq *q)
{
	struct blkio_completion c[N];
	int left = N;

	while (left) {
		int n = blkioq_do_io_interruptible(q, c, 1, left, NULL, NULL);

		if (n == -EINTR)
			continue;
		CHECK_OK(n);
		for (int i = 0; i < n; i++)
			CHECK_EQ(c[i].ret, 0);
		left -= n;
	}
}

/* ---- Signals ------------------------------------------------------------------------------ */

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
	(void)sig;
	signals++;
}

static void storm(unsigned us)
{
	const struct sigaction action = { .sa_handler = on_signal }; /* no SA_RESTART */
	const struct itimerval timer = { { 0, us }, { 0, us } };

	SYS(sigaction(SIGALRM, &action, NULL));
	SYS(setitimer(ITIMER_REAL, &timer, NULL));
}

static void one_life(struct device *d, char *buf, uint32_t seed)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);

	queue_writes(q, buf, seed);
	collect(q);
	CHECK_EQ(io_flush(q, 0), 0);
	queue_reads(q, buf);
	collect_interrupted(q);
	if (d->target->traits & T_STORES)
		check_pattern(buf, 0, (size_t)N * BLOCK, seed);
	blkio_destroy(&b);
}

static void storm_of_signals(struct device *d)
{
	int64_t end = clock_ns() + STORM_MS * 1000000LL;
	char *buf = buffer((size_t)N * BLOCK);
	uint32_t lives = 0;

	storm(STORM_US);
	do
		one_life(d, buf, ++lives);
	while (clock_ns() < end);
	storm(0);
	printf("%u instances, %d signals\n", lives, (int)signals);
	CHECK(signals > 100);
	buffer_free(buf);
}

/* ---- Children ----------------------------------------------------------------------------- */

/* What it may do: leave the parent's instance alone, and have its own. */
static _Noreturn void be_child(struct device *d, char *buf)
{
	struct blkio *b;

	if (d->target->traits & T_EXCLUSIVE)
		_exit(0);
	b = device_start(d);
	queue_reads(blkio_get_queue(b, 0), buf);
	collect(blkio_get_queue(b, 0));
	blkio_destroy(&b);
	_exit(0);
}

static void fork_with_requests_in_flight(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;
	char *buf, *childs;
	int status;

	b = device_start(d);
	q = blkio_get_queue(b, 0);
	buf = buffer((size_t)N * BLOCK);
	childs = buffer((size_t)N * BLOCK);
	for (uint32_t i = 0; i < FORKS; i++) {
		pid_t pid;

		if (i % 2)
			queue_reads(q, buf);
		else
			queue_writes(q, buf, i);
		CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
		pid = fork_user();
		if (!pid)
			be_child(d, childs);
		collect(q);
		if (i % 2 && d->target->traits & T_STORES)
			check_pattern(buf, 0, (size_t)N * BLOCK, i - 1);
		SYS(waitpid(pid, &status, 0));
		CHECK_EQ(status, 0);
	}
	blkio_destroy(&b);
	buffer_free(buf);
	buffer_free(childs);
}

/* ---- A full disk ---------------------------------------------------------------------------- */

static void mount_small(char *path, size_t size)
{
	snprintf(path, size, "%s/full", test_dir());
	if (unshare(CLONE_NEWNS) < 0)
		SKIP("no mount namespace of our own: %s", strerror(errno));
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		SKIP("mounts would show outside of this chroot: %s", strerror(errno));
	SYS(mkdir(path, 0700));
	SYS(mount("none", path, "tmpfs", 0, "size=64k"));
}

static struct blkio *start_on(const char *path)
{
	struct blkio *b;

	CHECK_OK(blkio_create("io_uring", &b));
	CHECK_OK(blkio_set_str(b, "path", path));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	return b;
}

static void full_disk(struct device *d)
{
	char dir[4096], path[4200], *buf = buffer(2 * BLOCK);
	uint64_t full = 0;
	struct blkio *b;
	struct blkioq *q;
	int ret;

	(void)d;
	mount_small(dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/file", dir);
	close((int)SYS(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600)));
	b = start_on(path);
	q = blkio_get_queue(b, 0);
	pattern(buf, 0, BLOCK, 7);
	while (!(ret = io_write(q, full * BLOCK, buf, BLOCK, 0)))
		full++;
	CHECK_EQ(ret, -ENOSPC);
	CHECK_EQ(full, 16);
	CHECK_EQ(io_write(q, full * BLOCK, buf, BLOCK, BLKIO_REQ_FUA), -ENOSPC);
	CHECK_EQ(io_zeroes(q, full * BLOCK, BLOCK, BLKIO_REQ_NO_UNMAP), -ENOSPC);
	/* A part of it fits: the whole of it failed. */
	CHECK_EQ(io_write(q, (full - 1) * BLOCK, buf, 2 * BLOCK, 0), -ENOSPC);
	for (uint64_t i = 0; i + 1 < full; i++) {
		CHECK_EQ(io_read(q, i * BLOCK, buf, BLOCK, 0), 0);
		check_pattern(buf, 0, BLOCK, 7);
	}
	CHECK_EQ(io_discard(q, 0, 2 * BLOCK, 0), 0); /* room again */
	CHECK_EQ(io_write(q, full * BLOCK, buf, BLOCK, 0), 0);
	CHECK_EQ(io_flush(q, 0), 0);
	blkio_destroy(&b);
	buffer_free(buf);
	unlink(path);
	SYS(umount(dir));
}

static const struct test tests[] = {
	{ "a storm of signals", storm_of_signals, T_ANY },
	{ "fork with requests in flight", fork_with_requests_in_flight, T_ANY },
	{ "a full disk", full_disk },
};
TEST_MAIN(tests)
