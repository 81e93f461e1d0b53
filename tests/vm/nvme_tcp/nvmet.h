/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Instances on the subsystems of script `target`. */
#ifndef VM_NVMET_H
#define VM_NVMET_H

#include "io.h"
#include "test.h"

#define NVMET_NQN "nqn.2024-01.vm:"
#define NVMET_MS  "60000" /* for all that the target does; the guest may be slow */
#define MIB	  (1u << 20)
#define BLOCK	  4096u

/* On port 4420 + port of the target; name: of the subsystem, then of the namespace. */
static inline struct blkio *nvmet_create(int port, const char *name)
{
	struct blkio *b;
	char uri[256];

	snprintf(uri, sizeof(uri), "nvme+tcp://127.0.0.1:%d/" NVMET_NQN "%s", 4420 + port, name);
	CHECK_OK(blkio_create("nvme-tcp", &b));
	CHECK_OK(blkio_set_str(b, "uri", uri));
	CHECK_OK(blkio_set_str(b, "connect-timeout", NVMET_MS));
	CHECK_OK(blkio_set_str(b, "keep-alive-timeout", NVMET_MS));
	return b;
}

/* With one queue. */
static inline struct blkio *nvmet_start(int port, const char *name)
{
	struct blkio *b = nvmet_create(port, name);

	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	return b;
}

#endif
