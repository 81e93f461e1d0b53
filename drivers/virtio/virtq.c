/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See virtq.h: what is not on the path of a plain request over a split ring. */
#include "virtio/virtq.h"

#include <stdlib.h>
#include <string.h>

/* Of a part of the ring: more than any format asks for, and no cache line is shared. */
#define PART_ALIGN 128

#define AVAIL_BIT (1U << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT  (1U << VRING_PACKED_DESC_F_USED)

/* ---- Set-up ------------------------------------------------------------------------------- */

struct virtq_layout virtq_layout(const struct virtq_config *c)
{
	size_t driver_len = sizeof(struct vring_packed_desc_event);
	size_t device_len = sizeof(struct vring_packed_desc_event);
	struct virtq_layout l = { 0 };

	if (!c->packed) {
		/* Each has room for the other side's event index at its end. */
		driver_len = sizeof(struct vring_avail) + (c->size + 1) * sizeof(uint16_t);
		device_len = sizeof(struct vring_used) + c->size * sizeof(struct vring_used_elem) +
			     sizeof(uint16_t);
	}
	l.driver = round_up(c->size * sizeof(struct vring_desc), PART_ALIGN);
	l.device = round_up(l.driver + driver_len, PART_ALIGN);
	l.len = round_up(l.device + device_len, PART_ALIGN);
	return l;
}

void virtq_reset(struct virtq *vq, const struct virtq_config *c, void *mem)
{
	struct virtq_layout l = virtq_layout(c);
	struct virtq_chain *chain = vq->chain;
	char *base = mem;

	*vq = (struct virtq){
		.chain = chain,
		.size = c->size,
		.size_mask = c->size - 1,
		.nr_free = c->size,
		.packed = c->packed,
		.event_idx = c->event_idx,
		.indirect = c->indirect,
		.avail_wrap = true,
		.used_wrap = true,
	};
	for (unsigned i = 0; i < c->size; i++)
		chain[i] = (struct virtq_chain){ .next = (i + 1) & vq->size_mask };

	memset(mem, 0, l.len);
	if (c->packed) {
		vq->pdesc = mem;
		vq->driver_event = (void *)(base + l.driver);
		vq->device_event = (void *)(base + l.device);
		vq->driver_event->flags = htole16(VRING_PACKED_EVENT_FLAG_DISABLE);
	} else {
		vq->desc = mem;
		vq->avail = (void *)(base + l.driver);
		vq->used = (void *)(base + l.device);
		vq->avail_event = (void *)&vq->used->ring[c->size];
		if (c->event_idx)
			vq->avail->ring[c->size] = htole16(UINT16_MAX); /* as far as can be */
		else
			vq->avail->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT);
	}
}

int virtq_init(struct virtq *vq, const struct virtq_config *c, void *mem)
{
	vq->chain = calloc(c->size, sizeof(*vq->chain));
	if (!vq->chain)
		return -ENOMEM;
	virtq_reset(vq, c, mem);
	return 0;
}

void virtq_exit(struct virtq *vq)
{
	free(vq->chain);
	vq->chain = NULL;
}

/* ---- Chains of several buffers ------------------------------------------------------------ */

void virtq_write_table(const struct virtq *vq, void *table, const struct virtq_buf *bufs,
		       unsigned n)
{
	struct vring_desc *desc = table;

	for (unsigned i = 0; i < n; i++) {
		uint16_t flags = bufs[i].device_writes ? VRING_DESC_F_WRITE : 0;

		/* A packed ring's table is read from first to last: it has no links. */
		if (i + 1 < n && !vq->packed)
			flags |= VRING_DESC_F_NEXT;
		virtq_write_desc(&desc[i], bufs[i].iova,
				 virtq_desc_tail(vq, bufs[i].len, flags, i + 1));
	}
}

static void add_packed_chain(struct virtq *vq, const struct virtq_buf *bufs, unsigned n)
{
	uint16_t id = vq->free_id;

	vq->free_id = vq->chain[id].next;
	vq->chain[id].len = n;
	for (unsigned i = 0; i < n; i++) {
		uint16_t flags = (bufs[i].device_writes ? VRING_DESC_F_WRITE : 0) |
				 (i + 1 < n ? VRING_DESC_F_NEXT : 0);

		virtq_write_packed(vq, bufs[i].iova, bufs[i].len, id, flags);
	}
}

static void add_split_chain(struct virtq *vq, const struct virtq_buf *bufs, unsigned n)
{
	uint16_t id = vq->free_id, at = id;

	for (unsigned i = 0; i < n; i++) {
		uint16_t flags = (bufs[i].device_writes ? VRING_DESC_F_WRITE : 0) |
				 (i + 1 < n ? VRING_DESC_F_NEXT : 0);
		uint16_t next = vq->chain[at].next;

		virtq_write_desc(&vq->desc[at], bufs[i].iova,
				 virtq_desc_tail(vq, bufs[i].len, flags, next));
		at = next;
	}
	vq->free_id = at;
	vq->chain[id].len = n;
	VIRTQ_STORE(vq->avail->ring[vq->avail_pos & vq->size_mask], htole16(id));
	vq->avail_pos++;
	vq->added++;
}

void virtq_add_chain(struct virtq *vq, const struct virtq_buf *bufs, unsigned n)
{
	if (vq->packed)
		add_packed_chain(vq, bufs, n);
	else
		add_split_chain(vq, bufs, n);
	vq->nr_free -= n;
	vq->inflight++;
}

void virtq_forget(struct virtq *vq, uint16_t id)
{
	if (vq->chain[id].len)
		virtq_free_chain(vq, id);
}

int virtq_unshown(const struct virtq *vq)
{
	unsigned left = vq->added, pos = vq->first_pos, n = 0;

	if (!vq->packed)
		return left;
	while (left) {
		unsigned id = le16toh(VIRTQ_LOAD(vq->pdesc[pos].id)), len;

		len = id < vq->size ? vq->chain[id].len : 0;
		if (!len || len > left)
			return -EIO;
		left -= len;
		pos = (pos + len) % vq->size;
		n++;
	}
	return n;
}

/* ---- Packed ring -------------------------------------------------------------------------- */

bool virtq_publish_packed(struct virtq *vq, uint16_t added)
{
	struct vring_packed_desc *first = &vq->pdesc[vq->first_pos];
	uint32_t word;
	uint16_t event, flags;

	/* Release: all that was added is there before the device may pass the first of it. */
	__atomic_store_n(&first->flags, htole16(vq->first_flags), __ATOMIC_RELEASE);
	/* The device writes its event structure, then looks at the ring; we the other way. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	word = le32toh(VIRTQ_LOAD(*(virtq_half *)vq->device_event));
	flags = word >> 16;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	event = word & ~(1U << VRING_PACKED_EVENT_F_WRAP_CTR);
	if ((word >> VRING_PACKED_EVENT_F_WRAP_CTR & 1) != vq->avail_wrap)
		event -= vq->size;
	return vring_need_event(event, vq->avail_pos, vq->avail_pos - added);
}

static bool is_used(const struct virtq *vq, uint16_t pos, bool wrap)
{
	/* Acquire: id, length and data were written before the flags. */
	uint16_t flags = le16toh(__atomic_load_n(&vq->pdesc[pos].flags, __ATOMIC_ACQUIRE));

	return !!(flags & AVAIL_BIT) == wrap && !!(flags & USED_BIT) == wrap;
}

/* The position n behind the next to be used; *wrap is the lap it is in. */
static uint16_t used_after(const struct virtq *vq, unsigned n, bool *wrap)
{
	unsigned pos = vq->used_pos + n;

	*wrap = vq->used_wrap;
	if (pos >= vq->size) {
		pos -= vq->size;
		*wrap = !*wrap;
	}
	return pos;
}

/* The device skips as many positions as a chain has descriptors: only of one can we tell ahead. */
static unsigned foreseeable(const struct virtq *vq, unsigned n)
{
	return vq->indirect && n <= vq->size ? n : 1;
}

bool virtq_has_used_packed(const struct virtq *vq, unsigned n)
{
	bool wrap;
	uint16_t pos = used_after(vq, foreseeable(vq, n) - 1, &wrap);

	return is_used(vq, pos, wrap);
}

int virtq_get_packed(struct virtq *vq, uint16_t *id, uint32_t *len)
{
	uint64_t tail;
	uint16_t i;

	if (!is_used(vq, vq->used_pos, vq->used_wrap))
		return 0;
	/* Once: the device may change it at any time. */
	tail = le64toh(VIRTQ_LOAD(*(virtq_word *)&vq->pdesc[vq->used_pos].len));
	i = tail >> 32;
	if (i >= vq->size || !vq->chain[i].len)
		return -EIO;
	vq->used_pos = used_after(vq, vq->chain[i].len, &vq->used_wrap);
	*id = i;
	*len = (uint32_t)tail;
	virtq_free_chain(vq, i);
	return 1;
}

/* ---- Signals ------------------------------------------------------------------------------ */

static void arm_packed(struct virtq *vq, unsigned n)
{
	bool wrap;
	uint16_t pos = used_after(vq, foreseeable(vq, n) - 1, &wrap);
	uint16_t flags = VRING_PACKED_EVENT_FLAG_ENABLE;

	if (vq->event_idx) {
		flags = VRING_PACKED_EVENT_FLAG_DESC;
		VIRTQ_STORE(vq->driver_event->off_wrap,
			    htole16(pos | wrap << VRING_PACKED_EVENT_F_WRAP_CTR));
	}
	/* Release: the position is there before the flag that makes it count. */
	__atomic_store_n(&vq->driver_event->flags, htole16(flags), __ATOMIC_RELEASE);
	vq->flags_armed = true;
}

bool virtq_arm(struct virtq *vq, unsigned n)
{
	if (vq->packed) {
		arm_packed(vq, n);
	} else if (vq->event_idx) {
		VIRTQ_STORE(vq->avail->ring[vq->size], htole16(vq->used_pos + n - 1));
	} else {
		VIRTQ_STORE(vq->avail->flags, 0);
		vq->flags_armed = true;
	}
	/* The device writes what it used, then looks whether to signal; we the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return virtq_has_used(vq, n);
}

void virtq_disarm(struct virtq *vq)
{
	/* An event index that has been passed is as good as disarmed. */
	if (!vq->flags_armed)
		return;
	vq->flags_armed = false;
	if (vq->packed)
		VIRTQ_STORE(vq->driver_event->flags, htole16(VRING_PACKED_EVENT_FLAG_DISABLE));
	else
		VIRTQ_STORE(vq->avail->flags, htole16(VRING_AVAIL_F_NO_INTERRUPT));
}
