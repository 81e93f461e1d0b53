/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See nvme_prp.h. */
#include "nvme/nvme_prp.h"

#include <endian.h>

#define PAGES_MAX     (NVME_LIST_ENTRIES + 1)
#define OFFSET(iova)  ((iova) & (NVME_PAGE - 1))
#define PSDT_SGL      0x40 /* of the command's flags: the data pointer is a descriptor */
#define SGL_DATA      0x00 /* descriptor types */
#define SGL_LAST_LIST 0x30ULL

/* ---- Physical region pages ---------------------------------------------------------------- */

static uint64_t pages_of(uint64_t iova, uint64_t len)
{
	return (OFFSET(iova) + len + NVME_PAGE - 1) / NVME_PAGE;
}

uint64_t nvme_prp_fit(const struct nvme_run *runs, unsigned n)
{
	uint64_t bytes = 0, pages = 0, end = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t more = pages_of(runs[i].iova, runs[i].len);

		/* Where two runs meet, both are at the boundary of a page. */
		if (i && OFFSET(end | runs[i].iova))
			break;
		if (pages + more > PAGES_MAX)
			return bytes + (PAGES_MAX - pages) * NVME_PAGE - OFFSET(runs[i].iova);
		pages += more;
		bytes += runs[i].len;
		end = runs[i].iova + runs[i].len;
	}
	return bytes;
}

void nvme_prp_fill(struct nvme_cmd *c, const struct nvme_run *runs, uint64_t bytes,
		   struct nvme_list *list, uint64_t list_iova)
{
	unsigned n = 0; /* entries in the list */

	c->dptr[0] = runs->iova;
	c->dptr[1] = 0;
	for (const struct nvme_run *run = runs; bytes; run++) {
		uint64_t len = min_u64(run->len, bytes), page = run->iova & ~(NVME_PAGE - 1ULL);

		bytes -= len;
		for (uint64_t left = pages_of(run->iova, len); left; left--, page += NVME_PAGE) {
			if (run != runs || page > runs->iova)
				list->prp[n++] = htole64(page);
			if (n == 1)
				c->dptr[1] = page;
		}
	}
	if (n > 1)
		c->dptr[1] = list_iova;
}

/* ---- Scatter-gather lists ----------------------------------------------------------------- */

void nvme_sgl_fill(struct nvme_cmd *c, const struct nvme_run *runs, uint64_t bytes,
		   struct nvme_list *list, uint64_t list_iova)
{
	uint64_t n = 0;

	for (; bytes; n++) {
		uint64_t len = min_u64(runs[n].len, bytes);

		list->sgl[n] = (struct nvme_sgl_desc){
			.addr = htole64(runs[n].iova),
			.len = htole32((uint32_t)len),
			.type = SGL_DATA,
		};
		bytes -= len;
	}
	/* The data pointer is a descriptor, too. */
	c->dptr[0] = list_iova;
	c->dptr[1] = n * sizeof(list->sgl[0]) | SGL_LAST_LIST << 56;
	c->flags |= PSDT_SGL;
}
