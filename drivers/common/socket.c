/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See socket.h. */
#include "common/socket.h"

#include <fcntl.h>
#include <unistd.h>

#define RETRY_NS 10000000 /* while a backlog is full */

int socket_unix_address(const char *path, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(addr->sun_path))
		return bk_err(ENAMETOOLONG,
			      "%s: the path of a Unix socket must be at most %zu bytes long", path,
			      sizeof(addr->sun_path) - 1);
	strcpy(addr->sun_path, path);
	return 0;
}

short socket_events(int sock, short events)
{
	struct pollfd p = { .fd = sock, .events = events };
	int n;

	do /* a signal interrupts it, though it does not sleep */
		n = poll(&p, 1, 0);
	while (n < 0 && errno == EINTR);
	return n > 0 ? p.revents : 0;
}

/* The kernel does not report when a Unix socket's backlog has room again, hence the pauses. */
static int connect_until(int sock, const struct sockaddr *addr, socklen_t len,
			 const struct bk_deadline *deadline)
{
	struct bk_pauses pauses = { *deadline, RETRY_NS, RETRY_NS };
	int error = 0, ret;
	socklen_t size = sizeof(error);

	while (connect(sock, addr, len) < 0) {
		if (errno == EAGAIN) {
			ret = bk_pause(&pauses);
			if (ret < 0)
				return ret;
			continue;
		}
		if (errno != EINPROGRESS && errno != EINTR)
			return -errno;
		ret = bk_wait_events(sock, POLLOUT, deadline);
		if (ret < 0)
			return ret;
		getsockopt(sock, SOL_SOCKET, SO_ERROR, &error, &size);
		return -error;
	}
	return 0;
}

int socket_connect(const struct sockaddr *addr, socklen_t len, const struct bk_deadline *deadline)
{
	int sock = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int ret;

	if (sock < 0)
		return -errno;
	ret = connect_until(sock, addr, len, deadline);
	if (ret < 0) {
		socket_close(sock);
		return ret;
	}
	/* io_uring does not wait on a non-blocking socket. */
	fcntl(sock, F_SETFL, 0);
	return sock;
}

void socket_close(int sock)
{
	shutdown(sock, SHUT_RDWR);
	close(sock);
}
