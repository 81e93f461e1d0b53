/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * virtio-blk-vhost-user: virtio-blk served by another process over a Unix socket, such as
 * qemu-storage-daemon. Addresses on the rings are our own virtual addresses; the server maps every
 * memory region from its file descriptor.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "virtio/vhost_user.h"

#define PROTOCOL_BIT(bit) (1ULL << (bit))
#define PROTOCOL_WANTED                                                                            \
	(PROTOCOL_BIT(VU_PROTOCOL_MQ) | PROTOCOL_BIT(VU_PROTOCOL_REPLY_ACK) |                      \
	 PROTOCOL_BIT(VU_PROTOCOL_BACKEND_REQ) | PROTOCOL_BIT(VU_PROTOCOL_CONFIG) |                \
	 PROTOCOL_BIT(VU_PROTOCOL_MEM_SLOTS))

static inline struct vu_dev *vu_of(struct blkio *b)
{
	return container_of(b, struct vu_dev, v.b);
}

/* ---- Connecting --------------------------------------------------------------------------- */

int vu_connect(const char *path, int ms)
{
	const struct timeval limit = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock, ret;

	if (strlen(path) >= sizeof(addr.sun_path))
		return bk_err(ENAMETOOLONG, "%s: the path of a Unix socket has at most %zu bytes",
			      path, sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, path);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return bk_err(errno, "cannot create a socket: %m");
	/* Bounds connect() too, which waits when the server does not accept. */
	setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return sock;
	ret = errno == EAGAIN ? ETIMEDOUT : errno;
	close(sock);
	return bk_err(ret, "cannot connect to %s: %s", path, strerror(ret));
}

static int open_path(const char *path)
{
	return vu_connect(path, VU_SECONDS * 1000);
}

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

/* The server's way to tell us about changes. It is optional: without, nothing is missed. */
static int open_backend_channel(struct vu_dev *d)
{
	struct vu_msg m = { .request = VU_SET_BACKEND_REQ_FD };
	int pair[2], ret;

	if (!vu_has(d, VU_PROTOCOL_BACKEND_REQ))
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return bk_err(errno, "cannot create a socket pair: %m");
	ret = vu_tell(d, &m, "SET_BACKEND_REQ_FD", &pair[1], 1);
	close(pair[1]);
	if (ret < 0) {
		close(pair[0]);
		return ret;
	}
	d->backend = pair[0];
	return 0;
}

static int ask_memory_slots(struct vu_dev *d, uint64_t *slots)
{
	int ret = 0;

	*slots = VU_REGIONS_MAX;
	if (vu_has(d, VU_PROTOCOL_MEM_SLOTS))
		ret = vu_ask_u64(d, VU_GET_MAX_MEM_SLOTS, "GET_MAX_MEM_SLOTS", slots);
	if (!ret && *slots < 2)
		return bk_err(EPROTO,
			      "the vhost-user server has room for %llu memory regions: too "
			      "few",
			      (unsigned long long)*slots);
	return ret;
}

static int negotiate(struct vu_dev *d, uint64_t wanted, uint64_t *offered)
{
	uint64_t protocol;
	int ret = vu_ask_u64(d, VU_GET_FEATURES, "GET_FEATURES", offered);

	if (ret < 0)
		return ret;
	if (!(*offered >> VU_F_PROTOCOL_FEATURES & 1))
		return bk_err(ENOTSUP, "the vhost-user server has no protocol features, so it has "
				       "no configuration space to read");
	ret = vu_ask_u64(d, VU_GET_PROTOCOL_FEATURES, "GET_PROTOCOL_FEATURES", &protocol);
	if (ret < 0)
		return ret;
	if (!(protocol & PROTOCOL_BIT(VU_PROTOCOL_CONFIG)))
		return bk_err(ENOTSUP, "the vhost-user server has no configuration space: is it a "
				       "block device?");
	protocol &= wanted;
	ret = vu_tell_u64(d, VU_SET_PROTOCOL_FEATURES, "SET_PROTOCOL_FEATURES", protocol);
	if (!ret)
		d->protocol_features = protocol;
	return ret;
}

int vu_greet(struct vu_dev *d, uint64_t protocol_features, uint64_t *offered, unsigned *max_queues,
	     uint64_t *slots)
{
	uint64_t queues = 1;
	int ret = negotiate(d, protocol_features, offered);

	if (!ret)
		ret = vu_tell_u64(d, VU_SET_OWNER, "SET_OWNER", 0);
	if (!ret && vu_has(d, VU_PROTOCOL_MQ))
		ret = vu_ask_u64(d, VU_GET_QUEUE_NUM, "GET_QUEUE_NUM", &queues);
	*max_queues = min_u64(max_u64(queues, 1), VIRTIO_QUEUES_MAX);
	if (!ret)
		ret = ask_memory_slots(d, slots);
	return ret < 0 ? ret : open_backend_channel(d);
}

void vu_close_backend(struct vu_dev *d)
{
	if (d->backend >= 0)
		close(d->backend);
	d->backend = -1;
}

static int vu_open(struct virtio_blk *v, uint64_t *offered, unsigned *max_queues)
{
	struct vu_dev *d = to_vu(v);
	uint64_t wanted = PROTOCOL_WANTED, slots;
	int ret;

	if (d->reconnect_timeout && !d->path)
		return bk_err(EINVAL, "property \"reconnect-timeout\" needs property \"path\": to "
				      "what else is there to connect again?");
	if (d->reconnect_timeout)
		wanted |= PROTOCOL_BIT(VU_PROTOCOL_INFLIGHT);
	ret = virtio_open(d->path, d->fd, open_path, check_fd);
	if (ret < 0)
		return ret;
	d->sock = ret;
	ret = vu_greet(d, wanted, offered, max_queues, &slots);
	if (ret < 0) {
		if (d->path)
			close(d->sock);
		d->sock = -1;
		d->protocol_features = 0;
		v->failure = NULL;
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
	if (d->path || v->b.state != BK_CREATED)
		close(d->sock);
	d->sock = -1;
	d->protocol_features = 0;
}

int vu_set_features(struct virtio_blk *v, uint64_t features)
{
	return vu_tell_u64(to_vu(v), VU_SET_FEATURES, "SET_FEATURES", features);
}

static int ask_config(struct vu_dev *d, size_t len)
{
	struct vu_msg m = { .request = VU_GET_CONFIG };
	int ret;

	m.config.size = len;
	m.size = offsetof(struct vu_msg, config.data) - VU_HEADER_LEN + len;
	ret = vu_ask(d, &m, "GET_CONFIG", m.size);
	if (ret < 0)
		return ret;
	memcpy(d->config, m.config.data, len);
	d->config_len = len;
	return 0;
}

int vu_read_config(struct virtio_blk *v, void *buf, size_t len)
{
	struct vu_dev *d = to_vu(v);
	int ret;

	pthread_mutex_lock(&d->lock);
	ret = ask_config(d, len);
	/* While the server is away, what it said last holds. */
	if (ret == -ECONNRESET && vu_is_down(d) && !d->returning)
		ret = 0;
	if (!ret)
		memmove(buf, d->config, len);
	pthread_mutex_unlock(&d->lock);
	return ret;
}

void vu_watch(struct vu_dev *d)
{
	/* Answers to what we ask are not for the watching thread: it looks for the end only. */
	d->v.watched[VU_WATCH_SOCKET] = (struct pollfd){ .fd = d->sock, .events = POLLRDHUP };
	d->v.watched[VU_WATCH_BACKEND] = (struct pollfd){ .fd = d->backend, .events = POLLIN };
	d->v.nr_watched = 2;
}

static int vu_run(struct virtio_blk *v)
{
	struct vu_dev *d = to_vu(v);
	int ret = vu_enable_queues(d);

	vu_watch(d);
	return ret;
}

/* ---- Events ------------------------------------------------------------------------------- */

/*
 * Read what the server has to say, so that its socket does not fill up: once, for a server that
 * never ends must not keep the thread from ending. Nothing needs to be done about changes of the
 * configuration, which is asked for anew each time.
 */
static const char *read_backend(struct vu_dev *d)
{
	char buf[4096];
	ssize_t n = recv(d->backend, buf, sizeof(buf), MSG_DONTWAIT);

	if (n > 0 || (n < 0 && errno == EAGAIN))
		return NULL;
	if (!d->reconnect_timeout)
		return "the vhost-user server closed its channel";
	/* The socket will say whether it is gone. */
	d->v.watched[VU_WATCH_BACKEND].fd = -1;
	return NULL;
}

static const char *vu_event(struct virtio_blk *v, unsigned index, short revents)
{
	struct vu_dev *d = to_vu(v);

	(void)revents;
	if (index == VU_WATCH_BACKEND)
		return d->backend < 0 ? NULL : read_backend(d);
	if (d->reconnect_timeout && !virtio_failure(v))
		return vu_reconnect(d);
	return "the vhost-user server closed the connection";
}

/* Whoever waits for an answer is told that there will be none; a server that listens lets go. */
static void vu_abandon(struct virtio_blk *v)
{
	if (to_vu(v)->sock >= 0)
		shutdown(to_vu(v)->sock, SHUT_RDWR);
}

/* ---- Driver ------------------------------------------------------------------------------- */

static const struct virtio_transport vu_transport = {
	.features = 1ULL << VU_F_PROTOCOL_FEATURES,
	.open = vu_open,
	.close = vu_close,
	.set_features = vu_set_features,
	.prepare = vu_get_inflight,
	.read_config = vu_read_config,
	.queue_start = vu_queue_start,
	.attend = vu_attend,
	.queue_stop = vu_queue_stop,
	.run = vu_run,
	.event = vu_event,
	.abandon = vu_abandon,
};

static void vu_init(struct blkio *b)
{
	struct vu_dev *d = vu_of(b);
	pthread_mutexattr_t attr;

	virtio_blk_init(&d->v, &vu_transport);
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

static int check_timeout(struct blkio *b, const struct bk_prop *p, const union bk_val *val)
{
	(void)b;
	return val->i < 0
		   ? bk_err(EINVAL, "property \"%s\" must not be negative, got %d", p->name, val->i)
		   : 0;
}

static const struct bk_prop vu_props[] = {
	VIRTIO_BLK_PROPS,
	{ "path", "The Unix socket on which the server listens.", BK_STR, BK_GET_ALWAYS,
	  BK_SET_CREATED, offsetof(struct vu_dev, path) },
	{ "fd",
	  "A connected Unix stream socket to use in place of path; the library's once connected.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct vu_dev, fd) },
	{ "reconnect-timeout",
	  "How long requests wait, in milliseconds, for a server that closed the connection to "
	  "come back and go on with them; what the old one had begun may be done twice. 0: a "
	  "closed connection is the end.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct vu_dev, reconnect_timeout),
	  .check = check_timeout },
	{ 0 },
};

const struct bk_driver bk_driver_virtio_blk_vhost_user = {
	.name = "virtio-blk-vhost-user",
	.device_size = sizeof(struct vu_dev),
	.props = vu_props,
	.init = vu_init,
	.map = vu_map,
	.unmap = vu_unmap,
	VIRTIO_BLK_DRIVER_OPS,
};
