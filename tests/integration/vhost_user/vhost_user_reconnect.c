/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Servers that die and come back, with property "reconnect-timeout": every request completes once
 * and well, in every way of waiting. RECONNECTS in the environment sets how often; 8 by default.
 */
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "io.h"
#include "test.h"
#include "ways.h"

enum { BLOCK = 4096, BLOCKS = DEVICE_SIZE / BLOCK, N = 200 };

static const char *const slow_disk = "driver=null-co,size=4194304,latency-ns=60000000000";
static const char *const quick_disk = "driver=null-co,size=4194304";

static int64_t ms_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

static const char *file_disk(struct device *d)
{
	static char blockdev[4200];

	snprintf(blockdev, sizeof(blockdev), "driver=file,filename=%s", d->backing);
	return blockdev;
}

static struct blkio *connect_patiently(struct device *d, int ms)
{
	struct blkio *b = device_create(d);

	CHECK_OK(blkio_set_int(b, "reconnect-timeout", ms));
	CHECK_OK(blkio_connect(b));
	return b;
}

static struct blkioq *start_kind(struct blkio *b, bool poll)
{
	CHECK_OK(blkio_set_int(b, "queue-size", 64));
	CHECK_OK(blkio_set_int(b, "num-queues", !poll));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", poll));
	CHECK_OK(blkio_start(b));
	return poll ? blkio_get_poll_queue(b, 0) : blkio_get_queue(b, 0);
}

/* ---- Death and return --------------------------------------------------------------------- */

/* Servers die with the thread that started them: it waits to be joined. */
static void stay(const bool *leave)
{
	while (!__atomic_load_n(leave, __ATOMIC_ACQUIRE))
		usleep(1000);
}

static void dismiss(pthread_t thread, bool *leave)
{
	__atomic_store_n(leave, true, __ATOMIC_RELEASE);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

struct reviver {
	pthread_t thread;
	bool leave;
	struct qsd *server;
	const char *blockdev;
	unsigned kill_after_us, away_us;
};

static void *kill_and_restart(void *arg)
{
	struct reviver *r = arg;

	usleep(r->kill_after_us);
	qsd_kill(r->server);
	usleep(r->away_us);
	qsd_restart(r->server, r->blockdev, "writable=on,num-queues=4");
	stay(&r->leave);
	return NULL;
}

static void revive_later(struct reviver *r)
{
	CHECK_EQ(pthread_create(&r->thread, NULL, kill_and_restart, r), 0);
}

static void revived(struct reviver *r)
{
	dismiss(r->thread, &r->leave);
}

/* Write, read back: all of it many times, until the server has died and returned. */
static void write_and_read(struct blkioq *q, enum wait wait, char *buf, uint32_t seed, bool *until)
{
	unsigned char seen[BLOCKS];

	do {
		pattern(buf, 0, N * BLOCK, ++seed);
		memset(seen, 0, sizeof(seen));
		for (int i = 0; i < N; i++)
			blkioq_write(q, (uint64_t)i * BLOCK, buf + i * BLOCK, BLOCK, seen + i,
				     i % 8 ? 0 : BLKIO_REQ_FUA);
		collect_each(q, wait, N, 0);
		memset(buf, 0xee, N * BLOCK);
		memset(seen, 0, sizeof(seen));
		for (int i = 0; i < N; i++)
			blkioq_read(q, (uint64_t)i * BLOCK, buf + i * BLOCK, BLOCK, seen + i, 0);
		collect_each(q, wait, N, 0);
		check_pattern(buf, 0, N * BLOCK, seed);
	} while (!__atomic_load_n(until, __ATOMIC_ACQUIRE));
}

struct campaign {
	pthread_t thread;
	struct device *d;
	bool over, leave;
};

static int rounds(void)
{
	const char *number = getenv("RECONNECTS");

	return number ? atoi(number) : 8;
}

static void *kill_again_and_again(void *arg)
{
	struct campaign *c = arg;
	unsigned n = (unsigned)rounds();

	for (unsigned i = 0; i < n; i++) {
		usleep(2000 + i % 20 * 1700);
		qsd_kill(&c->d->server);
		usleep(i % 3 * 20000);
		qsd_restart(&c->d->server, file_disk(c->d), "writable=on");
	}
	__atomic_store_n(&c->over, true, __ATOMIC_RELEASE);
	stay(&c->leave);
	return NULL;
}

static void restarted_under_load(struct device *d)
{
	char *buf = buffer(DEVICE_SIZE);

	for (enum wait wait = 0; wait < NR_WAITS; wait++) {
		struct blkio *b = connect_patiently(d, 20000);
		struct blkioq *q = start_kind(b, wait == WAIT_POLL_QUEUE);
		struct campaign c = { .d = d };

		if (wait == WAIT_EVENT)
			blkioq_set_completion_fd_enabled(q, true);
		CHECK_EQ(pthread_create(&c.thread, NULL, kill_again_and_again, &c), 0);
		write_and_read(q, wait, buf, wait * 100000, &c.over);
		blkio_destroy(&b);
		dismiss(c.thread, &c.leave);
		qsd_kill(&d->server);
		qsd_restart(&d->server, file_disk(d), "writable=on");
	}
}

/* The server has taken all that fits on the ring and finishes nothing; its successor does. */
static void restarted_with_all_in_flight(struct device *d)
{
	char *buf = buffer(BLOCK);

	for (enum wait wait = 0; wait < NR_WAITS; wait++) {
		struct reviver r = { .server = &d->server,
				     .blockdev = quick_disk,
				     .kill_after_us = 50000,
				     .away_us = 50000 };
		unsigned char seen[N] = { 0 };
		struct blkio *b;
		struct blkioq *q;

		qsd_kill(&d->server);
		qsd_restart(&d->server, slow_disk, "writable=on");
		b = connect_patiently(d, 20000);
		q = start_kind(b, wait == WAIT_POLL_QUEUE);
		if (wait == WAIT_EVENT)
			blkioq_set_completion_fd_enabled(q, true);
		for (int i = 0; i < N; i++)
			blkioq_read(q, (uint64_t)i * BLOCK, buf, BLOCK, seen + i, 0);
		revive_later(&r);
		collect_each(q, wait, N, 0);
		blkio_destroy(&b);
		revived(&r);
	}
}

/* Every kind of request, with segments, and several in one. */
static void all_kinds_in_flight(struct device *d)
{
	struct reviver r = { .server = &d->server, .blockdev = quick_disk, .kill_after_us = 50000 };
	char *buf = buffer(64 * BLOCK);
	unsigned char seen[6] = { 0 };
	struct iovec iov[64];
	struct blkio *b;
	struct blkioq *q;

	qsd_kill(&d->server);
	qsd_restart(&d->server, slow_disk, "writable=on");
	b = connect_patiently(d, 20000);
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	for (int i = 0; i < 64; i++)
		iov[i] = (struct iovec){ buf + i * BLOCK, BLOCK };
	blkioq_readv(q, 0, iov, 64, seen, 0);
	blkioq_writev(q, 0, iov, 2, seen + 1, BLKIO_REQ_FUA);
	blkioq_write_zeroes(q, 0, BLOCK, seen + 2, 0);
	blkioq_discard(q, 0, BLOCK, seen + 3, 0);
	blkioq_flush(q, seen + 4, 0);
	blkioq_read(q, 0, buf, BLOCK, seen + 5, 0);
	revive_later(&r);
	collect_each(q, WAIT_BLOCK, 6, 0);
	revived(&r);
	blkio_destroy(&b);
}

/* A queue that nobody used when the server went works when somebody does. */
static void idle_queue(struct device *d)
{
	struct blkio *b = connect_patiently(d, 20000);
	char *buf = buffer(BLOCK);

	CHECK_OK(blkio_set_int(b, "num-queues", 2));
	CHECK_OK(blkio_start(b));
	for (int round = 0; round < 3; round++) {
		CHECK_EQ(io_read(blkio_get_queue(b, round & 1), 0, buf, BLOCK, 0), 0);
		qsd_kill(&d->server);
		qsd_restart(&d->server, file_disk(d), "writable=on,num-queues=4");
	}
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
	CHECK_EQ(io_read(blkio_get_queue(b, 1), 0, buf, BLOCK, 0), 0);
	blkio_destroy(&b);
}

/* ---- Meanwhile ---------------------------------------------------------------------------- */

static void timeouts_hold(struct device *d)
{
	struct blkio *b = connect_patiently(d, 20000);
	struct timespec start, ts = { 0, 200000000 };
	struct blkio_completion c;
	char *buf = buffer(BLOCK);
	struct blkioq *q;

	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	qsd_kill(&d->server);
	blkioq_read(q, 0, buf, BLOCK, NULL, 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	CHECK_ERR(blkioq_do_io(q, &c, 1, 1, &ts), ETIME, "timeout");
	CHECK(ms_since(&start) >= 200 && ms_since(&start) < 200 + LATE_MS);
	CHECK_EQ(blkioq_do_io(q, &c, 0, 1, NULL), 0);
	qsd_restart(&d->server, file_disk(d), "writable=on");
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
	CHECK_EQ(c.ret, 0);
	blkio_destroy(&b);
}

static void regions_change(struct device *d)
{
	struct blkio *b = connect_patiently(d, 20000);
	struct blkio_mem_region r[3];
	uint64_t capacity;
	struct blkioq *q;

	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	for (int i = 0; i < 3; i++)
		CHECK_OK(blkio_alloc_mem_region(b, &r[i], 16 * BLOCK));
	CHECK_OK(blkio_map_mem_region(b, &r[0]));
	CHECK_OK(blkio_map_mem_region(b, &r[1]));
	qsd_kill(&d->server);
	blkio_unmap_mem_region(b, &r[0]);
	CHECK_OK(blkio_map_mem_region(b, &r[2]));
	CHECK_OK(blkio_get_uint64(b, "capacity", &capacity));
	CHECK_EQ(capacity, DEVICE_SIZE);
	qsd_restart(&d->server, file_disk(d), "writable=on");
	CHECK_IO_ERR(io_read(q, 0, r[0].addr, BLOCK, 0), EINVAL, "region");
	CHECK_EQ(io_read(q, 0, r[1].addr, 16 * BLOCK, 0), 0);
	CHECK_EQ(io_read(q, 0, r[2].addr, 16 * BLOCK, 0), 0);
	CHECK_OK(blkio_map_mem_region(b, &r[0]));
	CHECK_EQ(io_read(q, 0, r[0].addr, 16 * BLOCK, 0), 0);
	blkio_destroy(&b);
}

static void completion_fd_enabled_meanwhile(struct device *d)
{
	struct blkio *b = connect_patiently(d, 20000);
	unsigned char seen[N] = { 0 };
	char *buf = buffer(BLOCK);
	struct blkioq *q = start_kind(b, false);

	qsd_kill(&d->server);
	for (int i = 0; i < N; i++)
		blkioq_read(q, (uint64_t)i * BLOCK, buf, BLOCK, seen + i, 0);
	/* It does not wait for the server, which returns only afterwards. */
	blkioq_set_completion_fd_enabled(q, true);
	qsd_restart(&d->server, file_disk(d), "writable=on,num-queues=4");
	collect_each(q, WAIT_EVENT, N, 0);
	blkio_destroy(&b);
}

/* ---- No return ---------------------------------------------------------------------------- */

static void does_not_return(struct device *d)
{
	char *buf = buffer(BLOCK);

	for (enum wait wait = 0; wait < NR_WAITS; wait++) {
		struct blkio *b = connect_patiently(d, 500);
		struct blkioq *q = start_kind(b, wait == WAIT_POLL_QUEUE);
		unsigned char seen[N] = { 0 };
		struct blkio_mem_region r;
		struct timespec start;

		if (wait == WAIT_EVENT)
			blkioq_set_completion_fd_enabled(q, true);
		qsd_kill(&d->server);
		clock_gettime(CLOCK_MONOTONIC, &start);
		for (int i = 0; i < N; i++)
			blkioq_read(q, (uint64_t)i * BLOCK, buf, BLOCK, seen + i, 0);
		collect_each(q, wait, N, -ENOTCONN);
		CHECK(ms_since(&start) >= 400 && ms_since(&start) < 500 + LATE_MS);
		CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 0), ENOTCONN, "reconnect-timeout");
		CHECK_OK(blkio_alloc_mem_region(b, &r, BLOCK));
		CHECK_ERR(blkio_map_mem_region(b, &r), ENOTCONN, "did not come back");
		blkio_destroy(&b);
		qsd_restart(&d->server, file_disk(d), "writable=on");
	}
}

static void destroyed_meanwhile(struct device *d)
{
	char *buf = buffer(BLOCK);

	for (int round = 0; round < 4; round++) {
		struct blkio *b = connect_patiently(d, 60000);
		struct blkioq *q = start_kind(b, false);
		struct timespec start;

		CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
		qsd_kill(&d->server);
		if (round & 1)
			usleep(100000);
		if (round & 2)
			blkioq_read(q, 0, buf, BLOCK, NULL, 0), blkioq_do_io(q, NULL, 0, 0, NULL);
		clock_gettime(CLOCK_MONOTONIC, &start);
		blkio_destroy(&b);
		CHECK(ms_since(&start) < 5000 + LATE_MS);
		qsd_restart(&d->server, file_disk(d), "writable=on");
	}
}

/* ---- Another device ----------------------------------------------------------------------- */

static void returns_as_another(struct device *d)
{
	static const struct {
		const char *options, *message;
	} others[] = {
		{ "writable=on,num-queues=4,logical-block-size=4096", "another configuration" },
		{ "writable=on,num-queues=2", "fewer queues" },
	};
	char *buf = buffer(BLOCK);

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct blkio *b;

		qsd_kill(&d->server);
		qsd_restart(&d->server, file_disk(d), "writable=on,num-queues=4");
		b = connect_patiently(d, 20000);
		CHECK_OK(blkio_set_int(b, "num-queues", 3));
		CHECK_OK(blkio_start(b));
		qsd_kill(&d->server);
		qsd_restart(&d->server, file_disk(d), others[i].options);
		CHECK_IO_ERR(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), EIO,
			     others[i].message);
		blkio_destroy(&b);
	}
}

static void returns_larger(struct device *d)
{
	struct blkio *b = connect_patiently(d, 20000);
	char *buf = buffer(BLOCK);

	CHECK_OK(blkio_start(b));
	qsd_kill(&d->server);
	qsd_restart(&d->server, "driver=null-co,size=8388608", "writable=on");
	CHECK_EQ(io_read(blkio_get_queue(b, 0), DEVICE_SIZE, buf, BLOCK, 0), 0);
	CHECK_EQ(get_u64(b, "capacity"), 2 * DEVICE_SIZE);
	blkio_destroy(&b);
}

/* A server that hangs may still write to memory: it is no reason to go to another. */
static void hangs(struct device *d)
{
	struct blkio *b = connect_patiently(d, 20000);
	struct blkio_mem_region r;

	CHECK_OK(blkio_start(b));
	CHECK_OK(blkio_alloc_mem_region(b, &r, BLOCK));
	qsd_stop(&d->server);
	CHECK_ERR(blkio_map_mem_region(b, &r), ETIMEDOUT, "ADD_MEM_REG");
	CHECK_ERR(blkio_map_mem_region(b, &r), EIO, "does not answer");
	blkio_destroy(&b);
}

static void bad_values(struct device *d)
{
	struct blkio *b = device_create(d);

	CHECK_EQ(get_int(b, "reconnect-timeout"), 0);
	CHECK_ERR(blkio_set_int(b, "reconnect-timeout", -1), EINVAL, "reconnect-timeout", "-1");
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", 1000));
	CHECK_OK(blkio_set_str(b, "path", ""));
	CHECK_OK(blkio_set_int(b, "fd", 0));
	CHECK_ERR(blkio_connect(b), EINVAL, "reconnect-timeout", "path");
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "restarted under load", restarted_under_load, T_VHOST_USER, 0, 600 },
	{ "restarted with all in flight", restarted_with_all_in_flight, T_VHOST_USER, 0, 60 },
	{ "all kinds of request in flight", all_kinds_in_flight, T_VHOST_USER },
	{ "idle queue", idle_queue, T_VHOST_USER },
	{ "timeouts hold meanwhile", timeouts_hold, T_VHOST_USER },
	{ "regions change meanwhile", regions_change, T_VHOST_USER },
	{ "completion fd enabled meanwhile", completion_fd_enabled_meanwhile, T_VHOST_USER },
	{ "does not return", does_not_return, T_VHOST_USER, 0, 60 },
	{ "destroyed meanwhile", destroyed_meanwhile, T_VHOST_USER, 0, 60 },
	{ "returns as another", returns_as_another, T_VHOST_USER, 0, 60 },
	{ "returns larger", returns_larger, T_VHOST_USER },
	{ "hangs", hangs, T_VHOST_USER, 0, 40 },
	{ "bad values", bad_values, T_VHOST_USER },
};
TEST_MAIN(tests)
