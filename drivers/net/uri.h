/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Taking URIs apart, in place. */
#ifndef BK_NET_URI_H
#define BK_NET_URI_H

#include "net/socket.h"

/* Cut s at the first c: what follows, or NULL when there is none. */
char *net_uri_cut(char *s, char c);

/* %XX. False: it is not valid, or encodes a NUL. */
bool net_uri_decode(char *s);

/*
 * HOST, HOST:PORT or [ADDRESS]:PORT; without HOST it is this one. a->port is the default. NULL, or
 * static text: what must be otherwise.
 */
const char *net_uri_authority(char *s, struct net_address *a);

#endif
