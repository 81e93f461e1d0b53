/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See vhost_user_msg.h. The socket may be the application's: its flags and timeouts are left alone.
 */
#include "virtio/vhost_user_msg.h"

#include <sys/socket.h>
#include <unistd.h>

#include "common/wait.h"

#define FDS_MAX 8

union control {
	struct cmsghdr header;
	char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

static bool try_again(int err)
{
	return err == EAGAIN || err == EWOULDBLOCK || err == EINTR;
}

static int socket_error(int err)
{
	return err == EPIPE || err == ECONNRESET ? -ECONNRESET : -err;
}

static void put_fds(struct msghdr *h, union control *c, const int *fds, unsigned n)
{
	struct cmsghdr *cmsg;

	if (!n)
		return;
	memset(c, 0, sizeof(*c));
	h->msg_control = c->buf;
	h->msg_controllen = CMSG_SPACE(n * sizeof(int));
	cmsg = CMSG_FIRSTHDR(h);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
}

int vu_msg_send(int sock, const struct vu_msg *m, const int *fds, unsigned nr_fds,
		const struct bk_deadline *d)
{
	size_t len = VU_HEADER_LEN + m->size, done = 0;
	union control control;

	bk_trace(message, sock, m->request, nr_fds);
	bk_debug("vhost-user: send request %u, %u bytes, %u descriptors", m->request, m->size,
		 nr_fds);
	while (done < len) {
		struct iovec iov = { (char *)m + done, len - done };
		struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;

		/* The descriptors go with the first byte. */
		put_fds(&h, &control, fds, done ? 0 : nr_fds);
		n = sendmsg(sock, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && try_again(errno)) {
			int ret = bk_wait_events(sock, POLLOUT, d);

			if (ret < 0)
				return ret;
		} else if (n < 0) {
			return socket_error(errno);
		} else {
			done += n;
		}
	}
	return 0;
}

/* Take the first descriptor, if there may be one; others are closed. Returns how many came. */
static unsigned take_fds(struct msghdr *h, int *taken)
{
	unsigned n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, (char *)c + at, sizeof(fd));
			if (taken && *taken < 0)
				*taken = fd;
			else
				close(fd);
			n++;
		}
	}
	return n;
}

static int recv_all(int sock, void *buf, size_t len, int *fd, const struct bk_deadline *d)
{
	size_t done = 0;

	while (done < len) {
		struct iovec iov = { (char *)buf + done, len - done };
		union control control;
		struct msghdr h = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.buf,
			.msg_controllen = sizeof(control.buf),
		};
		ssize_t n = recvmsg(sock, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (n < 0 && try_again(errno)) {
			int ret = bk_wait_events(sock, POLLIN, d);

			if (ret < 0)
				return ret;
		} else if (n <= 0) {
			return n ? socket_error(errno) : -ECONNRESET;
		} else if (take_fds(&h, fd) > (fd ? 1 : 0)) {
			return -EPROTO;
		} else {
			done += n;
		}
	}
	return 0;
}

static int recv_message(int sock, struct vu_msg *m, int *fd, const struct bk_deadline *d)
{
	int ret = recv_all(sock, m, VU_HEADER_LEN, fd, d);

	if (ret < 0)
		return ret;
	if ((m->flags & VU_VERSION_MASK) != VU_VERSION || m->size > sizeof(*m) - VU_HEADER_LEN)
		return -EPROTO;
	return recv_all(sock, (char *)m + VU_HEADER_LEN, m->size, NULL, d);
}

int vu_msg_recv(int sock, struct vu_msg *m, int *fd, const struct bk_deadline *d)
{
	int ret;

	if (fd)
		*fd = -1;
	ret = recv_message(sock, m, fd, d);
	bk_trace(answer, sock, m->request, ret);
	bk_debug("vhost-user: answer to request %u, %u bytes: %s", m->request, m->size,
		 ret < 0 ? "failed" : "done");
	if (ret < 0 && fd && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	return ret;
}
