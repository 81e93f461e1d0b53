/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The completion eventfd: what it is, when it fires, and an event loop that relies on nothing else.
 */
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"

enum { LEN = 4096 };

static void drain(int fd)
{
	uint64_t count;

	CHECK_EQ(read(fd, &count, sizeof(count)), sizeof(count));
}

static void is_a_private_eventfd(struct device *d)
{
	struct blkio *b = device_start_with(d, "num-queues", "2");
	int fd0 = blkioq_get_completion_fd(blkio_get_queue(b, 0));
	int fd1 = blkioq_get_completion_fd(blkio_get_queue(b, 1));
	uint64_t count;

	CHECK(fd0 >= 0 && fd1 >= 0 && fd0 != fd1);
	CHECK_EQ(blkioq_get_completion_fd(blkio_get_queue(b, 0)), fd0);
	CHECK(fcntl(fd0, F_GETFL) & O_NONBLOCK);
	CHECK(fcntl(fd0, F_GETFD) & FD_CLOEXEC);
	CHECK_EQ(read(fd0, &count, sizeof(count)), -1);
	CHECK_EQ(errno, EAGAIN);
	count = 1;
	CHECK_EQ(write(fd0, &count, sizeof(count)), sizeof(count));
	CHECK(readable(fd0, 0) && !readable(fd1, 0));
	drain(fd0);
	blkio_destroy(&b);
}

/*
 * Without sleeping, which has a virtio device signal: perhaps when nobody waits any more. The first
 * request of a queue has QEMU's servers signal in any case.
 */
static void read_awake(struct blkioq *q, char *buf)
{
	struct blkio_completion c;

	blkioq_read(q, 0, buf, LEN, NULL, 0);
	while (!blkioq_do_io(q, &c, 0, 1, NULL))
		sched_yield();
	CHECK_EQ(c.ret, 0);
}

static void silent_until_enabled(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	int fd = blkioq_get_completion_fd(q);
	char *buf = buffer(LEN);

	read_awake(q, buf);
	if (d->target->traits & T_VIRTIO && readable(fd, 200))
		drain(fd);
	for (int i = 0; i < 10; i++)
		read_awake(q, buf);
	CHECK(!readable(fd, 20));
	for (int i = 0; i < 10; i++)
		CHECK_EQ(io_read(q, 0, buf, LEN, 0), 0);
	if (!(d->target->traits & T_VIRTIO))
		CHECK(!readable(fd, 20));
	buffer_free(buf);
	blkio_destroy(&b);
}

/* Submit, poll, drain, collect: an application's event loop, which must never miss a completion. */
static void event_loop(struct blkioq *q, int fd, char *buf, int total, int max_per_call)
{
	struct blkio_completion c[32];
	char *free_bufs[32];
	int queued = 0, finished = 0;

	for (int i = 0; i < 32; i++)
		free_bufs[i] = buf + i * LEN;

	while (finished < total) {
		int n = 0;

		while (queued < total && queued - finished < 32) {
			char *own = free_bufs[31 - (queued - finished)];

			blkioq_read(q, (uint64_t)(queued % 32) * LEN, own, LEN, own, 0);
			queued++;
		}
		CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
		if (!readable(fd, 5000))
			FAIL("no event with %d requests outstanding", queued - finished);
		drain(fd);
		do {
			n = blkioq_do_io(q, c, 0, max_per_call, NULL);
			CHECK_OK(n);
			for (int i = 0; i < n; i++)
				free_bufs[32 - (queued - finished++)] = c[i].user_data;
		} while (n == max_per_call);
	}
	CHECK_EQ(finished, total);
}

static void drives_an_event_loop(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(32 * LEN);

	blkioq_set_completion_fd_enabled(q, true);
	event_loop(q, blkioq_get_completion_fd(q), buf, 2000, 32);
	event_loop(q, blkioq_get_completion_fd(q), buf, 2000, 3);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void with_a_tiny_ring(struct device *d)
{
	struct blkio *b = device_start_narrow(d, 2);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(32 * LEN);

	blkioq_set_completion_fd_enabled(q, true);
	event_loop(q, blkioq_get_completion_fd(q), buf, 500, 32);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* More completed than the caller took: the fd says so again, or poll() would sleep for ever. */
static void leftovers_signal_again(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	int fd = blkioq_get_completion_fd(q);
	char *buf = buffer(8 * LEN);
	struct blkio_completion c[8];
	int taken = 0;

	blkioq_set_completion_fd_enabled(q, true);
	for (int i = 0; i < 8; i++)
		blkioq_read(q, (uint64_t)i * LEN, buf + i * LEN, LEN, NULL, 0);
	taken = blkioq_do_io(q, c, 2, 2, NULL);
	CHECK_EQ(taken, 2);
	while (taken < 8) {
		int n;

		if (!readable(fd, 5000))
			FAIL("no event although only %d of 8 completions were taken", taken);
		drain(fd);
		n = blkioq_do_io(q, c, 0, 1, NULL);
		CHECK_OK(n);
		taken += n;
	}
	buffer_free(buf);
	blkio_destroy(&b);
}

/* Invalid requests never reach the device; their completions must wake the loop all the same. */
static void invalid_requests_signal_too(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	int fd = blkioq_get_completion_fd(q);
	int cookie;

	blkioq_set_completion_fd_enabled(q, true);
	blkioq_flush(q, &cookie, 1u << 31);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	CHECK(readable(fd, 5000));
	drain(fd);
	CHECK_EQ(io_finish(q, &cookie), -EINVAL);
	blkio_destroy(&b);
}

/* Completed while the fd was silent, taken by nobody yet: enabling makes up for it. */
static void enabling_covers_the_completed(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	int fd = blkioq_get_completion_fd(q);
	char *buf = buffer(LEN);
	int cookie;

	blkioq_read(q, 0, buf, LEN, &cookie, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	usleep(20000);
	blkioq_set_completion_fd_enabled(q, true);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	CHECK(readable(fd, 5000));
	drain(fd);
	CHECK_EQ(io_finish(q, &cookie), 0);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void can_be_switched_at_will(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	int fd = blkioq_get_completion_fd(q);
	char *buf = buffer(LEN);

	for (int round = 0; round < 20; round++) {
		int cookie;

		blkioq_set_completion_fd_enabled(q, true);
		blkioq_set_completion_fd_enabled(q, true);
		blkioq_read(q, 0, buf, LEN, &cookie, 0);
		CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
		CHECK(readable(fd, 5000));
		drain(fd);
		CHECK_EQ(io_finish(q, &cookie), 0);
		blkioq_set_completion_fd_enabled(q, false);
		blkioq_set_completion_fd_enabled(q, false);
		/* The one that finished the request may have signalled after we had seen it. */
		if (readable(fd, 0))
			drain(fd);
		CHECK_EQ(io_read(q, 0, buf, LEN, 0), 0);
		/* Another process or a device signals it, and may still have been about to. */
		if (!(d->target->traits & T_LATE))
			CHECK(!readable(fd, 1));
	}
	buffer_free(buf);
	blkio_destroy(&b);
}

/*
 * A full or spuriously signalled eventfd is no obstacle. (To qemu-storage-daemon it is: it gives up
 * on a queue that it cannot signal.)
 */
static void caller_may_write_to_it(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	int fd = blkioq_get_completion_fd(q);
	uint64_t most = UINT64_MAX - 1;
	char *buf = buffer(LEN);

	blkioq_set_completion_fd_enabled(q, true);
	CHECK_EQ(write(fd, &most, sizeof(most)), sizeof(most));
	CHECK_EQ(io_read(q, 0, buf, LEN, 0), 0);
	drain(fd);
	CHECK_EQ(io_read(q, 0, buf, LEN, 0), 0);
	buffer_free(buf);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "is a private eventfd", is_a_private_eventfd, T_ANY },
	{ "silent until enabled", silent_until_enabled, T_ANY },
	{ "drives an event loop", drives_an_event_loop, T_ANY },
	{ "drives an event loop with a tiny ring", with_a_tiny_ring, T_KERNEL },
	{ "leftovers signal again", leftovers_signal_again, T_ANY },
	{ "invalid requests signal too", invalid_requests_signal_too, T_ANY },
	{ "enabling covers the completed", enabling_covers_the_completed, T_ANY },
	{ "can be switched at will", can_be_switched_at_will, T_ANY },
	{ "the caller may write to it", caller_may_write_to_it, T_ANY, T_VIRTIO },
};
TEST_MAIN(tests)
