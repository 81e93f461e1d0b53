/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The way of requests through the core: order, limits, errors of the device, and what is waited
 * for. */
#include <malloc.h>
#include <unistd.h>

#include "fake.h"
#include "io.h"

enum { N = 100 };

static char memory[1 << 20];

static void queue_writes(struct blkioq *q, int n)
{
	for (int i = 0; i < n; i++)
		blkioq_write(q, (uint64_t)i, memory, 1, (void *)(intptr_t)i, 0);
}

/* The device sees requests first come, first served, however small its ring; each comes back. */
static void first_come_first_served(struct device *d)
{
	static const unsigned sizes[] = { 1, 2, 3, 7, 64, 99, 100 };
	struct blkio_completion c[N];

	(void)d;
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		for (unsigned per_enter = 0; per_enter < 3; per_enter++) {
			unsigned returned[N] = { 0 };
			struct blkio *b;
			struct blkioq *q;

			fake_reset();
			fake.ring_size = sizes[s];
			fake.finish_per_enter = per_enter;
			b = fake_start();
			q = blkio_get_queue(b, 0);
			queue_writes(q, N);
			CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
			CHECK_EQ(fake.nr_ops, N);
			for (unsigned i = 0; i < N; i++) {
				fake_check(i, BK_WRITE, i, 1);
				returned[(intptr_t)c[i].user_data]++;
			}
			for (unsigned i = 0; i < N; i++)
				CHECK_EQ(returned[i], 1);
			blkio_destroy(&b);
		}
	}
}

static int64_t fail_every_third(const struct fake_op *op, struct bk_req *r, unsigned index)
{
	(void)index;
	if (op->start % 3)
		return (int64_t)op->len;
	r->error_msg = "every third";
	return -ENOLINK;
}

static void errors_reach_their_request(struct device *d)
{
	struct blkio_completion c[N];
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.ring_size = 8;
	fake.result = fail_every_third;
	b = fake_start();
	q = blkio_get_queue(b, 0);
	for (int round = 0; round < 2; round++) {
		queue_writes(q, N);
		CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
		for (int i = 0; i < N; i++) {
			bool failed = (intptr_t)c[i].user_data % 3 == 0;

			CHECK_EQ(c[i].ret, failed ? -ENOLINK : 0);
			CHECK(failed == !!c[i].error_msg);
		}
	}
	blkio_destroy(&b);
}

/* The device reports trouble: do_io fails, and the next ones return every completion there is. */
static void error_loses_nothing(unsigned ring_size, int max)
{
	struct blkio_completion c[N];
	int taken = 0;
	struct blkio *b;
	struct blkioq *q;

	fake_reset();
	fake.ring_size = ring_size;
	fake.finish_per_enter = 5;
	fake.enter_error = EIO;
	fake.error_stays = true;
	b = fake_start();
	q = blkio_get_queue(b, 0);
	queue_writes(q, N);
	CHECK_EQ(blkioq_do_io(q, c, max, max, NULL), max < 10 ? max : -EIO);
	for (int i = 0; max < 10 && i < max; i++, taken++)
		CHECK_EQ((intptr_t)c[i].user_data, taken);
	fake.enter_error = 0;
	while (taken < N) {
		int n = blkioq_do_io(q, c, 1, N, NULL);

		CHECK_OK(n);
		for (int i = 0; i < n; i++)
			CHECK_EQ((intptr_t)c[i].user_data, taken + i);
		taken += n;
	}
	CHECK_EQ(taken, N);
	CHECK_EQ(blkioq_do_io(q, c, 1, N, NULL), -EINVAL); /* none is outstanding */
	blkio_destroy(&b);
}

/* With a backlog, without, and when what finished is enough, or more than there is room for. */
static void device_error_loses_nothing(struct device *d)
{
	(void)d;
	error_loses_nothing(16, N);
	error_loses_nothing(N, N);
	error_loses_nothing(N, 7);
	error_loses_nothing(N, 5);
	error_loses_nothing(N, 2);
}

/* Completions that are not enough yet stay in front of those that the rest of the wait brings. */
static void waiting_on_keeps_the_order(struct device *d)
{
	struct blkio_completion c[N];
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	for (unsigned per_enter = 1; per_enter <= N; per_enter++) {
		unsigned returned[N] = { 0 };
		int last[2] = { -1, -1 };

		fake_reset();
		b = fake_start();
		q = blkio_get_queue(b, 0);
		queue_writes(q, N); /* later, all are plain: none needs more memory */
		CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
		fake.finish_per_enter = per_enter;
		fake.result = fail_every_third;
		queue_writes(q, N);
		CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
		for (int i = 0; i < N; i++) {
			int id = (intptr_t)c[i].user_data;
			bool failed = id % 3 == 0;

			CHECK_EQ(c[i].ret, failed ? -ENOLINK : 0);
			CHECK(failed == !!c[i].error_msg);
			CHECK(id > last[failed]);
			last[failed] = id;
			CHECK_EQ(++returned[id], 1);
		}
		CHECK_EQ(blkioq_do_io(q, c, 0, N, NULL), 0);
		blkio_destroy(&b);
	}
}

/* Early returns, early time-outs and signals nobody asked about are no reason to stop. */
static void spurious_returns(struct device *d)
{
	static const int errors[] = { 0, EINTR, ETIME };
	struct blkio_completion c[N];

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		struct timespec ts = { 100, 0 };
		struct blkio *b;
		struct blkioq *q;

		fake_reset();
		fake.finish_per_enter = 1;
		fake.enter_error = errors[i];
		b = fake_start();
		q = blkio_get_queue(b, 0);
		queue_writes(q, N);
		CHECK_EQ(blkioq_do_io(q, c, N, N, &ts), N);
		CHECK(ts.tv_sec >= 90);
		blkio_destroy(&b);
	}
}

/* Completions that a failed call leaves behind wake an event loop that goes on to poll(). */
static void leftovers_of_a_failed_call_signal(struct device *d)
{
	struct timespec ts = { 0, 1 };
	struct blkio_completion c[N];
	uint64_t count;
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.finish_per_enter = 1;
	b = fake_start();
	q = blkio_get_queue(b, 0);
	blkioq_set_completion_fd_enabled(q, true);
	queue_writes(q, N);
	CHECK_EQ(blkioq_do_io(q, c, N, N, &ts), -ETIME);
	CHECK_EQ(read(blkioq_get_completion_fd(q), &count, sizeof(count)), sizeof(count));
	CHECK(blkioq_do_io(q, c, 0, N, NULL) > 0);
	blkio_destroy(&b);
}

static void interruption_is_reported_when_asked_for(struct device *d)
{
	struct blkio_completion c[N];
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.finish_per_enter = 1;
	b = fake_start();
	q = blkio_get_queue(b, 0);
	queue_writes(q, N);
	fake.enter_error = EINTR;
	fake.error_stays = true;
	CHECK_EQ(blkioq_do_io_interruptible(q, c, N, N, NULL, NULL), -EINTR);
	fake.enter_error = 0;
	CHECK_EQ(blkioq_do_io_interruptible(q, c, N, N, NULL, NULL), N);
	blkio_destroy(&b);
}

/* Never wait for more than was asked, nor enter once more than needed. */
static void waits_for_what_is_needed(struct device *d)
{
	struct blkio_completion c[N];
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	b = fake_start();
	q = blkio_get_queue(b, 0);
	queue_writes(q, 10);
	CHECK_EQ(blkioq_do_io(q, c, 4, N, NULL), 10);
	CHECK_EQ(fake.enters, 1);
	CHECK_EQ(fake.max_wait_nr, 4);

	fake.finish_per_enter = 3;
	fake.enters = 0;
	queue_writes(q, 10);
	CHECK(blkioq_do_io(q, c, 3, N, NULL) >= 3);
	CHECK_EQ(fake.enters, 1);
	blkio_destroy(&b);
}

static void max_bounds_what_is_returned(struct device *d)
{
	struct blkio_completion c[N];
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	b = fake_start();
	q = blkio_get_queue(b, 0);
	queue_writes(q, N);
	memset(c, 0xee, sizeof(c));
	CHECK_EQ(blkioq_do_io(q, c, 1, 7, NULL), 7);
	check_all(&c[7], sizeof(c[0]), 0xee);
	CHECK_EQ(blkioq_do_io(q, c, N - 7, N, NULL), N - 7);
	CHECK_EQ((intptr_t)c[0].user_data, 7);
	blkio_destroy(&b);
}

/* Request memory is reused: what is in flight at once decides how much there is. */
static void memory_stays_bounded(struct device *d)
{
	struct blkio_completion c[N];
	struct mallinfo2 before, after;
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	b = fake_start();
	q = blkio_get_queue(b, 0);
	queue_writes(q, N);
	CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
	before = mallinfo2();
	for (int i = 0; i < 1000; i++) {
		fake.nr_ops = 0;
		queue_writes(q, N);
		CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
	}
	after = mallinfo2();
	CHECK_EQ(after.uordblks, before.uordblks);
	blkio_destroy(&b);
}

/* ---- Limits ------------------------------------------------------------------------------- */

static void limits_are_enforced(struct device *d)
{
	struct iovec two[2] = { { memory, 4096 }, { memory + 8192, 4096 } };
	struct iovec three[3] = { { memory, 512 }, { memory, 512 }, { memory, 512 } };
	struct iovec long_one[2] = { { memory, 4096 }, { memory, 8192 } };
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.limits.request_alignment = 512;
	fake.limits.buf_alignment = 4;
	fake.limits.max_segments = 2;
	fake.limits.max_segment_len = 4096;
	fake.limits.max_transfer = 8192;
	fake.limits.max_discard_len = 65536;
	fake.limits.max_write_zeroes_len = 32768;
	b = fake_start();
	q = blkio_get_queue(b, 0);
	CHECK_IO_ERR(io_read(q, 0, memory, 4096 + 512, 0), EINVAL, "max-segment-len");
	CHECK_IO_ERR(io_readv(q, 0, long_one, 2, 0), EINVAL, "max-segment-len");
	CHECK_IO_ERR(io_readv(q, 0, three, 3, 0), EINVAL, "max-segments");
	CHECK_IO_ERR(io_discard(q, 0, 65536 + 512, 0), EINVAL, "max-discard-len");
	CHECK_IO_ERR(io_zeroes(q, 0, 32768 + 512, 0), EINVAL, "max-write-zeroes-len");
	CHECK_IO_ERR(io_write(q, 256, memory, 512, 0), EINVAL, "request-alignment");
	CHECK_IO_ERR(io_write(q, 0, memory + 2, 512, 0), EINVAL, "buf-alignment");
	CHECK_IO_ERR(io_write(q, 1 << 20, memory, 512, 0), EINVAL, "capacity");
	CHECK_IO_ERR(io_write(q, (1 << 20) - 512, memory, 1024, 0), EINVAL, "capacity");
	CHECK_IO_ERR(io_discard(q, UINT64_MAX - 511, 1024, 0), EINVAL, "capacity");
	CHECK_EQ(fake.nr_ops, 0); /* the device saw none of them */
	CHECK_EQ(io_readv(q, 0, two, 2, 0), 0);
	CHECK_EQ(io_write(q, (1 << 20) - 512, memory, 512, 0), 0);
	CHECK_EQ(io_discard(q, 0, 65536, 0), 0);
	CHECK_EQ(io_zeroes(q, 0, 32768, 0), 0);
	CHECK_EQ(fake.nr_ops, 4);
	blkio_destroy(&b);
}

static void max_transfer_is_enforced(struct device *d)
{
	struct iovec iov[2] = { { memory, 4096 }, { memory + 8192, 4097 } };
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.limits.max_transfer = 8192;
	b = fake_start();
	q = blkio_get_queue(b, 0);
	CHECK_IO_ERR(io_read(q, 0, memory, 8193, 0), EINVAL, "max-transfer");
	CHECK_IO_ERR(io_writev(q, 0, iov, 2, 0), EINVAL, "max-transfer");
	CHECK_EQ(fake.nr_ops, 0);
	CHECK_EQ(io_read(q, 0, memory, 8192, 0), 0);
	blkio_destroy(&b);
}

static void unsupported_operations(struct device *d)
{
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	fake_reset();
	fake.limits.ops = BK_OPS_RW;
	b = fake_start();
	q = blkio_get_queue(b, 0);
	CHECK_IO_ERR(io_discard(q, 0, 512, 0), ENOTSUP, "support");
	CHECK_IO_ERR(io_flush(q, 0), ENOTSUP, "support");
	CHECK_EQ(fake.nr_ops, 0);
	CHECK_EQ(io_zeroes(q, 0, 512, 0), 0); /* by writing */
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "first come, first served", first_come_first_served },
	{ "errors reach their request", errors_reach_their_request },
	{ "a device error loses nothing", device_error_loses_nothing },
	{ "waiting on keeps the order", waiting_on_keeps_the_order },
	{ "spurious returns", spurious_returns },
	{ "leftovers of a failed call signal", leftovers_of_a_failed_call_signal },
	{ "interruption is reported when asked for", interruption_is_reported_when_asked_for },
	{ "waits for what is needed", waits_for_what_is_needed },
	{ "max bounds what is returned", max_bounds_what_is_returned },
	{ "memory stays bounded", memory_stays_bounded },
	{ "limits are enforced", limits_are_enforced },
	{ "max-transfer is enforced", max_transfer_is_enforced },
	{ "unsupported operations", unsupported_operations },
};
TEST_MAIN(tests)
