/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A PCI device that the kernel lends to this process through VFIO: its configuration space, BARs,
 * interrupts and reset, and the memory that it can reach. What the device is, only the driver on
 * top knows.
 *
 *	vfio_open.c      from a path to an open device, in the best way there is
 *	vfio_group.c     way 1: a group and a container, with type 1 v2 mappings
 *	vfio_iommufd.c   way 2: a character device of its own and an iommufd (Linux 6.6)
 *	vfio_physical.c  way 3: no IOMMU, physical addresses; opt-in
 *	vfio_dma.c       what is the same for the first two: addresses of our choice
 *	vfio_pci.c       configuration space, BARs, interrupts
 *	iova.[ch]        who has which address
 *	pci_cap.h        lists of capabilities
 */
#ifndef BK_VFIO_VFIO_H
#define BK_VFIO_VFIO_H

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "driver.h"
#include "vfio/iova.h"

#define VFIO_NR_BARS 6

struct vfio_device;

/* How a device is lent, and how it comes to reach memory. All: 0 or bk_err(). */
struct vfio_way {
	/* Set device, page and max_mappings. vfio_close() undoes it, also when it failed. */
	int (*open)(struct vfio_device *d);
	/* Map region->len bytes at region->addr for the device; sets region->iova. */
	int (*map)(struct vfio_device *d, struct bk_region *region);
	void (*unmap)(struct vfio_device *d, const struct bk_region *region);
};

extern const struct vfio_way vfio_group_way, vfio_iommufd_way, vfio_physical_way;

struct vfio_device {
	char address[16]; /* such as 0000:01:00.0 */
	const struct vfio_way *way;
	int device;
	uint64_t config_offset; /* of configuration space in the device fd */
	uint64_t page;		/* what mappings are multiples of */
	uint64_t max_mappings;
	struct iova_space iova; /* ways 1 and 2 */
	int container, group;	/* ways 1 and 3 */
	int iommufd;		/* way 2 */
	uint32_t ioas;
	struct vfio_pin *pins; /* way 3 */
};

/* A part of a BAR in our address space. */
struct vfio_window {
	volatile void *addr;
	void *map;
	size_t map_len;
};

/* All that return int: 0 or bk_err(). */

/*
 * path: the device's folder in sysfs, or its address. physical: a device that no IOMMU stands
 * before is fine.
 */
int vfio_open(struct vfio_device *d, const char *path, bool physical);
void vfio_close(struct vfio_device *d);

static inline bool vfio_is_physical(const struct vfio_device *d)
{
	return d->way == &vfio_physical_way;
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

/* ---- Among the files of this folder ------------------------------------------------------- */

/* vfio_open.c: the name of what a link in the device's folder leads to; "" without such a link. */
void vfio_read_link(const struct vfio_device *d, const char *link, char name[64]);

/* vfio_iommufd.c: there is a way 2, and we may go it. */
bool vfio_has_iommufd(const struct vfio_device *d);

/*
 * vfio_group.c: a group in a container with this kind of IOMMU; sets group and container.
 * node: in /dev/vfio.
 */
int vfio_open_group(struct vfio_device *d, const char *node, unsigned long iommu);
int vfio_open_group_device(struct vfio_device *d);

/* vfio_dma.c. map() and unmap() return an errno value. */
int vfio_map_somewhere(struct vfio_device *d, struct bk_region *region,
		       int (*map)(const struct vfio_device *d, const struct bk_region *region));
void vfio_unmap_there(struct vfio_device *d, const struct bk_region *region,
		      int (*unmap)(const struct vfio_device *d, const struct bk_region *region));
/* The addresses that the IOMMU translates. */
int vfio_init_iova(struct vfio_device *d, const struct iova_range *ranges, size_t n, uint64_t page);

#endif
