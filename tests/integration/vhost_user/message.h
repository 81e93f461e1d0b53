/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages of the vhost-user protocol, for the servers and go-betweens of the tests. */
#ifndef VHOST_USER_MESSAGE_H
#define VHOST_USER_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#define VU_FDS_MAX 8

struct vu_message {
	uint32_t request, flags, size;
	uint8_t payload[512];
};

struct vu_fds {
	int fd[VU_FDS_MAX];
	unsigned n;
};

/* Both wait. False: the connection has ended. */
bool vu_receive(int sock, struct vu_message *m, struct vu_fds *fds);
bool vu_transmit(int sock, const struct vu_message *m, const struct vu_fds *fds);

#endif
