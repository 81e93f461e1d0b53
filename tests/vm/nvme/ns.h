/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The namespace under test, TEST_DISK (its block device), and the commands that it gets. */
#ifndef VM_NVME_NS_H
#define VM_NVME_NS_H

#include "../../lib/io.h"
#include "../../lib/test.h"
#include "../disk.h"

/*
 * Created, connected, or started with one queue: on the generic node that belongs to the block
 * device, or, where TEST_URI is set, on the NVMe/TCP namespace that lies on it.
 */
struct blkio *ns_create(void);
struct blkio *ns_connect(void);
struct blkio *ns_start(void);

/* "/dev/ng0n1" */
const char *ns_generic(void);

/* Of the namespace's identify data: what deallocated blocks read as, and who may deallocate. */
uint8_t ns_dlfeat(void);

/* Write text to a file of sysfs. */
void write_sysfs(const char *path, const char *text);

/* Record the commands that the namespace gets from now on. */
void commands_start(void);
/* How many of them, in the kernel's words, contain text. Ends the recording. */
unsigned commands_count(const char *text);

#endif
