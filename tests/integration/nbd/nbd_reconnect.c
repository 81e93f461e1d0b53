/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * NBD servers that die and come back, with property "reconnect-timeout": every request completes
 * once and well, in every way of waiting. RECONNECTS in the environment sets how often, for each
 * way; 5 by default, so that each server dies 20 times.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "io.h"
#include "lasting.h"
#include "test.h"

enum { QUEUES = 2 };

static const char *const simple_tcp[] = { "nbdkit", "-f",     "--no-sr", "-i",	   "127.0.0.1",
					  "-p",	    NBD_PORT, "file",	 NBD_FILE, NULL };
static const char *const qemu_nbd[] = { "qemu-nbd", "-f", "raw",      "-t",	"-e",
					"8",	    "-k", NBD_SOCKET, NBD_FILE, NULL };
static const char *const qsd[] = { "qemu-storage-daemon",
				   "--blockdev",
				   "driver=file,node-name=d,filename=" NBD_FILE,
				   "--nbd-server",
				   "addr.type=unix,addr.path=" NBD_SOCKET,
				   "--export",
				   "type=nbd,id=e,node-name=d,writable=on,name=",
				   NULL };
static const char *const slow[] = { "nbdkit", "-f", "-U",	 NBD_SOCKET,  "--filter=delay",
				    "memory", "4M", "rdelay=60", "wdelay=60", NULL };

/* ---- Death and return --------------------------------------------------------------------- */

/* Servers die with the thread that started them: it waits to be joined. */
struct campaign {
	pthread_t thread;
	struct nbd_server *s;
	int rounds;
	unsigned kill_after_us;
	const char *const *successor;
	bool over, leave;
};

static void *kill_again_and_again(void *arg)
{
	struct campaign *c = arg;

	for (int i = 0; i < c->rounds; i++) {
		usleep(c->kill_after_us + i % 20 * 1700);
		/* nbdkit then answers with ESHUTDOWN first. */
		if (i % 2) {
			kill(c->s->pid, SIGTERM);
			usleep(1000);
		}
		nbd_server_kill(c->s);
		usleep(i % 3 * 20000);
		if (c->successor)
			c->s->argv = c->successor;
		nbd_server_spawn(c->s);
	}
	__atomic_store_n(&c->over, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&c->leave, __ATOMIC_ACQUIRE))
		usleep(1000);
	return NULL;
}

static void launch(struct campaign *c)
{
	CHECK_EQ(pthread_create(&c->thread, NULL, kill_again_and_again, c), 0);
}

static void dismiss(struct campaign *c)
{
	__atomic_store_n(&c->leave, true, __ATOMIC_RELEASE);
	CHECK_EQ(pthread_join(c->thread, NULL), 0);
}

/* Write, read back, over all queues: all of it many times, until the servers were restarted. */
static void write_and_read(struct blkio *b, enum wait wait, int queues, uint32_t seed, bool *until)
{
	unsigned char seen[N];
	char *buf = buffer(N * BLOCK);

	do {
		pattern(buf, 0, N * BLOCK, ++seed);
		memset(seen, 0, sizeof(seen));
		for (int i = 0; i < N; i++)
			blkioq_write(lasting_queue(b, wait, i % queues), (uint64_t)i * BLOCK,
				     buf + i * BLOCK, BLOCK, seen + i, i % 8 ? 0 : BLKIO_REQ_FUA);
		for (int i = 0; i < queues; i++)
			collect_each(lasting_queue(b, wait, i), wait, N / queues, 0);
		memset(buf, 0xee, N * BLOCK);
		memset(seen, 0, sizeof(seen));
		for (int i = 0; i < N; i++)
			blkioq_read(lasting_queue(b, wait, i % queues), (uint64_t)i * BLOCK,
				    buf + i * BLOCK, BLOCK, seen + i, 0);
		for (int i = 0; i < queues; i++)
			collect_each(lasting_queue(b, wait, i), wait, N / queues, 0);
		check_pattern(buf, 0, N * BLOCK, seed);
	} while (!__atomic_load_n(until, __ATOMIC_ACQUIRE));
	buffer_free(buf);
}

static void restarted_under_load(struct device *d)
{
	const char *number = getenv("RECONNECTS");

	(void)d;
	for (enum wait wait = 0; wait < NR_WAITS; wait++) {
		struct nbd_server s;
		struct blkio *b = lasting_begin(&s, test_data(), PATIENT);
		int queues = lasting_start(b, wait, QUEUES);
		struct campaign c = { .s = &s,
				      .rounds = number ? atoi(number) : 5,
				      .kill_after_us = 2000 };

		launch(&c);
		write_and_read(b, wait, queues, wait * 100000, &c.over);
		blkio_destroy(&b);
		dismiss(&c);
		nbd_server_kill(&s);
	}
}

/* The server has taken all that fits and finishes nothing; its successor does. */
static void restarted_with_all_in_flight(struct device *d)
{
	char *buf = buffer(BLOCK);

	(void)d;
	for (enum wait wait = 0; wait < NR_WAITS; wait++) {
		struct campaign c = { .rounds = 1,
				      .kill_after_us = 50000,
				      .successor = lasting_quick };
		unsigned char seen[N];
		struct nbd_server s;
		struct blkioq *q;
		struct blkio *b = lasting_begin_by(&s, slow, PATIENT, wait, &q);

		c.s = &s;
		lasting_read_many(q, buf, seen);
		launch(&c);
		collect_each(q, wait, N, 0);
		dismiss(&c);
		lasting_end(&s, b);
	}
	buffer_free(buf);
}

/* Every kind of request, with segments, and a write larger than a socket takes. */
static void all_kinds_in_flight(struct device *d)
{
	struct campaign c = { .rounds = 1, .kill_after_us = 50000, .successor = lasting_quick };
	char *buf = buffer(NBD_SERVER_SIZE / 2);
	unsigned char seen[6] = { 0 };
	struct iovec iov[64];
	struct nbd_server s;
	struct blkioq *q;
	struct blkio *b = lasting_begin_by(&s, slow, PATIENT, WAIT_BLOCK, &q);

	(void)d;
	c.s = &s;
	pattern(buf, 0, NBD_SERVER_SIZE / 2, 7);
	for (int i = 0; i < 64; i++)
		iov[i] = (struct iovec){ buf + i * BLOCK, BLOCK };
	blkioq_writev(q, 0, iov, 2, seen, BLKIO_REQ_FUA);
	blkioq_write_zeroes(q, 3 << 20, BLOCK, seen + 1, 0);
	blkioq_discard(q, 3 << 20, BLOCK, seen + 2, 0);
	blkioq_flush(q, seen + 3, 0);
	blkioq_read(q, 3 << 20, buf, BLOCK, seen + 4, 0);
	blkioq_write(q, 0, buf, NBD_SERVER_SIZE / 2, seen + 5, 0);
	launch(&c);
	collect_each(q, WAIT_BLOCK, 6, 0);
	/* The read of zeroes went to the first block. */
	pattern(buf, 0, BLOCK, 7);
	for (int i = 0; i < 64; i++)
		CHECK_EQ(io_read(q, (uint64_t)i * BLOCK, buf, BLOCK, 0), 0);
	dismiss(&c);
	lasting_end(&s, b);
	buffer_free(buf);
}

/* A queue that nobody used when the server went works when somebody does. */
static void idle_queue(struct device *d)
{
	char *buf = buffer(BLOCK);
	struct nbd_server s;
	struct blkio *b = lasting_begin(&s, lasting_nbdkit, PATIENT);
	int queues = lasting_start(b, WAIT_BLOCK, QUEUES);

	(void)d;
	CHECK_EQ(queues, QUEUES);
	for (int round = 0; round < 4; round++) {
		CHECK_EQ(io_read(blkio_get_queue(b, round & 1), 0, buf, BLOCK, 0), 0);
		nbd_server_kill(&s);
		nbd_server_spawn(&s);
	}
	for (int i = 0; i < queues; i++)
		CHECK_EQ(io_read(blkio_get_queue(b, i), 0, buf, BLOCK, 0), 0);
	lasting_end(&s, b);
	buffer_free(buf);
}

/* The connection of one queue ends; the other one's goes on. */
static void one_of_several(struct device *d)
{
	char *buf = buffer(BLOCK);
	struct nbd_server s;
	struct blkio *b = lasting_begin(&s, lasting_nbdkit, PATIENT);
	int queues = lasting_start(b, WAIT_BLOCK, QUEUES), cut = 0;
	unsigned char seen[N];

	(void)d;
	for (int fd = 0; fd < 256; fd++) {
		struct sockaddr_un addr = { 0 };
		socklen_t len = sizeof(addr);

		if (getpeername(fd, (struct sockaddr *)&addr, &len) ||
		    strcmp(addr.sun_path, s.socket))
			continue;
		lasting_read_many(blkio_get_queue(b, 0), buf, seen);
		SYS(shutdown(fd, SHUT_RDWR));
		collect_each(blkio_get_queue(b, 0), WAIT_BLOCK, N, 0);
		for (int i = 0; i < queues; i++)
			CHECK_EQ(io_read(blkio_get_queue(b, i), 0, buf, BLOCK, 0), 0);
		cut++;
	}
	CHECK(cut >= QUEUES);
	lasting_end(&s, b);
	buffer_free(buf);
}

/* ---- Meanwhile ---------------------------------------------------------------------------- */

static void timeouts_hold(struct device *d)
{
	char *buf = buffer(BLOCK);
	struct nbd_server s;
	uint64_t capacity;

	(void)d;
	for (enum wait wait = WAIT_BLOCK; wait <= WAIT_POLL_QUEUE; wait += WAIT_POLL_QUEUE) {
		struct timespec ts = { 0, 200 * MS };
		struct blkio_completion c;
		struct blkioq *q;
		struct blkio *b = lasting_begin_by(&s, lasting_nbdkit, PATIENT, wait, &q);
		int64_t start;

		nbd_server_kill(&s);
		blkioq_read(q, 0, buf, BLOCK, NULL, 0);
		start = clock_ns();
		CHECK_ERR(blkioq_do_io(q, &c, 1, 1, &ts), ETIME, "timeout");
		CHECK(ms_since(start) >= 200 && ms_since(start) < 200 + LATE_MS);
		CHECK_EQ(blkioq_do_io(q, &c, 0, 1, NULL), 0);
		CHECK_OK(blkio_get_uint64(b, "capacity", &capacity));
		CHECK_EQ(capacity, NBD_SERVER_SIZE);
		nbd_server_spawn(&s);
		CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
		CHECK_EQ(c.ret, 0);
		lasting_end(&s, b);
	}
	buffer_free(buf);
}

static void on_signal(int sig)
{
	(void)sig;
}

static void signals_end_waits(struct device *d)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct blkio_completion c;
	char *buf = buffer(BLOCK);
	struct nbd_server s;
	struct blkioq *q;
	struct blkio *b = lasting_begin_by(&s, lasting_nbdkit, PATIENT, WAIT_BLOCK, &q);

	(void)d;
	SYS(sigaction(SIGALRM, &action, NULL));
	nbd_server_kill(&s);
	blkioq_read(q, 0, buf, BLOCK, NULL, 0);
	alarm(1);
	CHECK_ERR(blkioq_do_io_interruptible(q, &c, 1, 1, NULL, NULL), EINTR, "signal");
	nbd_server_spawn(&s);
	CHECK_EQ(blkioq_do_io_interruptible(q, &c, 1, 1, NULL, NULL), 1);
	CHECK_EQ(c.ret, 0);
	lasting_end(&s, b);
	buffer_free(buf);
}

static void completion_fd_enabled_meanwhile(struct device *d)
{
	char *buf = buffer(BLOCK);
	unsigned char seen[N];
	struct nbd_server s;
	struct blkioq *q;
	struct blkio *b = lasting_begin_by(&s, lasting_nbdkit, PATIENT, WAIT_BLOCK, &q);

	(void)d;
	for (int back_before = 0; back_before < 2; back_before++) {
		nbd_server_kill(&s);
		lasting_read_many(q, buf, seen);
		CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
		if (back_before) {
			nbd_server_spawn(&s);
			usleep(300000);
		}
		/* Nobody asked for it so far. */
		CHECK(!readable(blkioq_get_completion_fd(q), 0));
		blkioq_set_completion_fd_enabled(q, true);
		if (!back_before)
			nbd_server_spawn(&s);
		collect_each(q, WAIT_EVENT, N, 0);
		blkioq_set_completion_fd_enabled(q, false);
	}
	lasting_end(&s, b);
	buffer_free(buf);
}

#define UNDER_LOAD(name, server)                                                                   \
	{                                                                                          \
		"restarted under load: " name, restarted_under_load, .data = server,               \
								     .timeout = 600                \
	}

static const struct test tests[] = {
	UNDER_LOAD("nbdkit", lasting_nbdkit),
	UNDER_LOAD("nbdkit, simple replies, TCP", simple_tcp),
	UNDER_LOAD("qemu-nbd", qemu_nbd),
	UNDER_LOAD("qemu-storage-daemon", qsd),
	{ "restarted with all in flight", restarted_with_all_in_flight, .timeout = 60 },
	{ "all kinds of request in flight", all_kinds_in_flight },
	{ "idle queue", idle_queue },
	{ "one connection of several", one_of_several },
	{ "timeouts hold meanwhile", timeouts_hold },
	{ "signals end waits meanwhile", signals_end_waits },
	{ "completion fd enabled meanwhile", completion_fd_enabled_meanwhile },
};
TEST_MAIN(tests)
