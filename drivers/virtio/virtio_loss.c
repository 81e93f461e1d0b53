/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A device that disconnected and may come back: whether it makes progress, and which requests it
 * had when it disconnected. All of this runs in the queues' threads, from the disconnection until
 * the device has completed a request.
 */
#include "common/comeback.h"
#include "virtio/virtio_blk.h"

/* ---- Requests that devices went with ------------------------------------------------------ */

static bool is_in_flight(const struct virtio_queue *q, unsigned id)
{
	return q->vq.chain[id].len;
}

/* Those that are finished count no more. Returns whether there are others. */
static bool forget_losses(struct virtio_queue *q)
{
	bool any = false;

	for (unsigned id = 0; id < q->vq.size; id++) {
		if (!is_in_flight(q, id))
			q->losses[id] = 0;
		any |= q->losses[id];
	}
	return any;
}

void virtio_count_losses(struct virtio_queue *q)
{
	forget_losses(q);
	for (unsigned id = 0; id < q->vq.size; id++) {
		/* By its notes the next device will do it, too: it cannot be told not to. */
		if (is_in_flight(q, id) && ++q->losses[id] >= COMEBACK_LOSSES_MAX) {
			virtio_fail(q->v, COMEBACK_TOO_MANY);
			return;
		}
	}
}

/* ---- Progress ----------------------------------------------------------------------------- */

/* Moves with each request that the device finishes, and with a new ring. */
static unsigned position(const struct virtio_queue *q)
{
	return q->vq.used_pos | q->vq.used_wrap << 16;
}

void virtio_note_progress(struct virtio_queue *q)
{
	if (!q->expects_progress || position(q) == q->lost_at)
		return;
	q->expects_progress = false;
	__atomic_store_n(&q->v->made_progress, true, __ATOMIC_RELAXED);
}

bool virtio_has_recovered(struct virtio_queue *q)
{
	return !q->expects_progress && !forget_losses(q);
}

void virtio_expect_progress(struct virtio_queue *q)
{
	q->lost_at = position(q);
	q->expects_progress = true;
}

bool virtio_made_progress(struct virtio_blk *v)
{
	return __atomic_exchange_n(&v->made_progress, false, __ATOMIC_RELAXED);
}
