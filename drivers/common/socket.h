/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Connecting to a server on control paths: every wait has a deadline. */
#ifndef BK_COMMON_SOCKET_H
#define BK_COMMON_SOCKET_H

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "driver.h"

/* The address of the Unix socket at path: 0 or bk_err(). */
int socket_unix_address(const char *path, struct sockaddr_un *addr);

/*
 * A stream socket that is connected to addr. -errno without message otherwise: -ETIMEDOUT or
 * -ECANCELED when the deadline ended the wait, also the one for room in a Unix socket's backlog.
 */
int socket_connect(const struct sockaddr *addr, socklen_t len, const struct bk_deadline *deadline);

/* What poll() says of it at once: these events, POLLHUP and POLLERR; also amidst signals. */
short socket_events(int sock, short events);

/* The server sees the end also when a child process has the socket, too. */
void socket_close(int sock);

#endif
