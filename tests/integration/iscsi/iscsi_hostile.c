/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An iSCSI target that is hostile in other ways than iscsi_lies.c: during the login, about the
 * status of blocks, and by never coming to an end. Time limits hold, and memory does not grow
 * without bound.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "io.h"
#include "liar.h"
#include "sys.h"
#include "test.h"

static uint8_t junk[LEN];

static void truth(struct target_side *t)
{
	give(t, junk, LEN, 0, FINAL | HAS_STATUS);
}

/* ---- The login ---------------------------------------------------------------------------- */

#define SAYS(text)                                                                                 \
	{                                                                                          \
#text, truth, EPROTO, false, text, sizeof(text)                                    \
	}

static void login_lies(struct device *d)
{
	static const struct lie says[] = {
		SAYS("MaxRecvDataSegmentLength=0"),
		SAYS("MaxRecvDataSegmentLength=-5"),
		SAYS("TargetRecvDataSegmentLength=0"),
		SAYS("FirstBurstLength=99999999999"),
		{ "no end", truth, EPROTO, false, "A=BC", 4 },
	};

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(says); i++) {
		struct target_side t = { .sock = -1 };
		struct blkio *b;

		printf("%s\n", says[i].name);
		liar_start(&t, &says[i]);
		b = liar_create(&t);
		CHECK_ERR(blkio_connect(b), EPROTO, "login");
		blkio_destroy(&b);
		liar_stop(&t);
	}
}

/* ---- Block status ------------------------------------------------------------------------- */

static struct {
	uint8_t data[8 + 3 * 16];
	size_t len;
} status;

static void give_status(struct target_side *t)
{
	give_all(t, status.data, status.len);
}

static void describe(int i, uint64_t lba, uint32_t blocks, uint8_t state)
{
	uint8_t *range = status.data + 8 + 16 * i;

	put(range, lba, 8);
	put(range + 8, blocks, 4);
	range[12] = state;
	status.len = 8 + 16 * (i + 1);
	put(status.data, status.len - 4, 4);
}

/* Bytes that the answer covers, or a negative errno value. */
static int64_t ask_status(struct blkioq *q)
{
	struct blkio_extent e[4];
	struct blkio_completion c;
	int64_t covered = 0;

	blkioq_block_status(q, 8 * BLOCK, 16 * BLOCK, e, 4, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
	for (int i = 0; i < c.ret; i++)
		covered += e[i].len;
	CHECK(covered <= 16 * BLOCK);
	return c.ret < 0 ? c.ret : covered;
}

static void block_status(struct device *d)
{
	static const struct lie lie = { "status", give_status };
	struct target_side t = { .sock = -1 };
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	liar_start(&t, &lie);
	b = liar_create(&t);
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	describe(0, 8, 4, 1);
	describe(1, 12, 12, 0);
	CHECK_EQ(ask_status(q), 16 * BLOCK);
	describe(0, 0, UINT32_MAX, 1); /* begins before, ends far behind */
	CHECK_EQ(ask_status(q), 16 * BLOCK);
	describe(0, 9, 4, 1); /* begins behind */
	CHECK_EQ(ask_status(q), -EIO);
	describe(0, 0, 8, 1); /* ends before */
	CHECK_EQ(ask_status(q), -EIO);
	describe(0, 8, 0, 1); /* has no blocks */
	CHECK_EQ(ask_status(q), -EIO);
	describe(0, 8, 4, 1);
	describe(1, 20, 12, 0); /* a gap */
	CHECK_EQ(ask_status(q), 4 * BLOCK);
	describe(0, UINT64_MAX, UINT32_MAX, 1);
	CHECK_EQ(ask_status(q), -EIO);
	status.len = 8; /* nothing */
	CHECK_EQ(ask_status(q), -EIO);
	put(status.data, UINT32_MAX, 4); /* more than there is */
	describe(0, 8, 16, 0);
	put(status.data, UINT32_MAX, 4);
	CHECK_EQ(ask_status(q), 16 * BLOCK);
	blkio_destroy(&b);
	liar_stop(&t);
}

/* ---- No end ------------------------------------------------------------------------------- */

enum { SOON_NS = 300000000, MEMORY_KB = 128 << 10 };

/* Each until the initiator is gone. */
static void asks_again_and_again(struct target_side *t)
{
	while (ask(t, 0, LEN))
		take_data(t, LEN);
}

static void gives_the_same(struct target_side *t)
{
	uint8_t h[HEADER];

	do {
		begin(t, h, DATA_IN, 0);
	} while (say(t, h, junk, LEN));
}

static void says_nothing(struct target_side *t)
{
	(void)t;
}

/* ---- More than anybody can read ----------------------------------------------------------- */

/* Each is to be answered with as much data. Nobody takes that. */
static void asks_and_asks(struct target_side *t)
{
	uint8_t h[HEADER];

	begin(t, h, R2T, FINAL);
	put(h + 20, 77, 4);
	put(h + 44, LEN, 4);
	flood(t, h);
}

static void pings(struct target_side *t, uint32_t tag)
{
	uint8_t h[HEADER];

	begin(t, h, NOP_IN, FINAL);
	put(h + 16, UINT32_MAX, 4);
	put(h + 20, tag, 4);
	flood(t, h);
}

/* Each is to be answered; nobody takes that either. */
static void pings_for_answers(struct target_side *t)
{
	pings(t, 77);
}

static void pings_for_nothing(struct target_side *t)
{
	pings(t, UINT32_MAX);
}

static void reports_events(struct target_side *t)
{
	uint8_t h[HEADER];

	begin(t, h, ASYNC, FINAL);
	memset(h + 16, 0xff, 4);
	h[36] = 255; /* of its own */
	flood(t, h);
}

static void gives_nothing(struct target_side *t)
{
	uint8_t h[HEADER];

	begin(t, h, DATA_IN, 0);
	flood(t, h);
}

static void gives_to_nobody(struct target_side *t)
{
	uint8_t h[HEADER];

	begin(t, h, DATA_IN, 0);
	put(h + 16, 0x12345678, 4);
	flood(t, h);
}

static void rejects(struct target_side *t)
{
	uint8_t h[HEADER];

	/* Of nothing: its data is missing. */
	begin(t, h, REJECT, FINAL);
	memset(h + 16, 0xff, 4);
	h[2] = 4;
	flood(t, h);
}

static long memory_kb(void)
{
	struct rusage usage;

	SYS(getrusage(RUSAGE_SELF, &usage));
	return usage.ru_maxrss;
}

/* Sooner than blkio_destroy() alone would. */
static void end_soon(struct blkio *b)
{
	CHECK_OK(blkio_drain(b, &(struct timespec){ 0, SOON_NS }));
	blkio_destroy(&b);
}

/* The request need not end, unless the library gives the target up; but calls do, and in time. */
static void tell_without_end(const struct lie *lie)
{
	bool poll = lie->to_write; /* the others are waited for in the kernel */
	struct target_side t = { .sock = -1 };
	char *buf = buffer(LEN);
	struct blkio_completion c;
	struct blkio *b;
	struct blkioq *q;
	long before;

	printf("%s, %s\n", lie->name, poll ? "poll" : "plain");
	liar_start(&t, lie);
	b = liar_create(&t);
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_set_int(b, "num-queues", !poll));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", poll));
	CHECK_OK(blkio_start(b));
	q = poll ? blkio_get_poll_queue(b, 0) : blkio_get_queue(b, 0);
	before = memory_kb();
	if (lie->to_write)
		blkioq_write(q, 0, buf, LEN, NULL, 0);
	else
		blkioq_read(q, 0, buf, LEN, NULL, 0);
	for (int i = 0, n = 0; i < 2 && n != 1; i++) {
		struct timespec ts = { 0, SOON_NS };

		n = blkioq_do_io(q, &c, 1, 1, &ts);
		CHECK(n == -ETIME || (n == 1 && c.ret == -ENOTCONN));
	}
	CHECK(memory_kb() - before < MEMORY_KB);
	end_soon(b);
	liar_stop(&t);
	buffer_free(buf);
}

static void without_end(struct device *d)
{
	(void)d;
	tell_without_end(test_data());
}

static int connect_briefly(struct target_side *t, const struct lie *lie)
{
	struct blkio *b;
	int ret;

	liar_start(t, lie);
	b = liar_create(t);
	CHECK_OK(blkio_set_int(b, "connect-timeout", 300));
	ret = blkio_connect(b);
	CHECK(ret == -ETIMEDOUT || ret == -EPROTO || ret == -ECONNRESET);
	blkio_destroy(&b);
	liar_stop(t);
	return ret;
}

/* Instead of an answer to the login, and to the first command. */
static void flooded_connect(struct device *d)
{
	const struct lie *lie = test_data();
	struct lie during = { lie->name, lie->tell, .in_login = true };
	struct lie after = { lie->name, lie->tell, .at_once = true };
	struct target_side t = { .sock = -1 };

	(void)d;
	connect_briefly(&t, &during);
	t = (struct target_side){ .sock = -1 };
	connect_briefly(&t, &after);
}

/* A second instance of the process works meanwhile; and the first one still ends. */
static void other_instance(struct device *d)
{
	static const struct lie flooding = { "pings", pings_for_nothing },
				good = { "truth", truth };
	struct target_side t = { .sock = -1 }, t2 = { .sock = -1 };
	char *buf = buffer(2 * LEN);
	struct timespec ts = { 0, SOON_NS };
	struct blkio_completion c;
	struct blkio *b, *b2;

	(void)d;
	liar_start(&t, &flooding);
	liar_start(&t2, &good);
	b = liar_create(&t);
	b2 = liar_create(&t2);
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_connect(b2));
	CHECK_OK(blkio_start(b));
	CHECK_OK(blkio_start(b2));
	blkioq_read(blkio_get_queue(b, 0), 0, buf, LEN, NULL, 0);
	CHECK_EQ(blkioq_do_io(blkio_get_queue(b, 0), &c, 1, 1, &ts), -ETIME);
	for (int i = 0; i < 10; i++)
		CHECK_EQ(io_read(blkio_get_queue(b2, 0), 0, buf + LEN, LEN, 0), 0);
	blkio_destroy(&b);
	CHECK_EQ(io_read(blkio_get_queue(b2, 0), 0, buf + LEN, LEN, 0), 0);
	blkio_destroy(&b2);
	liar_stop(&t);
	liar_stop(&t2);
	buffer_free(buf);
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* There is always something on the socket, so the wait for it never sleeps. */
static void interrupted(struct device *d)
{
	static const struct lie flooding = { "pings", pings_for_nothing };
	const struct itimerval soon = { .it_value = { 0, SOON_NS / 1000 } };
	struct target_side t = { .sock = -1 };
	char *buf = buffer(LEN);
	struct blkio_completion c;
	struct blkio *b;
	sigset_t alarm;

	(void)d;
	/* Not for the target's thread. */
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	liar_start(&t, &flooding);
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	b = liar_create(&t);
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	signal(SIGALRM, on_alarm);
	blkioq_read(blkio_get_queue(b, 0), 0, buf, LEN, NULL, 0);
	SYS(setitimer(ITIMER_REAL, &soon, NULL));
	CHECK_EQ(blkioq_do_io_interruptible(blkio_get_queue(b, 0), &c, 1, 1, NULL, NULL), -EINTR);
	end_soon(b);
	liar_stop(&t);
	buffer_free(buf);
}

/* It answers each step of the login with one more to come. */
static void login_without_end(struct device *d)
{
	static const struct lie lie = { "login", truth, .login_goes_on = true };
	struct target_side t = { .sock = -1 };
	struct blkio *b;

	(void)d;
	liar_start(&t, &lie);
	b = liar_create(&t);
	CHECK_OK(blkio_set_int(b, "connect-timeout", 500));
	CHECK(blkio_connect(b) < 0); /* libiscsi may give up before */
	blkio_destroy(&b);
	liar_stop(&t);
}

#define HELD_US 60000

static bool is_held;

/* libiscsi's reads: its thread is held before each, for longer than a call may go on reading. */
__attribute__((visibility("default"))) ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	if (is_held && !flags)
		usleep(HELD_US);
	return syscall(SYS_recvfrom, fd, buf, len, flags, NULL, NULL);
}

/* A call that is stopped in the middle of an answer goes on with its rest, also during a login. */
static void held(struct device *d)
{
	static const struct lie good = { "truth", truth };
	struct target_side t = { .sock = -1 };
	char *buf = buffer(LEN);
	struct blkio *b;

	(void)d;
	liar_start(&t, &good);
	b = liar_create(&t);
	is_held = true;
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, LEN, 0), 0);
	is_held = false;
	blkio_destroy(&b);
	liar_stop(&t);
	buffer_free(buf);
}

#define WITHOUT_END(tell, to_write)                                                                \
	{                                                                                          \
		"without end: " #tell, without_end, .data = &(const struct lie)                    \
		{                                                                                  \
#tell, tell, 0, to_write                                                   \
		}                                                                                  \
	}

/* When a request is in flight, and while connecting. */
#define FLOOD(tell, to_write)                                                                      \
	WITHOUT_END(tell, to_write),                                                               \
	{                                                                                          \
		"at connect: " #tell, flooded_connect, .data = &(const struct lie)                 \
		{                                                                                  \
#tell, tell                                                                \
		}                                                                                  \
	}

static const struct test tests[] = {
	{ "lies during the login", login_lies, 0 },
	{ "block status", block_status, 0 },
	WITHOUT_END(asks_again_and_again, true),
	WITHOUT_END(gives_the_same, false),
	WITHOUT_END(says_nothing, false),
	{ "a login without end", login_without_end, 0 },
	FLOOD(asks_and_asks, true),
	FLOOD(pings_for_answers, false),
	FLOOD(pings_for_nothing, false),
	FLOOD(reports_events, false),
	FLOOD(gives_nothing, false),
	FLOOD(gives_to_nobody, false),
	FLOOD(rejects, false),
	{ "another instance", other_instance, 0 },
	{ "a signal", interrupted, 0 },
	{ "a thread that is held", held, 0 },
};
TEST_MAIN(tests)
