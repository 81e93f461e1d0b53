/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A signal ends blkioq_do_io_interruptible(), however many completions are there, unless they are
 * enough; and no completion is lost to it.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "matrix.h"
#include "slow.h"

enum { LEN = 4096, FAST = 7, MANY = 600 };

static volatile sig_atomic_t handled;

static void on_signal(int sig)
{
	(void)sig;
	handled++;
}

static void catch (bool block)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t set;

	SYS(sigaction(SIGUSR1, &action, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_EQ(pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL), 0);
	handled = 0;
}

/* ---- Signals that come while the thread sleeps -------------------------------------------- */

struct sender {
	pthread_t thread, victim;
	pid_t tid;
};

static char state_of(pid_t tid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(f);
	return state;
}

/* When the victim has been asleep for a while, it is in the wait that is meant. */
static void *send_when_asleep(void *arg)
{
	struct sender *s = arg;

	for (int asleep = 0; asleep < 5;) {
		usleep(10000);
		asleep = state_of(s->tid) == 'S' ? asleep + 1 : 0;
	}
	pthread_kill(s->victim, SIGUSR1);
	return NULL;
}

static void start_sender(struct sender *s)
{
	s->victim = pthread_self();
	s->tid = (pid_t)syscall(SYS_gettid);
	CHECK_EQ(pthread_create(&s->thread, NULL, send_when_asleep, s), 0);
}

/* ---- Some completions are there ----------------------------------------------------------- */

/* Waits for all of min, of which one does not come; the signal does. */
static void check_interrupted(struct blkioq *q, int min, bool pending, bool with_timeout)
{
	struct blkio_completion c[MANY + 1];
	struct timespec ts = { 15, 0 };
	struct sender sender;
	sigset_t open;

	sigemptyset(&open);
	catch (pending);
	if (pending)
		raise(SIGUSR1);
	else
		start_sender(&sender);
	CHECK_EQ(blkioq_do_io_interruptible(q, c, min, min, with_timeout ? &ts : NULL,
					    pending ? &open : NULL),
		 -EINTR);
	CHECK_EQ(handled, 1);
	CHECK(ts.tv_sec > 0);
	if (!pending)
		CHECK_EQ(pthread_join(sender.thread, NULL), 0);
}

static void check_all_came(struct blkioq *q, int n)
{
	struct blkio_completion c[MANY + 1];
	bool seen[MANY + 1] = { false };

	CHECK_EQ(blkioq_do_io(q, c, n, n, NULL), n);
	for (int i = 0; i < n; i++) {
		uintptr_t id = (uintptr_t)c[i].user_data;

		CHECK_EQ(c[i].ret, 0);
		CHECK(id < (uintptr_t)n && !seen[id]);
		seen[id] = true;
	}
}

static void half_done(struct setting *s, int fast)
{
	setting_start(s);
	for (int variant = 0; variant < 4; variant++) {
		struct slow *memory = slow_new(LEN);
		struct blkioq *q = setting_queue(s, s->nr_queues - 1);
		char *buf = buffer((size_t)fast * LEN);

		for (uintptr_t i = 0; i < (uintptr_t)fast; i++)
			blkioq_read(q, 0, buf + i * LEN, LEN, (void *)i, 0);
		blkioq_write(q, 0, slow_buffer(memory), LEN, (void *)(uintptr_t)fast, 0);
		check_interrupted(q, fast + 1, variant & 1, variant & 2);
		slow_release(memory);
		check_all_came(q, fast + 1);
		slow_free(memory);
		buffer_free(buf);
	}
	blkio_destroy(&s->b);
}

static void some_are_there(struct setting *s)
{
	half_done(s, FAST);
}

/* More than the ring holds: the wait is one of several. */
static void many_are_there(struct setting *s)
{
	half_done(s, MANY);
}

/* The first read is done at once, for what is wrong with it; the others wait for the server. */
static void wait_for_server(struct setting *s)
{
	struct blkioq *q = setting_queue(s, 0);
	char *buf = buffer(LEN);

	for (int variant = 0; variant < 4; variant++) {
		struct blkio_completion c;

		blkioq_read(q, 0, buf, LEN, NULL, 1 << 20);
		blkioq_read(q, 0, buf, LEN, NULL, 0);
		check_interrupted(q, 2, variant & 1, variant & 2);
		CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1); /* the first is not lost */
		CHECK_EQ(c.ret, -EINVAL);
	}
	SYS(kill(s->d->server.pid, SIGCONT));
	for (int variant = 0; variant < 4; variant++) {
		struct blkio_completion c;

		CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
		CHECK_EQ(c.ret, 0);
	}
	buffer_free(buf);
}

static void server_stops(struct setting *s)
{
	setting_start(s);
	setting_call(s, wait_for_server);
	blkio_destroy(&s->b);
}

/* ---- A slow device ------------------------------------------------------------------------ */

static void device_is_slow(struct setting *s)
{
	char *buf = buffer(LEN);
	struct blkioq *q;

	setting_start(s);
	q = setting_queue(s, 0);
	for (int with_timeout = 0; with_timeout < 2; with_timeout++) {
		struct blkio_completion c[2];

		blkioq_read(q, 0, buf, LEN, NULL, 1 << 20); /* done at once, with an error */
		blkioq_read(q, 0, buf, LEN, NULL, 0);
		check_interrupted(q, 2, true, with_timeout);
		CHECK_EQ(blkioq_do_io(q, c, 2, 2, NULL), 2);
		CHECK_EQ(c[0].ret, -EINVAL);
		CHECK_EQ(c[1].ret, 0);
	}
	buffer_free(buf);
	blkio_destroy(&s->b);
}

/* ---- A drained queue ---------------------------------------------------------------------- */

/* The device does not answer in time, and the wait goes on in blkioq_do_io(). */
static void drained_too_early(struct setting *s)
{
	struct timespec ts = { .tv_nsec = 50000000 };
	struct slow *memory = slow_new(LEN);
	struct blkio_completion c;
	struct blkioq *q;

	setting_start(s);
	q = setting_queue(s, 0);
	blkioq_write(q, 0, slow_buffer(memory), LEN, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	slow_await(memory);
	CHECK_ERR(blkio_drain(s->b, &ts), ETIME, "in flight");
	for (int variant = 0; variant < 4; variant++)
		check_interrupted(q, 1, variant & 1, variant & 2);
	slow_release(memory);
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
	blkio_destroy(&s->b);
	slow_free(memory);
}

/* ---- No signal ---------------------------------------------------------------------------- */

/* Requests complete while the thread sleeps, with the completion fd enabled or not. */
static void completions_wake(struct setting *s)
{
	setting_start(s);
	for (int notify = 0; notify < 2; notify++) {
		struct slow *memory = slow_new(LEN);
		struct blkioq *q = setting_queue(s, s->nr_queues - 1);

		blkioq_set_completion_fd_enabled(q, notify);
		for (int round = 0; round < 2; round++) {
			struct blkio_completion c;
			struct timespec ts = { 15, 0 };

			blkioq_write(q, 0, slow_buffer(memory), LEN, NULL, 0);
			if (!round)
				slow_release_after(memory, 300);
			CHECK_EQ(blkioq_do_io_interruptible(q, &c, 1, 1, &ts, NULL), 1);
			CHECK_EQ(c.ret, 0);
			CHECK(notify || !readable(blkioq_get_completion_fd(q), 0));
		}
		slow_free(memory);
	}
	blkio_destroy(&s->b);
}

/* ---- Nothing to wait for ------------------------------------------------------------------ */

static void enough_are_there(struct setting *s)
{
	struct blkio_completion c[FAST];
	struct blkioq *q;
	sigset_t open;
	char *buf;

	setting_start(s);
	q = setting_queue(s, 0);
	buf = buffer(FAST * LEN);
	sigemptyset(&open);
	catch (true);
	for (int i = 0; i < FAST; i++)
		blkioq_read(q, 0, buf + i * LEN, LEN, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, c, FAST, FAST, NULL), FAST);
	blkioq_read(q, 3, NULL, 1, NULL, 1 << 20); /* done at once, with an error */
	raise(SIGUSR1);
	CHECK_EQ(blkioq_do_io_interruptible(q, c, 0, 0, NULL, &open), 0);
	CHECK_EQ(blkioq_do_io_interruptible(q, c, 1, FAST, NULL, &open), 1);
	CHECK_EQ(blkioq_do_io_interruptible(q, c, 0, FAST, NULL, &open), 0);
	buffer_free(buf);
	blkio_destroy(&s->b);
}

#define WAITING_KINDS (KIND(PLAIN) | KIND(SINGLE_ISSUER) | KIND(SQ_POLL) | KIND(REGISTERED))

static const struct promise signal_promises[] = {
	{ "a signal ends a wait that is half done", some_are_there, T_OFFLOADS, 0, WAITING_KINDS,
	  CONDITION(QUIET) | CONDITION(FAILED_BEFORE) | CONDITION(SEVERAL_QUEUES) },
	{ "a signal ends a wait with a backlog", many_are_there, T_OFFLOADS, 0, WAITING_KINDS,
	  CONDITION(QUIET) },
	{ "a signal ends a wait for a stopped server", server_stops, T_VHOST_USER, 0,
	  KIND(PLAIN) | KIND(BOUNCED) | KIND(SPINNING), CONDITION(PEER_STOPPED) },
	{ "a signal ends a wait for a slow device", device_is_slow, T_SLOW, 0, WAITING_KINDS,
	  CONDITION(QUIET) },
	{ "a signal ends a wait after drain", drained_too_early, T_OFFLOADS, 0, WAITING_KINDS,
	  CONDITION(QUIET) },
	{ "a completion ends an interruptible wait", completions_wake, T_OFFLOADS, 0, WAITING_KINDS,
	  CONDITION(QUIET) | CONDITION(SEVERAL_QUEUES) },
	{ "completions come before a signal", enough_are_there, T_ANY, 0,
	  WAITING_KINDS | KIND(BOUNCED), CONDITION(QUIET) },
};
PROMISES(signal_promises)
