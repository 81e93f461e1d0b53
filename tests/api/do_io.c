/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* blkioq_do_io(): min, max and timeout; and that nothing is lost whatever a call ends with. */
#include <limits.h>
#include <signal.h>
#include <time.h>

#include "io.h"
#include "sys.h"
#include "test.h"

enum { LEN = 4096 };

static int64_t to_ns(struct timespec ts)
{
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void queue_reads(struct blkioq *q, char *buf, int n)
{
	for (int i = 0; i < n; i++)
		blkioq_read(q, (uint64_t)i * LEN, buf + i * LEN, LEN, (void *)(intptr_t)(i + 1), 0);
}

/* Take everything that is outstanding and insist on each of 1..n once. */
static void take_all(struct blkioq *q, int n)
{
	struct blkio_completion c[64];
	bool seen[65] = { false };

	CHECK_EQ(blkioq_do_io(q, c, n, 64, NULL), n);
	for (int i = 0; i < n; i++) {
		intptr_t id = (intptr_t)c[i].user_data;

		CHECK_EQ(c[i].ret, 0);
		CHECK(id >= 1 && id <= n && !seen[id]);
		seen[id] = true;
	}
}

static void nothing_to_do(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_completion c;
	struct timespec none = { 0, 0 };

	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	CHECK_EQ(blkioq_do_io(q, &c, 0, 1, NULL), 0);
	CHECK_EQ(blkioq_do_io(q, &c, 0, 1, &none), 0);
	CHECK_EQ(blkioq_do_io(q, &c, 0, INT_MAX, NULL), 0);
	blkio_destroy(&b);
}

static void bad_arguments(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_completion c[4];
	struct timespec bad[] = { { 0, -1 }, { 0, 1000000000 }, { 0, LONG_MAX },
				  { -1, 0 }, { -1, 999999999 }, { LONG_MIN, 0 } };
	char *buf = buffer(2 * LEN);

	queue_reads(q, buf, 2);
	CHECK_ERR(blkioq_do_io(q, c, -1, 4, NULL), EINVAL, "-1");
	CHECK_ERR(blkioq_do_io(q, c, 0, -4, NULL), EINVAL, "-4");
	CHECK_ERR(blkioq_do_io(q, c, 2, 1, NULL), EINVAL, "2", "1");
	CHECK_ERR(blkioq_do_io(q, c, 3, 4, NULL), EINVAL, "3", "2");
	CHECK_ERR(blkioq_do_io(q, NULL, 0, 4, NULL), EINVAL, "completions");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct timespec ts = bad[i];

		CHECK_ERR(blkioq_do_io(q, c, 1, 4, &ts), EINVAL, "timeout");
		CHECK_EQ(ts.tv_sec, bad[i].tv_sec);
		CHECK_EQ(ts.tv_nsec, bad[i].tv_nsec);
	}
	take_all(q, 2);
	CHECK_ERR(blkioq_do_io(q, c, 1, 1, NULL), EINVAL, "1", "0");
	buffer_free(buf);
	blkio_destroy(&b);
}

static void min_and_max(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_completion c[16];
	char *buf = buffer(16 * LEN);
	int taken = 0;

	/* max bounds what is returned, although all have completed */
	queue_reads(q, buf, 16);
	CHECK_EQ(blkioq_do_io(q, c, 5, 5, NULL), 5);
	CHECK_EQ(blkioq_do_io(q, c, 1, 1, NULL), 1);
	while (taken < 10) {
		int n = blkioq_do_io(q, c, 1, 3, NULL);

		CHECK(n >= 1 && n <= 3);
		taken += n;
	}
	CHECK_EQ(taken, 10);
	CHECK_EQ(blkioq_do_io(q, c, 0, 16, NULL), 0);

	/* min 0 polls until they are there */
	queue_reads(q, buf, 16);
	for (taken = 0; taken < 16;) {
		int n = blkioq_do_io(q, c, 0, 16, NULL);

		CHECK_OK(n);
		taken += n;
	}
	CHECK_EQ(taken, 16);

	/* max 0 submits; the requests complete later */
	queue_reads(q, buf, 16);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	take_all(q, 16);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void timeout_is_updated(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct timespec ts = { 5, 0 };
	struct blkio_completion c;
	char *buf = buffer(LEN);

	queue_reads(q, buf, 1);
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, &ts), 1);
	CHECK(to_ns(ts) <= 5000000000LL && to_ns(ts) > 0);
	CHECK(ts.tv_nsec >= 0 && ts.tv_nsec < 1000000000);

	/* far away must not overflow into the past */
	ts = (struct timespec){ sizeof(time_t) == 8 ? INT64_MAX : INT32_MAX, 999999999 };
	queue_reads(q, buf, 1);
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, &ts), 1);
	CHECK(ts.tv_sec > 1000000);
	buffer_free(buf);
	blkio_destroy(&b);
}

/*
 * A zero timeout on a read that the device cannot have finished. Where it finishes while being
 * submitted, success is as good an answer.
 */
static void time_runs_out(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(32 * LEN);
	int expired = 0;

	for (int round = 0; round < 200; round++) {
		struct timespec ts = { 0, round % 2 ? 1 : 0 };
		struct blkio_completion c[32];
		int ret;

		queue_reads(q, buf, 32);
		ret = blkioq_do_io(q, c, 32, 32, &ts);
		if (ret == 32)
			continue;
		CHECK_EQ(ret, -ETIME);
		CHECK_EQ(to_ns(ts), 0);
		take_all(q, 32);
		expired++;
	}
	printf("%d of 200 waits timed out\n", expired);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* ---- Interruptible ------------------------------------------------------------------------ */

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
	(void)sig;
	signals++;
}

static void interruptible_completes(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct timespec ts = { 5, 0 };
	struct blkio_completion c[8];
	char *buf = buffer(8 * LEN);
	sigset_t mask;

	sigemptyset(&mask);
	for (int round = 0; round < 50; round++) {
		queue_reads(q, buf, 8);
		CHECK_EQ(blkioq_do_io_interruptible(q, c, 8, 8, round % 3 ? &ts : NULL,
						    round % 2 ? &mask : NULL),
			 8);
	}
	CHECK_ERR(blkioq_do_io_interruptible(q, c, 1, 8, NULL, &mask), EINVAL, "1", "0");
	CHECK_EQ(blkioq_do_io_interruptible(q, NULL, 0, 0, NULL, &mask), 0);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* A pending signal that only the mask of the wait lets through: the use of the mask. */
static void pending_signal_interrupts(struct device *d)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_completion c[32];
	char *buf = buffer(32 * LEN);
	int interrupted = 0;
	sigset_t blocked, open;

	SYS(sigaction(SIGUSR1, &action, NULL));
	sigemptyset(&open);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	SYS(sigprocmask(SIG_BLOCK, &blocked, NULL));
	for (int round = 0; round < 200; round++) {
		sigset_t now;
		int ret;

		signals = 0;
		raise(SIGUSR1);
		queue_reads(q, buf, 32);
		ret = blkioq_do_io_interruptible(q, c, 32, 32, NULL, &open);
		SYS(sigprocmask(SIG_BLOCK, NULL, &now));
		CHECK(sigismember(&now, SIGUSR1)); /* the thread's own mask is back */
		if (ret == 32) {
			struct timespec none = { 0, 0 };

			if (!signals) /* it never had to wait: take the signal away */
				sigtimedwait(&blocked, NULL, &none);
			continue;
		}
		CHECK_EQ(ret, -EINTR);
		CHECK_EQ(signals, 1);
		take_all(q, 32);
		interrupted++;
	}
	printf("%d of 200 waits were interrupted\n", interrupted);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* A plain do_io goes on after signals. */
static void plain_wait_ignores_signals(struct device *d)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(32 * LEN);
	timer_t timer;
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec often = { { 0, 50000 }, { 0, 50000 } };
	int64_t end;

	SYS(sigaction(SIGUSR1, &action, NULL));
	SYS(timer_create(CLOCK_MONOTONIC, &event, &timer));
	SYS(timer_settime(timer, 0, &often, NULL));
	for (end = clock_ns() + 300000000; clock_ns() < end || signals <= 10;) {
		queue_reads(q, buf, 32);
		take_all(q, 32);
	}
	SYS(timer_delete(timer));
	buffer_free(buf);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "nothing to do", nothing_to_do, T_ANY },
	{ "bad arguments lose nothing", bad_arguments, T_ANY },
	{ "min and max", min_and_max, T_ANY },
	{ "timeout is updated", timeout_is_updated, T_ANY },
	{ "time runs out, nothing is lost", time_runs_out, T_ANY },
	{ "interruptible completes", interruptible_completes, T_ANY },
	{ "a pending signal interrupts", pending_signal_interrupts, T_ANY },
	{ "a plain wait ignores signals", plain_wait_ignores_signals, T_ANY },
};
TEST_MAIN(tests)
