/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See tls_record.h. */
#include "net/tls_record.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

#define ULP	       "tls"
#define RECORD_MAX     16384
#define HANDSHAKE_HEAD 4

enum { RECORD_ALERT = 21, RECORD_HANDSHAKE = 22 };
enum { ALERT_WARNING = 1, ALERT_CLOSE_NOTIFY = 0 };
enum { HELLO_REQUEST = 0, NEW_SESSION_TICKET = 4, KEY_UPDATE = 24 };

/* What is said about a record beside its bytes: a byte, its type. */
struct type_message {
	_Alignas(struct cmsghdr) char bytes[CMSG_SPACE(1)];
};

bool net_kernel_tls_attach(int sock)
{
	return !setsockopt(sock, IPPROTO_TCP, TCP_ULP, ULP, sizeof(ULP) - 1);
}

bool net_kernel_tls_attached(int sock)
{
	char name[16] = "";
	socklen_t len = sizeof(name) - 1;

	return !getsockopt(sock, IPPROTO_TCP, TCP_ULP, name, &len) && !strcmp(name, ULP);
}

/* Tickets are for other connections, and a request for a handshake may be ignored. */
static int take_handshake(const unsigned char *p, size_t len)
{
	while (len) {
		size_t next;

		if (len < HANDSHAKE_HEAD)
			return -EPROTO;
		next = HANDSHAKE_HEAD + (p[1] << 16 | p[2] << 8 | p[3]);
		if (p[0] == KEY_UPDATE)
			return -EKEYEXPIRED;
		if ((p[0] != NEW_SESSION_TICKET && p[0] != HELLO_REQUEST) || next > len)
			return -EPROTO;
		p += next;
		len -= next;
	}
	return 0;
}

static int take_alert(const unsigned char *p, size_t len)
{
	return len == 2 && p[1] == ALERT_CLOSE_NOTIFY ? -ECONNRESET : -EPROTO;
}

int net_kernel_tls_take(int sock)
{
	unsigned char record[RECORD_MAX];
	struct iovec iov = { record, sizeof(record) };
	struct type_message type;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = type.bytes,
		.msg_controllen = sizeof(type.bytes),
	};
	ssize_t n = recvmsg(sock, &msg, MSG_DONTWAIT);
	const struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (!c || c->cmsg_level != SOL_TLS || c->cmsg_type != TLS_GET_RECORD_TYPE)
		return -EIO;
	switch (*CMSG_DATA(c)) {
	case RECORD_HANDSHAKE:
		return take_handshake(record, n);
	case RECORD_ALERT:
		return take_alert(record, n);
	default:
		return -EPROTO;
	}
}

void net_kernel_tls_bye(int sock)
{
	unsigned char alert[2] = { ALERT_WARNING, ALERT_CLOSE_NOTIFY };
	struct iovec iov = { alert, sizeof(alert) };
	struct type_message type = { { 0 } };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = type.bytes,
		.msg_controllen = sizeof(type.bytes),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_TLS;
	c->cmsg_type = TLS_SET_RECORD_TYPE;
	c->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(c) = RECORD_ALERT;
	sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}
