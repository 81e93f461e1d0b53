/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See tls.h: a build without gnutls. */
#include "net/tls.h"

int net_tls_load(const struct net_tls_config *c, struct net_tls_keys **keys)
{
	(void)c;
	(void)keys;
	return bk_err(ENOTSUP, "this libblkio was built without gnutls, so it does not support "
			       "property \"tls\"");
}

void net_tls_unload(struct net_tls_keys *keys)
{
	(void)keys;
}

int net_tls_start(const struct net_tls_keys *keys, int sock, const struct bk_deadline *deadline,
		  struct net_tls **tls, int *data)
{
	(void)keys;
	(void)sock;
	(void)deadline;
	(void)tls;
	(void)data;
	return -ENOTSUP; /* there are no keys */
}

void net_tls_stop(struct net_tls *tls)
{
	(void)tls;
}
