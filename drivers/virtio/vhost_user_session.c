/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A session with a vhost-user server: the connection, the handshake, features and configuration.
 * The first begins with blkio_connect(), others when a server returns.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "common/socket.h"
#include "virtio/vhost_user.h"

/* ---- Connection --------------------------------------------------------------------------- */

int vu_connect(const struct vu_dev *d, struct bk_deadline by)
{
	struct sockaddr_un addr;
	int ret = socket_unix_address(d->path, &addr);

	if (ret < 0)
		return ret;
	ret = socket_connect((struct sockaddr *)&addr, sizeof(addr), &by);
	if (ret >= 0)
		return ret;
	if (ret == -ETIMEDOUT || ret == -ECANCELED)
		return bk_wait_err(&by, ret, d->path, "room for another client");
	return bk_err(-ret, "cannot connect to %s: %s", d->path, strerror(-ret));
}

void vu_close_backend(struct vu_dev *d)
{
	if (d->backend >= 0)
		close(d->backend);
	d->backend = -1;
}

void vu_watch(struct vu_dev *d)
{
	/* Answers to what we ask are not for the watching thread: it looks for the end only. */
	d->v.watched[VU_WATCH_SOCKET] = (struct pollfd){ .fd = d->sock, .events = POLLRDHUP };
	d->v.watched[VU_WATCH_BACKEND] = (struct pollfd){ .fd = d->backend, .events = POLLIN };
	d->v.nr_watched = 2;
}

/* ---- Handshake ---------------------------------------------------------------------------- */

/* The server's way to tell us about changes. It is optional: without, nothing is missed. */
static int open_backend_channel(struct vu_dev *d)
{
	struct vu_msg m = { .request = VU_SET_BACKEND_REQ_FD };
	int pair[2], ret;
	bool taken;

	if (!vu_has(d, VU_PROTOCOL_BACKEND_REQ))
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return bk_err(errno, "cannot create a socket pair: %m");
	ret = vu_offer(d, &m, "SET_BACKEND_REQ_FD", &pair[1], 1, &taken);
	close(pair[1]);
	if (taken)
		d->backend = pair[0];
	else
		close(pair[0]);
	return ret;
}

static int get_memory_slots(struct vu_dev *d, uint64_t *slots)
{
	int ret = 0;

	*slots = VU_REGIONS_MAX;
	if (vu_has(d, VU_PROTOCOL_MEM_SLOTS))
		ret = vu_call_u64(d, VU_GET_MAX_MEM_SLOTS, "GET_MAX_MEM_SLOTS", slots);
	if (!ret && *slots < 2)
		return bk_err(EPROTO,
			      "the vhost-user server has only %llu slots for memory regions, which "
			      "is too few",
			      (unsigned long long)*slots);
	return ret;
}

static int negotiate(struct vu_dev *d, uint64_t wanted, uint64_t *offered)
{
	uint64_t protocol;
	int ret = vu_call_u64(d, VU_GET_FEATURES, "GET_FEATURES", offered);

	if (ret < 0)
		return ret;
	if (!(*offered >> VU_F_PROTOCOL_FEATURES & 1))
		return bk_err(ENOTSUP, "the vhost-user server does not support protocol features, "
				       "so its configuration space cannot be read");
	ret = vu_call_u64(d, VU_GET_PROTOCOL_FEATURES, "GET_PROTOCOL_FEATURES", &protocol);
	if (ret < 0)
		return ret;
	if (!(protocol & VU_PROTOCOL_BIT(VU_PROTOCOL_CONFIG)))
		return bk_err(ENOTSUP, "the vhost-user server has no configuration space: is it a "
				       "block device?");
	protocol &= wanted;
	ret = vu_send_u64(d, VU_SET_PROTOCOL_FEATURES, "SET_PROTOCOL_FEATURES", protocol);
	if (!ret)
		d->protocol_features = protocol;
	return ret;
}

int vu_handshake(struct vu_dev *d, uint64_t protocol_features, uint64_t *offered,
		 unsigned *max_queues, uint64_t *slots)
{
	/* Without VU_PROTOCOL_MQ the configuration alone says how many: libblkio 1.5 never asks. */
	uint64_t queues = VIRTIO_QUEUES_MAX;
	int ret = negotiate(d, protocol_features, offered);

	if (!ret)
		ret = vu_notify(d, VU_SET_OWNER, "SET_OWNER");
	if (!ret && vu_has(d, VU_PROTOCOL_MQ))
		ret = vu_call_u64(d, VU_GET_QUEUE_NUM, "GET_QUEUE_NUM", &queues);
	*max_queues = min_u64(max_u64(queues, 1), VIRTIO_QUEUES_MAX);
	if (!ret)
		ret = get_memory_slots(d, slots);
	return ret < 0 ? ret : open_backend_channel(d);
}

/* ---- Features and configuration ----------------------------------------------------------- */

int vu_set_features(struct virtio_blk *v, uint64_t features)
{
	return vu_send_u64(to_vu(v), VU_SET_FEATURES, "SET_FEATURES", features);
}

static int get_config(struct vu_dev *d, size_t len)
{
	struct vu_msg m = { .request = VU_GET_CONFIG };
	int ret;

	m.config.size = len;
	m.size = offsetof(struct vu_msg, config.data) - VU_HEADER_LEN + len;
	ret = vu_call(d, &m, "GET_CONFIG", m.size);
	if (ret < 0)
		return ret;
	memcpy(d->config, m.config.data, len);
	d->config_len = len;
	return 0;
}

int vu_read_config(struct virtio_blk *v, void *buf, size_t len)
{
	struct vu_dev *d = to_vu(v);
	int ret = vu_lock(d, "GET_CONFIG");

	if (ret < 0)
		return ret;
	ret = get_config(d, len);
	/* While the server is away, what it said last holds. */
	if (ret == -ECONNRESET && vu_is_down(d) && !d->returning)
		ret = 0;
	if (!ret)
		memmove(buf, d->config, len);
	pthread_mutex_unlock(&d->lock);
	return ret;
}
