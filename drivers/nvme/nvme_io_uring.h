/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the files of the nvme-io_uring driver share. */
#ifndef BK_NVME_IO_URING_H
#define BK_NVME_IO_URING_H

#include <linux/nvme_ioctl.h>

#include "common/watcher.h"
#include "nvme/nvme_ident.h"
#include "uring/dev.h"

#define NVME_IOU_WATCHED 3

struct nvme_iou_dev {
	struct uring_dev u;
	struct nvme_ns ns;
	/*
	 * Where the namespace has metadata: all commands write this many zeroes, and read what
	 * nobody looks at.
	 */
	void *metadata_zeroes, *metadata_sink;
	/* What shows that the namespace was formatted: nvme_io_uring_watch.c */
	struct nvme_iou_watch {
		int fd[NVME_IOU_WATCHED]; /* attributes in sysfs; -1: none */
		uint64_t before[NVME_IOU_WATCHED];
		struct watcher watcher;
	} watch;
};

#define NVME_IOU_CHANGED                                                                           \
	"the NVMe namespace was removed, or formatted with another block size: create a new "      \
	"instance"

static inline struct nvme_iou_dev *to_nvme_iou_dev(struct blkio *b)
{
	return container_of(b, struct nvme_iou_dev, u.b);
}

/* nvme_io_uring_dev.c */

int nvme_iou_connect(struct blkio *b);
void nvme_iou_close(struct blkio *b);
int nvme_iou_capacity(struct blkio *b, uint64_t *bytes);

/* nvme_io_uring_watch.c: note what is there at connect; watch it once started. */

void nvme_iou_watch_open(struct nvme_iou_dev *d, int ctrl, int ns);
void nvme_iou_watch_close(struct nvme_iou_dev *d);
int nvme_iou_run(struct blkio *b);
void nvme_iou_watch_stop(struct nvme_iou_dev *d);

/* ---- Entries ------------------------------------------------------------------------------ */

/* A large submission entry: what the kernel calls struct nvme_uring_cmd begins at sqe.cmd. */
struct nvme_iou_entry {
	struct io_uring_sqe sqe;
	uint8_t rest[64];
} __attribute__((may_alias));

/* In it, the data pointer is an address and lengths: of data in bytes or, vectored, in segments. */
struct nvme_iou_data {
	uint64_t addr;
	uint32_t metadata_len, data_len;
};

#define SAME_OFFSET(theirs, ours)                                                                  \
	_Static_assert(offsetof(struct nvme_uring_cmd, theirs) == (ours), "the same command")
SAME_OFFSET(nsid, offsetof(struct nvme_cmd, nsid));
SAME_OFFSET(metadata, offsetof(struct nvme_cmd, mptr));
SAME_OFFSET(addr, offsetof(struct nvme_cmd, dptr) + offsetof(struct nvme_iou_data, addr));
SAME_OFFSET(data_len, offsetof(struct nvme_cmd, dptr) + offsetof(struct nvme_iou_data, data_len));
SAME_OFFSET(cdw10, offsetof(struct nvme_cmd, cdw10));
SAME_OFFSET(timeout_ms, sizeof(struct nvme_cmd));
#undef SAME_OFFSET

static inline struct nvme_cmd *nvme_iou_cmd(struct io_uring_sqe *sqe)
{
	return (void *)sqe->cmd;
}

/* Make sqe a passthrough command; returns the NVMe command in it, all zeroes. */
static inline struct nvme_cmd *nvme_iou_prep(struct io_uring_sqe *sqe, int fd, uint8_t sqe_flags,
					     void *cookie)
{
	*(struct nvme_iou_entry *)sqe = (struct nvme_iou_entry){ 0 };
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->flags = sqe_flags;
	sqe->fd = fd;
	sqe->cmd_op = NVME_URING_CMD_IO;
	sqe->user_data = (uintptr_t)cookie;
	return nvme_iou_cmd(sqe);
}

static inline void nvme_iou_set_data(struct nvme_cmd *cmd, const void *addr, uint32_t len)
{
	const struct nvme_iou_data data = { .addr = (uintptr_t)addr, .data_len = len };

	memcpy(cmd->dptr, &data, sizeof(data));
}

/* Where the namespace has metadata, next: what comes with the data of so many blocks. */
static inline void nvme_iou_set_metadata(const struct nvme_iou_dev *d, struct nvme_cmd *cmd,
					 uint64_t nr_blocks)
{
	struct nvme_iou_data data;

	if (likely(!d->ns.metadata_size))
		return;
	memcpy(&data, cmd->dptr, sizeof(data));
	data.metadata_len = (uint32_t)nr_blocks * d->ns.metadata_size;
	memcpy(cmd->dptr, &data, sizeof(data));
	cmd->mptr =
	    (uintptr_t)(cmd->opcode == nvme_cmd_read ? d->metadata_sink : d->metadata_zeroes);
}

#endif
