/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A file in the case's folder that tgtd serves as a logical unit. */
#ifndef TEST_ISCSI_UNIT_H
#define TEST_ISCSI_UNIT_H

#include <stddef.h>
#include <stdint.h>

#include "blkio.h"
#include "tgt.h"

enum { UNIT_SIZE = 4 << 20 };

const char *unit_file(void);
/* Make it, with zeroes. */
void unit_make(void);
/* The same, and a target for it; skips in a build without the driver. */
void unit_start(struct tgt *t);
/* An instance that will connect to the target's URI with more at its end. */
struct blkio *unit_create(const struct tgt *t, const char *more);
/* What is in the file, behind the target's back. */
void unit_peek(uint64_t start, void *buf, size_t len);

#endif
