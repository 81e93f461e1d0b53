/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Zone append and atomic writes, the same for both drivers of NVMe. */
#ifndef VM_NVME_APPEND_H
#define VM_NVME_APPEND_H

#include "io.h"
#include "test.h"

/* Append and wait. */
int append(struct blkioq *q, uint64_t zone, const void *buf, size_t len, uint64_t *written_at,
	   uint32_t flags);

/*
 * One writer per queue of the started instance, poll queues included, appends to the zone, which is
 * empty and has size bytes, with several requests in flight. Then it is full, and each block is
 * where its request said.
 */
void append_from_all_queues(struct blkio *b, uint64_t zone, uint64_t size);

/* What is no append is refused; buf: mapped, longer than an append may be. */
void append_refusals(struct blkio *b, uint64_t zone, char *buf);

/*
 * Atomic writes on QEMU's controller, which does one block at a time; three commands. buf: four
 * blocks, mapped.
 */
void check_atomic(struct blkio *b, char *buf);

#endif
