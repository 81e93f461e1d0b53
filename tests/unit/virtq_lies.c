/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The virtqueue with a device that breaks every rule it can. */
#include "virtq_rig.h"

static void id_out_of_range(struct rig *r)
{
	uint16_t bad = (uint16_t)r->config.size;

	rig_add(r, 1);
	virtq_publish(&r->vq);
	rig_take(r);
	if (r->config.packed)
		bad = (uint16_t)(r->config.size + 1000);
	r->device.chain_len[bad] = 1;
	device_push(&r->device, bad, 0);
	rig_refused(r);
	rig_refused(r);
}

static void id_far_out_of_range(struct rig *r)
{
	rig_add(r, 1);
	virtq_publish(&r->vq);
	if (r->config.packed)
		device_push(&r->device, UINT16_MAX / 2, 0);
	else
		r->device.used->ring[0].id = UINT32_MAX, r->device.used->idx = 1;
	rig_refused(r);
}

static void id_not_in_flight(struct rig *r)
{
	uint16_t id = rig_add(r, 1);

	virtq_publish(&r->vq);
	r->device.chain_len[(id + 1) % r->config.size] = 1;
	device_push(&r->device, (uint16_t)((id + 1) % r->config.size), 0);
	rig_refused(r);
}

static void same_id_twice(struct rig *r)
{
	uint16_t a = rig_add(r, 1);

	rig_add(r, 1);
	virtq_publish(&r->vq);
	rig_take(r);
	device_push(&r->device, a, 0);
	device_push(&r->device, a, 0);
	rig_get(r, a, 0);
	rig_refused(r);
}

static void more_used_than_in_flight(struct rig *r)
{
	uint16_t id = rig_add(r, 1);

	virtq_publish(&r->vq);
	rig_take(r);
	device_push(&r->device, id, 0);
	if (!r->config.packed) {
		r->device.used->idx = 2;
		rig_refused(r);
		return;
	}
	device_push(&r->device, id, 0);
	rig_get(r, id, 0);
	rig_refused(r);
}

static void index_goes_back(struct rig *r)
{
	uint16_t id;

	for (int i = 0; i < 3; i++) {
		id = rig_add(r, 1);
		virtq_publish(&r->vq);
		rig_take(r);
		device_push(&r->device, id, 0);
		rig_get(r, id, 0);
	}
	rig_add(r, 1);
	virtq_publish(&r->vq);
	if (r->config.packed) {
		/* a lap behind: not to be seen */
		r->device.pdesc[r->vq.used_pos].flags = 0;
		rig_nothing_to_get(r);
	} else {
		r->device.used->idx -= 2;
		rig_refused(r);
	}
}

static void nothing_in_flight(struct rig *r)
{
	r->device.chain_len[0] = 1;
	device_push(&r->device, 0, 512);
	rig_refused(r);
}

/* Everything that the device can write is garbage while chains are in flight: only its own loss. */
static void scribbles(struct rig *r)
{
	unsigned desc_len = r->config.size * (unsigned)sizeof(struct vring_desc);

	for (int round = 0; round < 1000; round++) {
		uint16_t ids[4];
		unsigned n = 1 + rig_random(r, 4);

		for (unsigned i = 0; i < 4; i++)
			ids[i] = rig_room_for(r, n) ? rig_add(r, n) : UINT16_MAX;
		virtq_publish(&r->vq);
		for (unsigned i = 0; i < 4; i++) {
			if (ids[i] != UINT16_MAX)
				CHECK_EQ(rig_take(r), ids[i]);
		}
		if (!r->config.packed)
			memset(r->mem, 0xff, desc_len);
		for (unsigned i = 4; i-- > 0;) {
			if (ids[i] == UINT16_MAX)
				continue;
			device_push(&r->device, ids[i], UINT32_MAX);
			if (!r->config.packed)
				memset(r->mem, (int)rig_random(r, 256), desc_len);
			rig_get(r, ids[i], UINT32_MAX);
		}
		CHECK_EQ(r->vq.nr_free, r->config.size);
	}
}

/*
 * Random bytes all over the ring, all the time. Whatever comes back was in flight and comes back
 * once; anything else is an error, after which the ring is set up again.
 */
static void random_garbage(struct rig *r)
{
	unsigned refusals = 0, returned = 0;

	for (int round = 0; round < 100000; round++) {
		uint32_t len;
		uint16_t id;
		int ret = 0;

		if (rig_room_for(r, 2) && rig_random(r, 2))
			rig_add(r, 2);
		if (rig_random(r, 2))
			virtq_publish(&r->vq);
		for (int i = 0; i < 3; i++)
			((uint8_t *)r->mem)[rig_random(r, (uint32_t)r->len)] =
			    (uint8_t)(rig_random(r, 4) ? rig_random(r, 3) : rig_random(r, 256));
		if (!rig_random(r, 4))
			virtq_arm(&r->vq, 1 + rig_random(r, 3));
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
