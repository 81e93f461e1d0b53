/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The addresses of a host. */
#ifndef BK_NET_LOOKUP_H
#define BK_NET_LOOKUP_H

#include <netdb.h>

#include "driver.h"

/* 0, and *list is for freeaddrinfo(); or bk_err(). */
int net_lookup(const char *host, int port, const struct bk_deadline *deadline,
	       struct addrinfo **list);

#endif
