/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What an NVMe controller on PCI and its namespace can do: limits. */
#include <stdio.h>

#include "nvme/nvme_pci.h"

#define QUEUE_SIZE_DEFAULT 256

static const char changed[] = "the NVMe namespace was removed, or formatted with another block "
			      "size: create a new instance";

void nvme_pci_init(struct nvme_pci_dev *d)
{
	struct bk_limits *l = &d->b.lim;

	d->queue_size = QUEUE_SIZE_DEFAULT;
	d->max_queue_size = NVME_PCI_QUEUE_SIZE_MAX;
	for (unsigned i = 0; i < NVME_PCI_WATCHED; i++)
		d->watched[i].fd = -1;
	pthread_mutex_init(&d->wake_lock, NULL);
	pthread_mutex_init(&d->admin_lock, NULL);
	l->supports_fua_natively = true;
	l->supports_poll_queues = true;
	l->needs_mem_regions = true;
	l->may_pin_mem_regions = true;
}

static int find_namespace(struct nvme_pci_dev *d, const char *name, uint32_t *nsid)
{
	const struct nvme_pci_admin admin = nvme_pci_admin(d, NVME_PCI_CALL);
	int n;

	if (*nsid)
		return 0;
	n = nvme_list_namespaces(&admin.a, 0, nsid, 1);
	if (n < 0)
		return n;
	return n ? 0 : bk_err(ENODEV, "NVMe controller %s has no active namespace", name);
}

/* For how many I/O queues there are doorbells; the admin queue has the first pair. */
static unsigned count_doorbells(const struct nvme_pci_dev *d)
{
	uint64_t pairs = (d->regs_len - NVME_REG_DOORBELLS) / (2 * NVME_STRIDE(d->cap));

	return min_u64(pairs, NVME_PCI_QUEUES_MAX + 1) - 1;
}

static int find_queues(struct nvme_pci_dev *d, const char *name)
{
	unsigned n = count_doorbells(d);
	int ret;

	if (!n)
		return bk_err(EPROTO, "NVMe controller %s has no doorbells for I/O queues", name);
	ret = nvme_pci_count_queues(d, n, &n);
	if (ret < 0)
		return ret;
	d->b.lim.max_queues = n;
	d->max_queue_size = min_u64(NVME_CAP_MQES(d->cap) + 1, NVME_PCI_QUEUE_SIZE_MAX);
	d->queue_size = min_u64(d->queue_size, d->max_queue_size);
	return 0;
}

int nvme_pci_find_limits(struct nvme_pci_dev *d, uint32_t nsid, const char *name)
{
	const struct nvme_pci_admin admin = nvme_pci_admin(d, NVME_PCI_CALL);
	char what[96];
	int ret = find_namespace(d, name, &nsid);

	if (ret < 0)
		return ret;
	snprintf(what, sizeof(what), "namespace %u of NVMe controller %s", nsid, name);
	ret = nvme_identify(&admin.a, nsid, what, &d->ns, &d->b.lim);
	if (ret < 0)
		return ret;
	nvme_limit_transfer(&d->ns, &d->b.lim, NVME_PRP_MAX);
	/* What is longer, or what one command cannot describe, takes several. */
	d->b.lim.takes_long_requests = true;
	return find_queues(d, name);
}

int nvme_pci_check_namespace(struct nvme_pci_dev *d, enum nvme_pci_asker asker, uint64_t *bytes)
{
	const struct nvme_pci_admin admin = nvme_pci_admin(d, asker);
	int ret = nvme_capacity(&admin.a, &d->ns, bytes);

	if (ret == -ENODEV)
		bk_set_gone(&d->b, changed);
	return ret;
}

int nvme_pci_capacity(struct blkio *b, uint64_t *bytes)
{
	return nvme_pci_check_namespace(to_nvme_pci_dev(b), NVME_PCI_CALL, bytes);
}

int nvme_pci_check_queue_size(struct blkio *b, const struct bk_prop *p, const union bk_val *val)
{
	const struct nvme_pci_dev *d = to_nvme_pci_dev(b);

	if (val->i < 2 || val->i > d->max_queue_size)
		return bk_err(EINVAL,
			      "property \"%s\" must be from 2 to %d (max-queue-size), got %d",
			      p->name, d->max_queue_size, val->i);
	return 0;
}

/* ---- What there is ------------------------------------------------------------------------ */

static int add_namespace(struct nvme_pci_dev *d, uint32_t nsid, struct bk_exports *x)
{
	const struct nvme_pci_admin admin = nvme_pci_admin(d, NVME_PCI_CALL);
	char name[16], text[128];
	uint64_t bytes;
	int len = snprintf(name, sizeof(name), "%u", nsid);
	int ret = nvme_describe(&admin.a, nsid, text, sizeof(text), &bytes);

	if (!ret)
		ret = bk_export_add(x, name, len, text, strlen(text));
	if (!ret)
		x->e[x->n - 1].size = bytes;
	return ret;
}

int nvme_pci_list(struct nvme_pci_dev *d, struct bk_exports *x)
{
	const struct nvme_pci_admin admin = nvme_pci_admin(d, NVME_PCI_CALL);
	uint32_t nsid = 0;
	int n, ret = 0;

	while (!ret && (n = nvme_list_namespaces(&admin.a, nsid, &nsid, 1)))
		ret = n < 0 ? n : add_namespace(d, nsid, x);
	return ret;
}

int nvme_pci_get_model(struct blkio *b, union bk_val *val)
{
	val->s = to_nvme_pci_dev(b)->ns.product.model;
	return 0;
}

int nvme_pci_get_serial(struct blkio *b, union bk_val *val)
{
	val->s = to_nvme_pci_dev(b)->ns.product.serial;
	return 0;
}

int nvme_pci_get_firmware(struct blkio *b, union bk_val *val)
{
	val->s = to_nvme_pci_dev(b)->ns.product.firmware;
	return 0;
}

int nvme_pci_get_formats(struct blkio *b, union bk_val *val)
{
	val->s = to_nvme_pci_dev(b)->ns.formats;
	return 0;
}

int nvme_pci_get_power_state(struct blkio *b, union bk_val *val)
{
	uint32_t state;
	int ret = nvme_pci_get_feature(to_nvme_pci_dev(b), NVME_FEAT_FID_POWER_MGMT, &state);

	if (!ret)
		val->i = state & 0x1f;
	return ret;
}

int nvme_pci_get_protection(struct blkio *b, union bk_val *val)
{
	val->i = to_nvme_pci_dev(b)->ns.pi;
	return 0;
}
