/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * TLS for a stream socket whose user knows little of it. Either the kernel encrypts and decrypts,
 * and the socket itself is for plain bytes (tls_record.h). Or another socket in its place carries
 * them, and a thread passes them on. Without gnutls, net_tls_load() refuses (tls_none.c).
 */
#ifndef BK_NET_TLS_H
#define BK_NET_TLS_H

#include "driver.h"

/* Who we are, and whom we trust. */
struct net_tls_config {
	/*
	 * A folder: ca-cert.pem, whom to trust; ca-crl.pem, whom no longer; client-cert.pem and
	 * client-key.pem, for servers that ask. All but the first are optional. NULL: trust those
	 * that this machine trusts.
	 */
	const char *certificates;
	/* In place of certificates: a file of "NAME:HEX" lines, and which of them. */
	const char *psk_file, *username;
	const char *hostname; /* for which the server's certificate must be; NULL: for any */
	bool verify;	      /* false: do not look at the server's certificate */
	bool kernel;	      /* let the kernel encrypt and decrypt where it can */
	bool can_reconnect;   /* then also where it cannot follow when the peer changes keys */
};

struct net_tls_keys;
struct net_tls;

/* Read all files. 0 or bk_err(). */
int net_tls_load(const struct net_tls_config *c, struct net_tls_keys **keys);
void net_tls_unload(struct net_tls_keys *keys);

/*
 * The handshake, on a socket that stays the caller's. 0 or bk_err(). If *tls is NULL then, the
 * kernel has taken over. Otherwise the socket is not to be used for anything else until
 * net_tls_stop(), and *data is the one to use in its place, which is the caller's, too.
 */
int net_tls_start(const struct net_tls_keys *keys, int sock, const struct bk_deadline *deadline,
		  struct net_tls **tls, int *data);
/*
 * What was sent before is passed on as far as the peer takes it without waiting. Close the data
 * socket first. NULL is fine.
 */
void net_tls_stop(struct net_tls *tls);

#endif
