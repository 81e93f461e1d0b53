/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is on the stage, net/stage.h, and is copied from there to the callers' buffers. */
#include "nbd/nbd.h"

/* ---- Copies ------------------------------------------------------------------------------- */

void nbd_flush_copies(struct nbd_queue *q)
{
	const struct nbd_slot well = { .is_answered = true };
	unsigned n = q->copies.n;

	if (!n)
		return;
	net_copies_make(&q->copies, &q->stage);
	for (unsigned i = 0; i < q->nr_done; i++)
		nbd_finish(q, q->done[i]);
	q->nr_done = 0;
	/* What nbd_take_plain_reads() found. */
	for (unsigned i = 0; i < n; i++) {
		struct nbd_slot *slot = container_of(q->copies.error[i], struct nbd_slot, error);

		if (likely(slot->so_far == well.so_far))
			nbd_finish_plain_read(q, slot);
		else if (slot->is_answered && slot->kind != NBD_FREE)
			nbd_finish(q, slot);
	}
}

/* The next copy is of what begins there on the stage. */
static inline void begin_copy(struct nbd_queue *q, size_t from)
{
	struct net_copies *c = &q->copies;

	if (unlikely(c->n && from - c->to > sizeof(c->nowhere)))
		nbd_flush_copies(q);
	if (!c->n)
		c->from = c->to = from;
	c->iov[2 * c->n] = (struct iovec){ c->nowhere, from - c->to };
}

size_t nbd_add_copies(struct nbd_queue *q, struct nbd_slot *slot, uint64_t at, size_t len)
{
	struct net_copies *c = &q->copies;
	struct iovec iov[NET_COPIES];
	unsigned n = nbd_slice(slot->r, at, len, iov, NET_COPIES - c->n);
	size_t from = q->stage.head;

	for (unsigned i = 0; i < n; i++) {
		begin_copy(q, from);
		from += iov[i].iov_len;
		c->iov[2 * c->n + 1] = iov[i];
		c->error[c->n++] = &slot->error;
		c->to = from;
	}
	return from - q->stage.head;
}

void nbd_done(struct nbd_queue *q, struct nbd_slot *slot)
{
	if (!q->copies.n) {
		nbd_finish(q, slot);
		return;
	}
	slot->is_answered = true;
	q->done[q->nr_done++] = slot;
	if (unlikely(q->nr_done == NET_COPIES))
		nbd_flush_copies(q);
}

static force_inline void take_plain_reads(struct nbd_queue *q, enum nbd_mode mode)
{
	const struct nbd_table table = {
		.mode = mode,
		.mask = q->table.mask,
		.slot = q->table.slot,
		.sent = q->table.sent,
		.whole_read = htobe64(nbd_whole_read_begin(mode)),
	};
	const size_t header = nbd_data_header_len(mode);
	const uint8_t *at = q->stage.bytes + q->stage.head, *tail = q->stage.bytes + q->stage.tail;
	struct net_copies *c = &q->copies;
	int **next;
	struct iovec *iov;

	begin_copy(q, q->stage.head + header);
	next = c->error + c->n;
	iov = c->iov + 2 * c->n + 1;
	while (next < c->error + NET_COPIES && at + header <= tail) {
		struct nbd_slot *slot = nbd_find_plain_read(&table, at);
		const uint8_t *end;

		if (!slot)
			break;
		end = at + header + slot->r->len;
		if (end > tail)
			break;
		slot->is_answered = true;
		*next++ = &slot->error;
		iov[0] = *slot->r->iov;
		iov[1] = (struct iovec){ c->nowhere, header };
		iov += 2;
		at = end;
	}
	if (next == c->error + c->n)
		return;
	c->n = next - c->error;
	c->to = q->stage.head = at - q->stage.bytes;
}

void nbd_take_plain_reads(struct nbd_queue *q)
{
	switch (q->table.mode) {
	case NBD_SIMPLE:
		take_plain_reads(q, NBD_SIMPLE);
		break;
	case NBD_STRUCTURED:
		take_plain_reads(q, NBD_STRUCTURED);
		break;
	default:
		take_plain_reads(q, NBD_LONG);
	}
}
