/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See traffic.h: a virtio device. It may write to all of the memory that it shares. */
#include "traffic.h"

#include <sys/eventfd.h>

#include "virtio/virtio_blk.h"

#define AVAIL (1U << VRING_PACKED_DESC_F_AVAIL)
#define USED  (1U << VRING_PACKED_DESC_F_USED)

static struct virtio_queue *pick(struct traffic *t, unsigned *index)
{
	struct virtio_blk *v = container_of(t->b, struct virtio_blk, b);
	uint8_t which = fuzz_u8(t->in);
	unsigned i = which % TRAFFIC_QUEUES;

	if (which >= 0xd0)
		return NULL; /* it does nothing */
	if (!v->queues[i])
		i = 0;
	*index = i;
	return v->queues[i];
}

/* The first chain in flight from this id on; any, when there is none. */
static uint16_t in_flight(const struct virtio_queue *q, uint16_t id)
{
	for (unsigned i = 0; i < q->vq.size; i++) {
		uint16_t at = (id + i) % q->vq.size;

		if (q->vq.chain[at].len)
			return at;
	}
	return id % q->vq.size;
}

static void push_packed(struct traffic *t, unsigned i, struct virtio_queue *q, uint16_t id,
			uint32_t len)
{
	struct vring_packed_desc *desc = &q->vq.pdesc[t->used[i].pos % q->vq.size];
	unsigned n = id < q->vq.size && q->vq.chain[id].len ? q->vq.chain[id].len : 1;

	desc->id = id;
	desc->len = len;
	__atomic_store_n(&desc->flags, t->used[i].wrap ? AVAIL | USED : 0, __ATOMIC_RELEASE);
	t->used[i].pos += n;
	if (t->used[i].pos >= q->vq.size) {
		t->used[i].pos -= q->vq.size;
		t->used[i].wrap = !t->used[i].wrap;
	}
}

static void push(struct traffic *t, unsigned i, struct virtio_queue *q, uint32_t id, uint32_t len)
{
	if (q->vq.packed) {
		push_packed(t, i, q, id, len);
		return;
	}
	q->vq.used->ring[t->used[i].pos++ & q->vq.size_mask] = (struct vring_used_elem){ id, len };
	__atomic_store_n(&q->vq.used->idx, t->used[i].pos, __ATOMIC_RELEASE);
}

/* As a good device would. */
static void complete(struct traffic *t, unsigned i, struct virtio_queue *q)
{
	uint16_t id = in_flight(q, fuzz_u8(t->in));

	if (!q->vq.chain[id].len)
		return;
	q->slots[id].status = VIRTIO_BLK_S_OK;
	push(t, i, q, id, 1);
}

static void complete_badly(struct traffic *t, unsigned i, struct virtio_queue *q)
{
	uint16_t id = in_flight(q, fuzz_u8(t->in));
	uint8_t how = fuzz_u8(t->in);

	if (how & 1)
		q->slots[id].status = how >> 1;
	push(t, i, q, how & 2 ? fuzz_u16(t->in) : id, how & 4 ? fuzz_u32(t->in) : 1);
}

/* Anywhere: descriptors, rings, slots, tables. */
static void scribble(struct traffic *t, struct virtio_queue *q)
{
	size_t len = virtio_queue_memory(q->v), at = fuzz_u16(t->in);
	uint8_t n = fuzz_u8(t->in);

	/* One in four begins at the part that the driver reads. */
	if (n >= 0xc0)
		at = (char *)q->vring.device - (char *)q->vring.desc + (at & 0xff);
	at %= len;
	n = 1 + (n & 15);
	fuzz_bytes(t->in, (char *)q->vring.desc + at, n < len - at ? n : len - at);
}

static bool turn(struct traffic *t)
{
	struct virtio_queue *q;
	unsigned i;
	uint8_t op;

	q = pick(t, &i);
	if (!q)
		return false;
	op = fuzz_u8(t->in) % 16;
	if (op < 6)
		complete(t, i, q);
	else if (op < 9)
		complete_badly(t, i, q);
	else if (op < 12)
		scribble(t, q);
	else if (op == 12)
		t->used[i].pos = fuzz_u16(t->in) & (q->vq.packed ? q->vq.size_mask : 0xffff);
	else
		eventfd_write(q->vring.call_fd, 1);
	return true;
}

static bool is_given_up(const struct blkio *b)
{
	return virtio_failure(container_of(b, struct virtio_blk, b));
}

const struct traffic_device traffic_virtio = { turn, is_given_up };
