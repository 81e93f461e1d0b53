/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * From requests to commands. Headers lie in a ring of their own, in the order in which they are
 * sent, so that those of reads in a row are one buffer. Data that a capsule has room for is in it;
 * the controller asks for other data when it wants it.
 */
#include "nvme_tcp/nvme_tcp.h"

/* The place of the next header. */
static inline uint8_t *next_header(struct nvme_tcp_queue *q)
{
	unsigned at = q->header_at, next = at + q->header_room;

	q->header_at = likely(next != q->headers_len) ? next : 0;
	return q->headers + at;
}

static inline struct nvme_tcp_slot *take_slot(struct nvme_tcp_queue *q, struct bk_req *r)
{
	struct nvme_tcp_slot *slot;

	r->priv[0] = q->free[--q->nr_free];
	slot = nvme_tcp_slot_of(q, r);
	slot->r = r;
	slot->cid += NVME_TCP_SLOTS_MAX;
	slot->in_flight = true;
	slot->is_last = slot->pads = false;
	slot->error = 0;
	slot->so_far = slot->to_ask = 0;
	q->newest = slot;
	q->nr_inflight++;
	return slot;
}

/* The slot's data, if it has any, is set. */
static inline void push_command(struct nvme_tcp_queue *q, struct nvme_tcp_slot *slot,
				struct nvme_cmd *c, bool is_read)
{
	struct nvme_tcp_item *item = nvme_tcp_item_of(q, slot);
	uint32_t in_capsule = !is_read && slot->len <= q->capsule_data ? slot->len : 0;

	c->cid = slot->cid;
	nvme_tcp_point(c, slot->len, in_capsule);
	slot->way = is_read		      ? NVME_TCP_IN
		    : slot->len == in_capsule ? NVME_TCP_NO_DATA
					      : NVME_TCP_OUT;
	item->header = next_header(q);
	item->header_len = nvme_tcp_build_capsule(&q->table.wire, item->header, c, in_capsule);
	item->is_command = true;
	item->at = 0;
	item->len = in_capsule;
	item->status = 0;
	q->sends_data |= in_capsule != 0;
	nvme_tcp_push(q, slot, item);
}

/* ---- All but plain requests --------------------------------------------------------------- */

/* What is decided without the controller. Returns whether r is complete. */
static bool finish_early(struct nvme_tcp_queue *q, struct bk_req *r)
{
	const char *msg = bk_has_segments(r) ? NULL : nvme_request_error(q->ns, r);

	if (q->lost && !q->link.l.is_away) {
		bk_fail(&q->q, r, q->lost_error, q->lost);
	} else if (r->op == BK_ZONE_REPORT && !r->nr_zones) {
		bk_complete(&q->q, r, r->len);
	} else if (msg) {
		bk_fail(&q->q, r, EINVAL, msg);
	} else {
		return false;
	}
	return true;
}

static void set_own_data(struct nvme_tcp_slot *slot, void *data, uint32_t len)
{
	slot->own = (struct iovec){ data, len };
	slot->iov = &slot->own;
	slot->iovcnt = 1;
	slot->len = len;
}

static void set_data(struct nvme_tcp_queue *q, struct nvme_tcp_slot *slot, struct nvme_cmd *c)
{
	struct nvme_tcp_item *item = nvme_tcp_item_of(q, slot);
	const struct bk_req *r = slot->r;

	slot->len = 0;
	if (bk_has_segments(r)) {
		slot->iov = r->iov;
		slot->iovcnt = r->iovcnt;
		slot->len = r->len;
	} else if (r->op == BK_DISCARD) {
		item->range = nvme_discard_range(q->ns, r);
		set_own_data(slot, &item->range, sizeof(item->range));
	} else if (r->op == BK_ZONE_REPORT) {
		set_own_data(slot, q->pages + (size_t)nvme_tcp_index(slot) * NVME_TCP_PAGE,
			     nvme_report_next(r, NVME_TCP_PAGE));
		nvme_prep_report(q->ns, r->start, slot->len, c);
	}
}

static cold_path void submit_other(struct nvme_tcp_queue *q, struct bk_req *r)
{
	struct nvme_tcp_slot *slot;
	struct nvme_cmd c;

	if (finish_early(q, r))
		return;
	if (!q->nr_free) {
		bk_full(&q->q, r);
		return;
	}
	slot = take_slot(q, r);
	nvme_prep(q->ns, r, &c);
	set_data(q, slot, &c);
	push_command(q, slot, &c, r->op == BK_READ || r->op == BK_ZONE_REPORT);
	q->nr_big += nvme_tcp_is_big(slot);
}

/* ---- Submitting --------------------------------------------------------------------------- */

void nvme_tcp_submit(struct blkioq *bq, struct bk_req *r)
{
	struct nvme_tcp_queue *q = nvme_tcp_queue_of(bq);
	struct nvme_tcp_slot *slot;
	struct nvme_cmd c;

	if (unlikely(q->lost || !q->nr_free || r->special)) {
		submit_other(q, r);
		return;
	}
	slot = take_slot(q, r);
	slot->iov = r->iov;
	slot->iovcnt = 1;
	slot->len = r->len;
	c = q->templates[r->op];
	nvme_set_blocks(q->ns, r->start, r->len, &c);
	push_command(q, slot, &c, r->op == BK_READ);
	if (unlikely(nvme_tcp_is_big(slot)))
		q->nr_big++;
}

void nvme_tcp_submit_protected(struct blkioq *bq, struct bk_req *r)
{
	submit_other(nvme_tcp_queue_of(bq), r);
}
