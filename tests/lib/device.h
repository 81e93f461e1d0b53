/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Targets: the kinds of device the API tests run on. A target is one entry of the table in
 * device.c; cases choose by trait, never by name, so a new driver joins all of them by one entry.
 */
#ifndef TEST_DEVICE_H
#define TEST_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "blkio.h"
#include "nvme_target.h"
#include "qsd.h"
#include "tgt.h"

enum {
	T_ANY = 1 << 0,	       /* every target */
	T_STORES = 1 << 1,     /* reads give back what was written */
	T_FILE = 1 << 2,       /* a regular file: grows, reads zeroes past its end */
	T_BLOCK = 1 << 3,      /* a block device */
	T_PATH = 1 << 4,       /* opened by "path" or "fd" */
	T_DIRECT = 1 << 5,     /* has the property "direct", set */
	T_IO_URING = 1 << 6,   /* the io_uring driver */
	T_KERNEL = 1 << 18,    /* a file or block device of the kernel's, by "path" or "fd" */
	T_ALIGNED = 1 << 10,   /* "request-alignment" and "buf-alignment" are above 1 */
	T_ADD_QUEUES = 1 << 7, /* "can-add-queues" */
	T_DISCARDS = 1 << 8,   /* discard really gives the space back */
	T_OFFLOADS =
	    1 << 9, /* writes run in a kernel thread: a page fault there delays nobody else */
	T_REGIONS = 1 << 11,	/* "needs-mem-regions": buffer() comes from one */
	T_EXCLUSIVE = 1 << 12,	/* one instance at a time */
	T_VHOST_USER = 1 << 13, /* the virtio-blk-vhost-user driver */
	T_VIRTIO = 1 << 14,	/* one of the virtio-blk drivers */
	T_SLOW = 1 << 16,  /* answers after SLOW_MS, reads with zeroes; no other trait but T_PATH */
	T_HOLDS = 1 << 17, /* requests can be held in flight: promises/hold.h */
	T_SERVER = 1 << 20,   /* a server that the test started, struct device.server */
	T_NBD = 1 << 19,      /* the nbd driver */
	T_PLAIN = 1 << 29,    /* without io_uring; what does not depend on that goes without */
	T_NETWORK = 1 << 23,  /* nbd, iscsi, nvme-tcp: the server can always be made to let go */
	T_ISCSI = 1 << 24,    /* the iscsi driver */
	T_NVME_TCP = 1 << 26, /* the nvme-tcp driver, and the target of nvme_target.h */
	T_URI = 1 << 25,      /* opened by "uri" */
	T_BLOCKS = 1 << 27,   /* "request-alignment" is above 1, and "buf-alignment" is not */
	T_STATUS = 1 << 21,   /* blkioq_block_status() */
	T_LATE = 1 << 22,     /* the device may signal a completion fd that was just switched off */
	T_VRINGS = 1 << 28,   /* queue passthrough */
	T_VDUSE = 1 << 15, /* libvduse drops what requests in flight need when a mapping changes */
};

#define DEVICE_SIZE (4u << 20)
#define SLOW_MS	    400

struct device;

struct target {
	const char *name;
	const char *driver;
	unsigned traits;
	/* Make the scratch device, DEVICE_SIZE bytes of zeroes; skips when it cannot. */
	void (*make)(struct device *d);
	unsigned block_size; /* of a T_BLOCK target */
	const char *env;     /* not NULL: only where this names the device to use */
};

struct device {
	const struct target *target;
	const char *driver;
	char path[4096];    /* for the property; "" without T_PATH and T_URI */
	char storage[4096]; /* what peek() and poke() open */
	char backing[4096]; /* the regular file at the bottom */
	int nsid;	    /* for the property; 0: not set */
	bool has_digests;   /* property "digests" is "both" */
	int loop_fd;	    /* keeps a loop device alive; -1 */
	struct qsd server;
	/* of T_ISCSI, or T_NVME_TCP; server.pid is its */
	struct tgt tgt;
	struct nvme_target nvme;
};

extern const struct target targets[]; /* ends with a NULL name */

struct device *device_new(const struct target *target);
void device_free(struct device *d);

/* An instance for the device: created with the path set, connected, or started. */
struct blkio *device_create(struct device *d);
struct blkio *device_connect(struct device *d);
struct blkio *device_start(struct device *d);
/* The same with one more property set when it can be. */
struct blkio *device_start_with(struct device *d, const char *prop, const char *value);
/* Of a T_KERNEL target: with room for n requests at a time, fewer than the test has. */
struct blkio *device_start_narrow(struct device *d, int n);

/* Of a target with a server: kill it, if it lives, and start it again with the same file. */
void device_restart_server(struct device *d);

/* Read or write the device's data behind the library's back; the library must be idle. */
void device_peek(struct device *d, uint64_t start, void *buf, size_t len);
void device_poke(struct device *d, uint64_t start, const void *buf, size_t len);
/* Bytes allocated to the device on its file system. */
uint64_t device_allocated(struct device *d);

int get_int(struct blkio *b, const char *name);
bool get_bool(struct blkio *b, const char *name);
uint64_t get_u64(struct blkio *b, const char *name);

#endif
