/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The virtqueue with a device that works. */
#include "virtq_rig.h"

/* Many laps, any number of buffers, returned in any order. */
static void laps(struct rig *r)
{
	uint16_t taken[RIG_SIZE_MAX];

	for (int round = 0; round < 30000; round++) {
		unsigned n = 1 + rig_random(r, TABLE_LEN), nr_taken = 0,
			 most = 1 + rig_random(r, 9);

		for (unsigned i = 0; i < most && rig_room_for(r, n); i++)
			rig_add(r, n);
		virtq_publish(&r->vq);
		while (nr_taken < r->in_flight)
			taken[nr_taken++] = rig_take(r);
		CHECK(rig_nothing_to_take(r));
		while (nr_taken) {
			unsigned i = rig_random(r, nr_taken);
			uint16_t id = taken[i];

			taken[i] = taken[--nr_taken];
			device_push(&r->device, id, id * 3u);
			CHECK(virtq_has_used(&r->vq, 1));
			rig_get(r, id, id * 3u);
		}
		rig_nothing_to_get(r);
		CHECK_EQ(r->vq.nr_free, r->config.size);
	}
}

static void fills_up(struct rig *r)
{
	unsigned n = r->config.indirect ? TABLE_LEN : 2, added = 0;

	for (int lap = 0; lap < 5; lap++) {
		for (added = 0; rig_room_for(r, n); added++)
			rig_add(r, n);
		CHECK_EQ(added, r->config.indirect ? r->config.size : r->config.size / 2);
		virtq_publish(&r->vq);
		for (unsigned i = 0; i < added; i++) {
			uint16_t id = rig_take(r);

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
		rig_nothing_to_get(r);
	}
}

static void unpublished_is_invisible(struct rig *r)
{
	for (int round = 0; round < 3 * RIG_SIZE_MAX; round++) {
		uint16_t a, b;

		a = rig_add(r, 1);
		b = rig_add(r, 1);
		CHECK(rig_nothing_to_take(r));
		virtq_publish(&r->vq);
		CHECK_EQ(rig_take(r), a);
		CHECK_EQ(rig_take(r), b);
		CHECK(rig_nothing_to_take(r));
		CHECK(!virtq_publish(&r->vq)); /* nothing new */
		device_push(&r->device, b, 0);
		device_push(&r->device, a, 0);
		rig_get(r, b, 0);
		rig_get(r, a, 0);
	}
}

/* ---- Kicks and signals -------------------------------------------------------------------- */

static void finish(struct rig *r)
{
	while (r->in_flight) {
		uint16_t id = rig_take(r);

		device_push(&r->device, id, 0);
		rig_get(r, id, 0);
	}
}

static void kicks(struct rig *r)
{
	for (int round = 0; round < 3 * RIG_SIZE_MAX; round++) {
		device_want_kick(&r->device, 1);
		rig_add(r, 1);
		CHECK(virtq_publish(&r->vq));
		finish(r);
		device_want_no_kick(&r->device);
		rig_add(r, 1);
		CHECK(!virtq_publish(&r->vq));
		finish(r);
		if (!r->config.event_idx)
			continue;
		device_want_kick(&r->device, 3);
		rig_add(r, 1);
		CHECK(!virtq_publish(&r->vq));
		rig_add(r, 1);
		rig_add(r, 1);
		CHECK(virtq_publish(&r->vq));
		rig_add(r, 1);
		CHECK(!virtq_publish(&r->vq));
		finish(r);
	}
}

static bool push_one(struct rig *r)
{
	device_push(&r->device, rig_take(r), 0);
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

	for (int round = 0; round < 3 * RIG_SIZE_MAX; round++) {
		for (int i = 0; i < 4; i++)
			rig_add(r, 1);
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

ON_EACH_KIND(laps, 8)
ON_EACH_KIND(fills_up, 2)
ON_EACH_KIND(unpublished_is_invisible, 2)
ON_EACH_KIND(kicks, 4)
ON_EACH_KIND(signals, 4)

static const struct test tests[] = {
	{ "laps", each_laps, .timeout = 60 },
	{ "fills up", each_fills_up },
	{ "what is not published is invisible", each_unpublished_is_invisible },
	{ "kicks", each_kicks },
	{ "signals", each_signals },
};
TEST_MAIN(tests)
