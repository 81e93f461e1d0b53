/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Asynchronous control calls: the same results as the synchronous ones, on every driver. */
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"

enum {
	BLOCK = 4096,
	RACES = 1000,
	WARM_UP = 100,
	NOISE_BYTES = 24 << 10,
	CANCELS = 200,
	LIVES = 5,
	ROUNDS = 20
};

/* Sleep until it is over, as an event loop does. */
static int collect(struct blkio *b)
{
	struct pollfd p = { .fd = blkio_get_control_fd(b), .events = POLLIN };
	int ret;

	SYS(poll(&p, 1, -1));
	ret = blkio_control_result(b);
	CHECK_EQ(readable(p.fd, 0), 0);
	return ret;
}

/* fds: without the instance. */
static void end(struct blkio **bp, unsigned fds)
{
	struct pollfd p = { .events = POLLIN };

	CHECK_OK(blkio_destroy_async(bp, &p.fd));
	CHECK(!*bp);
	SYS(poll(&p, 1, -1));
	close(p.fd);
	await_fds(fds);
}

static void whole_life(struct device *d)
{
	unsigned fds = count_fds();
	struct blkio *b = device_create(d);
	struct blkio_mem_region r;
	int index;

	CHECK_ERR(blkio_control_result(b), EINVAL);
	CHECK_OK(blkio_connect_async(b));
	CHECK_OK(collect(b));
	CHECK_ERR(blkio_control_result(b), EINVAL);
	CHECK_OK(blkio_start_async(b));
	CHECK(!blkio_get_queue(b, 0));
	CHECK_OK(collect(b));
	CHECK_OK(blkio_alloc_mem_region(b, &r, 1 << 20));
	CHECK_OK(blkio_map_mem_region_async(b, &r));
	CHECK(blkio_get_queue(b, 0));
	CHECK_OK(collect(b));
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, r.addr, BLOCK, 0), 0);
	if (get_bool(b, "can-add-queues")) {
		CHECK_OK(blkio_add_queue_async(b));
		CHECK_EQ(index = collect(b), 1);
		CHECK_EQ(io_read(blkio_get_queue(b, index), 0, r.addr, BLOCK, 0), 0);
		CHECK_OK(blkio_remove_queue_async(b, index));
		CHECK_OK(collect(b));
		CHECK(!blkio_get_queue(b, index));
	}
	CHECK_OK(blkio_unmap_mem_region_async(b, &r));
	blkio_free_mem_region(b, &r); /* waits */
	CHECK_OK(collect(b));
	end(&b, fds);
}

/* Errors are those of the call, and their message reaches who collects. */
static void failures(struct device *d)
{
	struct blkio *b = device_create(d);
	struct blkio_mem_region r = { .addr = NULL, .len = 0, .fd = -1 };

	CHECK_OK(blkio_start_async(b));
	CHECK_ERR(collect(b), ENODEV, "connected");
	CHECK_OK(blkio_map_mem_region_async(b, &r));
	CHECK_ERR(collect(b), ENODEV);
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK_OK(blkio_connect_async(b));
	CHECK_ERR(collect(b), EBUSY, "started");
	CHECK_OK(blkio_map_mem_region_async(b, &r));
	CHECK_ERR(collect(b), EINVAL, "0");
	CHECK_OK(blkio_remove_queue_async(b, 7));
	CHECK_ERR(collect(b), ENOENT, "7");
	CHECK_ERR(blkio_map_mem_region_async(b, NULL), EINVAL, "region");
	blkio_destroy(&b);
}

/* All else is refused until the result is collected, whether or not the call is over. */
static void one_at_a_time(struct device *d)
{
	struct blkio *b = device_create(d);
	struct timespec none = { 0, 0 };
	struct blkio_mem_region r;
	bool value;

	CHECK_OK(blkio_connect_async(b));
	CHECK_ERR(blkio_connect_async(b), EBUSY, "blkio_control_result");
	CHECK_ERR(blkio_connect(b), EBUSY);
	CHECK_ERR(blkio_start(b), EBUSY);
	CHECK_ERR(blkio_drain(b, &none), EBUSY);
	CHECK_ERR(blkio_get_bool(b, "read-only", &value), EBUSY);
	CHECK_ERR(blkio_set_bool(b, "read-only", true), EBUSY);
	CHECK_ERR(blkio_alloc_mem_region(b, &r, BLOCK), EBUSY);
	CHECK_ERR(blkio_add_queue(b), EBUSY);
	CHECK_OK(collect(b));
	CHECK_OK(blkio_get_bool(b, "read-only", &value));
	CHECK_OK(blkio_start_async(b));
	blkio_destroy(&b); /* cancels */
}

static void nothing_is_null(void)
{
	struct blkio *none = NULL;
	int fd;

	CHECK_ERR(blkio_connect_async(NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_start_async(NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_map_mem_region_async(NULL, NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_unmap_mem_region_async(NULL, NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_add_queue_async(NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_add_poll_queue_async(NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_remove_queue_async(NULL, 0), EINVAL, "NULL");
	CHECK_ERR(blkio_remove_poll_queue_async(NULL, 0), EINVAL, "NULL");
	CHECK_ERR(blkio_get_control_fd(NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_control_result(NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_destroy_async(NULL, &fd), EINVAL, "NULL");
	CHECK_ERR(blkio_destroy_async(&none, &fd), EINVAL, "NULL");
	CHECK_ERR(blkio_destroy_async(&none, NULL), EINVAL, "NULL");
}

/* Neither a descriptor nor a thread can be had: nothing has changed. */
static void no_means(struct device *d)
{
	struct blkio *b = device_create(d);
	struct rlimit before, none;
	int fd;

	SYS(getrlimit(RLIMIT_NOFILE, &before));
	none = before;
	none.rlim_cur = 0;
	SYS(setrlimit(RLIMIT_NOFILE, &none));
	CHECK_ERR(blkio_connect_async(b), EMFILE, "control fd");
	CHECK_ERR(blkio_destroy_async(&b, &fd), EMFILE);
	SYS(setrlimit(RLIMIT_NOFILE, &before));
	drop_privileges();
	limit_processes(0);
	CHECK_ERR(blkio_connect_async(b), EAGAIN, "thread");
	CHECK_ERR(blkio_destroy_async(&b, &fd), EAGAIN, "thread");
	CHECK_ERR(blkio_control_result(b), EINVAL);
	CHECK_OK(blkio_connect(b));
	limit_processes(RLIM_INFINITY);
	CHECK_OK(blkio_start_async(b));
	CHECK_OK(collect(b));
	blkio_destroy(&b);
}

static void null_pointers(struct device *d)
{
	(void)d;
	nothing_is_null();
}

/* ---- Races -------------------------------------------------------------------------------- */

static void race_once(struct device *d, unsigned fds, unsigned *seed)
{
	struct blkio *b = device_create(d);

	CHECK_OK(blkio_connect_async(b));
	if (rand_r(seed) & 1)
		blkio_cancel(b);
	if (rand_r(seed) & 1 && !collect(b)) {
		CHECK_OK(blkio_start_async(b));
		if (rand_r(seed) & 1)
			blkio_cancel(b);
		if (rand_r(seed) & 1)
			collect(b);
	}
	if (rand_r(seed) & 1)
		end(&b, fds);
	blkio_destroy(&b);
}

/* Any order of calls, cancels, collections and ends, and nothing is left. */
static void random_races(struct device *d)
{
	unsigned fds = count_fds(), threads, seed = 1;
	/* Files are much alike, and there are many kinds. */
	int races = d->target->traits & T_KERNEL ? RACES / 5 : RACES;
	size_t bytes;

	for (int i = 0; i < WARM_UP; i++)
		race_once(d, fds, &seed);
	threads = count_threads(); /* with those of the thread sanitizer */
	bytes = mallinfo2().uordblks;
	for (int i = WARM_UP; i < races; i++)
		race_once(d, fds, &seed);
	CHECK_EQ(count_fds(), fds);
	while (count_threads() > threads)
		usleep(1000);
	CHECK(mallinfo2().uordblks < bytes + NOISE_BYTES);
}

/* ---- Cancelled at any time ------------------------------------------------------------------ */

static struct {
	pthread_mutex_t lock;
	struct blkio *b;  /* NULL: nothing to cancel */
	unsigned cancels; /* so far */
	bool ends;
} victim = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void *cancel_often(void *arg)
{
	bool ends;

	do {
		pthread_mutex_lock(&victim.lock);
		victim.cancels += victim.b != NULL;
		blkio_cancel(victim.b);
		ends = victim.ends || victim.cancels == CANCELS;
		pthread_mutex_unlock(&victim.lock);
		usleep(200);
	} while (!ends);
	return arg;
}

static void choose_victim(struct blkio *b)
{
	pthread_mutex_lock(&victim.lock);
	victim.b = b;
	pthread_mutex_unlock(&victim.lock);
}

/* Until a call fails. Cancelled, connect leaves the instance as it was. */
static int live(struct device *d, struct blkio *b)
{
	struct blkio_mem_region r;
	uint64_t capacity;
	int ret;

	do
		ret = blkio_connect(b);
	while (ret == -ECANCELED);
	if (!ret)
		ret = blkio_get_uint64(b, "capacity", &capacity);
	if (!ret)
		ret = blkio_start_async(b);
	if (!ret)
		ret = collect(b);
	if (!ret)
		ret = blkio_alloc_mem_region(b, &r, 1 << 20);
	if (!ret)
		ret = blkio_map_mem_region(b, &r);
	if (!ret)
		ret = io_read(blkio_get_queue(b, 0), 0, r.addr, BLOCK, 0);
	if (!ret)
		blkio_unmap_mem_region(b, &r);
	if (!ret && d->target->traits & T_ADD_QUEUES)
		ret = blkio_add_queue(b);
	if (ret == 1)
		ret = blkio_remove_queue(b, 1);
	return ret;
}

/* A call does what it should, or fails with ECANCELED. */
static void cancelled_at_any_time(struct device *d)
{
	pthread_t thread;
	struct blkio *b;
	unsigned lives = 0;
	int ret;

	victim.cancels = 0;
	CHECK_EQ(pthread_create(&thread, NULL, cancel_often, NULL), 0);
	do {
		b = device_create(d);
		choose_victim(b);
		ret = live(d, b);
		choose_victim(NULL);
		blkio_destroy(&b);
		/* A server that owed an answer. */
		if (ret == -EIO && d->target->traits & T_VHOST_USER)
			ret = -ECANCELED;
		CHECK(!ret || ret == -ECANCELED);
	} while (ret || ++lives < LIVES);
	pthread_mutex_lock(&victim.lock);
	victim.ends = true;
	pthread_mutex_unlock(&victim.lock);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* ---- A handler that knows the pointer ------------------------------------------------------- */

static struct blkio *shared;
static volatile sig_atomic_t may_cancel; /* connect gets through once it no longer may */

static void on_alarm(int sig)
{
	(void)sig;
	if (may_cancel <= 0)
		return;
	may_cancel--;
	blkio_cancel(*(struct blkio *volatile *)&shared);
}

static void set_alarms(int us)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerval often = { { 0, us }, { 0, us } };

	SYS(sigaction(SIGALRM, &action, NULL));
	SYS(setitimer(ITIMER_REAL, &often, NULL));
}

/* From its beginning, blkio_destroy() leaves nothing to cancel. */
static void destroyed_under_alarms(struct device *d)
{
	set_alarms(100);
	for (int i = 0; i < ROUNDS; i++) {
		int ret;

		shared = device_create(d);
		may_cancel = ROUNDS;
		do
			ret = blkio_connect(shared);
		while (ret == -ECANCELED);
		CHECK_OK(ret);
		may_cancel = ROUNDS;
		CHECK_OK(blkio_start_async(shared));
		blkio_destroy(&shared);
		CHECK(!shared);
	}
	set_alarms(0);
}

/* ---- Queues go on --------------------------------------------------------------------------- */

struct reader {
	struct blkioq *q;
	char *buf;
	bool ends;
	unsigned n;
};

static void *read_on(void *arg)
{
	struct reader *r = arg;

	while (!__atomic_load_n(&r->ends, __ATOMIC_RELAXED)) {
		CHECK_EQ(io_read(r->q, 0, r->buf, BLOCK, 0), 0);
		r->n++;
	}
	return NULL;
}

static void queues_go_on(struct device *d)
{
	struct blkio *b = device_start(d);
	struct reader r = { .q = blkio_get_queue(b, 0), .buf = buffer(BLOCK) };
	struct blkio_mem_region region;
	pthread_t thread;

	CHECK_OK(blkio_alloc_mem_region(b, &region, 1 << 20));
	CHECK_EQ(pthread_create(&thread, NULL, read_on, &r), 0);
	for (int i = 0; i < ROUNDS; i++) {
		CHECK_OK(blkio_map_mem_region_async(b, &region));
		CHECK_OK(collect(b));
		if (d->target->traits & T_ADD_QUEUES) {
			CHECK_OK(blkio_add_queue_async(b));
			CHECK_EQ(collect(b), 1);
			CHECK_OK(blkio_remove_queue_async(b, 1));
			CHECK_OK(collect(b));
		}
		CHECK_OK(blkio_unmap_mem_region_async(b, &region));
		CHECK_OK(collect(b));
	}
	__atomic_store_n(&r.ends, true, __ATOMIC_RELAXED);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK(r.n);
	blkio_destroy(&b);
	buffer_free(r.buf);
}

static const struct test tests[] = {
	{ "whole life", whole_life, T_ANY },
	{ "failures", failures, T_ANY },
	{ "one at a time", one_at_a_time, T_ANY },
	{ "NULL", null_pointers, 0 },
	{ "neither a descriptor nor a thread", no_means, T_ANY, T_PATH | T_URI },
	{ "random races", random_races, T_ANY, 0, 60 },
	{ "cancelled at any time", cancelled_at_any_time, T_ANY, 0, 60 },
	{ "destroyed under alarms", destroyed_under_alarms, T_ANY },
	{ "queues go on", queues_go_on, T_ANY, T_VDUSE },
};
TEST_MAIN(tests)
