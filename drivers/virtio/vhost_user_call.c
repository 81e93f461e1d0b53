/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The conversation with a vhost-user server: one message at a time, each acted upon before the
 * next, and none waits longer than bk_deadline(). After a message without a proper answer nobody
 * knows what the next one would answer: then the device is given up.
 */
#include <unistd.h>

#include "virtio/vhost_user.h"

#define REFUSED	    1 /* a proper answer, and the conversation goes on */
#define TURN_MIN_NS 100000
#define TURN_MAX_NS 10000000

static const char *failure_of(int err)
{
	switch (err) {
	case -ETIMEDOUT:
		return "the vhost-user server does not answer";
	case -ECANCELED:
		return "blkio_cancel() ended a call before the vhost-user server had answered";
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

/* ---- Taking turns ------------------------------------------------------------------------- */

int vu_lock(struct vu_dev *d, const char *what)
{
	struct bk_pauses pauses = { bk_deadline(&d->v.b), TURN_MIN_NS, TURN_MAX_NS };

	while (pthread_mutex_trylock(&d->lock)) {
		int ret = bk_pause(&pauses);

		if (ret < 0)
			return bk_wait_err(&pauses.deadline, ret, what,
					   "answer of the vhost-user server to an earlier message");
	}
	return 0;
}

void vu_lock_anyway(struct vu_dev *d, const char *what)
{
	if (!vu_lock(d, what))
		return;
	virtio_fail(&d->v, "the vhost-user server does not answer");
	pthread_mutex_lock(&d->lock);
}

/* ---- Messages ----------------------------------------------------------------------------- */

/* Once the device is watched, a connection that is lost may be replaced. */
static bool may_return(const struct vu_dev *d, int err)
{
	return err == -ECONNRESET && d->comeback.timeout_ms && watcher_runs(&d->v.watcher);
}

/* With the lock held. */
static int failed(struct vu_dev *d, const char *what, int err)
{
	const struct bk_deadline by = bk_deadline(&d->v.b);

	if (may_return(d, err))
		__atomic_store_n(&d->down, true, __ATOMIC_RELAXED);
	else if (!d->returning)
		virtio_fail(&d->v, failure_of(err));
	if (err == -ETIMEDOUT)
		return bk_wait_err(&by, err, what,
				   "answer of the vhost-user server, which hangs or has another "
				   "client,");
	if (err == -ECANCELED)
		return bk_wait_err(&by, err, what, "answer of the vhost-user server");
	return bk_err(-err, "%s: %s", what, failure_of(err));
}

static int refused(const char *what)
{
	return bk_err(EIO, "%s: the vhost-user server refused the request", what);
}

/* A server that returns has its own time, but at least a second for each answer. */
static struct bk_deadline deadline_of(const struct vu_dev *d)
{
	struct bk_deadline by = bk_deadline(&d->v.b);

	if (d->returning)
		by.at = min_u64(by.at, comeback_attempt_end(&d->comeback));
	if (d->undoes)
		by.cancel_fd = -1;
	return by;
}

/* 0, -EPROTO, or REFUSED: so the protocol has it for a configuration that cannot be read. */
static int check_reply(const struct vu_msg *m, uint32_t request, uint32_t size)
{
	if (m->request != request || !(m->flags & VU_REPLY))
		return -EPROTO;
	if (m->size == size)
		return 0;
	return request == VU_GET_CONFIG && !m->size ? REFUSED : -EPROTO;
}

static int send_one(struct vu_dev *d, const struct vu_msg *m, const int *fds, unsigned nr_fds)
{
	struct bk_deadline by = deadline_of(d);

	if (vu_is_down(d) && !d->returning)
		return -ECONNRESET;
	return vu_msg_send(d->sock, m, fds, nr_fds, &by);
}

/* fd: of the answer. */
static int exchange(struct vu_dev *d, struct vu_msg *m, const int *fds, unsigned nr_fds,
		    uint32_t size, int *fd)
{
	uint32_t request = m->request;
	struct bk_deadline by;
	int ret = send_one(d, m, fds, nr_fds);

	by = deadline_of(d);
	if (!ret)
		ret = vu_msg_recv(d->sock, m, fd, &by);
	if (!ret)
		ret = check_reply(m, request, size);
	if (ret < 0 && fd && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	return ret;
}

static int call(struct vu_dev *d, struct vu_msg *m, const char *what, uint32_t size, int *fd)
{
	int ret = virtio_check_alive(&d->v);

	if (!ret)
		ret = vu_lock(d, what);
	if (ret < 0)
		return ret;
	m->flags = VU_VERSION;
	ret = exchange(d, m, NULL, 0, size, fd);
	if (ret < 0)
		ret = failed(d, what, ret);
	pthread_mutex_unlock(&d->lock);
	return ret == REFUSED ? refused(what) : ret;
}

int vu_call(struct vu_dev *d, struct vu_msg *m, const char *what, uint32_t size)
{
	return call(d, m, what, size, NULL);
}

int vu_call_fd(struct vu_dev *d, struct vu_msg *m, const char *what, uint32_t size, int *fd)
{
	*fd = -1;
	return call(d, m, what, size, fd);
}

int vu_call_u64(struct vu_dev *d, enum vu_request request, const char *what, uint64_t *value)
{
	struct vu_msg m = { .request = request };
	int ret = vu_call(d, &m, what, sizeof(m.u64));

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

int vu_offer(struct vu_dev *d, struct vu_msg *m, const char *what, const int *fds, unsigned nr_fds,
	     bool *taken)
{
	bool ack = vu_has(d, VU_PROTOCOL_REPLY_ACK);
	int ret = virtio_check_alive(&d->v);

	*taken = false;
	if (!ret)
		ret = vu_lock(d, what);
	if (ret < 0)
		return ret;
	m->flags = VU_VERSION | (ack ? VU_NEED_REPLY : 0);
	if (ack)
		ret = exchange(d, m, fds, nr_fds, sizeof(m->u64), NULL);
	else
		ret = send_with_barrier(d, m, fds, nr_fds);
	if (ret < 0)
		ret = failed(d, what, ret);
	pthread_mutex_unlock(&d->lock);
	*taken = !ret && !(ack && m->u64);
	return ret;
}

int vu_send(struct vu_dev *d, struct vu_msg *m, const char *what, const int *fds, unsigned nr_fds)
{
	bool taken;
	int ret = vu_offer(d, m, what, fds, nr_fds, &taken);

	return ret < 0 || taken ? ret : refused(what);
}

int vu_notify(struct vu_dev *d, enum vu_request request, const char *what)
{
	const struct vu_msg m = { .request = request, .flags = VU_VERSION };
	int ret = virtio_check_alive(&d->v);

	if (!ret)
		ret = vu_lock(d, what);
	if (ret < 0)
		return ret;
	ret = send_one(d, &m, NULL, 0);
	if (ret < 0)
		ret = failed(d, what, ret);
	pthread_mutex_unlock(&d->lock);
	return ret;
}

int vu_send_u64(struct vu_dev *d, enum vu_request request, const char *what, uint64_t value)
{
	struct vu_msg m = { .request = request, .size = sizeof(m.u64), .u64 = value };

	return vu_send(d, &m, what, NULL, 0);
}
