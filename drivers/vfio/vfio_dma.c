/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The memory that a device can reach: which addresses its IOMMU translates, and mappings. */
#include <stdlib.h>
#include <sys/ioctl.h>

#include "vfio/vfio.h"

#define INFO_LEN_MAX 65536

/* What a kernel does that says nothing (before 5.4): all addresses; 65535 mappings. */
static const struct iova_range everything = { 0, UINT64_MAX };
#define MAPPINGS_DEFAULT 65535

/* VFIO_IOMMU_GET_INFO with all its capabilities; for the caller to free. NULL: errno. */
static struct vfio_iommu_type1_info *get_info(const struct vfio_device *d)
{
	size_t len = sizeof(struct vfio_iommu_type1_info);

	for (;;) {
		struct vfio_iommu_type1_info *info = calloc(1, len);

		if (!info)
			return NULL;
		info->argsz = len;
		if (!ioctl(d->container, VFIO_IOMMU_GET_INFO, info) && info->argsz <= len)
			return info;
		len = info->argsz;
		free(info);
		if (len > INFO_LEN_MAX)
			return NULL;
	}
}

/*
 * Copies the first len bytes of the capability with this id, which the kernel does not align;
 * returns where it is, or 0.
 */
static size_t copy_cap(const struct vfio_iommu_type1_info *info, uint16_t id, void *out, size_t len)
{
	size_t at = info->flags & VFIO_IOMMU_INFO_CAPS ? info->cap_offset : 0;

	while (at && at + len <= info->argsz) {
		struct vfio_info_cap_header h;

		memcpy(&h, (const char *)info + at, sizeof(h));
		if (h.id == id) {
			memcpy(out, (const char *)info + at, len);
			return at;
		}
		at = h.next > at ? h.next : 0;
	}
	return 0;
}

static int read_ranges(struct vfio_device *d, const struct vfio_iommu_type1_info *info,
		       uint64_t page)
{
	struct vfio_iommu_type1_info_cap_iova_range cap;
	size_t at = copy_cap(info, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, &cap, sizeof(cap));
	struct iova_range *ranges;
	int ret;

	if (!at)
		return iova_init(&d->iova, &everything, 1, page);
	_Static_assert(sizeof(cap.iova_ranges[0]) == sizeof(*ranges), "the same thing");
	at += sizeof(cap);
	if (cap.nr_iovas > (info->argsz - at) / sizeof(*ranges))
		return -EINVAL;
	ranges = calloc(cap.nr_iovas + 1, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	memcpy(ranges, (const char *)info + at, cap.nr_iovas * sizeof(*ranges));
	ret = iova_init(&d->iova, ranges, cap.nr_iovas, page);
	free(ranges);
	return ret;
}

int vfio_open_dma(struct vfio_device *d)
{
	struct vfio_iommu_type1_info *info = get_info(d);
	struct vfio_iommu_type1_info_dma_avail avail;
	uint64_t page = 4096;
	int ret;

	if (!info)
		return bk_err(errno ? errno : EIO, "VFIO_IOMMU_GET_INFO: %m");
	if ((info->flags & VFIO_IOMMU_INFO_PGSIZES) && info->iova_pgsizes)
		page = info->iova_pgsizes & -info->iova_pgsizes;
	d->max_mappings = MAPPINGS_DEFAULT;
	if (copy_cap(info, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, &avail, sizeof(avail)))
		d->max_mappings = avail.avail;
	ret = read_ranges(d, info, page);
	free(info);
	if (!ret && d->max_mappings < 2) {
		iova_exit(&d->iova);
		return bk_err(ENOSPC,
			      "VFIO allows %llu mappings, which is too few: raise the parameter "
			      "dma_entry_limit of the module vfio_iommu_type1",
			      (unsigned long long)d->max_mappings);
	}
	if (ret < 0)
		return bk_err(-ret, "the IOMMU of %s translates no addresses", d->address);
	return 0;
}

int vfio_map(struct vfio_device *d, struct bk_region *r)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = r->addr,
		.size = r->len,
	};
	int ret = iova_take(&d->iova, r->addr, r->len, &r->iova);

	if (ret < 0)
		return bk_err(-ret, "the IOMMU has no addresses left for %llu bytes",
			      (unsigned long long)r->len);
	map.iova = r->iova;
	if (!ioctl(d->container, VFIO_IOMMU_MAP_DMA, &map))
		return 0;
	ret = errno;
	iova_give(&d->iova, r->iova);
	if (ret == ENOMEM)
		return bk_err(ENOMEM,
			      "cannot map %llu bytes for %s: all of them stay in memory, and "
			      "RLIMIT_MEMLOCK (\"ulimit -l\") bounds how much may",
			      (unsigned long long)r->len, d->address);
	return bk_err(ret, "cannot map %llu bytes at %p for %s: %s", (unsigned long long)r->len,
		      (void *)r->addr, d->address, strerror(ret));
}

void vfio_unmap(struct vfio_device *d, const struct bk_region *r)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = r->iova,
		.size = r->len,
	};

	/* Addresses that could not be unmapped are not used again. */
	if (!ioctl(d->container, VFIO_IOMMU_UNMAP_DMA, &unmap))
		iova_give(&d->iova, r->iova);
}
