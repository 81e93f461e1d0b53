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
#include "qsd.h"

enum {
	T_ANY = 1 << 0,	       /* every target */
	T_STORES = 1 << 1,     /* reads give back what was written */
	T_FILE = 1 << 2,       /* a regular file: grows, reads zeroes past its end */
	T_BLOCK = 1 << 3,      /* a block device */
	T_PATH = 1 << 4,       /* opened by "path" or "fd" */
	T_DIRECT = 1 << 5,     /* has the property "direct", set */
	T_IO_URING = 1 << 6,   /* the io_uring driver */
	T_ALIGNED = 1 << 10,   /* "request-alignment" and "buf-alignment" are above 1 */
	T_ADD_QUEUES = 1 << 7, /* "can-add-queues" */
	T_DISCARDS = 1 << 8,   /* discard really gives the space back */
	T_OFFLOADS =
	    1 << 9, /* writes run in a kernel thread: a page fault there delays nobody else */
	T_REGIONS = 1 << 11,	/* "needs-mem-regions": buffer() comes from one */
	T_EXCLUSIVE = 1 << 12,	/* one instance at a time */
	T_VHOST_USER = 1 << 13, /* the virtio-blk-vhost-user driver */
	T_VIRTIO = 1 << 14,	/* one of the virtio-blk drivers */
	T_VDUSE = 1 << 15, /* libvduse drops what requests in flight need when a mapping changes */
};

#define DEVICE_SIZE (4u << 20)

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
	char path[4096];    /* for the property; "" without T_PATH */
	char storage[4096]; /* what peek() and poke() open */
	char backing[4096]; /* the regular file at the bottom */
	int loop_fd;	    /* keeps a loop device alive; -1 */
	struct qsd server;
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

/* Read or write the device's data behind the library's back; the library must be idle. */
void device_peek(struct device *d, uint64_t start, void *buf, size_t len);
void device_poke(struct device *d, uint64_t start, const void *buf, size_t len);
/* Bytes allocated to the device on its file system. */
uint64_t device_allocated(struct device *d);

int get_int(struct blkio *b, const char *name);
bool get_bool(struct blkio *b, const char *name);
uint64_t get_u64(struct blkio *b, const char *name);

#endif
