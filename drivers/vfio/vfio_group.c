/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A device as a member of its IOMMU group, which is put into a container: what kernels have had
 * since 3.6. Memory is mapped in the container (type 1 v2).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vfio/vfio.h"

#define INFO_LEN_MAX 65536

/* What a kernel does that says nothing (before 5.4): all addresses; 65535 mappings. */
static const struct iova_range everything = { 0, UINT64_MAX };
#define MAPPINGS_DEFAULT 65535

/* ---- Opening ------------------------------------------------------------------------------ */

static int open_node(struct vfio_device *d, const char *path)
{
	d->group = open(path, O_RDWR | O_CLOEXEC);
	if (d->group >= 0)
		return 0;
	if (errno == EBUSY)
		return bk_err(EBUSY,
			      "%s is in use: only one program at a time can use the devices of an "
			      "IOMMU group (\"fuser %s\" shows which)",
			      path, path);
	if (errno == ENOENT)
		return bk_err(ENODEV, "%s does not exist: is this a container without /dev/vfio?",
			      path);
	return bk_err(errno, "cannot open %s: %m", path);
}

static int check_viable(const struct vfio_device *d, const char *path)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	struct sysfs_name number;

	if (ioctl(d->group, VFIO_GROUP_GET_STATUS, &status) < 0)
		return bk_err(errno, "VFIO_GROUP_GET_STATUS of %s: %m", path);
	if (status.flags & VFIO_GROUP_FLAGS_VIABLE)
		return 0;
	number = vfio_read_link(d, "iommu_group");
	return bk_err(EPERM,
		      "IOMMU group %s is not viable: bind every device of "
		      "/sys/kernel/iommu_groups/%s/devices to vfio-pci, or unbind it",
		      number.s, number.s);
}

static int open_container(struct vfio_device *d, unsigned long iommu)
{
	d->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (d->container < 0)
		return bk_err(errno, "cannot open /dev/vfio/vfio: %m");
	if (ioctl(d->container, VFIO_GET_API_VERSION) != VFIO_API_VERSION)
		return bk_err(ENOTSUP, "this kernel's VFIO API is not version 0");
	if (ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &d->container) < 0)
		return bk_err(errno, "VFIO_GROUP_SET_CONTAINER: %m");
	if (ioctl(d->container, VFIO_CHECK_EXTENSION, iommu) != 1)
		return bk_err(ENOTSUP, "this kernel's VFIO does not support the type 1 v2 IOMMU: "
				       "load the module vfio_iommu_type1");
	if (ioctl(d->container, VFIO_SET_IOMMU, iommu) < 0)
		return bk_err(errno, "VFIO_SET_IOMMU: %m%s",
			      errno == EPERM ? "; does the platform support interrupt remapping?"
					     : "");
	return 0;
}

int vfio_open_group(struct vfio_device *d, const char *node, unsigned long iommu)
{
	char path[96];
	int ret;

	snprintf(path, sizeof(path), "/dev/vfio/%s", node);
	ret = open_node(d, path);
	if (!ret)
		ret = check_viable(d, path);
	return ret < 0 ? ret : open_container(d, iommu);
}

int vfio_open_group_device(struct vfio_device *d)
{
	d->device = ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, d->address);
	if (d->device < 0)
		return bk_err(errno, "VFIO_GROUP_GET_DEVICE_FD for PCI device %s: %m", d->address);
	return 0;
}

/* ---- What the IOMMU translates ------------------------------------------------------------ */

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
		return vfio_init_iova(d, &everything, 1, page);
	_Static_assert(sizeof(cap.iova_ranges[0]) == sizeof(*ranges), "the same thing");
	at += sizeof(cap);
	if (cap.nr_iovas > (info->argsz - at) / sizeof(*ranges))
		return bk_err(EPROTO, "VFIO_IOMMU_GET_INFO: %u ranges in %u bytes", cap.nr_iovas,
			      info->argsz);
	ranges = calloc(cap.nr_iovas + 1, sizeof(*ranges));
	if (!ranges)
		return bk_err(ENOMEM, "out of memory");
	memcpy(ranges, (const char *)info + at, cap.nr_iovas * sizeof(*ranges));
	ret = vfio_init_iova(d, ranges, cap.nr_iovas, page);
	free(ranges);
	return ret;
}

static int read_limits(struct vfio_device *d)
{
	struct vfio_iommu_type1_info *info = get_info(d);
	struct vfio_iommu_type1_info_dma_avail avail;
	uint64_t page = page_size();
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
	if (!ret && d->max_mappings < 2)
		return bk_err(ENOSPC,
			      "VFIO allows %llu mappings, which is too few: raise the parameter "
			      "dma_entry_limit of the module vfio_iommu_type1",
			      (unsigned long long)d->max_mappings);
	return ret;
}

/* ---- The backend -------------------------------------------------------------------------- */

static int group_open(struct vfio_device *d)
{
	struct sysfs_name number = vfio_read_link(d, "iommu_group");
	int ret = vfio_open_group(d, number.s, VFIO_TYPE1v2_IOMMU);

	if (!ret)
		ret = read_limits(d);
	return ret < 0 ? ret : vfio_open_group_device(d);
}

static int map_dma(const struct vfio_device *d, const struct bk_region *r)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = r->addr,
		.iova = r->iova,
		.size = r->len,
	};

	return ioctl(d->container, VFIO_IOMMU_MAP_DMA, &map) < 0 ? errno : 0;
}

static int unmap_dma(const struct vfio_device *d, const struct bk_region *r)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = r->iova,
		.size = r->len,
	};

	return ioctl(d->container, VFIO_IOMMU_UNMAP_DMA, &unmap) < 0 ? errno : 0;
}

static int group_map(struct vfio_device *d, struct bk_region *r)
{
	return vfio_dma_map(d, r, map_dma);
}

static void group_unmap(struct vfio_device *d, const struct bk_region *r)
{
	vfio_dma_unmap(d, r, unmap_dma);
}

const struct vfio_backend vfio_group_backend = {
	.open = group_open,
	.map = group_map,
	.unmap = group_unmap,
};
