/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Queue passthrough on a vhost-user device: the switch between our rings and a guest's. */
#include "virtio/vhost_user.h"

/* ---- The switch --------------------------------------------------------------------------- */

/*
 * Servers look all rings up whenever memory is added, also those that are stopped: none may lie in
 * memory that goes. So those that nobody uses are where home is.
 */
static int park_rings(struct vu_dev *d, const struct virtio_vring *home)
{
	unsigned own = d->v.b.num_queues + d->v.b.num_poll_queues;
	unsigned end = max_u64(own, d->v.b.num_vrings);
	int ret = 0;

	for (unsigned i = 0; i < end && !ret; i++)
		ret = vu_set_ring_addr(d, home, i);
	return ret;
}

/* The end of a call, with the lock held: a server that was lost meanwhile may come back. */
static int finish(struct vu_dev *d, int ret)
{
	bool lost = ret < 0 && vu_is_down(d);

	pthread_mutex_unlock(&d->lock);
	if (!lost)
		return ret;
	ret = virtio_check_alive(&d->v);
	return ret < 0 ? ret
		       : bk_err(ENOTCONN, "the vhost-user server closed the connection, and may "
					  "come back: try again");
}

/* As it was; or it may come back to that, or is given up. */
static void undo_hold(struct vu_dev *d)
{
	const struct bk_err_msg why = bk_err_save();
	int ret = 0;

	d->undoes = true;
	if (!vu_is_down(d) && !virtio_failure(&d->v))
		ret = vu_show_memory(d, false);
	if (!ret && !vu_is_down(d) && !virtio_failure(&d->v))
		ret = vu_resume_queues(d);
	d->undoes = false;
	if (ret < 0 && !vu_is_down(d))
		virtio_fail(&d->v, "the vhost-user server refused what it had accepted before");
	bk_err_restore(&why);
}

int vu_hold(struct virtio_blk *v, const struct virtio_vring *home)
{
	struct vu_dev *d = to_vu(v);
	int ret = vu_lock(d, "starting a vring");

	if (ret < 0)
		return ret;
	ret = vu_is_down(d) ? -ENOTCONN : vu_finish_queues(d);
	if (!ret)
		ret = park_rings(d, home);
	if (!ret)
		ret = vu_show_memory(d, true);
	if (!ret)
		ret = vu_get_inflight(v);
	d->held = !ret;
	if (ret < 0)
		undo_hold(d);
	return finish(d, ret);
}

/* Where our first ring is, or was: queues may have been removed. */
static struct virtio_vring own_home(const struct vu_dev *d)
{
	char *start = (char *)d->v.memory->region.addr + d->v.b.own.len;

	return (struct virtio_vring){ .desc = start, .driver = start, .device = start };
}

int vu_unhold(struct virtio_blk *v)
{
	struct vu_dev *d = to_vu(v);
	const struct virtio_vring home = own_home(d);
	int ret;

	/* The guest's last ring is stopped: there is no way back. */
	vu_lock_anyway(d, "stopping a vring");
	d->held = false;
	ret = vu_is_down(d) ? 0 : vu_show_memory(d, false);
	if (!ret && !vu_is_down(d))
		ret = park_rings(d, &home);
	if (!ret && !vu_is_down(d))
		ret = vu_get_inflight(v);
	if (!ret && !vu_is_down(d))
		ret = vu_resume_queues(d);
	/* Otherwise a queue would never be served. */
	if (ret < 0 && !vu_is_down(d))
		virtio_fail(v, "the vhost-user server refused what it had accepted before");
	pthread_mutex_unlock(&d->lock);
	watcher_wake(&v->watcher); /* for rings that were lost meanwhile */
	return vu_is_down(d) ? 0 : ret;
}

/* ---- A guest's ring ----------------------------------------------------------------------- */

int vu_guest_start(struct virtio_blk *v, struct virtio_guest *g)
{
	struct vu_dev *d = to_vu(v);
	int ret;

	if (d->inflight_fd >= 0 && g->ring.size > vu_inflight_size(d))
		return bk_err(EINVAL,
			      "the size of a vring is %u, but the vhost-user server tracks "
			      "requests of vrings up to size %u",
			      g->ring.size, vu_inflight_size(d));
	ret = vu_lock(d, "starting a vring");
	if (ret < 0)
		return ret;
	ret = vu_is_down(d) ? -ENOTCONN : vu_note_base(d, &g->ring);
	return finish(d, ret < 0 ? ret : vu_resume_guest(d, g));
}

int vu_guest_stop(struct virtio_blk *v, struct virtio_guest *g)
{
	struct vu_dev *d = to_vu(v);
	int ret = vu_lock(d, "stopping a vring");

	if (ret < 0)
		return ret;
	return finish(d, vu_is_down(d) ? -ENOTCONN : vu_pause_guest(d, g));
}
