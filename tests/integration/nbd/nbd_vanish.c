/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A server whose machine vanishes: nothing closes the connection, and nothing is acknowledged any
 * more. Property "tcp-timeout" says when the connection is lost; and a machine that acknowledges is
 * waited for, whatever its server does.
 */
#include <arpa/inet.h>
#include <unistd.h>

#include "io.h"
#include "relay.h"
#include "sys.h"
#include "test.h"
#include "ways.h"

enum { BLOCK = 4096, N = 20, LIMIT_MS = 1000, PATIENT_MS = 60000, MS = 1000000 };
enum { BIG = 1 << 20, BIGS = 32, COLLECT_SECONDS = 60 };

struct rig {
	struct relay r;
	struct blkio *b;
	struct blkioq *q;
	unsigned char seen[N];
	char *buf;
};

/* With a queue that has been used; after that, the relay keeps all answers. */
static void begin(struct rig *g, struct device *d, enum wait wait, int reconnect_ms,
		  enum relay_fault fault)
{
	bool poll = wait == WAIT_POLL_QUEUE;

	*g = (struct rig){ .buf = malloc(BIG) };
	relay_start_tcp(&g->r, d->path);
	CHECK_OK(blkio_create("nbd", &g->b));
	CHECK_OK(blkio_set_str(g->b, "host", "127.0.0.1"));
	CHECK_OK(blkio_set_int(g->b, "port", ntohs(g->r.port.sin_port)));
	CHECK_OK(blkio_set_int(g->b, "tcp-timeout", LIMIT_MS));
	CHECK_OK(blkio_set_int(g->b, "reconnect-timeout", reconnect_ms));
	CHECK_OK(blkio_connect(g->b));
	CHECK_OK(blkio_set_int(g->b, "num-queues", !poll));
	CHECK_OK(blkio_set_int(g->b, "num-poll-queues", poll));
	CHECK_OK(blkio_start(g->b));
	g->q = poll ? blkio_get_poll_queue(g->b, 0) : blkio_get_queue(g->b, 0);
	if (wait == WAIT_EVENT)
		blkioq_set_completion_fd_enabled(g->q, true);
	CHECK_EQ(io_read(g->q, 0, g->buf, BLOCK, 0), 0);
	relay_set(&g->r, fault, 0, relay_passed(&g->r, 0));
}

static void end(struct rig *g)
{
	blkio_destroy(&g->b);
	relay_stop(&g->r);
	free(g->buf);
}

static void queue_reads(struct rig *g)
{
	for (int i = 0; i < N; i++)
		blkioq_read(g->q, (uint64_t)i * BLOCK, g->buf, BLOCK, g->seen + i, 0);
	CHECK_EQ(blkioq_do_io(g->q, NULL, 0, 0, NULL), 0);
}

/* The reads have been acknowledged before it vanishes, or they are sent to nobody. */
struct scene {
	enum wait wait;
	bool before;
};

/* The relay has read all requests, so its kernel has acknowledged them. */
static void be_acknowledged(struct rig *g)
{
	queue_reads(g);
	usleep(300000);
	relay_vanish(&g->r, false);
}

static void lose(struct device *d, const struct scene *s, int reconnect_ms, int want)
{
	struct rig g;
	int64_t start;

	begin(&g, d, s->wait, reconnect_ms, RELAY_SILENT);
	start = clock_ns();
	if (s->before) {
		be_acknowledged(&g);
	} else {
		relay_vanish(&g.r, false);
		queue_reads(&g);
	}
	relay_set(&g.r, RELAY_NONE, 0, 0); /* of the next connection */
	collect_each(g.q, s->wait, N, want);
	CHECK((clock_ns() - start) / MS >= LIMIT_MS / 2);
	if (want)
		CHECK_EQ(io_read(g.q, 0, g.buf, BLOCK, 0), want);
	end(&g);
}

static void fails(struct device *d)
{
	lose(d, test_data(), 0, -ENOTCONN);
}

static void comes_back(struct device *d)
{
	lose(d, test_data(), PATIENT_MS, 0);
}

static void stays_away(struct device *d)
{
	struct rig g;

	begin(&g, d, WAIT_BLOCK, LIMIT_MS / 2, RELAY_SILENT);
	relay_vanish(&g.r, true);
	queue_reads(&g);
	collect_each(g.q, WAIT_BLOCK, N, -ENOTCONN);
	end(&g);
}

/* ---- Machines that are there -------------------------------------------------------------- */

static void nothing_comes(struct rig *g)
{
	struct timespec limit = { .tv_sec = 3 * LIMIT_MS / 1000 };
	struct blkio_completion c;

	CHECK_ERR(blkioq_do_io(g->q, &c, 1, 1, &limit), ETIME, "0 of 1");
}

static void only_stopped(struct device *d)
{
	struct rig g;

	begin(&g, d, WAIT_BLOCK, 0, RELAY_SILENT);
	queue_reads(&g);
	nothing_comes(&g);
	end(&g);
}

/* Its window is full, so that it only acknowledges that it has no room. */
static void full(struct device *d)
{
	unsigned char seen[BIGS] = { 0 };
	struct rig g;

	begin(&g, d, WAIT_BLOCK, PATIENT_MS, RELAY_STUCK);
	for (int i = 0; i < BIGS; i++)
		blkioq_write(g.q, 0, g.buf, BIG, seen + i, 0);
	nothing_comes(&g);
	CHECK_EQ(g.r.nr, 1);
	end(&g);
}

/* A connection on which nothing was said for long is as good as any other. */
static void quiet_for_long(struct device *d)
{
	struct rig g;

	begin(&g, d, WAIT_BLOCK, 0, RELAY_NONE);
	usleep(3 * LIMIT_MS * 1000);
	for (int i = 0; i < N; i++)
		CHECK_EQ(io_read(g.q, 0, g.buf, BLOCK, 0), 0);
	end(&g);
}

#define SCENE(what, run, without, how, wait, before)                                               \
	{                                                                                          \
		what ", " how, run, T_NBD, without, .timeout = 60, .data = &(const struct scene)   \
		{                                                                                  \
			wait, before                                                               \
		}                                                                                  \
	}
#define SCENES(what, run, without)                                                                 \
	SCENE(what, run, without, "reads sent before, blocking", WAIT_BLOCK, true),                \
	    SCENE(what, run, without, "reads sent after, blocking", WAIT_BLOCK, false),            \
	    SCENE(what, run, without, "reads sent before, completion fd", WAIT_EVENT, true),       \
	    SCENE(what, run, without, "reads sent after, completion fd", WAIT_EVENT, false),       \
	    SCENE(what, run, without, "reads sent before, timeout", WAIT_TIMEOUT, true),           \
	    SCENE(what, run, without, "reads sent after, timeout", WAIT_TIMEOUT, false),           \
	    SCENE(what, run, without, "reads sent before, poll queue", WAIT_POLL_QUEUE, true),     \
	    SCENE(what, run, without, "reads sent after, poll queue", WAIT_POLL_QUEUE, false)

static const struct test vanish_tests[] = {
	SCENES("a machine vanishes", fails, 0),
	SCENES("a machine vanishes and comes back", comes_back, T_PLAIN),
	{ "a machine that stays away is given up", stays_away, T_NBD, T_PLAIN, .timeout = 60 },
	{ "a stopped server is waited for", only_stopped, T_NBD, T_PLAIN },
	{ "a server that reads nothing is waited for", full, T_NBD },
	{ "a quiet connection stays", quiet_for_long, T_NBD, T_PLAIN },
};
TEST_MAIN(vanish_tests)
