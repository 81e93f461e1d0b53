/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See virtq_rig.h. */
#include "virtq_rig.h"

uint32_t rig_random(struct rig *r, uint32_t n)
{
	r->seed = r->seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)r->seed * n >> 32);
}

void rig_open(struct rig *r, struct virtq_config config)
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

void rig_close(struct rig *r)
{
	virtq_exit(&r->vq);
	free(r->mem);
}

bool rig_room_for(const struct rig *r, unsigned n)
{
	return virtq_has_room(&r->vq, r->config.indirect ? 1 : n);
}

uint16_t rig_add(struct rig *r, unsigned n)
{
	uint16_t id = virtq_next_id(&r->vq);

	CHECK(id < r->config.size && !r->chain[id].in_flight);
	r->chain[id].in_flight = true;
	r->chain[id].n = n;
	r->in_flight++;
	for (unsigned i = 0; i < n; i++)
		r->chain[id].buf[i] = (struct virtq_buf){ (uint64_t)rig_random(r, UINT32_MAX) << 9,
							  rig_random(r, UINT32_MAX), i + 1 == n };
	if (!r->config.indirect) {
		virtq_add_chain(&r->vq, r->chain[id].buf, n);
		return id;
	}
	virtq_write_table(&r->vq, r->table[id], r->chain[id].buf, n);
	virtq_add_indirect(&r->vq, (uintptr_t)r->table[id], n * sizeof(struct vring_desc));
	return id;
}

uint16_t rig_take(struct rig *r)
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

bool rig_nothing_to_take(struct rig *r)
{
	struct device_chain c;

	return !device_pop(&r->device, &c);
}

void rig_get(struct rig *r, uint16_t want_id, uint32_t want_len)
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

void rig_nothing_to_get(struct rig *r)
{
	uint32_t len;
	uint16_t id;

	CHECK_EQ(virtq_get(&r->vq, &id, &len), 0);
	CHECK(!virtq_has_used(&r->vq, 1));
}

void rig_refused(struct rig *r)
{
	uint32_t len;
	uint16_t id;

	CHECK_EQ(virtq_get(&r->vq, &id, &len), -EIO);
}

void rig_on_each_kind(void (*test)(struct rig *), unsigned smallest)
{
	struct rig *r = calloc(1, sizeof(*r));

	CHECK(r);
	for (unsigned kind = 0; kind < 8; kind++) {
		for (unsigned size = smallest; size <= RIG_SIZE_MAX; size *= 2) {
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
