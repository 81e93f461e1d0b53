/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* virtio-blk queues: from buffers back to requests, kick, sleep and spin. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/comeback.h"
#include "virtio/virtio_blk.h"

#define TELL_MS 500 /* for the device to learn of a completion fd */

/* ---- Completion --------------------------------------------------------------------------- */

static cold_path void finish_odd(struct virtio_queue *q, const struct virtio_inflight *f,
				 uint8_t status, uint32_t written)
{
	if (written > f->most_used)
		bk_fail(&q->q, f->req, EIO,
			"the device reports that it used more bytes than the request has");
	else if (status == VIRTIO_BLK_S_IOERR)
		bk_complete(&q->q, f->req, -EIO);
	else if (status == VIRTIO_BLK_S_UNSUPP)
		bk_complete(&q->q, f->req, -ENOTSUP);
	else if (status == VIRTIO_STATUS_UNSET)
		bk_fail(&q->q, f->req, EPROTO, "the device returned the request without a status");
	else
		bk_fail(&q->q, f->req, EPROTO, "the device returned an unknown status");
}

/* Put the table of a request that was not plain back to where, or as, it was. */
static cold_path void put_table(struct virtio_queue *q, uint16_t id)
{
	if (q->direct)
		return;
	if (q->table_of[id] != VIRTIO_NO_TABLE)
		q->free_tables[q->nr_free_tables++] = q->table_of[id];
	else
		virtio_write_table(q, id);
}

static void reap_ring(struct virtio_queue *q)
{
	uint32_t written;
	uint16_t id;
	int ret;

	do {
		struct virtio_inflight *f;
		struct bk_req *r;
		uint8_t status;

		ret = virtq_get(&q->vq, &id, &written);
		if (ret <= 0)
			break;
		f = &q->inflight[id];
		r = f->req;
		status = VIRTQ_LOAD(q->slots[id].status);
		if (unlikely(r->special))
			put_table(q, id);
		if (likely(status == VIRTIO_BLK_S_OK && written <= f->most_used))
			bk_complete(&q->q, r, f->result);
		else
			finish_odd(q, f, status, written);
	} while (virtq_may_have_more(&q->vq));
	if (unlikely(ret < 0))
		virtio_fail(q->v, "the device violated the virtqueue protocol");
}

/* ---- Failure and loss of the device ------------------------------------------------------- */

static int enter_after_loss(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w);

/* What becomes of a request that is taken back. */
typedef void fate(struct virtio_queue *q, struct bk_req *r);

static void fail(struct virtio_queue *q, struct bk_req *r)
{
	bk_fail(&q->q, r, q->v->failure_errno, q->v->failure);
}

static void retry(struct virtio_queue *q, struct bk_req *r)
{
	comeback_retry(&q->q, r, q->vring.told_epoch == q->ring_epoch);
}

static void cancel(struct virtio_queue *q, struct bk_req *r)
{
	bk_cancel(&q->q, r);
}

/* Take back what is in flight. */
static void take_back(struct virtio_queue *q, fate *end_of)
{
	for (unsigned id = 0; id < q->vq.size && q->vq.inflight; id++) {
		struct bk_req *r = q->inflight[id].req;

		if (!q->vq.chain[id].len)
			continue;
		if (r->special)
			put_table(q, id);
		virtq_forget(&q->vq, id);
		end_of(q, r);
	}
}

void virtio_queue_cancel(struct virtio_queue *q)
{
	take_back(q, cancel);
}

static void fail_again(struct virtio_queue *q, struct bk_req *r)
{
	bk_retry(&q->q, r);
}

/*
 * The device has a guest's rings. What is left on ours it was not shown: before it gets them again,
 * it is taken back.
 */
static void take_back_if_held(struct virtio_queue *q)
{
	pthread_mutex_lock(&q->v->wake_lock);
	if (q->v->held && q->vq.inflight) {
		take_back(q, fail_again);
		virtio_queue_renew(q);
		q->vring.base = virtio_vring_base(q);
	}
	pthread_mutex_unlock(&q->v->wake_lock);
}

static void act_on_loss(struct virtio_queue *q, unsigned ring_epoch)
{
	virtio_note_progress(q);
	if (q->ring_epoch == ring_epoch) {
		virtio_count_losses(q);
	} else {
		take_back(q, retry);
		virtio_queue_renew(q);
		/* Release: whoever sees it sees the new ring. */
		__atomic_store_n(&q->ring_epoch, ring_epoch, __ATOMIC_RELEASE);
		watcher_wake(&q->v->watcher);
	}
	virtio_expect_progress(q);
	q->q.enter = enter_after_loss;
}

cold_path void virtio_queue_catch_up(struct virtio_queue *q)
{
	unsigned epoch, ring_epoch, losses;

	pthread_mutex_lock(&q->v->wake_lock);
	epoch = q->v->epoch;
	ring_epoch = q->v->ring_epoch;
	losses = q->v->losses;
	pthread_mutex_unlock(&q->v->wake_lock);
	if (virtio_failure(q->v)) {
		/* The ring is not looked at any more: all fails, now and always. */
		q->dead = true;
		q->lost |= q->vq.inflight > 0;
		take_back(q, fail);
		return;
	}
	reap_ring(q);
	q->epoch = epoch;
	take_back_if_held(q);
	if (q->seen_losses != losses)
		act_on_loss(q, ring_epoch);
	q->seen_losses = losses;
	while (q->q.notify_on && virtq_arm(&q->vq, 1))
		reap_ring(q);
}

/* ---- Reaping, sleep, spin ----------------------------------------------------------------- */

static inline void reap(struct virtio_queue *q)
{
	if (likely(!q->dead))
		reap_ring(q);
	/* Whoever sleeps on the completion fd wants a signal for each next one. */
	if (unlikely(q->q.notify_on)) {
		while (!virtio_is_behind(q) && virtq_arm(&q->vq, 1))
			reap_ring(q);
	}
	if (unlikely(virtio_is_behind(q)))
		virtio_queue_catch_up(q);
}

void virtio_queue_reap(struct virtio_queue *q)
{
	reap(q);
}

/* What a thread looks for: n finished requests, or something to act on. */
struct look {
	struct virtio_queue *q;
	unsigned n;
};

static bool has_come(const void *arg)
{
	const struct look *l = arg;

	return virtq_has_used(&l->q->vq, l->n) || virtio_is_behind(l->q);
}

static int sleep_armed(struct virtio_queue *q, unsigned n, const struct bk_wait *w)
{
	uint64_t count;
	int ret;

	if (virtq_arm(&q->vq, n))
		return 0;
	/* It is counted before the fd is signalled, so one of the two will be seen. */
	if (virtio_is_behind(q))
		return 0;
	ret = wait_readable(q->vring.call_fd, w);
	if (ret < 0)
		return ret;
	/*
	 * The ring is looked at next. Where the application listens too, a signal with cause is
	 * left for it to see.
	 */
	if (q->q.notify_on && virtq_has_used(&q->vq, n))
		return 0;
	if (read(q->vring.call_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return bk_err(errno, "cannot wait: read of an eventfd: %m");
	return 0;
}

static int sleep_for(const void *arg, const struct bk_wait *w)
{
	const struct look *l = arg;
	int ret = sleep_armed(l->q, l->n, w);

	virtq_disarm(&l->q->vq);
	return ret;
}

static cold_path int wait_for(struct virtio_queue *q, unsigned n, const struct bk_wait *w)
{
	const struct look l = { q, n };

	return wait_or_sleep(q->q.is_poll, &q->window, has_come, sleep_for, &l, w);
}

int virtio_blk_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	struct virtio_queue *q = to_virtio_queue(bq);
	int ret = 0;

	if (virtq_publish(&q->vq))
		virtio_kick(q);
	wait_nr = min_u64(wait_nr, q->vq.inflight);
	if (wait_nr && !virtq_has_used(&q->vq, wait_nr))
		ret = wait_for(q, wait_nr, w);
	reap(q);
	return ret;
}

/* Until the device has made up for the loss; at other times requests pay nothing. */
static int enter_after_loss(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	struct virtio_queue *q = to_virtio_queue(bq);
	int ret = virtio_blk_enter(bq, wait_nr, w);

	virtio_note_progress(q);
	if (virtio_has_recovered(q))
		bq->enter = virtio_blk_enter;
	return ret;
}

/*
 * From now on the device signals the completion fd, also while nobody asked for it: going back
 * would cost a message each time, and a signal too many does no harm. The watching thread tells the
 * device, and signals the fd for what came meanwhile. It is waited for, since servers exist that
 * change the fd's flags when they get it, but not for long: the server may hang.
 */
static cold_path void use_completion_fd(struct virtio_queue *q)
{
	struct virtio_blk *v = q->v;
	eventfd_t count;
	bool told;

	pthread_mutex_lock(&v->wake_lock);
	q->vring.call_fd = q->q.completion_fd;
	q->vring.call_fd_changed = true;
	watcher_wake(&v->watcher);
	told = virtio_await_watcher(v, &q->vring.call_fd_changed, TELL_MS);
	pthread_mutex_unlock(&v->wake_lock);
	if (told)
		eventfd_read(q->q.completion_fd, &count);
}

void virtio_blk_notify(struct blkioq *bq, bool on)
{
	struct virtio_queue *q = to_virtio_queue(bq);

	if (!on) {
		virtq_disarm(&q->vq);
		return;
	}
	if (q->vring.call_fd != bq->completion_fd)
		use_completion_fd(q);
	if (virtq_arm(&q->vq, 1) || virtio_is_behind(q))
		eventfd_write(bq->completion_fd, 1);
}
