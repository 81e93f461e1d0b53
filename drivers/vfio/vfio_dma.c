/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Memory behind an IOMMU: the device sees it at addresses of our choice. */
#include "vfio/vfio.h"

int vfio_init_iova(struct vfio_device *d, const struct iova_range *ranges, size_t n, uint64_t page)
{
	int ret = iova_init(&d->iova, ranges, n, page);

	d->page = page;
	return ret < 0 ? bk_err(-ret, "the IOMMU of %s does not translate addresses", d->address)
		       : 0;
}

int vfio_dma_map(struct vfio_device *d, struct bk_region *r,
		 int (*map)(const struct vfio_device *d, const struct bk_region *region))
{
	int ret = iova_alloc(&d->iova, r->addr, r->len, &r->iova);

	if (ret < 0)
		return bk_err(-ret, "the IOMMU has no free address range of %llu bytes",
			      (unsigned long long)r->len);
	ret = map(d, r);
	if (!ret)
		return 0;
	iova_free(&d->iova, r->iova);
	if (ret == ENOMEM)
		return bk_err(ENOMEM,
			      "cannot map %llu bytes for %s: mapped memory is locked, and "
			      "RLIMIT_MEMLOCK (\"ulimit -l\") is too low",
			      (unsigned long long)r->len, d->address);
	return bk_err(ret, "cannot map %llu bytes at %p for %s: %s", (unsigned long long)r->len,
		      (void *)r->addr, d->address, strerror(ret));
}

void vfio_dma_unmap(struct vfio_device *d, const struct bk_region *r,
		    int (*unmap)(const struct vfio_device *d, const struct bk_region *region))
{
	/* Addresses that could not be unmapped are not used again. */
	if (!unmap(d, r))
		iova_free(&d->iova, r->iova);
}
