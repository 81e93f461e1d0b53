/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Targets that go: killed and started again under load, with every byte checked, in each way to
 * wait; targets that do not come back, or come back as something else. RECONNECTS in the
 * environment sets how often, for each way; 5 by default.
 */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"
#include "unit.h"
#include "ways.h"

enum { LEN = 64 << 10, BLOCK = 4096, N = 200, KILLS = 5 };

/* ---- Under load --------------------------------------------------------------------------- */

/* Targets die with the thread that started them: it waits to be joined. */
struct campaign {
	pthread_t thread;
	struct tgt *t;
	bool over, leave;
};

static void *kill_again_and_again(void *arg)
{
	const char *number = getenv("RECONNECTS");
	struct campaign *c = arg;

	for (int i = 0; i < (number ? atoi(number) : KILLS); i++) {
		usleep(20000 + i % 5 * 7000);
		tgt_kill(c->t);
		tgt_start(c->t);
	}
	__atomic_store_n(&c->over, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&c->leave, __ATOMIC_ACQUIRE))
		usleep(1000);
	tgt_kill(c->t);
	return NULL;
}

static void queue_all(struct blkioq *q, bool writes, char *buf, unsigned char *seen)
{
	memset(seen, 0, N);
	for (int i = 0; i < N; i++) {
		if (writes)
			blkioq_write(q, (uint64_t)i * BLOCK, buf + i * BLOCK, BLOCK, seen + i,
				     i % 8 ? 0 : BLKIO_REQ_FUA);
		else
			blkioq_read(q, (uint64_t)i * BLOCK, buf + i * BLOCK, BLOCK, seen + i, 0);
	}
}

/* Write all, read all back, until the target was killed often enough. */
static void write_and_read(struct blkioq *q, enum wait wait, const bool *over)
{
	char *buf = buffer(N * BLOCK);
	unsigned char seen[N];
	uint32_t seed = 0;

	do {
		pattern(buf, 0, N * BLOCK, ++seed);
		queue_all(q, true, buf, seen);
		collect_each(q, wait, N, 0);
		memset(buf, 0xee, N * BLOCK);
		queue_all(q, false, buf, seen);
		collect_each(q, wait, N, 0);
		check_pattern(buf, 0, N * BLOCK, seed);
	} while (!__atomic_load_n(over, __ATOMIC_ACQUIRE));
	buffer_free(buf);
}

static void killed_under_load(struct device *d)
{
	(void)d;
	for (enum wait wait = 0; wait < NR_WAITS; wait++) {
		struct tgt t = { 0 };
		struct campaign c = { .t = &t };
		struct blkioq *q;
		struct blkio *b;

		unit_start(&t);
		b = unit_create(&t, "");
		CHECK_OK(blkio_set_int(b, "reconnect-timeout", 60000));
		CHECK_OK(blkio_connect(b));
		CHECK_OK(blkio_set_int(b, "queue-size", 64));
		q = start_by(b, wait);
		CHECK_EQ(pthread_create(&c.thread, NULL, kill_again_and_again, &c), 0);
		write_and_read(q, wait, &c.over);
		blkio_destroy(&b);
		__atomic_store_n(&c.leave, true, __ATOMIC_RELEASE);
		CHECK_EQ(pthread_join(c.thread, NULL), 0);
	}
}

static void does_not_come_back(struct device *d)
{
	char *buf = buffer(N * BLOCK);

	(void)d;
	for (enum wait wait = 0; wait < NR_WAITS; wait++) {
		struct tgt t = { 0 };
		unsigned char seen[N];
		struct blkioq *q;
		struct blkio *b;

		unit_start(&t);
		b = unit_create(&t, "");
		CHECK_OK(blkio_set_int(b, "reconnect-timeout", 500));
		CHECK_OK(blkio_connect(b));
		q = start_by(b, wait);
		tgt_kill(&t);
		queue_all(q, true, buf, seen);
		collect_each(q, wait, N, -ENOTCONN);
		CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 0), ENOTCONN, "did not come back in time");
		blkio_destroy(&b);
	}
	buffer_free(buf);
}

/* ---- One request at a time --------------------------------------------------------------- */

static void unit_is_removed(struct device *d)
{
	struct tgt t = { 0 };
	char *buf = buffer(512);
	struct blkio *b;

	(void)d;
	unit_start(&t);
	b = unit_create(&t, "");
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, 512, 0), 0);
	CHECK(tgt_admin(&t, "--op delete --mode logicalunit --tid 1 --lun 1"));
	CHECK_IO_ERR(io_read(blkio_get_queue(b, 0), 0, buf, 512, 0), ENXIO, "LUN");
	blkio_destroy(&b);
	buffer_free(buf);
	tgt_kill(&t);
}

static void without_reconnecting(struct device *d)
{
	struct tgt t = { 0 };
	char *buf = buffer(LEN);
	struct blkio *b;

	(void)d;
	unit_start(&t);
	b = unit_create(&t, "");
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", 0));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	tgt_kill(&t);
	CHECK_IO_ERR(io_write(blkio_get_queue(b, 0), 0, buf, LEN, 0), ENOTCONN, "closed");
	CHECK_IO_ERR(io_read(blkio_get_queue(b, 0), 0, buf, LEN, 0), ENOTCONN, "closed");
	tgt_start(&t);
	CHECK_IO_ERR(io_flush(blkio_get_queue(b, 0), 0), ENOTCONN, "closed");
	CHECK_OK(blkio_add_queue(b));
	CHECK_EQ(io_write(blkio_get_queue(b, 1), 0, buf, LEN, 0), 0);
	blkio_destroy(&b);
	buffer_free(buf);
	tgt_kill(&t);
}

/* With the same file, but as another kind of unit. */
static void comes_back_different(struct device *d)
{
	static const struct {
		unsigned block_size;
		const char *params, *says;
	} kinds[] = {
		{ 4096, NULL, "block size" },
		{ 512, "readonly=1", "read-only" },
		{ 512, "thin_provisioning=1,scsi_id=another", "another one" },
	};
	char *buf = buffer(4096);

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct tgt t = { 0 };
		struct blkio *b;

		unit_start(&t);
		b = unit_create(&t, "");
		CHECK_OK(blkio_connect(b));
		CHECK_OK(blkio_start(b));
		tgt_kill(&t);
		t.block_size = kinds[i].block_size;
		t.params = kinds[i].params;
		tgt_start(&t);
		CHECK_IO_ERR(io_read(blkio_get_queue(b, 0), 0, buf, 4096, 0), ENODEV,
			     kinds[i].says);
		blkio_destroy(&b);
		tgt_kill(&t);
	}
	buffer_free(buf);
}

/* ---- Many requests ------------------------------------------------------------------------ */

enum { MANY = 32768, SEARCH_NS = 1000000000 };

/* What this thread has used of a CPU, however busy the machine is. */
static int64_t own_time_ns(void)
{
	struct timespec ts;

	SYS(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts));
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void collect_many(struct blkioq *q, int n)
{
	static struct blkio_completion c[MANY];

	for (int got; n; n -= got) {
		got = blkioq_do_io(q, c, 1, MANY, NULL);
		CHECK_OK(got);
		for (int i = 0; i < got; i++)
			CHECK_EQ(c[i].ret, 0);
	}
}

/* To hand them to libiscsi, which sorts them, must not take longer than the caller may wait. */
static void many_requests(struct device *d)
{
	struct tgt t = { 0 };
	char *buf = buffer(512);
	struct timespec ts = { 0 };
	struct blkio_completion c;
	struct blkioq *q;
	struct blkio *b;
	int64_t start;

	(void)d;
	unit_start(&t);
	b = unit_create(&t, "");
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_set_int(b, "queue-size", MANY));
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	SYS(kill(t.pid, SIGSTOP));
	for (int i = 0; i < MANY; i++)
		blkioq_read(q, 0, buf, 512, NULL, 0);
	start = own_time_ns();
	CHECK_ERR(blkioq_do_io(q, &c, 1, 1, &ts), ETIME);
	CHECK(own_time_ns() - start < SEARCH_NS);
	SYS(kill(t.pid, SIGCONT));
	collect_many(q, MANY);
	blkio_destroy(&b);
	buffer_free(buf);
	tgt_kill(&t);
}

/* ---- A queue that is added ---------------------------------------------------------------- */

/* The target is another one by then, and the instance has no "reconnect-timeout". */
static struct blkio *begin_and_replace(struct tgt *t, unsigned block_size, off_t size)
{
	struct blkio *b;

	*t = (struct tgt){ 0 };
	unit_start(t);
	b = unit_create(t, "");
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", 0));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	tgt_kill(t);
	SYS(truncate(unit_file(), size));
	t->block_size = block_size;
	tgt_start(t);
	return b;
}

static void added_with_another_size(struct device *d)
{
	char *buf = buffer(BLOCK);
	struct tgt t;
	struct blkio *b = begin_and_replace(&t, 512, 2 * UNIT_SIZE);

	(void)d;
	CHECK_EQ(blkio_add_queue(b), 1);
	CHECK_EQ(get_u64(b, "capacity"), 2 * UNIT_SIZE);
	CHECK_EQ(io_read(blkio_get_queue(b, 1), UNIT_SIZE, buf, BLOCK, 0), 0);
	CHECK_IO_ERR(io_read(blkio_get_queue(b, 1), 2 * UNIT_SIZE, buf, BLOCK, 0), EINVAL,
		     "capacity");
	blkio_destroy(&b);
	buffer_free(buf);
	tgt_kill(&t);
}

/* What it finds counts for the whole instance. */
static void added_to_another(struct device *d)
{
	char *buf = buffer(BLOCK);
	struct tgt t;
	struct blkio *b = begin_and_replace(&t, 4096, UNIT_SIZE);
	uint64_t capacity;

	(void)d;
	CHECK_ERR(blkio_add_queue(b), ENODEV, "block size");
	CHECK_IO_ERR(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), ENODEV, "block size");
	CHECK_ERR(blkio_get_uint64(b, "capacity", &capacity), ENODEV, "block size");
	blkio_destroy(&b);
	buffer_free(buf);
	tgt_kill(&t);
}

static const struct test tests[] = {
	{ "killed under load", killed_under_load, .timeout = 120 },
	{ "does not come back", does_not_come_back, .timeout = 60 },
	{ "a unit that is removed", unit_is_removed, 0 },
	{ "without reconnecting", without_reconnecting, 0 },
	{ "a unit that comes back different", comes_back_different, 0 },
	{ "many requests", many_requests, .timeout = 120 },
	{ "a queue that finds another size", added_with_another_size, 0 },
	{ "a queue that finds another unit", added_to_another, 0 },
};
TEST_MAIN(tests)
