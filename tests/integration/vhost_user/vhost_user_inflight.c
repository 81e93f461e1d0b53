/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reconnecting to servers that track what is in flight: one dies at every step of what it does, and
 * its successor finds all there is to do, and no more.
 */
#include <unistd.h>

#include "io.h"
#include "test.h"
#include "tracker.h"

enum { BLOCK = 4096, N = 100 };

static const struct {
	const char *name;
	bool packed, indirect;
} kinds[] = {
	{ "split", false, false },
	{ "split, indirect", false, true },
	{ "packed, indirect", true, true },
};

static struct blkio *start(struct tracker *t, bool poll)
{
	struct blkio *b;

	CHECK_OK(blkio_create("virtio-blk-vhost-user", &b));
	CHECK_OK(blkio_set_str(b, "path", t->socket));
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", 20000));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_set_int(b, "queue-size", 32));
	CHECK_OK(blkio_set_int(b, "num-queues", !poll));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", poll));
	CHECK_OK(blkio_start(b));
	return b;
}

static int queue_all(struct blkioq *q, char *buf, unsigned char *seen, bool write)
{
	for (int i = 0; i < N; i++) {
		if (write)
			blkioq_write(q, (uint64_t)i * BLOCK, buf + i * BLOCK, BLOCK, seen + i, 0);
		else
			blkioq_read(q, (uint64_t)i * BLOCK, buf + i * BLOCK, BLOCK, seen + i, 0);
	}
	return N;
}

/* Wait for all requests; whenever the server has died, start another, for so many deaths. */
static int collect_all(struct blkioq *q, struct tracker *t, unsigned steps, int deaths)
{
	struct blkio_completion c[N];
	int died = 0;

	for (int left = N; left;) {
		struct timespec ts = { 0, 2000000 };
		int n = blkioq_do_io(q, c, 1, N, &ts);

		CHECK(n >= 0 || n == -ETIME);
		for (int i = 0; i < n; i++) {
			CHECK_EQ(c[i].ret, 0);
			CHECK_EQ(++*(unsigned char *)c[i].user_data, 1);
		}
		left -= n > 0 ? n : 0;
		if (tracker_is_dead(t))
			tracker_start(t, ++died < deaths ? steps : 0);
	}
	return died;
}

static void one_death(struct tracker *t, unsigned steps, bool poll)
{
	unsigned char seen[2][N] = { 0 };
	unsigned before = t->shared->executed;
	struct blkio_mem_region region;
	struct blkio *b;
	struct blkioq *q;
	char *buf;
	int died;

	tracker_start(t, 0);
	b = start(t, poll);
	q = poll ? blkio_get_poll_queue(b, 0) : blkio_get_queue(b, 0);
	CHECK_OK(blkio_alloc_mem_region(b, &region, N * BLOCK));
	CHECK_OK(blkio_map_mem_region(b, &region));
	buf = region.addr;
	memset(t->shared->disk, 0, DEVICE_SIZE);
	__atomic_store_n(&t->shared->steps_left, steps, __ATOMIC_RELEASE);

	pattern(buf, 0, N * BLOCK, steps);
	queue_all(q, buf, seen[0], true);
	died = collect_all(q, t, steps, 3);
	CHECK_EQ(memcmp(t->shared->disk, buf, N * BLOCK), 0);
	__atomic_store_n(&t->shared->steps_left, steps, __ATOMIC_RELEASE);
	memset(buf, 0xee, N * BLOCK);
	queue_all(q, buf, seen[1], false);
	died += collect_all(q, t, steps, 3);
	check_pattern(buf, 0, N * BLOCK, steps);

	/* Again is only what a server had begun. */
	CHECK(t->shared->executed - before >= 2 * N);
	CHECK(t->shared->executed - before <= 2 * N + (unsigned)died * TRACKER_BATCH);
	CHECK(died >= 1);
	blkio_destroy(&b);
	tracker_kill(t);
}

static void dies_at_each_step(struct device *d)
{
	static struct tracker t;

	(void)d;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		tracker_init(&t, kinds[k].packed, kinds[k].indirect);
		for (unsigned steps = 1; steps <= 40; steps++)
			one_death(&t, steps, steps % 3 == 0);
		printf("%s: %u resubmitted\n", kinds[k].name, t.shared->resubmitted);
		CHECK(t.shared->resubmitted > 0);
		tracker_exit(&t);
	}
}

static const struct test tests[] = {
	{ "server dies at each step", dies_at_each_step, .timeout = 120 },
};
TEST_MAIN(tests)
