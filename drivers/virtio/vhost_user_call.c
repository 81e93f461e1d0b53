/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The conversation with a vhost-user server: one message at a time, each acted upon before the
 * next, and none waits longer than VU_SECONDS. After a message without a proper answer nobody knows
 * what the next one would answer: then the device is given up.
 */
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

static int failed(struct vu_dev *d, const char *what, int err)
{
	virtio_fail(&d->v, failure_of(err));
	if (err == -ETIMEDOUT)
		return bk_err(ETIMEDOUT,
			      "%s: no answer in %d seconds; the vhost-user server hangs, or "
			      "another client is connected to it",
			      what, VU_SECONDS);
	return bk_err(-err, "%s: %s", what, failure_of(err));
}

static int check_reply(const struct vu_msg *m, uint32_t request, uint32_t size)
{
	return m->request == request && (m->flags & VU_REPLY) && m->size == size ? 0 : -EPROTO;
}

static int exchange(struct vu_dev *d, struct vu_msg *m, const int *fds, unsigned nr_fds,
		    uint32_t size)
{
	int64_t deadline = now_ns() + VU_SECONDS * NSEC_PER_SEC;
	uint32_t request = m->request;
	int ret = vu_send(d->sock, m, fds, nr_fds, deadline);

	if (!ret)
		ret = vu_recv(d->sock, m, deadline);
	return ret < 0 ? ret : check_reply(m, request, size);
}

int vu_ask(struct vu_dev *d, struct vu_msg *m, const char *what, uint32_t size)
{
	int ret = virtio_check_alive(&d->v);

	if (ret < 0)
		return ret;
	m->flags = VU_VERSION;
	pthread_mutex_lock(&d->lock);
	ret = exchange(d, m, NULL, 0, size);
	pthread_mutex_unlock(&d->lock);
	return ret < 0 ? failed(d, what, ret) : 0;
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
	int ret = vu_send(d->sock, m, fds, nr_fds, now_ns() + VU_SECONDS * NSEC_PER_SEC);

	return ret < 0 ? ret : exchange(d, &barrier, NULL, 0, sizeof(barrier.u64));
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
		ret = exchange(d, m, fds, nr_fds, sizeof(m->u64));
	else
		ret = send_with_barrier(d, m, fds, nr_fds);
	pthread_mutex_unlock(&d->lock);
	if (ret < 0)
		return failed(d, what, ret);
	if (ack && m->u64)
		return bk_err(EIO, "%s: the vhost-user server refused", what);
	return 0;
}

int vu_tell_u64(struct vu_dev *d, enum vu_request request, const char *what, uint64_t value)
{
	struct vu_msg m = { .request = request, .size = sizeof(m.u64), .u64 = value };

	return vu_tell(d, &m, what, NULL, 0);
}
