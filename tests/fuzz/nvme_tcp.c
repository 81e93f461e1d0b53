/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fuzzer: an NVMe/TCP target. It agrees to connections and identifies a controller and a namespace,
 * mostly as it should; then it answers commands, at times wrongly, in pieces, twice, or not at all.
 * The application never waits, but at the end, when the target is gone. What must hold: see
 * guarded.h; and all that the driver sends is a PDU.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "guarded.h"
#include "nvme/nvme_ident.h"
#include "nvme_tcp/crc32c.h"
#include "nvme_tcp/nvme_tcp_pdu.h"
#include "world.h"

enum { BLOCK = 512, KNOWN = 64, CONNECTIONS = 8, ADMIN_DATA = 4096, OUT = GUARDED_ROOM + 4096 };
enum { CONNECT_CMD = 1, PROPERTY_GET = 4, FABRICS = 0x7f };

/* A command as the target sees it. */
struct seen {
	uint16_t cid;
	uint8_t opcode;
	uint32_t len, asked;
};

struct connection {
	int sock; /* -1: there is none */
	bool is_up;
	unsigned qid;
	uint32_t payload; /* bytes of a PDU that are still to come */
	uint8_t out[OUT];
	size_t used;
};

static struct target {
	struct fuzz_input in;
	struct nvme_tcp_wire wire; /* digests */
	uint8_t align, says;	   /* of what comes later, some choices */
	int listener;
	struct sockaddr_in addr;
	uint32_t cc;
	uint16_t event_cid;
	pthread_mutex_t lock; /* of all that follows; two threads of the library may wait */
	struct connection c[CONNECTIONS];
	unsigned nr_seen;
	struct seen seen[KNOWN];
} t = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- PDUs --------------------------------------------------------------------------------- */

/* Mostly all of it, as it is. The input is the main thread's. */
static void say(struct connection *c)
{
	uint8_t how;

	if (!c->used)
		return;
	how = fuzz_is_main_thread() ? fuzz_u8(&t.in) : 0;
	if (how >= 0xe0)
		fuzz_patch(&t.in, c->out, min_u64(c->used, 64));
	if (how >= 0xfa)
		c->used = fuzz_u16(&t.in) % (c->used + 1);
	send(c->sock, c->out, c->used, MSG_NOSIGNAL | MSG_DONTWAIT);
	c->used = 0;
}

static void put(uint8_t *p, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		p[i] = value >> 8 * i & 0xff;
}

/* A PDU with the header h, whose own fields are set, and len bytes of data. */
static void pdu(struct connection *c, const uint8_t *h, uint8_t type, uint8_t flags,
		const void *data, uint32_t len)
{
	unsigned digest = t.wire.header_digest ? NVME_TCP_DIGEST_LEN : 0;
	unsigned trailer = nvme_tcp_trailer_len(&t.wire, len);
	uint8_t *p = c->out + c->used;

	memcpy(p, h, NVME_TCP_SHORT_LEN);
	p[0] = type;
	p[1] = flags | t.wire.header_digest | (trailer ? NVME_TCP_DDGST : 0);
	p[2] = NVME_TCP_SHORT_LEN;
	p[3] = len ? NVME_TCP_SHORT_LEN + digest : 0;
	put(p + 4, NVME_TCP_SHORT_LEN + digest + len + trailer, 4);
	if (digest)
		nvme_tcp_add_digest(p, NVME_TCP_SHORT_LEN);
	p += NVME_TCP_SHORT_LEN + digest;
	if (data)
		memcpy(p, data, len);
	else
		memset(p, 0, len);
	if (trailer)
		put(p + len, crc32c(0, p, len), 4);
	c->used += NVME_TCP_SHORT_LEN + digest + len + trailer;
}

static void respond(struct connection *c, uint16_t cid, uint16_t status, uint64_t result)
{
	uint8_t h[NVME_TCP_SHORT_LEN] = { 0 };

	put(h + 8, result, 8);
	put(h + 20, cid, 2);
	put(h + 22, status << 1, 2);
	pdu(c, h, NVME_TCP_CAPSULE_RESP, 0, NULL, 0);
}

/* Bytes [at, at + len) of a command's data. */
static void give(struct connection *c, uint16_t cid, uint32_t at, const void *data, uint32_t len,
		 uint8_t flags)
{
	uint8_t h[NVME_TCP_SHORT_LEN] = { 0 };

	put(h + 8, cid, 2);
	put(h + 12, at, 4);
	put(h + 16, len, 4);
	pdu(c, h, NVME_TCP_C2H_DATA, flags, data, len);
}

static void ask_for(struct connection *c, uint16_t cid, uint32_t at, uint32_t len)
{
	uint8_t h[NVME_TCP_SHORT_LEN] = { 0 };

	put(h + 8, cid, 2);
	put(h + 12, at, 4);
	put(h + 16, len, 4);
	pdu(c, h, NVME_TCP_R2T, 0, NULL, 0);
}

/* ---- What the driver sends ---------------------------------------------------------------- */

static void skip_payload(struct connection *c)
{
	static __thread uint8_t trash[4096];

	while (c->payload) {
		ssize_t n = recv(c->sock, trash, min_u64(c->payload, sizeof(trash)), MSG_DONTWAIT);

		if (n <= 0)
			return;
		c->payload -= n;
	}
}

/* The next header, if all of it and of what was before is there. */
static bool look(struct connection *c, uint8_t *h)
{
	ssize_t n;

	skip_payload(c);
	if (c->payload || recv(c->sock, h, 8, MSG_DONTWAIT | MSG_PEEK) != 8)
		return false;
	MUST(h[2] >= 8 && h[2] <= NVME_TCP_IC_LEN && nvme_tcp_get32(h + 4) >= h[2]);
	MUST(c->is_up ? h[0] == NVME_TCP_CAPSULE_CMD || h[0] == NVME_TCP_H2C_DATA ||
			    h[0] == NVME_TCP_H2C_TERM
		      : h[0] == NVME_TCP_ICREQ);
	n = recv(c->sock, h, h[2], MSG_DONTWAIT | MSG_PEEK);
	if (n != h[2])
		return false;
	recv(c->sock, h, h[2], MSG_DONTWAIT);
	c->payload = nvme_tcp_get32(h + 4) - h[2];
	return true;
}

/* ---- Connections -------------------------------------------------------------------------- */

static void agree(struct connection *c)
{
	uint8_t *p = c->out;

	memset(p, 0, NVME_TCP_IC_LEN);
	p[0] = NVME_TCP_ICRESP;
	p[2] = NVME_TCP_IC_LEN;
	put(p + 4, NVME_TCP_IC_LEN, 4);
	p[10] = t.align;
	p[11] = t.wire.header_digest | t.wire.data_digest << 1;
	put(p + 12, NVME_TCP_MAX_DATA_MIN << (t.says & 7), 4);
	c->used = NVME_TCP_IC_LEN;
	c->is_up = true;
}

union identified {
	uint8_t raw[ADMIN_DATA];
	struct nvme_id_ctrl ctrl;
	struct nvme_id_ns ns;
	struct nvme_ns_list list;
};

static void identify(uint8_t cns, union identified *data)
{
	memset(data, 0, sizeof(*data));
	if (cns == NVME_IDENTIFY_CNS_CTRL) {
		data->ctrl.ver = 0x10400;
		data->ctrl.oncs = NVME_CTRL_ONCS_DSM | NVME_CTRL_ONCS_WRITE_ZEROES;
		data->ctrl.oaes = NVME_CTRL_OAES_NA;
		data->ctrl.mdts = t.says >> 4;
		data->ctrl.ioccsz = t.says & 8 ? 4 + 8192 / 16 : 4;
	} else if (cns == NVME_IDENTIFY_CNS_NS) {
		data->ns.nsze = GUARDED_SIZE / BLOCK;
		data->ns.lbaf[0].ds = 9;
	} else if (cns == NVME_IDENTIFY_CNS_NS_ACTIVE_LIST) {
		data->list.ns[0] = 1;
	} else {
		data->raw[0] = NVME_NIDT_CSI;
		data->raw[1] = 1;
	}
}

static uint64_t property(uint32_t offset)
{
	if (!offset)
		return 127 | 1 << 16 | 1ULL << 24 | 1ULL << 37;
	return (t.cc & 1) | (t.cc >> 14 & 3 ? 2 << 2 : 0);
}

static void take_fabrics(struct connection *c, const uint8_t *cmd, uint16_t cid)
{
	if (cmd[4] == CONNECT_CMD) {
		c->qid = nvme_tcp_get16(cmd + 42);
		respond(c, cid, 0, 1);
	} else if (cmd[4] == PROPERTY_GET) {
		respond(c, cid, 0, property(nvme_tcp_get32(cmd + 44)));
	} else {
		t.cc = nvme_tcp_get32(cmd + 48);
		respond(c, cid, 0, 0);
	}
}

static void take_admin(struct connection *c, const uint8_t *cmd)
{
	uint16_t cid = nvme_tcp_get16(cmd + 2);
	union identified data = { 0 };

	switch (cmd[0]) {
	case FABRICS:
		take_fabrics(c, cmd, cid);
		break;
	case nvme_admin_identify:
		identify(cmd[40], &data);
		if (fuzz_is_main_thread() && fuzz_u8(&t.in) >= 0xf0)
			fuzz_patch(&t.in, &data, sizeof(data));
		give(c, cid, 0, &data, sizeof(data), NVME_TCP_LAST | NVME_TCP_SUCCESS);
		break;
	case nvme_admin_get_log_page:
		give(c, cid, 0, &data, sizeof(data), NVME_TCP_LAST);
		respond(c, cid, 0, 0);
		break;
	case nvme_admin_set_features:
		respond(c, cid, 0, 7 | 7 << 16);
		break;
	case nvme_admin_async_event:
		t.event_cid = cid;
		break;
	default:
		respond(c, cid, 1, 0);
	}
}

/* What comes on a connection that has no queue for I/O so far, or never. */
static bool serve(struct connection *c)
{
	uint8_t h[NVME_TCP_IC_LEN];

	if (c->sock < 0 || c->qid || !look(c, h))
		return false;
	if (!c->is_up)
		agree(c);
	else if (h[0] == NVME_TCP_CAPSULE_CMD)
		take_admin(c, h + 8);
	say(c);
	return true;
}

static bool accept_one(void)
{
	struct connection *c = t.c;
	const int size = 4 << 20;

	while (c < t.c + CONNECTIONS - 1 && c->sock >= 0)
		c++;
	if (c->sock >= 0)
		return false;
	c->sock = accept4(t.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (c->sock < 0)
		return false;
	c->is_up = false;
	c->qid = c->payload = c->used = 0;
	setsockopt(c->sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return true;
}

/* The library waits. */
static bool idle(void *arg)
{
	bool acted;

	(void)arg;
	pthread_mutex_lock(&t.lock);
	acted = accept_one();
	for (int i = 0; i < CONNECTIONS; i++)
		acted |= serve(&t.c[i]);
	pthread_mutex_unlock(&t.lock);
	return acted;
}

/* ---- I/O ---------------------------------------------------------------------------------- */

static struct connection *io_connection(void)
{
	for (int i = 0; i < CONNECTIONS; i++)
		if (t.c[i].sock >= 0 && t.c[i].qid)
			return &t.c[i];
	return NULL;
}

static void take_command(struct connection *c)
{
	struct seen *s = &t.seen[t.nr_seen];
	uint8_t h[NVME_TCP_IC_LEN], *cmd = h + 8;

	if (t.nr_seen == KNOWN || !look(c, h) || h[0] != NVME_TCP_CAPSULE_CMD)
		return;
	*s = (struct seen){ nvme_tcp_get16(cmd + 2), cmd[0], nvme_tcp_get32(cmd + 32), 0 };
	/* The data of writes may be in the capsule: then there is nothing to ask for. */
	if (h[3])
		s->asked = s->len;
	t.nr_seen++;
}

static void answer_read(struct connection *c, const struct seen *s, uint8_t how)
{
	uint32_t len = min_u64(s->len, GUARDED_ROOM), half = how & 8 ? len / 2 : 0;
	uint8_t flags = how & 16 ? NVME_TCP_LAST : NVME_TCP_LAST | NVME_TCP_SUCCESS;

	if (half) {
		give(c, s->cid, 0, NULL, half, 0);
		say(c);
	}
	give(c, s->cid, half, NULL, len - half, flags);
	if (how & 16)
		respond(c, s->cid, 0, 0);
}

/* To any command that it knows of, perhaps once more. */
static void answer(struct connection *c)
{
	uint8_t how = fuzz_u8(&t.in), which = fuzz_u8(&t.in);
	struct seen *s;
	uint32_t n;

	if (!t.nr_seen)
		return;
	s = &t.seen[which % t.nr_seen];
	if ((how & 7) == 7) {
		respond(c, s->cid, fuzz_u16(&t.in), 0);
	} else if (s->opcode == nvme_cmd_read) {
		answer_read(c, s, how);
	} else if (s->asked < s->len) {
		n = how & 8 ? 1 + fuzz_u16(&t.in) % (s->len - s->asked) : s->len - s->asked;
		ask_for(c, s->cid, s->asked, n);
		s->asked += n;
		say(c);
		return;
	} else {
		respond(c, s->cid, 0, 0);
	}
	say(c);
	if (how < 0xf0)
		*s = t.seen[--t.nr_seen];
}

static void target_turn(void)
{
	struct connection *c;
	uint8_t what = fuzz_u8(&t.in);

	pthread_mutex_lock(&t.lock);
	c = io_connection();
	if (c) {
		take_command(c);
		if (what < 0xf8) {
			answer(c);
		} else if (what < 0xfe) {
			fuzz_bytes(&t.in, c->out, what & 63);
			c->used = what & 63;
			say(c);
		} else {
			shutdown(c->sock, SHUT_RDWR);
		}
	}
	pthread_mutex_unlock(&t.lock);
}

/* ---- The application ---------------------------------------------------------------------- */

static void cut_io(void)
{
	pthread_mutex_lock(&t.lock);
	if (io_connection())
		shutdown(io_connection()->sock, SHUT_RDWR);
	pthread_mutex_unlock(&t.lock);
}

static void run(struct blkio *b)
{
	bool poll = fuzz_u8(&t.in) & 1;
	struct blkioq *q;

	MUST(!blkio_set_int(b, poll ? "num-queues" : "num-poll-queues", 0));
	MUST(!blkio_set_int(b, poll ? "num-poll-queues" : "num-queues", 1));
	MUST(!blkio_set_int(b, "queue-size", 3));
	if (blkio_start(b))
		return;
	q = poll ? blkio_get_poll_queue(b, 0) : blkio_get_queue(b, 0);
	blkioq_set_completion_fd_enabled(q, fuzz_u8(&t.in) & 1);
	while (fuzz_has(&t.in)) {
		guarded_submit(q);
		guarded_collect(q, 0);
		target_turn();
		guarded_collect(q, 0);
	}
	/* What was not answered is lost with the target, or with the instance. */
	if (guarded_in_flight() & 1) {
		cut_io();
		guarded_collect(q, guarded_in_flight());
	}
}

static void open_target(const uint8_t *data, size_t len)
{
	socklen_t size = sizeof(t.addr);
	uint8_t how;

	t.in = (struct fuzz_input){ data, data + len };
	how = fuzz_u8(&t.in);
	t.wire = (struct nvme_tcp_wire){ .header_digest = how & 1, .data_digest = how >> 1 & 1 };
	t.align = how >> 2 & 3;
	t.says = fuzz_u8(&t.in);
	t.cc = t.nr_seen = 0;
	for (int i = 0; i < CONNECTIONS; i++)
		t.c[i].sock = -1;
	t.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	t.addr = (struct sockaddr_in){ .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	MUST(t.listener >= 0 && !bind(t.listener, (struct sockaddr *)&t.addr, sizeof(t.addr)) &&
	     !listen(t.listener, CONNECTIONS) &&
	     !getsockname(t.listener, (struct sockaddr *)&t.addr, &size));
}

/* No connection may linger: there would soon be no ports left. */
static void close_target(void)
{
	const struct linger now = { .l_onoff = 1 };

	while (accept_one())
		;
	for (int i = 0; i < CONNECTIONS; i++) {
		if (t.c[i].sock < 0)
			continue;
		setsockopt(t.c[i].sock, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(t.c[i].sock);
	}
	close(t.listener);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	static const char *const digests[] = { "none", "header", "data", "both" };
	struct blkio *b;

	open_target(data, len);
	fuzz_world.idle = idle;
	MUST(!blkio_create("nvme-tcp", &b) && !blkio_set_str(b, "traddr", "127.0.0.1"));
	MUST(!blkio_set_int(b, "trsvcid", ntohs(t.addr.sin_port)));
	MUST(!blkio_set_str(b, "subnqn", "nqn.2024-01.test:disk"));
	MUST(!blkio_set_str(b, "hostnqn", "nqn.2024-01.test:host"));
	MUST(!blkio_set_str(b, "digests", digests[t.wire.header_digest + 2 * t.wire.data_digest]));
	MUST(!blkio_set_int(b, "keep-alive-timeout", 0) && !blkio_set_int(b, "tcp-timeout", 0));
	MUST(!blkio_set_bool(b, "auto-read-only", true));
	guarded_begin(&t.in, BLOCK);
	if (!blkio_connect(b))
		run(b);
	blkio_destroy(&b);
	close_target();
	guarded_end();
}
