/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Messages of the vhost-user protocol: their layout, and sending and receiving them with a deadline
 * over a Unix socket. What they mean: vhost_user_session.c and
 * its neighbours.
 */
#ifndef BK_VHOST_USER_MSG_H
#define BK_VHOST_USER_MSG_H

#include <stdint.h>

#include "driver.h"

enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_SET_BACKEND_REQ_FD = 21,
	VU_GET_CONFIG = 24,
	VU_GET_INFLIGHT_FD = 31,
	VU_SET_INFLIGHT_FD = 32,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
};

/* Bits of the protocol features. */
enum {
	VU_PROTOCOL_MQ = 0,
	VU_PROTOCOL_REPLY_ACK = 3,
	VU_PROTOCOL_BACKEND_REQ = 5,
	VU_PROTOCOL_CONFIG = 9,
	VU_PROTOCOL_INFLIGHT = 12,
	VU_PROTOCOL_MEM_SLOTS = 15,
};
#define VU_PROTOCOL_BIT(bit) (1ULL << (bit))

#define VU_F_PROTOCOL_FEATURES 30 /* a bit of the virtio features */

#define VU_VERSION	1U
#define VU_VERSION_MASK 3U
#define VU_REPLY	(1U << 2)
#define VU_NEED_REPLY	(1U << 3)

#define VU_REGIONS_MAX 8 /* of a memory table */
#define VU_CONFIG_MAX  256

struct vu_region {
	uint64_t guest_addr, len, user_addr, fd_offset;
};

/* As long as all implementations have it: with padding. */
struct vu_inflight {
	uint64_t mmap_size, mmap_offset;
	uint16_t num_queues, queue_size;
	uint32_t padding;
};

struct vu_msg {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} vring_state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} vring_addr;
		struct {
			uint32_t n, padding;
			struct vu_region region[VU_REGIONS_MAX];
		} mem_table;
		struct {
			uint64_t padding;
			struct vu_region region;
		} mem_reg;
		struct {
			uint32_t offset, size, flags;
			uint8_t data[VU_CONFIG_MAX];
		} config;
		struct vu_inflight inflight;
	};
} __attribute__((packed));

#define VU_HEADER_LEN offsetof(struct vu_msg, u64)

/* What the server sends of itself, over the backend channel. */
enum vu_backend_request {
	VU_BACKEND_CONFIG_CHANGE = 2,
};

/*
 * Send m with nr_fds descriptors; receive a whole message. 0 or -errno without message:
 * -ETIMEDOUT, -ECANCELED, -ECONNRESET when the peer is gone, -EPROTO for a message that is none.
 * fd: where a descriptor that comes with it goes, else -1; NULL where none may.
 */
int vu_msg_send(int sock, const struct vu_msg *m, const int *fds, unsigned nr_fds,
		const struct bk_deadline *d);
int vu_msg_recv(int sock, struct vu_msg *m, int *fd, const struct bk_deadline *d);

#endif
