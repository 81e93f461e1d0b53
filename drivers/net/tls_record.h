/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * TLS in the kernel, once it has the keys: a socket that takes and gives plain bytes. What else the
 * peer sends than data fails a receive with EIO, until it is taken.
 */
#ifndef BK_NET_TLS_RECORD_H
#define BK_NET_TLS_RECORD_H

#include <stdbool.h>

/* Let the kernel look at the bytes of a TCP socket; it passes them on until it has keys. */
bool net_kernel_tls_attach(int sock);
/* Is it so? MSG_WAITALL does not work then. */
bool net_kernel_tls_attached(int sock);

/*
 * After EIO: take what it is. 0: there was nothing to do, receive again; or -errno without message:
 * -ECONNRESET: the peer has ended the connection; -EKEYEXPIRED: it has changed its keys, which the
 * kernel cannot follow; -EPROTO: it reported an error, or broke the protocol; -EIO: it is no such
 * socket.
 */
int net_kernel_tls_take(int sock);

/* Tell the peer that nothing more comes, if there is room. */
void net_kernel_tls_bye(int sock);

#endif
