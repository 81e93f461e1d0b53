/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the two files of nvme_target.h share: a connection, and PDUs. All of it runs in the target.
 */
#ifndef TEST_NVME_TARGET_PARTS_H
#define TEST_NVME_TARGET_PARTS_H

#include <nvme/types.h>
#include <stddef.h>

#include "nvme_target.h"

enum { TARGET_ENTRIES = 1024, TARGET_CONNECTIONS = 64 };

/* A command whose data has not come so far. */
struct target_write {
	bool is_used;
	uint8_t cmd[64];
	uint8_t *data;
	uint32_t len, asked, got;
};

/* Connections with lower numbers get no answers. Atomic. */
extern unsigned target_silent_below;

struct target_connection {
	const struct nvme_target *t;
	int sock, fd; /* of the file */
	bool header_digest, data_digest, lies;
	bool has_left; /* what comes is thrown away */
	bool is_connected, has_flow_control;
	unsigned number; /* of those that were accepted */
	unsigned qid, served;
	uint16_t sqhd;
	uint32_t cc;
	bool awaits_event;
	uint16_t event_cid;
	struct target_write writes[TARGET_ENTRIES];
};

static inline uint32_t get32(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t get64(const uint8_t *p)
{
	return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline void put(uint8_t *p, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

/* A PDU that has come. */
struct target_pdu {
	uint8_t header[128];
	uint8_t *data;
	uint32_t len; /* of the data */
};

/* False: the connection has ended. */
bool target_receive(struct target_connection *c, struct target_pdu *pdu);
void target_send(struct target_connection *c, uint8_t *header, unsigned hlen, const void *data,
		 uint32_t len);
/* Complete a command. */
void target_respond(struct target_connection *c, const uint8_t *cmd, unsigned status,
		    uint64_t result);
/* Data of a command, and then its completion. */
void target_give(struct target_connection *c, const uint8_t *cmd, const void *data, uint32_t len);

/* A command of the admin queue, or a fabrics command of any. */
void target_admin(struct target_connection *c, const uint8_t *cmd, const struct target_pdu *pdu);
/* Any PDU of an I/O queue. */
void target_io(struct target_connection *c, const struct target_pdu *pdu);

uint64_t target_blocks(const struct target_connection *c);
unsigned target_block_size(const struct target_connection *c);

#endif
