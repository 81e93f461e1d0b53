/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A control call keeps its caller no longer than "connect-timeout" says, and not at all if it is
 * asynchronous; blkio_cancel() ends it. Each call of each driver with a server is a row, against a
 * server that is stopped or dead.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "control_calls.h"
#include "hold.h"

#define MS 1000000LL

enum { LEN = 4096, LIMIT_MS = 500, END_MS = 5000, OFTEN_US = 10000 };

static struct blkio *to_cancel;

static enum need need_of(const struct setting *s)
{
	const struct call *c = s->about;

	return s->d->target->traits & T_NETWORK ? c->nbd : c->vhost_user;
}

static int map_guest(struct setting *s, enum from from)
{
	int ret;

	if (!(s->d->target->traits & T_VRINGS))
		return 0;
	if (!control_guest.ram.addr)
		guest_init(&control_guest, 1ULL << 32);
	ret = blkio_map_mem_region(s->b, &control_guest.ram);
	return ret < 0 || from != RUNNING ? ret : control_start_vring(s->b);
}

static void forget_guest(void)
{
	if (control_guest.ram.addr)
		guest_exit(&control_guest);
	control_guest.ram.addr = NULL;
}

/* Three queues, which are three connections to an NBD server. */
static int try_prepare(struct setting *s, enum from from, int limit_ms)
{
	int ret;

	s->b = device_create(s->d);
	CHECK_OK(blkio_set_int(s->b, "connect-timeout", limit_ms));
	if (from == CREATED)
		return 0;
	ret = blkio_connect(s->b);
	if (ret < 0)
		return ret;
	CHECK_OK(blkio_set_int(s->b, "num-queues", 2));
	CHECK_OK(blkio_set_int(s->b, "num-poll-queues", 1));
	if (s->d->target->traits & T_VRINGS)
		CHECK_OK(blkio_set_int(s->b, "num-vrings", 1));
	if (from == CONNECTED)
		return 0;
	ret = blkio_start(s->b);
	if (ret < 0)
		return ret;
	for (int i = 0; i < 2; i++)
		CHECK_OK(blkio_alloc_mem_region(s->b, &control_regions[i], LEN));
	ret = blkio_map_mem_region(s->b, &control_regions[1]);
	return ret < 0 ? ret : map_guest(s, from);
}

/* On a busy machine, a good server may not keep to the limit either. */
static void prepare(struct setting *s, enum from from, int limit_ms)
{
	int ret;

	while ((ret = try_prepare(s, from, limit_ms)) == -ETIMEDOUT)
		blkio_destroy(&s->b);
	CHECK_OK(ret);
}

static void silence_peer(struct setting *s)
{
	if (s->condition == PEER_DEAD)
		qsd_kill(&s->d->server);
	else
		qsd_stop(&s->d->server);
}

/* "add queue" where there is nothing to add. */
static bool is_refused(int ret)
{
	return ret == -ENOTSUP || ret == -ENOSPC;
}

/* The state is as before, but for a vhost-user server that owes an answer. */
static void make_again(struct setting *s)
{
	const struct call *c = s->about;
	int ret;

	kill(s->d->server.pid, SIGCONT);
	if (need_of(s) != FAILS)
		return;
	do
		ret = c->now(s->b);
	while (ret == -ETIMEDOUT); /* as above */
	if (c->from == CREATED || s->d->target->traits & T_NETWORK)
		CHECK_OK(ret);
	else
		CHECK_EQ(ret, -EIO);
}

static void destroy(struct setting *s)
{
	int64_t begin = clock_ns();

	blkio_destroy(&s->b);
	CHECK(clock_ns() - begin < (END_MS + LATE_MS) * MS);
	forget_guest();
}

/* ---- Limits ------------------------------------------------------------------------------- */

static void keeps_limit(struct setting *s)
{
	const struct call *c = s->about;
	bool stopped = s->condition == PEER_STOPPED;
	int64_t begin, took;
	int ret;

	prepare(s, c->from, LIMIT_MS);
	silence_peer(s);
	test_forget_error();
	begin = clock_ns();
	ret = c->now(s->b);
	took = (clock_ns() - begin) / MS;
	CHECK(took < LIMIT_MS + LATE_MS);
	if (stopped && need_of(s) == FAILS) {
		CHECK_EQ(ret, -ETIMEDOUT);
		CHECK(strstr(blkio_get_error_msg(), "500 ms (property \"connect-timeout\")"));
		CHECK(took >= LIMIT_MS);
	} else if (stopped) {
		CHECK(ret >= 0 || is_refused(ret));
	} else if (need_of(s) == FAILS) {
		CHECK(ret < 0);
	}
	if (stopped)
		make_again(s);
	destroy(s);
}

static void destroy_keeps_limit(struct setting *s)
{
	static const int limits[] = { LIMIT_MS, 0 };

	for (size_t i = 0; i < ARRAY_LEN(limits) && (!i || s->condition == PEER_STOPPED); i++) {
		prepare(s, STARTED, limits[i]);
		silence_peer(s);
		destroy(s);
		kill(s->d->server.pid, SIGCONT);
	}
}

/* The limit is the server's, for its answers. Requests have a time of their own. */
static void slow_requests(struct setting *s)
{
	struct hold *h;

	prepare(s, STARTED, LIMIT_MS);
	h = hold_new(s);
	hold_request(h, blkio_get_queue(s->b, 1), NULL);
	hold_release_after(h, 2 * LIMIT_MS);
	CHECK_OK(blkio_remove_queue(s->b, 1));
	CHECK_EQ(io_read(blkio_get_queue(s->b, 0), 0, control_regions[1].addr, LEN, 0), 0);
	hold_check_untouched(h);
	destroy(s);
	hold_free(h);
}

/* ---- Cancelling --------------------------------------------------------------------------- */

static void on_alarm(int sig)
{
	(void)sig;
	blkio_cancel(to_cancel);
}

static void set_alarms(int us)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerval often = { { 0, us }, { 0, us } };

	SYS(sigaction(SIGALRM, &action, NULL));
	SYS(setitimer(ITIMER_REAL, &often, NULL));
}

static void *keep_cancelling(void *stop)
{
	while (!__atomic_load_n((bool *)stop, __ATOMIC_ACQUIRE)) {
		blkio_cancel(to_cancel);
		blkio_cancel(to_cancel);
		usleep(OFTEN_US);
	}
	return NULL;
}

static void check_cancelled(struct setting *s, int ret)
{
	if (need_of(s) != FAILS) {
		CHECK(ret >= 0 || is_refused(ret));
		return;
	}
	CHECK_EQ(ret, -ECANCELED);
	CHECK(strstr(blkio_get_error_msg(), "blkio_cancel()"));
}

static void prepare_silent(struct setting *s, int limit_ms)
{
	const struct call *c = s->about;

	prepare(s, c->from, limit_ms);
	to_cancel = s->b;
	silence_peer(s);
	test_forget_error();
}

/* Without a limit: nothing else would end the call. */
static void prepare_endless(struct setting *s)
{
	prepare_silent(s, 0);
}

static void cancelled_by_handler(struct setting *s)
{
	const struct call *c = s->about;
	int ret;

	prepare_endless(s);
	set_alarms(OFTEN_US);
	ret = c->now(s->b);
	set_alarms(0);
	check_cancelled(s, ret);
	make_again(s);
	destroy(s);
}

static void cancelled_by_thread(struct setting *s)
{
	const struct call *c = s->about;
	bool stop = false;
	pthread_t thread;
	int ret;

	prepare_endless(s);
	CHECK_EQ(pthread_create(&thread, NULL, keep_cancelling, &stop), 0);
	ret = c->now(s->b);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	check_cancelled(s, ret);
	make_again(s);
	destroy(s);
}

/* ---- Asynchronous ------------------------------------------------------------------------- */

static void use_another_instance(void)
{
	struct blkio_completion c;
	struct blkio *b;

	CHECK_OK(blkio_create("null", &b));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	for (int i = 0; i < 100; i++) {
		blkioq_flush(blkio_get_queue(b, 0), NULL, 0);
		CHECK_EQ(blkioq_do_io(blkio_get_queue(b, 0), &c, 1, 1, NULL), 1);
	}
	blkio_destroy(&b);
}

static void check_busy(struct blkio *b)
{
	bool value;

	CHECK_ERR(blkio_control_result(b), EINPROGRESS);
	CHECK_ERR(blkio_connect(b), EBUSY);
	CHECK_ERR(blkio_start_async(b), EBUSY);
	CHECK_ERR(blkio_add_queue(b), EBUSY);
	CHECK_ERR(blkio_get_bool(b, "read-only", &value), EBUSY);
	CHECK_ERR(blkio_control_result(b), EINPROGRESS);
}

/* Whoever collects gets the message, too. */
static void *collect(void *arg)
{
	struct setting *s = arg;

	check_cancelled(s, blkio_control_result(s->b));
	return NULL;
}

static void returns_at_once(struct setting *s)
{
	const struct call *c = s->about;
	pthread_t thread;
	int64_t begin;

	prepare_endless(s);
	begin = clock_ns();
	CHECK_OK(c->async(s->b));
	CHECK(clock_ns() - begin < LATE_MS * MS);
	use_another_instance();
	if (need_of(s) != NOTHING) {
		check_busy(s->b);
		CHECK(!readable(blkio_get_control_fd(s->b), 0));
	}
	blkio_cancel(s->b);
	blkio_cancel(s->b);
	CHECK(readable(blkio_get_control_fd(s->b), LATE_MS));
	blkio_cancel(s->b); /* it is over: nobody hears of this */
	CHECK_EQ(pthread_create(&thread, NULL, collect, s), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_ERR(blkio_control_result(s->b), EINVAL);
	make_again(s);
	destroy(s);
}

/* blkio_destroy() cancels the call, and need not be waited for either. */
static void destroyed_meanwhile(struct setting *s)
{
	const struct call *c = s->about;
	int limit_ms = need_of(s) == NOTHING ? LIMIT_MS : 0;
	unsigned fds = count_fds();
	int fd;

	prepare_silent(s, limit_ms);
	CHECK_OK(c->async(s->b));
	destroy(s);
	kill(s->d->server.pid, SIGCONT);
	prepare_silent(s, limit_ms);
	CHECK_OK(c->async(s->b));
	CHECK_OK(blkio_destroy_async(&s->b, &fd));
	CHECK(!s->b);
	blkio_cancel(s->b);
	CHECK(readable(fd, END_MS + LATE_MS));
	close(fd);
	forget_guest();
	await_fds(fds);
	kill(s->d->server.pid, SIGCONT);
}

/* The kernel waits for the server of a vDPA device, and nothing ends that; but it is not we. */
static void kernel_waits(struct setting *s)
{
	const char *server = getenv("TEST_VDPA_SERVER");
	int ret;

	if (!server)
		SKIP("TEST_VDPA_SERVER does not name the process that serves the device");
	s->b = device_create(s->d);
	SYS(kill(atoi(server), SIGSTOP));
	CHECK_OK(blkio_connect_async(s->b));
	use_another_instance();
	blkio_cancel(s->b);
	CHECK(!readable(blkio_get_control_fd(s->b), LIMIT_MS));
	check_busy(s->b);
	SYS(kill(atoi(server), SIGCONT));
	CHECK(readable(blkio_get_control_fd(s->b), LATE_MS));
	ret = blkio_control_result(s->b);
	CHECK(!ret || ret == -ECANCELED);
	CHECK_OK(blkio_connect(s->b));
	CHECK_OK(blkio_start(s->b));
	destroy(s);
}

/* ---- The table ---------------------------------------------------------------------------- */

#define STOPPED CONDITION(PEER_STOPPED)
#define ROW(name, run, call, conditions)                                                           \
	{                                                                                          \
		name, run, T_SERVER, T_PLAIN, KIND(PLAIN), conditions, 60, call                    \
	}
#define ROWS_OF(name, call)                                                                        \
	ROW(name " keeps to its limit", keeps_limit, call, STOPPED | CONDITION(PEER_DEAD)),        \
	    ROW(name " is cancelled by a handler", cancelled_by_handler, call, STOPPED),           \
	    ROW(name " is cancelled by a thread", cancelled_by_thread, call, STOPPED)
#define ROWS_OF_ASYNC(name, call)                                                                  \
	ROWS_OF(name, call), ROW(name "_async returns at once", returns_at_once, call, STOPPED),   \
	    ROW(name "_async is destroyed", destroyed_meanwhile, call, STOPPED)

static const struct promise promises[] = {
	ROWS_OF_ASYNC("connect", &call_connects),
	ROWS_OF_ASYNC("start", &call_starts),
	ROWS_OF_ASYNC("map", &call_maps),
	ROWS_OF_ASYNC("unmap", &call_unmaps),
	ROWS_OF_ASYNC("add_queue", &call_adds),
	ROWS_OF_ASYNC("add_poll_queue", &call_adds_poll),
	ROWS_OF_ASYNC("remove_queue", &call_removes),
	ROWS_OF_ASYNC("remove_poll_queue", &call_removes_poll),
	ROWS_OF_ASYNC("start_vring", &call_starts_vring),
	ROWS_OF_ASYNC("stop_vring", &call_stops_vring),
	ROWS_OF("get_device_config", &call_gets_config),
	ROWS_OF("free", &call_frees),
	ROWS_OF("get capacity", &call_asks_capacity),
	ROWS_OF("drain", &call_drains),
	ROW("destroy keeps to its limit", destroy_keeps_limit, NULL,
	    STOPPED | CONDITION(PEER_DEAD)),
	{ "connect_async leaves the waiting to the kernel", kernel_waits, T_VDUSE, 0, KIND(PLAIN),
	  STOPPED },
	ROW("slow requests do not count", slow_requests, NULL, CONDITION(QUIET)),
};
PROMISES(promises)
