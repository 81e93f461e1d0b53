/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The list of capabilities in a copy of PCI configuration space. The device wrote it, so it may
 * point anywhere and in circles.
 */
#ifndef BK_VFIO_PCI_CAP_H
#define BK_VFIO_PCI_CAP_H

#include <linux/pci_regs.h>

#include "util.h"

#define PCI_CONFIG_LEN 256

/* Of 4 bytes each, behind the header: a list with more has a circle. */
#define PCI_CAPS_MAX ((PCI_CONFIG_LEN - PCI_STD_HEADER_SIZEOF) / 4)

struct pci_cap_walk {
	const uint8_t *config;
	unsigned next, left;
};

static inline struct pci_cap_walk pci_cap_begin(const uint8_t config[PCI_CONFIG_LEN])
{
	bool has_list = config[PCI_STATUS] & PCI_STATUS_CAP_LIST;

	return (struct pci_cap_walk){
		.config = config,
		.next = has_list ? config[PCI_CAPABILITY_LIST] & ~3u : 0,
		.left = PCI_CAPS_MAX,
	};
}

/* The offset of the next capability with this id, 0 at the end. At least 4 bytes are there. */
static inline unsigned pci_cap_next(struct pci_cap_walk *w, uint8_t id)
{
	while (w->next >= PCI_STD_HEADER_SIZEOF && w->left) {
		unsigned at = w->next;

		w->left--;
		w->next = w->config[at + PCI_CAP_LIST_NEXT] & ~3u;
		if (w->config[at + PCI_CAP_LIST_ID] == id)
			return at;
	}
	return 0;
}

#endif
