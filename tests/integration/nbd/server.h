/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An NBD server of the distribution, as a process of the test case, with which it dies. */
#ifndef TEST_NBD_SERVER_H
#define TEST_NBD_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "blkio.h"

enum { NBD_SERVER_ARGS = 24 };

/* Words of a command that stand for something of the case, also as a part of an argument. */
#define NBD_SOCKET "@SOCKET" /* the Unix socket to listen on */
#define NBD_PORT   "@PORT"   /* a free TCP port */
#define NBD_FILE   "@FILE"   /* the disk, NBD_SERVER_SIZE bytes of zeroes */
#define NBD_CONFIG "@CONFIG" /* a configuration of nbd-server that says all of it */
#define NBD_DIR	   "@DIR"    /* the scratch directory */

#define NBD_SERVER_SIZE (4 << 20)

struct nbd_server {
	const char *const *argv; /* of at most NBD_SERVER_ARGS, ends with NULL */
	const char *export;	 /* NULL: the default one */
	bool tcp;		 /* an argument names NBD_PORT */
	pid_t pid;		 /* 0: none runs */
	char socket[108], file[4096], port[16], config[4096];
};

/* Make the disk, and choose the names of the case. */
void nbd_server_init(struct nbd_server *s, const char *const *argv);
/* Start the command; nobody waits for it to listen. */
void nbd_server_spawn(struct nbd_server *s);
/* Kill it and wait for its end. */
void nbd_server_kill(struct nbd_server *s);

/* An instance that will connect to it, read-only if need be. */
struct blkio *nbd_server_create(const struct nbd_server *s);
/* Start the command: a connected instance, once it serves. Skips where there is no such program. */
struct blkio *nbd_server_start(struct nbd_server *s);

#endif
