/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * NBD servers that come back each time only to go again: neither for ever nor without a pause, and
 * the time that "reconnect-timeout" gives them restarts only when they get something done.
 */
#include <endian.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"
#include "ways.h"

enum { BLOCK = 4096, SIZE = 1 << 20, N = 40, COLLECT_SECONDS = 20, SHUTDOWN = 108 };
enum { OPT_GO = 7, ACK = 1, INFO = 3, FLAGS = 1 | 1 << 2 | 1 << 8 };

/* At most so many connections in a second or so: 5, 10, 20 ms and so on lie between them. */
enum { CONNECTIONS_MAX = 60 };

/* What each server does with its first requests, before it closes the connection. */
struct fake {
	int answers;	/* so many it carries out */
	int shuts_down; /* so many it refuses because it is about to end */
	int opens;	/* so many connections it closes at once */
	char path[108];
	int listener;
	pthread_t thread;
	unsigned connections; /* atomic */
};

/* ---- The server --------------------------------------------------------------------------- */

static bool take(int sock, void *buf, size_t len)
{
	return !len || recv(sock, buf, len, MSG_WAITALL) == (ssize_t)len;
}

static void put32(char **p, uint32_t v)
{
	v = htobe32(v);
	memcpy(*p, &v, sizeof(v));
	*p += sizeof(v);
}

static void put64(char **p, uint64_t v)
{
	v = htobe64(v);
	memcpy(*p, &v, sizeof(v));
	*p += sizeof(v);
}

static void reply_header(char **p, uint32_t option, uint32_t type, uint32_t len)
{
	put64(p, 0x0003e889045565a9ULL);
	put32(p, option);
	put32(p, type);
	put32(p, len);
}

/* Returns whether it was the last one. */
static bool option_reply(int sock, uint32_t option)
{
	char out[128], *p = out;

	if (option != OPT_GO) {
		reply_header(&p, option, 1U << 31 | 1, 0);
	} else {
		reply_header(&p, option, INFO, 12);
		*p++ = 0;
		*p++ = 0;
		put64(&p, SIZE);
		*p++ = FLAGS >> 8;
		*p++ = FLAGS & 0xff;
		reply_header(&p, option, ACK, 0);
	}
	send(sock, out, (size_t)(p - out), MSG_NOSIGNAL);
	return option == OPT_GO;
}

static bool shake_hands(int sock)
{
	char out[18], *p = out, data[4200];
	uint32_t option[4], flags;

	put64(&p, 0x4e42444d41474943ULL);
	put64(&p, 0x49484156454f5054ULL);
	*p++ = 0;
	*p++ = 3;
	send(sock, out, sizeof(out), MSG_NOSIGNAL);
	if (!take(sock, &flags, sizeof(flags)))
		return false;
	do {
		if (!take(sock, option, sizeof(option)) || !take(sock, data, be32toh(option[3])))
			return false;
	} while (!option_reply(sock, be32toh(option[2])));
	return true;
}

/* Reads of a block only. */
static void serve(int sock, const struct fake *f)
{
	static char zeroes[BLOCK];
	char request[28], out[16], *p;

	for (int i = 0; take(sock, request, sizeof(request)); i++) {
		bool fails = i >= f->answers;

		if (i >= f->answers + f->shuts_down)
			return;
		p = out;
		put32(&p, 0x67446698U);
		put32(&p, fails ? SHUTDOWN : 0);
		memcpy(p, request + 8, 8);
		send(sock, out, sizeof(out), MSG_NOSIGNAL);
		if (!fails)
			send(sock, zeroes, BLOCK, MSG_NOSIGNAL);
	}
}

static void *run(void *arg)
{
	struct fake *f = arg;
	int sock;

	while ((sock = accept(f->listener, NULL, NULL)) >= 0) {
		unsigned n = __atomic_fetch_add(&f->connections, 1, __ATOMIC_RELAXED);

		if ((n < 1 || n > (unsigned)f->opens) && shake_hands(sock))
			serve(sock, f);
		close(sock);
	}
	return NULL;
}

static struct blkio *begin(struct fake *f, int ms, enum wait wait, struct blkioq **q)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	bool poll = wait == WAIT_POLL_QUEUE;
	struct blkio *b;

	snprintf(f->path, sizeof(f->path), "%s/fake", test_tmpfs_dir() ?: "/tmp");
	unlink(f->path);
	strcpy(addr.sun_path, f->path);
	f->listener = (int)SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	SYS(bind(f->listener, (struct sockaddr *)&addr, sizeof(addr)));
	SYS(listen(f->listener, 5));
	CHECK_EQ(pthread_create(&f->thread, NULL, run, f), 0);
	CHECK_OK(blkio_create("nbd", &b));
	CHECK_OK(blkio_set_str(b, "path", f->path));
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", ms));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_set_int(b, "num-queues", !poll));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", poll));
	CHECK_OK(blkio_start(b));
	*q = poll ? blkio_get_poll_queue(b, 0) : blkio_get_queue(b, 0);
	if (wait == WAIT_EVENT)
		blkioq_set_completion_fd_enabled(*q, true);
	return b;
}

static void end(struct fake *f, struct blkio *b)
{
	blkio_destroy(&b);
	shutdown(f->listener, SHUT_RDWR);
	CHECK_EQ(pthread_join(f->thread, NULL), 0);
	close(f->listener);
	printf("%u connections\n", f->connections);
}

/* ---- Cases -------------------------------------------------------------------------------- */

static void collect_all(struct blkioq *q, enum wait wait, int want, const char *message)
{
	struct blkio_completion c[N];

	for (int left = N; left;) {
		int n = collect_by(q, wait, c, N, COLLECT_SECONDS);

		CHECK_OK(n);
		for (int i = 0; i < n; i++) {
			CHECK_EQ(c[i].ret, want);
			CHECK_EQ(++*(unsigned char *)c[i].user_data, 1);
			CHECK(!message || strstr(c[i].error_msg, message));
		}
		left -= n;
	}
}

static void read_all(struct blkioq *q, char *buf, unsigned char *seen)
{
	memset(seen, 0, N);
	for (int i = 0; i < N; i++)
		blkioq_read(q, (uint64_t)i * BLOCK, buf, BLOCK, seen + i, 0);
}

/* All that is queued, and all that follows, fails in time; the server was left in peace meanwhile.
 */
static void gets_nothing_done(struct device *d)
{
	char *buf = buffer(BLOCK);
	unsigned char seen[N];

	(void)d;
	for (enum wait wait = 0; wait < NR_WAITS; wait++) {
		struct fake f = { 0 };
		struct blkioq *q;
		struct blkio *b = begin(&f, 1000, wait, &q);

		read_all(q, buf, seen);
		collect_all(q, wait, -ENOTCONN, "closes each connection");
		CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 0), ENOTCONN, "reconnect-timeout");
		CHECK(__atomic_load_n(&f.connections, __ATOMIC_RELAXED) < CONNECTIONS_MAX);
		end(&f, b);
	}
	buffer_free(buf);
}

/* No request is given to more than ten servers, nor is another one that it did not reach hurt. */
static void deadly_request(struct device *d)
{
	char *buf = buffer(BLOCK);
	struct fake f = { 0 };
	struct blkioq *q;
	struct blkio *b = begin(&f, 60000, WAIT_BLOCK, &q);

	(void)d;
	CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 0), EIO, "10 servers");
	CHECK_EQ(__atomic_load_n(&f.connections, __ATOMIC_RELAXED), 10);
	end(&f, b);
	buffer_free(buf);
}

static void one_at_a_time(struct device *d)
{
	char *buf = buffer(BLOCK);
	unsigned char seen[N];

	(void)d;
	for (enum wait wait = 0; wait < NR_WAITS; wait++) {
		struct fake f = { .answers = 5 };
		struct blkioq *q;
		struct blkio *b = begin(&f, 60000, wait, &q);

		read_all(q, buf, seen);
		collect_all(q, wait, 0, NULL);
		CHECK(__atomic_load_n(&f.connections, __ATOMIC_RELAXED) >= N / 5);
		end(&f, b);
	}
	buffer_free(buf);
}

/* A server that says that it ends has not carried out the request. */
static void shuts_down(struct device *d)
{
	char *buf = buffer(BLOCK);
	unsigned char seen[N];

	(void)d;
	for (int ms = 0; ms < 2; ms++) {
		struct fake f = { .answers = 8, .shuts_down = 1 };
		struct blkioq *q;
		struct blkio *b = begin(&f, ms * 60000, WAIT_BLOCK, &q);

		for (int i = 0; i < 8; i++)
			CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
		if (ms) {
			read_all(q, buf, seen);
			collect_all(q, WAIT_BLOCK, 0, NULL);
		} else {
			CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), -ESHUTDOWN);
		}
		end(&f, b);
	}
	buffer_free(buf);
}

/* It is tried again, and before that paused. */
static void closes_before_the_handshake(struct device *d)
{
	char *buf = buffer(BLOCK);
	struct fake f = { .answers = 1, .opens = 6 };
	struct blkioq *q;
	struct blkio *b = begin(&f, 60000, WAIT_BLOCK, &q);

	(void)d;
	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	CHECK_EQ(__atomic_load_n(&f.connections, __ATOMIC_RELAXED), 8);
	end(&f, b);
	buffer_free(buf);
}

static const struct test tests[] = {
	{ "gets nothing done", gets_nothing_done, .timeout = 60 },
	{ "deadly request", deadly_request, .timeout = 60 },
	{ "a few requests at a time", one_at_a_time, .timeout = 60 },
	{ "shuts down", shuts_down, .timeout = 60 },
	{ "closes before the handshake", closes_before_the_handshake },
};
TEST_MAIN(tests)
