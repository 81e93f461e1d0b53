/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See proxy.h. */
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy.h"
#include "test.h"

#define FDS_MAX	   8
#define HEADER_LEN offsetof(struct vu_message, payload)

enum { GET_FEATURES = 1, GET_PROTOCOL_FEATURES = 15 };

union control {
	struct cmsghdr header;
	char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

struct fds {
	int fd[FDS_MAX];
	unsigned n;
};

static bool read_all(int sock, void *buf, size_t len)
{
	return !len || recv(sock, buf, len, MSG_WAITALL) == (ssize_t)len;
}

static bool receive(int sock, struct vu_message *m, struct fds *fds)
{
	union control control;
	struct iovec iov = { m, HEADER_LEN };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.buf,
			    .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c;

	if (recvmsg(sock, &h, MSG_WAITALL | MSG_CMSG_CLOEXEC) != (ssize_t)HEADER_LEN)
		return false;
	fds->n = 0;
	c = CMSG_FIRSTHDR(&h);
	if (c && c->cmsg_type == SCM_RIGHTS) {
		fds->n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds->fd, CMSG_DATA(c), fds->n * sizeof(int));
	}
	return m->size <= sizeof(m->payload) && read_all(sock, m->payload, m->size);
}

static bool forward(int sock, const struct vu_message *m, const struct fds *fds)
{
	size_t len = HEADER_LEN + m->size;
	union control control;
	struct iovec iov = { (void *)m, len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fds->n) {
		memset(&control, 0, sizeof(control));
		h.msg_control = control.buf;
		h.msg_controllen = CMSG_SPACE(fds->n * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(fds->n * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds->fd, fds->n * sizeof(int));
	}
	return sendmsg(sock, &h, MSG_NOSIGNAL) == (ssize_t)len;
}

static void hide(struct vu_message *m, uint64_t bits)
{
	uint64_t value;

	memcpy(&value, m->payload, sizeof(value));
	value &= ~bits;
	memcpy(m->payload, &value, sizeof(value));
}

static void *pass_to_server(void *arg)
{
	struct vu_proxy *p = arg;
	struct vu_message m;
	struct fds fds;

	while (receive(p->client, &m, &fds)) {
		bool ok = forward(p->server, &m, &fds);

		while (fds.n)
			close(fds.fd[--fds.n]);
		if (!ok)
			break;
	}
	shutdown(p->server, SHUT_RDWR);
	return NULL;
}

static void *pass_to_client(void *arg)
{
	struct vu_proxy *p = arg;
	struct vu_message m;
	struct fds fds;

	while (receive(p->server, &m, &fds)) {
		fds.n = 0;
		if (m.request == GET_FEATURES)
			hide(&m, p->hidden_features);
		if (m.request == GET_PROTOCOL_FEATURES)
			hide(&m, p->hidden_protocol);
		if (p->spoil && m.request == p->spoil_request) {
			if (p->fd_to_add >= 0)
				fds = (struct fds){ .fd = { p->fd_to_add }, .n = 1 };
			if (!p->spoil(p, &m))
				continue;
		}
		if (!forward(p->client, &m, &fds))
			break;
	}
	shutdown(p->client, SHUT_RDWR);
	return NULL;
}

int vu_proxy_start(struct vu_proxy *p, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int pair[2];

	strcpy(addr.sun_path, path);
	p->server = (int)SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	SYS(connect(p->server, (struct sockaddr *)&addr, sizeof(addr)));
	SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	p->client = pair[0];
	CHECK_EQ(pthread_create(&p->to_server, NULL, pass_to_server, p), 0);
	CHECK_EQ(pthread_create(&p->to_client, NULL, pass_to_client, p), 0);
	return pair[1];
}

void vu_proxy_stop(struct vu_proxy *p)
{
	CHECK_EQ(pthread_join(p->to_server, NULL), 0);
	CHECK_EQ(pthread_join(p->to_client, NULL), 0);
	close(p->client);
	close(p->server);
}
