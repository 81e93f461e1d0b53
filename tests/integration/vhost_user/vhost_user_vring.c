/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Queue passthrough with vhost-user servers that can less, or go and return. What every driver has
 * to do: api/vring_load.c. What a hostile guest can do: vhost_user_guest_lies.c.
 */
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "guest_load.h"
#include "io.h"
#include "proxy.h"
#include "test.h"
#include "tracker.h"

enum { BLOCK = GUEST_BLOCK, DEPTH = 16 };

#define GUEST_AT (4ULL << 30)

/* An instance with the guest's memory mapped and one vring. */
static struct blkio *start(struct device *d, struct guest *g)
{
	struct blkio *b = device_connect(d);

	CHECK_OK(blkio_set_int(b, "num-vrings", 1));
	CHECK_OK(blkio_start(b));
	guest_map(g, b);
	return b;
}

/* ---- Servers that can less ---------------------------------------------------------------- */

/* Without memory slots, the server gets the whole table whenever it changes. */
static void without_slots(struct device *d)
{
	struct vu_proxy p = { .hidden_protocol = 1u << 15 };
	struct guest g, more;
	pthread_t thread;
	struct blkio *b;
	char *buf;

	guest_init(&g, GUEST_AT);
	guest_init(&more, 2 * GUEST_AT);
	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", vu_proxy_start(&p, d->path)));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_set_int(b, "num-vrings", 1));
	CHECK_OK(blkio_start(b));
	guest_map(&g, b);
	buf = buffer(BLOCK);
	guest_start(&g, b, 0);
	thread = guest_load_begin(&g, DEPTH);
	for (int i = 0; i < 50; i++) { /* the guest gets and loses more memory under load */
		guest_map(&more, b);
		blkio_unmap_mem_region(b, &more.ram);
	}
	guest_stop(&g, b, 0);
	CHECK_EQ(io_write(blkio_get_queue(b, 0), (uint64_t)GUEST_SLOTS * BLOCK, buf, BLOCK, 0), 0);
	guest_start(&g, b, 0);
	guest_load_end(thread);
	blkio_destroy(&b);
	vu_proxy_stop(&p);
	guest_exit(&more);
	guest_exit(&g);
}

/* ---- Servers that go and return ----------------------------------------------------------- */

static struct blkio *start_returning(struct device *d, struct guest *g)
{
	struct blkio *b = device_create(d);

	CHECK_OK(blkio_set_int(b, "reconnect-timeout", 20000));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_set_int(b, "num-vrings", 1));
	CHECK_OK(blkio_start(b));
	guest_map(g, b);
	return b;
}

static void returns_when_idle(struct device *d)
{
	struct guest g;
	struct blkio *b;
	char *buf;

	guest_init(&g, GUEST_AT);
	b = start_returning(d, &g);
	buf = buffer(BLOCK);
	guest_start(&g, b, 0);
	for (uint32_t i = 0; i < 3; i++) {
		pattern(guest_buffer(&g, 0), 0, BLOCK, i);
		CHECK_EQ(guest_io(&g, VIRTIO_BLK_T_OUT, 0), VIRTIO_BLK_S_OK);
		device_restart_server(d);
	}
	CHECK_EQ(guest_io(&g, VIRTIO_BLK_T_FLUSH, 0), VIRTIO_BLK_S_OK);
	guest_stop(&g, b, 0);
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
	check_pattern(buf, 0, BLOCK, 2);
	blkio_destroy(&b);
	guest_exit(&g);
}

static void await_error(struct guest *g)
{
	struct pollfd p = { .fd = g->err, .events = POLLIN };

	CHECK_EQ(poll(&p, 1, 15000), 1);
}

/* This server keeps no notes of what it had in flight: nobody can tell what the next is to do. */
static void dies_with_requests(struct device *d)
{
	struct blkio_vring v;
	struct guest g;
	struct blkio *b;

	guest_init(&g, GUEST_AT);
	qsd_kill(&d->server);
	qsd_restart(&d->server, "driver=null-co,size=4194304,latency-ns=3600000000000",
		    "writable=on");
	b = start_returning(d, &g);
	guest_start(&g, b, 0);
	guest_add(&g, 0, VIRTIO_BLK_T_IN, 0);
	guest_kick(&g);
	while (__atomic_load_n(guest_event(&g), __ATOMIC_RELAXED) != 1)
		usleep(1000); /* until it was taken: the event index */
	qsd_kill(&d->server);
	qsd_restart(&d->server, "driver=null-co,size=4194304", "writable=on");
	await_error(&g);
	CHECK_EQ(guest_in_flight(&g), 1);
	CHECK_ERR(blkio_stop_vring(b, 0, &v), EIO, "in-flight tracking");
	v = guest_vring(&g);
	CHECK_ERR(blkio_start_vring(b, 0, &v), EIO, "in-flight tracking");
	blkio_destroy(&b);
	guest_exit(&g);
}

static void dies_for_good(struct device *d)
{
	struct guest g;
	struct blkio *b;

	guest_init(&g, GUEST_AT);
	b = start(d, &g);
	guest_start(&g, b, 0);
	qsd_kill(&d->server);
	await_error(&g);
	CHECK_ERR(blkio_stop_vring(b, 0, NULL), EIO, "closed the connection");
	blkio_destroy(&b);
	guest_exit(&g);
}

static struct blkio *start_with(const struct tracker *t, struct guest *g)
{
	struct blkio *b;

	guest_init(g, GUEST_AT);
	CHECK_OK(blkio_create("virtio-blk-vhost-user", &b));
	CHECK_OK(blkio_set_str(b, "path", t->socket));
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", 20000));
	CHECK_OK(blkio_connect(b));
	CHECK_EQ(get_u64(b, "vring-features") >> VIRTIO_F_RING_PACKED & 1, t->packed);
	CHECK_OK(blkio_set_int(b, "num-vrings", 1));
	CHECK_OK(blkio_start(b));
	if (t->packed)
		guest_pack(g);
	guest_map(g, b);
	return b;
}

/* A server that dies after so many steps, until the third one lives. */
static void die_at(struct tracker *t, unsigned steps)
{
	int deaths = 0, stopped;
	struct blkio *b;
	struct guest g;

	tracker_start(t, 0);
	b = start_with(t, &g);
	for (int i = 0; i < 3; i++) { /* new notes each time, and a ring that is not at its start */
		guest_start(&g, b, 0);
		CHECK_EQ(guest_io(&g, VIRTIO_BLK_T_FLUSH, 0), VIRTIO_BLK_S_OK);
		guest_stop(&g, b, 0);
	}
	guest_start(&g, b, 0);
	t->shared->steps_left = steps;
	for (unsigned slot = 0; slot < DEPTH; slot++) {
		pattern(guest_buffer(&g, slot), slot * BLOCK, BLOCK, steps);
		guest_add(&g, slot, VIRTIO_BLK_T_OUT, slot * BLOCK);
		guest_kick(&g);
	}
	do {
		if (!guest_reap(&g, NULL))
			guest_sleep(&g, 1);
		if (tracker_is_dead(t))
			tracker_start(t, ++deaths < 3 ? steps : 0);
		/* The last may die when all is done. */
		stopped = guest_in_flight(&g) ? -EBUSY : guest_try_stop(&g, b, 0);
	} while (stopped == -EBUSY || stopped == -ENOTCONN);
	CHECK_EQ(stopped, 0);
	CHECK_EQ(g.completed, DEPTH + 3);
	check_pattern(t->shared->disk, 0, DEPTH * BLOCK, steps);
	CHECK(deaths > 0);
	blkio_destroy(&b);
	tracker_kill(t);
	guest_exit(&g);
}

/* With notes: each request completes once, however many servers it takes. */
static void notes(struct device *d)
{
	struct tracker t;

	(void)d;
	for (int packed = 0; packed < 2; packed++) {
		tracker_init(&t, packed, packed);
		for (unsigned steps = 1; steps < 40; steps += 3)
			die_at(&t, steps);
		tracker_exit(&t);
	}
}

static void retry_start(struct guest *g, struct blkio *b)
{
	const struct blkio_vring v = guest_vring(g);
	int ret;

	while ((ret = blkio_start_vring(b, 0, &v)) == -ENOTCONN)
		usleep(1000);
	CHECK_OK(ret);
}

static void retry_stop(struct guest *g, struct blkio *b)
{
	int ret;

	while ((ret = guest_try_stop(g, b, 0)) == -ENOTCONN)
		usleep(1000);
	CHECK_OK(ret);
}

/* At any time: while the vring runs, starts or stops. */
static void kill_under_load(struct tracker *t)
{
	pthread_t thread;
	struct blkio *b;
	struct guest g;

	tracker_start(t, 0);
	b = start_with(t, &g);
	thread = guest_load_begin(&g, DEPTH);
	for (int i = 0; i < 40; i++) {
		const uint64_t before = __atomic_load_n(&g.completed, __ATOMIC_RELAXED);

		retry_start(&g, b);
		while (__atomic_load_n(&g.completed, __ATOMIC_RELAXED) == before)
			usleep(50);
		tracker_kill(t);
		tracker_start(t, 0);
		retry_stop(&g, b);
	}
	retry_start(&g, b);
	guest_load_end(thread);
	blkio_destroy(&b);
	tracker_kill(t);
	guest_exit(&g);
}

static void killed_under_load(struct device *d)
{
	struct tracker t;

	(void)d;
	for (int packed = 0; packed < 2; packed++) {
		tracker_init(&t, packed, packed);
		kill_under_load(&t);
		tracker_exit(&t);
	}
}

/* ---- Packed rings ------------------------------------------------------------------------- */

/* qemu-storage-daemon has none. Stopped under load, and served in turn with the library's own. */
static void packed_rings(struct device *d)
{
	struct tracker t;
	struct blkio *b;
	struct guest g;
	pthread_t thread;
	const uint64_t own = (uint64_t)GUEST_SLOTS * BLOCK;
	char *buf;

	(void)d;
	tracker_init(&t, true, true);
	tracker_start(&t, 0);
	b = start_with(&t, &g);
	buf = guest_buffer(&g, GUEST_SLOTS - 1);
	thread = guest_load_begin(&g, DEPTH);
	for (uint32_t i = 1; i <= 200; i++) {
		const uint64_t before = __atomic_load_n(&g.completed, __ATOMIC_RELAXED);

		guest_start(&g, b, 0);
		while (__atomic_load_n(&g.completed, __ATOMIC_RELAXED) == before)
			usleep(50);
		guest_stop(&g, b, 0);
		pattern(buf, own, BLOCK, i);
		CHECK_EQ(io_write(blkio_get_queue(b, 0), own, buf, BLOCK, 0), 0);
		check_pattern(t.shared->disk + own, own, BLOCK, i);
	}
	guest_start(&g, b, 0);
	guest_load_end(thread);
	CHECK(g.completed > 2 * g.size); /* several times round */
	blkio_destroy(&b);
	tracker_kill(&t);
	tracker_exit(&t);
	guest_exit(&g);
}

/* Indexes outside the ring would lead a server outside its memory. */
static void packed_bases(struct device *d)
{
	static const uint32_t bad[] = { 256, 0x7fff, 0x80008100, 0x81008000, 0xffffffff };
	struct tracker t;
	struct blkio *b;
	struct guest g;

	(void)d;
	tracker_init(&t, true, true);
	tracker_start(&t, 0);
	b = start_with(&t, &g);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct blkio_vring v = guest_vring(&g);

		v.base = bad[i];
		CHECK_ERR(blkio_start_vring(b, 0, &v), EINVAL, "base");
	}
	guest_start(&g, b, 0);
	CHECK_EQ(guest_io(&g, VIRTIO_BLK_T_FLUSH, 0), VIRTIO_BLK_S_OK);
	blkio_destroy(&b);
	tracker_kill(&t);
	tracker_exit(&t);
	guest_exit(&g);
}

static const struct test tests[] = {
	{ "without memory slots", without_slots, T_VHOST_USER },
	{ "server returns, idle", returns_when_idle, T_VHOST_USER },
	{ "server dies with requests in flight", dies_with_requests, T_VHOST_USER },
	{ "server dies for good", dies_for_good, T_VHOST_USER },
	{ "server with notes dies at each step", notes, .timeout = 60 },
	{ "server with notes is killed under load", killed_under_load, .timeout = 60 },
	{ "packed rings", packed_rings },
	{ "bases of packed rings", packed_bases },
};

TEST_MAIN(tests)
