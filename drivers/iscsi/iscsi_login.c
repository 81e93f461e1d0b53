/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a target says while we log in. libiscsi believes more of it than is good: a segment length
 * of 0 makes it allocate memory for ever, and a target that is to authenticate itself gets around
 * that by answers in another order. So each answer is looked at on the socket first.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "common/socket.h"
#include "iscsi/iscsi_dev.h"

#define HEADER_LEN     48
#define TEXT_MAX       65536
#define LOGIN_RESPONSE 0x23
#define IS_LAST	       0x83 /* transit, and the next stage is the full feature phase */
#define SEGMENT_MIN    512  /* RFC 7143: of the numbers below */
#define SEGMENT_MAX    16777215

#define BAD_LOGIN "the iSCSI target breaks the protocol during the login: "

/* If s begins with the key, its value; else NULL. */
static const char *value_of(const char *s, const char *key)
{
	size_t len = strlen(key);

	return strncmp(s, key, len) || s[len] != '=' ? NULL : s + len + 1;
}

static bool is_length(const char *s)
{
	unsigned long n = 0;

	for (const char *c = s; *c; c++) {
		if (*c < '0' || *c > '9' || n > SEGMENT_MAX)
			return false;
		n = 10 * n + (*c - '0');
	}
	return n >= SEGMENT_MIN && n <= SEGMENT_MAX;
}

static int check_lengths(const char *s)
{
	static const char *const keys[] = { "MaxRecvDataSegmentLength", "MaxBurstLength",
					    "FirstBurstLength" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *value = value_of(s, keys[i]);

		if (value && !is_length(value))
			return bk_err(EPROTO, BAD_LOGIN "%s is \"%.20s\"", keys[i], value);
	}
	/* Those of RDMA. */
	if (value_of(s, "TargetRecvDataSegmentLength") ||
	    value_of(s, "InitiatorRecvDataSegmentLength"))
		return bk_err(EPROTO, BAD_LOGIN "it uses keys of another transport");
	return 0;
}

/* ---- Who it is ---------------------------------------------------------------------------- */

struct keys {
	bool method, challenge, response;
};

/*
 * The target has authenticated itself if it answers our challenge, which goes out with our answer
 * to its own; until then there is nothing for libiscsi to compare with.
 */
static int check_order(struct iscsi_login *l, const struct keys *k, bool leaves)
{
	if (k->challenge && (k->method || k->response || leaves || l->has_left))
		return bk_err(EACCES, BAD_LOGIN "it mixes the steps of CHAP");
	if (k->response) {
		if (!l->has_challenged || l->has_left)
			return bk_err(EACCES, BAD_LOGIN "it authenticates itself without CHAP");
		l->authenticated = true;
	}
	l->has_challenged |= k->challenge;
	l->has_left |= leaves;
	return 0;
}

int iscsi_login_check(struct iscsi_login *l, const uint8_t *header, const char *text, size_t len)
{
	struct keys k = { 0 };
	int ret = 0;

	if ((header[0] & 0x3f) != LOGIN_RESPONSE)
		return bk_err(EPROTO, BAD_LOGIN "it answers with operation %#x", header[0] & 0x3f);
	l->status = header[36] << 8 | header[37];
	l->is_last = (header[1] & IS_LAST) == IS_LAST;
	while (len && !ret) {
		size_t n = strnlen(text, len);

		if (n == len)
			return bk_err(EPROTO, BAD_LOGIN "a key has no end");
		ret = check_lengths(text);
		k.method |= !!value_of(text, "AuthMethod");
		k.challenge |= !!value_of(text, "CHAP_C");
		k.response |= !!value_of(text, "CHAP_R");
		text += n + 1;
		len -= n + 1;
	}
	if (!ret && l->mutual)
		ret = check_order(l, &k, header[1] & 0x80);
	return ret;
}

int iscsi_login_over(const struct iscsi_login *l)
{
	if (l->mutual && !l->authenticated)
		return bk_err(EACCES, "the iSCSI target did not authenticate itself, as property "
				      "\"target-user\" or the URI's target_user requires");
	return 0;
}

int iscsi_login_errno(uint16_t status)
{
	switch (status) {
	case 0x0201:
	case 0x0202:
		return EACCES;
	case 0x0203:
	case 0x0204:
		return ENOENT;
	case 0x0206:
	case 0x0301:
	case 0x0302:
		return EBUSY;
	}
	return ECONNREFUSED;
}

/* ---- On the socket ------------------------------------------------------------------------ */

/* Let poll() report the socket when so many bytes are there. */
static void wake_with(int sock, int bytes)
{
	setsockopt(sock, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

static bool has_ended(int sock)
{
	return socket_events(sock, POLLRDHUP);
}

/* 1: that much is there; 0: the connection ends before, which libiscsi notices. */
static int look(int sock, void *buf, size_t len)
{
	ssize_t n = recv(sock, buf, len, MSG_PEEK | MSG_DONTWAIT);

	if (n == (ssize_t)len)
		return 1;
	if (n > 0 && !has_ended(sock)) {
		wake_with(sock, (int)len);
		return -EAGAIN;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? -EAGAIN : 0;
}

int iscsi_login_look(struct iscsi_login *l, int sock)
{
	uint8_t header[HEADER_LEN], *all;
	size_t len, padded;
	int ret = look(sock, header, sizeof(header));

	if (ret <= 0)
		return ret;
	len = header[5] << 16 | header[6] << 8 | header[7];
	if (len > TEXT_MAX)
		return bk_err(EPROTO, BAD_LOGIN "an answer has %zu bytes", len);
	padded = HEADER_LEN + ((len + 3) & ~(size_t)3);
	all = malloc(padded);
	if (!all)
		return bk_err(ENOMEM, "out of memory");
	ret = look(sock, all, padded);
	if (ret == 1) {
		wake_with(sock, 1);
		/* libiscsi takes the padding for text, too. */
		ret = iscsi_login_check(l, all, (char *)all + HEADER_LEN, padded - HEADER_LEN);
	}
	free(all);
	return ret;
}
