/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * NBD servers whose answers are not what they should be, or not as they come from others. One
 * answers some of three requests that are waited for together, in one piece or each by itself, and
 * some twice: the second answer comes while the first waits to be copied. Then the connection ends,
 * and each request completes once, with its result if it was answered. Another answers the only
 * read in flight, which takes a way of its own, in each way that there is.
 */
#include <linux/sockios.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io.h"
#include "nbd/nbd_proto.h"
#include "sys.h"
#include "test.h"

enum { LEN = 512, N = 3 };

static uint8_t bytes[16384];
static size_t used;

static void put(uint64_t value, size_t size)
{
	for (size_t i = size; i-- > 0;)
		bytes[used++] = value >> 8 * i & 0xff;
}

static void say(int sock)
{
	CHECK_EQ(send(sock, bytes, used, MSG_NOSIGNAL), used);
	used = 0;
}

static void option_reply(unsigned option, unsigned type, unsigned len)
{
	put(NBD_OPTION_REPLY_MAGIC, 8);
	put(option, 4);
	put(type, 4);
	put(len, 4);
}

/* All that it says until the first request, in advance. */
static void shake_hands(int sock, enum nbd_mode mode)
{
	put(NBD_MAGIC, 8);
	put(NBD_OPTION_MAGIC, 8);
	put(NBD_HANDSHAKE_FIXED_NEWSTYLE, 2);
	if (mode == NBD_LONG)
		option_reply(NBD_OPT_EXTENDED_HEADERS, NBD_REP_ACK, 0);
	else if (mode == NBD_STRUCTURED)
		option_reply(NBD_OPT_EXTENDED_HEADERS, NBD_REP_ERR_UNSUP, 0);
	if (mode == NBD_STRUCTURED)
		option_reply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK, 0);
	if (mode != NBD_SIMPLE)
		option_reply(NBD_OPT_SET_META_CONTEXT, NBD_REP_ERR_UNSUP, 0);
	option_reply(NBD_OPT_GO, NBD_REP_INFO, 12);
	put(NBD_INFO_EXPORT, 2);
	put(1 << 20, 8);
	put(0, 2);
	option_reply(NBD_OPT_GO, NBD_REP_ACK, 0);
	say(sock);
}

static struct blkio *connect_to(int sock, enum nbd_mode mode)
{
	struct blkio *b;

	CHECK_OK(blkio_create("nbd", &b));
	CHECK_OK(blkio_set_int(b, "fd", sock));
	CHECK_OK(blkio_set_bool(b, "structured-replies", mode != NBD_SIMPLE));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	return b;
}

/* The cookies of N requests, in order, of which the second one is a write. */
static void take_requests(int sock, uint64_t cookie[N])
{
	uint8_t h[N * NBD_REQUEST_LEN + LEN], *p = h;

	CHECK_EQ(recv(sock, h, sizeof(h), MSG_WAITALL), sizeof(h));
	for (int i = 0; i < N; i++) {
		cookie[i] = nbd_get64(p + 8);
		p += NBD_REQUEST_LEN + (i == 1 ? LEN : 0);
	}
}

static void chunk(enum nbd_mode mode, uint64_t cookie, unsigned flags, unsigned type, unsigned len)
{
	put(mode == NBD_LONG ? NBD_LONG_CHUNK_MAGIC : NBD_CHUNK_MAGIC, 4);
	put(flags, 2);
	put(type, 2);
	put(cookie, 8);
	if (mode == NBD_LONG)
		put(0, 8);
	put(len, mode == NBD_LONG ? 8 : 4);
}

static void answer(enum nbd_mode mode, uint64_t cookie, int i)
{
	if (mode != NBD_SIMPLE) {
		chunk(mode, cookie, NBD_CHUNK_DONE, i == 1 ? NBD_CHUNK_NONE : NBD_CHUNK_OFFSET_DATA,
		      i == 1 ? 0 : 8 + LEN);
		if (i != 1)
			put((uint64_t)i * LEN, 8);
	} else {
		put(NBD_SIMPLE_REPLY_MAGIC, 4);
		put(0, 4);
		put(cookie, 8);
	}
	if (i != 1) {
		memset(bytes + used, i + 1, LEN);
		used += LEN;
	}
}

/* Whom it answers, in this order, and then it hangs up. */
struct order {
	int i[N + 1], n;
	bool singly; /* each answer by itself, once the one before it has been received */
	int rest;    /* what becomes of who is not answered */
};

struct answerer {
	const struct order *order;
	enum nbd_mode mode;
	int sock;
};

static void wait_until_received(int sock)
{
	int unread;

	do
		SYS(ioctl(sock, SIOCOUTQ, &unread));
	while (unread && !usleep(100));
}

static void *answer_in_order(void *arg)
{
	const struct answerer *a = arg;
	uint64_t cookie[N];

	take_requests(a->sock, cookie);
	for (int i = 0; i < a->order->n; i++) {
		answer(a->mode, cookie[a->order->i[i]], a->order->i[i]);
		if (a->order->singly || i == a->order->n - 1)
			say(a->sock);
		if (a->order->singly)
			wait_until_received(a->sock);
	}
	SYS(shutdown(a->sock, SHUT_WR));
	return NULL;
}

static bool is_answered(const struct order *order, int i)
{
	bool found = false;

	for (int k = 0; k < order->n; k++)
		found |= order->i[k] == i;
	return found;
}

static void check_results(const struct order *order, struct blkioq *q, char *buf, unsigned *seen)
{
	struct blkio_completion c[N];

	CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
	for (int k = 0; k < N; k++) {
		int i = (int)((unsigned *)c[k].user_data - seen);

		CHECK_EQ(seen[i]++, 0);
		if (!is_answered(order, i))
			CHECK_EQ(c[k].ret, order->rest);
		else if (order->rest != -EPROTO)
			CHECK_EQ(c[k].ret, 0);
		else
			CHECK(!c[k].ret || c[k].ret == -EPROTO);
		if (!c[k].ret && i != 1)
			check_all(buf + i * LEN, LEN, i + 1);
	}
}

static void answer_these(enum nbd_mode mode, const struct order *order)
{
	struct answerer a = { .order = order, .mode = mode };
	char *buf = buffer(N * LEN);
	unsigned seen[N] = { 0 };
	pthread_t thread;
	struct blkioq *q;
	struct blkio *b;
	int sock[2];

	SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock));
	a.sock = sock[1];
	shake_hands(sock[1], mode);
	b = connect_to(sock[0], mode);
	SYS(recv(sock[1], bytes, sizeof(bytes), 0)); /* the client's part of the handshake */
	q = blkio_get_queue(b, 0);
	blkioq_read(q, 0, buf, LEN, &seen[0], 0);
	blkioq_write(q, LEN, buf + LEN, LEN, &seen[1], 0);
	blkioq_read(q, (uint64_t)2 * LEN, buf + 2 * LEN, LEN, &seen[2], 0);
	CHECK(!pthread_create(&thread, NULL, answer_in_order, &a));
	check_results(order, q, buf, seen);
	blkio_destroy(&b);
	CHECK(!pthread_join(thread, NULL));
	close(sock[1]);
	buffer_free(buf);
}

static void in_order(const struct order *orders, int n)
{
	for (int mode = NBD_SIMPLE; mode <= NBD_STRUCTURED; mode++) {
		for (int i = 0; i < n; i++) {
			struct order singly = orders[i];

			singly.singly = true;
			answer_these(mode, &orders[i]);
			answer_these(mode, &singly);
		}
	}
}

static void twice(struct device *d)
{
	static const struct order orders[] = {
		{ { 0, 0 }, 2, .rest = -EPROTO },
		{ { 0, 1, 1 }, 3, .rest = -EPROTO },
		{ { 0, 1, 0 }, 3, .rest = -EPROTO },
	};

	(void)d;
	in_order(orders, ARRAY_LEN(orders));
}

/* What was answered before the connection ended has its result. */
static void some(struct device *d)
{
	static const struct order orders[] = {
		{ { 0, 1, 2 }, 3, .rest = -ENOTCONN }, { { 2, 0, 1 }, 3, .rest = -ENOTCONN },
		{ { 2 }, 1, .rest = -ENOTCONN },       { { 0, 2 }, 2, .rest = -ENOTCONN },
		{ { 1, 0 }, 2, .rest = -ENOTCONN },    { { 0 }, 0, .rest = -ENOTCONN },
	};

	(void)d;
	in_order(orders, ARRAY_LEN(orders));
}

/* ---- One read at a time ------------------------------------------------------------------- */

enum how {
	WELL,	   /* as nearly all servers do */
	IN_PARTS,  /* in several sends */
	TOO_EARLY, /* with the first bytes of the next answer */
	IN_CHUNKS, /* two pieces, and an end of its own */
	AS_HOLE,
	AS_ERROR,
	AS_ERROR_TEXT,
	TO_NOTHING, /* to another cookie */
	ELSEWHERE,  /* data of another offset */
	TOO_SHORT,  /* data of another length */
	NOT_AT_ALL, /* closes the connection */
};

static const struct answer {
	enum how how;
	bool chunks; /* only with structured replies */
	bool bad;    /* the buffer of the read is */
	int ret;     /* of the read */
	bool lost;   /* the next one fails as well */
} answers[] = {
	{ WELL },
	{ WELL, .bad = true, .ret = -EFAULT },
	{ IN_PARTS },
	{ IN_PARTS, .bad = true, .ret = -EFAULT },
	{ IN_CHUNKS, .chunks = true },
	{ AS_HOLE, .chunks = true },
	{ AS_ERROR, .ret = -ENOSPC },
	{ AS_ERROR_TEXT, .chunks = true, .ret = -ENOSPC },
	{ TOO_EARLY, .lost = true },
	{ TO_NOTHING, .ret = -EPROTO, .lost = true },
	{ ELSEWHERE, .chunks = true, .ret = -EPROTO, .lost = true },
	{ TOO_SHORT, .chunks = true, .ret = -EPROTO, .lost = true },
	{ NOT_AT_ALL, .ret = -ENOTCONN, .lost = true },
};

/* It answers two reads well, and the third one so. */
struct liar {
	int sock;
	enum nbd_mode mode;
	enum how how;
	pthread_t thread;
};

static void data_chunk(enum nbd_mode mode, uint64_t cookie, unsigned flags, uint64_t offset,
		       unsigned len)
{
	chunk(mode, cookie, flags, NBD_CHUNK_OFFSET_DATA, 8 + len);
	put(offset, 8);
	memset(bytes + used, 1, len);
	used += len;
}

static void lie(const struct liar *l, uint64_t cookie)
{
	switch (l->how) {
	case WELL:
	case IN_PARTS:
		answer(l->mode, cookie, 0);
		break;
	case TOO_EARLY:
		answer(l->mode, cookie, 0);
		answer(l->mode, cookie, 0);
		break;
	case IN_CHUNKS:
		data_chunk(l->mode, cookie, 0, LEN / 2, LEN / 2);
		data_chunk(l->mode, cookie, 0, 0, LEN / 2);
		chunk(l->mode, cookie, NBD_CHUNK_DONE, NBD_CHUNK_NONE, 0);
		break;
	case AS_HOLE:
		chunk(l->mode, cookie, NBD_CHUNK_DONE, NBD_CHUNK_OFFSET_HOLE, 12);
		put(0, 8);
		put(LEN, 4);
		break;
	case AS_ERROR:
		if (l->mode == NBD_LONG) {
			chunk(l->mode, cookie, NBD_CHUNK_DONE, NBD_CHUNK_ERROR | 1, 6);
			put(28, 4);
			put(0, 2);
			break;
		}
		put(NBD_SIMPLE_REPLY_MAGIC, 4);
		put(28, 4);
		put(cookie, 8);
		break;
	case AS_ERROR_TEXT:
		chunk(l->mode, cookie, NBD_CHUNK_DONE, NBD_CHUNK_ERROR | 1, 6 + LEN);
		put(28, 4);
		put(LEN, 2);
		memset(bytes + used, 'x', LEN);
		used += LEN;
		break;
	case TO_NOTHING:
		answer(l->mode, ~cookie, 0);
		break;
	case ELSEWHERE:
		data_chunk(l->mode, cookie, NBD_CHUNK_DONE, 1, LEN);
		break;
	case TOO_SHORT:
		data_chunk(l->mode, cookie, NBD_CHUNK_DONE, 0, LEN / 2);
		break;
	case NOT_AT_ALL:
		SYS(shutdown(l->sock, SHUT_RDWR));
	}
}

static void *liar(void *arg)
{
	const struct liar *l = arg;
	uint8_t h[NBD_LONG_REQUEST_LEN];
	ssize_t len = (ssize_t)nbd_request_len(l->mode);

	for (int i = 0; recv(l->sock, h, len, MSG_WAITALL) == len; i++) {
		uint64_t cookie = nbd_get64(h + 8);

		if (nbd_get16(h + 6) == NBD_CMD_DISC)
			break;
		if (i == 2)
			lie(l, cookie);
		else
			answer(l->mode, cookie, 0);
		if (i == 2 && l->how == IN_PARTS) {
			SYS(send(l->sock, bytes, 20, MSG_NOSIGNAL));
			SYS(send(l->sock, bytes + 20, 100, MSG_NOSIGNAL));
			SYS(send(l->sock, bytes + 120, used - 120, MSG_NOSIGNAL));
		} else {
			send(l->sock, bytes, used, MSG_NOSIGNAL);
		}
		used = 0;
	}
	return NULL;
}

static void answer_alone(const struct answer *a, enum nbd_mode mode)
{
	struct liar l = { .mode = mode, .how = a->how };
	char *buf = buffer(LEN);
	struct blkioq *q;
	struct blkio *b;
	int sock[2], ret;

	SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock));
	l.sock = sock[1];
	shake_hands(sock[1], mode);
	b = connect_to(sock[0], mode);
	SYS(recv(sock[1], bytes, sizeof(bytes), 0)); /* the client's part of the handshake */
	CHECK(!pthread_create(&l.thread, NULL, liar, &l));
	q = blkio_get_queue(b, 0);
	for (int i = 0; i < 5; i++) {
		memset(buf, 0xee, LEN);
		ret = io_read(q, 0, i == 2 && a->bad ? NULL : buf, LEN, 0);
		if (i == 2)
			CHECK_EQ(ret, a->ret);
		else if (i < 2 || !a->lost)
			CHECK_EQ(ret, 0);
		else
			CHECK(ret < 0);
		if (!ret)
			check_all(buf, LEN, i == 2 && a->how == AS_HOLE ? 0 : 1);
	}
	blkio_destroy(&b);
	CHECK(!pthread_join(l.thread, NULL));
	close(sock[1]);
	buffer_free(buf);
}

static void alone(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		for (int mode = answers[i].chunks ? NBD_STRUCTURED : NBD_SIMPLE; mode <= NBD_LONG;
		     mode++)
			answer_alone(&answers[i], mode);
	}
}

static const struct test tests[] = {
	{ "the only read is answered oddly", alone },
	{ "a request is answered twice", twice },
	{ "some requests are answered", some },
};
TEST_MAIN(tests)
