/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * nvme-io_uring when the controller is reset or removed under load: each request completes, once,
 * and nothing hangs. TEST_DISK; the device is there again afterwards.
 */
#include <limits.h>
#include <pthread.h>
#include <unistd.h>

#include "ns.h"

#define BLOCK	4096u
#define DEPTH	64u
#define AREA	(DEPTH * BLOCK)
#define WARM_UP 500u /* requests */

#define CONTROLLER "/sys/class/nvme/nvme0/"

/* What happens to the controller once there is load. */
struct event {
	const char *sysfs;
	pthread_t thread;
	bool started, over;
};

static void *happen(void *arg)
{
	struct event *e = arg;

	write_sysfs(e->sysfs, "1"); /* takes until it is done */
	__atomic_store_n(&e->over, true, __ATOMIC_RELEASE);
	return NULL;
}

/* DEPTH requests, each with its own block: i reads or writes block i. */
struct load {
	struct blkioq *q;
	char *buf;
	unsigned in_flight, done, failed;
	bool busy[DEPTH];
	int error;
	const char *msg;
};

static void submit(struct load *l, uintptr_t i, unsigned round)
{
	uint64_t start = i * BLOCK;

	CHECK(!l->busy[i]);
	l->busy[i] = true;
	l->in_flight++;
	if (round % 2)
		blkioq_read(l->q, start, l->buf + start, BLOCK, (void *)i, 0);
	else
		blkioq_write(l->q, start, l->buf + start, BLOCK, (void *)i, 0);
}

static int wait_for_some(struct load *l, struct blkio_completion *c)
{
	int n = blkioq_do_io(l->q, c, 1, DEPTH, NULL);

	CHECK_OK(n);
	for (int k = 0; k < n; k++) {
		uintptr_t i = (uintptr_t)c[k].user_data;

		CHECK(i < DEPTH && l->busy[i]);
		l->busy[i] = false;
		l->in_flight--;
		l->done++;
		if (c[k].ret) {
			l->failed++;
			l->error = c[k].ret;
			l->msg = c[k].error_msg;
		}
	}
	return n;
}

/* Keep the queue full through the event: until it is over, or something failed. */
static void run(struct load *l, const char *sysfs)
{
	struct event e = { .sysfs = sysfs };
	struct blkio_completion c[DEPTH];
	unsigned done_then = UINT_MAX;

	for (uintptr_t i = 0; i < DEPTH; i++)
		submit(l, i, 0);
	while (l->in_flight) {
		int n = wait_for_some(l, c);

		if (!e.started && l->done >= WARM_UP) {
			e.started = true;
			CHECK_EQ(pthread_create(&e.thread, NULL, happen, &e), 0);
		}
		if (done_then == UINT_MAX && __atomic_load_n(&e.over, __ATOMIC_ACQUIRE))
			done_then = l->done;
		for (int k = 0; k < n; k++) {
			if (!l->failed && (done_then == UINT_MAX || l->done - done_then < WARM_UP))
				submit(l, (uintptr_t)c[k].user_data, l->done);
		}
	}
	CHECK(e.started);
	CHECK_EQ(pthread_join(e.thread, NULL), 0);
	printf("%u done, %u failed, the last with %d: %s\n", l->done, l->failed, l->error,
	       l->msg ? l->msg : "");
}

static void init_load(struct load *l, struct blkioq *q)
{
	*l = (struct load){ .q = q, .buf = buffer(AREA) };
	pattern(l->buf, 0, AREA, 1);
}

/* ---- Reset -------------------------------------------------------------------------------- */

/* What the reset cancelled is sent again: nobody notices. */
static void controller_reset(struct device *d)
{
	struct blkio *b = ns_start();
	struct load l;

	(void)d;
	init_load(&l, blkio_get_queue(b, 0));
	run(&l, CONTROLLER "reset_controller");
	CHECK_EQ(l.failed, 0);
	check_pattern(l.buf, 0, AREA, 1);
	disk_peek(0, l.buf, AREA);
	check_pattern(l.buf, 0, AREA, 1);
	free(l.buf);
	blkio_destroy(&b);
}

/* ---- Removal ------------------------------------------------------------------------------ */

/* The namespace's character device comes last. */
static bool is_live(void)
{
	FILE *f = fopen(CONTROLLER "state", "re");
	char state[16] = "";
	bool live = f && fgets(state, sizeof(state), f) && !strcmp(state, "live\n");

	if (f)
		fclose(f);
	return live && !access(disk_path(), F_OK) && !access(ns_generic(), F_OK);
}

static void bring_back(void)
{
	write_sysfs("/sys/bus/pci/rescan", "1");
	for (int i = 0; i < 600 && !is_live(); i++)
		usleep(100 * 1000);
	CHECK(is_live());
}

static void removed(const char *prop)
{
	struct blkio *b = ns_connect();
	struct blkioq *q;
	struct load l;
	uint64_t capacity;

	if (prop)
		CHECK_OK(blkio_set_bool(b, prop, true));
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	init_load(&l, q);
	run(&l, CONTROLLER "device/remove");
	CHECK(l.failed > 0 && l.done > l.failed);
	CHECK(l.error == -ENODEV || l.error == -ENXIO || l.error == -EIO);

	/* It stays so. */
	CHECK(io_read(q, 0, l.buf, BLOCK, 0) < 0);
	CHECK(io_flush(q, 0) < 0);
	CHECK(blkio_get_uint64(b, "capacity", &capacity) < 0);
	/* Requests that nobody waits for don't keep the queue from ending. */
	for (uintptr_t i = 0; i < DEPTH; i++)
		submit(&l, i, 1);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	blkio_destroy(&b);
	free(l.buf);

	bring_back();
	b = ns_start();
	blkio_destroy(&b);
}

static void device_removed(struct device *d)
{
	(void)d;
	removed(NULL);
}

static void device_removed_single_issuer(struct device *d)
{
	(void)d;
	removed("single-issuer");
}

static void device_removed_while_polled(struct device *d)
{
	struct blkio *b = ns_connect();
	struct load l;

	(void)d;
	CHECK_OK(blkio_set_int(b, "num-poll-queues", 1));
	CHECK_OK(blkio_start(b));
	init_load(&l, blkio_get_poll_queue(b, 0));
	run(&l, CONTROLLER "device/remove");
	CHECK(l.failed > 0 && l.done > l.failed);
	CHECK(io_read(l.q, 0, l.buf, BLOCK, 0) < 0);
	blkio_destroy(&b);
	free(l.buf);
	bring_back();
}

static const struct test tests[] = {
	{ "controller reset", controller_reset },
	{ "device removed", device_removed },
	{ "device removed, single-issuer", device_removed_single_issuer },
	{ "device removed while polled", device_removed_while_polled },
};
TEST_MAIN(tests)
