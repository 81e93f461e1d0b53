/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * In place of drivers/vfio/vfio_open.c: the device is the fd of the fuzzer's world, with its
 * configuration space in front, and reaches whatever is mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "vfio/vfio.h"
#include "world.h"

enum { PAGE = 4096 };

static int map_nothing(const struct vfio_device *d, const struct bk_region *region)
{
	(void)d, (void)region;
	return 0;
}

static int fuzz_open(struct vfio_device *d)
{
	const struct iova_range everything = { 0, UINT64_MAX };

	d->device = fcntl(fuzz_world.vfio_fd, F_DUPFD_CLOEXEC, 0);
	d->max_mappings = 16;
	return vfio_init_iova(d, &everything, 1, PAGE);
}

static int fuzz_map(struct vfio_device *d, struct bk_region *region)
{
	return vfio_dma_map(d, region, map_nothing);
}

static void fuzz_unmap(struct vfio_device *d, const struct bk_region *region)
{
	vfio_dma_unmap(d, region, map_nothing);
}

static const struct vfio_backend fuzz_backend = { fuzz_open, fuzz_map, fuzz_unmap };

int vfio_open(struct vfio_device *d, const char *path, bool physical)
{
	int ret;

	(void)physical;
	*d = (struct vfio_device){
		.device = -1,
		.container = -1,
		.group = -1,
		.iommufd = -1,
		.event_fds = { -1, -1 },
	};
	if (fuzz_world.vfio_fd < 0)
		return bk_err(ENODEV, "no PCI device %s", path);
	snprintf(d->address, sizeof(d->address), "0000:00:01.0");
	d->backend = &fuzz_backend;
	ret = d->backend->open(d);
	if (ret < 0)
		vfio_close(d);
	return ret;
}

void vfio_close(struct vfio_device *d)
{
	int *fds[] = { &d->device, &d->event_fds[0], &d->event_fds[1] };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	iova_exit(&d->iova);
}
