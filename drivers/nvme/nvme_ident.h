/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * From the identify data of a controller and namespace to limits. Shared by the carriers, which
 * lend their way of sending an admin command. What the device says is checked, not trusted.
 */
#ifndef BK_NVME_IDENT_H
#define BK_NVME_IDENT_H

#include "nvme/nvme_cmd.h"

/* Send an admin command that reads len bytes, and wait: 0, an NVMe status, or bk_err(). */
struct nvme_admin {
	int (*read)(const struct nvme_admin *a, const struct nvme_cmd *c, void *data, uint32_t len);
};

/*
 * Fill in *ns and all of *l that the device decides. name: of the namespace, for messages. A
 * carrier with a limit of its own calls nvme_limit_transfer() next.
 */
int nvme_identify(const struct nvme_admin *a, uint32_t nsid, const char *name, bool read_only,
		  struct nvme_ns *ns, struct bk_limits *l);

/* Transfer at most this many bytes per command. */
void nvme_limit_transfer(struct nvme_ns *ns, struct bk_limits *l, uint64_t bytes);

/* The size of the namespace now, in bytes. */
int nvme_capacity(const struct nvme_admin *a, const struct nvme_ns *ns, uint64_t *bytes);

#endif
