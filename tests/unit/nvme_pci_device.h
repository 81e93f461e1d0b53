/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An NVMe controller in this process, and the driver "fake-nvme" that reaches it: written from the
 * specification alone, it shares nothing with the driver but registers and memory. Bus addresses
 * are pointers. It acts when it is told to, and while the driver pauses on control paths. Without
 * the watching thread, the test itself calls nvme_pci_handle_events().
 */
#ifndef UNIT_NVME_PCI_DEVICE_H
#define UNIT_NVME_PCI_DEVICE_H

#include "core.h"
#include "nvme/nvme_pci.h"

enum { DEVICE_QUEUES = 4, DEVICE_REGS = 8192, DEVICE_BLOCKS = 4096 };

/* One submission queue with its completion queue. */
struct device_ring {
	bool exists, interrupts;
	uint8_t *sq, *cq;
	unsigned size, vector;
	unsigned sq_head, cq_tail, phase;
};

extern struct fake_nvme {
	struct nvme_pci_dev *d;
	uint8_t regs[DEVICE_REGS];
	struct device_ring ring[DEVICE_QUEUES + 1];
	bool running;
	unsigned resets, shutdowns;
	int fds[DEVICE_QUEUES + 1]; /* of the vectors */
	bool has_event_request;	    /* and its identifier */
	uint16_t event_cid;
	uint32_t event_config;
	unsigned logs_read;  /* bit: which */
	uint32_t *shadow[2]; /* doorbells: values, events; NULL: without */
	/* what the test says */
	bool silent;	  /* never answers an admin command */
	bool stays_ready; /* does not stop when told to */
	bool never_ready;
	uint16_t admin_status; /* of admin commands other than identify */
	uint16_t cid_lie;      /* added to the identifier of admin completions */
	uint32_t queues;       /* what Set Features answers */
	unsigned vectors;
	bool watched; /* start the watching thread, too */
	struct nvme_id_ctrl ctrl;
	struct nvme_id_ns ns;
	uint32_t namespaces[8];
} device;

/* As new: 4096 blocks of 512 bytes, namespaces 3 and 5. */
void device_reset(void);
/* What the driver wrote to registers, and admin commands. Returns whether there was anything. */
bool device_turn(void);

/* The next command that the driver has shown in an I/O queue; false: none. */
bool device_pop(unsigned qid, struct nvme_cmd *c);
/* Complete it: whatever the test wants the entry to say; a new one is signalled. */
struct device_says {
	unsigned cid, status, sqid, sq_head;
	bool old_phase;
};
void device_push(unsigned qid, struct device_says says);
/* The same as it should be. */
void device_complete(unsigned qid, const struct nvme_cmd *c, unsigned status);

/* The register that the driver writes, or its words in memory: of a submission queue, or
 * completion. */
enum device_word { DEVICE_VALUE, DEVICE_EVENT, DEVICE_REGISTER };
uint32_t *device_doorbell(unsigned qid, bool completion, enum device_word which);

/* Complete the request for events; dw0 as in the specification. */
void device_event(uint32_t dw0, unsigned status);

/* The addresses of the data of a command, by its PRP entries or descriptors; returns how many. */
struct device_piece {
	uint8_t *at;
	size_t len;
};
unsigned device_data(const struct nvme_cmd *c, size_t len, struct device_piece *out, unsigned max);

#endif
