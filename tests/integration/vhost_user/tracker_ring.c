/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See tracker.h. The notes are laid out, and made, as "Inflight I/O tracking" of vhost-user says.
 */
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <unistd.h>

#include "tracker.h"

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED  (1u << VRING_PACKED_DESC_F_USED)

struct split_note {
	uint8_t inflight, padding[5];
	uint16_t next;
	uint64_t counter;
};

struct split_notes {
	uint64_t features;
	uint16_t version, desc_num, last_batch_head, used_idx;
	struct split_note note[];
};

struct packed_note {
	uint8_t inflight, padding;
	uint16_t next, last, num;
	uint64_t counter;
	uint16_t id, flags;
	uint32_t len;
	uint64_t addr;
};

struct packed_notes {
	uint64_t features;
	uint16_t version, desc_num, free_head, old_free_head, used_idx, old_used_idx;
	uint8_t used_wrap, old_used_wrap, padding[10];
	struct packed_note note[];
};

static uint64_t counter;

void tracker_step(struct tracker_server *s)
{
	if (s->shared->steps_left && !--s->shared->steps_left)
		_exit(TRACKER_DIED);
}

unsigned tracker_notes_len(unsigned size)
{
	return (unsigned)(sizeof(struct packed_notes) + size * sizeof(struct packed_note) + 63) &
	       ~63u;
}

void tracker_new_notes(const struct tracker_server *s, void *notes, unsigned size)
{
	struct packed_notes *p = notes;
	struct split_notes *n = notes;

	if (!s->packed) {
		n->version = 1;
		n->desc_num = (uint16_t)size;
		return;
	}
	p->version = 1;
	p->desc_num = (uint16_t)size;
	p->used_wrap = p->old_used_wrap = 1;
	for (unsigned i = 0; i < size; i++)
		p->note[i].next = (uint16_t)(i + 1);
}

/* ---- Requests ------------------------------------------------------------------------------ */

static void move_data(struct tracker_server *s, const struct virtio_blk_outhdr *h, uint64_t *at,
		      uint64_t addr, uint32_t len)
{
	char *buf = tracker_translate(s, addr, len);

	if (*at > DEVICE_SIZE || len > DEVICE_SIZE - *at)
		_exit(TRACKER_CONFUSED);
	if (h->type == VIRTIO_BLK_T_IN)
		memcpy(buf, s->shared->disk + *at, len);
	else if (h->type == VIRTIO_BLK_T_OUT)
		memcpy(s->shared->disk + *at, buf, len);
	*at += len;
}

/* Descriptors of both kinds of ring have address and length at the same places. */
static void execute(struct tracker_server *s, const struct vring_desc *desc, unsigned first,
		    unsigned packed_n)
{
	const struct virtio_blk_outhdr *h = NULL;
	uint64_t at = 0;

	for (unsigned i = first, n = 0;; n++) {
		const struct vring_desc *d = &desc[i];
		bool last = s->packed ? n + 1 == packed_n : !(d->flags & VRING_DESC_F_NEXT);

		if (!n) {
			h = tracker_translate(s, d->addr, sizeof(*h));
			at = h->sector * 512;
			if (h->type == VIRTIO_BLK_T_IN && at == s->shared->deadly)
				_exit(TRACKER_DIED);
		} else if (last) {
			*(uint8_t *)tracker_translate(s, d->addr, 1) = VIRTIO_BLK_S_OK;
		} else {
			move_data(s, h, &at, d->addr, d->len);
		}
		if (last)
			break;
		i = s->packed ? i + 1 : d->next;
	}
	s->shared->executed++;
}

static void execute_split(struct tracker_server *s, struct tracker_queue *q, uint16_t id)
{
	const struct vring_desc *d = (struct vring_desc *)q->desc + id;

	if (d->flags & VRING_DESC_F_INDIRECT)
		execute(s, tracker_translate(s, d->addr, d->len), 0, 0);
	else
		execute(s, q->desc, id, 0);
}

static void execute_packed(struct tracker_server *s, const struct tracker_request *r)
{
	execute(s, tracker_translate(s, r->table, r->table_len), 0,
		r->table_len / (unsigned)sizeof(struct vring_packed_desc));
}

/* ---- Split --------------------------------------------------------------------------------- */

static bool fetch_split(struct tracker_queue *q, struct tracker_request *r)
{
	struct split_notes *n = q->notes;
	const struct vring_avail *avail = q->driver;

	if (__atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE) == q->avail_pos)
		return false;
	r->id = r->note = avail->ring[q->avail_pos++ % q->size];
	n->note[r->id].counter = ++counter;
	n->note[r->id].inflight = 1;
	return true;
}

static void finish_split(struct tracker_server *s, struct tracker_queue *q,
			 const struct tracker_request *r)
{
	struct split_notes *n = q->notes;
	struct vring_used *used = q->device;

	execute_split(s, q, r->id);
	tracker_step(s);
	n->note[r->id].next = n->last_batch_head;
	n->last_batch_head = r->id;
	used->ring[q->used_pos % q->size] = (struct vring_used_elem){ r->id, 0 };
	__atomic_store_n(&used->idx, ++q->used_pos, __ATOMIC_RELEASE);
	tracker_step(s);
	n->note[r->id].inflight = 0;
	tracker_step(s);
	n->used_idx = q->used_pos;
}

static void resume_split(struct tracker_server *s, struct tracker_queue *q)
{
	struct split_notes *n = q->notes;
	const struct vring_used *used = q->device;

	if (n->used_idx != used->idx) {
		n->note[n->last_batch_head].inflight = 0;
		n->used_idx = used->idx;
	}
	q->used_pos = q->avail_pos = used->idx;
	if (q->base != used->idx)
		_exit(TRACKER_CONFUSED);
	for (unsigned i = 0; i < q->size; i++) {
		if (!n->note[i].inflight)
			continue;
		q->batch[q->nr_batch++] =
		    (struct tracker_request){ .id = (uint16_t)i, .note = (uint16_t)i };
		q->avail_pos++;
	}
	s->shared->resubmitted += q->nr_batch;
}

/* ---- Packed -------------------------------------------------------------------------------- */

static void advance(const struct tracker_queue *q, uint16_t *pos, bool *wrap)
{
	if (++*pos == q->size) {
		*pos = 0;
		*wrap = !*wrap;
	}
}

static bool fetch_packed(struct tracker_queue *q, struct tracker_request *r)
{
	struct packed_notes *n = q->notes;
	const struct vring_packed_desc *d = (struct vring_packed_desc *)q->desc + q->avail_pos;
	uint16_t flags = __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE);
	struct packed_note *note;

	if (!!(flags & AVAIL) != q->avail_wrap || !!(flags & USED) == q->avail_wrap)
		return false;
	if (!(flags & VRING_DESC_F_INDIRECT))
		_exit(TRACKER_CONFUSED);
	r->note = n->free_head;
	note = &n->note[r->note];
	*note = (struct packed_note){ 1,	 0,	note->next, r->note, 1,
				      ++counter, d->id, flags,	    d->len,  d->addr };
	n->free_head = n->old_free_head = note->next;
	r->id = d->id;
	r->table = d->addr;
	r->table_len = d->len;
	advance(q, &q->avail_pos, &q->avail_wrap);
	return true;
}

static void finish_packed(struct tracker_server *s, struct tracker_queue *q,
			  const struct tracker_request *r)
{
	struct packed_notes *n = q->notes;
	struct vring_packed_desc *d = (struct vring_packed_desc *)q->desc + q->used_pos;
	uint16_t flags = q->used_wrap ? AVAIL | USED : 0;

	execute_packed(s, r);
	tracker_step(s);
	n->note[r->note].next = n->free_head;
	n->free_head = r->note;
	advance(q, &q->used_pos, &q->used_wrap);
	n->used_idx = q->used_pos;
	n->used_wrap = q->used_wrap;
	tracker_step(s);
	d->id = r->id;
	d->len = 0;
	__atomic_store_n(&d->flags, flags, __ATOMIC_RELEASE);
	tracker_step(s);
	n->note[r->note].inflight = 0;
	n->old_free_head = n->free_head;
	n->old_used_idx = n->used_idx;
	n->old_used_wrap = n->used_wrap;
}

static void settle_packed(struct tracker_queue *q)
{
	struct packed_notes *n = q->notes;
	uint16_t flags = ((struct vring_packed_desc *)q->desc)[n->old_used_idx].flags;

	if (n->used_idx == n->old_used_idx)
		return;
	/* Once it is used, the client may add to it in the next lap. */
	if (!!(flags & AVAIL) == !!n->old_used_wrap && !!(flags & USED) != !!n->old_used_wrap) {
		n->free_head = n->old_free_head;
		n->used_idx = n->old_used_idx;
		n->used_wrap = n->old_used_wrap;
	} else {
		n->note[n->free_head].inflight = 0;
		n->old_free_head = n->free_head;
		n->old_used_idx = n->used_idx;
		n->old_used_wrap = n->used_wrap;
	}
}

static void resume_packed(struct tracker_server *s, struct tracker_queue *q)
{
	struct packed_notes *n = q->notes;
	uint32_t base;

	settle_packed(q);
	base = n->used_idx | (uint32_t)n->used_wrap << 15;
	if (q->base != (base | base << 16))
		_exit(TRACKER_CONFUSED);
	q->used_pos = q->avail_pos = n->used_idx;
	q->used_wrap = q->avail_wrap = n->used_wrap;
	for (unsigned i = 0; i < q->size; i++) {
		const struct packed_note *note = &n->note[i];

		if (!note->inflight)
			continue;
		q->batch[q->nr_batch++] =
		    (struct tracker_request){ note->id, (uint16_t)i, note->addr, note->len };
		advance(q, &q->avail_pos, &q->avail_wrap);
	}
	s->shared->resubmitted += q->nr_batch;
}

/* ---- Both ---------------------------------------------------------------------------------- */

void tracker_resume(struct tracker_server *s, struct tracker_queue *q)
{
	q->nr_batch = 0;
	if (s->packed)
		resume_packed(s, q);
	else
		resume_split(s, q);
}

/* What was begun is finished in another order. */
static void finish_all(struct tracker_server *s, struct tracker_queue *q)
{
	while (q->nr_batch) {
		struct tracker_request r = q->batch[--q->nr_batch];

		if (s->packed)
			finish_packed(s, q, &r);
		else
			finish_split(s, q, &r);
	}
}

bool tracker_serve(struct tracker_server *s, struct tracker_queue *q)
{
	bool any = q->nr_batch;

	finish_all(s, q);
	while (q->nr_batch < TRACKER_BATCH) {
		struct tracker_request *r = &q->batch[q->nr_batch];

		if (!(s->packed ? fetch_packed(q, r) : fetch_split(q, r)))
			break;
		q->nr_batch++;
		any = true;
		tracker_step(s);
	}
	finish_all(s, q);
	return any;
}

uint32_t tracker_base(const struct tracker_server *s, const struct tracker_queue *q)
{
	if (!s->packed)
		return q->avail_pos;
	return q->avail_pos | (uint32_t)q->avail_wrap << 15 | (uint32_t)q->used_pos << 16 |
	       (uint32_t)q->used_wrap << 31;
}
