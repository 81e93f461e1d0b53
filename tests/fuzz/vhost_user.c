/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fuzzer: a vhost-user server. It answers whatever the library asks over a socket pair, when the
 * library waits for it: mostly as it should, at times wrongly, in pieces, or not at all. It sends
 * what it likes over the backend channel, shrinks the memory that it is given, and plays the
 * device. At times the application has a guest, whose virtqueue says what it likes, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "traffic.h"
#include "virtio/vhost_user.h"
#include "world.h"

#define BIT(n) (1ULL << (n))

#define PROTOCOL                                                                                   \
	(BIT(VU_PROTOCOL_MQ) | BIT(VU_PROTOCOL_REPLY_ACK) | BIT(VU_PROTOCOL_BACKEND_REQ) |         \
	 BIT(VU_PROTOCOL_CONFIG) | BIT(VU_PROTOCOL_MEM_SLOTS))

struct says {
	uint64_t features, protocol;
	uint16_t queues, slots;
} __attribute__((packed));

struct server {
	struct traffic t;
	struct says says;
	struct fuzz_input in;
	struct virtio_blk_config config;
	int sock, backend;
	atomic_bool talks; /* false: will not say anything any more */
};

/* ---- Answers ------------------------------------------------------------------------------ */

/* What a good server answers; false for messages without an answer. */
static bool answer(const struct server *s, struct vu_msg *m)
{
	uint32_t need_reply = m->flags & VU_NEED_REPLY;

	m->flags = VU_VERSION | VU_REPLY;
	switch (m->request) {
	case VU_GET_FEATURES:
		m->u64 = s->says.features ^ (BIT(VIRTIO_F_VERSION_1) | BIT(VU_F_PROTOCOL_FEATURES));
		break;
	case VU_GET_PROTOCOL_FEATURES:
		m->u64 = s->says.protocol ^ PROTOCOL;
		break;
	case VU_GET_QUEUE_NUM:
		m->u64 = s->says.queues ^ 4;
		break;
	case VU_GET_MAX_MEM_SLOTS:
		m->u64 = s->says.slots ^ 8;
		break;
	case VU_GET_CONFIG:
		memcpy(m->config.data, &s->config, sizeof(s->config));
		return true;
	case VU_GET_VRING_BASE:
		return true;
	default:
		m->u64 = 0;
		m->size = sizeof(m->u64);
		return need_reply;
	}
	m->size = sizeof(m->u64);
	return true;
}

static void send_bytes(struct server *s, const void *buf, size_t len, bool with_fd)
{
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { (void *)buf, len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fd = STDERR_FILENO;

	if (with_fd) {
		h.msg_control = room;
		h.msg_controllen = sizeof(room);
		CMSG_FIRSTHDR(&h)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&h)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&h)->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&h)), &fd, sizeof(fd));
	}
	if (sendmsg(s->sock, &h, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		s->talks = false;
}

static void send_wrong(struct server *s, struct vu_msg *m)
{
	size_t len = VU_HEADER_LEN + m->size;

	switch (fuzz_u8(&s->in) % 8) {
	case 0: /* anything, of about that length */
		fuzz_patch(&s->in, m, len);
		break;
	case 1:
		m->u64 = fuzz_u64(&s->in);
		break;
	case 2:
		m->size = fuzz_u8(&s->in) & 1 ? fuzz_u8(&s->in) : fuzz_u32(&s->in);
		len = VU_HEADER_LEN + (m->size < 512 ? m->size : 512);
		len = len < sizeof(*m) ? len : sizeof(*m);
		break;
	case 3:
		len = fuzz_u8(&s->in) % len;
		break;
	case 4:
		send_bytes(s, m, len, true);
		return;
	case 5:
		send_bytes(s, m, len, false);
		break;
	case 6:
		s->talks = false;
		return;
	default:
		shutdown(s->sock, SHUT_RDWR);
		s->talks = false;
		return;
	}
	send_bytes(s, m, len, false);
}

/* ---- What comes --------------------------------------------------------------------------- */

/* The server keeps the backend channel and may make files smaller; the rest it finds by itself. */
static void take_fds(struct server *s, struct msghdr *h, uint32_t request)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(h);
	size_t n = c ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
		if (request == VU_SET_BACKEND_REQ_FD && s->backend < 0) {
			s->backend = fd;
			continue;
		}
		if ((request == VU_ADD_MEM_REG || request == VU_SET_MEM_TABLE) &&
		    (fuzz_u8(&s->in) & 7) == 7 && ftruncate(fd, 0) < 0)
			MUST(errno == EPERM);
		close(fd);
	}
}

/* One message of the library's, whole: it never sends in pieces that small. */
static bool receive_message(struct server *s, struct vu_msg *m)
{
	char room[CMSG_SPACE(8 * sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = { m, VU_HEADER_LEN };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = room,
			    .msg_controllen = sizeof(room) };

	if (recvmsg(s->sock, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != (ssize_t)VU_HEADER_LEN)
		return false;
	take_fds(s, &h, m->request);
	MUST(m->size <= sizeof(*m) - VU_HEADER_LEN);
	return !m->size ||
	       recv(s->sock, (char *)m + VU_HEADER_LEN, m->size, MSG_DONTWAIT) == (ssize_t)m->size;
}

/* The thread that waits for its turn with the server looks, too. */
static bool receive(struct server *s, struct vu_msg *m)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	bool got;

	pthread_mutex_lock(&lock);
	got = receive_message(s, m);
	pthread_mutex_unlock(&lock);
	return got;
}

static void chat_on_backend(struct server *s)
{
	char buf[64] = { 0 };

	fuzz_bytes(&s->in, buf, sizeof(buf));
	send(s->backend, buf, 1 + (buf[0] & 63), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The watching thread has asked for the configuration: no lies, they would take input. */
static bool answer_watcher(struct server *s)
{
	struct vu_msg m = { 0 };

	if (!receive(s, &m))
		return false;
	if (answer(s, &m))
		send_bytes(s, &m, VU_HEADER_LEN + m.size, false);
	return true;
}

/* The library waits: for an answer, or for the device. */
static bool server_idle(void *arg)
{
	struct server *s = arg;
	struct vu_msg m = { 0 };
	uint8_t how;

	if (!s->talks)
		return false;
	if (!fuzz_is_main_thread())
		return answer_watcher(s);
	if (!receive(s, &m))
		return traffic_device_turn(&s->t);
	how = fuzz_u8(&s->in);
	if (s->backend >= 0 && (how & 0x1f) == 0x1f)
		chat_on_backend(s);
	if (!answer(s, &m))
		return true;
	if (how >= 0xe0)
		send_wrong(s, &m);
	else
		send_bytes(s, &m, VU_HEADER_LEN + m.size, false);
	return true;
}

/* ---- A guest ------------------------------------------------------------------------------ */

enum { GUEST_LEN = 1 << 16, GUEST_RING = 8, GUEST_AT = 1 << 20, HAS_GUEST = 0x4000 };

static struct guest {
	struct blkio_mem_region memory;
	int fd;
} guest;

static void guest_begin(void)
{
	guest.memory = (struct blkio_mem_region){ .len = GUEST_LEN,
						  .iova = GUEST_AT,
						  .flags = BLKIO_MEM_GUEST };
	guest.memory.fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	guest.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	MUST(guest.memory.fd >= 0 && guest.fd >= 0 && !ftruncate(guest.memory.fd, GUEST_LEN));
	MUST(!fcntl(guest.memory.fd, F_ADD_SEALS, F_SEAL_SHRINK)); /* as SECURITY.md advises */
	guest.memory.addr =
	    mmap(NULL, GUEST_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, guest.memory.fd, 0);
	MUST(guest.memory.addr != MAP_FAILED);
}

static void guest_end(void)
{
	munmap(guest.memory.addr, GUEST_LEN);
	close(guest.memory.fd);
	close(guest.fd);
}

/* Start the vring or stop it, whatever is in it; at times at addresses that are not the guest's. */
static void guest_turn(struct traffic *t)
{
	struct blkio_vring v = {
		.size = GUEST_RING,
		.desc = GUEST_AT,
		.driver = GUEST_AT + 1024,
		.device = GUEST_AT + 2048,
		.kick_fd = guest.fd,
		.call_fd = guest.fd,
		.err_fd = -1,
	};
	uint8_t how = fuzz_u8(t->in);

	fuzz_patch(t->in, (char *)guest.memory.addr + 1024, 4 + 2 * GUEST_RING);
	fuzz_patch(t->in, (char *)guest.memory.addr + 2048, 6 + 8 * GUEST_RING);
	if (how & 1)
		blkio_map_mem_region(t->b, &guest.memory);
	if (how & 2)
		fuzz_patch(t->in, &v, offsetof(struct blkio_vring, kick_fd));
	if (how & 4)
		blkio_stop_vring(t->b, 0, how & 8 ? &v : NULL);
	else
		blkio_start_vring(t->b, 0, &v);
}

/* ---- Fuzzer ------------------------------------------------------------------------------- */

void fuzz_one(const uint8_t *data, size_t len)
{
	static struct server s;
	struct blkio *b;
	int pair[2];

	s = (struct server){
		.t.device = &traffic_virtio,
		.in = { data, data + len },
		.config = { .capacity = 1 << 20,
			    .seg_max = 6,
			    .blk_size = 512,
			    .num_queues = 3,
			    .max_discard_sectors = 1 << 16,
			    .max_discard_seg = 1,
			    .max_write_zeroes_sectors = 1 << 16 },
		.backend = -1,
		.talks = true,
	};
	fuzz_bytes(&s.in, &s.says, sizeof(s.says));
	fuzz_patch(&s.in, &s.config, sizeof(s.config));

	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	s.sock = pair[0];
	fuzz_world.idle = server_idle;
	fuzz_world.arg = &s;
	MUST(!blkio_create("virtio-blk-vhost-user", &b) && !blkio_set_int(b, "fd", pair[1]));
	if (s.says.slots & HAS_GUEST) {
		s.t.more = guest_turn;
		guest_begin();
	}
	if (blkio_connect(b)) {
		close(pair[1]);
	} else {
		blkio_set_int(b, "num-vrings", s.t.more != NULL);
		traffic_run(&s.t, b, &s.in);
	}
	blkio_destroy(&b);
	if (s.t.more)
		guest_end();
	close(s.sock);
	if (s.backend >= 0)
		close(s.backend);
}
