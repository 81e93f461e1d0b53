/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A started instance of "fake-nvme", a queue of it, and memory. Its ring has RING entries. What is
 * expected is expected of queue 1.
 */
#ifndef UNIT_NVME_PCI_RIG_H
#define UNIT_NVME_PCI_RIG_H

#include "nvme_pci_device.h"

enum { RING = 8, LEN = 4096, PAGES = 300 };

struct rig {
	struct blkio *b;
	struct blkioq *q; /* the first */
	struct blkio_mem_region region;
	uint8_t *buf; /* PAGES * LEN bytes */
};

struct rig start_queues(int queues, int poll_queues);
/* With one queue, and the device as new. */
struct rig start(void);
void submit(struct blkioq *q);
/* The command that comes next, with these blocks. */
struct nvme_cmd expect(unsigned opcode, uint64_t block, unsigned blocks);
void expect_none(void);
/* Complete it; the request has this result. */
void finish(struct rig *r, const struct nvme_cmd *c, unsigned status, int want);

#endif
