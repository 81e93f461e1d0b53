/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Several queues: their numbers, adding and removing them, poll queues, a thread for each. */
#include <pthread.h>

#include "io.h"
#include "test.h"

enum { BLOCK = 4096 };

static void numbers(struct device *d)
{
	struct blkio *b = device_start_with(d, "num-queues", "3");

	CHECK(blkio_get_queue(b, 0) && blkio_get_queue(b, 1) && blkio_get_queue(b, 2));
	CHECK(blkio_get_queue(b, 0) != blkio_get_queue(b, 1));
	CHECK(blkio_get_queue(b, 1) == blkio_get_queue(b, 1));
	CHECK(!blkio_get_queue(b, 3));
	CHECK(!blkio_get_queue(b, -1));
	CHECK(!blkio_get_queue(b, INT32_MAX));
	CHECK(!blkio_get_queue(b, INT32_MIN));
	CHECK(!blkio_get_poll_queue(b, 0));
	for (int i = 0; i < 3; i++)
		CHECK_EQ(io_flush(blkio_get_queue(b, i), 0), 0);
	blkio_destroy(&b);
}

static void add_and_remove(struct device *d)
{
	struct blkio *b = device_start_with(d, "num-queues", "2");
	struct blkioq *q1 = blkio_get_queue(b, 1);

	CHECK(get_bool(b, "can-add-queues"));
	CHECK_EQ(blkio_add_queue(b), 2);
	CHECK_EQ(blkio_add_queue(b), 3);
	CHECK_EQ(blkio_remove_queue(b, 0), 0);
	CHECK(!blkio_get_queue(b, 0));
	CHECK(blkio_get_queue(b, 1) == q1); /* the others keep their index, and their address */
	CHECK_EQ(blkio_remove_queue(b, 2), 0);
	CHECK_ERR(blkio_remove_queue(b, 2), ENOENT, "2");
	CHECK_ERR(blkio_remove_queue(b, 77), ENOENT, "77");
	CHECK_ERR(blkio_remove_queue(b, -1), ENOENT, "-1");
	CHECK_EQ(io_flush(q1, 0), 0);
	CHECK_EQ(blkio_add_queue(b), 0); /* the lowest free one */
	CHECK_EQ(blkio_add_queue(b), 2);
	CHECK_EQ(get_int(b, "num-queues"), 2);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(io_flush(blkio_get_queue(b, i), 0), 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(blkio_remove_queue(b, i), 0);
	CHECK_EQ(blkio_add_queue(b), 0);
	blkio_destroy(&b);
}

static void none_at_first(struct device *d)
{
	struct blkio *b = device_start_with(d, "num-queues", "0");

	CHECK(!blkio_get_queue(b, 0));
	CHECK_EQ(get_int(b, "num-queues"), 0);
	CHECK_EQ(blkio_add_queue(b), 0);
	CHECK_EQ(get_int(b, "num-queues"), 0);
	CHECK_EQ(io_flush(blkio_get_queue(b, 0), 0), 0);
	blkio_destroy(&b);
}

static void many_times(struct device *d)
{
	struct blkio *b = device_start_with(d, "num-queues", "0");
	char *buf = buffer(BLOCK);

	for (int round = 0; round < 300; round++) {
		CHECK_EQ(blkio_add_queue(b), 0);
		CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
		CHECK_EQ(blkio_remove_queue(b, 0), 0);
	}
	buffer_free(buf);
	blkio_destroy(&b);
}

static void removed_with_requests_in_flight(struct device *d)
{
	struct blkio *b = device_start_with(d, "num-queues", "2");
	struct blkioq *q = blkio_get_queue(b, 1);
	char *buf = buffer(500 * BLOCK);

	for (uint64_t i = 0; i < 500; i++)
		blkioq_read(q, i * BLOCK, buf + i * BLOCK, BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	CHECK_EQ(blkio_remove_queue(b, 1), 0);
	buffer_free(buf);
	CHECK_EQ(io_flush(blkio_get_queue(b, 0), 0), 0);
	blkio_destroy(&b);
}

/* ---- Threads ------------------------------------------------------------------------------ */

struct worker {
	pthread_t thread;
	struct blkioq *q;
	uint32_t seed;
	uint64_t start; /* of the worker's own part of the device */
	bool stores;
};

static void *work(void *arg)
{
	enum { DEPTH = 8, ROUNDS = 150 };
	struct worker *w = arg;
	struct blkio_completion c[DEPTH];
	char *buf = buffer(DEPTH * BLOCK);

	for (uint32_t round = 0; round < ROUNDS; round++) {
		pattern(buf, w->start, DEPTH * BLOCK, w->seed + round);
		for (uint64_t i = 0; i < DEPTH; i++)
			blkioq_write(w->q, w->start + i * BLOCK, buf + i * BLOCK, BLOCK, w, 0);
		CHECK_EQ(blkioq_do_io(w->q, c, DEPTH, DEPTH, NULL), DEPTH);
		for (int i = 0; i < DEPTH; i++) {
			CHECK_EQ(c[i].ret, 0);
			CHECK(c[i].user_data == w);
		}
		memset(buf, 0xee, DEPTH * BLOCK);
		for (uint64_t i = 0; i < DEPTH; i++)
			blkioq_read(w->q, w->start + i * BLOCK, buf + i * BLOCK, BLOCK, w, 0);
		CHECK_EQ(blkioq_do_io(w->q, c, DEPTH, DEPTH, NULL), DEPTH);
		if (w->stores)
			check_pattern(buf, w->start, DEPTH * BLOCK, w->seed + round);
	}
	buffer_free(buf);
	return NULL;
}

static void a_thread_per_queue(struct device *d)
{
	enum { N = 4 };
	struct blkio *b = device_start_with(d, "num-queues", "4");
	struct worker w[N];

	for (int i = 0; i < N; i++) {
		w[i] = (struct worker){ .q = blkio_get_queue(b, i),
					.seed = (uint32_t)i * 1000,
					.start = (uint64_t)i << 20,
					.stores = d->target->traits & T_STORES };
		CHECK_EQ(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (int i = 0; i < N; i++)
		CHECK_EQ(pthread_join(w[i].thread, NULL), 0);
	blkio_destroy(&b);
}

/* A queue belongs to no thread: one after the other may use it, also with requests in flight. */
static void handed_from_thread_to_thread(struct device *d)
{
	struct blkio *b = device_start(d);
	struct worker w = { .q = blkio_get_queue(b, 0), .stores = d->target->traits & T_STORES };
	char *buf = buffer(BLOCK);
	struct blkio_completion c;

	for (int i = 0; i < 3; i++) {
		CHECK_EQ(pthread_create(&w.thread, NULL, work, &w), 0);
		CHECK_EQ(pthread_join(w.thread, NULL), 0);
		CHECK_EQ(io_read(w.q, 0, buf, BLOCK, 0), 0);
	}
	blkioq_read(w.q, 0, buf, BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(w.q, NULL, 0, 0, NULL), 0);
	CHECK_EQ(blkioq_do_io(w.q, &c, 1, 1, NULL), 1);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* ---- Poll queues -------------------------------------------------------------------------- */

static void use_poll_queues(struct device *d, struct blkio *b)
{
	struct blkio_completion c;
	struct blkioq *q;
	char *buf = buffer(BLOCK);

	CHECK_OK(blkio_set_int(b, "num-queues", 0));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", 2));
	CHECK_OK(blkio_start(b));
	CHECK(!blkio_get_queue(b, 0));
	q = blkio_get_poll_queue(b, 1);
	CHECK(q && blkio_get_poll_queue(b, 0) && !blkio_get_poll_queue(b, 2));
	CHECK_EQ(blkioq_get_completion_fd(q), -1);
	blkioq_set_completion_fd_enabled(q, true); /* without effect */
	for (int i = 0; i < 100; i++)
		CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	blkioq_read(q, 0, buf, BLOCK, NULL, 0);
	CHECK_ERR(blkioq_do_io_interruptible(q, &c, 1, 1, NULL, NULL), ENOTSUP, "poll");
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
	CHECK_EQ(blkioq_do_io_interruptible(q, NULL, 0, 0, NULL, NULL), 0);
	if (d->target->traits & T_ADD_QUEUES) {
		CHECK_EQ(blkio_add_poll_queue(b), 2);
		CHECK_OK(blkio_remove_poll_queue(b, 0));
		CHECK_ERR(blkio_remove_poll_queue(b, 0), ENOENT, "0");
		CHECK_EQ(blkio_add_poll_queue(b), 0);
		CHECK_EQ(blkio_add_queue(b), 0); /* numbered separately */
	}
	if (d->target->traits & T_IO_URING) {
		CHECK_EQ(io_flush(q, 0), -ENOTSUP);
		CHECK_EQ(io_discard(q, 0, BLOCK, 0), -ENOTSUP);
		CHECK_EQ(io_zeroes(q, 0, BLOCK, BLKIO_REQ_NO_FALLBACK), -ENOTSUP);
	}
	buffer_free(buf);
}

static void refuse_poll_queues(struct blkio *b)
{
	CHECK_OK(blkio_set_int(b, "num-poll-queues", 1));
	CHECK_ERR(blkio_start(b), EINVAL, "num-poll-queues", "1");
	CHECK_OK(blkio_set_int(b, "num-poll-queues", 0));
	CHECK_OK(blkio_start(b));
	CHECK_ERR(blkio_add_poll_queue(b), ENOTSUP, "poll");
	CHECK(!blkio_get_poll_queue(b, 0));
}

static void poll_queues_or_the_right_error(struct device *d)
{
	struct blkio *b = device_connect(d);

	if (get_bool(b, "supports-poll-queues"))
		use_poll_queues(d, b);
	else
		refuse_poll_queues(b);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "numbers", numbers, T_ANY },
	{ "add and remove", add_and_remove, T_ADD_QUEUES },
	{ "none at first", none_at_first, T_ADD_QUEUES },
	{ "added and removed many times", many_times, T_ADD_QUEUES, 0, 60 },
	{ "removed with requests in flight", removed_with_requests_in_flight, T_ADD_QUEUES },
	{ "a thread per queue", a_thread_per_queue, T_ANY },
	{ "handed from thread to thread", handed_from_thread_to_thread, T_ANY },
	{ "poll queues, or the right error", poll_queues_or_the_right_error, T_ANY },
};
TEST_MAIN(tests)
