/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * nvme-tcp and a target that lies, or refuses: each request completes once, with an error that says
 * what was wrong.
 */
#include <signal.h>
#include <sys/wait.h>

#include "io.h"
#include "served.h"
#include "test.h"
#include "ways.h"

enum { LEN = 8192, MANY = 16 };

/* ---- Lies --------------------------------------------------------------------------------- */

enum op { READ, WRITE, FLUSH };

struct scene {
	enum nvme_target_lie lie;
	enum op op;
	const char *digests; /* NULL: none */
	int errnum;	     /* 0: it works in the end */
	const char *text;
};

static void submit(struct blkioq *q, enum op op, char *buf, void *user_data)
{
	if (op == READ)
		blkioq_read(q, 0, buf, LEN, user_data, 0);
	else if (op == WRITE)
		blkioq_write(q, 0, buf, LEN, user_data, 0);
	else
		blkioq_flush(q, user_data, 0);
}

enum { CALM = 3 };

/* One alone, one after reads that were alone, and one with others around it: all of them end. */
static void lies(struct device *d)
{
	const struct scene *s = test_data();
	static char buf[MANY][LEN];
	struct blkio_completion c[MANY];

	(void)d;
	target.lie = s->lie;
	for (int round = 0; round < 3; round++) {
		int n = round < 2 ? 1 : MANY;
		bool seen[MANY] = { 0 };
		struct blkioq *q;
		struct blkio *b;

		target.after = round == 1 ? CALM : 0;
		b = target_start(s->digests);
		q = blkio_get_queue(b, 0);
		for (unsigned i = 0; i < target.after; i++)
			CHECK_EQ(io_read(q, 0, buf[0], LEN, 0), 0);
		for (int i = 0; i < n; i++)
			submit(q, s->op, buf[i], &seen[i]);
		for (int left = n; left;) {
			int got = blkioq_do_io(q, c, 1, n, NULL);

			CHECK_OK(got);
			for (int i = 0; i < got; i++) {
				bool *mine = c[i].user_data;

				CHECK(!*mine);
				*mine = true;
				if (c[i].ret == -s->errnum && s->errnum)
					CHECK(strstr(c[i].error_msg, s->text));
				else
					CHECK_EQ(c[i].ret, n == 1 ? -s->errnum : 0);
			}
			left -= got;
		}
		target_end(b);
	}
}

/* A second response is seen with the next request. */
static void twice(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	target.lie = NVME_TARGET_TWICE;
	b = target_start(NULL);
	q = blkio_get_queue(b, 0);
	CHECK_EQ(io_flush(q, 0), 0);
	CHECK_EQ(io_flush(q, 0), -EPROTO);
	CHECK_EQ(io_flush(q, 0), -EPROTO);
	target_end(b);
}

/* ---- Statuses ----------------------------------------------------------------------------- */

static void statuses(struct device *d)
{
	static const struct {
		unsigned status;
		int errnum;
	} cases[] = {
		{ 0x281, ENODATA }, { 0x18f, EIO },   { 0x20, EROFS }, { 0x0b, ENODEV },
		{ 0x302, ENOLINK }, { 0x22, EAGAIN }, { 0x7ff, EIO },
	};
	static char buf[LEN];

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct blkio *b;

		target.status = cases[i].status;
		b = target_start(NULL);
		CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, LEN, 0), -cases[i].errnum);
		CHECK_EQ(io_write(blkio_get_queue(b, 0), 0, buf, LEN, 0), -cases[i].errnum);
		target_end(b);
	}
}

/* ---- Keep alive --------------------------------------------------------------------------- */

/* A target that is stopped does not answer: nobody waits for it for ever. */
static void stopped(struct device *d)
{
	static char buf[LEN];
	struct blkio *b;

	(void)d;
	target_serve();
	b = target_host(NULL);
	CHECK_OK(blkio_set_int(b, "keep-alive-timeout", 500));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	SYS(kill(target.pid, SIGSTOP));
	SYS(waitpid(target.pid, NULL, WUNTRACED));
	CHECK_IO_ERR(io_read(blkio_get_queue(b, 0), 0, buf, LEN, 0), ENOTCONN, "keep-alive");
	target_end(b);
}

/* ---- What is rare ------------------------------------------------------------------------- */

/* Headers with padding behind them, many at once. */
static void padding(struct device *d)
{
	static char buf[MANY][LEN], back[MANY][LEN];
	struct blkio_completion c[2 * MANY];
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	target.align = 15;
	target.capsule_data = LEN;
	b = target_start(NULL);
	q = blkio_get_queue(b, 0);
	for (int i = 0; i < MANY; i++) {
		memset(buf[i], 'a' + i, LEN);
		blkioq_write(q, (uint64_t)i * LEN, buf[i], LEN, NULL, 0);
	}
	CHECK_EQ(blkioq_do_io(q, c, MANY, MANY, NULL), MANY);
	for (int i = 0; i < MANY; i++)
		blkioq_read(q, (uint64_t)i * LEN, back[i], LEN, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, c, MANY, MANY, NULL), MANY);
	for (int i = 0; i < MANY; i++)
		CHECK_EQ(c[i].ret, 0);
	CHECK_MEM(back, buf, sizeof(buf));
	target_end(b);
}

/* ---- Refusals ----------------------------------------------------------------------------- */

static void refusals(struct device *d)
{
	struct blkio *b;

	(void)d;
	target_serve();
	CHECK_OK(blkio_create("nvme-tcp", &b));
	CHECK_ERR(blkio_connect(b), EINVAL, "traddr");
	CHECK_OK(blkio_set_str(b, "traddr", "127.0.0.1"));
	CHECK_OK(blkio_set_int(b, "trsvcid", target.port));
	CHECK_ERR(blkio_connect(b), EINVAL, "subnqn");
	CHECK_OK(blkio_set_str(b, "subnqn", "nqn.2024-01.test:other"));
	CHECK_ERR(blkio_connect(b), ENOENT, "nqn.2024-01.test:other");
	CHECK_OK(blkio_set_str(b, "subnqn", NVME_TARGET_NQN));
	CHECK_OK(blkio_set_int(b, "nsid", 2));
	CHECK_ERR(blkio_connect(b), ENODEV, "namespace 2");
	CHECK_OK(blkio_set_int(b, "nsid", 0));
	CHECK_OK(blkio_connect(b));
	CHECK_EQ(get_int(b, "nsid"), 1);
	blkio_destroy(&b);
	CHECK_OK(blkio_create("nvme-tcp", &b));
	CHECK_ERR(blkio_set_str(b, "subnqn", "disk"), EINVAL, "subnqn", "disk");
	CHECK_ERR(blkio_set_str(b, "hostnqn", "host"), EINVAL, "hostnqn", "host");
	CHECK_ERR(blkio_set_str(b, "hostid", "1"), EINVAL, "hostid", "UUID");
	CHECK_ERR(blkio_set_str(b, "digests", "all"), EINVAL, "digests", "all");
	CHECK_OK(blkio_set_str(b, "uri", nvme_target_uri(&target)));
	CHECK_OK(blkio_set_str(b, "subnqn", NVME_TARGET_NQN));
	CHECK_ERR(blkio_connect(b), EINVAL, "uri", "subnqn");
	target_end(b);
}

static void other_hosts(struct device *d)
{
	struct blkio *b;

	(void)d;
	target.host = "nqn.2024-01.test:friend";
	target_serve();
	b = target_host(NULL);
	CHECK_ERR(blkio_connect(b), EACCES, NVME_TARGET_NQN, "hostnqn");
	CHECK_OK(blkio_set_str(b, "hostnqn", target.host));
	CHECK_OK(blkio_connect(b));
	target_end(b);
}

static void no_digests(struct device *d)
{
	struct blkio *b;

	(void)d;
	target.no_digests = true;
	target_serve();
	b = target_host("header");
	CHECK_ERR(blkio_connect(b), EPROTO, "digests");
	target_end(b);
}

static void read_only(struct device *d)
{
	struct blkio *b;
	char buf[512];

	(void)d;
	target.read_only = true;
	target_serve();
	b = target_host(NULL);
	CHECK_ERR(blkio_connect(b), EROFS, "read-only");
	CHECK_OK(blkio_set_bool(b, "auto-read-only", true));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, sizeof(buf), 0), 0);
	CHECK_EQ(io_write(blkio_get_queue(b, 0), 0, buf, sizeof(buf), 0), -EBADF);
	target_end(b);
}

/* ---- A connection that is lost ------------------------------------------------------------ */

/* With a target that closes each connection after some commands, all is done in the end. */
static void closes_again_and_again(struct device *d)
{
	static char buf[MANY][LEN], back[LEN];
	struct blkio_completion c[MANY];
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	target.lie = NVME_TARGET_CLOSES;
	target.after = 5;
	target.capsule_data = LEN; /* each command is served at once */
	target_serve();
	b = target_host(NULL);
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", 20000));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	for (int i = 0; i < MANY; i++) {
		memset(buf[i], 'a' + i, LEN);
		blkioq_write(q, (uint64_t)i * LEN, buf[i], LEN, buf[i], 0);
	}
	for (int left = MANY; left;) {
		int n = blkioq_do_io(q, c, 1, MANY, NULL);

		CHECK_OK(n);
		for (int i = 0; i < n; i++)
			if (c[i].ret)
				FAIL("%d: %s", c[i].ret, c[i].error_msg);
		left -= n;
	}
	for (int i = 0; i < MANY; i++) {
		CHECK_EQ(io_read(q, (uint64_t)i * LEN, back, LEN, 0), 0);
		CHECK_MEM(back, buf[i], LEN);
	}
	target_end(b);
}

/* It acknowledges nothing of what is sent next: property "tcp-timeout", however one waits. */
static void vanishes(struct device *d)
{
	const enum wait *wait = test_data();
	static unsigned char seen[MANY];
	static char buf[LEN];
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	target.lie = NVME_TARGET_VANISHES;
	target_serve();
	b = target_host(NULL);
	CHECK_OK(blkio_set_int(b, "tcp-timeout", 1000));
	CHECK_OK(blkio_set_int(b, "keep-alive-timeout", 0));
	CHECK_OK(blkio_connect(b));
	q = start_by(b, *wait);
	CHECK_EQ(io_read(q, 0, buf, LEN, 0), 0);
	for (int i = 0; i < MANY; i++)
		blkioq_read(q, 0, buf, LEN, seen + i, 0);
	collect_each(q, *wait, MANY, -ENOTCONN);
	target_end(b);
}

#define VANISHES(how, way)                                                                         \
	{                                                                                          \
		"a machine vanishes, " how, vanishes, .data = &(const enum wait)                   \
		{                                                                                  \
			way                                                                        \
		}                                                                                  \
	}

#define LIE(what, lie, op, digests, errnum, text)                                                  \
	{                                                                                          \
		what, lies, .data = &(const struct scene)                                          \
		{                                                                                  \
			NVME_TARGET_##lie, op, digests, errnum, text                               \
		}                                                                                  \
	}

static const struct test tests[] = {
	LIE("closes the connection", CLOSES, READ, NULL, ENOTCONN, "closed"),
	LIE("terminates the connection", TERMINATES, READ, NULL, ENOTCONN, "out of range"),
	LIE("terminates, with digests", TERMINATES, WRITE, "both", ENOTCONN, "out of range"),
	LIE("wrong header digest", BAD_HEADER_DIGEST, READ, "header", ENOTCONN, "header digest"),
	LIE("wrong data digest", BAD_DATA_DIGEST, READ, "data", 0, ""),
	LIE("wrong data digest of two", BAD_DATA_DIGEST, READ, "both", 0, ""),
	LIE("wrong command identifier", BAD_CID, FLUSH, NULL, EPROTO, "not in flight"),
	LIE("read without data", NO_DATA, READ, NULL, EPROTO, "without all of its data"),
	LIE("too much data", MUCH_DATA, READ, NULL, EPROTO, "outside"),
	LIE("wrong offset", WRONG_OFFSET, READ, NULL, EPROTO, "outside"),
	LIE("data for a write", DATA_FOR_WRITE, WRITE, NULL, EPROTO, "no command"),
	LIE("data for a flush", DATA_FOR_WRITE, FLUSH, NULL, EPROTO, "no command"),
	LIE("R2T for a read", R2T_FOR_READ, READ, NULL, EPROTO, "no command"),
	LIE("R2T that is too long", R2T_TOO_LONG, WRITE, NULL, EPROTO, "outside"),
	LIE("R2T twice", R2T_TWICE, WRITE, NULL, EPROTO, "outside"),
	LIE("wrong type", BAD_TYPE, READ, NULL, EPROTO, "type"),
	LIE("wrong HLEN", BAD_HLEN, READ, NULL, EPROTO, "length"),
	LIE("wrong PLEN", BAD_PLEN, READ, NULL, EPROTO, "lengths"),
	LIE("wrong PLEN of a response", BAD_PLEN, FLUSH, NULL, EPROTO, "lengths"),
	LIE("wrong PDO", BAD_PDO, READ, NULL, EPROTO, "lengths"),
	LIE("garbage", GARBAGE, FLUSH, NULL, EPROTO, "type"),
	{ "two responses", twice },
	{ "statuses", statuses },
	{ "a target that is stopped", stopped },
	{ "padding", padding },
	{ "refusals", refusals },
	{ "other hosts", other_hosts },
	{ "no digests", no_digests },
	{ "read-only", read_only },
	{ "closes again and again", closes_again_and_again },
	VANISHES("blocking", WAIT_BLOCK),
	VANISHES("completion fd", WAIT_EVENT),
	VANISHES("timeout", WAIT_TIMEOUT),
	VANISHES("poll queue", WAIT_POLL_QUEUE),
};

TEST_MAIN(tests)
