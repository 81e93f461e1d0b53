/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Blocks with protection information, past the library: with metadata of the test's own. */
#ifndef VM_NVME_PROTECTION_H
#define VM_NVME_PROTECTION_H

#include <stdint.h>
#include <stdlib.h>

#include "io.h"

/* The 8 bytes, big-endian: guard, application tag, reference tag. */
void protection_read(const char *node, uint64_t nr, size_t block, uint8_t metadata[8]);
/* Zeroes with this metadata, which nobody checks. */
void protection_write(const char *node, uint64_t nr, size_t block, const uint8_t metadata[8]);

/*
 * What the started instance writes can be read, and blocks whose metadata is wrong cannot; node:
 * the generic node of its namespace, type: of its protection information, buf: 2 MiB, mapped.
 */
void check_protection(struct blkio *b, const char *node, int type, char *buf);

#endif
