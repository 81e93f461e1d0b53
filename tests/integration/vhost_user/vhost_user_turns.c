/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A control call while the library's own thread waits for an answer that never comes: the call
 * waits for its turn no longer than for an answer of its own, and can be cancelled. And one that
 * waits for many answers.
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

enum { BLOCK = 4096, GET_VRING_BASE = 11, GET_CONFIG = 24, CONFIG_CHANGE = 2, END_MS = 5000 };

static bool silent;
static sem_t asked; /* a question that nobody will answer */

static bool say_nothing(struct vu_proxy *p, struct vu_message *m)
{
	(void)p, (void)m;
	if (!__atomic_load_n(&silent, __ATOMIC_ACQUIRE))
		return true;
	sem_post(&asked);
	return false;
}

/* The server tells of a change, and does not say of which: the library's thread waits for ever. */
static struct blkio *start_waiting(struct device *d, struct vu_proxy *p, struct blkio_mem_region *r)
{
	static const uint32_t message[3] = { CONFIG_CHANGE, 1, 0 };
	struct blkio *b;

	*p = (struct vu_proxy){ .spoil = say_nothing,
				.spoil_request = GET_CONFIG,
				.intercept = vu_proxy_keep_channel,
				.fd_to_add = -1 };
	silent = false;
	CHECK_EQ(sem_init(&asked, 0, 0), 0);
	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", vu_proxy_start(p, d->path)));
	CHECK_OK(blkio_set_int(b, "connect-timeout", 0));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	for (int i = 0; i < 2; i++)
		CHECK_OK(blkio_alloc_mem_region(b, &r[i], BLOCK));
	CHECK_OK(blkio_map_mem_region(b, &r[1]));
	__atomic_store_n(&silent, true, __ATOMIC_RELEASE);
	CHECK_EQ(write(p->channel, message, sizeof(message)), sizeof(message));
	while (sem_wait(&asked) < 0)
		;
	return b;
}

static void destroy_in_time(struct blkio *b)
{
	int64_t begin = clock_ns();

	blkio_destroy(&b);
	CHECK(clock_ns() - begin < (END_MS + LATE_MS) * 1000000LL);
}

static void stop(struct blkio *b, struct vu_proxy *p)
{
	destroy_in_time(b);
	vu_proxy_stop(p);
	close(p->channel);
}

static void cancelled(struct device *d)
{
	struct blkio_mem_region r[2];
	struct vu_proxy p;
	struct blkio *b = start_waiting(d, &p, r);
	uint64_t capacity;

	keep_cancelling(b);
	for (int i = 0; i < 3; i++) {
		CHECK_ERR(blkio_get_uint64(b, "capacity", &capacity), ECANCELED, "GET_CONFIG",
			  "blkio_cancel()");
		CHECK_ERR(blkio_map_mem_region(b, &r[0]), ECANCELED, "memory", "blkio_cancel()");
	}
	/* It cannot fail, so the device does. */
	blkio_unmap_mem_region(b, &r[1]);
	stop_cancelling();
	CHECK_ERR(blkio_map_mem_region(b, &r[0]), EIO, "does not answer");
	stop(b, &p);
}

static void destroyed(struct device *d)
{
	struct blkio_mem_region r[2];
	struct vu_proxy p;

	stop(start_waiting(d, &p, r), &p);
}

/* Each answer comes soon, and there are many. */
static bool answer_late(struct vu_proxy *p, struct vu_message *m)
{
	(void)p, (void)m;
	usleep(90000);
	return true;
}

static void destroyed_slowly(struct device *d)
{
	struct vu_proxy p = { .spoil = answer_late,
			      .spoil_request = GET_VRING_BASE,
			      .fd_to_add = -1 };
	struct blkio *b;

	qsd_kill(&d->server);
	qsd_restart(&d->server, "driver=null-co,size=1048576", "writable=on,num-queues=160");
	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", vu_proxy_start(&p, d->path)));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_set_int(b, "num-queues", 160));
	CHECK_OK(blkio_start(b));
	destroy_in_time(b);
	vu_proxy_stop(&p);
}

/* It accepts the library's thread as a client, and does not answer. */
static void returns_silent(struct device *d)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct blkio *b = device_create(d);
	struct blkio_mem_region r;
	uint64_t capacity;
	int listener, client;
	char byte;

	CHECK_OK(blkio_set_int(b, "connect-timeout", 0));
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", 60000));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK_OK(blkio_alloc_mem_region(b, &r, BLOCK));
	qsd_kill(&d->server);
	unlink(d->path);
	strcpy(addr.sun_path, d->path);
	listener = (int)SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	SYS(bind(listener, (struct sockaddr *)&addr, sizeof(addr)));
	SYS(listen(listener, 1));
	client = (int)SYS(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	CHECK_EQ(recv(client, &byte, 1, 0), 1);
	keep_cancelling(b);
	CHECK_ERR(blkio_get_uint64(b, "capacity", &capacity), ECANCELED, "blkio_cancel()");
	CHECK_ERR(blkio_map_mem_region(b, &r), ECANCELED, "blkio_cancel()");
	stop_cancelling();
	destroy_in_time(b);
	close(client);
	close(listener);
	unlink(d->path);
}

static void queue_removed(struct device *d)
{
	struct blkio_mem_region r[2];
	struct vu_proxy p;
	struct blkio *b = start_waiting(d, &p, r);

	keep_cancelling(b);
	CHECK_OK(blkio_remove_queue(b, 0));
	stop_cancelling();
	stop(b, &p);
}

static const struct test tests[] = {
	{ "cancelled", cancelled, T_VHOST_USER },
	{ "destroyed", destroyed, T_VHOST_USER },
	{ "destroyed, with many late answers", destroyed_slowly, T_VHOST_USER, 0, 40 },
	{ "a server that returns and is silent", returns_silent, T_VHOST_USER },
	{ "a queue removed", queue_removed, T_VHOST_USER },
};
TEST_MAIN(tests)
