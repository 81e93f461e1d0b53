/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Identify data, and how it is asked for: for nvme_ident.c and nvme_namespace.c alone.
 */
#ifndef BK_NVME_IDENT_DATA_H
#define BK_NVME_IDENT_DATA_H

#include <endian.h>

#include "nvme/nvme_ident.h"

#define NVME_BLOCK_SHIFT_MAX 20
#define NVME_PI_SIZE	     8U /* bytes of metadata that are protection information alone */

union nvme_identify_data {
	uint8_t raw[NVME_IDENTIFY_DATA_SIZE];
	struct nvme_id_ctrl ctrl;
	struct nvme_id_ns ns;
	struct nvme_ns_list list;
	struct nvme_id_ctrl_nvm ctrl_nvm;
	struct nvme_zns_id_ns zns_ns;
	struct nvme_zns_id_ctrl zns_ctrl;
};

/* 0, an NVMe status, or a negative errno value. */
int nvme_ask_identify(const struct nvme_admin *a, enum nvme_identify_cns cns, uint32_t nsid,
		      enum nvme_csi csi, union nvme_identify_data *data);

/* 0, or the error that what nvme_ask_identify() returned means. name: of what was asked about. */
int nvme_identify_err(int status, const char *name);

/* The type of protection information, which is within the metadata; 0: none. */
static inline unsigned nvme_protection_of(const struct nvme_id_ns *n,
					  const struct nvme_lbaf *format)
{
	return format->ms ? n->dps & NVME_NS_DPS_PI_MASK : 0;
}

/* The index of the format in use. */
static inline unsigned nvme_format_of(const struct nvme_id_ns *n)
{
	unsigned format = n->flbas & NVME_NS_FLBAS_LOWER_MASK;

	if (n->nlbaf > 15) /* more than these bits can count */
		format |= (n->flbas & NVME_NS_FLBAS_HIGHER_MASK) >> 1;
	return format;
}

#endif
