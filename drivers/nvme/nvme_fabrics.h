/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * NVMe over Fabrics: commands that take the place of registers (Base 2.0, 6), and the beginning of
 * a controller. Knows no transport: that lends its way of sending a command.
 */
#ifndef BK_NVME_FABRICS_H
#define BK_NVME_FABRICS_H

#include "nvme/nvme_ident.h"

#define NVME_FABRICS_DISCOVERY_NQN "nqn.2014-08.org.nvmexpress.discovery"
#define NVME_FABRICS_ANY_CNTLID	   0xffff /* a new controller */

/* Send a command on a queue, with len bytes of data to the controller, and wait. */
struct nvme_fabrics {
	/* 0, an NVMe status, or bk_err(). *result: dwords 0 and 1, also with a status. */
	int (*command)(const struct nvme_fabrics *f, const struct nvme_cmd *c, const void *data,
		       uint32_t len, uint64_t *result);
};

/* ---- Connect ------------------------------------------------------------------------------ */

/* Who connects to what. */
struct nvme_fabrics_names {
	uint8_t hostid[16];
	const char *hostnqn, *subnqn; /* shorter than NVME_NQN_LENGTH */
};

/* A queue to be connected. */
struct nvme_fabrics_queue {
	uint16_t qid; /* 0: the admin queue */
	uint16_t cntlid;
	unsigned entries;
	uint32_t keep_alive_ms; /* of the admin queue; 0: never expire */
};

/* 0 with the controller's ID, or bk_err(): EMSGSIZE if the data must not be in the capsule. */
int nvme_fabrics_connect(const struct nvme_fabrics *f, const struct nvme_fabrics_names *names,
			 const struct nvme_fabrics_queue *q, uint16_t *cntlid);

/* Is it an NQN? 0 or bk_err(). */
int nvme_fabrics_check_nqn(const char *property, const char *nqn);

/* 12345678-1234-1234-1234-123456789abc */
#define NVME_FABRICS_UUID_LEN 36
bool nvme_fabrics_parse_uuid(const char *text, uint8_t *uuid);
void nvme_fabrics_print_uuid(const uint8_t *uuid, char *text);

/* ---- The controller ----------------------------------------------------------------------- */

struct nvme_fabrics_ctrl {
	uint64_t cap;		/* the register CAP */
	unsigned queue_entries; /* at most, of an I/O queue */
	uint32_t capsule_data;	/* bytes that a capsule of an I/O queue has room for */
	uint32_t events;	/* notices that it can send */
	bool is_discovery;
};

/* Enable it, and wait until it is ready: cap and queue_entries. 0 or bk_err(). */
int nvme_fabrics_enable(const struct nvme_fabrics *f, const struct bk_deadline *deadline,
			struct nvme_fabrics_ctrl *ctrl);
/* Of an enabled one, the rest. 0 or bk_err(). */
int nvme_fabrics_identify(const struct nvme_admin *a, struct nvme_fabrics_ctrl *ctrl);
/* Is it ready, and without a fatal error? 0 or bk_err(). */
int nvme_fabrics_check(const struct nvme_fabrics *f);
/* Ask for these events. 0 or bk_err(). */
int nvme_fabrics_enable_events(const struct nvme_fabrics *f, uint32_t events);
/* Announce the end: what is in its cache is to become durable. 0 or bk_err(). */
int nvme_fabrics_shut_down(const struct nvme_fabrics *f);

/* How many I/O queues the controller gives, at most max. 0 or bk_err(). */
int nvme_fabrics_count_queues(const struct nvme_fabrics *f, unsigned max, unsigned *n);

/* ---- Discovery ---------------------------------------------------------------------------- */

/* Each record of the discovery log that is about NVMe/TCP. 0 or bk_err(). */
int nvme_fabrics_discover(const struct nvme_admin *a, struct bk_exports *x);

#endif
