/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* nvme-vfio-pci on the controllers of the script vfio. */
#ifndef VM_NVME_PCI_CTRL_H
#define VM_NVME_PCI_CTRL_H

#include "io.h"
#include "sys.h"
#include "test.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)

/* The namespaces of the profile viommu, and of the script vfio. */
enum { SMALL = 1, PLAIN, BLOCKS_4K, ZONED, METADATA, BAD, PROTECTED };

/* A variable that must be set. */
const char *env(const char *name);

struct blkio *connect_to(const char *path, int nsid);
/* Start it; buf: len bytes that are mapped. */
struct blkio *start(struct blkio *b, size_t len, char **buf);
/* Of the profile's controller. */
struct blkio *start_namespace(int nsid, size_t len, char **buf);

/* What is written comes back, whatever a request looks like. buf: 4 MiB that are mapped. */
void any_request(struct blkio *b, char *buf);

#endif
