/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See message.h. */
#include "message.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER_LEN offsetof(struct vu_message, payload)

union control {
	struct cmsghdr header;
	char buf[CMSG_SPACE(VU_FDS_MAX * sizeof(int))];
};

static bool read_all(int sock, void *buf, size_t len)
{
	return !len || recv(sock, buf, len, MSG_WAITALL) == (ssize_t)len;
}

bool vu_receive(int sock, struct vu_message *m, struct vu_fds *fds)
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

bool vu_transmit(int sock, const struct vu_message *m, const struct vu_fds *fds)
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
