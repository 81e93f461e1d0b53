/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What an NVMe controller reports without being asked (Base, 5.2): it completes a command that
 * otherwise stays in the admin queue.
 */
#include "nvme/nvme_pci.h"

#define LOG_LEN 64 /* of any log: reading its beginning is enough to be told of more */

static void ask(struct nvme_pci_dev *d)
{
	const struct nvme_cmd c = { .opcode = nvme_admin_async_event };

	nvme_pci_send(d, NVME_PCI_EVENT, &c);
}

int nvme_pci_ask_for_events(struct nvme_pci_dev *d)
{
	int ret;

	if (d->commands[NVME_PCI_EVENT].pending) /* since an earlier blkio_start(), which failed */
		return 0;
	/* Errors are reported always. */
	ret = nvme_pci_set_feature(d, NVME_FEAT_FID_ASYNC_EVENT,
				   d->ns.reports_changes ? NVME_CTRL_OAES_NA : 0, NULL);
	if (ret < 0)
		return ret;
	if (ret)
		bk_debug("instance %p: the controller reports no events: status %#x", (void *)&d->b,
			 ret);
	d->asked_for_events = !ret;
	if (!ret)
		ask(d);
	return 0;
}

/* The controller reports no more events of this kind until the log is read. */
static int read_log(struct nvme_pci_dev *d, unsigned log)
{
	const struct nvme_pci_admin admin = nvme_pci_admin(d, NVME_PCI_WATCHER);
	uint32_t len = log == NVME_LOG_LID_CHANGED_NS ? NVME_PAGE : LOG_LEN;
	const struct nvme_cmd c = {
		.opcode = nvme_admin_get_log_page,
		.nsid = NVME_NSID_ALL,
		.cdw10 = log | (len / 4 - 1) << 16,
	};
	char unused[LOG_LEN];

	return admin.a.read(&admin.a, &c, unused, sizeof(unused));
}

static void handle(struct nvme_pci_dev *d, unsigned type, unsigned info, unsigned log)
{
	uint64_t bytes;

	bk_debug("instance %p: the controller reports event %u, %#x, log %#x", (void *)&d->b, type,
		 info, log);
	if (type == NVME_AER_ERROR && info == NVME_AER_ERROR_PERSISTENT_INTERNAL_ERROR) {
		nvme_pci_fail(d, "the NVMe controller reported a persistent internal error");
		return;
	}
	/* First: what changes after the log is read is reported again. */
	if (read_log(d, log) < 0)
		return;
	if (type == NVME_AER_NOTICE && info == NVME_AER_NOTICE_NS_CHANGED)
		nvme_pci_check_namespace(d, NVME_PCI_WATCHER, &bytes);
}

void nvme_pci_handle_events(struct nvme_pci_dev *d)
{
	struct nvme_pci_command c;

	if (!d->asked_for_events || !nvme_pci_answered(d, NVME_PCI_EVENT, &c))
		return;
	if (c.status) {
		d->asked_for_events = false;
		return;
	}
	handle(d, c.result & 7, c.result >> 8 & 0xff, c.result >> 16 & 0xff);
	if (!nvme_pci_failure(d) && !watcher_ends(&d->watcher))
		ask(d);
}
