/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests that libiscsi has: each has a slot from submit() until it is complete. The slot holds
 * all that libiscsi keeps pointers to.
 *
 * libiscsi ends a command when the target does, also if it has data of a write left to send. It
 * goes on to send that from the memory of the command, so neither the slot nor the caller's buffer
 * may be given back before: they are held until libiscsi has nothing to send.
 *
 * It may also drop a command without a word, when an answer makes no sense. So a lost session ends
 * all requests that have a slot, whether or not their callbacks were called.
 */
#include <stdlib.h>

#include "iscsi/iscsi_dev.h"

int iscsi_slots_init(struct iscsi_queue *q, unsigned n)
{
	q->slot = calloc(n, sizeof(*q->slot));
	q->free = calloc(n, sizeof(*q->free));
	q->held = calloc(n, sizeof(*q->held));
	if (!q->slot || !q->free || !q->held) {
		iscsi_slots_exit(q);
		return bk_err(ENOMEM, "out of memory");
	}
	q->nr_slots = n;
	bk_list_init(&q->unsent);
	for (unsigned i = n; i-- > 0;) {
		q->slot[i].q = q;
		q->free[q->nr_free++] = i;
	}
	return 0;
}

void iscsi_slots_exit(struct iscsi_queue *q)
{
	free(q->slot);
	free(q->free);
	free(q->held);
}

void iscsi_slot_release(struct iscsi_slot *slot)
{
	struct iscsi_queue *q = slot->q;

	if (unlikely(slot->more)) {
		free(slot->more);
		slot->more = NULL;
	}
	if (unlikely(slot->data)) {
		free(slot->data);
		slot->data = NULL;
	}
	if (unlikely(slot->task.datain.data)) {
		free(slot->task.datain.data);
		slot->task.datain.data = NULL;
	}
	q->nr_inflight--;
	q->nr_sent -= slot->is_sent;
	q->nr_writes -= slot->task.xfer_dir == SCSI_XFER_WRITE;
	slot->r = NULL;
	q->free[q->nr_free++] = slot - q->slot;
}

/* ---- Results ------------------------------------------------------------------------------ */

static uint32_t extent_flags(const struct iscsi_queue *q, const struct iscsi_range *range)
{
	uint32_t flags = range->status == 1 ? 0 : BLKIO_EXTENT_ALLOCATED;

	return range->status && q->reads_zeroes ? flags | BLKIO_EXTENT_ZERO : flags;
}

/* Each range must begin where the one before it ends, the first one at or before the request. */
static int add_extents(struct iscsi_queue *q, struct iscsi_slot *slot)
{
	size_t len = slot->task.expxferlen - iscsi_missing(&slot->task);
	struct bk_req *r = slot->r;
	uint64_t at = r->start >> q->block_bits;
	struct iscsi_range range;

	bk_extents_begin(r);
	for (unsigned i = 0; iscsi_parse_range(slot->data, len, i, &range); i++) {
		uint64_t skip = at - range.lba;

		if (range.lba > at || (i && skip) || skip >= range.blocks)
			return i ? 0 : -EIO;
		at = range.lba + range.blocks;
		if (!bk_extent_add(r, (range.blocks - skip) << q->block_bits,
				   extent_flags(q, &range)))
			return 0;
	}
	return at == r->start >> q->block_bits ? -EIO : 0;
}

/* What bk_complete() is told of a command that did what it should. */
static int64_t result_of(struct iscsi_queue *q, struct iscsi_slot *slot)
{
	struct bk_req *r = slot->r;

	if (likely(bk_is_rw(r))) {
		if (likely(!iscsi_missing(&slot->task)))
			return (int64_t)r->len;
		r->error_msg = "the iSCSI target transferred less than was requested";
		return -EIO;
	}
	if (r->op != BK_BLOCK_STATUS)
		return 0;
	if (add_extents(q, slot) < 0) {
		r->error_msg = "the iSCSI target's block status makes no sense";
		return -EIO;
	}
	return 0;
}

#define ATTENTIONS_MAX 16 /* in a row, of a request */

static cold_path void finish_failed(struct iscsi_queue *q, struct iscsi_slot *slot)
{
	struct iscsi_verdict v = slot->verdict;
	struct bk_req *r = slot->r;

	iscsi_slot_release(slot);
	if (v.then == ISCSI_TRY_AGAIN && bk_retry_again(&q->q, r, ATTENTIONS_MAX))
		return;
	if (v.then == ISCSI_TRY_LATER) {
		bk_retry_transient(&q->q, r, v.error);
		return;
	}
	q->finished++;
	bk_fail(&q->q, r, v.error, v.text);
}

static void finish(struct iscsi_queue *q, struct iscsi_slot *slot)
{
	struct bk_req *r = slot->r;
	int64_t res;

	if (unlikely(slot->verdict.then != ISCSI_DONE)) {
		finish_failed(q, slot);
		return;
	}
	res = result_of(q, slot);
	q->finished++;
	iscsi_slot_release(slot);
	bk_complete(&q->q, r, res);
}

void iscsi_command_ended(struct iscsi_context *context, int status, void *task, void *arg)
{
	struct iscsi_slot *slot = arg;
	struct iscsi_queue *q = slot->q;
	bool writes = slot->task.xfer_dir == SCSI_XFER_WRITE;

	(void)context;
	(void)task;
	/* It is about to end them all. */
	if (unlikely(q->lost || status == SCSI_STATUS_CANCELLED)) {
		iscsi_lose(q, ENOTCONN, "the iSCSI target closed the connection");
		return;
	}
	slot->verdict = iscsi_judge(status, slot->task.datain.data, slot->task.datain.size, writes);
	if (writes)
		q->held[q->nr_held++] = slot - q->slot;
	else
		finish(q, slot);
}

void iscsi_finish_held(struct iscsi_queue *q)
{
	unsigned n = q->nr_held;

	q->nr_held = 0;
	for (unsigned i = 0; i < n; i++)
		finish(q, &q->slot[q->held[i]]);
}

void iscsi_cancel_unsent(struct iscsi_queue *q)
{
	struct bk_req *r = q->unsent.head;

	bk_list_init(&q->unsent);
	while (r) {
		struct bk_req *next = r->next;

		q->finished++;
		iscsi_slot_release(iscsi_slot_of(q, r));
		bk_cancel(&q->q, r);
		r = next;
	}
}

/* ---- A lost session ----------------------------------------------------------------------- */

void iscsi_lose(struct iscsi_queue *q, int error, const char *why)
{
	if (q->lost)
		return;
	q->lost = why;
	q->lost_error = error;
}

/*
 * libiscsi reads into buffers and sends from them itself. If it cannot, it takes that for an error
 * of the connection, which ends for all. So when it has ended: could it?
 */
static bool can_access(const struct iscsi_slot *slot)
{
	const struct bk_req *r = slot->r;

	if (!slot->is_sent || !bk_is_rw(r))
		return true;
	for (int i = 0; i < r->iovcnt; i++) {
		if (!bk_caller_has(r->iov[i].iov_base, r->iov[i].iov_len, r->op == BK_READ))
			return false;
	}
	return true;
}

/* Returns whether one of them was the cause. */
static bool fail_inaccessible(struct iscsi_queue *q)
{
	const struct iscsi_verdict v = { ISCSI_FAIL, EFAULT, "a buffer cannot be accessed" };
	bool found = false;

	for (unsigned i = 0; i < q->nr_slots; i++) {
		struct iscsi_slot *slot = &q->slot[i];

		if (!slot->r || can_access(slot))
			continue;
		slot->verdict = v;
		finish(q, slot);
		found = true;
	}
	return found;
}

void iscsi_fail_all(struct iscsi_queue *q)
{
	if (q->lost_error == ENOTCONN)
		fail_inaccessible(q);
	bk_list_init(&q->unsent);
	for (unsigned i = 0; i < q->nr_slots; i++) {
		struct iscsi_slot *slot = &q->slot[i];

		if (!slot->r)
			continue;
		slot->verdict = (struct iscsi_verdict){ ISCSI_FAIL, q->lost_error, q->lost };
		finish(q, slot);
	}
}

bool iscsi_retry_all(struct iscsi_queue *q)
{
	bool ours = fail_inaccessible(q);

	bk_list_init(&q->unsent);
	/* The core puts each before those that it has. */
	for (unsigned i = q->nr_slots; i-- > 0;) {
		struct iscsi_slot *slot = &q->slot[i];
		struct bk_req *r = slot->r;
		bool had_it;

		if (!r)
			continue;
		had_it = slot->is_sent && !ours;
		iscsi_slot_release(slot);
		comeback_retry(&q->q, r, had_it);
	}
	return ours;
}
