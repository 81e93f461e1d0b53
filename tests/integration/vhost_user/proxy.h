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

struct vu_proxy {
	uint64_t hidden_features, hidden_protocol;
	/* An answer on its way to the library. May change it; false: it is not passed on. */
	bool (*spoil)(struct vu_proxy *p, struct vu_message *m);
	uint32_t spoil_request; /* which one, for spoil(); its choice */
	int fd_to_add;		/* sent along with the spoilt answer; -1 */
	/* private */
	int client, server;
	pthread_t to_server, to_client;
};

/* Connect to the server at path. Returns the library's end: a connected socket. */
int vu_proxy_start(struct vu_proxy *p, const char *path);
/* After the library's end is closed. */
void vu_proxy_stop(struct vu_proxy *p);

#endif
