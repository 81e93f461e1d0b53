/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Queue passthrough, of every driver that has it: a guest's virtqueue on the device itself, in turn
 * with the instance's own queues, and the switch between them in mid-I/O.
 */
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <pthread.h>
#include <unistd.h>

#include "guest_load.h"
#include "io.h"
#include "test.h"

enum { BLOCK = GUEST_BLOCK, DEPTH = 16, OTHER_AT = GUEST_SLOTS * BLOCK };

#define GUEST_AT     (4ULL << 30)
#define FEATURE(bit) (1ULL << (bit))

/* An instance with the guest's memory mapped and one vring. */
static struct blkio *start_with(struct device *d, struct guest *g, uint64_t without)
{
	struct blkio *b = device_connect(d);
	uint64_t features;

	CHECK_OK(blkio_get_vring_features(b, &features));
	CHECK(features & FEATURE(VIRTIO_F_VERSION_1));
	CHECK_OK(blkio_set_int(b, "num-vrings", 1));
	CHECK_OK(blkio_set_uint64(b, "vring-features", features & ~without));
	CHECK_OK(blkio_start(b));
	g->event_idx = features & ~without & FEATURE(VIRTIO_RING_F_EVENT_IDX);
	guest_map(g, b);
	return b;
}

static struct blkio *start(struct device *d, struct guest *g)
{
	return start_with(d, g, 0);
}

/* Fewer times where each takes long: a VDUSE server in a VM, whose CPU may be emulated. */
static int often(int n)
{
	return getenv("TEST_FEWER") ? n / 10 : n;
}

/* ---- One at a time ------------------------------------------------------------------------ */

static void takes_turns(struct device *d)
{
	struct guest g;
	struct blkio *b;
	struct blkioq *q;
	char *buf;

	guest_init(&g, GUEST_AT);
	b = start(d, &g);
	q = blkio_get_queue(b, 0);
	buf = buffer(BLOCK);
	for (uint32_t i = 1; i <= 8; i++) {
		/* Ours, then the guest's, then ours sees what the guest wrote. */
		pattern(buf, 0, BLOCK, i);
		CHECK_EQ(io_write(q, 0, buf, BLOCK, 0), 0);
		guest_start(&g, b, 0);
		CHECK_EQ(guest_io(&g, VIRTIO_BLK_T_IN, 0), VIRTIO_BLK_S_OK);
		check_pattern(guest_buffer(&g, 0), 0, BLOCK, i);
		pattern(guest_buffer(&g, 0), BLOCK, BLOCK, ~i);
		CHECK_EQ(guest_io(&g, VIRTIO_BLK_T_OUT, BLOCK), VIRTIO_BLK_S_OK);
		CHECK_EQ(guest_io(&g, VIRTIO_BLK_T_FLUSH, 0), VIRTIO_BLK_S_OK);
		CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 0), EBUSY, "blkio_stop_vring()");
		guest_stop(&g, b, 0);
		CHECK_EQ(io_read(q, BLOCK, buf, BLOCK, 0), 0);
		check_pattern(buf, BLOCK, BLOCK, ~i);
		/* Requests may also use the guest's memory: the slow path without a copy. */
		CHECK_EQ(io_read(q, 0, guest_buffer(&g, 1), BLOCK, 0), 0);
		check_pattern(guest_buffer(&g, 1), 0, BLOCK, i);
	}
	blkio_destroy(&b);
	guest_exit(&g);
}

/* What own queues had when a vring started is done, or fails: never lost, never done later. */
static void own_requests(struct device *d)
{
	struct blkio_completion c[DEPTH];
	struct guest g;
	struct blkio *b;
	struct blkioq *q;
	char *buf;

	guest_init(&g, GUEST_AT);
	b = start(d, &g);
	q = blkio_get_queue(b, 0);
	buf = buffer(2 * DEPTH * BLOCK);
	pattern(buf, 0, 2 * DEPTH * BLOCK, 5);
	for (int i = 0; i < DEPTH; i++)
		blkioq_write(q, (uint64_t)i * BLOCK, buf + i * BLOCK, BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	guest_start(&g, b, 0);
	CHECK_EQ(blkioq_do_io(q, c, DEPTH, DEPTH, NULL), DEPTH);
	for (int i = 0; i < DEPTH; i++)
		CHECK_EQ(c[i].ret, 0);
	guest_stop(&g, b, 0);

	for (int i = DEPTH; i < 2 * DEPTH; i++) /* not submitted */
		blkioq_write(q, (uint64_t)i * BLOCK, buf + i * BLOCK, BLOCK, NULL, 0);
	guest_start(&g, b, 0);
	CHECK_EQ(blkioq_do_io(q, c, DEPTH, DEPTH, NULL), DEPTH);
	for (int i = 0; i < DEPTH; i++)
		CHECK_EQ(c[i].ret, -EBUSY);
	guest_stop(&g, b, 0);
	memset(buf, 1, 2 * DEPTH * BLOCK);
	CHECK_EQ(io_read(q, 0, buf, 2 * DEPTH * BLOCK, 0), 0);
	check_pattern(buf, 0, DEPTH * BLOCK, 5);
	check_all(buf + DEPTH * BLOCK, DEPTH * BLOCK, 0);
	blkio_destroy(&b);
	guest_exit(&g);
}

static void stops_under_load(struct device *d)
{
	struct guest g;
	struct blkio *b;
	pthread_t thread;

	guest_init(&g, GUEST_AT);
	b = start(d, &g);
	guest_start(&g, b, 0);
	thread = guest_load_begin(&g, DEPTH);
	for (int i = 0; i < often(1000); i++) {
		guest_stop(&g, b, 0);
		guest_start(&g, b, 0);
	}
	guest_load_end(thread);
	printf("%llu requests\n", (unsigned long long)g.completed);
	CHECK(g.completed > DEPTH);
	blkio_destroy(&b);
	guest_exit(&g);
}

/*
 * Without the event index, a vhost-user ring stops when the guest pauses: then all it wanted is
 * done. Other devices may stop before.
 */
static void stops_without_event_idx(struct device *d)
{
	struct guest g;
	struct blkio *b;

	guest_init(&g, GUEST_AT);
	b = start_with(d, &g, FEATURE(VIRTIO_RING_F_EVENT_IDX));
	CHECK(!g.event_idx);
	for (int i = 0; i < often(100); i++) {
		guest_start(&g, b, 0);
		guest_drain(&g, NULL);
		for (unsigned slot = 0; slot < DEPTH; slot++)
			guest_add(&g, slot, VIRTIO_BLK_T_IN, slot * BLOCK);
		guest_kick(&g);
		guest_stop(&g, b, 0);
		guest_reap(&g, NULL);
		CHECK(!guest_in_flight(&g) || !(d->target->traits & T_VHOST_USER));
	}
	blkio_destroy(&b);
	guest_exit(&g);
}

/* Both kinds of request, from two threads, while the device goes to and fro between them. */
struct own_load {
	struct blkioq *q;
	char *buf;
	bool end;
	unsigned done, refused;
};

static void *run_own_load(void *arg)
{
	struct own_load *l = arg;
	const uint64_t start = (uint64_t)GUEST_SLOTS * BLOCK;

	for (uint32_t i = 1; !__atomic_load_n(&l->end, __ATOMIC_RELAXED); i++) {
		int ret;

		pattern(l->buf, start, BLOCK, i);
		ret = io_write(l->q, start, l->buf, BLOCK, 0);
		CHECK(!ret || ret == -EBUSY);
		l->refused += ret < 0;
		if (ret < 0)
			continue;
		memset(l->buf, 0, BLOCK);
		do
			ret = io_read(l->q, start, l->buf, BLOCK, 0);
		while (ret == -EBUSY);
		CHECK_EQ(ret, 0);
		check_pattern(l->buf, start, BLOCK, i);
		__atomic_add_fetch(&l->done, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void switches_under_load(struct device *d)
{
	struct own_load own = { 0 };
	pthread_t guests, ours;
	struct guest g;
	struct blkio *b;

	guest_init(&g, GUEST_AT);
	b = start(d, &g);
	own.q = blkio_get_queue(b, 0);
	own.buf = buffer(BLOCK);
	guests = guest_load_begin(&g, DEPTH);
	CHECK_EQ(pthread_create(&ours, NULL, run_own_load, &own), 0);
	for (int i = 0; i < often(200); i++) {
		unsigned done = __atomic_load_n(&own.done, __ATOMIC_RELAXED);
		uint16_t used = __atomic_load_n(&g.used->idx, __ATOMIC_RELAXED);

		guest_start(&g, b, 0);
		while (__atomic_load_n(&g.used->idx, __ATOMIC_RELAXED) == used)
			usleep(50);
		guest_stop(&g, b, 0);
		while (__atomic_load_n(&own.done, __ATOMIC_RELAXED) == done)
			usleep(50);
	}
	__atomic_store_n(&own.end, true, __ATOMIC_RELAXED);
	pthread_join(ours, NULL);
	guest_start(&g, b, 0);
	guest_load_end(guests);
	printf("%u own requests, %u refused\n", own.done, own.refused);
	blkio_destroy(&b);
	guest_exit(&g);
}

/* One is under load while another one comes and goes, and works. */
static void several_vrings(struct device *d)
{
	struct blkio *b = device_connect(d);
	struct guest busy, other;
	pthread_t thread;

	if (get_int(b, "max-queues") < 2)
		SKIP("the device has one queue");
	CHECK_OK(blkio_set_int(b, "num-vrings", 2));
	CHECK_OK(blkio_start(b));
	guest_init(&busy, GUEST_AT);
	guest_init(&other, 2 * GUEST_AT);
	guest_map(&busy, b);
	guest_map(&other, b);
	thread = guest_load_begin(&busy, DEPTH);
	for (int i = 0; i < often(100); i++) {
		int first = i % 2; /* who starts, and who stops last */

		guest_start(first ? &other : &busy, b, first);
		guest_start(first ? &busy : &other, b, !first);
		CHECK_EQ(guest_io(&other, VIRTIO_BLK_T_IN, OTHER_AT), VIRTIO_BLK_S_OK);
		guest_stop(&other, b, 1);
		guest_start(&other, b, 1);
		CHECK_EQ(guest_io(&other, VIRTIO_BLK_T_FLUSH, 0), VIRTIO_BLK_S_OK);
		guest_stop(first ? &busy : &other, b, !first);
		guest_stop(first ? &other : &busy, b, first);
	}
	guest_start(&busy, b, 0);
	guest_load_end(thread);
	CHECK(busy.completed > DEPTH);
	blkio_destroy(&b);
	guest_exit(&other);
	guest_exit(&busy);
}

/* Own queues go, one after the other: the switch is made without them, also when none is left. */
static void removed_queues(struct device *d)
{
	struct blkio *b = device_connect(d);
	char *buf = buffer(BLOCK);
	struct guest g;
	int n, max = get_int(b, "max-queues");

	guest_init(&g, GUEST_AT);
	n = max < 3 ? max : 3;
	CHECK_OK(blkio_set_int(b, "num-queues", n));
	CHECK_OK(blkio_set_int(b, "num-vrings", 1));
	CHECK_OK(blkio_start(b));
	for (int i = 0; i <= n; i++) {
		if (i < n)
			CHECK_EQ(io_write(blkio_get_queue(b, n - 1), 0, buf, BLOCK, 0), 0);
		guest_map(&g, b);
		guest_start(&g, b, 0);
		CHECK_EQ(guest_io(&g, VIRTIO_BLK_T_IN, 0), VIRTIO_BLK_S_OK);
		if (i < n && i % 2) /* now or later */
			CHECK_OK(blkio_remove_queue(b, i));
		guest_stop(&g, b, 0);
		blkio_unmap_mem_region(b, &g.ram);
		if (i < n && i % 2 == 0)
			CHECK_OK(blkio_remove_queue(b, i));
	}
	blkio_destroy(&b);
	guest_exit(&g);
}

/* ---- The end ------------------------------------------------------------------------------ */

/* Afterwards nobody writes to the guest's memory. */
static void destroyed_under_load(struct device *d)
{
	struct guest g;
	struct blkio *b;
	pthread_t thread;
	char *copy = malloc(GUEST_LEN);

	for (int i = 0; i < often(40); i++) {
		guest_init(&g, GUEST_AT);
		b = start(d, &g);
		guest_start(&g, b, 0);
		thread = guest_load_begin(&g, DEPTH);
		while (!__atomic_load_n(&g.completed, __ATOMIC_RELAXED))
			usleep(50);
		if (i % 2)
			CHECK_OK(blkio_drain(b, NULL));
		else
			blkio_destroy(&b);
		guest_load_abandon(thread);
		memcpy(copy, g.ram.addr, GUEST_LEN);
		usleep(2000);
		CHECK_MEM(copy, g.ram.addr, GUEST_LEN);
		blkio_destroy(&b);
		guest_exit(&g);
	}
	free(copy);
}

static const struct test tests[] = {
	{ "guest and own queues take turns", takes_turns, T_VRINGS },
	{ "own requests when a vring starts", own_requests, T_VRINGS },
	{ "1000 stops and starts under load", stops_under_load, T_VRINGS, .timeout = 60 },
	{ "stops without the event index", stops_without_event_idx, T_VRINGS },
	{ "200 switches with both under load", switches_under_load, T_VRINGS, .timeout = 60 },
	{ "several vrings, one under load", several_vrings, T_VRINGS, .timeout = 60 },
	{ "own queues are removed", removed_queues, T_VRINGS },
	{ "instance ends under load", destroyed_under_load, T_VRINGS, .timeout = 60 },
};

TEST_MAIN(tests)
