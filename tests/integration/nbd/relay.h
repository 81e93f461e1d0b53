/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Between the library and an NBD server: passes bytes on, and from a certain byte of a certain
 * connection's answers on does what no server should.
 */
#ifndef NBD_RELAY_H
#define NBD_RELAY_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

enum relay_fault {
	RELAY_NONE,
	RELAY_SILENT,  /* nothing more */
	RELAY_STUCK,   /* that, and reads no more requests */
	RELAY_SLOW,    /* a byte at a time */
	RELAY_CORRUPT, /* another byte in place of this one */
	RELAY_CLOSES,
};

enum { RELAY_CONNECTIONS = 64, RELAY_SLOW_MS = 100 };

struct relay {
	/* Set before the connection that they are about; see relay_set(). */
	enum relay_fault fault;
	unsigned connection; /* counted from 0, and all after it */
	size_t at;	     /* bytes that pass before */
	/* Called once, when it keeps the library waiting. */
	void (*waits)(void *arg);
	void *arg;
	/* private */
	struct sockaddr_un here, server;
	struct sockaddr_in port; /* relay_start_tcp() */
	int listener, wake;
	unsigned nr;
	struct relay_connection {
		int client, server;
		size_t passed; /* of answers */
		bool is_gone;  /* relay_vanish() */
	} c[RELAY_CONNECTIONS];
	bool has_waited, ends;
	pthread_mutex_t lock;
	pthread_t thread;
};

/* Listen at r->here.sun_path for clients of the server at path. */
void relay_start(struct relay *r, const char *path);
/* At r->port, on the loopback interface, instead. */
void relay_start_tcp(struct relay *r, const char *path);
/*
 * As if its machine were gone: from now on the kernel drops what comes for the connections that
 * there are, and for new ones if all is set, and acknowledges nothing.
 */
void relay_vanish(struct relay *r, bool all);
void relay_set(struct relay *r, enum relay_fault fault, unsigned connection, size_t at);
/* Bytes of answers that have passed on the connection. */
size_t relay_passed(struct relay *r, unsigned connection);
/* End all connections, and count from 0 again. */
void relay_reset(struct relay *r);
void relay_stop(struct relay *r);

#endif
