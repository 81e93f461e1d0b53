/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See nvme_target.h. Here: the process, connections, PDUs. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nvme_target_parts.h"
#include "sys.h"
#include "test.h"

enum { HDGST = 1, DDGST = 2, LAST = 4, SUCCESS = 8 };

/* ---- Bytes -------------------------------------------------------------------------------- */

/* Bit by bit: there is nothing in common with the library's. */
static uint32_t crc32c_of(const uint8_t *p, size_t len)
{
	static uint32_t table[256];
	uint32_t crc = ~0U;

	if (!table[1]) {
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t v = i;

			for (int bit = 0; bit < 8; bit++)
				v = v >> 1 ^ (v & 1 ? 0x82f63b78 : 0);
			__atomic_store_n(&table[i], v, __ATOMIC_RELAXED);
		}
	}
	for (size_t i = 0; i < len; i++)
		crc = crc >> 8 ^ __atomic_load_n(&table[(crc ^ p[i]) & 0xff], __ATOMIC_RELAXED);
	return ~crc;
}

static bool read_all(int sock, void *to, size_t len)
{
	return !len || recv(sock, to, len, MSG_WAITALL) == (ssize_t)len;
}

static void write_all(int sock, const void *from, size_t len, int flags)
{
	while (len) {
		ssize_t n = send(sock, from, len, MSG_NOSIGNAL | flags);

		if (n <= 0)
			return;
		from = (const uint8_t *)from + n;
		len -= n;
	}
}

/* ---- PDUs --------------------------------------------------------------------------------- */

/* What the library sends must be right, to the byte. */
static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "NVMe/TCP target: what the host sends is wrong: %s\n", what);
	abort();
}

static bool receive_data(struct target_connection *c, struct target_pdu *pdu, uint32_t plen,
			 unsigned pdo)
{
	uint32_t trailer = c->data_digest ? 4 : 0;
	uint8_t digest[4];

	must(plen > pdo + trailer, "PLEN with data");
	pdu->len = plen - pdo - trailer;
	pdu->data = malloc(pdu->len);
	if (!read_all(c->sock, pdu->data, pdu->len) || !read_all(c->sock, digest, trailer))
		return false;
	must(!trailer || get32(digest) == crc32c_of(pdu->data, pdu->len), "data digest");
	return true;
}

bool target_receive(struct target_connection *c, struct target_pdu *pdu)
{
	uint8_t *h = pdu->header, rest[256];
	unsigned digest, pdo;

	memset(pdu, 0, sizeof(*pdu));
	if (!read_all(c->sock, h, 8))
		return false;
	must(h[2] >= 8 && h[2] <= sizeof(pdu->header), "HLEN");
	if (!read_all(c->sock, h + 8, h[2] - 8))
		return false;
	digest = c->header_digest && h[0] != 2 ? 4 : 0;
	must(!(h[1] & HDGST) == !digest, "flag HDGST");
	if (!read_all(c->sock, rest, digest))
		return false;
	must(!digest || get32(rest) == crc32c_of(h, h[2]), "header digest");
	pdo = h[3];
	if (!pdo) {
		must(get32(h + 4) == h[2] + digest, "PLEN without data");
		return true;
	}
	must(pdo >= h[2] + digest && pdo % ((c->t->align + 1) * 4) == 0, "PDO");
	must(!(h[1] & DDGST) == !c->data_digest, "flag DDGST");
	if (!read_all(c->sock, rest, pdo - h[2] - digest))
		return false;
	return receive_data(c, pdu, get32(h + 4), pdo);
}

static void garble(const struct target_connection *c, uint8_t *header)
{
	switch (c->t->lie) {
	case NVME_TARGET_BAD_TYPE:
		header[0] = 8;
		break;
	case NVME_TARGET_BAD_HLEN:
		header[2] = 72;
		break;
	case NVME_TARGET_BAD_PLEN:
		put(header + 4, get32(header + 4) + 4, 4);
		break;
	case NVME_TARGET_BAD_PDO:
		header[3] += 4;
		break;
	case NVME_TARGET_GARBAGE:
		memset(header, 0xff, header[2]);
		break;
	default:
		break;
	}
}

void target_send(struct target_connection *c, uint8_t *header, unsigned hlen, const void *data,
		 uint32_t len)
{
	unsigned digest = c->header_digest ? 4 : 0, trailer = c->data_digest && len ? 4 : 0;
	uint8_t bytes[128 + 4], end[4];
	bool lies = c->lies;

	header[1] |= (digest ? HDGST : 0) | (trailer ? DDGST : 0);
	header[2] = (uint8_t)hlen;
	header[3] = len ? (uint8_t)(hlen + digest) : 0;
	put(header + 4, hlen + digest + len + trailer, 4);
	if (lies)
		garble(c, header);
	memcpy(bytes, header, hlen);
	put(bytes + hlen, crc32c_of(header, hlen), 4);
	if (lies && c->t->lie == NVME_TARGET_BAD_HEADER_DIGEST)
		bytes[hlen] ^= 1;
	write_all(c->sock, bytes, hlen + digest, len ? MSG_MORE : 0);
	if (!len)
		return;
	write_all(c->sock, data, len, trailer ? MSG_MORE : 0);
	put(end, crc32c_of(data, len), 4);
	if (lies && c->t->lie == NVME_TARGET_BAD_DATA_DIGEST) {
		end[0] ^= 1;
		c->lies = false;
	}
	write_all(c->sock, end, trailer, 0);
}

void target_respond(struct target_connection *c, const uint8_t *cmd, unsigned status,
		    uint64_t result)
{
	uint8_t h[24] = { 5 };
	bool bad_cid = c->lies && c->t->lie == NVME_TARGET_BAD_CID;

	put(h + 8, result, 8);
	put(h + 16, c->has_flow_control ? c->sqhd : 0xffff, 2);
	put(h + 20, get16(cmd + 2) ^ (bad_cid ? 0x1000 : 0), 2);
	put(h + 22, status << 1, 2);
	target_send(c, h, sizeof(h), NULL, 0);
	if (c->lies && c->t->lie == NVME_TARGET_TWICE)
		target_send(c, h, sizeof(h), NULL, 0);
}

void target_give(struct target_connection *c, const uint8_t *cmd, const void *data, uint32_t len)
{
	uint32_t max = c->t->c2h_max ?: len, at = 0;
	bool says_so = !c->has_flow_control && !c->t->responds;

	while (at < len) {
		uint32_t n = len - at < max ? len - at : max;
		uint8_t h[24] = { 7 };

		if (at + n == len)
			h[1] = says_so ? LAST | SUCCESS : LAST;
		put(h + 8, get16(cmd + 2), 2);
		put(h + 12, c->lies && c->t->lie == NVME_TARGET_WRONG_OFFSET ? at + 512 : at, 4);
		put(h + 16, n, 4);
		target_send(c, h, sizeof(h), (const uint8_t *)data + at, n);
		at += n;
	}
	if (!says_so)
		target_respond(c, cmd, 0, 0);
}

/* ---- Connections -------------------------------------------------------------------------- */

static bool initialize(struct target_connection *c)
{
	uint8_t h[128];
	unsigned digests;

	if (!read_all(c->sock, h, sizeof(h)))
		return false;
	must(!h[0] && h[2] == 128 && get32(h + 4) == 128 && !h[8] && !h[10], "ICReq");
	digests = c->t->no_digests ? 0 : h[11];
	memset(h, 0, sizeof(h));
	h[0] = 1;
	h[2] = 128;
	put(h + 4, 128, 4);
	h[10] = (uint8_t)c->t->align;
	h[11] = (uint8_t)digests;
	put(h + 12, c->t->max_data ?: 128 << 10, 4);
	write_all(c->sock, h, sizeof(h), 0);
	c->header_digest = digests & 1;
	c->data_digest = digests & 2;
	return true;
}

unsigned target_silent_below;

static void serve_one(struct target_connection *c, const struct target_pdu *pdu)
{
	const uint8_t *cmd = pdu->header + 8;

	if (c->number < __atomic_load_n(&target_silent_below, __ATOMIC_RELAXED))
		return;
	c->sqhd = (c->sqhd + 1) % TARGET_ENTRIES;
	if (pdu->header[0] == 4 && (!c->qid || cmd[0] == 0x7f)) {
		must(c->is_connected || (cmd[0] == 0x7f && cmd[4] == 1), "Connect comes first");
		target_admin(c, cmd, pdu);
	} else {
		must(c->is_connected || c->t->asks_connect, "Connect comes first");
		target_io(c, pdu);
	}
}

static void *serve(void *arg)
{
	struct target_connection *c = arg;
	struct target_pdu pdu = { 0 };
	char rest[4096];

	if (initialize(c)) {
		while (!c->has_left && target_receive(c, &pdu)) {
			serve_one(c, &pdu);
			free(pdu.data);
			pdu.data = NULL;
		}
		free(pdu.data);
	}
	while (c->has_left && recv(c->sock, rest, sizeof(rest), 0) > 0)
		;
	shutdown(c->sock, SHUT_RDWR);
	close(c->sock);
	for (int i = 0; i < TARGET_ENTRIES; i++)
		free(c->writes[i].data);
	close(c->fd);
	free(c);
	return NULL;
}

void nvme_target_run(const struct nvme_target *t, int listener)
{
	const int on = 1;

	signal(SIGPIPE, SIG_IGN);
	for (unsigned number = 0;; number++) {
		struct target_connection *c = calloc(1, sizeof(*c));
		pthread_t thread;

		c->t = t;
		c->number = number;
		c->sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		c->fd = open(t->file, (t->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		if (c->sock < 0 || c->fd < 0)
			_exit(1);
		setsockopt(c->sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (pthread_create(&thread, NULL, serve, c))
			_exit(1);
		pthread_detach(thread);
	}
}

unsigned target_block_size(const struct target_connection *c)
{
	return c->t->block_size ?: 512;
}

uint64_t target_blocks(const struct target_connection *c)
{
	struct stat st;

	fstat(c->fd, &st);
	return st.st_size / target_block_size(c);
}

/* ---- The test's side ---------------------------------------------------------------------- */

int nvme_target_listen(struct nvme_target *t)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int sock = (int)SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	const int on = 1;

	if (!t->port)
		t->port = free_tcp_port();
	addr.sin_port = htons((uint16_t)t->port);
	SYS(setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
	SYS(bind(sock, (struct sockaddr *)&addr, sizeof(addr)));
	SYS(listen(sock, TARGET_CONNECTIONS));
	return sock;
}

/* gcc and clang say in different ways that there is ThreadSanitizer. */
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
/* The target has threads, also where who starts it has some. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}
#endif

/* It listens before the process is there, so nobody has to wait for it. */
void nvme_target_start(struct nvme_target *t)
{
	int listener = nvme_target_listen(t), null;

	fflush(NULL);
	t->pid = (pid_t)SYS(fork_dependent());
	if (!t->pid) {
		/* Not the test's output: the harness reads that until its last writer is gone. */
		null = open("/dev/null", O_RDWR);
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		nvme_target_run(t, listener);
	}
	close(listener);
}

void nvme_target_kill(struct nvme_target *t)
{
	kill_child(&t->pid);
}

const char *nvme_target_uri(const struct nvme_target *t)
{
	static char uri[128];

	snprintf(uri, sizeof(uri), "nvme+tcp://127.0.0.1:%d/" NVME_TARGET_NQN "/1", t->port);
	return uri;
}
