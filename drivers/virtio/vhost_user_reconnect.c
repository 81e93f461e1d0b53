/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A server that closes the connection and comes back: property "reconnect-timeout". The watching
 * thread connects anew and tells the new server all that the old one knew. Meanwhile threads of
 * queues go on adding requests, and wait for them as for any other.
 *
 * What was in flight: with in-flight tracking the new server finds it on the same rings. Without,
 * each queue makes a new ring and submits again what it has had no answer to. In both cases the old
 * server may have done it already, so it may be done twice. That is the same to whoever reads the
 * data, as nobody was told of the first time.
 *
 * Only a closed connection is overcome so. A server that hangs may still write to memory.
 */
#include <unistd.h>

#include "virtio/vhost_user.h"

#define ACCEPT_MS    100
#define PAUSE_MIN_MS 5
#define PAUSE_MAX_MS 100

/* One attempt. */
struct attempt {
	const char *refusal; /* no other attempt will do better */
	bool started;	     /* the server was told of rings: it may have begun */
};

static void set_socket(struct vu_dev *d, int sock)
{
	pthread_mutex_lock(&d->v.wake_lock);
	if (d->sock >= 0)
		close(d->sock);
	d->sock = sock;
	pthread_mutex_unlock(&d->v.wake_lock);
}

static int refuse(struct attempt *a, const char *why)
{
	a->refusal = why;
	return bk_err(EPROTO, "%s", why);
}

/* What may differ: the capacity, and the number of queues, which greet() has checked. */
static void blank(struct virtio_blk_config *c)
{
	c->capacity = 0;
	c->num_queues = 0;
}

static int check_config(struct vu_dev *d, struct attempt *a)
{
	struct virtio_blk_config before = { 0 }, now = { 0 };
	size_t len = min_u64(d->config_len, sizeof(now));
	int ret;

	memcpy(&before, d->config, len);
	ret = vu_read_config(&d->v, &now, len);
	if (ret < 0)
		return ret;
	blank(&before);
	blank(&now);
	if (memcmp(&before, &now, len))
		return refuse(a, "the vhost-user server returned with another configuration");
	return 0;
}

static int greet(struct vu_dev *d, struct attempt *a)
{
	uint64_t agreed = d->protocol_features, got, offered, slots;
	unsigned max_queues;
	int ret;

	d->protocol_features = 0;
	ret = vu_greet(d, agreed, &offered, &max_queues, &slots);
	got = d->protocol_features;
	d->protocol_features = agreed;
	if (ret < 0)
		return ret;
	if (got != agreed || d->v.features & ~offered)
		return refuse(a, "the vhost-user server returned without features that it had");
	if (max_queues < (unsigned)(d->v.b.num_queues + d->v.b.num_poll_queues))
		return refuse(a, "the vhost-user server returned with fewer queues");
	if (slots <= d->v.b.lim.max_mem_regions)
		return refuse(a, "the vhost-user server returned with room for less memory");
	return vu_set_features(&d->v, d->v.features);
}

static int hand_over(struct vu_dev *d, struct attempt *a)
{
	int ret = greet(d, a);

	if (!ret)
		ret = check_config(d, a);
	if (!ret)
		ret = vu_set_inflight(d);
	if (!ret)
		ret = vu_return_memory(d);
	if (ret < 0)
		return ret;
	a->started = true;
	ret = vu_return_queues(d);
	/* Whatever it may be doing, it may be doing it to memory. */
	if (ret < 0 && ret != -ECONNRESET)
		a->refusal = "the vhost-user server returned, but did not take the queues";
	return ret;
}

static int try_once(struct vu_dev *d, struct attempt *a)
{
	int ret = vu_connect(d->path, ACCEPT_MS);

	if (ret < 0)
		return ret;
	set_socket(d, ret);
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

/* Both kinds of ring are in order again, or will be; sleepers look for what the old server did. */
static void lose(struct vu_dev *d)
{
	if (d->inflight_fd >= 0)
		virtio_wake(&d->v);
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

const char *vu_reconnect(struct vu_dev *d)
{
	int pause = PAUSE_MIN_MS;

	d->return_by = now_ns() + d->reconnect_timeout * 1000000LL;
	begin(d);
	while (!virtio_failure(&d->v)) {
		struct attempt a = { 0 };

		if (!try_once(d, &a)) {
			vu_watch(d);
			vu_attend(&d->v);
			return NULL;
		}
		if (a.refusal)
			return a.refusal;
		if (a.started)
			lose(d);
		if (now_ns() >= d->return_by) {
			virtio_fail_as(&d->v, ENOTCONN,
				       "the vhost-user server closed the connection and did not "
				       "return in time (property \"reconnect-timeout\")");
			break;
		}
		if (!virtio_watch_pause(&d->v, pause))
			break;
		pause = min_u64(2 * pause, PAUSE_MAX_MS);
	}
	return "the vhost-user server closed the connection";
}
