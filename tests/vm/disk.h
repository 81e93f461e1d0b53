/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the kernel knows and did about the disk under test: sysfs, counters, interrupts, traces. */
#ifndef VM_DISK_H
#define VM_DISK_H

#include <stdint.h>

#include "blkio.h"

/* The disk that TEST_DISK names, and its kernel name ("nvme0n1"). */
const char *disk_path(void);
const char *disk_name(void);

/* A number from /sys/block/DISK/queue; "write_cache" is 1 for "write back". */
uint64_t disk_queue(const char *attribute);

/* Counters of finished requests, from /sys/block/DISK/stat. */
enum disk_counter { DISK_READS = 0, DISK_WRITES = 4, DISK_DISCARDS = 11, DISK_FLUSHES = 15 };
uint64_t disk_count(enum disk_counter which);

/* Interrupts that the disk's controller has raised for I/O so far. NVMe only. */
uint64_t disk_interrupts(void);

/* Record what the block layer sends to drivers from now on; was there a write with FUA? */
void trace_start(void);
bool trace_has_fua_write(void);

/* O_DIRECT, behind the library's back. */
void disk_peek(uint64_t start, void *buf, size_t len);

/* Have b's queue 0, which is returned, write len bytes of pattern 1 from 0 on. buf is all 0xee
 * then. */
struct blkioq *disk_fill(struct blkio *b, void *buf, size_t len);

/*
 * A started instance with O_DIRECT, one queue, and as many poll queues. Where TEST_URI is set, it
 * is on the NVMe/TCP namespace that lies on the disk.
 */
struct blkio *disk_start(int poll_queues);
struct blkio *disk_connect(void);

#endif
