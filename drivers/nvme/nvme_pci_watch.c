/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The watching thread of an NVMe controller: it notices failure, handles what the controller
 * reports, and passes on the interrupts of a vector that several queues share.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "nvme/nvme_pci.h"

/* A controller that has a fatal error signals nothing. */
#define LOOK_MS 1000

static bool has_signal(const struct pollfd *p)
{
	eventfd_t count;

	return p->revents && !eventfd_read(p->fd, &count);
}

/* All of them: only its own thread may tell whether a queue has completions. */
static void relay(struct nvme_pci_dev *d, unsigned vector)
{
	pthread_mutex_lock(&d->wake_lock);
	for (unsigned i = 0; i < NVME_PCI_QUEUES_MAX; i++) {
		const struct nvme_pci_queue *q = d->queues[i];

		if (q && q->vector == (int)vector && nvme_pci_shares(d, vector))
			eventfd_write(q->call_fd, 1);
	}
	pthread_mutex_unlock(&d->wake_lock);
}

/* NULL: go on. */
static const char *problem(const struct nvme_pci_dev *d, const struct pollfd *fds)
{
	for (unsigned i = 0; i < NVME_PCI_EVENTS; i++) {
		if (fds[i].revents)
			return d->event_texts[i];
	}
	return nvme_pci_problem(d);
}

static void *watch(void *arg)
{
	struct nvme_pci_dev *d = arg;
	struct pollfd fds[NVME_PCI_WATCHED + 1];

	for (;;) {
		const char *failure;

		memcpy(fds, d->watched, sizeof(d->watched));
		if (!watcher_sleep(&d->watcher, fds, NVME_PCI_WATCHED, LOOK_MS))
			return NULL;
		failure = problem(d, fds);
		if (failure)
			nvme_pci_fail(d, failure);
		if (nvme_pci_failure(d))
			return NULL;
		if (has_signal(&fds[NVME_PCI_SHARED]))
			relay(d, d->nr_vectors - 1);
		if (has_signal(&fds[NVME_PCI_ADMIN]))
			relay(d, 0);
		nvme_pci_handle_events(d);
	}
}

static int watch_vector(struct nvme_pci_dev *d, unsigned watched, unsigned vector)
{
	struct pollfd *p = &d->watched[watched];

	if (p->fd < 0)
		*p = (struct pollfd){ eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), POLLIN, 0 };
	if (p->fd < 0)
		return bk_err(errno, "cannot watch the controller: eventfd: %m");
	return d->set_vector(d, vector, p->fd);
}

int nvme_pci_watch_start(struct nvme_pci_dev *d)
{
	unsigned last = d->nr_vectors - 1;
	int ret = 0;

	if (d->nr_vectors)
		ret = watch_vector(d, NVME_PCI_ADMIN, 0);
	if (!ret && last && nvme_pci_shares(d, last))
		ret = watch_vector(d, NVME_PCI_SHARED, last);
	if (!ret)
		ret = nvme_pci_ask_for_events(d);
	return ret < 0 ? ret : watcher_start(&d->watcher, "controller", watch, d);
}

void nvme_pci_watch_stop(struct nvme_pci_dev *d)
{
	watcher_stop(&d->watcher);
	for (unsigned i = NVME_PCI_EVENTS; i < NVME_PCI_WATCHED; i++) {
		if (d->watched[i].fd >= 0)
			close(d->watched[i].fd);
		d->watched[i].fd = -1;
	}
}
