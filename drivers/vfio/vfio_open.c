/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* From a path to an open device. Most of it is telling what is wrong and how to put it right. */
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vfio/vfio.h"

#define SYSFS "/sys/bus/pci/devices/"

/* ---- Finding the device ------------------------------------------------------------------- */

/* Accepts 01:00.0, too; writes the address in full. */
static bool parse_address(const char *s, char out[16])
{
	unsigned domain = 0, bus, slot, function;
	int end = -1;

	if (sscanf(s, "%8x:%2x:%2x.%1u%n", &domain, &bus, &slot, &function, &end) != 4 || end < 0 ||
	    s[end]) {
		domain = 0;
		if (sscanf(s, "%2x:%2x.%1u%n", &bus, &slot, &function, &end) != 3 || s[end])
			return false;
	}
	return slot < 32 && function < 8 &&
	       snprintf(out, 16, "%04x:%02x:%02x.%u", domain, bus, slot, function) < 16;
}

static int find_address(struct vfio_device *d, const char *path)
{
	char real[PATH_MAX];
	const char *name = path;

	if (strchr(path, '/')) {
		if (!realpath(path, real))
			return bk_err(errno, "%s: %m", path);
		/* Elsewhere, a name says nothing. */
		name = strncmp(real, "/sys/", 5) ? "" : basename(real);
	}
	if (parse_address(name, d->address))
		return 0;
	return bk_err(EINVAL,
		      "%s is neither the folder of a PCI device, such as " SYSFS "0000:01:00.0, "
		      "nor a PCI address",
		      path);
}

/* The name of what a link of the device's folder leads to; "" when there is no such link. */
static void read_link(const struct vfio_device *d, const char *link, char name[64])
{
	char path[64], target[PATH_MAX];
	ssize_t n;

	name[0] = '\0';
	snprintf(path, sizeof(path), SYSFS "%s/%s", d->address, link);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return;
	target[n] = '\0';
	snprintf(name, 64, "%s", basename(target));
}

static int check_driver(const struct vfio_device *d)
{
	char path[64], driver[64];

	snprintf(path, sizeof(path), SYSFS "%s", d->address);
	if (access(path, F_OK) < 0)
		return bk_err(errno, "there is no PCI device %s: %s: %m", d->address, path);
	read_link(d, "driver", driver);
	if (strcmp(driver, "vfio-pci"))
		return bk_err(driver[0] ? EBUSY : ENODEV,
			      "PCI device %s is bound to %s, not to vfio-pci; see \"vfio-bind bind "
			      "%s\"",
			      d->address, driver[0] ? driver : "no driver", d->address);
	return 0;
}

/* ---- Opening ------------------------------------------------------------------------------ */

static int open_group(struct vfio_device *d)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char number[64], path[96];
	int ret;

	read_link(d, "iommu_group", number);
	if (!number[0])
		return bk_err(ENODEV,
			      "PCI device %s is behind no IOMMU: turn it on in the firmware and "
			      "for the kernel (intel_iommu=on, ...)",
			      d->address);
	snprintf(path, sizeof(path), "/dev/vfio/%s", number);
	d->group = open(path, O_RDWR | O_CLOEXEC);
	if (d->group < 0 && errno == EBUSY)
		return bk_err(EBUSY,
			      "%s is open elsewhere: the devices of an IOMMU group serve one "
			      "program at a time (\"fuser %s\" names it)",
			      path, path);
	if (d->group < 0 && errno == ENOENT)
		return bk_err(ENODEV,
			      "there is no %s: VFIO without an IOMMU is not supported, nor is a "
			      "container without /dev/vfio",
			      path);
	if (d->group < 0)
		return bk_err(errno, "cannot open %s: %m", path);
	if (ioctl(d->group, VFIO_GROUP_GET_STATUS, &status) < 0) {
		ret = bk_err(errno, "VFIO_GROUP_GET_STATUS of %s: %m", path);
		goto close_group;
	}
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
		ret = bk_err(EPERM,
			     "IOMMU group %s is not viable: bind every device of "
			     "/sys/kernel/iommu_groups/%s/devices to vfio-pci, or unbind it",
			     number, number);
		goto close_group;
	}
	return 0;

close_group:
	close(d->group);
	d->group = -1;
	return ret;
}

static int open_container(struct vfio_device *d)
{
	d->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (d->container < 0)
		return bk_err(errno, "cannot open /dev/vfio/vfio: %m");
	if (ioctl(d->container, VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
	    ioctl(d->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1)
		return bk_err(ENOTSUP, "this kernel's VFIO has no type 1 v2 IOMMU: load the module "
				       "vfio_iommu_type1");
	if (ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &d->container) < 0)
		return bk_err(errno, "VFIO_GROUP_SET_CONTAINER: %m");
	if (ioctl(d->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0)
		return bk_err(errno, "VFIO_SET_IOMMU: %m%s",
			      errno == EPERM ? "; does the platform remap interrupts?" : "");
	return 0;
}

static int open_device(struct vfio_device *d)
{
	struct vfio_region_info config = { .argsz = sizeof(config),
					   .index = VFIO_PCI_CONFIG_REGION_INDEX };

	d->device = ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, d->address);
	if (d->device < 0)
		return bk_err(errno, "VFIO does not give PCI device %s: %m", d->address);
	if (ioctl(d->device, VFIO_DEVICE_GET_REGION_INFO, &config) < 0)
		return bk_err(errno, "VFIO_DEVICE_GET_REGION_INFO of %s: %m", d->address);
	d->config_offset = config.offset;
	return 0;
}

int vfio_open(struct vfio_device *d, const char *path)
{
	int ret;

	*d = (struct vfio_device){ .container = -1, .group = -1, .device = -1 };
	ret = find_address(d, path);
	if (!ret)
		ret = check_driver(d);
	if (!ret)
		ret = open_group(d);
	if (!ret)
		ret = open_container(d);
	if (!ret)
		ret = vfio_open_dma(d);
	if (!ret)
		ret = open_device(d);
	if (ret < 0)
		vfio_close(d);
	return ret;
}

void vfio_close(struct vfio_device *d)
{
	/* The device first: while it is open, its group cannot go. */
	int *fds[] = { &d->device, &d->group, &d->container };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	iova_exit(&d->iova);
}
