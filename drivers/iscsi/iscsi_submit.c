/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests as SCSI commands. libiscsi gets the caller's buffers, but iovecs of our own: it changes
 * them for a while.
 */
#include <stdlib.h>

#include "iscsi/iscsi_dev.h"

#define RANGES_MAX 4095 /* of one GET LBA STATUS: its data is less than 64 KiB */

static uint64_t lba_of(const struct iscsi_queue *q, const struct bk_req *r)
{
	return r->start >> q->block_bits;
}

static uint32_t blocks_of(const struct iscsi_queue *q, const struct bk_req *r)
{
	return r->len >> q->block_bits;
}

/* ---- Data --------------------------------------------------------------------------------- */

static void set_data(struct iscsi_slot *slot, int direction, const struct iovec *iov, int n,
		     uint64_t len)
{
	struct scsi_iovector v = { .iov = (struct scsi_iovec *)iov, .niov = n };

	slot->task.xfer_dir = direction;
	slot->task.expxferlen = (int)len;
	if (direction == SCSI_XFER_READ)
		slot->task.iovector_in = v;
	else
		slot->task.iovector_out = v;
}

static void set_buffer(struct iscsi_slot *slot, int direction, void *base, uint64_t len)
{
	slot->iov[0] = (struct iovec){ base, len };
	set_data(slot, direction, slot->iov, 1, len);
}

static int set_segments(struct iscsi_slot *slot, int direction, const struct bk_req *r)
{
	struct iovec *iov = slot->iov;

	if (unlikely(r->iovcnt > ISCSI_IOVS)) {
		iov = slot->more = malloc(r->iovcnt * sizeof(*iov));
		if (!iov)
			return -ENOMEM;
	}
	memcpy(iov, r->iov, r->iovcnt * sizeof(*iov));
	set_data(slot, direction, iov, r->iovcnt, r->len);
	return 0;
}

/* ---- Commands ----------------------------------------------------------------------------- */

static int build_write_zeroes(struct iscsi_queue *q, struct iscsi_slot *slot,
			      const struct bk_req *r)
{
	bool may_unmap = !(r->flags & BLKIO_REQ_NO_UNMAP) && q->write_same_unmap;
	const struct iscsi_cdb cdb =
	    iscsi_cdb_write_same(lba_of(q, r), blocks_of(q, r), may_unmap ? ISCSI_UNMAP : 0);

	iscsi_task_init(&slot->task, &cdb);
	set_buffer(slot, SCSI_XFER_WRITE, q->zero_block, 1ULL << q->block_bits);
	return 0;
}

static int build_discard(struct iscsi_queue *q, struct iscsi_slot *slot, const struct bk_req *r)
{
	const struct iscsi_cdb cdb = iscsi_cdb_unmap();

	iscsi_build_unmap(slot->unmap, lba_of(q, r), blocks_of(q, r));
	iscsi_task_init(&slot->task, &cdb);
	set_buffer(slot, SCSI_XFER_WRITE, slot->unmap, ISCSI_UNMAP_LEN);
	return 0;
}

static int build_block_status(struct iscsi_queue *q, struct iscsi_slot *slot,
			      const struct bk_req *r)
{
	size_t len =
	    ISCSI_STATUS_HEADER + min_u64(r->nr_extents, RANGES_MAX) * ISCSI_STATUS_DESCRIPTOR;
	const struct iscsi_cdb cdb = iscsi_cdb_block_status(lba_of(q, r), len);

	slot->data = calloc(1, len);
	if (!slot->data)
		return -ENOMEM;
	iscsi_task_init(&slot->task, &cdb);
	set_buffer(slot, SCSI_XFER_READ, slot->data, len);
	return 0;
}

static int build(struct iscsi_queue *q, struct iscsi_slot *slot, const struct bk_req *r)
{
	struct iscsi_cdb cdb;

	switch (r->op) {
	case BK_READ:
		cdb = iscsi_cdb_read(lba_of(q, r), blocks_of(q, r));
		iscsi_task_init(&slot->task, &cdb);
		return set_segments(slot, SCSI_XFER_READ, r);
	case BK_WRITE:
		cdb = iscsi_cdb_write(lba_of(q, r), blocks_of(q, r),
				      r->flags & BLKIO_REQ_FUA && q->has_cache ? ISCSI_FUA : 0);
		iscsi_task_init(&slot->task, &cdb);
		return set_segments(slot, SCSI_XFER_WRITE, r);
	case BK_WRITE_ZEROES:
		return build_write_zeroes(q, slot, r);
	case BK_DISCARD:
		return build_discard(q, slot, r);
	case BK_BLOCK_STATUS:
		return build_block_status(q, slot, r);
	default: /* a flush */
		cdb = iscsi_cdb_flush();
		iscsi_task_init(&slot->task, &cdb);
		return 0;
	}
}

/* ---- Submitting --------------------------------------------------------------------------- */

/* What is decided without the target. Returns whether r is complete. */
static cold_path bool finish_early(struct iscsi_queue *q, struct bk_req *r)
{
	if (q->lost && !q->link.l.is_away)
		bk_fail(&q->q, r, q->lost_error, q->lost);
	else if (r->op == BK_FLUSH && !q->has_cache)
		bk_complete(&q->q, r, 0); /* there is nothing to flush */
	else
		return false;
	return true;
}

static int queue_command(struct iscsi_queue *q, struct iscsi_slot *slot, struct bk_req *r)
{
	int ret = build(q, slot, r);

	slot->is_sent = true;
	q->nr_sent++;
	q->nr_writes += slot->task.xfer_dir == SCSI_XFER_WRITE;
	if (ret < 0)
		return ret;
	return libiscsi.scsi_command_async(q->context, q->lun, &slot->task, iscsi_command_ended,
					   NULL, slot)
		   ? -ENOMEM
		   : 0;
}

void iscsi_submit(struct blkioq *bq, struct bk_req *r)
{
	struct iscsi_queue *q = iscsi_queue_of(bq);
	struct iscsi_slot *slot;

	if (unlikely(q->lost || !bk_is_rw(r)) && finish_early(q, r))
		return;
	if (unlikely(!q->nr_free)) {
		bk_full(bq, r);
		return;
	}
	r->priv[0] = q->free[--q->nr_free];
	slot = iscsi_slot_of(q, r);
	slot->r = r;
	slot->is_sent = false;
	slot->task.xfer_dir = SCSI_XFER_NONE;
	q->nr_inflight++;
	bk_list_push(&q->unsent, r);
}

bool iscsi_hand_over(struct iscsi_queue *q)
{
	bool any = false;

	while (q->unsent.head && likely(q->nr_sent < ISCSI_SENT_MAX)) {
		struct bk_req *r = q->unsent.head;
		struct iscsi_slot *slot = iscsi_slot_of(q, r);
		int ret;

		bk_list_set_head(&q->unsent, r->next);
		ret = queue_command(q, slot, r);
		if (unlikely(ret < 0)) {
			q->finished++;
			iscsi_slot_release(slot);
			bk_complete(&q->q, r, ret);
		}
		any = true;
	}
	return any;
}
