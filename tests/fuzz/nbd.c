/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fuzzer: an NBD server. It says what it likes in the handshake; then it answers requests, mostly
 * as it should, at times wrongly, in pieces, twice, or not at all. The application never waits, but
 * at the end, when the server is gone. What must hold: see guarded.h.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "blkio.h"
#include "fuzz.h"
#include "guarded.h"
#include "nbd/nbd_proto.h"
#include "world.h"

enum { ROOM = GUARDED_ROOM, KNOWN = 64, SIZE = GUARDED_SIZE, CONTEXT = 0x77 };

/* A request as the server sees it. */
struct seen {
	uint64_t cookie, offset, len;
	uint16_t command;
};

struct server {
	struct fuzz_input in;
	enum nbd_mode mode;
	const char *tls; /* property "tls" of the application */
	int sock;
	unsigned nr_seen;
	struct seen seen[KNOWN];
	uint64_t payload; /* bytes of a write that are still to come */
	uint8_t out[ROOM + 1024];
	size_t used;
};

static struct server s;

/* ---- Bytes of the server ------------------------------------------------------------------ */

static void put(uint64_t value, size_t size)
{
	for (size_t i = size; i-- > 0;)
		s.out[s.used++] = value >> 8 * i & 0xff;
}

/* Mostly all of it, as it is. */
static void say(void)
{
	uint8_t how = fuzz_u8(&s.in);

	if (how >= 0xe0)
		fuzz_patch(&s.in, s.out, s.used < 64 ? s.used : 64);
	if (how >= 0xf8)
		s.used = fuzz_u16(&s.in) % (s.used + 1);
	send(s.sock, s.out, s.used, MSG_NOSIGNAL | MSG_DONTWAIT);
	s.used = 0;
}

static void option_reply(unsigned option, uint32_t type, uint32_t len)
{
	put(NBD_OPTION_REPLY_MAGIC, 8);
	put(option, 4);
	put(type, 4);
	put(len, 4);
}

/* It has no key, so its handshake gets nowhere: but for what is said before, and first. */
static void start_tls(void)
{
	bool agrees;

	if (!strcmp(s.tls, "off"))
		return;
	agrees = fuzz_u8(&s.in) & 1;
	option_reply(NBD_OPT_STARTTLS, agrees ? NBD_REP_ACK : NBD_REP_ERR_UNSUP, 0);
	say();
	if (agrees) {
		put(22, 1); /* a handshake record, of TLS 1.2 and on */
		put(0x303, 2);
		s.used += fuzz_u16(&s.in) % 512;
		fuzz_bytes(&s.in, s.out + 3, s.used - 3);
		say();
	}
}

static void choose_mode(void)
{
	bool is_long = s.mode == NBD_LONG;

	option_reply(NBD_OPT_EXTENDED_HEADERS, is_long ? NBD_REP_ACK : NBD_REP_ERR_UNSUP, 0);
	if (!is_long)
		option_reply(NBD_OPT_STRUCTURED_REPLY,
			     s.mode == NBD_STRUCTURED ? NBD_REP_ACK : NBD_REP_ERR_UNSUP, 0);
}

static void offer_context(void)
{
	static const char name[] = NBD_CONTEXT;

	option_reply(NBD_OPT_SET_META_CONTEXT, NBD_REP_META_CONTEXT, 4 + sizeof(name) - 1);
	put(CONTEXT, 4);
	memcpy(s.out + s.used, name, sizeof(name) - 1);
	s.used += sizeof(name) - 1;
	option_reply(NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK, 0);
	say();
}

/* All that it says until the first request, in advance. */
static void shake_hands(void)
{
	put(NBD_MAGIC, 8);
	put(NBD_OPTION_MAGIC, 8);
	put(3, 2);
	say();
	start_tls();
	choose_mode();
	say();
	if (s.mode != NBD_SIMPLE)
		offer_context();
	option_reply(NBD_OPT_GO, NBD_REP_INFO, 14);
	put(NBD_INFO_BLOCK_SIZE, 2);
	put(1, 4);
	put(4096, 4);
	put(ROOM, 4);
	say();
	option_reply(NBD_OPT_GO, NBD_REP_INFO, 12);
	put(NBD_INFO_EXPORT, 2);
	put(SIZE, 8);
	put(fuzz_u16(&s.in) ^ 0xedd, 2);
	option_reply(NBD_OPT_GO, NBD_REP_ACK, 0);
	say();
}

/* ---- Requests and replies ----------------------------------------------------------------- */

static void skip_payload(void)
{
	static uint8_t trash[4096];

	while (s.payload) {
		ssize_t n = recv(s.sock, trash, min_u64(s.payload, sizeof(trash)), MSG_DONTWAIT);

		if (n <= 0)
			return;
		s.payload -= n;
	}
}

/* The next request, if all of its header is there. */
static void look(void)
{
	uint8_t h[NBD_LONG_REQUEST_LEN];
	size_t len = nbd_request_len(s.mode);
	struct seen *r = &s.seen[s.nr_seen];

	skip_payload();
	if (s.payload || s.nr_seen == KNOWN ||
	    recv(s.sock, h, len, MSG_DONTWAIT | MSG_PEEK) != (ssize_t)len)
		return;
	recv(s.sock, h, len, MSG_DONTWAIT);
	MUST(nbd_get32(h) == (s.mode == NBD_LONG ? NBD_LONG_REQUEST_MAGIC : NBD_REQUEST_MAGIC));
	*r = (struct seen){
		.command = nbd_get16(h + 6),
		.cookie = nbd_get64(h + 8),
		.offset = nbd_get64(h + 16),
		.len = s.mode == NBD_LONG ? nbd_get64(h + 24) : nbd_get32(h + 24),
	};
	if (r->command == NBD_CMD_WRITE)
		s.payload = r->len;
	s.nr_seen++;
}

static void chunk(const struct seen *r, unsigned flags, unsigned type, uint64_t len)
{
	put(s.mode == NBD_LONG ? NBD_LONG_CHUNK_MAGIC : NBD_CHUNK_MAGIC, 4);
	put(flags, 2);
	put(type, 2);
	put(r->cookie, 8);
	if (s.mode == NBD_LONG)
		put(r->offset, 8);
	put(len, s.mode == NBD_LONG ? 8 : 4);
}

static void piece(const struct seen *r, bool hole, uint64_t at, uint64_t len, unsigned flags)
{
	chunk(r, flags, hole ? NBD_CHUNK_OFFSET_HOLE : NBD_CHUNK_OFFSET_DATA, hole ? 12 : 8 + len);
	put(r->offset + at, 8);
	if (hole)
		put(len, 4);
	else
		s.used += min_u64(len, sizeof(s.out) - s.used - 64);
}

/* Of any length, mostly not 0; the last one may go on behind the request. */
static void extents(const struct seen *r, uint8_t how)
{
	bool is_long = s.mode == NBD_LONG;
	unsigned n = 1 + (how >> 3) % 8;

	chunk(r, NBD_CHUNK_DONE, is_long ? NBD_CHUNK_STATUS_LONG : NBD_CHUNK_STATUS,
	      is_long ? 8 + 16 * n : 4 + 8 * n);
	put(CONTEXT, 4);
	if (is_long)
		put(n, 4);
	for (unsigned i = 0; i < n; i++) {
		put(i + 1 == n && (how & 0x40) ? UINT64_MAX : fuzz_u8(&s.in) * r->len / 512,
		    is_long ? 8 : 4);
		put(fuzz_u8(&s.in) & 3, is_long ? 8 : 4);
	}
}

static void structured_reply(const struct seen *r, uint8_t how)
{
	uint64_t half = r->len / 2;

	if ((how & 7) == 7) {
		chunk(r, how & NBD_CHUNK_DONE, NBD_CHUNK_ERROR | 1, 6 + 2);
		put(5, 4);
		put(2, 2);
		put(0, 2);
	} else if (r->command == NBD_CMD_BLOCK_STATUS) {
		extents(r, how);
	} else if (r->command != NBD_CMD_READ) {
		chunk(r, NBD_CHUNK_DONE, NBD_CHUNK_NONE, 0);
	} else if (how & 8 && half) {
		piece(r, how & 16, half, r->len - half, 0);
		say();
		piece(r, how & 32, 0, half, NBD_CHUNK_DONE);
	} else {
		piece(r, how & 16, 0, r->len, NBD_CHUNK_DONE);
	}
}

static void simple_reply(const struct seen *r, uint8_t how)
{
	bool fails = (how & 7) == 7;

	put(NBD_SIMPLE_REPLY_MAGIC, 4);
	put(fails ? how : 0, 4);
	put(r->cookie, 8);
	if (!fails && r->command == NBD_CMD_READ)
		s.used += min_u64(r->len, sizeof(s.out) - s.used - 64);
}

/* To any request that it knows of, perhaps once more. */
static void answer(void)
{
	uint8_t how = fuzz_u8(&s.in), which = fuzz_u8(&s.in);
	struct seen *r;

	if (!s.nr_seen)
		return;
	r = &s.seen[which % s.nr_seen];
	if (s.mode == NBD_SIMPLE)
		simple_reply(r, how);
	else
		structured_reply(r, how);
	say();
	if (how < 0xf0)
		*r = s.seen[--s.nr_seen];
}

static void server_turn(void)
{
	uint8_t what = fuzz_u8(&s.in);

	look();
	if (what < 0xf8) {
		answer();
	} else if (what < 0xfe) {
		fuzz_bytes(&s.in, s.out, what & 63);
		s.used = what & 63;
		say();
	} else {
		shutdown(s.sock, SHUT_RDWR);
	}
}

/* ---- The application ---------------------------------------------------------------------- */

static void run(struct blkio *b)
{
	static uint8_t trash[8192];
	bool poll = fuzz_u8(&s.in) & 1;
	struct blkioq *q;

	MUST(!blkio_set_int(b, poll ? "num-queues" : "num-poll-queues", 0));
	MUST(!blkio_set_int(b, poll ? "num-poll-queues" : "num-queues", 1));
	MUST(!blkio_set_int(b, "queue-size", 3));
	MUST(!blkio_start(b));
	while (recv(s.sock, trash, sizeof(trash), MSG_DONTWAIT) > 0)
		;
	q = poll ? blkio_get_poll_queue(b, 0) : blkio_get_queue(b, 0);
	blkioq_set_completion_fd_enabled(q, fuzz_u8(&s.in) & 1);
	while (fuzz_has(&s.in)) {
		guarded_submit(q);
		guarded_collect(q, 0);
		server_turn();
		guarded_collect(q, 0);
	}
	/* What was not answered is lost with the server, or with the instance. */
	if (guarded_in_flight() & 1) {
		shutdown(s.sock, SHUT_RDWR);
		guarded_collect(q, guarded_in_flight());
	}
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct blkio *b;
	uint8_t how;
	int pair[2];

	s = (struct server){ .in = { data, data + len } };
	guarded_begin(&s.in, 1);
	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	s.sock = pair[0];
	how = fuzz_u8(&s.in);
	s.mode = how % 3;
	s.tls = how >= 0xf0 ? "require" : how >= 0xe0 ? "allow" : "off";
	MUST(!blkio_create("nbd", &b) && !blkio_set_int(b, "fd", pair[1]));
	MUST(!blkio_set_bool(b, "auto-read-only", true));
	MUST(!blkio_set_str(b, "tls", s.tls));
	MUST(!blkio_set_str(b, "tls-hostname", strcmp(s.tls, "off") ? "localhost" : ""));
	shake_hands();
	if (blkio_connect(b))
		close(pair[1]);
	else
		run(b);
	blkio_destroy(&b);
	close(s.sock);
	guarded_end();
}
