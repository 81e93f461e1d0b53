/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A device by its own character device, bound to an iommufd, in which an I/O address space (IOAS)
 * takes the mappings. The kernel's replacement for groups and containers.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vfio/iommufd_abi.h"
#include "vfio/vfio.h"

#define IOMMU_NODE "/dev/iommu"

/* ---- Opening ------------------------------------------------------------------------------ */

/* "" when it has none. */
static void find_node(const struct vfio_device *d, char node[300])
{
	char folder[64];
	struct dirent *e;
	DIR *dir;

	node[0] = '\0';
	snprintf(folder, sizeof(folder), VFIO_SYSFS "%s/vfio-dev", d->address);
	dir = opendir(folder);
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] != '.')
			snprintf(node, 300, "/dev/vfio/devices/%s", e->d_name);
	}
	if (dir)
		closedir(dir);
}

bool vfio_has_iommufd(const struct vfio_device *d)
{
	char node[300];

	find_node(d, node);
	return node[0] && !access(node, R_OK | W_OK) && !access(IOMMU_NODE, R_OK | W_OK);
}

static int open_nodes(struct vfio_device *d, const char *node)
{
	d->device = open(node, O_RDWR | O_CLOEXEC);
	if (d->device < 0)
		return bk_err(errno == ENOENT ? ENODEV : errno, "cannot open %s: %m", node);
	d->iommufd = open(IOMMU_NODE, O_RDWR | O_CLOEXEC);
	if (d->iommufd < 0)
		return bk_err(errno == ENOENT ? ENODEV : errno, "cannot open " IOMMU_NODE ": %m");
	return 0;
}

/* From here on, the device answers. */
static int bind(const struct vfio_device *d, const char *node)
{
	struct iommufd_vfio_bind b = { .argsz = sizeof(b), .iommufd = d->iommufd };

	if (!ioctl(d->device, IOMMUFD_VFIO_BIND, &b))
		return 0;
	/* EINVAL: by its character device; EBUSY: by its group */
	if (errno == EINVAL || errno == EBUSY)
		return bk_err(EBUSY,
			      "%s is in use (\"fuser %s /dev/vfio/*\" shows by which program), "
			      "or a device of its IOMMU group is bound to another driver than "
			      "vfio-pci (see /sys/bus/pci/devices/%s/iommu_group/devices)",
			      node, node, d->address);
	return bk_err(errno, "VFIO_DEVICE_BIND_IOMMUFD of %s: %m%s", node,
		      errno == EPERM ? "; does the platform support interrupt remapping?" : "");
}

static int attach(struct vfio_device *d)
{
	struct iommufd_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct iommufd_vfio_attach attach = { .argsz = sizeof(attach) };

	if (ioctl(d->iommufd, IOMMUFD_IOAS_ALLOC, &alloc) < 0)
		return bk_err(errno, "IOMMU_IOAS_ALLOC: %m");
	d->ioas = attach.ioas = alloc.out_ioas;
	if (ioctl(d->device, IOMMUFD_VFIO_ATTACH, &attach) < 0)
		return bk_err(errno, "VFIO_DEVICE_ATTACH_IOMMUFD_PT of %s: %m", d->address);
	return 0;
}

/* ---- What the IOMMU translates ------------------------------------------------------------ */

/* Which is known once a device is attached. */
static int read_ranges(struct vfio_device *d)
{
	struct iommufd_ioas_ranges cmd = { .size = sizeof(cmd), .ioas = d->ioas };
	struct iova_range *ranges = NULL;
	int ret;

	while (ioctl(d->iommufd, IOMMUFD_IOAS_RANGES, &cmd) < 0) {
		if (errno != EMSGSIZE) {
			ret = bk_err(errno, "IOMMU_IOAS_IOVA_RANGES: %m");
			goto free_ranges;
		}
		free(ranges);
		ranges = calloc(cmd.nr_ranges, sizeof(*ranges));
		if (!ranges)
			return bk_err(ENOMEM, "out of memory");
		cmd.ranges = (uintptr_t)ranges;
	}
	ret = vfio_init_iova(d, ranges, cmd.nr_ranges, max_u64(cmd.out_alignment, page_size()));
free_ranges:
	free(ranges);
	return ret;
}

/* ---- The backend -------------------------------------------------------------------------- */

static int iommufd_open(struct vfio_device *d)
{
	char node[300];
	int ret;

	find_node(d, node);
	if (!node[0])
		return bk_err(
		    ENODEV,
		    "PCI device %s has no VFIO device node: is this a container without /dev/vfio?",
		    d->address);
	ret = open_nodes(d, node);
	if (!ret)
		ret = bind(d, node);
	if (!ret)
		ret = attach(d);
	d->max_mappings = UINT64_MAX;
	return ret < 0 ? ret : read_ranges(d);
}

static int map(const struct vfio_device *d, const struct bk_region *r)
{
	struct iommufd_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = IOMMUFD_MAP_FIXED | IOMMUFD_MAP_READ | IOMMUFD_MAP_WRITE,
		.ioas = d->ioas,
		.addr = r->addr,
		.len = r->len,
		.iova = r->iova,
	};

	return ioctl(d->iommufd, IOMMUFD_IOAS_MAP, &cmd) < 0 ? errno : 0;
}

static int unmap(const struct vfio_device *d, const struct bk_region *r)
{
	struct iommufd_ioas_unmap cmd = {
		.size = sizeof(cmd),
		.ioas = d->ioas,
		.iova = r->iova,
		.len = r->len,
	};

	return ioctl(d->iommufd, IOMMUFD_IOAS_UNMAP, &cmd) < 0 ? errno : 0;
}

static int iommufd_map(struct vfio_device *d, struct bk_region *r)
{
	return vfio_dma_map(d, r, map);
}

static void iommufd_unmap(struct vfio_device *d, const struct bk_region *r)
{
	vfio_dma_unmap(d, r, unmap);
}

const struct vfio_backend vfio_iommufd_backend = {
	.open = iommufd_open,
	.map = iommufd_map,
	.unmap = iommufd_unmap,
};
