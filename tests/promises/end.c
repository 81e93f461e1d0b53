/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * When blkio_destroy() or blkio_remove_queue() has returned, or blkio_drain() said so, the memory
 * of requests is the caller's again: nothing is read from it or written to it. All queues of an
 * instance together have 5 seconds, and what signals come and which thread ends it do not matter.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hold.h"

#define MS 1000000LL

enum { LEN = 4096, HELD_MS = 300, PER_QUEUE = 8 };

static int64_t ms_since(int64_t begin)
{
	return (clock_ns() - begin) / MS;
}

/* ---- The device answers in time ----------------------------------------------------------- */

static void destroy(struct setting *s)
{
	blkio_destroy(&s->b);
}

/* The call returns when what is in flight has ended, and not before. */
static void check_waits(struct setting *s, void (*call)(struct setting *))
{
	int64_t begin = clock_ns(), held; /* a slow device begins before hold_start() ends */
	struct hold *h = hold_start(s, PER_QUEUE);

	held = hold_release_after(h, HELD_MS);
	setting_call(s, call);
	CHECK(ms_since(begin) >= held - 5);
	hold_check_untouched(h);
	blkio_destroy(&s->b);
	hold_free(h);
}

static void destroy_waits(struct setting *s)
{
	check_waits(s, destroy);
}

/*
 * A single-issuer ring tells its owner only. While that lives and does not enter it, another thread
 * cannot know when several requests have ended.
 */
static bool cannot_know(const struct setting *s)
{
	return s->kind == SINGLE_ISSUER &&
	       (s->condition == OTHER_THREAD || s->condition == ALL_AT_ONCE);
}

/* A slow device may have answered all but one while they were submitted: then it knows. */
static void check_ended(const struct setting *s, int ret)
{
	if (ret == -ETIME && cannot_know(s))
		CHECK(strstr(blkio_get_error_msg(), "in flight"));
	else if (ret || !(s->d->target->traits & T_SLOW))
		CHECK_EQ(ret, cannot_know(s) ? -ETIME : 0);
}

static void remove_queues(struct setting *s)
{
	/* A thread that cannot know waits nearly 5 s for each, so two of four are enough. */
	int n = cannot_know(s) && s->nr_queues > 2 ? 2 : s->nr_queues;

	for (int i = 0; i < n; i++) {
		check_ended(s, s->kind == POLL ? blkio_remove_poll_queue(s->b, i)
					       : blkio_remove_queue(s->b, i));
	}
}

static void remove_waits(struct setting *s)
{
	check_waits(s, remove_queues);
}

static void *use_queue(void *arg)
{
	struct setting *s = arg;

	s->data = hold_start(s, PER_QUEUE);
	hold_release_after(s->data, HELD_MS);
	return NULL;
}

/* Of the thread that used the queue, nothing is left. */
static void destroy_orphan(struct setting *s)
{
	pthread_t thread;
	int64_t begin;

	skip_poll_by_another_thread(s);
	CHECK_EQ(pthread_create(&thread, NULL, use_queue, s), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	begin = clock_ns();
	setting_call(s, destroy);
	CHECK(ms_since(begin) < 4400 || s->d->target->traits & T_SLOW);
	hold_check_untouched(s->data);
	hold_free(s->data);
}

/* ---- Drain -------------------------------------------------------------------------------- */

static void drain(struct setting *s)
{
	check_ended(s, blkio_drain(s->b, NULL));
}

static void drain_waits(struct setting *s)
{
	check_waits(s, drain);
}

static void drain_for_too_short(struct setting *s)
{
	struct timespec t = { .tv_nsec = 100 * MS };
	int64_t begin = clock_ns();

	CHECK_ERR(blkio_drain(s->b, &t), ETIME, "in flight");
	CHECK(ms_since(begin) >= 95);
	CHECK_EQ(t.tv_sec * 1000000000LL + t.tv_nsec, 0);
}

/* A connection can be cut: no server can then reach the memory of requests. */
static void drain_cuts_off(struct setting *s)
{
	struct timespec t = { .tv_sec = 3 };

	/* This thread may be held for the last tenth of the time, in which it is cut. */
	while (blkio_drain(s->b, &t) == -ETIME)
		t = (struct timespec){ .tv_nsec = 100 * MS };
	CHECK_EQ(blkio_drain(s->b, &t), 0);
}

static void drain_cuts(struct setting *s)
{
	struct hold *h = hold_start(s, PER_QUEUE);

	setting_call(s, drain_cuts_off);
	hold_check_untouched(h);
	blkio_destroy(&s->b);
	hold_free(h);
}

/* It says no as long as it is so, and then yes. */
static void drain_tells(struct setting *s)
{
	struct hold *h = hold_start(s, PER_QUEUE);

	setting_call(s, drain_for_too_short);
	if (s->d->server.pid) { /* was cut off, and will know when it goes on */
		hold_release(h);
		hold_release_after(h, 0);
	} else {
		hold_release_after(h, HELD_MS);
	}
	setting_call(s, drain);
	hold_check_untouched(h);
	blkio_destroy(&s->b);
	hold_free(h);
}

/* ---- The device is silent ----------------------------------------------------------------- */

static void destroy_silent(struct setting *s)
{
	struct hold *h = hold_start(s, PER_QUEUE);
	struct blkio_mem_region r;
	int64_t begin;

	CHECK_OK(blkio_alloc_mem_region(s->b, &r, LEN));
	begin = clock_ns();
	setting_call(s, destroy);
	CHECK(ms_since(begin) >= 4400);
	CHECK(ms_since(begin) < 5000 + LATE_MS);
	/* A kernel thread may use it by its address: it stays, until the process ends. */
	if (s->d->target->traits & T_OFFLOADS) {
		memset(r.addr, 1, r.len);
		fflush(NULL);
		_exit(0);
	}
	hold_release(h);
	hold_free(h);
}

static void destroy_dead(struct setting *s)
{
	struct hold *h = hold_start(s, PER_QUEUE);
	int64_t begin;

	begin = clock_ns();
	setting_call(s, destroy);
	CHECK(ms_since(begin) < 4000);
	hold_check_untouched(h);
	hold_free(h);
}

/* Nothing is in flight, and the server does not take part in the end. */
static void destroy_idle(struct setting *s)
{
	int64_t begin;

	setting_start(s);
	begin = clock_ns();
	setting_call(s, destroy);
	CHECK(ms_since(begin) < 5000 + LATE_MS);
}

/* ---- What was not submitted --------------------------------------------------------------- */

static void never_happens(struct setting *s)
{
	char *buf = buffer(LEN), got[LEN];

	setting_start(s);
	memset(buf, 1, LEN);
	for (int i = 0; i < s->nr_queues; i++) {
		for (int n = 0; n < 1000; n++) /* more than the ring holds */
			blkioq_write(setting_queue(s, i), 0, buf, LEN, NULL, 0);
	}
	setting_call(s, destroy);
	usleep(50000);
	device_peek(s->d, 0, got, LEN);
	check_all(got, LEN, 0);
	buffer_free(buf);
}

static void completions_are_there(struct setting *s)
{
	enum { N = 1000 };
	static struct blkio_completion c[N + 1];
	static unsigned char seen[N];
	char *buf = buffer((N + 1) * LEN);
	struct blkioq *q;

	setting_start(s);
	q = setting_queue(s, 0);
	for (int i = 0; i < N; i++) {
		blkioq_read(q, 0, buf + i * LEN, LEN, seen + i, 0);
		if (i == N / 2)
			CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	}
	setting_call(s, drain);
	blkioq_read(q, 0, buf + N * LEN, LEN, seen, 0);
	seen[0]--;
	CHECK_EQ(blkioq_do_io(q, c, N + 1, N + 1, NULL), N + 1);
	for (int i = 0; i <= N; i++) {
		CHECK(!c[i].ret || c[i].ret == -ECANCELED);
		++*(unsigned char *)c[i].user_data;
	}
	check_all(seen, N, 1);
	CHECK_ERR(blkioq_do_io(q, c, 1, 1, NULL), EINVAL, "outstanding");
	blkio_destroy(&s->b);
	buffer_free(buf);
}

/* Whoever sleeps on the completion fd is woken up, also for what was never submitted. */
static void completion_fd_fires(struct setting *s)
{
	struct blkio_completion c;
	char *buf = buffer(LEN);
	struct blkioq *q;

	setting_start(s);
	q = setting_queue(s, 0);
	blkioq_set_completion_fd_enabled(q, true);
	while (readable(blkioq_get_completion_fd(q), 0))
		eventfd_read(blkioq_get_completion_fd(q), &(eventfd_t){ 0 });
	blkioq_read(q, 0, buf, LEN, NULL, 0);
	setting_call(s, drain);
	CHECK(readable(blkioq_get_completion_fd(q), 0));
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
	blkio_destroy(&s->b);
	buffer_free(buf);
}

#define EVERY_KIND                                                                                 \
	(KIND(PLAIN) | KIND(POLL) | KIND(SINGLE_ISSUER) | KIND(SQ_POLL) | KIND(REGISTERED))
#define ONE_BY_ONE                                                                                 \
	(CONDITION(QUIET) | CONDITION(SIGNALS) | CONDITION(OTHER_THREAD) |                         \
	 CONDITION(FAILED_BEFORE) | CONDITION(SEVERAL_QUEUES) | CONDITION(EXHAUSTED) |             \
	 CONDITION(ALL_AT_ONCE))

static const struct promise promises[] = {
	{ "destroy waits", destroy_waits, T_HOLDS, T_PLAIN, EVERY_KIND, ONE_BY_ONE },
	{ "destroy waits when the queue's thread has ended", destroy_orphan, T_HOLDS, T_PLAIN,
	  EVERY_KIND, CONDITION(QUIET) | CONDITION(SIGNALS) | CONDITION(SEVERAL_QUEUES) },
	{ "remove_queue waits", remove_waits, T_HOLDS, T_PLAIN, EVERY_KIND, ONE_BY_ONE, 60 },
	{ "drain waits", drain_waits, T_HOLDS, 0, EVERY_KIND, ONE_BY_ONE },
	{ "drain tells", drain_tells, T_HOLDS, T_SLOW | T_NETWORK, EVERY_KIND, ONE_BY_ONE },
	{ "drain cuts off a silent server", drain_cuts, T_NETWORK, 0, KIND(PLAIN) | KIND(POLL),
	  ONE_BY_ONE },
	{ "destroy gives up, once", destroy_silent, T_HOLDS, T_SLOW | T_PLAIN,
	  KIND(PLAIN) | KIND(POLL),
	  CONDITION(QUIET) | CONDITION(SIGNALS) | CONDITION(OTHER_THREAD) |
	      CONDITION(SEVERAL_QUEUES) },
	{ "destroy does not wait for the dead", destroy_dead, T_VHOST_USER, 0,
	  EVERY_KIND | KIND(SPINNING), CONDITION(PEER_DEAD) },
	{ "destroy does not wait for the dead", destroy_dead, T_NETWORK, 0,
	  KIND(PLAIN) | KIND(POLL), CONDITION(PEER_DEAD) },
	{ "destroy of an idle instance", destroy_idle, T_NETWORK, 0, KIND(PLAIN) | KIND(POLL),
	  CONDITION(QUIET) | CONDITION(PEER_STOPPED) | CONDITION(PEER_DEAD) },
	{ "destroy of an idle instance", destroy_idle, T_VHOST_USER, 0, KIND(PLAIN) | KIND(POLL),
	  CONDITION(QUIET) | CONDITION(PEER_STOPPED) | CONDITION(PEER_DEAD) },
	{ "what is not submitted never happens", never_happens, T_STORES, T_ALIGNED, EVERY_KIND,
	  CONDITION(QUIET) | CONDITION(OTHER_THREAD) | CONDITION(SEVERAL_QUEUES) },
	{ "completions can be collected after drain", completions_are_there, T_STORES, 0,
	  EVERY_KIND, CONDITION(QUIET) | CONDITION(SIGNALS) },
	{ "the completion fd fires after drain", completion_fd_fires, T_ANY, 0,
	  (EVERY_KIND & ~KIND(POLL)) | KIND(BOUNCED), CONDITION(QUIET) },
};
PROMISES(promises)
