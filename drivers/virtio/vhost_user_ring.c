/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A ring of a vhost-user device, our own or a guest's: all that the server is told of it, and how
 * it is stopped while requests are in flight.
 *
 * The protocol says that a server that answers GET_VRING_BASE has finished what it took from the
 * ring. Servers with libvhost-user (qemu-storage-daemon) have not: they answer at once, forget how
 * to signal, and break the connection when a request completes. So a ring is put to sleep first,
 * by giving the server another eventfd for its kicks, which nobody signals; then what is in flight
 * runs out. The indexes of the ring tell when. A guest can write to them, and thereby make its own
 * server break the connection, which it can do anyway.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/socket.h"
#include "virtio/vhost_user.h"

#define PAUSE_MIN_NS 20000   /* 20 us */
#define PAUSE_MAX_NS 1000000 /* 1 ms */

static int set_vring(struct vu_dev *d, enum vu_request request, const char *what, unsigned index,
		     unsigned num)
{
	struct vu_msg m = { .request = request, .size = sizeof(m.vring_state) };

	m.vring_state.index = index;
	m.vring_state.num = num;
	return vu_send(d, &m, what, NULL, 0);
}

int vu_set_ring_fd(struct vu_dev *d, enum vu_request request, const char *what, unsigned index,
		   int fd)
{
	struct vu_msg m = { .request = request, .size = sizeof(m.u64), .u64 = index };

	return vu_send(d, &m, what, &fd, 1);
}

int vu_set_ring_addr(struct vu_dev *d, const struct virtio_vring *r, unsigned index)
{
	struct vu_msg m = { .request = VU_SET_VRING_ADDR, .size = sizeof(m.vring_addr) };

	m.vring_addr.index = index;
	m.vring_addr.desc = (uintptr_t)r->desc;
	m.vring_addr.avail = (uintptr_t)r->driver;
	m.vring_addr.used = (uintptr_t)r->device;
	return vu_send(d, &m, "SET_VRING_ADDR", NULL, 0);
}

int vu_set_up_ring(struct vu_dev *d, const struct virtio_vring *r, int call_fd, int kick_fd)
{
	int ret = set_vring(d, VU_SET_VRING_NUM, "SET_VRING_NUM", r->index, r->size);

	if (!ret)
		ret = set_vring(d, VU_SET_VRING_BASE, "SET_VRING_BASE", r->index, r->base);
	if (!ret)
		ret = vu_set_ring_addr(d, r, r->index);
	if (!ret)
		ret = vu_set_ring_fd(d, VU_SET_VRING_CALL, "SET_VRING_CALL", r->index, call_fd);
	if (!ret)
		ret = vu_set_ring_fd(d, VU_SET_VRING_KICK, "SET_VRING_KICK", r->index, kick_fd);
	return ret;
}

int vu_enable_ring(struct vu_dev *d, unsigned index)
{
	return set_vring(d, VU_SET_VRING_ENABLE, "SET_VRING_ENABLE", index, 1);
}

int vu_stop_ring(struct vu_dev *d, struct virtio_vring *r)
{
	struct vu_msg m = { .request = VU_GET_VRING_BASE, .size = sizeof(m.vring_state) };
	int ret;

	m.vring_state.index = r->index;
	ret = vu_call(d, &m, "GET_VRING_BASE", sizeof(m.vring_state));
	if (ret < 0)
		return ret;
	r->base = m.vring_state.num;
	r->stopped = true;
	return 0;
}

int vu_resume_ring(struct vu_dev *d, struct virtio_vring *r, int call_fd, int kick_fd)
{
	int ret = vu_set_up_ring(d, r, call_fd, kick_fd);

	if (!ret)
		ret = vu_enable_ring(d, r->index);
	if (!ret)
		r->stopped = false;
	eventfd_write(kick_fd, 1); /* for what was added meanwhile */
	return ret;
}

/* ---- Stopping a ring ---------------------------------------------------------------------- */

static uint16_t load16(const void *p)
{
	const uint16_t *value = p;

	return le16toh(__atomic_load_n(value, __ATOMIC_ACQUIRE));
}

static bool has_event_idx(const struct vu_dev *d)
{
	return virtio_has(&d->v, VIRTIO_RING_F_EVENT_IDX);
}

/* How many were added and are not finished. */
static uint16_t added(const struct virtio_vring *r)
{
	const struct vring_avail *avail = r->driver;
	const struct vring_used *used = r->device;

	return load16(&avail->idx) - load16(&used->idx);
}

/*
 * How many were taken and are not finished. That is known from the event index alone, which the
 * server sets whenever it takes one.
 */
static uint16_t taken(const struct virtio_vring *r)
{
	const struct vring_used *used = r->device;

	return load16(&used->ring[r->size]) - load16(&used->idx);
}

/*
 * Whether the server has requests in flight, or may take some, from a ring that nobody kicks.
 * Servers that poll their rings need no kicks, and say so, or have indexes that make no sense; but
 * these servers finish by themselves. So do those for packed rings.
 */
static bool is_busy(const struct vu_dev *d, const struct virtio_vring *r, enum vu_finish finish)
{
	const struct vring_used *used = r->device;
	uint16_t n;

	if (virtio_has(&d->v, VIRTIO_F_RING_PACKED) ||
	    (!has_event_idx(d) && load16(&used->flags) & VRING_USED_F_NO_NOTIFY))
		return false;
	n = finish == VU_WHAT_WAS_TAKEN && has_event_idx(d) ? taken(r) : added(r);
	return n && n <= r->size;
}

/* From the acknowledgement on, nothing is taken from the ring, until somebody signals *kick_fd. */
static int put_to_sleep(struct vu_dev *d, const struct virtio_vring *r, int *kick_fd)
{
	*kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (*kick_fd < 0)
		return bk_err(errno, "cannot stop a ring: eventfd: %m");
	return vu_set_ring_fd(d, VU_SET_VRING_KICK, "SET_VRING_KICK", r->index, *kick_fd);
}

static int pause_between(struct vu_dev *d, struct bk_pauses *p)
{
	uint64_t ignored;
	int ret;

	if (socket_events(d->sock, POLLRDHUP)) /* it is gone: this says so */
		return vu_call_u64(d, VU_GET_FEATURES, "GET_FEATURES", &ignored);
	ret = bk_pause(p);
	return ret < 0 ? bk_wait_err(&p->deadline, ret, "stopping a ring",
				     "completion of the requests in flight")
		       : 0;
}

/* Nine tenths of the call's time are for requests: a ring that does not stop is woken again. */
static struct bk_pauses pauses_of(const struct vu_dev *d)
{
	struct bk_pauses p = { bk_deadline(&d->v.b), PAUSE_MIN_NS, PAUSE_MAX_NS };

	if (p.deadline.at != INT64_MAX)
		p.deadline.at -= (p.deadline.at - now_ns()) / 10;
	return p;
}

/*
 * Without an event index, requests may be in flight unless all that were added are finished. The
 * server is woken for those; and since it may take others that come then, put to sleep again.
 */
static int wait_until_idle(struct vu_dev *d, const struct virtio_vring *r, enum vu_finish finish)
{
	struct bk_pauses pauses = pauses_of(d);
	bool wakes = finish == VU_WHAT_WAS_ADDED || !has_event_idx(d);
	int kick_fd, ret = put_to_sleep(d, r, &kick_fd);

	while (!ret && is_busy(d, r, finish)) {
		if (wakes)
			eventfd_write(kick_fd, 1);
		ret = pause_between(d, &pauses);
		if (!ret && wakes) {
			close(kick_fd);
			ret = put_to_sleep(d, r, &kick_fd);
		}
	}
	if (kick_fd >= 0)
		close(kick_fd);
	return ret;
}

int vu_pause_ring(struct vu_dev *d, struct virtio_vring *r, int kick_fd, enum vu_finish finish)
{
	struct bk_err_msg why;
	int ret = wait_until_idle(d, r, finish);

	if (!ret)
		return vu_stop_ring(d, r);
	if (vu_is_down(d) || virtio_failure(&d->v))
		return ret;
	why = bk_err_save();
	d->undoes = true;
	vu_set_ring_fd(d, VU_SET_VRING_KICK, "SET_VRING_KICK", r->index, kick_fd);
	d->undoes = false;
	eventfd_write(kick_fd, 1); /* for what was added meanwhile */
	bk_err_restore(&why);
	return ret;
}

/* Whether a server that is gone can have left nothing undone. */
bool vu_ring_was_idle(const struct vu_dev *d, const struct virtio_vring *r)
{
	if (virtio_has(&d->v, VIRTIO_F_RING_PACKED))
		return false;
	return !added(r) || (has_event_idx(d) && !taken(r));
}
