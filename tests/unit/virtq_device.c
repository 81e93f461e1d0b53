/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See virtq_device.h. */
#include "virtq_device.h"

#include "test.h"

#define AVAIL (1u << 7)
#define USED  (1u << 15)

void device_init(struct virtq_device *d, const struct virtq_config *c, void *mem)
{
	struct virtq_layout l = virtq_layout(c);
	char *base = mem;

	memset(d, 0, sizeof(*d));
	d->config = *c;
	d->desc = mem;
	d->pdesc = mem;
	d->avail = (void *)(base + l.driver);
	d->driver_event = (void *)(base + l.driver);
	d->used = (void *)(base + l.device);
	d->device_event = (void *)(base + l.device);
	d->avail_event = (void *)&d->used->ring[c->size];
	d->avail_wrap = d->used_wrap = true;
}

/* ---- Split -------------------------------------------------------------------------------- */

static void follow_split(const struct vring_desc *table, unsigned size, unsigned i,
			 struct device_chain *c)
{
	for (;;) {
		const struct vring_desc *desc = &table[i];

		CHECK(i < size && c->n < DEVICE_BUFS_MAX);
		c->buf[c->n++] =
		    (struct virtq_buf){ desc->addr, desc->len, desc->flags & VRING_DESC_F_WRITE };
		if (!(desc->flags & VRING_DESC_F_NEXT))
			return;
		i = desc->next;
	}
}

static bool pop_split(struct virtq_device *d, struct device_chain *c)
{
	unsigned size = d->config.size;
	const struct vring_desc *desc;

	if (__atomic_load_n(&d->avail->idx, __ATOMIC_ACQUIRE) == d->avail_pos)
		return false;
	c->id = d->avail->ring[d->avail_pos++ % size];
	c->n = 0;
	CHECK(c->id < size);
	desc = &d->desc[c->id];
	if (desc->flags & VRING_DESC_F_INDIRECT) {
		CHECK(d->config.indirect && desc->len && desc->len % sizeof(*desc) == 0);
		follow_split((void *)(uintptr_t)desc->addr, desc->len / sizeof(*desc), 0, c);
	} else {
		follow_split(d->desc, size, c->id, c);
	}
	return true;
}

/* ---- Packed ------------------------------------------------------------------------------- */

static void advance(const struct virtq_device *d, uint16_t *pos, bool *wrap, unsigned n)
{
	unsigned next = *pos + n;

	if (next >= d->config.size) {
		next -= d->config.size;
		*wrap = !*wrap;
	}
	*pos = (uint16_t)next;
}

static bool pop_packed(struct virtq_device *d, struct device_chain *c)
{
	const struct vring_packed_desc *desc = &d->pdesc[d->avail_pos];
	uint16_t flags = __atomic_load_n(&desc->flags, __ATOMIC_ACQUIRE);
	unsigned taken = 0;

	if (!!(flags & AVAIL) != d->avail_wrap || !!(flags & USED) == d->avail_wrap)
		return false;
	c->n = 0;
	if (flags & VRING_DESC_F_INDIRECT) {
		const struct vring_packed_desc *table = (void *)(uintptr_t)desc->addr;

		CHECK(d->config.indirect && desc->len && desc->len % sizeof(*desc) == 0);
		for (; c->n < desc->len / sizeof(*desc); c->n++)
			c->buf[c->n] = (struct virtq_buf){ table[c->n].addr, table[c->n].len,
							   table[c->n].flags & VRING_DESC_F_WRITE };
		taken = 1;
		c->id = desc->id;
		advance(d, &d->avail_pos, &d->avail_wrap, 1);
	} else {
		do {
			desc = &d->pdesc[d->avail_pos];
			flags = desc->flags;
			CHECK(!!(flags & AVAIL) == d->avail_wrap &&
			      !!(flags & USED) != d->avail_wrap);
			c->buf[c->n++] =
			    (struct virtq_buf){ desc->addr, desc->len, flags & VRING_DESC_F_WRITE };
			c->id = desc->id; /* that of the last counts */
			taken++;
			advance(d, &d->avail_pos, &d->avail_wrap, 1);
		} while (flags & VRING_DESC_F_NEXT);
	}
	CHECK(c->id < d->config.size);
	d->chain_len[c->id] = (uint16_t)taken;
	return true;
}

/* ---- Both --------------------------------------------------------------------------------- */

bool device_pop(struct virtq_device *d, struct device_chain *c)
{
	return d->config.packed ? pop_packed(d, c) : pop_split(d, c);
}

void device_push(struct virtq_device *d, uint16_t id, uint32_t len)
{
	if (d->config.packed) {
		struct vring_packed_desc *desc = &d->pdesc[d->used_pos];

		desc->id = id;
		desc->len = len;
		__atomic_store_n(&desc->flags, d->used_wrap ? AVAIL | USED : 0, __ATOMIC_RELEASE);
		advance(d, &d->used_pos, &d->used_wrap, d->chain_len[id]);
		return;
	}
	d->used->ring[d->used_pos++ % d->config.size] = (struct vring_used_elem){ id, len };
	__atomic_store_n(&d->used->idx, d->used_pos, __ATOMIC_RELEASE);
}

static bool packed_wants(const struct vring_packed_desc_event *e, uint16_t old, uint16_t new,
			 bool wrap, unsigned size)
{
	uint16_t event = e->off_wrap & 0x7fff;

	if (e->flags != VRING_PACKED_EVENT_FLAG_DESC)
		return e->flags == VRING_PACKED_EVENT_FLAG_ENABLE && old != new;
	if ((bool)(e->off_wrap >> 15) != wrap)
		event = (uint16_t)(event - size);
	if (new < old)
		old = (uint16_t)(old - size);
	return vring_need_event(event, new, old);
}

bool device_must_signal(struct virtq_device *d)
{
	uint16_t old = d->signalled, now = d->used_pos;

	d->signalled = now;
	if (d->config.packed)
		return packed_wants(d->driver_event, old, now, d->used_wrap, d->config.size);
	if (d->config.event_idx)
		return vring_need_event(d->avail->ring[d->config.size], now, old);
	return !(d->avail->flags & VRING_AVAIL_F_NO_INTERRUPT) && old != now;
}

void device_want_kick(struct virtq_device *d, unsigned n)
{
	uint16_t pos = d->avail_pos;
	bool wrap = d->avail_wrap;

	if (!d->config.packed) {
		*d->avail_event = (uint16_t)(pos + n - 1);
		d->used->flags = 0;
		return;
	}
	advance(d, &pos, &wrap, n - 1);
	d->device_event->off_wrap = (uint16_t)(pos | wrap << 15);
	d->device_event->flags =
	    d->config.event_idx ? VRING_PACKED_EVENT_FLAG_DESC : VRING_PACKED_EVENT_FLAG_ENABLE;
}

void device_want_no_kick(struct virtq_device *d)
{
	if (d->config.packed)
		d->device_event->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	else if (d->config.event_idx)
		*d->avail_event = (uint16_t)(d->avail_pos - 1);
	else
		d->used->flags = VRING_USED_F_NO_NOTIFY;
}
