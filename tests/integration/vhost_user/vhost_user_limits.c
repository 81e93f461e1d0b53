/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Servers that keep a control call waiting, at each step: the call ends at "connect-timeout", or
 * when blkio_cancel() says so.
 */
#include <semaphore.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "cancel.h"
#include "io.h"
#include "proxy.h"
#include "sys.h"
#include "test.h"

enum { BLOCK = 4096, LIMIT_MS = 200, DEFAULT_MS = 10000 };

/* The steps, by what the server does not answer. */
static const struct step {
	uint32_t request;
	const char *name;
	char call; /* connect, start, or map */
} steps[] = {
	{ 1, "GET_FEATURES", 'c' },    { 15, "GET_PROTOCOL_FEATURES", 'c' },
	{ 17, "GET_QUEUE_NUM", 'c' },  { 36, "GET_MAX_MEM_SLOTS", 'c' },
	{ 24, "GET_CONFIG", 'c' },     { 2, "SET_FEATURES", 'c' },
	{ 37, "ADD_MEM_REG", 's' },    { 8, "SET_VRING_NUM", 's' },
	{ 9, "SET_VRING_ADDR", 's' },  { 12, "SET_VRING_KICK", 's' },
	{ 13, "SET_VRING_CALL", 's' }, { 18, "SET_VRING_ENABLE", 's' },
	{ 37, "ADD_MEM_REG", 'm' },
};

static struct blkio *to_cancel;
static sem_t has_cancelled; /* or the instance may be gone before blkio_cancel() returns */
static bool silent;

static void cancel_once(void)
{
	struct blkio *b = __atomic_exchange_n(&to_cancel, NULL, __ATOMIC_ACQ_REL);

	if (!b)
		return;
	blkio_cancel(b);
	sem_post(&has_cancelled);
}

static bool say_nothing(struct vu_proxy *p, struct vu_message *m)
{
	(void)p, (void)m;
	if (!__atomic_load_n(&silent, __ATOMIC_ACQUIRE))
		return true;
	cancel_once();
	return false;
}

/* One byte, then another: the answer goes on for longer than the time. */
static bool say_it_slowly(struct vu_proxy *p, struct vu_message *m)
{
	if (!__atomic_load_n(&silent, __ATOMIC_ACQUIRE))
		return true;
	for (size_t i = 0; i < 12 + m->size; i++) {
		if (send(p->client, (char *)m + i, 1, MSG_NOSIGNAL) < 0)
			return false;
		if (i == 4) /* the library waits for more */
			cancel_once();
		usleep(LIMIT_MS * 1000 / 8);
	}
	return false;
}

static int make_call(const struct step *s, struct blkio *b)
{
	struct blkio_mem_region r;

	__atomic_store_n(&silent, s->call == 'c', __ATOMIC_RELEASE);
	test_forget_error();
	if (s->call == 'c')
		return blkio_connect(b);
	CHECK_OK(blkio_connect(b));
	__atomic_store_n(&silent, s->call == 's', __ATOMIC_RELEASE);
	if (s->call == 's')
		return blkio_start(b);
	CHECK_OK(blkio_start(b));
	CHECK_OK(blkio_alloc_mem_region(b, &r, BLOCK));
	__atomic_store_n(&silent, true, __ATOMIC_RELEASE);
	return blkio_map_mem_region(b, &r);
}

/* limit_ms: 0 without. */
static void stall(struct device *d, const struct step *s, int limit_ms, int errnum,
		  bool (*how)(struct vu_proxy *, struct vu_message *))
{
	struct vu_proxy p = { .spoil = how, .spoil_request = s->request, .fd_to_add = -1 };
	int fd = vu_proxy_start(&p, d->path), ret;
	struct blkio *b;
	int64_t begin;

	printf("%s, %c\n", s->name, s->call);
	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK_OK(blkio_set_int(b, "connect-timeout", limit_ms));
	__atomic_store_n(&to_cancel, errnum == ECANCELED ? b : NULL, __ATOMIC_RELEASE);
	begin = clock_ns();
	ret = make_call(s, b);
	CHECK_EQ(ret, -errnum);
	CHECK(strstr(blkio_get_error_msg(), s->name));
	CHECK(strstr(blkio_get_error_msg(), errnum == ETIMEDOUT
						? "200 ms (property \"connect-timeout\")"
						: "blkio_cancel()"));
	if (errnum == ETIMEDOUT)
		CHECK(clock_ns() - begin >= LIMIT_MS * 1000000LL);
	CHECK(clock_ns() - begin < DEFAULT_MS * 1000000LL / 2);
	if (s->call == 'c') /* as before */
		CHECK_ERR(blkio_start(b), ENODEV);
	__atomic_store_n(&silent, false, __ATOMIC_RELEASE);
	if (s->call == 'c')
		shutdown(fd, SHUT_RDWR);
	if (errnum == ECANCELED)
		sem_wait(&has_cancelled);
	blkio_destroy(&b);
	if (s->call == 'c')
		close(fd);
	vu_proxy_stop(&p);
}

static void times_out_at_each_step(struct device *d)
{
	unsigned fds = count_fds();

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		stall(d, &steps[i], LIMIT_MS, ETIMEDOUT, say_nothing);
		CHECK_EQ(count_fds(), fds);
	}
}

static void times_out_byte_by_byte(struct device *d)
{
	for (size_t i = 0; i < ARRAY_LEN(steps); i += 3)
		stall(d, &steps[i], LIMIT_MS, ETIMEDOUT, say_it_slowly);
}

static void cancelled_at_each_step(struct device *d)
{
	unsigned fds = count_fds();

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		stall(d, &steps[i], 0, ECANCELED, say_nothing);
		CHECK_EQ(count_fds(), fds);
	}
}

static void cancelled_byte_by_byte(struct device *d)
{
	for (size_t i = 0; i < ARRAY_LEN(steps); i += 3)
		stall(d, &steps[i], 0, ECANCELED, say_it_slowly);
}

/* ---- Before there is a connection --------------------------------------------------------- */

/* A server that listens and accepts nobody; its backlog is full. */
struct full {
	struct sockaddr_un addr;
	int listener, waiting[8];
	unsigned n;
};

static void make_full(struct full *f)
{
	f->addr.sun_family = AF_UNIX;
	snprintf(f->addr.sun_path, sizeof(f->addr.sun_path), "%s/full", test_dir());
	f->listener = (int)SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	SYS(bind(f->listener, (struct sockaddr *)&f->addr, sizeof(f->addr)));
	SYS(listen(f->listener, 0));
	for (f->n = 0; f->n < ARRAY_LEN(f->waiting); f->n++) {
		int fd = (int)SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

		f->waiting[f->n] = fd;
		if (connect(fd, (struct sockaddr *)&f->addr, sizeof(f->addr)) < 0)
			break;
	}
	CHECK(f->n < ARRAY_LEN(f->waiting));
}

static void end_full(struct full *f)
{
	for (unsigned i = 0; i <= f->n; i++)
		close(f->waiting[i]);
	close(f->listener);
}

static void does_not_accept(struct device *d)
{
	struct full f;
	struct blkio *b;
	int64_t begin;

	make_full(&f);
	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_str(b, "path", f.addr.sun_path));
	CHECK_OK(blkio_set_int(b, "connect-timeout", LIMIT_MS));
	begin = clock_ns();
	CHECK_ERR(blkio_connect(b), ETIMEDOUT, f.addr.sun_path, "200 ms");
	CHECK(clock_ns() - begin >= LIMIT_MS * 1000000LL);
	CHECK_OK(blkio_set_int(b, "connect-timeout", 0));
	keep_cancelling(b);
	CHECK_ERR(blkio_connect(b), ECANCELED, f.addr.sun_path, "blkio_cancel()");
	stop_cancelling();
	/* State as before: it still connects to one that answers. */
	CHECK_OK(blkio_set_str(b, "path", d->path));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK(io_read(blkio_get_queue(b, 0), 0, buffer(BLOCK), BLOCK, 0) == 0);
	blkio_destroy(&b);
	end_full(&f);
}

static void cancelled_by_signal(struct device *d)
{
	struct blkio *b = device_create(d);

	CHECK_OK(blkio_set_int(b, "connect-timeout", 0));
	qsd_stop(&d->server);
	keep_cancelling(b);
	CHECK_ERR(blkio_connect(b), ECANCELED, "GET_FEATURES");
	stop_cancelling();
	kill(d->server.pid, SIGCONT);
	blkio_cancel(b); /* nothing is in progress: no call hears of it */
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	blkio_destroy(&b);
	blkio_cancel(NULL);
}

/* Whoever waits for the control fd is free meanwhile; another instance is not held up. */
static void asynchronous(struct device *d)
{
	struct blkio *b = device_create(d), *other;
	int fd = blkio_get_control_fd(b);

	CHECK_OK(blkio_set_int(b, "connect-timeout", 0));
	qsd_stop(&d->server);
	CHECK_OK(blkio_connect_async(b));
	CHECK_OK(blkio_create("null", &other));
	CHECK_OK(blkio_connect(other));
	CHECK_OK(blkio_start(other));
	for (int i = 0; i < 1000; i++) {
		blkioq_flush(blkio_get_queue(other, 0), NULL, 0);
		CHECK_EQ(blkioq_do_io(blkio_get_queue(other, 0), &(struct blkio_completion){ 0 }, 1,
				      1, NULL),
			 1);
		CHECK_ERR(blkio_control_result(b), EINPROGRESS);
	}
	CHECK_EQ(readable(fd, 0), 0);
	blkio_cancel(b);
	CHECK(readable(fd, LATE_MS));
	CHECK_ERR(blkio_control_result(b), ECANCELED, "GET_FEATURES", "blkio_cancel()");
	CHECK_OK(blkio_connect_async(b));
	blkio_destroy(&b); /* cancels */
	b = device_create(d);
	CHECK_OK(blkio_set_int(b, "connect-timeout", LIMIT_MS));
	CHECK_OK(blkio_connect_async(b));
	fd = blkio_get_control_fd(b);
	CHECK(readable(fd, LATE_MS));
	CHECK_ERR(blkio_control_result(b), ETIMEDOUT, "200 ms");
	kill(d->server.pid, SIGCONT);
	blkio_destroy(&b);
	blkio_destroy(&other);
}

static void values(struct device *d)
{
	struct blkio *b = device_create(d);

	CHECK_EQ(get_int(b, "connect-timeout"), DEFAULT_MS);
	CHECK_ERR(blkio_set_int(b, "connect-timeout", -1), EINVAL, "connect-timeout", "-1");
	CHECK_OK(blkio_set_int(b, "connect-timeout", INT32_MAX));
	CHECK_OK(blkio_connect(b));
	CHECK_ERR(blkio_set_int(b, "connect-timeout", 1), EBUSY);
	CHECK_OK(blkio_start(b));
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "each step times out", times_out_at_each_step, T_VHOST_USER, 0, 60 },
	{ "each byte in time, but not the answer", times_out_byte_by_byte, T_VHOST_USER, 0, 60 },
	{ "each step can be cancelled", cancelled_at_each_step, T_VHOST_USER, 0, 60 },
	{ "an answer can be cancelled within", cancelled_byte_by_byte, T_VHOST_USER, 0, 60 },
	{ "a server that does not accept", does_not_accept, T_VHOST_USER },
	{ "cancelled by a signal handler", cancelled_by_signal, T_VHOST_USER },
	{ "asynchronous", asynchronous, T_VHOST_USER },
	{ "values of connect-timeout", values, T_VHOST_USER },
};
TEST_MAIN(tests)
