/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See nvme_ident.h. Here: which namespaces there are, and what has become of the one in use. */
#include <stdio.h>

#include "nvme/nvme_ident_data.h"

/* Is it in the format that nvme_identify() found? That had no metadata within the data. */
static int check_same_format(const struct nvme_ns *ns, const struct nvme_id_ns *n)
{
	const struct nvme_lbaf *format = &n->lbaf[nvme_format_of(n)];
	unsigned metadata = le16toh(format->ms);
	unsigned before = ns->pi ? NVME_PI_SIZE : ns->metadata_size;
	bool elsewhere = !(n->flbas & NVME_NS_FLBAS_META_EXT);

	if (!n->nsze)
		return bk_err(ENODEV, "the namespace is no longer active");
	if (format->ds != ns->block_shift || metadata != before || (metadata && !elsewhere) ||
	    nvme_protection_of(n, format) != ns->pi)
		return bk_err(ENODEV,
			      "the namespace was formatted: its blocks were 2^%u + %u bytes with "
			      "protection information of type %u, and are now 2^%u + %u with type "
			      "%u; create a new instance",
			      ns->block_shift, before, ns->pi, format->ds, metadata,
			      nvme_protection_of(n, format));
	return 0;
}

int nvme_capacity(const struct nvme_admin *a, struct nvme_ns *ns, uint64_t *bytes)
{
	union nvme_identify_data data;
	int ret;

	ret = nvme_identify_err(nvme_ask_identify(a, NVME_IDENTIFY_CNS_NS, ns->nsid, 0, &data),
				"the namespace");
	if (!ret)
		ret = check_same_format(ns, &data.ns);
	if (ret < 0)
		return ret;
	if (le64toh(data.ns.nsze) > (uint64_t)INT64_MAX >> ns->block_shift)
		return bk_err(EINVAL, "the namespace reports an impossible size: %llu blocks",
			      (unsigned long long)le64toh(data.ns.nsze));
	nvme_resize(ns, le64toh(data.ns.nsze));
	*bytes = le64toh(data.ns.nsze) << ns->block_shift;
	return 0;
}

int nvme_list_namespaces(const struct nvme_admin *a, uint32_t after, uint32_t *ids, int max)
{
	union nvme_identify_data data;
	int n = 0, ret;

	ret = nvme_identify_err(
	    nvme_ask_identify(a, NVME_IDENTIFY_CNS_NS_ACTIVE_LIST, after, 0, &data),
	    "the namespaces");
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < ARRAY_SIZE(data.list.ns) && n < max; i++) {
		uint32_t id = le32toh(data.list.ns[i]);

		if (id <= after)
			break;
		ids[n++] = after = id;
	}
	return n;
}

int nvme_describe(const struct nvme_admin *a, uint32_t nsid, char *text, size_t len,
		  uint64_t *bytes)
{
	const struct nvme_lbaf *format;
	union nvme_identify_data data;
	char name[32];
	int ret;

	snprintf(name, sizeof(name), "namespace %u", nsid);
	ret = nvme_identify_err(nvme_ask_identify(a, NVME_IDENTIFY_CNS_NS, nsid, 0, &data), name);
	if (ret < 0)
		return ret;
	format = &data.ns.lbaf[nvme_format_of(&data.ns)];
	if (format->ds > NVME_BLOCK_SHIFT_MAX ||
	    le64toh(data.ns.nsze) > (uint64_t)INT64_MAX >> format->ds)
		return bk_err(EINVAL, "%s reports an impossible size", name);
	*bytes = le64toh(data.ns.nsze) << format->ds;
	ret = snprintf(text, len, "blocks of %u bytes", 1U << format->ds);
	if (format->ms)
		ret += snprintf(text + ret, len - ret, " and %u bytes of metadata",
				le16toh(format->ms));
	if (nvme_protection_of(&data.ns, format))
		snprintf(text + ret, len - ret, ", protection information of type %u",
			 nvme_protection_of(&data.ns, format));
	return 0;
}
