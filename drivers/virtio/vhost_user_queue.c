/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which rings of a vhost-user device the server is told of, and when: our own, or a guest's. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio/vhost_user.h"

/* The queue's thread may change it. */
static int call_fd_of(struct virtio_queue *q)
{
	int fd;

	pthread_mutex_lock(&q->v->wake_lock);
	fd = q->vring.call_fd;
	pthread_mutex_unlock(&q->v->wake_lock);
	return fd;
}

int vu_queue_start(struct virtio_blk *v, struct virtio_queue *q)
{
	int ret;

	q->kick.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (q->kick.fd < 0)
		return bk_err(errno, "cannot create queue %d: eventfd: %m", q->q.index);
	q->vring.base = virtio_vring_base(q);
	ret = vu_set_up_ring(to_vu(v), &q->vring, call_fd_of(q), q->kick.fd);
	if (ret < 0)
		close(q->kick.fd);
	return ret;
}

void vu_queue_stop(struct virtio_blk *v, struct virtio_queue *q)
{
	struct vu_dev *d = to_vu(v);

	/* Neither now nor soon a server that may yet return is waited for. */
	if (vu_is_down(d) || (!d->held && vu_stop_ring(d, &q->vring) < 0))
		virtio_fail(v, "the device is being closed");
	/* Whoever still knows the queue has the lock. */
	vu_lock_anyway(d, "stopping a queue");
	pthread_mutex_unlock(&d->lock);
	close(q->kick.fd);
}

int vu_enable_queues(struct vu_dev *d)
{
	int ret = 0;

	for (int i = 0; i < d->v.b.num_queues + d->v.b.num_poll_queues && !ret; i++)
		ret = vu_enable_ring(d, i);
	return ret;
}

/* ---- All queues --------------------------------------------------------------------------- */

/* What to do with each queue that passes the test, until it fails. The lock is held. */
static int for_queues(struct vu_dev *d, bool (*test)(const struct virtio_queue *q),
		      int (*action)(struct vu_dev *d, struct virtio_queue *q))
{
	int ret = 0;

	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX && !ret; i++) {
		struct virtio_queue *q;

		pthread_mutex_lock(&d->v.wake_lock);
		q = d->v.queues[i];
		pthread_mutex_unlock(&d->v.wake_lock);
		if (q && test(q))
			ret = action(d, q);
	}
	return ret;
}

/* Whether the server was told of the ring as it is. */
static bool is_known(const struct virtio_queue *q)
{
	return q->vring.told_epoch == __atomic_load_n(&q->v->ring_epoch, __ATOMIC_ACQUIRE);
}

/* Whether the queue's thread has made the ring that the server is to be told of. */
static bool is_new(const struct virtio_queue *q)
{
	unsigned epoch = __atomic_load_n(&q->v->ring_epoch, __ATOMIC_ACQUIRE);

	return q->vring.told_epoch != epoch &&
	       __atomic_load_n(&q->ring_epoch, __ATOMIC_ACQUIRE) == epoch;
}

static int resume(struct vu_dev *d, struct virtio_queue *q)
{
	return vu_resume_ring(d, &q->vring, call_fd_of(q), q->kick.fd);
}

static bool is_stopped(const struct virtio_queue *q)
{
	return is_known(q) && q->vring.stopped;
}

static int pause_queue(struct vu_dev *d, struct virtio_queue *q)
{
	return vu_pause_ring(d, &q->vring, q->kick.fd, VU_WHAT_WAS_TAKEN);
}

static int finish_queue(struct vu_dev *d, struct virtio_queue *q)
{
	return vu_pause_ring(d, &q->vring, q->kick.fd, VU_WHAT_WAS_ADDED);
}

int vu_pause_queues(struct vu_dev *d)
{
	return for_queues(d, is_known, pause_queue);
}

int vu_finish_queues(struct vu_dev *d)
{
	return for_queues(d, is_known, finish_queue);
}

static int resume_stopped(struct vu_dev *d, struct virtio_queue *q)
{
	int ret = vu_note_base(d, &q->vring);

	return ret < 0 ? ret : resume(d, q);
}

int vu_resume_queues(struct vu_dev *d)
{
	return for_queues(d, is_stopped, resume_stopped);
}

static int return_new(struct vu_dev *d, struct virtio_queue *q)
{
	q->vring.told_epoch = __atomic_load_n(&d->v.ring_epoch, __ATOMIC_ACQUIRE);
	q->vring.base = virtio_vring_base(q);
	return resume(d, q);
}

static int return_same(struct vu_dev *d, struct virtio_queue *q)
{
	int ret = vu_inflight_base(d, &q->vring, &q->vring.base);

	return ret < 0 ? ret : resume(d, q);
}

int vu_return_queues(struct vu_dev *d)
{
	/* What was in flight is either on the new ring, or in the server's notes. */
	if (d->inflight_fd >= 0)
		return for_queues(d, is_known, return_same);
	return for_queues(d, is_new, return_new);
}

static bool has_new_call_fd(const struct virtio_queue *q)
{
	bool is_new;

	pthread_mutex_lock(&q->v->wake_lock);
	is_new = q->vring.call_fd_changed;
	pthread_mutex_unlock(&q->v->wake_lock);
	return is_new;
}

static int send_call_fd(struct vu_dev *d, struct virtio_queue *q)
{
	int ret = 0;

	if (is_known(q))
		ret = vu_set_ring_fd(d, VU_SET_VRING_CALL, "SET_VRING_CALL", q->vring.index,
				     call_fd_of(q));
	/* What the server signalled before went to the old one. */
	eventfd_write(call_fd_of(q), 1);
	pthread_mutex_lock(&q->v->wake_lock);
	q->vring.call_fd_changed = false;
	pthread_cond_broadcast(&q->v->watcher_did);
	pthread_mutex_unlock(&q->v->wake_lock);
	return ret;
}

void vu_update_queues(struct virtio_blk *v)
{
	struct vu_dev *d = to_vu(v);
	int ret = 0;

	pthread_mutex_lock(&d->lock);
	if (!vu_is_down(d) && !d->held)
		ret = for_queues(d, is_new, return_new);
	if (!vu_is_down(d) && !ret)
		ret = for_queues(d, has_new_call_fd, send_call_fd);
	/* A queue that the server does not know would wait for ever. */
	if (ret < 0 && !vu_is_down(d))
		virtio_fail(v, "the vhost-user server refused a queue or its completion fd");
	pthread_mutex_unlock(&d->lock);
}

/* ---- All of a guest's rings --------------------------------------------------------------- */

static int for_guests(struct vu_dev *d, bool stopped,
		      int (*action)(struct vu_dev *d, struct virtio_guest *g))
{
	int ret = 0;

	for (int i = 0; i < d->v.b.num_vrings && !ret; i++) {
		struct virtio_guest *g = &d->v.guests[i];

		if (virtio_guest_runs(g) && g->ring.stopped == stopped)
			ret = action(d, g);
	}
	return ret;
}

int vu_pause_guest(struct vu_dev *d, struct virtio_guest *g)
{
	return vu_pause_ring(d, &g->ring, g->kick_fd, VU_WHAT_WAS_TAKEN);
}

int vu_resume_guest(struct vu_dev *d, struct virtio_guest *g)
{
	return vu_resume_ring(d, &g->ring, g->ring.call_fd, g->kick_fd);
}

int vu_pause_guests(struct vu_dev *d)
{
	return for_guests(d, false, vu_pause_guest);
}

int vu_resume_guests(struct vu_dev *d)
{
	return for_guests(d, true, vu_resume_guest);
}

/*
 * Where a server that is no more had got to. Without its notes that is known only if nothing was in
 * flight: requests may have been completed in any order. -EBUSY otherwise.
 */
static int return_guest(struct vu_dev *d, struct virtio_guest *g)
{
	int ret;

	if (d->inflight_fd < 0 && !vu_ring_was_idle(d, &g->ring))
		return -EBUSY;
	ret = vu_inflight_base(d, &g->ring, &g->ring.base);
	if (!ret)
		ret = vu_resume_guest(d, g);
	/* It may have been completed without a signal. */
	eventfd_write(g->ring.call_fd, 1);
	return ret;
}

int vu_return_guests(struct vu_dev *d)
{
	return for_guests(d, false, return_guest);
}

static int see_progress(struct vu_dev *d, struct virtio_guest *g)
{
	uint32_t at = g->seen_at;

	vu_inflight_base(d, &g->ring, &at);
	d->guests_progressed |= at != g->seen_at;
	g->seen_at = at;
	return 0;
}

bool vu_guests_progressed(struct vu_dev *d)
{
	bool progressed;

	pthread_mutex_lock(&d->lock);
	for_guests(d, false, see_progress);
	progressed = d->guests_progressed;
	d->guests_progressed = false;
	pthread_mutex_unlock(&d->lock);
	return progressed;
}
