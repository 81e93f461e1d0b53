/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An NBD server over TLS that does what gnutls lets it do, once it is told to: a thread of the
 * test, for one connection at a time. Reads give bytes of the pattern of their offset.
 */
#ifndef NBD_TLS_SERVER_H
#define NBD_TLS_SERVER_H

#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdbool.h>

#define TLS_SERVER_USER "qemu"
#define TLS_SERVER_KEY	"00112233445566778899aabbccddeeff"

/* Before the reply to the second read of a connection. */
enum tls_server_act {
	TLS_SERVER_NOTHING,
	TLS_SERVER_CHANGES_KEYS,
	TLS_SERVER_SENDS_TICKET,
	TLS_SERVER_SAYS_BYE,
	TLS_SERVER_SENDS_ALERT,
};

enum { TLS_SERVER_SIZE = 1 << 20, TLS_SERVER_SEED = 7 };

struct tls_server {
	const char *priorities;
	enum tls_server_act act;
	/* private */
	int listener, port;
	unsigned connections; /* atomic */
	gnutls_psk_server_credentials_t keys;
	pthread_t thread;
};

/* priorities and act are set. */
void tls_server_start(struct tls_server *s);
unsigned tls_server_connections(struct tls_server *s);
/* Once no connection is left. */
void tls_server_stop(struct tls_server *s);

#endif
