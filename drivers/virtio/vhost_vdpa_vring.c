/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A guest's rings on a vhost-vdpa device. Few devices can exchange one ring while others run, and
 * VDUSE tells its server of rings only when the driver is ready. So with each vring that starts or
 * stops the device is stopped, reset, and set up again with what it is to have.
 */
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "virtio/vhost_vdpa.h"

#define STOP_SECONDS 5	     /* for the requests in flight */
#define PAUSE_MIN_NS 20000   /* 20 us */
#define PAUSE_MAX_NS 1000000 /* 1 ms */

static uint16_t used_idx(const struct virtio_vring *r)
{
	const struct vring_used *used = r->device;

	return le16toh(__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE));
}

static uint16_t avail_idx(const struct virtio_vring *r)
{
	const struct vring_avail *avail = r->driver;

	return le16toh(__atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE));
}

static int pause_between(struct virtio_blk *v, struct bk_pauses *p)
{
	int ret = virtio_check_alive(v);

	if (ret < 0)
		return ret;
	ret = bk_pause(p);
	if (ret == -ETIMEDOUT)
		return bk_err(
		    ETIMEDOUT,
		    "the device did not complete its requests in flight within %d seconds",
		    STOP_SECONDS);
	return ret < 0 ? bk_wait_err(&p->deadline, ret, "stopping a ring",
				     "completion of the requests in flight")
		       : 0;
}

static struct bk_pauses pauses_of(const struct vdpa_dev *d)
{
	struct bk_pauses p = { bk_deadline(&d->v.b), PAUSE_MIN_NS, PAUSE_MAX_NS };

	p.deadline.at = min_u64(p.deadline.at, d->stop_by);
	return p;
}

/* All rings that are stopped from now on share the time. */
static void limit_stop(struct vdpa_dev *d)
{
	d->stop_by = deadline_in(STOP_SECONDS * NSEC_PER_SEC);
}

/* ---- The device again --------------------------------------------------------------------- */

static int set_up_guest(struct vdpa_dev *d, const struct virtio_guest *g)
{
	int ret =
	    vdpa_set_ring_fd(d, VHOST_SET_VRING_KICK, g->ring.index, g->kick_fd, "SET_VRING_KICK");

	return ret < 0 ? ret : vdpa_set_up_ring(d, &g->ring);
}

static bool is_waiting(const struct virtio_guest *g)
{
	return g->runs && g->ring.stopped;
}

static int set_up_guests(struct vdpa_dev *d)
{
	int ret = 0;

	for (int i = 0; i < d->v.b.num_vrings && !ret; i++) {
		if (is_waiting(&d->v.guests[i]))
			ret = set_up_guest(d, &d->v.guests[i]);
	}
	return ret;
}

/* What may have been added, or completed, unseen. */
static void wake_guests(struct vdpa_dev *d)
{
	for (int i = 0; i < d->v.b.num_vrings; i++) {
		struct virtio_guest *g = &d->v.guests[i];

		if (!is_waiting(g))
			continue;
		g->ring.stopped = false;
		eventfd_write(g->kick_fd, 1);
		eventfd_write(g->ring.call_fd, 1);
	}
}

static int set_up_queue(struct vdpa_dev *d, struct virtio_queue *q)
{
	int ret = 0;

	if (q->kick.fd >= 0)
		ret = vdpa_set_ring_fd(d, VHOST_SET_VRING_KICK, q->vring.index, q->kick.fd,
				       "SET_VRING_KICK");
	return ret < 0 ? ret : vdpa_set_up_ring(d, &q->vring);
}

static int for_queues(struct vdpa_dev *d, int (*action)(struct vdpa_dev *d, struct virtio_queue *q))
{
	int n = d->v.b.num_queues + d->v.b.num_poll_queues, ret = 0;

	for (int i = 0; i < n && !ret; i++) {
		if (d->v.queues[i]) /* or it was removed */
			ret = action(d, d->v.queues[i]);
	}
	return ret;
}

static int wake_queue(struct vdpa_dev *d, struct virtio_queue *q)
{
	(void)d;
	virtio_kick(q);
	eventfd_write(q->vring.call_fd, 1);
	return 0;
}

/* With the rings and the memory of those who are to have the device. */
static int restart(struct vdpa_dev *d)
{
	struct virtio_blk *v = &d->v;
	int ret = virtio_set_features(v);

	if (!ret)
		ret = vdpa_show_memory(d);
	if (!ret)
		ret = d->held ? set_up_guests(d) : for_queues(d, set_up_queue);
	if (!ret)
		ret = v->transport->run(v);
	if (!ret)
		ret = virtio_status_run(v);
	if (ret < 0) {
		virtio_fail(v, "the device refused what it had accepted before");
		return ret;
	}
	if (d->held)
		wake_guests(d);
	else
		for_queues(d, wake_queue);
	return 0;
}

/* ---- Stopping ----------------------------------------------------------------------------- */

static int get_base(struct vdpa_dev *d, struct virtio_vring *r, uint32_t *base)
{
	struct vhost_vring_state state = { .index = r->index };
	int ret = vdpa_call(d, VHOST_GET_VRING_BASE, &state, "GET_VRING_BASE");

	*base = state.num;
	return ret;
}

/*
 * Without kicks, a server takes no more from the ring, once it has seen those that came before: it
 * has when it has answered twice, since it looks at all its descriptors between two answers. Then
 * its answer is how far it is, and what it took it will complete. The kernel hands kicks on later,
 * from another thread (VDUSE), but not those of a ring that is not enabled.
 */
static int run_out(struct vdpa_dev *d, struct virtio_vring *r)
{
	struct bk_pauses pauses = pauses_of(d);
	int ret = vdpa_set_ring_fd(d, VHOST_SET_VRING_KICK, r->index, VHOST_FILE_UNBIND,
				   "SET_VRING_KICK");

	if (!ret)
		ret = vdpa_enable_ring(d, r, false);
	for (int i = 0; i < 2 && !ret; i++)
		ret = get_base(d, r, &r->base);
	while (!ret && used_idx(r) != (uint16_t)r->base)
		ret = pause_between(&d->v, &pauses);
	return ret;
}

static int suspend(struct vdpa_dev *d)
{
	return vdpa_has(d, VHOST_BACKEND_F_SUSPEND)
		   ? vdpa_call(d, VHOST_VDPA_SUSPEND, NULL, "SUSPEND")
		   : 0;
}

/* After suspend(): the device is to look at the ring no more, with nothing in flight; its base. */
static int stop_ring(struct vdpa_dev *d, struct virtio_vring *r)
{
	return vdpa_has(d, VHOST_BACKEND_F_SUSPEND) ? get_base(d, r, &r->base) : run_out(d, r);
}

static int for_running(struct vdpa_dev *d,
		       int (*action)(struct vdpa_dev *d, struct virtio_guest *g))
{
	int ret = 0;

	for (int i = 0; i < d->v.b.num_vrings && !ret; i++) {
		struct virtio_guest *g = &d->v.guests[i];

		if (g->runs && !g->ring.stopped)
			ret = action(d, g);
	}
	return ret;
}

static int mark_stopped(struct vdpa_dev *d, struct virtio_guest *g)
{
	(void)d;
	g->ring.stopped = true;
	return 0;
}

static int wake_guest(struct vdpa_dev *d, struct virtio_guest *g)
{
	int ret = vdpa_enable_ring(d, &g->ring, true);

	if (!ret)
		ret = vdpa_set_ring_fd(d, VHOST_SET_VRING_KICK, g->ring.index, g->kick_fd,
				       "SET_VRING_KICK");
	eventfd_write(g->kick_fd, 1);
	return ret;
}

static int stop_guest(struct vdpa_dev *d, struct virtio_guest *g)
{
	return stop_ring(d, &g->ring);
}

/* Afterwards nothing is in flight, and the device is to be reset. */
static int stop_guests(struct vdpa_dev *d)
{
	struct bk_err_msg why;
	int ret;

	limit_stop(d);
	ret = suspend(d);
	if (!ret)
		ret = for_running(d, stop_guest);
	if (!ret)
		return for_running(d, mark_stopped);
	why = bk_err_save();
	for_running(d, wake_guest);
	bk_err_restore(&why);
	return ret;
}

/* ---- Whether it can be stopped -------------------------------------------------------------- */

/*
 * The kernel's driver for virtio devices on PCI (vp_vdpa) cannot tell where a device is in a ring,
 * nor let it go on from there: the registers of virtio have nothing for it.
 */
int vdpa_check_guests(const struct virtio_blk *v)
{
	const struct vdpa_dev *d = container_of(v, const struct vdpa_dev, v);
	struct vhost_vring_state state = { 0 };

	if (!ioctl(d->device, VHOST_GET_VRING_BASE, &state) || errno != EOPNOTSUPP)
		return 0;
	return bk_err(ENOTSUP, "this vhost-vdpa device cannot tell where it is in a ring, so it "
			       "cannot give a guest's virtqueues back");
}

/* ---- Ops ---------------------------------------------------------------------------------- */

/* Hardly anybody submits any more: all that was, the device completes. */
static int finish_queue(struct vdpa_dev *d, struct virtio_queue *q)
{
	struct bk_pauses pauses = pauses_of(d);
	int ret = 0;

	while (!ret && avail_idx(&q->vring) != used_idx(&q->vring)) {
		virtio_kick(q);
		ret = pause_between(&d->v, &pauses);
	}
	return ret;
}

/* A thread that was about to submit may add to the ring even now: that is not shown any more. */
static int stop_queue(struct vdpa_dev *d, struct virtio_queue *q)
{
	return stop_ring(d, &q->vring);
}

static int restart_queue(struct vdpa_dev *d, struct virtio_queue *q)
{
	int ret = vdpa_enable_ring(d, &q->vring, true);

	if (!ret && q->kick.fd >= 0)
		ret = vdpa_set_ring_fd(d, VHOST_SET_VRING_KICK, q->vring.index, q->kick.fd,
				       "SET_VRING_KICK");
	virtio_kick(q);
	return ret;
}

int vdpa_hold(struct virtio_blk *v, const struct virtio_vring *home)
{
	struct vdpa_dev *d = to_vdpa(v);
	struct bk_err_msg why;
	int ret;

	(void)home;
	limit_stop(d);
	ret = for_queues(d, finish_queue);
	if (!ret)
		ret = suspend(d);
	if (!ret)
		ret = for_queues(d, stop_queue);
	d->held = !ret;
	if (!ret)
		return 0;
	why = bk_err_save();
	for_queues(d, restart_queue);
	bk_err_restore(&why);
	return ret;
}

int vdpa_unhold(struct virtio_blk *v)
{
	struct vdpa_dev *d = to_vdpa(v);

	d->held = false;
	return restart(d);
}

int vdpa_guest_start(struct virtio_blk *v, struct virtio_guest *g)
{
	struct vdpa_dev *d = to_vdpa(v);
	int ret = v->nr_guests ? stop_guests(d) : 0;

	(void)g; /* it waits, with those that were stopped */
	return ret < 0 ? ret : restart(d);
}

int vdpa_guest_stop(struct virtio_blk *v, struct virtio_guest *g)
{
	struct vdpa_dev *d = to_vdpa(v);
	int ret = stop_guests(d);

	if (ret < 0)
		return ret;
	g->ring.stopped = false; /* it does not come back */
	if (v->nr_guests > 1)
		return restart(d);
	/* Of the last one, what the reset is for is done by unhold(), or at the end. */
	ret = virtio_set_features(v);
	if (ret < 0)
		virtio_fail(v, "the device could not be reset when a vring was stopped");
	return ret;
}
