/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Is a namespace, identified once more, the one that it was? For carriers whose controller may be
 * replaced while the instance lives. Pure.
 */
#ifndef BK_NVME_SAME_H
#define BK_NVME_SAME_H

#include "nvme/nvme_ident.h"

/* What nvme_identify() filled in, and how many blocks there are now. */
struct nvme_view {
	const struct nvme_ns *ns;
	const struct bk_limits *l;
	uint64_t nr_blocks;
};

/*
 * Why requests that were checked against `was` must not be submitted to `now`: static text; NULL:
 * they may. A namespace may have grown.
 */
const char *nvme_changes(const struct nvme_view *was, const struct nvme_view *now);

#endif
