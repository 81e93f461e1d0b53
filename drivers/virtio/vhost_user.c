/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * virtio-blk-vhost-user: virtio-blk served by another process over a Unix socket, such as
 * qemu-storage-daemon. Addresses on the rings are our own virtual addresses; the server maps every
 * memory region from its file descriptor.
 */
#include <sys/socket.h>

#include "common/path_fd.h"
#include "common/socket.h"
#include "virtio/vhost_user.h"

#define LET_GO_NS (NSEC_PER_SEC / 2) /* for a server to see that we are gone */
#define PROTOCOL_WANTED                                                                            \
	(VU_PROTOCOL_BIT(VU_PROTOCOL_MQ) | VU_PROTOCOL_BIT(VU_PROTOCOL_REPLY_ACK) |                \
	 VU_PROTOCOL_BIT(VU_PROTOCOL_BACKEND_REQ) | VU_PROTOCOL_BIT(VU_PROTOCOL_CONFIG) |          \
	 VU_PROTOCOL_BIT(VU_PROTOCOL_MEM_SLOTS))

static inline struct vu_dev *vu_of(struct blkio *b)
{
	return container_of(b, struct vu_dev, v.b);
}

/* ---- Connecting --------------------------------------------------------------------------- */

static int check_fd(int fd)
{
	int domain, type;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return bk_err(errno, "property \"fd\" (%d) is not a socket: %m", fd);
	if (domain != AF_UNIX || type != SOCK_STREAM)
		return bk_err(EINVAL, "property \"fd\" (%d) is not a Unix stream socket", fd);
	return fd;
}

static void disconnect(struct vu_dev *d)
{
	if (d->sock >= 0 && path_fd_is_ours(&d->v.b, d->path))
		socket_close(d->sock);
	d->sock = -1;
}

static int vu_open(struct virtio_blk *v, uint64_t *offered, unsigned *max_queues)
{
	struct vu_dev *d = to_vu(v);
	uint64_t wanted = PROTOCOL_WANTED, slots;
	int ret;

	if (d->comeback.timeout_ms && !d->path)
		return bk_err(EINVAL, "property \"reconnect-timeout\" requires property \"path\", "
				      "to which to reconnect");
	if (d->comeback.timeout_ms)
		wanted |= VU_PROTOCOL_BIT(VU_PROTOCOL_INFLIGHT);
	ret = path_fd_check(d->path, d->fd);
	if (!ret)
		ret = d->path ? vu_connect(d, bk_deadline(&v->b)) : check_fd(d->fd);
	if (ret < 0)
		return ret;
	d->sock = ret;
	ret = vu_handshake(d, wanted, offered, max_queues, &slots);
	if (ret < 0) {
		disconnect(d);
		return ret;
	}
	v->b.lim.max_mem_regions = slots - 1; /* one is for the queues */
	return 0;
}

/* Also of a connect that failed further on: then fd is the application's as before. */
static void vu_close(struct virtio_blk *v)
{
	struct vu_dev *d = to_vu(v);

	vu_close_backend(d);
	vu_free_inflight(d);
	disconnect(d);
	d->protocol_features = 0;
}

static int vu_run(struct virtio_blk *v)
{
	struct vu_dev *d = to_vu(v);
	int ret = vu_enable_queues(d);

	comeback_connected(&d->comeback);
	vu_watch(d);
	return ret;
}

/* ---- Events ------------------------------------------------------------------------------- */

/*
 * Read the server's messages, so that its socket does not fill up: once, for a server that
 * never ends must not keep the thread from ending. Whatever it is, it may be about a change of the
 * configuration.
 */
static void read_backend(struct vu_dev *d)
{
	struct virtio_blk_config c = { 0 };
	char buf[4096];
	ssize_t n = recv(d->backend, buf, sizeof(buf), MSG_DONTWAIT);

	if (n > 0)
		virtio_read_config(&d->v, &c);
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	/* Servers may do without the channel. Whether they are gone, the socket says. */
	d->v.watched[VU_WATCH_BACKEND].fd = -1;
}

static const char *vu_event(struct virtio_blk *v, unsigned index, short revents)
{
	struct vu_dev *d = to_vu(v);

	(void)revents;
	if (index == VU_WATCH_BACKEND) {
		if (d->backend >= 0)
			read_backend(d);
		return NULL;
	}
	if (d->comeback.timeout_ms && !virtio_failure(v))
		return vu_reconnect(d);
	return "the vhost-user server closed the connection";
}

/*
 * A server that listens lets go, and closes its end. A thread that waits for an answer is told that
 * there will be none; then the server's end cannot be seen any more.
 */
static void vu_abandon(struct virtio_blk *v)
{
	struct vu_dev *d = to_vu(v);

	d->abandoned_at = now_ns();
	if (d->sock < 0)
		return;
	if (pthread_mutex_trylock(&d->lock)) {
		d->is_cut = true;
		shutdown(d->sock, SHUT_RDWR);
		return;
	}
	shutdown(d->sock, SHUT_WR);
	pthread_mutex_unlock(&d->lock);
}

static bool is_closed(int sock)
{
	return sock < 0 || socket_events(sock, 0) & POLLHUP;
}

/* One that hangs has our memory mapped, and may go on at any time. */
static enum bk_drained vu_has_let_go(struct virtio_blk *v)
{
	struct vu_dev *d = to_vu(v);
	bool closed, late;

	pthread_mutex_lock(&v->wake_lock);
	closed = !d->is_cut && is_closed(d->sock);
	late = v->failure && now_ns() - d->abandoned_at > LET_GO_NS;
	pthread_mutex_unlock(&v->wake_lock);
	if (closed)
		return BK_QUIET;
	return late ? BK_HELD : BK_BUSY;
}

/* ---- Driver ------------------------------------------------------------------------------- */

static const struct virtio_transport vu_transport = {
	.features = 1ULL << VU_F_PROTOCOL_FEATURES,
	.open = vu_open,
	.close = vu_close,
	.set_features = vu_set_features,
	.prepare = vu_get_inflight,
	.read_config = vu_read_config,
	.map = vu_map,
	.unmap = vu_unmap,
	.queue_start = vu_queue_start,
	.update_queues = vu_update_queues,
	.queue_stop = vu_queue_stop,
	.hold = vu_hold,
	.unhold = vu_unhold,
	.guest_start = vu_guest_start,
	.guest_stop = vu_guest_stop,
	.run = vu_run,
	.event = vu_event,
	.abandon = vu_abandon,
	.has_let_go = vu_has_let_go,
};

static void vu_init(struct blkio *b)
{
	struct vu_dev *d = vu_of(b);
	pthread_mutexattr_t attr;

	virtio_blk_init(&d->v, &vu_transport);
	d->v.b.connect_timeout = VU_CONNECT_TIMEOUT_MS;
	d->fd = -1;
	d->sock = -1;
	d->backend = -1;
	d->inflight_fd = -1;
	/* Compound operations hold it, too. */
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&d->lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

static const struct bk_prop vu_props[] = {
	VIRTIO_BLK_PROPS,
	VIRTIO_VRING_PROPS,
	{ "path", "The path of the Unix socket on which the server listens.", BK_STR, BK_GET_ALWAYS,
	  BK_SET_CREATED, offsetof(struct vu_dev, path) },
	{ "fd",
	  "A connected Unix stream socket to use instead of path. The library owns it after "
	  "blkio_connect().",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct vu_dev, fd) },
	BK_CONNECT_TIMEOUT,
	COMEBACK_TIMEOUT(struct vu_dev, comeback),
	{ 0 },
};

const struct bk_driver bk_driver_virtio_blk_vhost_user = {
	.name = "virtio-blk-vhost-user",
	.device_size = sizeof(struct vu_dev),
	.props = vu_props,
	.init = vu_init,
	.vring = &virtio_vring_ops,
	VIRTIO_BLK_DRIVER_OPS,
};
