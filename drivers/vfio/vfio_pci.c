/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Configuration space, BARs and interrupts of an open device, and its folder in sysfs. */
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vfio/vfio.h"

/* ---- sysfs -------------------------------------------------------------------------------- */

struct sysfs_name vfio_read_link(const struct vfio_device *d, const char *link)
{
	char path[64];

	snprintf(path, sizeof(path), VFIO_SYSFS "%s/%s", d->address, link);
	return sysfs_read_link(path);
}

/* ---- Configuration space ------------------------------------------------------------------ */

int vfio_read_config(const struct vfio_device *d, unsigned offset, void *buf, size_t len)
{
	ssize_t n = pread(d->device, buf, len, d->config_offset + offset);

	if (n == (ssize_t)len)
		return 0;
	return bk_err(n < 0 ? errno : EIO, "cannot read the configuration space of %s%s%s",
		      d->address, n < 0 ? ": " : "", n < 0 ? strerror(errno) : "");
}

int vfio_enable(const struct vfio_device *d)
{
	uint16_t command;
	int ret = vfio_read_config(d, PCI_COMMAND, &command, sizeof(command));

	if (ret < 0)
		return ret;
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE;
	if (pwrite(d->device, &command, sizeof(command), d->config_offset + PCI_COMMAND) !=
	    sizeof(command))
		return bk_err(EIO, "cannot write the command register of %s", d->address);
	return 0;
}

void vfio_reset(const struct vfio_device *d)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	if (!ioctl(d->device, VFIO_DEVICE_GET_INFO, &info) &&
	    (info.flags & VFIO_DEVICE_FLAGS_RESET))
		ioctl(d->device, VFIO_DEVICE_RESET);
}

/* ---- BARs --------------------------------------------------------------------------------- */

static int bar_info(const struct vfio_device *d, unsigned bar, struct vfio_region_info *info)
{
	*info = (struct vfio_region_info){ .argsz = sizeof(*info), .index = bar };
	if (ioctl(d->device, VFIO_DEVICE_GET_REGION_INFO, info) < 0)
		return bk_err(errno, "VFIO_DEVICE_GET_REGION_INFO of %s, BAR %u: %m", d->address,
			      bar);
	return 0;
}

int vfio_bar_size(const struct vfio_device *d, unsigned bar, uint64_t *size)
{
	const uint32_t needed =
	    VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE | VFIO_REGION_INFO_FLAG_MMAP;
	struct vfio_region_info info;
	int ret = bar_info(d, bar, &info);

	if (!ret)
		*size = (info.flags & needed) == needed ? info.size : 0;
	return ret;
}

int vfio_map_window(const struct vfio_device *d, unsigned bar, uint64_t offset, uint64_t len,
		    struct vfio_window *w)
{
	uint64_t page = page_size(), start = offset & ~(page - 1), end;
	struct vfio_region_info info;
	int ret = bar_info(d, bar, &info);

	if (ret < 0)
		return ret;
	if (!len || __builtin_add_overflow(offset, len, &end) || end > info.size)
		return bk_err(EPROTO, "%s does not have %llu bytes at offset %#llx of BAR %u",
			      d->address, (unsigned long long)len, (unsigned long long)offset, bar);
	w->map_len = round_up(end - start, page);
	w->map = mmap(NULL, w->map_len, PROT_READ | PROT_WRITE, MAP_SHARED, d->device,
		      info.offset + start);
	if (w->map == MAP_FAILED)
		return bk_err(errno, "cannot map BAR %u of %s: %m", bar, d->address);
	w->addr = (char *)w->map + (offset - start);
	return 0;
}

void vfio_unmap_window(struct vfio_window *w)
{
	if (w->map_len)
		munmap(w->map, w->map_len);
	*w = (struct vfio_window){ 0 };
}

/* ---- Interrupts --------------------------------------------------------------------------- */

int vfio_count_irqs(const struct vfio_device *d, unsigned index, unsigned *n)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };

	if (ioctl(d->device, VFIO_DEVICE_GET_IRQ_INFO, &info) < 0)
		return bk_err(errno, "VFIO_DEVICE_GET_IRQ_INFO of %s: %m", d->address);
	*n = info.flags & VFIO_IRQ_INFO_EVENTFD ? info.count : 0;
	return 0;
}

static int set_irqs(const struct vfio_device *d, unsigned index, unsigned start, unsigned n, int fd)
{
	size_t len = sizeof(struct vfio_irq_set) + n * sizeof(int32_t);
	struct vfio_irq_set *set = calloc(1, len);
	int32_t *fds;
	int ret = 0;

	if (!set)
		return bk_err(ENOMEM, "out of memory");
	*set = (struct vfio_irq_set){
		.argsz = len,
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = index,
		.start = start,
		.count = n,
	};
	fds = (int32_t *)set->data;
	for (unsigned i = 0; i < n; i++)
		fds[i] = fd;
	if (ioctl(d->device, VFIO_DEVICE_SET_IRQS, set) < 0)
		ret = bk_err(errno, "cannot set up interrupts %u to %u of %s: %m", start,
			     start + n - 1, d->address);
	free(set);
	return ret;
}

int vfio_enable_irqs(const struct vfio_device *d, unsigned index, unsigned n)
{
	struct vfio_irq_set off = {
		.argsz = sizeof(off),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = index,
	};

	/* Kernels before 6.5 cannot add vectors to those that are reserved: begin again. */
	ioctl(d->device, VFIO_DEVICE_SET_IRQS, &off);
	return set_irqs(d, index, 0, n, -1);
}

int vfio_set_irq(const struct vfio_device *d, unsigned index, unsigned vector, int fd)
{
	return set_irqs(d, index, vector, 1, fd);
}

/* ---- Events ------------------------------------------------------------------------------- */

int vfio_watch_event(struct vfio_device *d, unsigned event, struct pollfd *p)
{
	static const unsigned irqs[] = { VFIO_PCI_ERR_IRQ_INDEX, VFIO_PCI_REQ_IRQ_INDEX };
	int *fd = &d->event_fds[event];
	unsigned n = 0;
	int ret = vfio_count_irqs(d, irqs[event], &n);

	if (*fd < 0)
		*fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (*fd < 0)
		return bk_err(errno, "cannot watch the device: eventfd: %m");
	*p = (struct pollfd){ .fd = *fd, .events = POLLIN };
	return !ret && n ? vfio_set_irq(d, irqs[event], 0, *fd) : 0;
}

const char *vfio_event_text(unsigned event)
{
	return event == VFIO_EVENT_ERROR
		   ? "the PCI device reported an unrecoverable error"
		   : "the PCI device is being removed or unbound: destroy the instance to release "
		     "it";
}
