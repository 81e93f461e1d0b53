/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The rings of a vhost-user device: all that the server is told of them. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio/vhost_user.h"

static int set_vring(struct vu_dev *d, enum vu_request request, const char *what, unsigned index,
		     unsigned num)
{
	struct vu_msg m = { .request = request, .size = sizeof(m.vring_state) };

	m.vring_state.index = index;
	m.vring_state.num = num;
	return vu_tell(d, &m, what, NULL, 0);
}

static int set_vring_fd(struct vu_dev *d, enum vu_request request, const char *what, unsigned index,
			int fd)
{
	struct vu_msg m = { .request = request, .size = sizeof(m.u64), .u64 = index };

	return vu_tell(d, &m, what, &fd, 1);
}

static int set_vring_addr(struct vu_dev *d, const struct virtio_vring *r)
{
	struct vu_msg m = { .request = VU_SET_VRING_ADDR, .size = sizeof(m.vring_addr) };

	m.vring_addr.index = r->index;
	m.vring_addr.desc = (uintptr_t)r->desc;
	m.vring_addr.avail = (uintptr_t)r->driver;
	m.vring_addr.used = (uintptr_t)r->device;
	return vu_tell(d, &m, "SET_VRING_ADDR", NULL, 0);
}

/* The queue's thread may change it. */
static int call_fd_of(struct virtio_queue *q)
{
	int fd;

	pthread_mutex_lock(&q->v->wake_lock);
	fd = q->vring.call_fd;
	pthread_mutex_unlock(&q->v->wake_lock);
	return fd;
}

static int set_up_vring(struct vu_dev *d, struct virtio_queue *q)
{
	const struct virtio_vring *r = &q->vring;
	int ret = set_vring(d, VU_SET_VRING_NUM, "SET_VRING_NUM", r->index, r->size);

	if (!ret)
		ret = set_vring(d, VU_SET_VRING_BASE, "SET_VRING_BASE", r->index, r->base);
	if (!ret)
		ret = set_vring_addr(d, r);
	if (!ret)
		ret = set_vring_fd(d, VU_SET_VRING_CALL, "SET_VRING_CALL", r->index, call_fd_of(q));
	if (!ret)
		ret = set_vring_fd(d, VU_SET_VRING_KICK, "SET_VRING_KICK", r->index, q->kick.fd);
	return ret;
}

int vu_queue_start(struct virtio_blk *v, struct virtio_queue *q)
{
	int ret;

	q->kick.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (q->kick.fd < 0)
		return bk_err(errno, "cannot create queue %d: eventfd: %m", q->q.index);
	q->vring.base = virtio_vring_base(q);
	ret = set_up_vring(to_vu(v), q);
	if (ret < 0)
		close(q->kick.fd);
	return ret;
}

/* Afterwards the server has finished what it took from the ring, and takes no more. */
static int stop_vring(struct vu_dev *d, struct virtio_queue *q)
{
	struct vu_msg m = { .request = VU_GET_VRING_BASE, .size = sizeof(m.vring_state) };
	int ret;

	m.vring_state.index = q->vring.index;
	ret = vu_ask(d, &m, "GET_VRING_BASE", sizeof(m.vring_state));
	if (!ret)
		q->vring.base = m.vring_state.num;
	return ret;
}

void vu_queue_stop(struct virtio_blk *v, struct virtio_queue *q)
{
	struct vu_dev *d = to_vu(v);

	/* Neither now nor soon a server that may yet return is waited for. */
	if (!vu_is_down(d))
		stop_vring(d, q);
	if (vu_is_down(d))
		virtio_fail(v, "the device is being closed");
	/* Whoever still knows the queue has the lock. */
	pthread_mutex_lock(&d->lock);
	pthread_mutex_unlock(&d->lock);
	close(q->kick.fd);
}

static int enable_vring(struct vu_dev *d, unsigned index)
{
	return set_vring(d, VU_SET_VRING_ENABLE, "SET_VRING_ENABLE", index, 1);
}

int vu_enable_queues(struct vu_dev *d)
{
	int ret = 0;

	for (int i = 0; i < d->v.b.num_queues + d->v.b.num_poll_queues && !ret; i++)
		ret = enable_vring(d, i);
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
	return q->vring.known == __atomic_load_n(&q->v->changes, __ATOMIC_ACQUIRE);
}

/* Whether the queue's thread has made the ring that the server is to be told of. */
static bool is_new(const struct virtio_queue *q)
{
	unsigned changes = __atomic_load_n(&q->v->changes, __ATOMIC_ACQUIRE);

	return q->vring.known != changes && __atomic_load_n(&q->seen, __ATOMIC_ACQUIRE) == changes;
}

static int resume(struct vu_dev *d, struct virtio_queue *q)
{
	int ret = set_up_vring(d, q);

	if (!ret)
		ret = enable_vring(d, q->vring.index);
	eventfd_write(q->kick.fd, 1); /* for what was added meanwhile */
	return ret;
}

int vu_pause_queues(struct vu_dev *d)
{
	return for_queues(d, is_known, stop_vring);
}

int vu_resume_queues(struct vu_dev *d)
{
	return for_queues(d, is_known, resume);
}

static int return_new(struct vu_dev *d, struct virtio_queue *q)
{
	q->vring.known = __atomic_load_n(&d->v.changes, __ATOMIC_ACQUIRE);
	q->vring.base = virtio_vring_base(q);
	return resume(d, q);
}

static int return_same(struct vu_dev *d, struct virtio_queue *q)
{
	int ret = vu_inflight_base(d, q, &q->vring.base);

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

static int tell_call_fd(struct vu_dev *d, struct virtio_queue *q)
{
	int ret = 0;

	if (is_known(q))
		ret = set_vring_fd(d, VU_SET_VRING_CALL, "SET_VRING_CALL", q->vring.index,
				   call_fd_of(q));
	/* What the server signalled before went to the old one. */
	eventfd_write(call_fd_of(q), 1);
	pthread_mutex_lock(&q->v->wake_lock);
	q->vring.call_fd_changed = false;
	pthread_cond_broadcast(&q->v->watcher_did);
	pthread_mutex_unlock(&q->v->wake_lock);
	return ret;
}

void vu_attend(struct virtio_blk *v)
{
	struct vu_dev *d = to_vu(v);

	pthread_mutex_lock(&d->lock);
	if (!vu_is_down(d) && !for_queues(d, is_new, return_new))
		for_queues(d, has_new_call_fd, tell_call_fd);
	pthread_mutex_unlock(&d->lock);
}
