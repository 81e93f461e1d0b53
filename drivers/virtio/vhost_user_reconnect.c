/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A server that closes the connection and comes back: property "reconnect-timeout". The watching
 * thread reconnects, and gives the new server all the state that the old one had. Meanwhile threads
 * can still queue requests, and wait for them as usual.
 *
 * Requests in flight: with in-flight tracking, the new server finds them on the same rings.
 * Without, each queue creates a new ring, and submits the requests that were not answered again. In
 * both cases the old server may have completed a request already, so it may be carried out twice.
 * Readers of the data see no difference, because the first completion was never reported.
 *
 * A server may come back only to disconnect again, for the same reason as before. The timeout does
 * not start again then, pauses grow, and a request that too many servers disconnected with fails
 * (virtio_loss.c).
 *
 * Reconnecting covers a closed connection only. A server that hangs may still write to memory.
 */
#include "common/socket.h"
#include "virtio/vhost_user.h"

#define ACCEPT_MS 100

/* One attempt. */
struct attempt {
	const char *refusal; /* no other attempt will do better */
	bool started;	     /* the server was told of rings: it may have begun */
};

static void set_socket(struct vu_dev *d, int sock)
{
	pthread_mutex_lock(&d->v.wake_lock);
	if (d->sock >= 0)
		socket_close(d->sock);
	d->sock = sock;
	pthread_mutex_unlock(&d->v.wake_lock);
}

static int refuse(struct attempt *a, const char *why)
{
	a->refusal = why;
	return bk_err(EPROTO, "%s", why);
}

/* The number of queues may differ: shake_hands() has checked it. */
static int check_config(struct vu_dev *d, struct attempt *a)
{
	struct virtio_blk_config now = { 0 };
	int ret = vu_read_config(&d->v, &now, d->config_len);

	if (ret < 0)
		return ret;
	if (!virtio_same_limits(&d->v.config, &now))
		return refuse(a, "the vhost-user server came back with another configuration");
	return 0;
}

static int shake_hands(struct vu_dev *d, struct attempt *a)
{
	uint64_t agreed = d->protocol_features, got, offered, slots;
	unsigned max_queues;
	int ret;

	d->protocol_features = 0;
	ret = vu_handshake(d, agreed, &offered, &max_queues, &slots);
	got = d->protocol_features;
	d->protocol_features = agreed;
	if (ret < 0)
		return ret;
	if (got != agreed || d->v.features & ~offered)
		return refuse(
		    a, "the vhost-user server came back without features that it had before");
	if (max_queues < (unsigned)(d->v.b.num_queues + d->v.b.num_poll_queues) ||
	    max_queues < (unsigned)d->v.b.num_vrings)
		return refuse(a, "the vhost-user server came back with fewer queues");
	if (slots <= d->v.b.lim.max_mem_regions)
		return refuse(
		    a, "the vhost-user server came back with fewer slots for memory regions");
	return vu_set_features(&d->v, d->v.features);
}

static int hand_over(struct vu_dev *d, struct attempt *a)
{
	int ret = shake_hands(d, a);

	if (!ret)
		ret = check_config(d, a);
	if (!ret)
		ret = vu_set_inflight(d);
	if (!ret)
		ret = vu_return_memory(d);
	if (ret < 0)
		return ret;
	a->started = true;
	ret = d->held ? vu_return_guests(d) : vu_return_queues(d);
	if (ret == -EBUSY)
		return refuse(a, "the vhost-user server closed the connection with requests of a "
				 "guest in flight, which only a server with in-flight tracking "
				 "could go on with");
	/* Whatever it may be doing, it may be doing it to memory. */
	if (ret < 0 && ret != -ECONNRESET)
		a->refusal = "the vhost-user server came back, but refused the queues";
	return ret;
}

static int resume(struct vu_dev *d, int sock, struct attempt *a)
{
	int ret;

	set_socket(d, sock);
	pthread_mutex_lock(&d->lock);
	d->returning = true;
	ret = virtio_check_alive(&d->v);
	if (!ret)
		ret = hand_over(d, a);
	d->returning = false;
	__atomic_store_n(&d->down, ret < 0, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&d->lock);
	if (ret < 0) {
		vu_close_backend(d);
		set_socket(d, -1);
	}
	return ret;
}

static int try_once(struct vu_dev *d, struct attempt *a)
{
	struct bk_deadline by = { deadline_in(ACCEPT_MS * NSEC_PER_MSEC), -1, ACCEPT_MS };
	int ret = vu_connect(d, by);

	if (ret >= 0)
		ret = resume(d, ret, a);
	bk_trace(reconnect, &d->v.b, ret);
	bk_debug("instance %p: reconnecting to %s: %s", (void *)&d->v.b, d->path,
		 ret < 0 ? "failed" : "done");
	return ret;
}

/* Both kinds of ring are in order again, or will be; sleepers look for what the old server did. */
static void lose(struct vu_dev *d)
{
	if (d->inflight_fd >= 0)
		virtio_lose_device(&d->v);
	else
		virtio_lose_rings(&d->v);
}

static void begin(struct vu_dev *d)
{
	pthread_mutex_lock(&d->lock);
	__atomic_store_n(&d->down, true, __ATOMIC_RELAXED);
	vu_close_backend(d);
	set_socket(d, -1);
	pthread_mutex_unlock(&d->lock);
	lose(d);
}

/* ---- How often, and for how long ---------------------------------------------------------- */

static bool pause_between(struct vu_dev *d)
{
	int ms = comeback_pause(&d->comeback);

	return !ms || virtio_watch_pause(&d->v, ms);
}

static bool made_progress(struct vu_dev *d)
{
	bool guests = vu_guests_progressed(d);

	return virtio_made_progress(&d->v) || guests;
}

/* Queues were woken up: by now they have seen what the last server had finished. */
static bool is_too_late(struct vu_dev *d)
{
	if (made_progress(d))
		comeback_progressed(&d->comeback);
	return comeback_is_late(&d->comeback);
}

static void end_of_time(struct vu_dev *d)
{
	virtio_fail_as(&d->v, ENOTCONN,
		       d->comeback.came_back
			   ? "the vhost-user server closes each connection before it completes a "
			     "request (property \"reconnect-timeout\")"
			   : "the vhost-user server closed the connection and did not come back in "
			     "time (property \"reconnect-timeout\")");
}

const char *vu_reconnect(struct vu_dev *d)
{
	comeback_lost(&d->comeback, made_progress(d));
	begin(d);
	while (pause_between(d) && !virtio_failure(&d->v)) {
		struct attempt a = { 0 };

		if (is_too_late(d)) {
			end_of_time(d);
			break;
		}
		if (!try_once(d, &a)) {
			comeback_connected(&d->comeback);
			comeback_came(&d->comeback);
			vu_watch(d);
			vu_update_queues(&d->v);
			return NULL;
		}
		if (a.refusal)
			return a.refusal;
		if (a.started) {
			comeback_came(&d->comeback);
			lose(d);
		}
	}
	return "the vhost-user server closed the connection";
}
