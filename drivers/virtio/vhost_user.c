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

enum { WATCH_SOCKET, WATCH_BACKEND };

static inline struct vu_dev *vu_of(struct blkio *b)
{
	return container_of(b, struct vu_dev, v.b);
}

/* ---- Connecting --------------------------------------------------------------------------- */

static int open_path(const char *path)
{
	const struct timeval limit = { .tv_sec = VU_SECONDS };
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

static int read_memory_slots(struct vu_dev *d)
{
	uint64_t slots = VU_REGIONS_MAX;
	int ret = 0;

	if (vu_has(d, VU_PROTOCOL_MEM_SLOTS))
		ret = vu_ask_u64(d, VU_GET_MAX_MEM_SLOTS, "GET_MAX_MEM_SLOTS", &slots);
	if (ret < 0)
		return ret;
	if (slots < 2)
		return bk_err(EPROTO,
			      "the vhost-user server has room for %llu memory regions: too "
			      "few",
			      (unsigned long long)slots);
	d->v.b.lim.max_mem_regions = slots - 1; /* one is for the queues */
	return 0;
}

static int negotiate_protocol(struct vu_dev *d, uint64_t *offered, unsigned *max_queues)
{
	uint64_t protocol, queues = 1;
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
	protocol &= PROTOCOL_WANTED;
	ret = vu_tell_u64(d, VU_SET_PROTOCOL_FEATURES, "SET_PROTOCOL_FEATURES", protocol);
	if (ret < 0)
		return ret;
	d->protocol_features = protocol;
	ret = vu_tell_u64(d, VU_SET_OWNER, "SET_OWNER", 0);
	if (!ret && vu_has(d, VU_PROTOCOL_MQ))
		ret = vu_ask_u64(d, VU_GET_QUEUE_NUM, "GET_QUEUE_NUM", &queues);
	*max_queues = min_u64(max_u64(queues, 1), VIRTIO_QUEUES_MAX);
	return ret;
}

static void close_backend_channel(struct vu_dev *d)
{
	if (d->backend >= 0)
		close(d->backend);
	d->backend = -1;
}

static int vu_open(struct virtio_blk *v, uint64_t *offered, unsigned *max_queues)
{
	struct vu_dev *d = to_vu(v);
	int ret = virtio_open(d->path, d->fd, open_path, check_fd);

	if (ret < 0)
		return ret;
	d->sock = ret;
	ret = negotiate_protocol(d, offered, max_queues);
	if (!ret)
		ret = read_memory_slots(d);
	if (!ret)
		ret = open_backend_channel(d);
	if (ret < 0) {
		if (d->path)
			close(d->sock);
		d->sock = -1;
		d->protocol_features = 0;
		v->failure = NULL;
	}
	return ret;
}

/* Also of a connect that failed further on: then fd is the application's as before. */
static void vu_close(struct virtio_blk *v)
{
	struct vu_dev *d = to_vu(v);

	close_backend_channel(d);
	if (d->path || v->b.state != BK_CREATED)
		close(d->sock);
	d->sock = -1;
	d->protocol_features = 0;
}

static int vu_set_features(struct virtio_blk *v, uint64_t features)
{
	return vu_tell_u64(to_vu(v), VU_SET_FEATURES, "SET_FEATURES", features);
}

static int vu_read_config(struct virtio_blk *v, void *buf, size_t len)
{
	struct vu_msg m = { .request = VU_GET_CONFIG };
	int ret;

	m.config.size = len;
	m.size = offsetof(struct vu_msg, config.data) - VU_HEADER_LEN + len;
	ret = vu_ask(to_vu(v), &m, "GET_CONFIG", m.size);
	if (ret < 0)
		return ret;
	memcpy(buf, m.config.data, len);
	return 0;
}

/* ---- Queues ------------------------------------------------------------------------------- */

static int set_vring(struct vu_dev *d, enum vu_request request, const char *what, unsigned index,
		     unsigned num)
{
	struct vu_msg m = { .request = request, .size = sizeof(m.vring_state) };

	m.vring_state.index = index;
	m.vring_state.num = num;
	return vu_tell(d, &m, what, NULL, 0);
}

static int set_vring_fd(struct vu_dev *d, enum vu_request request, const char *what, unsigned index,
			int fd)
{
	struct vu_msg m = { .request = request, .size = sizeof(m.u64), .u64 = index };

	return vu_tell(d, &m, what, &fd, 1);
}

static int set_vring_addr(struct vu_dev *d, const struct virtio_vring *r)
{
	struct vu_msg m = { .request = VU_SET_VRING_ADDR, .size = sizeof(m.vring_addr) };

	m.vring_addr.index = r->index;
	m.vring_addr.desc = (uintptr_t)r->desc;
	m.vring_addr.avail = (uintptr_t)r->driver;
	m.vring_addr.used = (uintptr_t)r->device;
	return vu_tell(d, &m, "SET_VRING_ADDR", NULL, 0);
}

static int set_up_vring(struct vu_dev *d, const struct virtio_queue *q)
{
	const struct virtio_vring *r = &q->vring;
	int ret = set_vring(d, VU_SET_VRING_NUM, "SET_VRING_NUM", r->index, r->size);

	if (!ret)
		ret = set_vring(d, VU_SET_VRING_BASE, "SET_VRING_BASE", r->index, r->base);
	if (!ret)
		ret = set_vring_addr(d, r);
	if (!ret)
		ret = set_vring_fd(d, VU_SET_VRING_CALL, "SET_VRING_CALL", r->index, r->call_fd);
	if (!ret)
		ret = set_vring_fd(d, VU_SET_VRING_KICK, "SET_VRING_KICK", r->index, q->kick.fd);
	return ret;
}

static int vu_queue_start(struct virtio_blk *v, struct virtio_queue *q)
{
	int ret;

	q->kick.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (q->kick.fd < 0)
		return bk_err(errno, "cannot create queue %d: eventfd: %m", q->q.index);
	q->vring.base = virtio_vring_base(q);
	ret = set_up_vring(to_vu(v), q);
	if (ret < 0)
		close(q->kick.fd);
	return ret;
}

static int vu_queue_set_call(struct virtio_blk *v, struct virtio_queue *q)
{
	return set_vring_fd(to_vu(v), VU_SET_VRING_CALL, "SET_VRING_CALL", q->vring.index,
			    q->vring.call_fd);
}

/* Afterwards the server has finished what it took from the ring, and takes no more. */
static int stop_vring(struct vu_dev *d, struct virtio_queue *q)
{
	struct vu_msg m = { .request = VU_GET_VRING_BASE, .size = sizeof(m.vring_state) };
	int ret;

	m.vring_state.index = q->vring.index;
	ret = vu_ask(d, &m, "GET_VRING_BASE", sizeof(m.vring_state));
	q->vring.base = m.vring_state.num;
	return ret;
}

static int enable_vring(struct vu_dev *d, unsigned index)
{
	return set_vring(d, VU_SET_VRING_ENABLE, "SET_VRING_ENABLE", index, 1);
}

static int pause_vrings(struct vu_dev *d)
{
	int ret = 0;

	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX && !ret; i++) {
		if (d->v.queues[i])
			ret = stop_vring(d, d->v.queues[i]);
	}
	return ret;
}

static int resume_vrings(struct vu_dev *d)
{
	int ret = 0;

	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX && !ret; i++) {
		const struct virtio_queue *q = d->v.queues[i];

		if (!q)
			continue;
		ret = set_up_vring(d, q);
		if (!ret)
			ret = enable_vring(d, i);
		eventfd_write(q->kick.fd, 1); /* for what was added meanwhile */
	}
	return ret;
}

static void vu_queue_stop(struct virtio_blk *v, struct virtio_queue *q)
{
	stop_vring(to_vu(v), q);
	close(q->kick.fd);
}

static int vu_run(struct virtio_blk *v)
{
	struct vu_dev *d = to_vu(v);
	int ret = 0;

	for (int i = 0; i < v->b.num_queues + v->b.num_poll_queues && !ret; i++)
		ret = enable_vring(d, i);
	/* Answers to what we ask are not for the watching thread: it looks for the end only. */
	v->watched[WATCH_SOCKET] = (struct pollfd){ .fd = d->sock, .events = POLLRDHUP };
	v->watched[WATCH_BACKEND] = (struct pollfd){ .fd = d->backend, .events = POLLIN };
	v->nr_watched = 2;
	return ret;
}

/* ---- Memory ------------------------------------------------------------------------------- */

static struct vu_region to_region(const struct bk_region *region, int64_t fd_offset)
{
	return (struct vu_region){
		.guest_addr = region->iova,
		.len = region->len,
		.user_addr = region->addr,
		.fd_offset = fd_offset,
	};
}

/*
 * The server maps everything anew, at addresses that differ: no ring may be in use meanwhile. Other
 * threads go on adding to theirs.
 */
static int send_table(struct vu_dev *d)
{
	struct vu_msg m = { .request = VU_SET_MEM_TABLE };
	int ret = pause_vrings(d);

	if (ret < 0)
		return ret;
	m.mem_table.n = d->table.n;
	memcpy(m.mem_table.region, d->table.region, d->table.n * sizeof(struct vu_region));
	m.size = offsetof(struct vu_msg, mem_table.region) - VU_HEADER_LEN +
		 d->table.n * sizeof(struct vu_region);
	ret = vu_tell(d, &m, "SET_MEM_TABLE", d->table.fd, d->table.n);
	return ret < 0 ? ret : resume_vrings(d);
}

static int add_to_table(struct vu_dev *d, const struct vu_region *region, int fd)
{
	unsigned n = d->table.n;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0), ret;

	if (copy < 0)
		return bk_err(errno, "cannot keep the fd of a memory region (%d): %m", fd);
	d->table.region[n] = *region;
	d->table.fd[n] = copy;
	d->table.n++;
	ret = send_table(d);
	if (ret < 0) {
		d->table.n--;
		close(copy);
	}
	return ret;
}

static void remove_from_table(struct vu_dev *d, uintptr_t addr)
{
	for (unsigned i = 0; i < d->table.n; i++) {
		if (d->table.region[i].user_addr != addr)
			continue;
		close(d->table.fd[i]);
		d->table.n--;
		d->table.region[i] = d->table.region[d->table.n];
		d->table.fd[i] = d->table.fd[d->table.n];
		/* An empty table is refused by some; the next one replaces it anyway. */
		if (d->table.n)
			send_table(d);
		return;
	}
}

static int vu_map(struct blkio *b, struct bk_region *region, int fd, int64_t fd_offset)
{
	struct vu_msg m = { .request = VU_ADD_MEM_REG, .size = sizeof(m.mem_reg) };
	struct vu_dev *d = vu_of(b);
	struct vu_region r = to_region(region, fd_offset);

	m.mem_reg.region = r;
	if (vu_has(d, VU_PROTOCOL_MEM_SLOTS))
		return vu_tell(d, &m, "ADD_MEM_REG", &fd, 1);
	return add_to_table(d, &r, fd);
}

static void vu_unmap(struct blkio *b, const struct bk_region *region)
{
	struct vu_msg m = { .request = VU_REM_MEM_REG, .size = sizeof(m.mem_reg) };
	struct vu_dev *d = vu_of(b);

	m.mem_reg.region = to_region(region, 0);
	if (vu_has(d, VU_PROTOCOL_MEM_SLOTS))
		vu_tell(d, &m, "REM_MEM_REG", NULL, 0);
	else
		remove_from_table(d, region->addr);
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
	return "the vhost-user server closed its channel";
}

static const char *vu_event(struct virtio_blk *v, unsigned index, short revents)
{
	(void)revents;
	if (index == WATCH_BACKEND)
		return read_backend(to_vu(v));
	return "the vhost-user server closed the connection";
}

/* Whoever waits for an answer is told that there will be none; a server that listens lets go. */
static void vu_abandon(struct virtio_blk *v)
{
	shutdown(to_vu(v)->sock, SHUT_RDWR);
}

/* ---- Driver ------------------------------------------------------------------------------- */

static const struct virtio_transport vu_transport = {
	.features = 1ULL << VU_F_PROTOCOL_FEATURES,
	.open = vu_open,
	.close = vu_close,
	.set_features = vu_set_features,
	.read_config = vu_read_config,
	.queue_start = vu_queue_start,
	.queue_set_call = vu_queue_set_call,
	.queue_stop = vu_queue_stop,
	.run = vu_run,
	.event = vu_event,
	.abandon = vu_abandon,
};

static void vu_init(struct blkio *b)
{
	struct vu_dev *d = vu_of(b);

	virtio_blk_init(&d->v, &vu_transport);
	d->fd = -1;
	d->sock = -1;
	d->backend = -1;
	pthread_mutex_init(&d->lock, NULL);
}

static const struct bk_prop vu_props[] = {
	VIRTIO_BLK_PROPS,
	{ "path", "The Unix socket on which the server listens.", BK_STR, BK_GET_ALWAYS,
	  BK_SET_CREATED, offsetof(struct vu_dev, path) },
	{ "fd",
	  "A connected Unix stream socket to use in place of path; the library's once connected.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct vu_dev, fd) },
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
