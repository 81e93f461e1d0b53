/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The virtqueue against a device in this process: split and packed, with and without event index
 * and indirect tables; a device that works, and one that breaks every rule it can.
 */
#include <sys/mman.h>

#include "test.h"
#include "virtq_device.h"

enum { SIZE_MAX_HERE = 64, TABLE_LEN = 8 };

/* A ring, its two sides, and what the test knows to be in flight. */
struct rig {
	struct virtq_config config;
	struct virtq vq;
	struct virtq_device device;
	void *mem;
	size_t len;
	struct vring_desc table[SIZE_MAX_HERE][TABLE_LEN];
	struct {
		bool in_flight;
		unsigned n;
		struct virtq_buf buf[TABLE_LEN];
	} chain[SIZE_MAX_HERE];
	unsigned in_flight;
	uint32_t seed;
};

static uint32_t random_below(struct rig *r, uint32_t n)
{
	r->seed = r->seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)r->seed * n >> 32);
}

static void rig_open(struct rig *r, struct virtq_config config)
{
	memset(r, 0, sizeof(*r));
	r->config = config;
	r->len = virtq_layout(&config).len;
	r->mem = aligned_alloc(4096, (r->len + 4095) & ~4095ul);
	CHECK(r->mem);
	memset(r->mem, 0, r->len);
	CHECK_EQ(virtq_init(&r->vq, &config, r->mem), 0);
	device_init(&r->device, &config, r->mem);
	device_want_kick(&r->device, 1);
}

static void rig_close(struct rig *r)
{
	virtq_exit(&r->vq);
	free(r->mem);
}

static bool room_for(const struct rig *r, unsigned n)
{
	return virtq_has_room(&r->vq, r->config.indirect ? 1 : n);
}

/* Add a chain of n made-up buffers; returns its id. */
static uint16_t add(struct rig *r, unsigned n)
{
	uint16_t id = virtq_next_id(&r->vq);

	CHECK(id < r->config.size && !r->chain[id].in_flight);
	r->chain[id].in_flight = true;
	r->chain[id].n = n;
	r->in_flight++;
	for (unsigned i = 0; i < n; i++)
		r->chain[id].buf[i] =
		    (struct virtq_buf){ (uint64_t)random_below(r, UINT32_MAX) << 9,
					random_below(r, UINT32_MAX), i + 1 == n };
	if (!r->config.indirect) {
		virtq_add_chain(&r->vq, r->chain[id].buf, n);
		return id;
	}
	virtq_write_table(&r->vq, r->table[id], r->chain[id].buf, n);
	virtq_add_indirect(&r->vq, (uintptr_t)r->table[id], n * sizeof(struct vring_desc));
	return id;
}

/* The device takes a chain, which must be as it was added. */
static uint16_t take(struct rig *r)
{
	struct device_chain c;

	CHECK(device_pop(&r->device, &c));
	CHECK(r->chain[c.id].in_flight);
	CHECK_EQ(c.n, r->chain[c.id].n);
	for (unsigned i = 0; i < c.n; i++) {
		CHECK(c.buf[i].iova == r->chain[c.id].buf[i].iova);
		CHECK_EQ(c.buf[i].len, r->chain[c.id].buf[i].len);
		CHECK_EQ(c.buf[i].device_writes, r->chain[c.id].buf[i].device_writes);
	}
	return c.id;
}

static bool nothing_to_take(struct rig *r)
{
	struct device_chain c;

	return !device_pop(&r->device, &c);
}

static void get(struct rig *r, uint16_t want_id, uint32_t want_len)
{
	uint32_t len;
	uint16_t id;

	CHECK_EQ(virtq_get(&r->vq, &id, &len), 1);
	CHECK_EQ(id, want_id);
	CHECK_EQ(len, want_len);
	CHECK(r->chain[id].in_flight);
	r->chain[id].in_flight = false;
	r->in_flight--;
	CHECK_EQ(r->vq.inflight, r->in_flight);
}

static void nothing_to_get(struct rig *r)
{
	uint32_t len;
	uint16_t id;

	CHECK_EQ(virtq_get(&r->vq, &id, &len), 0);
	CHECK(!virtq_has_used(&r->vq, 1));
}

static void refused(struct rig *r)
{
	uint32_t len;
	uint16_t id;

	CHECK_EQ(virtq_get(&r->vq, &id, &len), -EIO);
}

/* ---- A device that works ------------------------------------------------------------------ */

/* Many laps, any number of buffers, returned in any order. */
static void laps(struct rig *r)
{
	uint16_t taken[SIZE_MAX_HERE];

	for (int round = 0; round < 30000; round++) {
		unsigned n = 1 + random_below(r, TABLE_LEN), nr_taken = 0,
			 most = 1 + random_below(r, 9);

		for (unsigned i = 0; i < most && room_for(r, n); i++)
			add(r, n);
		virtq_publish(&r->vq);
		while (nr_taken < r->in_flight)
			taken[nr_taken++] = take(r);
		CHECK(nothing_to_take(r));
		while (nr_taken) {
			unsigned i = random_below(r, nr_taken);
			uint16_t id = taken[i];

			taken[i] = taken[--nr_taken];
			device_push(&r->device, id, id * 3u);
			CHECK(virtq_has_used(&r->vq, 1));
			get(r, id, id * 3u);
		}
		nothing_to_get(r);
		CHECK_EQ(r->vq.nr_free, r->config.size);
	}
}

static void fills_up(struct rig *r)
{
	unsigned n = r->config.indirect ? TABLE_LEN : 2, added = 0;

	for (int lap = 0; lap < 5; lap++) {
		for (added = 0; room_for(r, n); added++)
			add(r, n);
		CHECK_EQ(added, r->config.indirect ? r->config.size : r->config.size / 2);
		virtq_publish(&r->vq);
		for (unsigned i = 0; i < added; i++) {
			uint16_t id = take(r);

			device_push(&r->device, id, 1);
		}
		CHECK(virtq_has_used(&r->vq, r->config.indirect ? added : 1));
		for (unsigned i = 0; i < added; i++) {
			uint32_t len;
			uint16_t id;

			CHECK_EQ(virtq_get(&r->vq, &id, &len), 1);
			r->chain[id].in_flight = false;
			r->in_flight--;
		}
		nothing_to_get(r);
	}
}

static void unpublished_is_invisible(struct rig *r)
{
	for (int round = 0; round < 3 * SIZE_MAX_HERE; round++) {
		uint16_t a, b;

		a = add(r, 1);
		b = add(r, 1);
		CHECK(nothing_to_take(r));
		virtq_publish(&r->vq);
		CHECK_EQ(take(r), a);
		CHECK_EQ(take(r), b);
		CHECK(nothing_to_take(r));
		CHECK(!virtq_publish(&r->vq)); /* nothing new */
		device_push(&r->device, b, 0);
		device_push(&r->device, a, 0);
		get(r, b, 0);
		get(r, a, 0);
	}
}

/* ---- Kicks and signals -------------------------------------------------------------------- */

static void finish(struct rig *r)
{
	while (r->in_flight) {
		uint16_t id = take(r);

		device_push(&r->device, id, 0);
		get(r, id, 0);
	}
}

static void kicks(struct rig *r)
{
	for (int round = 0; round < 3 * SIZE_MAX_HERE; round++) {
		device_want_kick(&r->device, 1);
		add(r, 1);
		CHECK(virtq_publish(&r->vq));
		finish(r);
		device_want_no_kick(&r->device);
		add(r, 1);
		CHECK(!virtq_publish(&r->vq));
		finish(r);
		if (!r->config.event_idx)
			continue;
		device_want_kick(&r->device, 3);
		add(r, 1);
		CHECK(!virtq_publish(&r->vq));
		add(r, 1);
		add(r, 1);
		CHECK(virtq_publish(&r->vq));
		add(r, 1);
		CHECK(!virtq_publish(&r->vq));
		finish(r);
	}
}

static bool push_one(struct rig *r)
{
	device_push(&r->device, take(r), 0);
	return device_must_signal(&r->device);
}

static void get_all(struct rig *r)
{
	uint32_t len;
	uint16_t id;

	while (virtq_get(&r->vq, &id, &len) == 1) {
		r->chain[id].in_flight = false;
		r->in_flight--;
	}
}

static void signals(struct rig *r)
{
	bool ahead = r->config.event_idx && (r->config.indirect || !r->config.packed);

	for (int round = 0; round < 3 * SIZE_MAX_HERE; round++) {
		for (int i = 0; i < 4; i++)
			add(r, 1);
		virtq_publish(&r->vq);
		CHECK(!push_one(r));	     /* nobody asked */
		CHECK(virtq_arm(&r->vq, 1)); /* there already */
		get_all(r);
		CHECK(!virtq_arm(&r->vq, 2));
		if (ahead)
			CHECK(!push_one(r));
		CHECK(push_one(r));
		virtq_disarm(&r->vq);
		get_all(r);
		while (r->in_flight) {
			CHECK(!push_one(r));
			get_all(r);
		}
	}
}

/* ---- A device that does not --------------------------------------------------------------- */

static void id_out_of_range(struct rig *r)
{
	uint16_t bad = (uint16_t)r->config.size;

	add(r, 1);
	virtq_publish(&r->vq);
	take(r);
	if (r->config.packed)
		bad = (uint16_t)(r->config.size + 1000);
	r->device.chain_len[bad] = 1;
	device_push(&r->device, bad, 0);
	refused(r);
	refused(r);
}

static void id_far_out_of_range(struct rig *r)
{
	add(r, 1);
	virtq_publish(&r->vq);
	if (r->config.packed)
		device_push(&r->device, UINT16_MAX / 2, 0);
	else
		r->device.used->ring[0].id = UINT32_MAX, r->device.used->idx = 1;
	refused(r);
}

static void id_not_in_flight(struct rig *r)
{
	uint16_t id = add(r, 1);

	virtq_publish(&r->vq);
	r->device.chain_len[(id + 1) % r->config.size] = 1;
	device_push(&r->device, (uint16_t)((id + 1) % r->config.size), 0);
	refused(r);
}

static void same_id_twice(struct rig *r)
{
	uint16_t a = add(r, 1);

	add(r, 1);
	virtq_publish(&r->vq);
	take(r);
	device_push(&r->device, a, 0);
	device_push(&r->device, a, 0);
	get(r, a, 0);
	refused(r);
}

static void more_used_than_in_flight(struct rig *r)
{
	uint16_t id = add(r, 1);

	virtq_publish(&r->vq);
	take(r);
	device_push(&r->device, id, 0);
	if (!r->config.packed) {
		r->device.used->idx = 2;
		refused(r);
		return;
	}
	device_push(&r->device, id, 0);
	get(r, id, 0);
	refused(r);
}

static void index_goes_back(struct rig *r)
{
	uint16_t id;

	for (int i = 0; i < 3; i++) {
		id = add(r, 1);
		virtq_publish(&r->vq);
		take(r);
		device_push(&r->device, id, 0);
		get(r, id, 0);
	}
	add(r, 1);
	virtq_publish(&r->vq);
	if (r->config.packed) {
		/* a lap behind: not to be seen */
		r->device.pdesc[r->vq.used_pos].flags = 0;
		nothing_to_get(r);
	} else {
		r->device.used->idx -= 2;
		refused(r);
	}
}

static void nothing_in_flight(struct rig *r)
{
	r->device.chain_len[0] = 1;
	device_push(&r->device, 0, 512);
	refused(r);
}

/* Everything that the device can write is garbage while chains are in flight: only its own loss. */
static void scribbles(struct rig *r)
{
	unsigned desc_len = r->config.size * (unsigned)sizeof(struct vring_desc);

	for (int round = 0; round < 1000; round++) {
		uint16_t ids[4];
		unsigned n = 1 + random_below(r, 4);

		for (unsigned i = 0; i < 4; i++)
			ids[i] = room_for(r, n) ? add(r, n) : UINT16_MAX;
		virtq_publish(&r->vq);
		for (unsigned i = 0; i < 4; i++) {
			if (ids[i] != UINT16_MAX)
				CHECK_EQ(take(r), ids[i]);
		}
		if (!r->config.packed)
			memset(r->mem, 0xff, desc_len);
		for (unsigned i = 4; i-- > 0;) {
			if (ids[i] == UINT16_MAX)
				continue;
			device_push(&r->device, ids[i], UINT32_MAX);
			if (!r->config.packed)
				memset(r->mem, (int)random_below(r, 256), desc_len);
			get(r, ids[i], UINT32_MAX);
		}
		CHECK_EQ(r->vq.nr_free, r->config.size);
	}
}

/*
 * Random bytes all over the ring, all the time. Whatever comes back was in flight and comes back
 * once; anything else is an error, after which the ring is made anew.
 */
static void random_garbage(struct rig *r)
{
	unsigned refusals = 0, returned = 0;

	for (int round = 0; round < 100000; round++) {
		uint32_t len;
		uint16_t id;
		int ret = 0;

		if (room_for(r, 2) && random_below(r, 2))
			add(r, 2);
		if (random_below(r, 2))
			virtq_publish(&r->vq);
		for (int i = 0; i < 3; i++)
			((uint8_t *)r->mem)[random_below(r, (uint32_t)r->len)] =
			    (uint8_t)(random_below(r, 4) ? random_below(r, 3)
							 : random_below(r, 256));
		if (!random_below(r, 4))
			virtq_arm(&r->vq, 1 + random_below(r, 3));
		while (r->in_flight && (ret = virtq_get(&r->vq, &id, &len)) == 1) {
			CHECK(id < r->config.size && r->chain[id].in_flight);
			r->chain[id].in_flight = false;
			r->in_flight--;
			returned++;
		}
		if (ret < 0) {
			uint32_t seed = r->seed;

			CHECK_EQ(ret, -EIO);
			refusals++;
			rig_close(r);
			rig_open(r, r->config);
			r->seed = seed;
		}
	}
	printf("%u refused, %u returned\n", refusals, returned);
	CHECK(refusals);
}

/* ---- Every kind of ring ------------------------------------------------------------------- */

static void on_each_kind(void (*test)(struct rig *), unsigned smallest)
{
	struct rig *r = calloc(1, sizeof(*r));

	CHECK(r);
	for (unsigned kind = 0; kind < 8; kind++) {
		for (unsigned size = smallest; size <= SIZE_MAX_HERE; size *= 2) {
			struct virtq_config c = { size, kind & 1, kind & 2, kind & 4 };

			printf("%s%s%s, %u entries\n", c.packed ? "packed" : "split",
			       c.event_idx ? ", event index" : "", c.indirect ? ", indirect" : "",
			       size);
			rig_open(r, c);
			test(r);
			rig_close(r);
		}
	}
	free(r);
}

#define ON_EACH_KIND(test, smallest)                                                               \
	static void each_##test(struct device *d)                                                  \
	{                                                                                          \
		(void)d;                                                                           \
		on_each_kind(test, smallest);                                                      \
	}

ON_EACH_KIND(laps, 8)
ON_EACH_KIND(fills_up, 2)
ON_EACH_KIND(unpublished_is_invisible, 2)
ON_EACH_KIND(kicks, 4)
ON_EACH_KIND(signals, 4)
ON_EACH_KIND(id_out_of_range, 2)
ON_EACH_KIND(id_far_out_of_range, 2)
ON_EACH_KIND(id_not_in_flight, 2)
ON_EACH_KIND(same_id_twice, 2)
ON_EACH_KIND(more_used_than_in_flight, 2)
ON_EACH_KIND(index_goes_back, 4)
ON_EACH_KIND(nothing_in_flight, 2)
ON_EACH_KIND(scribbles, 4)
ON_EACH_KIND(random_garbage, 4)

static const struct test tests[] = {
	{ "laps", each_laps, .timeout = 60 },
	{ "fills up", each_fills_up },
	{ "what is not published is invisible", each_unpublished_is_invisible },
	{ "kicks", each_kicks },
	{ "signals", each_signals },
	{ "id out of range", each_id_out_of_range },
	{ "id far out of range", each_id_far_out_of_range },
	{ "id not in flight", each_id_not_in_flight },
	{ "same id twice", each_same_id_twice },
	{ "more used than in flight", each_more_used_than_in_flight },
	{ "index goes back", each_index_goes_back },
	{ "nothing in flight", each_nothing_in_flight },
	{ "device scribbles over descriptors", each_scribbles },
	{ "random garbage", each_random_garbage, .timeout = 60 },
};
TEST_MAIN(tests)
