/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Stream sockets on control paths: every wait has a deadline. */
#ifndef BK_NET_SOCKET_H
#define BK_NET_SOCKET_H

#include <stddef.h>
#include <stdint.h>

#include "driver.h"

/* Where a server listens: the path of a Unix socket, or host and port. */
struct net_address {
	const char *path; /* NULL: host and port */
	const char *host;
	int port;
};

/* For messages: "PATH" or "HOST port PORT". */
struct net_name {
	char s[512];
};
struct net_name net_name(const struct net_address *a);

/* A connected socket, or bk_err(). */
int net_connect(const struct net_address *a, const struct bk_deadline *deadline);

/* TCP: end the connection when the peer's machine does not answer for so many milliseconds while
 * nothing is being sent. For what is sent see net_stream_watch(). Other sockets are left alone. */
void net_keep_alive(int sock, int ms);

/* The fd of property "fd": is it a connected stream socket? 0 or bk_err(). */
int net_check_fd(int fd);

/*
 * All len bytes, or -errno without message: -ETIMEDOUT, -ECANCELED, -ECONNRESET when the peer has
 * closed the connection.
 */
int net_send(int sock, const void *buf, size_t len, const struct bk_deadline *deadline);
int net_recv(int sock, void *buf, size_t len, const struct bk_deadline *deadline);

#endif
