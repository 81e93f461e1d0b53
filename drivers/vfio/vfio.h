/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A PCI device that the kernel lends to this process through VFIO: its configuration space, BARs,
 * interrupts and reset, and the memory that it can reach, behind an IOMMU (container, type 1 v2).
 * What the device is, only the driver on top knows.
 *
 *	vfio_open.c   from a path to an open device
 *	vfio_pci.c    configuration space, BARs, interrupts
 *	vfio_dma.c    memory
 *	iova.[ch]     addresses for it
 *	pci_cap.h     lists of capabilities
 */
#ifndef BK_VFIO_VFIO_H
#define BK_VFIO_VFIO_H

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "driver.h"
#include "vfio/iova.h"

#define VFIO_NR_BARS 6

struct vfio_device {
	char address[16]; /* such as 0000:01:00.0 */
	int container, group, device;
	uint64_t config_offset; /* of configuration space in the device fd */
	struct iova_space iova;
	uint64_t max_mappings;
};

/* A part of a BAR in our address space. */
struct vfio_window {
	volatile void *addr;
	void *map;
	size_t map_len;
};

/* All that return int: 0 or bk_err(). */

/* path: the device's folder in sysfs, or its address. */
int vfio_open(struct vfio_device *d, const char *path);
void vfio_close(struct vfio_device *d);

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

/* Map region->len bytes at region->addr for the device; sets region->iova. */
int vfio_map(struct vfio_device *d, struct bk_region *region);
void vfio_unmap(struct vfio_device *d, const struct bk_region *region);

/* For vfio_open(). */
int vfio_open_dma(struct vfio_device *d);

#endif
