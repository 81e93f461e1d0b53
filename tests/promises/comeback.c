/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * With "reconnect-timeout", requests survive a server that is killed and started again: each
 * completes once and well, whether they were in flight or came while it was away.
 */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "matrix.h"
#include "ways.h"

enum { LEN = 4096, REQUESTS = 40, AWAY_US = 50000, PATIENT_MS = 60000, SEED = 5 };

/* Servers die with the thread that started them: it waits to be joined. */
struct restarter {
	pthread_t thread;
	struct device *d;
	bool is_up, leave;
};

static void *restart(void *arg)
{
	struct restarter *r = arg;

	usleep(AWAY_US);
	device_restart_server(r->d);
	__atomic_store_n(&r->is_up, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&r->leave, __ATOMIC_ACQUIRE))
		usleep(1000);
	return NULL;
}

/* Of block status, each is for one block and has one extent. */
enum what { WRITE, READ, STATUS };

static void queue_all(struct blkioq *q, enum what what, char *buf, unsigned char *seen)
{
	memset(seen, 0, REQUESTS);
	for (int i = 0; i < REQUESTS; i++) {
		uint64_t start = (uint64_t)i * LEN;
		char *piece = buf + i * LEN;

		if (what == WRITE)
			blkioq_write(q, start, piece, LEN, seen + i, 0);
		else if (what == READ)
			blkioq_read(q, start, piece, LEN, seen + i, 0);
		else
			blkioq_block_status(q, start, LEN, (struct blkio_extent *)piece, 1,
					    seen + i, 0);
	}
}

/* Reads are waited for by the completion fd, where there is one. */
static void collect_all(struct setting *s, struct blkioq *q, enum what what)
{
	bool by_event = what == READ && s->kind != POLL;

	blkioq_set_completion_fd_enabled(q, by_event);
	collect_each(q, by_event ? WAIT_EVENT : WAIT_BLOCK, REQUESTS, what == STATUS);
}

/* On each queue: half of the rounds queue before the server goes, half while it is away. */
static void use_all(struct setting *s, enum what what, bool early)
{
	char *buf = s->data;
	unsigned char seen[4][REQUESTS];
	struct restarter r = { .d = s->d };

	qsd_stop(&s->d->server);
	for (int i = 0; i < s->nr_queues && early; i++) {
		queue_all(setting_queue(s, i), what, buf, seen[i]);
		CHECK_EQ(blkioq_do_io(setting_queue(s, i), NULL, 0, 0, NULL), 0);
	}
	qsd_kill(&s->d->server);
	CHECK_EQ(pthread_create(&r.thread, NULL, restart, &r), 0);
	for (int i = 0; i < s->nr_queues && !early; i++)
		queue_all(setting_queue(s, i), what, buf, seen[i]);
	for (int i = 0; i < s->nr_queues; i++)
		collect_all(s, setting_queue(s, i), what);
	while (!__atomic_load_n(&r.is_up, __ATOMIC_ACQUIRE))
		usleep(1000);
	/* The next one is started by this thread. */
	qsd_kill(&s->d->server);
	__atomic_store_n(&r.leave, true, __ATOMIC_RELEASE);
	CHECK_EQ(pthread_join(r.thread, NULL), 0);
	device_restart_server(s->d);
}

static void ask_all(struct setting *s, bool early)
{
	const struct blkio_extent *x;

	memset(s->data, 0xee, REQUESTS * LEN);
	use_all(s, STATUS, early);
	for (int i = 0; i < REQUESTS; i++) {
		x = (const struct blkio_extent *)((char *)s->data + i * LEN);
		CHECK_EQ(x->start, (uint64_t)i * LEN);
		CHECK_EQ(x->len, LEN);
		CHECK_EQ(x->flags, BLKIO_EXTENT_ALLOCATED);
	}
}

static void write_and_read(struct setting *s)
{
	for (int early = 0; early < 2; early++) {
		pattern(s->data, 0, REQUESTS * LEN, SEED + early);
		use_all(s, WRITE, early);
		memset(s->data, 0xee, REQUESTS * LEN);
		use_all(s, READ, early);
		check_pattern(s->data, 0, REQUESTS * LEN, SEED + early);
		if (s->d->target->traits & T_STATUS)
			ask_all(s, early);
	}
}

static void survive(struct setting *s)
{
	s->reconnect_ms = PATIENT_MS;
	s->data = s->kind == BOUNCED ? malloc(REQUESTS * LEN) : buffer(REQUESTS * LEN);
	setting_start(s);
	setting_call(s, write_and_read);
	blkio_destroy(&s->b);
	if (s->kind == BOUNCED)
		free(s->data);
	else
		buffer_free(s->data);
}

#define KINDS (KIND(PLAIN) | KIND(POLL) | KIND(BOUNCED))
#define CONDITIONS                                                                                 \
	(CONDITION(QUIET) | CONDITION(SIGNALS) | CONDITION(FAILED_BEFORE) | CONDITION(ALL_AT_ONCE))

static const struct promise comeback_promises[] = {
	{ "requests survive a server that restarts", survive, T_VHOST_USER, 0,
	  KINDS | KIND(SPINNING), CONDITIONS, 60 },
	{ "requests survive a server that restarts", survive, T_NETWORK, 0, KINDS, CONDITIONS, 60 },
};
PROMISES(comeback_promises)
