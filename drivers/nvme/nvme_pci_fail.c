/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A controller that can no longer be used: each queue learns of it, also one whose thread sleeps.
 */
#include <sys/eventfd.h>

#include "nvme/nvme_pci.h"

/* ---- Status ------------------------------------------------------------------------------- */

const char *nvme_pci_problem(const struct nvme_pci_dev *d)
{
	uint32_t status = nvme_reg_read32(d->regs, NVME_REG_CSTS);

	if (status == NVME_REG_GONE)
		return "the NVMe controller has been removed";
	if (NVME_CSTS_CFS(status))
		return "the NVMe controller reported a fatal error";
	return NULL;
}

enum bk_drained nvme_pci_has_let_go(const struct nvme_pci_dev *d)
{
	uint32_t status = nvme_reg_read32(d->regs, NVME_REG_CSTS);

	return status == NVME_REG_GONE || !NVME_CSTS_RDY(status) ? BK_QUIET : BK_BUSY;
}

/* ---- Failure ------------------------------------------------------------------------------ */

int nvme_pci_check_alive(const struct nvme_pci_dev *d)
{
	const char *failure = nvme_pci_failure(d);

	return failure ? bk_err(EIO, "the device can no longer be used: %s", failure) : 0;
}

static void wake(struct nvme_pci_dev *d)
{
	for (unsigned i = 0; i < NVME_PCI_QUEUES_MAX; i++) {
		if (d->queues[i])
			eventfd_write(d->queues[i]->call_fd, 1);
	}
}

void nvme_pci_fail(struct nvme_pci_dev *d, const char *msg)
{
	pthread_mutex_lock(&d->wake_lock);
	if (!d->failure) {
		bk_debug("instance %p: the controller can no longer be used: %s", (void *)&d->b,
			 msg);
		bk_trace(fail, &d->b, EIO, msg);
		/* Reset: once CSTS.RDY is 0, it accesses no memory. */
		nvme_reg_write32(d->regs, NVME_REG_CC, 0);
		/* Release: whoever sees it sees the controller abandoned. */
		__atomic_store_n(&d->failure, msg, __ATOMIC_RELEASE);
		wake(d);
	}
	pthread_mutex_unlock(&d->wake_lock);
}
