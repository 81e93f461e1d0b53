/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The conversation with a vhost-user server: one message at a time, each acted upon before the
 * next, and none waits longer than VU_SECONDS. After a message without a proper answer nobody knows
 * what the next one would answer: then the device is given up.
 */
#include <unistd.h>

#include "virtio/vhost_user.h"

static const char *failure_of(int err)
{
	switch (err) {
	case -ETIMEDOUT:
		return "the vhost-user server does not answer";
	case -ECONNRESET:
		return "the vhost-user server closed the connection";
	case -EPROTO:
		return "the vhost-user server broke the protocol";
	default:
		return "the connection to the vhost-user server failed";
	}
}

bool vu_is_down(struct vu_dev *d)
{
	return __atomic_load_n(&d->down, __ATOMIC_RELAXED);
}

/* Once the device is watched, a connection that is lost may be replaced. */
static bool may_return(const struct vu_dev *d, int err)
{
	return err == -ECONNRESET && d->reconnect_timeout && virtio_is_watched(&d->v);
}

/* With the lock held. */
static int failed(struct vu_dev *d, const char *what, int err)
{
	if (may_return(d, err))
		__atomic_store_n(&d->down, true, __ATOMIC_RELAXED);
	else if (!d->returning)
		virtio_fail(&d->v, failure_of(err));
	if (err == -ETIMEDOUT)
		return bk_err(ETIMEDOUT,
			      "%s: no answer in time (%d seconds); the vhost-user server hangs, or "
			      "another client is connected to it",
			      what, VU_SECONDS);
	return bk_err(-err, "%s: %s", what, failure_of(err));
}

static int64_t deadline_of(const struct vu_dev *d)
{
	int64_t now = now_ns(), end = now + VU_SECONDS * NSEC_PER_SEC;

	if (d->returning && d->return_by < end)
		end = d->return_by;
	return end > now + NSEC_PER_SEC ? end : now + NSEC_PER_SEC;
}

static int check_reply(const struct vu_msg *m, uint32_t request, uint32_t size)
{
	return m->request == request && (m->flags & VU_REPLY) && m->size == size ? 0 : -EPROTO;
}

static int send_one(struct vu_dev *d, const struct vu_msg *m, const int *fds, unsigned nr_fds)
{
	if (vu_is_down(d) && !d->returning)
		return -ECONNRESET;
	return vu_send(d->sock, m, fds, nr_fds, deadline_of(d));
}

/* fd: of the answer. */
static int exchange(struct vu_dev *d, struct vu_msg *m, const int *fds, unsigned nr_fds,
		    uint32_t size, int *fd)
{
	uint32_t request = m->request;
	int ret = send_one(d, m, fds, nr_fds);

	if (!ret)
		ret = vu_recv(d->sock, m, fd, deadline_of(d));
	if (!ret)
		ret = check_reply(m, request, size);
	if (ret < 0 && fd && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	return ret;
}

static int ask(struct vu_dev *d, struct vu_msg *m, const char *what, uint32_t size, int *fd)
{
	int ret = virtio_check_alive(&d->v);

	if (ret < 0)
		return ret;
	m->flags = VU_VERSION;
	pthread_mutex_lock(&d->lock);
	ret = exchange(d, m, NULL, 0, size, fd);
	if (ret < 0)
		ret = failed(d, what, ret);
	pthread_mutex_unlock(&d->lock);
	return ret;
}

int vu_ask(struct vu_dev *d, struct vu_msg *m, const char *what, uint32_t size)
{
	return ask(d, m, what, size, NULL);
}

int vu_ask_fd(struct vu_dev *d, struct vu_msg *m, const char *what, uint32_t size, int *fd)
{
	*fd = -1;
	return ask(d, m, what, size, fd);
}

int vu_ask_u64(struct vu_dev *d, enum vu_request request, const char *what, uint64_t *value)
{
	struct vu_msg m = { .request = request };
	int ret = vu_ask(d, &m, what, sizeof(m.u64));

	*value = ret < 0 ? 0 : m.u64;
	return ret;
}

/* Messages are acted upon in order: an answer to this one means that the one before is done. */
static int send_with_barrier(struct vu_dev *d, const struct vu_msg *m, const int *fds,
			     unsigned nr_fds)
{
	struct vu_msg barrier = { .request = VU_GET_FEATURES, .flags = VU_VERSION };
	int ret = send_one(d, m, fds, nr_fds);

	return ret < 0 ? ret : exchange(d, &barrier, NULL, 0, sizeof(barrier.u64), NULL);
}

int vu_tell(struct vu_dev *d, struct vu_msg *m, const char *what, const int *fds, unsigned nr_fds)
{
	bool ack = vu_has(d, VU_PROTOCOL_REPLY_ACK);
	int ret = virtio_check_alive(&d->v);

	if (ret < 0)
		return ret;
	m->flags = VU_VERSION | (ack ? VU_NEED_REPLY : 0);
	pthread_mutex_lock(&d->lock);
	if (ack)
		ret = exchange(d, m, fds, nr_fds, sizeof(m->u64), NULL);
	else
		ret = send_with_barrier(d, m, fds, nr_fds);
	if (ret < 0)
		ret = failed(d, what, ret);
	pthread_mutex_unlock(&d->lock);
	if (!ret && ack && m->u64)
		return bk_err(EIO, "%s: the vhost-user server refused", what);
	return ret;
}

int vu_tell_u64(struct vu_dev *d, enum vu_request request, const char *what, uint64_t value)
{
	struct vu_msg m = { .request = request, .size = sizeof(m.u64), .u64 = value };

	return vu_tell(d, &m, what, NULL, 0);
}
