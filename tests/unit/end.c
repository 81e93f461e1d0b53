/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The end of queues: how the core asks the driver, for how long, and what is left afterwards. */
#include "fake.h"
#include "sys.h"

enum { QUEUES = 4, MS = 1000000 };

static struct blkio *start_queues(void)
{
	struct blkio *b;

	fake_reset();
	b = fake_connect();
	CHECK_OK(blkio_set_int(b, "num-queues", QUEUES));
	CHECK_OK(blkio_start(b));
	return b;
}

/* One busy queue does not keep the others from being asked: they finish at the same time. */
static void all_are_asked_in_turn(struct device *d)
{
	struct blkio *b = start_queues();

	(void)d;
	fake.drain = BK_BUSY;
	fake.busy_for = QUEUES * 3;
	CHECK_EQ(blkio_drain(b, NULL), 0);
	CHECK_EQ(fake.drains, QUEUES * 4);
	CHECK(!fake.cancelled);
	blkio_destroy(&b);
	CHECK_EQ(fake.drains, QUEUES * 4); /* what is quiet stays so */
}

static void cancels_when_time_runs_out(struct device *d)
{
	struct timespec t = { .tv_nsec = 200 * MS };
	struct blkio *b = start_queues();
	int64_t begin = clock_ns();

	(void)d;
	fake.drain = BK_BUSY;
	fake.busy_for = UINT32_MAX;
	CHECK_ERR(blkio_drain(b, &t), ETIME, "in flight");
	CHECK(fake.cancelled);
	CHECK(fake.cancelled_at - begin >= 180 * MS);
	CHECK_EQ(t.tv_sec + t.tv_nsec, 0);
	/* Later it may be quiet all the same. */
	fake.busy_for = 0;
	CHECK_EQ(blkio_drain(b, &t), 0);
	blkio_destroy(&b);
}

/* A drain() that takes long, or a thread that is held, can use up all of the time. */
static void cancels_though_time_has_run_out(struct device *d)
{
	struct timespec t = { .tv_nsec = 20 * MS };
	struct blkio *b = start_queues();

	(void)d;
	fake.drain = BK_BUSY;
	fake.busy_for = QUEUES;
	fake.drain_takes_us = 30000;
	CHECK_OK(blkio_drain(b, &t));
	CHECK(fake.cancelled);
	blkio_destroy(&b);
}

static void does_not_wait_for_what_is_held(struct device *d)
{
	struct blkio *b = start_queues();
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_completion c;
	char buf[512];
	int64_t begin = clock_ns();

	(void)d;
	fake.drain = BK_HELD;
	CHECK_ERR(blkio_drain(b, NULL), ETIME, "in flight");
	CHECK_ERR(blkio_remove_queue(b, 0), ETIME, "not removed");
	CHECK(blkio_get_queue(b, 0) == q);
	blkioq_read(q, 0, buf, sizeof(buf), &c, 0);
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
	CHECK_EQ(c.ret, -ECANCELED);
	CHECK_EQ(fake.nr_ops, 0);
	CHECK_ERR(blkio_add_queue(b), ECANCELED, "drained");
	blkio_destroy(&b);
	CHECK(clock_ns() - begin < 4000LL * MS);
	CHECK_EQ(q->b->stuck, true); /* both are still there */
}

static void the_backlog_never_happens(struct device *d)
{
	struct blkio_completion c[8];
	struct blkio *b = start_queues();
	struct blkioq *q = blkio_get_queue(b, 0);
	char buf[512];

	(void)d;
	fake.ring_size = 2;
	for (int i = 0; i < 8; i++)
		blkioq_read(q, 0, buf, sizeof(buf), NULL, 0);
	CHECK_EQ(blkio_drain(b, NULL), 0);
	CHECK_EQ(fake.nr_ops, 2);
	CHECK_EQ(blkioq_do_io(q, c, 6, 8, NULL), 6);
	for (int i = 0; i < 6; i++)
		CHECK_EQ(c[i].ret, -ECANCELED);
	CHECK_ERR(blkioq_do_io(q, c, 1, 1, NULL), ECANCELED, "drained");
	blkio_destroy(&b);
}

static int64_t half(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	(void)r, (void)index;
	return op->len / 2;
}

/* Of a request of which a part is done when the drain begins, or is done by the drain. */
static void the_rest_never_happens(struct device *d)
{
	struct blkio_completion c[2];
	struct blkio *b = start_queues();
	struct blkioq *q = blkio_get_queue(b, 0);
	char buf[2048];

	(void)d;
	fake.drain_finishes = true;
	fake.finish_per_enter = 1;
	fake.result = half;
	fake.ring_size = 1;
	blkioq_read(q, 0, buf, sizeof(buf), NULL, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	CHECK(fake.nr_ops > 1 && fake.nr_ops < 10); /* half of it, and half of the rest, ... */
	fake_check(1, BK_READ, 1024, 1024);
	blkioq_write(q, 0, buf, sizeof(buf), NULL, 0);
	fake.nr_ops = 0;
	CHECK_EQ(blkio_drain(b, NULL), 0);
	CHECK_EQ(fake.nr_ops, 0);
	CHECK_EQ(blkioq_do_io(q, c, 2, 2, NULL), 2);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(c[i].ret, -ECANCELED);
	blkio_destroy(&b);
}

static void bad_timeouts(struct device *d)
{
	struct timespec t = { .tv_sec = -1 };
	struct blkio *b;

	(void)d;
	fake_reset();
	b = fake_connect();
	CHECK_ERR(blkio_drain(NULL, NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_drain(b, &t), EINVAL, "timeout");
	CHECK_EQ(blkio_drain(b, NULL), 0); /* nothing to end yet, and nothing ended */
	CHECK_OK(blkio_start(b));
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "all queues are asked in turn", all_are_asked_in_turn },
	{ "requests are cancelled when the time runs out", cancels_when_time_runs_out },
	{ "requests are cancelled though the time has run out", cancels_though_time_has_run_out },
	{ "what is held is not waited for, and kept", does_not_wait_for_what_is_held },
	{ "the backlog never happens", the_backlog_never_happens },
	{ "the rest of a request never happens", the_rest_never_happens },
	{ "timeouts and states", bad_timeouts },
};
TEST_MAIN(tests)
