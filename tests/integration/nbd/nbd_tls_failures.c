/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * NBD over TLS when something goes wrong on the way: what a man in the middle may try, servers that
 * are restarted, and one that stops.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"
#include "tls_case.h"
#include "ways.h"

enum { BLOCK = 4096, N = 200, MANY = TLS_MANY, COLLECT_SECONDS = 20 };

static const char *const good[] = TLS_GOOD;
static const char *const offers[] = TLS_NBDKIT("--tls=on", "--tls-certificates=" NBD_DIR "/good");
static const char *const plain[] = TLS_NBDKIT("--tls=off");

/* ---- A man in the middle ------------------------------------------------------------------ */

static const unsigned char greeting[] = "NBDMAGICIHAVEOPT\0\3";
#define REPLY_MAGIC "\x00\x03\xe8\x89\x04\x55\x65\xa9"
#define STARTTLS    "\0\0\0\5"
#define ACK	    "\0\0\0\1"
#define UNSUP	    "\x80\0\0\1"
#define GO	    "\0\0\0\7"
#define NO_DATA	    "\0\0\0\0"

/* What it says after the greeting, at once, and what must come of it. */
static const struct injection {
	const char *name, *bytes;
	size_t len;
	const char *tls;
	int errnum;
} injections[] = {
#define INJECT(name, bytes, tls, errnum)                                                           \
	{                                                                                          \
		name, bytes, sizeof(bytes) - 1, tls, errnum                                        \
	}
	/* CVE-2021-3716: what comes in the clear behind the agreement is not NBD. */
	INJECT("a plain answer behind the agreement",
	       REPLY_MAGIC STARTTLS ACK NO_DATA REPLY_MAGIC GO
	       "\0\0\0\3\0\0\0\xc\0\0\0\0\0\0\0\x10"
	       "\0\0\0\0\0\1" REPLY_MAGIC GO ACK NO_DATA,
	       "require", EPROTO),
	INJECT("an answer to another option", REPLY_MAGIC GO ACK NO_DATA, "require", EPROTO),
	INJECT("an agreement with data", REPLY_MAGIC STARTTLS ACK "\0\0\0\1\0", "require", EPROTO),
	INJECT("a refusal", REPLY_MAGIC STARTTLS UNSUP NO_DATA, "require", ENOTSUP),
	INJECT("no TLS behind the agreement", REPLY_MAGIC STARTTLS ACK NO_DATA "HTTP/1.1 200 OK",
	       "allow", EPROTO),
	INJECT("a TLS alert", REPLY_MAGIC STARTTLS ACK NO_DATA "\x15\3\3\0\2\2\x28", "require",
	       EACCES),
	INJECT("silence", REPLY_MAGIC STARTTLS ACK NO_DATA, "require", ETIMEDOUT),
};

/* The descriptor is the application's afterwards, as after any call that fails. */
static void injected(struct device *d)
{
	const struct injection *i = test_data();
	struct blkio *b;
	char out[256];
	int pair[2];

	(void)d;
	tls_need();
	SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	CHECK_EQ(send(pair[1], greeting, sizeof(greeting) - 1, 0), sizeof(greeting) - 1);
	CHECK_EQ(send(pair[1], i->bytes, i->len, 0), i->len);
	CHECK_OK(blkio_create("nbd", &b));
	CHECK_OK(blkio_set_int(b, "fd", pair[0]));
	CHECK_OK(blkio_set_str(b, "tls", i->tls));
	CHECK_OK(blkio_set_str(b, "tls-hostname", "localhost"));
	CHECK_OK(blkio_set_int(b, "connect-timeout", i->errnum == ETIMEDOUT ? 100 : 10000));
	CHECK_ERR(blkio_connect(b), i->errnum, "");
	blkio_destroy(&b);
	/* Flags, then the option, and nothing else in the clear. */
	CHECK_EQ(recv(pair[1], out, 20, MSG_WAITALL), 20);
	CHECK_MEM(out + 4, "IHAVEOPT\0\0\0\5\0\0\0\0", 16);
	CHECK(recv(pair[1], out, 1, MSG_DONTWAIT) != 1 || out[0] == 0x16);
	CHECK_EQ(fcntl(pair[0], F_GETFD) >= 0, true);
	close(pair[0]);
	close(pair[1]);
}

/* ---- Restarts ----------------------------------------------------------------------------- */

static void collect_all(struct blkioq *q, enum wait wait, int n)
{
	struct blkio_completion c[N];

	for (int done = 0; done < n;) {
		int got = collect_by(q, wait, c, N, COLLECT_SECONDS);

		CHECK_OK(got);
		for (int i = 0; i < got; i++)
			CHECK_EQ(c[i].ret, 0);
		done += got;
	}
}

/* Many requests in every way of waiting, which all survive a restart. */
static void restarted(struct device *d)
{
	char *buf = buffer(N * BLOCK);

	(void)d;
	for (enum wait wait = 0; wait < NR_WAITS; wait++) {
		struct nbd_server s;
		struct blkio *b;
		struct blkioq *q;

		if (!wait)
			tls_prepare(&s, good);
		else
			nbd_server_init(&s, good);
		nbd_server_spawn(&s);
		b = tls_create(&s, "require", "trusting");
		CHECK_OK(blkio_set_int(b, "reconnect-timeout", 60000));
		CHECK_OK(tls_connect(b));
		q = start_by(b, wait);
		for (int round = 0; round < 3; round++) {
			pattern(buf, 0, N * BLOCK, round);
			for (int i = 0; i < N; i++)
				blkioq_write(q, (uint64_t)i * BLOCK, buf + i * BLOCK, BLOCK, NULL,
					     0);
			CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
			nbd_server_kill(&s);
			nbd_server_spawn(&s);
			collect_all(q, wait, N);
			memset(buf, 0xee, N * BLOCK);
			for (int i = 0; i < N; i++)
				blkioq_read(q, (uint64_t)i * BLOCK, buf + i * BLOCK, BLOCK, NULL,
					    0);
			collect_all(q, wait, N);
			check_pattern(buf, 0, N * BLOCK, round);
		}
		blkio_destroy(&b);
		nbd_server_kill(&s);
	}
	buffer_free(buf);
}

/* "allow" is for the first connection: a server that had TLS then is not to come back without. */
static void does_not_return_without(struct device *d)
{
	char *buf = buffer(BLOCK);
	struct nbd_server s;
	struct blkio *b;

	(void)d;
	tls_prepare(&s, offers);
	nbd_server_spawn(&s);
	b = tls_create(&s, "allow", "trusting");
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", 1000));
	CHECK_OK(tls_connect(b));
	CHECK_OK(blkio_start(b));
	nbd_server_kill(&s);
	s.argv = plain;
	nbd_server_spawn(&s);
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), -ENOTCONN);
	blkio_destroy(&b);
	nbd_server_kill(&s);
	buffer_free(buf);
}

/* A server that does not read or write stops neither queueing nor the end. */
static void stopped_server(struct device *d)
{
	struct timespec ts = { 0, 100000000 };
	struct blkio_completion c[N];
	char *buf = buffer(MANY);
	struct nbd_server s;
	struct blkio *b;
	struct blkioq *q;
	int64_t start;

	(void)d;
	tls_prepare(&s, good);
	nbd_server_spawn(&s);
	b = tls_create(&s, "require", "trusting");
	CHECK_OK(tls_connect(b));
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	tls_write_and_read(q, 1);
	SYS(kill(s.pid, SIGSTOP));
	CHECK_EQ(waitpid(s.pid, NULL, WUNTRACED), s.pid);
	for (int i = 0; i < 16; i++)
		blkioq_write(q, 0, buf, MANY, NULL, 0);
	CHECK_ERR(blkioq_do_io(q, c, 1, N, &ts), ETIME, "timeout");
	start = clock_ns();
	blkio_destroy(&b);
	CHECK(clock_ns() - start < 9000000000);
	nbd_server_kill(&s);
	buffer_free(buf);
}

#define INJECTED(i)                                                                                \
	{                                                                                          \
		"injected " #i, injected, .data = &injections[i]                                   \
	}

static const struct test tests[] = {
	INJECTED(0),
	INJECTED(1),
	INJECTED(2),
	INJECTED(3),
	INJECTED(4),
	INJECTED(5),
	INJECTED(6),
	{ "restarted", restarted, .timeout = 60 },
	{ "does not return without", does_not_return_without },
	{ "stopped server", stopped_server },
};
TEST_MAIN(tests)
