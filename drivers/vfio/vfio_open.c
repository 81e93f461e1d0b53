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

	if (strlen(path) >= sizeof(real))
		return bk_err(ENAMETOOLONG, "property \"path\" is longer than %zu bytes",
			      sizeof(real) - 1);
	if (strchr(path, '/')) {
		if (!realpath(path, real))
			return bk_err(errno, "%s: %m", path);
		/* Elsewhere, a name says nothing. */
		name = strncmp(real, "/sys/", 5) ? "" : basename(real);
	}
	if (parse_address(name, d->address))
		return 0;
	return bk_err(EINVAL,
		      "%s is neither the sysfs folder of a PCI device, such as " VFIO_SYSFS
		      "0000:01:00.0, "
		      "nor a PCI address",
		      path);
}

static int check_driver(const struct vfio_device *d)
{
	struct sysfs_name driver;
	char path[64];

	snprintf(path, sizeof(path), VFIO_SYSFS "%s", d->address);
	if (access(path, F_OK) < 0)
		return bk_err(errno, "PCI device %s does not exist: %s: %m", d->address, path);
	driver = vfio_read_link(d, "driver");
	if (strcmp(driver.s, "vfio-pci"))
		return bk_err(driver.s[0] ? EBUSY : ENODEV,
			      "PCI device %s is bound to %s, not to vfio-pci; see \"vfio-bind bind "
			      "%s\"",
			      d->address, driver.s[0] ? driver.s : "no driver", d->address);
	return 0;
}

/* ---- Which backend ------------------------------------------------------------------------ */

/* No IOMMU: physical addresses, if that was asked for. */
static int choose_physical(struct vfio_device *d, bool physical)
{
	if (!physical)
		return bk_err(
		    ENODEV,
		    "PCI device %s is not behind an IOMMU: enable the IOMMU in the firmware and "
		    "the kernel (intel_iommu=on, ...); property \"allow-no-iommu\" works without "
		    "one, but then no memory is protected from the device",
		    d->address);
	d->backend = &vfio_physical_backend;
	return 0;
}

static int choose_backend(struct vfio_device *d, bool physical)
{
	struct sysfs_name group = vfio_read_link(d, "iommu_group");
	char node[96];

	snprintf(node, sizeof(node), "/dev/vfio/noiommu-%s", group.s);
	if (!group.s[0] || !access(node, F_OK))
		return choose_physical(d, physical);
	/* Who may use only one of the two gets that. */
	snprintf(node, sizeof(node), "/dev/vfio/%s", group.s);
	d->backend = &vfio_group_backend;
	if (vfio_has_iommufd(d) || access(node, F_OK) < 0)
		d->backend = &vfio_iommufd_backend;
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

	*d = (struct vfio_device){
		.device = -1,
		.container = -1,
		.group = -1,
		.iommufd = -1,
		.event_fds = { -1, -1 },
	};
	ret = find_address(d, path);
	if (!ret)
		ret = check_driver(d);
	if (!ret)
		ret = choose_backend(d, physical);
	if (!ret)
		ret = d->backend->open(d);
	if (!ret)
		ret = find_config(d);
	if (ret < 0)
		vfio_close(d);
	return ret;
}

void vfio_close(struct vfio_device *d)
{
	/* The device first: it is reset before what it reaches is let go. */
	int *fds[] = { &d->device,  &d->group,	      &d->container,
		       &d->iommufd, &d->event_fds[0], &d->event_fds[1] };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	iova_exit(&d->iova);
}
