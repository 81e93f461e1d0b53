/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where a virtio PCI device has its registers (virtio 1.2, 4.1.4): read from a copy of its
 * configuration space, which is checked. Pure: knows no VFIO.
 */
#ifndef BK_VIRTIO_PCI_CAPS_H
#define BK_VIRTIO_PCI_CAPS_H

#include "vfio/pci_cap.h"

struct vp_part {
	unsigned bar;
	uint32_t offset, len; /* within the BAR */
};

struct vp_layout {
	struct vp_part common, notify, config;
	uint32_t notify_multiplier;
};

/* Of the common configuration, up to and with the addresses of a queue's rings. */
#define VP_COMMON_LEN 56

/*
 * bar_size: 0 for those that cannot be used. NULL when all is there, otherwise what is wrong with
 * the device: static text.
 */
const char *vp_parse(const uint8_t config[PCI_CONFIG_LEN], const uint64_t bar_size[6],
		     struct vp_layout *out);

#endif
