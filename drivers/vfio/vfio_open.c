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

void vfio_read_link(const struct vfio_device *d, const char *link, char name[64])
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
	vfio_read_link(d, "driver", driver);
	if (strcmp(driver, "vfio-pci"))
		return bk_err(driver[0] ? EBUSY : ENODEV,
			      "PCI device %s is bound to %s, not to vfio-pci; see \"vfio-bind bind "
			      "%s\"",
			      d->address, driver[0] ? driver : "no driver", d->address);
	return 0;
}

/* ---- Which way ---------------------------------------------------------------------------- */

/* No IOMMU: physical addresses, if that was asked for. */
static int choose_physical(struct vfio_device *d, bool physical)
{
	if (!physical)
		return bk_err(
		    ENODEV,
		    "PCI device %s is behind no IOMMU: turn it on in the firmware and for "
		    "the kernel (intel_iommu=on, ...); property \"allow-no-iommu\" does "
		    "without, which protects no memory from the device",
		    d->address);
	d->way = &vfio_physical_way;
	return 0;
}

static int choose_way(struct vfio_device *d, bool physical)
{
	char group[64], node[96];

	vfio_read_link(d, "iommu_group", group);
	snprintf(node, sizeof(node), "/dev/vfio/noiommu-%s", group);
	if (!group[0] || !access(node, F_OK))
		return choose_physical(d, physical);
	/* Who may use only one of the two gets that. */
	snprintf(node, sizeof(node), "/dev/vfio/%s", group);
	d->way = &vfio_group_way;
	if (vfio_has_iommufd(d) || access(node, F_OK) < 0)
		d->way = &vfio_iommufd_way;
	return 0;
}

/* ---- Opening ------------------------------------------------------------------------------ */

static int find_config(struct vfio_device *d)
{
	struct vfio_region_info config = { .argsz = sizeof(config),
					   .index = VFIO_PCI_CONFIG_REGION_INDEX };

	if (ioctl(d->device, VFIO_DEVICE_GET_REGION_INFO, &config) < 0)
		return bk_err(errno, "VFIO_DEVICE_GET_REGION_INFO of %s: %m", d->address);
	d->config_offset = config.offset;
	return 0;
}

int vfio_open(struct vfio_device *d, const char *path, bool physical)
{
	int ret;

	*d = (struct vfio_device){ .device = -1, .container = -1, .group = -1, .iommufd = -1 };
	ret = find_address(d, path);
	if (!ret)
		ret = check_driver(d);
	if (!ret)
		ret = choose_way(d, physical);
	if (!ret)
		ret = d->way->open(d);
	if (!ret)
		ret = find_config(d);
	if (ret < 0)
		vfio_close(d);
	return ret;
}

void vfio_close(struct vfio_device *d)
{
	/* The device first: it is reset before what it reaches is let go. */
	int *fds[] = { &d->device, &d->group, &d->container, &d->iommufd };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	iova_exit(&d->iova);
}
