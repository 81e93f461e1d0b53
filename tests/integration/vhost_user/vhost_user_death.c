/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Servers that die, hang or lie: every request completes, no wait outlasts its timeout, and all
 * calls say what happened.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "io.h"
#include "proxy.h"
#include "sys.h"
#include "test.h"

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
	CHECK(ms_since(&start) < 2000);
}

/* ---- Killed ------------------------------------------------------------------------------- */

enum wait { WAIT_BLOCK, WAIT_EVENT, WAIT_POLL_QUEUE, WAIT_TIMEOUT, NR_WAITS };

static int collect(struct blkioq *q, enum wait wait, struct blkio_completion *c, int most)
{
	struct pollfd p = { .fd = blkioq_get_completion_fd(q), .events = POLLIN };
	struct timespec ts = { 10, 0 };
	uint64_t count;
	int n;

	switch (wait) {
	case WAIT_EVENT:
		n = blkioq_do_io(q, c, 0, most, NULL);
		if (n)
			return n;
		if (poll(&p, 1, 10000) != 1)
			FAIL("no event in 10 seconds");
		CHECK_EQ(read(p.fd, &count, sizeof(count)), sizeof(count));
		return blkioq_do_io(q, c, 0, most, NULL);
	case WAIT_TIMEOUT:
		return blkioq_do_io(q, c, 1, most, &ts);
	default:
		return blkioq_do_io(q, c, 1, most, NULL);
	}
}

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
			int n = collect(q, wait, c, N);

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

	kill(d->server.pid, SIGSTOP);
	blkioq_read(q, 0, buf, BLOCK, NULL, 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	CHECK_ERR(blkioq_do_io(q, &c, 1, 1, &ts), ETIME, "timeout");
	CHECK(ms_since(&start) >= 200 && ms_since(&start) < 2000);
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

	kill(d->server.pid, SIGSTOP);
	blkioq_read(q, 0, buf, BLOCK, NULL, 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	CHECK_ERR(blkioq_do_io(q, &c, 1, 1, &ts), ETIME, "timeout");
	CHECK(ms_since(&start) >= 200 && ms_since(&start) < 2000);
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

	kill(d->server.pid, SIGSTOP);
	for (int i = 0; i < N; i++)
		blkioq_read(q, 0, buf, BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	blkio_destroy(&b);
	CHECK(ms_since(&start) < 8000);
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
	kill(d->server.pid, SIGSTOP);
	blkioq_read(q, 0, buf, BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	CHECK_ERR(blkio_map_mem_region(b, &r), ETIMEDOUT, "ADD_MEM_REG");
	CHECK(ms_since(&start) < 12000);
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
	CHECK_EQ(c.ret, -EIO);
	check_dead(b, q, buf);
}

static void taken_by_another(struct device *d)
{
	struct blkio *first = device_start(d), *second = device_create(d);
	struct timespec start;
	char *buf = buffer(BLOCK);

	clock_gettime(CLOCK_MONOTONIC, &start);
	CHECK_ERR(blkio_connect(second), ETIMEDOUT, "another client");
	CHECK(ms_since(&start) < 12000);
	CHECK_EQ(io_read(blkio_get_queue(first, 0), 0, buf, BLOCK, 0), 0);
	blkio_destroy(&first);
	CHECK_OK(blkio_connect(second));
	blkio_destroy(&second);
}

/* ---- Lying -------------------------------------------------------------------------------- */

static bool wrong_request(struct vu_proxy *p, struct vu_message *m)
{
	(void)p;
	m->request++;
	return true;
}

static bool wrong_version(struct vu_proxy *p, struct vu_message *m)
{
	(void)p;
	m->flags ^= 3;
	return true;
}

static bool no_reply_flag(struct vu_proxy *p, struct vu_message *m)
{
	(void)p;
	m->flags &= ~4u;
	return true;
}

static bool too_short(struct vu_proxy *p, struct vu_message *m)
{
	(void)p;
	m->size--;
	return true;
}

static bool too_long(struct vu_proxy *p, struct vu_message *m)
{
	(void)p;
	memset(m->payload + m->size, 0xff, sizeof(m->payload) - m->size);
	m->size = sizeof(m->payload);
	return true;
}

static bool empty(struct vu_proxy *p, struct vu_message *m)
{
	(void)p;
	m->size = 0;
	return true;
}

static bool unchanged(struct vu_proxy *p, struct vu_message *m)
{
	(void)p, (void)m;
	return true;
}

static bool hung_up(struct vu_proxy *p, struct vu_message *m)
{
	(void)m;
	shutdown(p->client, SHUT_RDWR);
	return false;
}

/* The device cannot be used, the descriptor stays the caller's, nothing leaks. */
static void refuse_answer(struct device *d, uint32_t request,
			  bool (*spoil)(struct vu_proxy *, struct vu_message *), int fd_to_add)
{
	struct vu_proxy p = { .spoil = spoil, .spoil_request = request, .fd_to_add = fd_to_add };
	int fd = vu_proxy_start(&p, d->path), ret;
	struct blkio *b;
	bool connected;

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	test_forget_error();
	ret = blkio_connect(b);
	connected = !ret;
	if (connected)
		ret = blkio_start(b);
	if (ret != -EPROTO && ret != -ECONNRESET && ret != -EIO)
		FAIL("request %u gave %d, \"%s\"", request, ret, blkio_get_error_msg());
	CHECK(strstr(blkio_get_error_msg(), "server"));
	blkio_destroy(&b);
	CHECK_EQ(fcntl(fd, F_GETFD), connected ? -1 : FD_CLOEXEC);
	if (!connected)
		close(fd);
	vu_proxy_stop(&p);
}

static void bad_answers(struct device *d)
{
	/* GET_FEATURES, SET_FEATURES, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_CONFIG,
	 * GET_MAX_MEM_SLOTS, ADD_MEM_REG, SET_VRING_KICK, SET_VRING_ENABLE */
	static const uint32_t requests[] = { 1, 2, 15, 17, 24, 36, 37, 12, 18 };
	static bool (*const ways[])(struct vu_proxy *, struct vu_message *) = {
		wrong_request, wrong_version, no_reply_flag, too_short, too_long, empty, hung_up
	};
	unsigned fds = count_fds();

	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		for (size_t k = 0; k < ARRAY_LEN(ways); k++) {
			printf("request %u, way %zu\n", requests[i], k);
			refuse_answer(d, requests[i], ways[k], -1);
			CHECK_EQ(count_fds(), fds);
		}
		refuse_answer(d, requests[i], unchanged, STDIN_FILENO);
		CHECK_EQ(count_fds(), fds);
	}
}

static void poison_config(struct vu_message *m, size_t offset, uint64_t value, size_t len)
{
	memcpy(m->payload + 12 + offset, &value, len);
}

static const struct {
	size_t offset;
	uint64_t value;
	size_t len;
} poisons[] = {
	{ 0, UINT64_MAX, 8 },  { 0, 1ull << 55, 8 },  { 0, 0, 8 },    { 8, 1, 4 },
	{ 8, UINT32_MAX, 4 },  { 8, 511, 4 },	      { 12, 0, 4 },   { 12, UINT32_MAX, 4 },
	{ 20, 0, 4 },	       { 20, 1, 4 },	      { 20, 513, 4 }, { 20, 1u << 31, 4 },
	{ 20, UINT32_MAX, 4 }, { 24, 255, 1 },	      { 24, 31, 1 },  { 28, UINT32_MAX, 4 },
	{ 34, 0, 2 },	       { 34, UINT16_MAX, 2 }, { 36, 0, 4 },   { 36, UINT32_MAX, 4 },
	{ 44, UINT32_MAX, 4 }, { 44, 0, 4 },	      { 48, 0, 4 },   { 48, UINT32_MAX, 4 },
	{ 8, UINT64_MAX, 8 },
};

static size_t poison;

static bool poisoned(struct vu_proxy *p, struct vu_message *m)
{
	(void)p;
	poison_config(m, poisons[poison].offset, poisons[poison].value, poisons[poison].len);
	return true;
}

/* Refused, or every property still makes sense and requests still work. */
static void bad_config(struct device *d)
{
	static const char *const positive[] = { "max-queues",	 "request-alignment",
						"max-segments",	 "optimal-io-alignment",
						"buf-alignment", "discard-alignment" };
	static const char *const not_negative[] = { "max-transfer", "max-segment-len",
						    "optimal-io-size" };
	char *buf = buffer(BLOCK);

	for (poison = 0; poison < ARRAY_LEN(poisons); poison++) {
		struct vu_proxy p = { .spoil = poisoned, .spoil_request = 24, .fd_to_add = -1 };
		int fd = vu_proxy_start(&p, d->path);
		struct blkio *b;

		printf("config at %zu: %llu\n", poisons[poison].offset,
		       (unsigned long long)poisons[poison].value);
		CHECK_OK(blkio_create(d->driver, &b));
		CHECK_OK(blkio_set_int(b, "fd", fd));
		if (blkio_connect(b) < 0) {
			CHECK(blkio_get_error_msg()[0]);
			close(fd);
		} else {
			for (size_t i = 0; i < ARRAY_LEN(positive); i++)
				CHECK(get_int(b, positive[i]) > 0);
			for (size_t i = 0; i < ARRAY_LEN(not_negative); i++)
				CHECK(get_int(b, not_negative[i]) >= 0);
			CHECK(get_u64(b, "capacity") <= INT64_MAX);
			CHECK(get_int(b, "max-queues") <= 5);
			CHECK_OK(blkio_start(b));
			CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
			CHECK_EQ(io_discard(blkio_get_queue(b, 0), 0, BLOCK, 0), 0);
		}
		blkio_destroy(&b);
		vu_proxy_stop(&p);
	}
}

/* ---- Paths and descriptors ---------------------------------------------------------------- */

static void refuses_path(struct device *d, const char *path, int errnum)
{
	struct blkio *b;

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_str(b, "path", path));
	CHECK_ERR(blkio_connect(b), errnum, path);
	blkio_destroy(&b);
}

static void bad_paths(struct device *d)
{
	char path[300];

	refuses_path(d, "/nonexistent/socket", ENOENT);
	refuses_path(d, d->backing, ECONNREFUSED);
	refuses_path(d, "/dev/null", ECONNREFUSED);
	refuses_path(d, "/", ECONNREFUSED);
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	refuses_path(d, path, ENAMETOOLONG);
	qsd_kill(&d->server);
	refuses_path(d, d->path, ECONNREFUSED);
}

static void refuses_fd(struct device *d, int fd, int errnum)
{
	struct blkio *b;

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK_ERR(blkio_connect(b), errnum, "fd");
	CHECK_EQ(fcntl(fd, F_GETFD), errnum == EBADF ? -1 : FD_CLOEXEC);
	CHECK_OK(blkio_set_str(b, "path", d->path));
	CHECK_ERR(blkio_connect(b), EINVAL, "path", "fd");
	CHECK_OK(blkio_set_int(b, "fd", -1));
	CHECK_OK(blkio_connect(b));
	blkio_destroy(&b);
	if (errnum != EBADF)
		close(fd);
}

static void bad_descriptors(struct device *d)
{
	refuses_fd(d, (int)SYS(open("/dev/null", O_RDWR | O_CLOEXEC)), ENOTSOCK);
	refuses_fd(d, (int)SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), EINVAL);
	refuses_fd(d, (int)SYS(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)), EINVAL);
	refuses_fd(d, 1000, EBADF);
}

static void not_connected_socket(struct device *d)
{
	int fd = (int)SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	struct blkio *b;

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK(blkio_connect(b) < 0);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	blkio_destroy(&b);
	close(fd);
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
	{ "taken by another client", taken_by_another, T_VHOST_USER, 0, 40 },
	{ "bad answers", bad_answers, T_VHOST_USER, 0, 60 },
	{ "bad configuration", bad_config, T_VHOST_USER, 0, 60 },
	{ "bad paths", bad_paths, T_VHOST_USER },
	{ "bad descriptors", bad_descriptors, T_VHOST_USER },
	{ "socket that is not connected", not_connected_socket, T_VHOST_USER },
};
TEST_MAIN(tests)
