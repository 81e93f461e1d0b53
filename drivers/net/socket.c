/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See socket.h. */
#include "net/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/socket.h"
#include "net/lookup.h"
#include "net/tls_record.h"

struct net_name net_name(const struct net_address *a)
{
	struct net_name name;

	if (a->path)
		snprintf(name.s, sizeof(name.s), "%s", a->path);
	else
		snprintf(name.s, sizeof(name.s), "%s port %d", a->host, a->port);
	return name;
}

/* ---- Waiting ------------------------------------------------------------------------------ */

/* What to do after a send() or recv() that failed: 0 means that it is to be tried again. */
static int wait_after(int sock, int error, short events, const struct bk_deadline *deadline)
{
	if (error == EAGAIN || error == EINTR)
		return bk_wait_events(sock, events, deadline);
	return error == EPIPE || error == ECONNRESET ? -ECONNRESET : -error;
}

int net_send(int sock, const void *buf, size_t len, const struct bk_deadline *deadline)
{
	size_t done = 0;
	int ret = 0;

	while (done < len && !ret) {
		ssize_t n =
		    send(sock, (const char *)buf + done, len - done, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			ret = wait_after(sock, errno, POLLOUT, deadline);
		else
			done += n;
	}
	return ret;
}

int net_recv(int sock, void *buf, size_t len, const struct bk_deadline *deadline)
{
	size_t done = 0;
	int ret = 0;

	while (done < len && !ret) {
		ssize_t n = recv(sock, (char *)buf + done, len - done, MSG_DONTWAIT);

		if (n < 0 && errno == EIO)
			ret = net_kernel_tls_take(sock);
		else if (n < 0)
			ret = wait_after(sock, errno, POLLIN, deadline);
		else if (!n)
			ret = -ECONNRESET;
		else
			done += n;
	}
	return ret;
}

/* ---- Connecting --------------------------------------------------------------------------- */

/* -errno without message. */
static int open_connected(const struct sockaddr *addr, socklen_t len,
			  const struct bk_deadline *deadline)
{
	int sock = socket_connect(addr, len, deadline);
	const int on = 1;

	if (sock >= 0 && addr->sa_family != AF_UNIX)
		setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return sock;
}

/* The socket, or what open_connected() returned in words. */
static int connected(const struct net_address *a, int ret, const struct bk_deadline *deadline)
{
	if (ret >= 0)
		return ret;
	/* TCP has a limit of its own. */
	if (ret == -ECANCELED || (ret == -ETIMEDOUT && now_ns() >= deadline->at))
		return bk_wait_err(deadline, ret, net_name(a).s, "connection");
	return bk_err(-ret, "cannot connect to %s: %s", net_name(a).s, strerror(-ret));
}

static int connect_unix(const struct net_address *a, const struct bk_deadline *deadline)
{
	struct sockaddr_un addr;
	int ret = socket_unix_address(a->path, &addr);

	if (ret < 0)
		return ret;
	return connected(a, open_connected((struct sockaddr *)&addr, sizeof(addr), deadline),
			 deadline);
}

static int connect_tcp(const struct net_address *a, const struct bk_deadline *deadline)
{
	struct addrinfo *list;
	int ret = net_lookup(a->host, a->port, deadline, &list);

	if (ret < 0)
		return ret;
	ret = -ENXIO;
	for (struct addrinfo *i = list; i; i = i->ai_next) {
		ret = open_connected(i->ai_addr, i->ai_addrlen, deadline);
		if (ret >= 0)
			break;
	}
	freeaddrinfo(list);
	return connected(a, ret, deadline);
}

int net_connect(const struct net_address *a, const struct bk_deadline *deadline)
{
	return a->path ? connect_unix(a, deadline) : connect_tcp(a, deadline);
}

/* Half of the time without a word, then two questions; the kernel counts seconds. */
void net_keep_alive(int sock, int ms)
{
	const int on = 1, probes = 2;
	const int idle = (int)min_u64(max_u64(ms / 2000, 1), 32767);
	const int pause = (int)min_u64(max_u64(ms / 4000, 1), 32767);

	if (!ms || setsockopt(sock, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle)) < 0)
		return;
	setsockopt(sock, IPPROTO_TCP, TCP_KEEPINTVL, &pause, sizeof(pause));
	setsockopt(sock, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	setsockopt(sock, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

int net_check_fd(int fd)
{
	socklen_t len = sizeof(int), addr_len = sizeof(struct sockaddr_storage);
	struct sockaddr_storage addr;
	int type;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return bk_err(errno, "property \"fd\" (%d) is not a socket: %m", fd);
	if (type != SOCK_STREAM)
		return bk_err(EINVAL, "property \"fd\" (%d) is not a stream socket", fd);
	if (getpeername(fd, (struct sockaddr *)&addr, &addr_len) < 0)
		return bk_err(errno, "property \"fd\" (%d) is not connected: %m", fd);
	return 0;
}
