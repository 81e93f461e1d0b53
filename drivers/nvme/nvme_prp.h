/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Data pointers of NVMe commands on PCI: physical region pages (PRP) and scatter-gather lists (SGL;
 * Base, 4.1). Pure functions: addresses in, the data pointer and the list that it points to out.
 *
 * A PRP list names pages: of all data but its beginning and its end, pages are whole. One entry
 * is in the command, and one list is one page, so lists never continue in another one.
 */
#ifndef BK_NVME_PRP_H
#define BK_NVME_PRP_H

#include "nvme/nvme_cmd.h"

#define NVME_PAGE	  4096U /* CC.MPS is 0 */
#define NVME_LIST_ENTRIES (NVME_PAGE / sizeof(uint64_t))
#define NVME_RUNS_MAX	  (NVME_PAGE / sizeof(struct nvme_sgl_desc))

/* Of any alignment: so many bytes are in NVME_LIST_ENTRIES + 1 pages at most. */
#define NVME_PRP_MAX (NVME_LIST_ENTRIES * NVME_PAGE)

/* Data at consecutive addresses. No two of a request's follow one another directly. */
struct nvme_run {
	uint64_t iova, len;
};

struct nvme_sgl_desc {
	uint64_t addr;
	uint32_t len;
	uint8_t reserved[3];
	uint8_t type;
};
_Static_assert(sizeof(struct nvme_sgl_desc) == 16, "as the specification says");

/* The page that belongs to a command: a list, which is little-endian, or small data. */
struct nvme_list {
	union {
		uint64_t prp[NVME_LIST_ENTRIES];
		struct nvme_sgl_desc sgl[NVME_RUNS_MAX];
		uint8_t data[NVME_PAGE];
	};
};

/* How many bytes of these, from the beginning, a PRP list can describe. */
uint64_t nvme_prp_fit(const struct nvme_run *runs, unsigned n);

/* Point the command, in the host's byte order, at the first bytes of runs, as many as fit. */
void nvme_prp_fill(struct nvme_cmd *c, const struct nvme_run *runs, uint64_t bytes,
		   struct nvme_list *list, uint64_t list_iova);

/* The same with a scatter-gather list, which takes any; at most NVME_RUNS_MAX of them. */
void nvme_sgl_fill(struct nvme_cmd *c, const struct nvme_run *runs, uint64_t bytes,
		   struct nvme_list *list, uint64_t list_iova);

/* What nvme_prp_fill() does for one run, of up to NVME_PRP_MAX bytes; dptr[1] is 0 before. */
static inline void nvme_prp_set(struct nvme_cmd *c, uint64_t iova, uint64_t len,
				struct nvme_list *list, uint64_t list_iova)
{
	uint64_t in_first = NVME_PAGE - (iova & (NVME_PAGE - 1));

	c->dptr[0] = iova;
	if (len <= in_first)
		return;
	if (len <= in_first + NVME_PAGE)
		c->dptr[1] = iova + in_first;
	else
		nvme_prp_fill(c, &(struct nvme_run){ iova, len }, len, list, list_iova);
}

#endif
