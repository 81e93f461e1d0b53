/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See virtio_pci_caps.h. */
#include "virtio/virtio_pci_caps.h"

#include <endian.h>
#include <linux/virtio_pci.h>

#define NR_BARS 6

static uint32_t read32(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return le32toh(value);
}

/* What kinds there are is not checked here: unknown ones are to be ignored. */
static bool read_part(const uint8_t config[PCI_CONFIG_LEN], unsigned at, unsigned need,
		      const uint64_t bar_size[NR_BARS], struct vp_part *part)
{
	const uint8_t *cap = config + at;

	if (at + need > PCI_CONFIG_LEN || cap[VIRTIO_PCI_CAP_LEN] < need)
		return false;
	part->bar = cap[VIRTIO_PCI_CAP_BAR];
	part->offset = read32(cap + VIRTIO_PCI_CAP_OFFSET);
	part->len = read32(cap + VIRTIO_PCI_CAP_LENGTH);
	return part->bar < NR_BARS && (uint64_t)part->offset + part->len <= bar_size[part->bar];
}

/* The first that can be used counts (4.1.4.1): the device names the best one first. */
static bool find(const uint8_t config[PCI_CONFIG_LEN], uint8_t type, unsigned need, uint32_t align,
		 uint32_t len, const uint64_t bar_size[NR_BARS], struct vp_part *part,
		 unsigned *where)
{
	struct pci_cap_walk w = pci_cap_begin(config);
	unsigned at;

	while ((at = pci_cap_next(&w, PCI_CAP_ID_VNDR))) {
		if (config[at + VIRTIO_PCI_CAP_CFG_TYPE] == type &&
		    read_part(config, at, need, bar_size, part) && part->len >= len &&
		    part->offset % align == 0) {
			*where = at;
			return true;
		}
	}
	return false;
}

const char *vp_parse(const uint8_t config[PCI_CONFIG_LEN], const uint64_t bar_size[NR_BARS],
		     struct vp_layout *out)
{
	const unsigned len = sizeof(struct virtio_pci_cap);
	unsigned at;

	*out = (struct vp_layout){ 0 };
	if (!find(config, VIRTIO_PCI_CAP_COMMON_CFG, len, 4, VP_COMMON_LEN, bar_size, &out->common,
		  &at))
		return "it has no usable common configuration: is it a legacy device?";
	/* The least that a block device has is its capacity. */
	if (!find(config, VIRTIO_PCI_CAP_DEVICE_CFG, len, 4, sizeof(uint64_t), bar_size,
		  &out->config, &at))
		return "it has no usable device configuration";
	if (!find(config, VIRTIO_PCI_CAP_NOTIFY_CFG, sizeof(struct virtio_pci_notify_cap), 2,
		  sizeof(uint16_t), bar_size, &out->notify, &at))
		return "it has no usable doorbells";
	out->notify_multiplier = read32(config + at + VIRTIO_PCI_NOTIFY_CAP_MULT);
	if (out->notify_multiplier & 1)
		return "its doorbells are not aligned";
	return NULL;
}
