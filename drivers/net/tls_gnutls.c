/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See tls_gnutls.h. */
#include "net/tls_gnutls.h"

#include "common/library.h"

struct net_gnutls net_gnutls;

static const struct library_function functions[] = {
#define NET_GNUTLS_ROW(name) { "gnutls_" #name, (void **)&net_gnutls.name },
	NET_GNUTLS_FUNCTIONS(NET_GNUTLS_ROW)
#undef NET_GNUTLS_ROW
	    { 0 },
};

static struct library library = {
	.name = "libgnutls.so.30",
	.package = "libgnutls30",
	.user = "property \"tls\"",
	.functions = functions,
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

int net_gnutls_load(void)
{
	return library_load(&library);
}
