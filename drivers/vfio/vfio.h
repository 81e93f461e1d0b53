/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A PCI device that the kernel lends to this process through VFIO: its configuration space, BARs,
 * interrupts and reset, and the memory that it can reach. What the device is, only the driver on
 * top knows.
 *
 *	vfio_open.c      from a path to an open device, with the best backend there is
 *	vfio_group.c     backend: a group and a container, with type 1 v2 mappings
 *	vfio_iommufd.c   backend: a character device of its own and an iommufd (Linux 6.6)
 *	vfio_physical.c  backend: no IOMMU, physical addresses; opt-in
 *	vfio_dma.c       what the first two share: IOVAs that the library chooses
 *	vfio_pci.c       configuration space, BARs, interrupts; its folder in sysfs
 *	pci_cap.h        lists of capabilities
 */
#ifndef BK_VFIO_VFIO_H
#define BK_VFIO_VFIO_H

#include <linux/vfio.h>
#include <poll.h>

#include "common/iova.h"
#include "common/sysfs.h"
#include "driver.h"

#define VFIO_NR_BARS 6
#define VFIO_SYSFS   "/sys/bus/pci/devices/"

struct vfio_device;

/* How the kernel lends a device, and how the device reaches memory. All: 0 or bk_err(). */
struct vfio_backend {
	/* Set device, page and max_mappings. vfio_close() undoes it, also when it failed. */
	int (*open)(struct vfio_device *d);
	/* Map region->len bytes at region->addr for the device; sets region->iova. */
	int (*map)(struct vfio_device *d, struct bk_region *region);
	void (*unmap)(struct vfio_device *d, const struct bk_region *region);
};

extern const struct vfio_backend vfio_group_backend, vfio_iommufd_backend, vfio_physical_backend;

/* Events of the function, after which it cannot be used: VFIO_PCI_ERR_IRQ_INDEX, ..._REQ_... */
enum { VFIO_EVENT_ERROR, VFIO_EVENT_REQUEST, VFIO_EVENTS };

struct vfio_device {
	char address[16]; /* such as 0000:01:00.0 */
	const struct vfio_backend *backend;
	int device;
	uint64_t config_offset; /* of configuration space in the device fd */
	uint64_t page;		/* what mappings are multiples of */
	uint64_t max_mappings;
	struct iova_space iova; /* group and iommufd */
	int container, group;	/* group and physical */
	int iommufd;		/* iommufd */
	uint32_t ioas;
	struct vfio_pin *pins; /* physical */
	int event_fds[VFIO_EVENTS];
};

/* A part of a BAR in our address space. */
struct vfio_window {
	volatile void *addr;
	void *map;
	size_t map_len;
};

/* All that return int: 0 or bk_err(). */

/*
 * path: the device's folder in sysfs, or its address. physical: a device that is not behind an
 * IOMMU is fine.
 */
int vfio_open(struct vfio_device *d, const char *path, bool physical);
void vfio_close(struct vfio_device *d);

static inline bool vfio_is_physical(const struct vfio_device *d)
{
	return d->backend == &vfio_physical_backend;
}

/*
 * stuck: the device may still use the memory (struct blkio). Without an IOMMU, all that can be done
 * then is to hold it where it is.
 */
static inline void vfio_unmap_region(struct vfio_device *d, const struct bk_region *region,
				     bool stuck)
{
	if (!stuck || !vfio_is_physical(d))
		d->backend->unmap(d, region);
}

int vfio_read_config(const struct vfio_device *d, unsigned offset, void *buf, size_t len);
/* Let the device answer and access memory; no legacy interrupts. */
int vfio_enable(const struct vfio_device *d);
/* Back to the state after power on, where the device can; drivers reset their own way, too. */
void vfio_reset(const struct vfio_device *d);

/* 0 bytes where there is none that can be mapped. */
int vfio_bar_size(const struct vfio_device *d, unsigned bar, uint64_t *size);
int vfio_map_window(const struct vfio_device *d, unsigned bar, uint64_t offset, uint64_t len,
		    struct vfio_window *w);
void vfio_unmap_window(struct vfio_window *w);

/* Interrupts; index: VFIO_PCI_*_IRQ_INDEX. How many vectors there are: */
int vfio_count_irqs(const struct vfio_device *d, unsigned index, unsigned *n);
/* Reserve the first n vectors, signalling nobody. */
int vfio_enable_irqs(const struct vfio_device *d, unsigned index, unsigned n);
/* An eventfd to be signalled by a reserved vector, or -1. */
int vfio_set_irq(const struct vfio_device *d, unsigned index, unsigned vector, int fd);

/* Let p wait for the event, which the kernel need not know. p->fd is open until vfio_close(). */
int vfio_watch_event(struct vfio_device *d, unsigned event, struct pollfd *p);
/* What it says about the device. */
const char *vfio_event_text(unsigned event);

/* ---- Among the files of this folder ------------------------------------------------------- */

/* vfio_pci.c: the name of what a link in the device's folder leads to; "" without such a link. */
struct sysfs_name vfio_read_link(const struct vfio_device *d, const char *link);

/* vfio_iommufd.c: whether the kernel has it, and this process may use it. */
bool vfio_has_iommufd(const struct vfio_device *d);

/*
 * vfio_group.c: a group in a container with this kind of IOMMU; sets group and container.
 * node: in /dev/vfio.
 */
int vfio_open_group(struct vfio_device *d, const char *node, unsigned long iommu);
int vfio_open_group_device(struct vfio_device *d);

/* vfio_dma.c. map() and unmap() return an errno value. */
int vfio_dma_map(struct vfio_device *d, struct bk_region *region,
		 int (*map)(const struct vfio_device *d, const struct bk_region *region));
void vfio_dma_unmap(struct vfio_device *d, const struct bk_region *region,
		    int (*unmap)(const struct vfio_device *d, const struct bk_region *region));
/* The addresses that the IOMMU translates. */
int vfio_init_iova(struct vfio_device *d, const struct iova_range *ranges, size_t n, uint64_t page);

#endif
