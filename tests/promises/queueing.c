/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Queueing a request never waits, and blkioq_do_io() keeps to its timeout, whatever the peer does.
 */
#include <pthread.h>
#include <signal.h>

#include "matrix.h"

enum { LEN = 4096, REQUESTS = 40, MS = 1000000 };

/* Much more than either takes, and less than a peer that is stopped is given to answer: 10 s. */
#define CHECK_SOON(begin) CHECK(clock_ns() - (begin) < 5000LL * MS)

struct mapping {
	struct blkio *b;
	struct blkio_mem_region region;
};

/* Waits for the server, with the locks that mapping takes. */
static void *map_region(void *arg)
{
	struct mapping *m = arg;

	CHECK_OK(blkio_map_mem_region(m->b, &m->region));
	return NULL;
}

static void queue_one(struct blkioq *q, int i, char *buf)
{
	switch (i % 4) {
	case 0:
		blkioq_read(q, 0, buf, LEN, NULL, 0);
		break;
	case 1:
		blkioq_write(q, LEN, buf + LEN, LEN, NULL, BLKIO_REQ_FUA);
		break;
	case 2:
		blkioq_write_zeroes(q, 2 * LEN, LEN, NULL, BLKIO_REQ_FUA);
		break;
	case 3:
		blkioq_flush(q, NULL, 0);
	}
}

static void queue_and_wait(struct setting *s)
{
	struct blkio_completion c[REQUESTS];
	struct blkioq *q = setting_queue(s, 0);
	struct mapping m = { .b = s->b };
	char *buf = s->kind == BOUNCED ? malloc(2 * LEN) : buffer(2 * LEN);
	pthread_t thread;

	CHECK_OK(blkio_alloc_mem_region(s->b, &m.region, 1 << 20));
	CHECK_EQ(pthread_create(&thread, NULL, map_region, &m), 0);
	for (int i = 0; i < REQUESTS; i++) {
		struct timespec ts = { 0, 10 * MS };
		int64_t begin = clock_ns();

		queue_one(q, i, buf);
		CHECK_SOON(begin);
		CHECK_ERR(blkioq_do_io(q, c, 1, REQUESTS, &ts), ETIME);
		CHECK_SOON(begin);
	}
	SYS(kill(s->d->server.pid, SIGCONT));
	CHECK_EQ(blkioq_do_io(q, c, REQUESTS, REQUESTS, NULL), REQUESTS);
	for (int i = 0; i < REQUESTS; i++)
		CHECK_EQ(c[i].ret, 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	if (s->kind == BOUNCED)
		free(buf);
	else
		buffer_free(buf);
}

static void stopped(struct setting *s)
{
	setting_start(s);
	setting_call(s, queue_and_wait);
	blkio_destroy(&s->b);
}

static void slow(struct setting *s)
{
	char *buf = buffer(LEN);
	struct blkioq *q;

	setting_start(s);
	q = setting_queue(s, 0);
	for (int i = 0; i < 3; i++) {
		int ret = 1;

		/* This thread may be held until the device has answered, but not each time. */
		for (int tries = 0; tries < 5 && ret == 1; tries++) {
			struct timespec ts = { 0, i * 10 * MS };
			struct blkio_completion c;

			blkioq_read(q, 0, buf, LEN, NULL, 0);
			ret = blkioq_do_io(q, &c, 1, 1, &ts);
			CHECK(ret == 1 || (!ts.tv_sec && !ts.tv_nsec));
			CHECK(ret == 1 || blkioq_do_io(q, &c, 1, 1, NULL) == 1);
			CHECK_EQ(c.ret, 0);
		}
		CHECK_EQ(ret, -ETIME);
	}
	buffer_free(buf);
	blkio_destroy(&s->b);
}

static const struct promise queueing_promises[] = {
	{ "do_io does not wait for longer than it may", slow, T_SLOW, 0,
	  ALL_KINDS & ~KIND(BOUNCED) & ~KIND(SPINNING), CONDITION(QUIET) },
	{ "queueing does not wait, do_io not for longer than it may", stopped, T_VHOST_USER, 0,
	  KIND(PLAIN) | KIND(POLL) | KIND(BOUNCED) | KIND(SPINNING), CONDITION(PEER_STOPPED) },
};
PROMISES(queueing_promises)
