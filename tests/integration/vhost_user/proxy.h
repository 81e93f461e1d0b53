/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Between the library and a vhost-user server: takes features away, or spoils answers, so that one
 * real server stands for servers that can less, and for hostile ones.
 */
#ifndef VHOST_USER_PROXY_H
#define VHOST_USER_PROXY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "message.h"

enum { SET_BACKEND_REQ_FD = 21 };

struct vu_proxy {
	uint64_t hidden_features, hidden_protocol;
	/* An answer on its way to the library. May change it; false: it is not passed on. */
	bool (*spoil)(struct vu_proxy *p, struct vu_message *m);
	uint32_t spoil_request; /* which one, for spoil(); its choice */
	int fd_to_add;		/* sent along with the spoilt answer; -1 */
	/* A message on its way to the server, if set. false: it is not passed on; fds stay open. */
	bool (*intercept)(struct vu_proxy *p, const struct vu_message *m, struct vu_fds *fds);
	int channel; /* the server's end of the backend channel: vu_proxy_keep_channel() */
	/* private */
	int client, server;
	pthread_t to_server, to_client;
};

/* Connect to the server at path. Returns the library's end: a connected socket. */
int vu_proxy_start(struct vu_proxy *p, const char *path);
/* For intercept(): acknowledge m, as far as the library asked for it, with this value. */
void vu_proxy_acknowledge(struct vu_proxy *p, const struct vu_message *m, uint64_t value);
/* An intercept() that accepts the backend channel in the server's place. The caller closes it. */
bool vu_proxy_keep_channel(struct vu_proxy *p, const struct vu_message *m, struct vu_fds *fds);
/* After the library's end is closed. */
void vu_proxy_stop(struct vu_proxy *p);

#endif
