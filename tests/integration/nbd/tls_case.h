/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* NBD servers with TLS, and instances that connect to them. */
#ifndef TEST_NBD_TLS_CASE_H
#define TEST_NBD_TLS_CASE_H

#include <stdint.h>

#include "server.h"

/* A server of a file over TCP, with these options. */
#define TLS_NBDKIT(...)                                                                            \
	{                                                                                          \
		"nbdkit", "-f", "-i", "127.0.0.1", "-p", NBD_PORT, __VA_ARGS__, "file", NBD_FILE,  \
		    NULL                                                                           \
	}
#define TLS_GOOD TLS_NBDKIT("--tls=require", "--tls-certificates=" NBD_DIR "/good")

enum { TLS_MANY = 1 << 20 };

/* Skips where the library has no TLS. */
void tls_need(void);
/* The same, then nbd_server_init(), and the folders that certificates.sh makes. */
void tls_prepare(struct nbd_server *s, const char *const *argv);
/* The path of one of these. */
const char *tls_in_dir(const char *name);
/* Believe in what is there. */
void tls_trust(struct blkio *b, const char *folder);
/* An instance that will connect with this property "tls"; folder: to trust, or NULL. */
struct blkio *tls_create(const struct nbd_server *s, const char *tls, const char *folder);
/* blkio_connect(), once the server listens: what it says then. */
int tls_connect(struct blkio *b);

/* TLS_MANY bytes at once. */
void tls_write_and_read(struct blkioq *q, uint32_t seed);

#endif
