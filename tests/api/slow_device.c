/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Waiting for a device that takes its time: deadlines, signals and the completion fd while asleep.
 */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "io.h"
#include "slow.h"
#include "sys.h"
#include "test.h"

#define MS 1000000LL

enum { LEN = 4096 };

static void sleeps_until_the_timeout(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct slow *s = slow_new(LEN);
	struct timespec ts = { 0, 60 * MS };
	struct blkio_completion c;
	int64_t begin;
	int cookie;

	blkioq_write(q, 0, slow_buffer(s), LEN, &cookie, 0);
	CHECK_EQ(blkioq_do_io(q, &c, 0, 1, NULL), 0);
	begin = clock_ns();
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, &ts), -ETIME);
	CHECK(clock_ns() - begin >= 60 * MS);
	CHECK(clock_ns() - begin < (60 + LATE_MS) * MS);
	CHECK(!ts.tv_sec && !ts.tv_nsec);
	slow_release(s);
	CHECK_EQ(io_finish(q, &cookie), 0);
	slow_free(s);
	blkio_destroy(&b);
}

static void timeout_is_what_is_left(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct slow *s = slow_new(LEN);
	struct timespec ts = { 10, 0 };
	struct blkio_completion c;
	int64_t begin, left;

	blkioq_write(q, 0, slow_buffer(s), LEN, NULL, 0);
	slow_release_after(s, 50);
	begin = clock_ns();
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, &ts), 1);
	left = ts.tv_sec * 1000 * MS + ts.tv_nsec;
	CHECK(left >= 10000 * MS - (clock_ns() - begin));
	CHECK(left < 10000 * MS && ts.tv_nsec < 1000 * MS);
	slow_free(s);
	blkio_destroy(&b);
}

/* One fast and one slow request: the fast one is not lost when the wait for both times out. */
static void partial_result_survives_timeout(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct slow *s = slow_new(LEN);
	struct timespec ts = { 0, 60 * MS };
	struct blkio_completion c[2];
	char *buf = buffer(LEN);
	int fast, slow;

	blkioq_write(q, 0, slow_buffer(s), LEN, &slow, 0);
	blkioq_read(q, 0, buf, LEN, &fast, 0);
	CHECK_EQ(blkioq_do_io(q, c, 2, 2, &ts), -ETIME);
	CHECK_EQ(blkioq_do_io(q, c, 1, 2, NULL), 1); /* a busy machine may take longer for it */
	CHECK(c[0].user_data == &fast);
	slow_release(s);
	CHECK_EQ(io_finish(q, &slow), 0);
	slow_free(s);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* ---- Signals ------------------------------------------------------------------------------ */

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
	(void)sig;
	signals++;
}

struct sender {
	pthread_t thread, victim;
	bool ends;
};

/* The first ones may come before the call that is to be interrupted. */
static void *send_signals(void *arg)
{
	struct sender *sender = arg;

	do {
		usleep(50 * 1000);
		pthread_kill(sender->victim, SIGUSR1);
	} while (!__atomic_load_n(&sender->ends, __ATOMIC_RELAXED));
	return NULL;
}

static void start_sender(struct sender *sender)
{
	struct sigaction action = { .sa_handler = on_signal };

	SYS(sigaction(SIGUSR1, &action, NULL));
	*sender = (struct sender){ .victim = pthread_self() };
	signals = 0;
	CHECK_EQ(pthread_create(&sender->thread, NULL, send_signals, sender), 0);
}

static void stop_sender(struct sender *sender)
{
	__atomic_store_n(&sender->ends, true, __ATOMIC_RELAXED);
	CHECK_EQ(pthread_join(sender->thread, NULL), 0);
	CHECK(signals > 0);
}

static void signal_ends_interruptible_wait(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct slow *s = slow_new(LEN);
	struct timespec ts = { 10, 0 };
	struct blkio_completion c;
	struct sender sender;
	int cookie;

	blkioq_write(q, 0, slow_buffer(s), LEN, &cookie, 0);
	for (int with_timeout = 0; with_timeout < 2; with_timeout++) {
		start_sender(&sender);
		CHECK_EQ(blkioq_do_io_interruptible(q, &c, 1, 1, with_timeout ? &ts : NULL, NULL),
			 -EINTR);
		stop_sender(&sender);
	}
	CHECK(ts.tv_sec < 10);
	slow_release(s);
	CHECK_EQ(io_finish(q, &cookie), 0);
	slow_free(s);
	blkio_destroy(&b);
}

static void masked_signal_waits_for_the_end(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct slow *s = slow_new(LEN);
	struct blkio_completion c;
	struct sender sender;
	sigset_t mask;

	sigfillset(&mask);
	blkioq_write(q, 0, slow_buffer(s), LEN, NULL, 0);
	start_sender(&sender);
	slow_release_after(s, 150);
	CHECK_EQ(blkioq_do_io_interruptible(q, &c, 1, 1, NULL, &mask), 1);
	stop_sender(&sender); /* delivered after the wait */
	slow_free(s);
	blkio_destroy(&b);
}

static void mask_lets_a_blocked_signal_in(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct slow *s = slow_new(LEN);
	struct blkio_completion c;
	struct sender sender;
	sigset_t blocked, empty;
	int cookie;

	sigemptyset(&empty);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	CHECK_EQ(pthread_sigmask(SIG_BLOCK, &blocked, NULL), 0);
	blkioq_write(q, 0, slow_buffer(s), LEN, &cookie, 0);
	start_sender(&sender);
	CHECK_EQ(blkioq_do_io_interruptible(q, &c, 1, 1, NULL, &empty), -EINTR);
	stop_sender(&sender);
	slow_release(s);
	CHECK_EQ(io_finish(q, &cookie), 0);
	slow_free(s);
	blkio_destroy(&b);
}

static void plain_wait_goes_on_after_a_signal(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct slow *s = slow_new(LEN);
	struct timespec ts = { 10, 0 };
	struct blkio_completion c;
	struct sender sender;

	blkioq_write(q, 0, slow_buffer(s), LEN, NULL, 0);
	start_sender(&sender);
	slow_release_after(s, 150);
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, &ts), 1);
	stop_sender(&sender);
	slow_free(s);
	blkio_destroy(&b);
}

/* ---- Completion fd, destroy --------------------------------------------------------------- */

static void enabled_while_in_flight(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	int fd = blkioq_get_completion_fd(q);
	struct slow *s = slow_new(LEN);
	uint64_t count;
	int cookie;

	blkioq_write(q, 0, slow_buffer(s), LEN, &cookie, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	blkioq_set_completion_fd_enabled(q, true);
	if (readable(fd, 0))
		SYS(read(fd, &count, sizeof(count))); /* may fire without need */
	CHECK(!readable(fd, 20));
	slow_release(s);
	CHECK(readable(fd, LATE_MS));
	CHECK_EQ(io_finish(q, &cookie), 0);
	slow_free(s);
	blkio_destroy(&b);
}

static void disabled_while_in_flight(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	int fd = blkioq_get_completion_fd(q);
	struct slow *s = slow_new(LEN);
	int cookie;

	blkioq_set_completion_fd_enabled(q, true);
	blkioq_write(q, 0, slow_buffer(s), LEN, &cookie, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	blkioq_set_completion_fd_enabled(q, false);
	slow_release(s);
	CHECK(!readable(fd, 100));
	CHECK_EQ(io_finish(q, &cookie), 0);
	slow_free(s);
	blkio_destroy(&b);
}

static void destroy_waits(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct slow *s = slow_new(LEN);
	int64_t begin = clock_ns();

	blkioq_write(q, 0, slow_buffer(s), LEN, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	slow_release_after(s, 100);
	blkio_destroy(&b);
	CHECK(clock_ns() - begin >= 95 * MS); /* the buffer is no longer read */
	slow_free(s);
}

static const struct test tests[] = {
	{ "sleeps until the timeout", sleeps_until_the_timeout, T_OFFLOADS },
	{ "timeout becomes what is left of it", timeout_is_what_is_left, T_OFFLOADS },
	{ "a partial result survives a timeout", partial_result_survives_timeout, T_OFFLOADS },
	{ "a signal ends an interruptible wait", signal_ends_interruptible_wait, T_OFFLOADS },
	{ "a masked signal does not", masked_signal_waits_for_the_end, T_OFFLOADS },
	{ "the mask lets a blocked signal in", mask_lets_a_blocked_signal_in, T_OFFLOADS },
	{ "a plain wait goes on after a signal", plain_wait_goes_on_after_a_signal, T_OFFLOADS },
	{ "completion fd enabled in flight", enabled_while_in_flight, T_OFFLOADS },
	{ "completion fd disabled in flight", disabled_while_in_flight, T_OFFLOADS },
	{ "destroy waits for the device", destroy_waits, T_OFFLOADS },
};
TEST_MAIN(tests)
