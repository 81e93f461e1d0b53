/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How a virtio-blk queue begins, drains and ends. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio/virtio_blk.h"

static void publish_queue(struct virtio_queue *q, struct virtio_queue *value)
{
	pthread_mutex_lock(&q->v->wake_lock);
	q->v->queues[q->vring.index] = value;
	pthread_mutex_unlock(&q->v->wake_lock);
}

int virtio_blk_queue_init(struct blkio *b, struct blkioq *bq)
{
	struct virtio_blk *v = container_of(b, struct virtio_blk, b);
	struct virtio_queue *q = to_virtio_queue(bq);
	unsigned index = bq->index + (bq->is_poll ? b->num_queues : 0);
	int ret;

	q->v = v;
	q->epoch = v->epoch;
	q->ring_epoch = q->vring.told_epoch = v->ring_epoch;
	q->seen_losses = v->losses;
	q->vring.index = index;
	q->window.max_ns = b->poll_max_ns;
	ret = virtio_queue_alloc(q);
	if (ret < 0)
		return ret;
	q->own_call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (q->own_call_fd < 0) {
		ret = bk_err(errno, "cannot create queue %d: eventfd: %m", bq->index);
		goto free_queue;
	}
	q->vring.call_fd = q->own_call_fd;
	if (!bq->is_poll && !v->transport->update_queues)
		q->vring.call_fd = bq->completion_fd;
	ret = v->transport->queue_start(v, q);
	if (ret < 0)
		goto close_call_fd;
	publish_queue(q, q);
	return 0;

close_call_fd:
	close(q->own_call_fd);
free_queue:
	virtio_queue_free(q);
	return ret;
}

/* Give up on a device that is gone, or that has had its time; but not for one of many queues. */
static void give_up(struct virtio_queue *q, bool cancel)
{
	if (!q->v->b.ending || virtio_failure(q->v))
		return;
	if (cancel || q->v->transport->has_let_go(q->v) == BK_QUIET)
		virtio_fail(q->v, "the device did not complete its requests in time");
}

enum bk_drained virtio_blk_drain(struct blkio *b, struct blkioq *bq, bool cancel)
{
	struct virtio_blk *v = container_of(b, struct virtio_blk, b);
	struct virtio_queue *q = to_virtio_queue(bq);
	int unshown;

	virtio_queue_reap(q);
	unshown = q->dead ? 0 : virtq_unshown(&q->vq);
	if (unshown < 0)
		virtio_fail(v, "the device violated the virtqueue protocol");
	else if (q->vq.inflight > (unsigned)unshown)
		give_up(q, cancel);
	if (virtio_is_behind(q))
		virtio_queue_catch_up(q);
	if (q->dead)
		return q->lost ? v->transport->has_let_go(v) : BK_QUIET;
	if (q->vq.inflight > (unsigned)unshown)
		return BK_BUSY;
	virtio_queue_cancel(q);
	return BK_QUIET;
}

void virtio_blk_queue_exit(struct blkio *b, struct blkioq *bq)
{
	struct virtio_blk *v = container_of(b, struct virtio_blk, b);
	struct virtio_queue *q = to_virtio_queue(bq);

	/* First, so that queue_stop() need only wait for a watching thread that knows it still. */
	publish_queue(q, NULL);
	v->transport->queue_stop(v, q);
	close(q->own_call_fd);
	virtio_queue_free(q);
}
