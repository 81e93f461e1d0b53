/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Servers that die or hang: every request completes, no wait outlasts its timeout, and all
 * calls say what happened.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "io.h"
#include "test.h"
#include "ways.h"

enum { COLLECT_SECONDS = 10 };

enum { BLOCK = 4096, BLOCKS = DEVICE_SIZE / BLOCK, N = 300 };

static const char *const slow_disk = "driver=null-co,size=4194304,latency-ns=60000000000";

static int64_t ms_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

static void serve_slow_disk(struct device *d)
{
	qsd_kill(&d->server);
	qsd_restart(&d->server, slow_disk, "writable=on");
}

static struct blkioq *start_kind(struct device *d, bool poll, struct blkio **bp)
{
	*bp = device_connect(d);
	CHECK_OK(blkio_set_int(*bp, "queue-size", 64));
	CHECK_OK(blkio_set_int(*bp, "num-queues", !poll));
	CHECK_OK(blkio_set_int(*bp, "num-poll-queues", poll));
	CHECK_OK(blkio_start(*bp));
	return poll ? blkio_get_poll_queue(*bp, 0) : blkio_get_queue(*bp, 0);
}

static void queue_reads(struct blkioq *q, char *buf, unsigned char *seen, int n)
{
	for (int i = 0; i < n; i++)
		blkioq_read(q, (uint64_t)(i % BLOCKS) * BLOCK, buf, BLOCK, seen + i, 0);
}

/* Count completions, which are successes or EIO with a message, each once. */
static int check_completions(const struct blkio_completion *c, int n)
{
	int failed = 0;

	for (int i = 0; i < n; i++) {
		CHECK_EQ(++*(unsigned char *)c[i].user_data, 1);
		if (!c[i].ret)
			continue;
		CHECK_EQ(c[i].ret, -EIO);
		CHECK(c[i].error_msg && strstr(c[i].error_msg, "server"));
		failed++;
	}
	return failed;
}

/* Nothing works any more, and everything says why, at once. */
static void check_dead(struct blkio *b, struct blkioq *q, char *buf)
{
	struct blkio_mem_region r;
	struct timespec start;
	uint64_t capacity;

	clock_gettime(CLOCK_MONOTONIC, &start);
	CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 0), EIO, "server");
	CHECK_IO_ERR(io_flush(q, 0), EIO, "server");
	CHECK_IO_ERR(io_zeroes(q, 0, BLOCK, 0), EIO, "server");
	CHECK_ERR(blkio_get_uint64(b, "capacity", &capacity), EIO, "server");
	CHECK_OK(blkio_alloc_mem_region(b, &r, BLOCK));
	CHECK_ERR(blkio_map_mem_region(b, &r), EIO, "server");
	blkio_free_mem_region(b, &r);
	blkio_destroy(&b);
	CHECK(ms_since(&start) < LATE_MS);
}

/* ---- Killed ------------------------------------------------------------------------------- */

struct killer {
	pthread_t thread;
	struct qsd *server;
	unsigned delay_us;
};

static void *kill_later(void *arg)
{
	struct killer *k = arg;

	usleep(k->delay_us);
	qsd_kill(k->server);
	return NULL;
}

/* Keep the queue full until the server's end is noticed; returns how many requests failed. */
static int run_until_death(struct blkioq *q, enum wait wait, char *buf)
{
	struct blkio_completion c[N];
	int failed = 0;

	while (!failed) {
		unsigned char seen[N] = { 0 };

		queue_reads(q, buf, seen, N);
		for (int done = 0; done < N;) {
			int n = collect_by(q, wait, c, N, COLLECT_SECONDS);

			CHECK_OK(n);
			failed += check_completions(c, n);
			done += n;
		}
		CHECK_EQ(blkioq_do_io(q, c, 0, N, NULL), 0);
	}
	return failed;
}

static void killed_under_load(struct device *d)
{
	char blockdev[4200], *buf = buffer(BLOCK);

	snprintf(blockdev, sizeof(blockdev), "driver=file,filename=%s", d->backing);
	for (unsigned i = 0; i < 20; i++) {
		struct killer k = { .server = &d->server, .delay_us = 500 + i * i * 150 };
		enum wait wait = i % NR_WAITS;
		struct blkio *b;
		struct blkioq *q = start_kind(d, wait == WAIT_POLL_QUEUE, &b);

		if (wait == WAIT_EVENT)
			blkioq_set_completion_fd_enabled(q, true);
		CHECK_EQ(pthread_create(&k.thread, NULL, kill_later, &k), 0);
		printf("%u: %d requests failed\n", i, run_until_death(q, wait, buf));
		CHECK_EQ(pthread_join(k.thread, NULL), 0);
		check_dead(b, q, buf);
		qsd_restart(&d->server, blockdev, "writable=on");
	}
}

/* The server has taken everything and finishes nothing; then it is killed. */
static void killed_with_all_in_flight(struct device *d)
{
	char *buf = buffer(BLOCK);

	for (enum wait wait = 0; wait < NR_WAITS; wait++) {
		struct killer k = { .server = &d->server, .delay_us = 100000 };
		struct blkio *b;
		struct blkioq *q;

		serve_slow_disk(d);
		q = start_kind(d, wait == WAIT_POLL_QUEUE, &b);
		if (wait == WAIT_EVENT)
			blkioq_set_completion_fd_enabled(q, true);
		CHECK_EQ(pthread_create(&k.thread, NULL, kill_later, &k), 0);
		CHECK_EQ(run_until_death(q, wait, buf), N);
		CHECK_EQ(pthread_join(k.thread, NULL), 0);
		check_dead(b, q, buf);
	}
}

static void killed_while_idle(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct pollfd p = { .fd = blkioq_get_completion_fd(q), .events = POLLIN };
	char *buf = buffer(BLOCK);

	blkioq_set_completion_fd_enabled(q, true);
	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	qsd_kill(&d->server);
	CHECK_EQ(poll(&p, 1, 5000), 1);
	check_dead(b, q, buf);
}

static void killed_before_start(struct device *d)
{
	struct blkio *b = device_connect(d);

	qsd_kill(&d->server);
	CHECK_ERR(blkio_start(b), ECONNRESET, "server");
	CHECK_ERR(blkio_start(b), EIO, "server");
	blkio_destroy(&b);
	b = device_create(d);
	CHECK_ERR(blkio_connect(b), ECONNREFUSED, d->path);
	qsd_restart(&d->server, slow_disk, "writable=on");
	CHECK_OK(blkio_connect(b));
	blkio_destroy(&b);
}

/* ---- Stuck -------------------------------------------------------------------------------- */

static void stopped(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_completion c;
	struct timespec start, ts = { 0, 200000000 };
	char *buf = buffer(BLOCK);

	qsd_stop(&d->server);
	blkioq_read(q, 0, buf, BLOCK, NULL, 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	CHECK_ERR(blkioq_do_io(q, &c, 1, 1, &ts), ETIME, "timeout");
	CHECK(ms_since(&start) >= 200 && ms_since(&start) < 200 + LATE_MS);
	CHECK_EQ(ts.tv_sec * 1000000000L + ts.tv_nsec, 0);
	kill(d->server.pid, SIGCONT);
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
	CHECK_EQ(c.ret, 0);
	blkio_destroy(&b);
}

static void stopped_poll_queue(struct device *d)
{
	struct blkio *b;
	struct blkioq *q = start_kind(d, true, &b);
	struct timespec start, ts = { 0, 200000000 };
	struct blkio_completion c;
	char *buf = buffer(BLOCK);

	qsd_stop(&d->server);
	blkioq_read(q, 0, buf, BLOCK, NULL, 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	CHECK_ERR(blkioq_do_io(q, &c, 1, 1, &ts), ETIME, "timeout");
	CHECK(ms_since(&start) >= 200 && ms_since(&start) < 200 + LATE_MS);
	kill(d->server.pid, SIGCONT);
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
	blkio_destroy(&b);
}

static void destroyed_while_stopped(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct timespec start;
	char *buf = buffer(BLOCK);

	qsd_stop(&d->server);
	for (int i = 0; i < N; i++)
		blkioq_read(q, 0, buf, BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	blkio_destroy(&b);
	CHECK(ms_since(&start) < 5000 + LATE_MS);
}

/* A control operation without answer is the end: for it, and for what is in flight. */
static void asked_while_stopped(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_mem_region r;
	struct blkio_completion c;
	struct timespec start;
	char *buf = buffer(BLOCK);

	CHECK_OK(blkio_alloc_mem_region(b, &r, BLOCK));
	qsd_stop(&d->server);
	blkioq_read(q, 0, buf, BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	CHECK_ERR(blkio_map_mem_region(b, &r), ETIMEDOUT, "ADD_MEM_REG");
	CHECK(ms_since(&start) < 10000 + LATE_MS);
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
	CHECK_EQ(c.ret, -EIO);
	check_dead(b, q, buf);
}

/* Whoever enables the completion fd is not held up, and is woken up when it is over. */
static void completion_fd_enabled_while_stopped(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct pollfd p = { .fd = blkioq_get_completion_fd(q), .events = POLLIN };
	struct blkio_completion c;
	struct timespec start;
	char *buf = buffer(BLOCK);

	for (int round = 0; round < 2; round++) {
		qsd_stop(&d->server);
		clock_gettime(CLOCK_MONOTONIC, &start);
		blkioq_set_completion_fd_enabled(q, true);
		CHECK(ms_since(&start) < LATE_MS);
		blkioq_read(q, 0, buf, BLOCK, NULL, 0);
		CHECK_EQ(blkioq_do_io(q, &c, 0, 1, NULL), 0);
		kill(d->server.pid, SIGCONT);
		CHECK_EQ(poll(&p, 1, LATE_MS), 1);
		CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
		CHECK_EQ(c.ret, 0);
		blkioq_set_completion_fd_enabled(q, false);
	}
	blkio_destroy(&b);
}

static void taken_by_another(struct device *d)
{
	struct blkio *first = device_start(d), *second = device_create(d);
	struct timespec start;
	char *buf = buffer(BLOCK);

	clock_gettime(CLOCK_MONOTONIC, &start);
	CHECK_ERR(blkio_connect(second), ETIMEDOUT, "another client");
	CHECK(ms_since(&start) < 10000 + LATE_MS);
	CHECK_EQ(io_read(blkio_get_queue(first, 0), 0, buf, BLOCK, 0), 0);
	blkio_destroy(&first);
	CHECK_OK(blkio_connect(second));
	blkio_destroy(&second);
}

static const struct test tests[] = {
	{ "killed under load, 20 times", killed_under_load, T_VHOST_USER, 0, 90 },
	{ "killed with all in flight", killed_with_all_in_flight, T_VHOST_USER },
	{ "killed while idle", killed_while_idle, T_VHOST_USER },
	{ "killed before start", killed_before_start, T_VHOST_USER },
	{ "stopped", stopped, T_VHOST_USER },
	{ "stopped, poll queue", stopped_poll_queue, T_VHOST_USER },
	{ "destroyed while stopped", destroyed_while_stopped, T_VHOST_USER },
	{ "asked while stopped", asked_while_stopped, T_VHOST_USER, 0, 40 },
	{ "completion fd enabled while stopped", completion_fd_enabled_while_stopped,
	  T_VHOST_USER },
	{ "taken by another client", taken_by_another, T_VHOST_USER, 0, 40 },
};
TEST_MAIN(tests)
