/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * io_uring, the device's side: what only a ring needs to know of a file or block device. The rest
 * is file/.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io_uring_dev.h"

#define SECTOR_SHIFT 9 /* of sysfs */

/* Where sysfs does not say: virt_boundary_mask came with Linux 5.12; NVMe's is this. */
#define UNSPLIT_KIB	      128
#define UNSPLIT_PAGES	      32
#define UNSPLIT_BOUNDARY_MASK 4095

/*
 * O_NONBLOCK makes io_uring try requests at once. For files in memory, which have nothing to wait
 * for, it does not by itself: it hands each to a worker thread, which takes seven times as long
 * (512 B, Linux 6.18). It is only faster: no error where it cannot be had.
 *
 * Once nothing else can fail: closing any descriptor of a file drops the POSIX locks that this
 * process holds on it, so a failed connect must not have opened a given file again.
 */
static void try_at_once(struct iou_dev *d, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (!file_is_in_memory(&d->file, fd) || flags < 0 || (flags & O_NONBLOCK))
		return;
	if (d->u.path)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	else
		d->u.own_fd =
		    file_open_again(fd, flags & (O_ACCMODE | O_DIRECT | O_SYNC | O_NOATIME));
}

/* ---- Limits ------------------------------------------------------------------------------- */

/*
 * What a polled request is cut to, where it must be. A file's place on the disk is known only to be
 * in whole blocks of the file system.
 */
static void unsplit_limits(struct iou_dev *d)
{
	struct iou_unsplit *u = &d->unsplit;
	dev_t dev = d->file.dev;
	struct stat st;
	uint64_t sectors = 0;

	u->block = d->u.b.lim.request_alignment;
	u->physical_block = max_u64(
	    file_block_size_or(file_queue_attr(dev, "physical_block_size", 0), 1), u->block);
	u->bytes = max_u64(file_queue_attr(dev, "max_sectors_kb", UNSPLIT_KIB) << 10, u->block);
	u->pages = max_u64(file_queue_attr(dev, "max_segments", UNSPLIT_PAGES), 1);
	u->boundary_mask = file_queue_attr(dev, "virt_boundary_mask", UNSPLIT_BOUNDARY_MASK);
	u->chunk = file_queue_attr(dev, "chunk_sectors", 0) << SECTOR_SHIFT;
	if (!d->file.is_block_device) {
		if (u->chunk && !fstat(d->u.fd, &st))
			u->chunk = st.st_blksize;
	} else if (file_sysfs_number(dev, "start", &sectors)) {
		u->disk_start = sectors << SECTOR_SHIFT;
	}
}

/* ---- Connect ------------------------------------------------------------------------------ */

int iou_connect(struct blkio *b)
{
	struct iou_dev *d = to_iou_dev(b);
	int ret = file_connect(b, &d->file, d->u.path, &d->u.fd);

	if (ret < 0)
		return ret;
	/* Polling bypasses the page cache, so only O_DIRECT I/O is ever polled. */
	b->lim.supports_poll_queues =
	    d->file.direct && file_queue_attr(d->file.dev, "io_poll", 0) == 1;
	unsplit_limits(d);
	try_at_once(d, d->u.fd);
	return 0;
}

int iou_check_blocks(struct blkio *b)
{
	const struct iou_dev *d = to_iou_dev(b);

	return file_check_blocks(b, &d->file, d->u.fd);
}

int iou_capacity(struct blkio *b, uint64_t *bytes)
{
	const struct iou_dev *d = to_iou_dev(b);

	return file_capacity(b, &d->file, d->u.fd, bytes);
}
