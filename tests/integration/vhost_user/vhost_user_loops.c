/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Servers that come back each time only to go again: neither for ever nor without a pause, and the
 * time that "reconnect-timeout" gives them restarts only when they get something done.
 */
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "io.h"
#include "test.h"
#include "tracker.h"
#include "ways.h"

enum { BLOCK = 4096, N = 100, GET_FEATURES = 1, SET_FEATURES = 2, SET_VRING_ENABLE = 18 };

/* At most so many connections in a second or so: 5, 10, 20 ms and so on lie between them. */
enum { CONNECTIONS_MAX = 60 };

static const struct kind {
	const char *name;
	bool packed, indirect, forgetful;
} kinds[] = {
	{ "split", false, false, true },
	{ "packed", true, true, true },
	{ "split, tracked", false, true, false },
	{ "packed, tracked", true, true, false },
};

static struct tracker t;

static int64_t ms_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

static void start_servers(const struct kind *k)
{
	printf("%s\n", k->name);
	tracker_init(&t, k->packed, k->indirect);
	t.forgetful = k->forgetful;
	tracker_keep(&t);
}

static unsigned servers(void)
{
	return __atomic_load_n(&t.shared->servers, __ATOMIC_ACQUIRE);
}

static struct blkio *start(int ms, int queues, int poll_queues)
{
	struct blkio *b;

	CHECK_OK(blkio_create("virtio-blk-vhost-user", &b));
	CHECK_OK(blkio_set_str(b, "path", t.socket));
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", ms));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_set_int(b, "queue-size", 32));
	CHECK_OK(blkio_set_int(b, "num-queues", queues));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", poll_queues));
	CHECK_OK(blkio_start(b));
	return b;
}

static struct blkioq *start_way(struct blkio **bp, enum wait wait, int ms)
{
	bool poll = wait == WAIT_POLL_QUEUE;
	struct blkioq *q;

	*bp = start(ms, !poll, poll);
	q = poll ? blkio_get_poll_queue(*bp, 0) : blkio_get_queue(*bp, 0);
	if (wait == WAIT_EVENT)
		blkioq_set_completion_fd_enabled(q, true);
	return q;
}

static char *memory(struct blkio *b, size_t len)
{
	struct blkio_mem_region r;

	CHECK_OK(blkio_alloc_mem_region(b, &r, len));
	CHECK_OK(blkio_map_mem_region(b, &r));
	return r.addr;
}

/* ---- Nothing gets done -------------------------------------------------------------------- */

/* All that is queued, and all that follows, fails in time; the server was left in peace meanwhile.
 */
static void gets_nothing_done(const struct kind *k, enum wait wait, uint32_t last_message)
{
	struct timespec begin;
	struct blkio *b;
	struct blkioq *q;
	char *buf;

	start_servers(k);
	q = start_way(&b, wait, 1000);
	buf = memory(b, BLOCK);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	__atomic_store_n(&t.shared->last_message, last_message, __ATOMIC_RELEASE);
	kill(t.shared->pid, SIGKILL);
	for (int i = 0; i < N; i++)
		blkioq_read(q, 0, buf, BLOCK, NULL, 0);
	for (int left = N; left;) {
		struct blkio_completion c[N];
		int n = collect_by(q, wait, c, N, 15);

		CHECK_OK(n);
		for (int i = 0; i < n; i++) {
			CHECK_EQ(c[i].ret, -ENOTCONN);
			CHECK(strstr(c[i].error_msg, "reconnect-timeout"));
		}
		left -= n;
	}
	CHECK(ms_since(&begin) >= 1000);
	printf("%u servers\n", servers());
	CHECK(servers() <= CONNECTIONS_MAX);
	CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 0), ENOTCONN, "reconnect-timeout");
	blkio_destroy(&b);
	tracker_exit(&t);
}

static void closes_after_the_handshake(struct device *d)
{
	(void)d;
	for (enum wait wait = 0; wait < NR_WAITS; wait++)
		gets_nothing_done(&kinds[0], wait, SET_VRING_ENABLE);
	for (size_t k = 1; k < ARRAY_LEN(kinds); k++)
		gets_nothing_done(&kinds[k], WAIT_BLOCK, SET_VRING_ENABLE);
}

static void closes_within_the_handshake(struct device *d)
{
	(void)d;
	gets_nothing_done(&kinds[0], WAIT_EVENT, GET_FEATURES);
	gets_nothing_done(&kinds[0], WAIT_POLL_QUEUE, SET_FEATURES);
}

/* However short the time is, it is not over before a connection, nor restarted by one. */
static void short_time(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;
	char *buf;

	(void)d;
	start_servers(&kinds[0]);
	q = start_way(&b, WAIT_BLOCK, 1);
	buf = memory(b, BLOCK);
	__atomic_store_n(&t.shared->last_message, SET_VRING_ENABLE, __ATOMIC_RELEASE);
	kill(t.shared->pid, SIGKILL);
	CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 0), ENOTCONN, "reconnect-timeout");
	CHECK(servers() <= CONNECTIONS_MAX);
	blkio_destroy(&b);
	tracker_exit(&t);
}

/* Nobody waits for anything: the loop ends all the same. (A new ring would wait for its queue.) */
static void idle(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;
	uint64_t bytes;
	char *buf;

	(void)d;
	start_servers(&kinds[3]);
	q = start_way(&b, WAIT_BLOCK, 500);
	buf = memory(b, BLOCK);
	__atomic_store_n(&t.shared->last_message, SET_VRING_ENABLE, __ATOMIC_RELEASE);
	kill(t.shared->pid, SIGKILL);
	while (!blkio_get_uint64(b, "capacity", &bytes))
		usleep(10000);
	CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 0), ENOTCONN, "reconnect-timeout");
	CHECK(servers() <= CONNECTIONS_MAX);
	blkio_destroy(&b);
	tracker_exit(&t);
}

/* ---- A request that kills ----------------------------------------------------------------- */

/*
 * Each server does what is on the first queue, then dies of the request on the other. Returns what
 * became of that one.
 */
static int die_of_one(struct blkioq *good, struct blkioq *bad, enum wait wait, char *buf)
{
	struct blkio_completion c;
	struct timespec none = { 0 };
	int n;

	blkioq_read(bad, BLOCK, buf + BLOCK, BLOCK, NULL, 0);
	for (;;) {
		blkioq_read(good, 0, buf, BLOCK, NULL, 0);
		n = blkioq_do_io(bad, &c, wait == WAIT_POLL_QUEUE ? 0 : 1, 1, &none);
		CHECK(n >= 0 || n == -ETIME);
		if (n > 0)
			break;
		CHECK_EQ(blkioq_do_io(good, &c, 1, 1, NULL), 1);
		if (c.ret < 0)
			CHECK_EQ(c.ret, -EIO);
	}
	CHECK(c.error_msg && strstr(c.error_msg, "10 servers"));
	n = c.ret;
	CHECK_EQ(blkioq_do_io(good, &c, 1, 1, NULL), 1);
	return n;
}

static void request_that_kills(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(kinds) * 2; i++) {
		const struct kind *k = &kinds[i / 2];
		bool poll = i % 2;
		struct blkioq *good, *bad;
		struct blkio *b;
		char *buf;

		start_servers(k);
		t.shared->deadly = BLOCK;
		b = start(20000, 1 + !poll, poll);
		good = blkio_get_queue(b, 0);
		bad = poll ? blkio_get_poll_queue(b, 0) : blkio_get_queue(b, 1);
		buf = memory(b, 2 * BLOCK);
		CHECK_EQ(die_of_one(good, bad, poll ? WAIT_POLL_QUEUE : WAIT_BLOCK, buf), -EIO);
		CHECK(servers() >= 10 && servers() <= 12);
		/* With its own notes, the next server would do it again: all is over. */
		CHECK_EQ(io_read(good, 0, buf, BLOCK, 0), k->forgetful ? 0 : -EIO);
		CHECK_EQ(io_read(bad, 0, buf, BLOCK, 0), k->forgetful ? 0 : -EIO);
		blkio_destroy(&b);
		tracker_exit(&t);
	}
}

/* ---- Progress ----------------------------------------------------------------------------- */

/* Servers that die again and again, but get something done, have all the time in the world. */
static void progress(struct device *d)
{
	(void)d;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct timespec begin;
		struct blkio *b;
		struct blkioq *q;
		char *buf;

		start_servers(&kinds[k]);
		q = start_way(&b, WAIT_BLOCK, 1500);
		buf = memory(b, BLOCK);
		clock_gettime(CLOCK_MONOTONIC, &begin);
		for (unsigned dead = 0; dead < 30 || ms_since(&begin) < 2000; dead++) {
			pid_t pid = __atomic_load_n(&t.shared->pid, __ATOMIC_ACQUIRE);

			CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
			kill(pid, SIGKILL);
			CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
		}
		blkio_destroy(&b);
		tracker_exit(&t);
	}
}

/* A connection that has lasted is progress, too: there may be nothing to do. */
static void lasting_connection(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;
	char *buf;

	(void)d;
	start_servers(&kinds[0]);
	q = start_way(&b, WAIT_BLOCK, 1000);
	buf = memory(b, BLOCK);
	for (int i = 0; i < 3; i++) {
		kill(t.shared->pid, SIGKILL);
		sleep(2);
	}
	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	blkio_destroy(&b);
	tracker_exit(&t);
}

static const struct test tests[] = {
	{ "closes after the handshake", closes_after_the_handshake, .timeout = 120 },
	{ "closes within the handshake", closes_within_the_handshake, .timeout = 120 },
	{ "closes after the handshake, idle", idle },
	{ "a short time", short_time },
	{ "a request that kills", request_that_kills, .timeout = 60 },
	{ "progress", progress, .timeout = 60 },
	{ "a lasting connection", lasting_connection },
};
TEST_MAIN(tests)
