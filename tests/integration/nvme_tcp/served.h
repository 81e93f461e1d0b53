/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A target of our own that serves a new file of DEVICE_SIZE bytes, and instances that use it. */
#ifndef NVME_TCP_SERVED_H
#define NVME_TCP_SERVED_H

#include "blkio.h"
#include "device.h"
#include "nvme_target.h"

/* What it is like, is set before it starts. */
extern struct nvme_target target;

/* Start it, or once more after nvme_target_kill(). */
void target_serve(void);
/* An instance that is not connected. digests: NULL: none. */
struct blkio *target_host(const char *digests);
/* Both, and start the instance. */
struct blkio *target_start(const char *digests);
/* The end of both. */
void target_end(struct blkio *b);

#endif
