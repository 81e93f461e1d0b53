/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * nvme-io_uring, the watching thread. A command says how many blocks it transfers, and the kernel
 * maps as many bytes as the buffer has: nobody compares the two. Once another program has formatted
 * the namespace with larger blocks, the controller overruns buffers. The kernel knows the block
 * size, but sends no event when it changes: no uevent, nothing to poll. So this thread looks at
 * what sysfs says, every few milliseconds, and never asks the device, which may be slow to answer.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "nvme/nvme_io_uring.h"

#define WATCH_MS 10

/* Of the block device that belongs to the namespace. Not every kernel has the second. */
static const char *const attributes[NVME_IOU_WATCHED] = {
	"queue/logical_block_size",
	"metadata_bytes",
	"size",
};
#define SIZE	     (NVME_IOU_WATCHED - 1)
#define SECTOR_SHIFT 9 /* of sizes in sysfs */

static bool read_number(int fd, uint64_t *val)
{
	char text[32];
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	*val = strtoull(text, NULL, 10);
	return true;
}

/* The size may change. A format that the kernel cannot use has none. */
static bool lost_size(struct nvme_iou_dev *d, uint64_t sectors)
{
	uint64_t *before = &d->watch.before[SIZE];

	if (!*before || *before == sectors)
		return false;
	*before = sectors;
	if (sectors)
		nvme_resize(&d->ns, sectors >> (d->ns.block_shift - SECTOR_SHIFT));
	return !sectors;
}

static bool has_changed(struct nvme_iou_dev *d)
{
	const struct nvme_iou_watch *w = &d->watch;
	uint64_t now;

	for (int i = 0; i < NVME_IOU_WATCHED; i++) {
		if (!read_number(w->fd[i], &now))
			continue;
		if (i == SIZE ? lost_size(d, now) : now != w->before[i])
			return true;
	}
	return false;
}

static void *watch(void *arg)
{
	struct nvme_iou_dev *d = arg;
	struct pollfd woken;

	while (watcher_sleep(&d->watch.watcher, &woken, 0, WATCH_MS)) {
		if (has_changed(d)) {
			bk_set_gone(&d->u.b, NVME_IOU_CHANGED);
			break;
		}
	}
	return NULL;
}

void nvme_iou_watch_open(struct nvme_iou_dev *d, int ctrl, int ns)
{
	char path[128];

	for (int i = 0; i < NVME_IOU_WATCHED; i++) {
		snprintf(path, sizeof(path), "/sys/class/block/nvme%dn%d/%s", ctrl, ns,
			 attributes[i]);
		d->watch.fd[i] = open(path, O_RDONLY | O_CLOEXEC);
		if (!read_number(d->watch.fd[i], &d->watch.before[i]) && d->watch.fd[i] >= 0) {
			close(d->watch.fd[i]);
			d->watch.fd[i] = -1;
		}
	}
}

void nvme_iou_watch_close(struct nvme_iou_dev *d)
{
	for (int i = 0; i < NVME_IOU_WATCHED; i++) {
		if (d->watch.fd[i] >= 0)
			close(d->watch.fd[i]);
		d->watch.fd[i] = -1;
	}
}

int nvme_iou_run(struct blkio *b)
{
	struct nvme_iou_dev *d = to_nvme_iou_dev(b);

	return watcher_start(&d->watch.watcher, "namespace", watch, d);
}

void nvme_iou_watch_stop(struct nvme_iou_dev *d)
{
	watcher_stop(&d->watch.watcher);
}
