/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libblkio - block device I/O library. The only public header.
 *
 * An instance (struct blkio) goes through three states:
 *
 *     blkio_create() -> CREATED -> blkio_connect() -> CONNECTED -> blkio_start() -> STARTED
 *
 * In state created, set the properties that select the device (usually "path" or "fd"). In state
 * connected, set those that configure its use ("num-queues", ...). In state started, do I/O on
 * queues (struct blkioq).
 *
 * Conventions of this header
 *   errors   Functions that return int return 0 (or a count or index, where documented) or a
 *            negative errno value; blkio_get_error_msg() then describes the error. A failed call
 *            changes nothing: correct the cause and call again. Passing NULL where a pointer is
 *            required gives -EINVAL.
 *   units    Offsets, lengths and alignments are in bytes.
 *   threads  blkio_*() calls on one instance must not overlap in time, except for blkio_cancel().
 *            Memory regions may be mapped and unmapped while other threads use queues. blkioq_*()
 *            calls on one queue must not overlap. Different queues, and different instances, are
 *            independent and share no lock that is held while a thread waits.
 *   change   The size of a device may change at any time. If its block size or its limits have
 *            changed since blkio_connect(), the instance can no longer be used: every further
 *            request, "capacity" and new queues fail with -ENODEV. Destroy it and create another.
 *   fork     An instance belongs to the parent, even with requests in flight. The child must not
 *            make any call on it, not even blkio_destroy(); it may create its own. execve() closes
 *            everything.
 */
#ifndef BLKIO_H
#define BLKIO_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/select.h> /* sigset_t, also with -std=c11 */
#include <sys/uio.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

struct blkio;
struct blkioq;
struct blkio_mem_region;

/* ---- Errors ------------------------------------------------------------------------------- */

/**
 * The message of the last failed call in this thread; "" before the first failure, never NULL.
 * Successful calls do not change it. It is valid until the next failing call in the same thread.
 */
const char *blkio_get_error_msg(void);

/* ---- Lifecycle ---------------------------------------------------------------------------- */

/**
 * Create an instance of the named driver, in state created, and store it in *bp.
 * -ENOENT: no such driver; -EINVAL: the name is not UTF-8, or an argument is NULL; -ENOMEM. *bp is
 * NULL on failure.
 */
int blkio_create(const char *driver, struct blkio **bp);

/**
 * Open the device: created -> connected. Returns 0 at once if already connected.
 * -EINVAL: "path" and "fd" are both unset or both set; -EBUSY: already started; otherwise the error
 * from the device.
 *
 * The library owns "fd" once this call has succeeded; after a failure it still belongs to the
 * caller. The file status flags of "fd" decide what it can be used for, and do not change. Requests
 * that it was not opened for complete with -EBADF. With io_uring, "read-only" and "direct" have no
 * effect on "fd"; after blkio_connect() they show how it was opened. As with any close(2), the
 * process loses its POSIX record locks on the file when the library closes its descriptor.
 */
int blkio_connect(struct blkio *b);

/**
 * Create the queues, allocate all memory that the library itself needs for I/O, and make the device
 * ready: connected -> started. Returns 0 at once if already started. -ENODEV: not connected;
 * -EINVAL: a property has an impossible value; -ENOMEM.
 */
int blkio_start(struct blkio *b);

/**
 * Release *bp with its queues, memory regions and descriptors, and set *bp to NULL. bp and *bp may
 * be NULL. Valid in every state. No other call on the instance or its queues may be in progress.
 *
 * Requests that were not submitted are dropped. The call waits for those in flight, so that their
 * buffers may be freed afterwards. It takes at most 5 seconds, and 0.1 more for the last answers of
 * a server that is silent, regardless of the number of queues and of signals; towards the end, it
 * cancels the requests that can be cancelled. A device that has not answered by then may still
 * access the buffers. To learn whether it may, call blkio_drain() first. Memory that the library
 * allocated is not freed if such a device may still access it.
 */
void blkio_destroy(struct blkio **bp);

/*
 * Not in libblkio: BLKIO_HAS_DRAIN tells that this header declares it.
 */
#define BLKIO_HAS_DRAIN 1

/**
 * End all requests, as blkio_destroy() does. Returns 0 once nothing can access the memory of
 * requests any more. Returns -ETIME when the timeout has expired, or at once if the device is known
 * never to release that memory. After -ETIME, call it again or keep the memory.
 *
 * If timeout is NULL, it waits as long as it takes. Otherwise timeout is updated to the time left.
 * After nine tenths of the time, it cancels the requests that can be cancelled, and resets a virtio
 * device.
 *
 * Valid in any state; before blkio_start() there is nothing to end. Any thread may call it, while
 * no other call on the instance or its queues is in progress. Whatever it returned, the instance
 * can afterwards only be destroyed and its completions be collected: blkioq_do_io() still returns
 * them, with -ECANCELED for requests that were cancelled, not submitted, or queued since. An
 * enabled completion fd is readable while there are any.
 */
int blkio_drain(struct blkio *b, struct timespec *timeout);

/*
 * Not in libblkio: BLKIO_HAS_CANCEL tells that this header declares it.
 */
#define BLKIO_HAS_CANCEL 1

/**
 * Let the blkio_*() call that is in progress on the instance fail soon with -ECANCELED, if it waits
 * for the device or for a server. This is the one call that may overlap with others on the
 * instance: any thread, and a signal handler, may make it, but not during or after blkio_destroy(),
 * which begins by setting the pointer that it is given to NULL. If no call is in progress, or if it
 * finishes without waiting, nothing happens.
 *
 * The state of the instance is as before the cancelled call. But a vhost-user server that still
 * owes an answer can no longer be talked to: unless blkio_connect() was cancelled, the device then
 * fails as if it had closed the connection. After a cancelled blkio_drain() or
 * blkio_remove_queue(), requests may still access their memory, as after -ETIME. blkio_destroy()
 * cannot be cancelled, nor can a system call that waits within the kernel, such as opening a file
 * on a file system that does not answer.
 */
void blkio_cancel(struct blkio *b);

/*
 * Not in libblkio: BLKIO_HAS_ASYNC_CONTROL tells that this header declares them.
 */
#define BLKIO_HAS_ASYNC_CONTROL 1

/**
 * Start the blkio_*() call of the same name and return 0; a thread of the library, which blocks all
 * signals, makes the call. Check blkio_control_result() when blkio_get_control_fd() is readable.
 * The errors of the call itself are its result; these fail only with -EBUSY, see below, or when
 * there is no thread or descriptor for the call.
 *
 * Until the result is collected, every other blkio_*() call on the instance fails with -EBUSY, with
 * these exceptions: blkio_cancel(), blkio_get_control_fd() and blkio_control_result();
 * blkio_unmap_mem_region() and blkio_free_mem_region(), which wait until the call is over;
 * blkio_destroy(), which cancels it; and blkio_get_queue() and blkio_get_poll_queue(), which return
 * NULL while queues are created or removed. Queues that exist can be used meanwhile, unless they
 * are being removed. The region is copied; the memory must stay valid.
 */
int blkio_connect_async(struct blkio *b);
int blkio_start_async(struct blkio *b);
int blkio_map_mem_region_async(struct blkio *b, const struct blkio_mem_region *region);
int blkio_unmap_mem_region_async(struct blkio *b, const struct blkio_mem_region *region);
int blkio_add_queue_async(struct blkio *b);
int blkio_add_poll_queue_async(struct blkio *b);
int blkio_remove_queue_async(struct blkio *b, int index);
int blkio_remove_poll_queue_async(struct blkio *b, int index);

/**
 * blkio_destroy() on a thread of the library. *bp is NULL afterwards, and *fd a descriptor that is
 * readable when the instance is gone; the caller closes it then. On failure, when there is no
 * thread or descriptor for it, the instance still exists.
 */
int blkio_destroy_async(struct blkio **bp, int *fd);

/**
 * An eventfd that is readable from when an asynchronous call is over until its result is collected.
 * Do not read from it. It belongs to the instance.
 */
int blkio_get_control_fd(struct blkio *b);

/**
 * Collect the result of the asynchronous call: what the synchronous call would have returned, and
 * on failure its message, which becomes that of this thread. -EINPROGRESS: it is not over;
 * -EINVAL: there is none.
 */
int blkio_control_result(struct blkio *b);

/*
 * Not in libblkio: BLKIO_HAS_LIST_EXPORTS tells that this header declares it.
 */
#define BLKIO_HAS_LIST_EXPORTS 1

/** What a server offers under a name. */
struct blkio_export {
	const char *name;	 /* for the property "export" */
	const char *description; /* text for humans, without control characters; often "" */
	uint64_t size;		 /* bytes; UINT64_MAX if the server does not say */
	uint64_t reserved_[2];
};

/**
 * Ask the server what there is to connect to: store the exports in *exports, in one block of memory
 * that the caller frees with free(), and return their number. The properties that select the server
 * must be set; the name of an export among them has no effect. The call makes a connection of its
 * own, which has "connect-timeout", and is valid in any state.
 * -ENOTSUP: the driver has no such servers (only nbd, and nvme-vfio-pci, whose controllers have
 * namespaces: their names are their IDs), the server does not list its exports, or "fd" is set;
 * -EACCES: the server refuses to; -EPROTO: its answer is not valid, or lists more than 10000
 * exports or 4 MiB of text. *exports is NULL on failure.
 */
int blkio_list_exports(struct blkio *b, struct blkio_export **exports);

/* ---- Properties --------------------------------------------------------------------------- */

/**
 * Read a property. -ENOENT: unknown; -ENOTTY: it has a different type; -ENODEV: only readable in a
 * later state. On failure, *value is false, 0 or NULL.
 *
 * blkio_get_str() converts a property of any type ("true", "-5", ...); the caller frees *value
 * with free().
 */
int blkio_get_bool(struct blkio *b, const char *name, bool *value);
int blkio_get_int(struct blkio *b, const char *name, int *value);
int blkio_get_uint64(struct blkio *b, const char *name, uint64_t *value);
int blkio_get_str(struct blkio *b, const char *name, char **value);

/**
 * Write a property. -ENOENT: unknown; -ENOTTY: it has a different type; -EACCES: read-only;
 * -ENODEV: only writable in a later state; -EBUSY: only writable in an earlier state; -EINVAL: bad
 * value.
 *
 * blkio_set_str() converts to a property of any type: bool is exactly "true" or "false", numbers
 * are decimal. A string that does not parse gives -EINVAL before anything else is checked.
 */
int blkio_set_bool(struct blkio *b, const char *name, bool value);
int blkio_set_int(struct blkio *b, const char *name, int value);
int blkio_set_uint64(struct blkio *b, const char *name, uint64_t value);
int blkio_set_str(struct blkio *b, const char *name, const char *value);

/* ---- Introspection ------------------------------------------------------------------------ */

/*
 * Not in libblkio: BLKIO_HAS_PROPERTY_INFO tells that this header declares it. These calls need
 * neither an instance nor a device.
 */
#define BLKIO_HAS_PROPERTY_INFO 1
#define BLKIO_HAS_FILE_DRIVER	1 /* the same of the call of that name */

/** The name of the driver with this index, from 0; NULL past the last one. Static text. */
const char *blkio_get_driver_name(int index);

/**
 * The name of the driver to open a file or block device with, if its user has named none:
 * "io_uring", or "posix" where the kernel or a sandbox does not let this process create rings.
 * Static text. Asks the kernel each time.
 */
const char *blkio_get_file_driver(void);

enum {
	BLKIO_TYPE_BOOL,
	BLKIO_TYPE_INT,
	BLKIO_TYPE_UINT64,
	BLKIO_TYPE_STR,
};

enum {
	BLKIO_STATE_CREATED = 1 << 0,
	BLKIO_STATE_CONNECTED = 1 << 1,
	BLKIO_STATE_STARTED = 1 << 2,
};

/** A property of a driver. Later versions may add members at the end. */
struct blkio_property_info {
	const char *name;  /* static text */
	const char *doc;   /* its meaning; static text */
	uint32_t type;	   /* BLKIO_TYPE_* */
	uint32_t readable; /* BLKIO_STATE_*: the states in which it can be read; not 0 */
	uint32_t writable; /* BLKIO_STATE_*: the states in which it can be set */
	uint32_t reserved_;
};

/**
 * Describe the property with this index, from 0, of a driver in *info. size is sizeof(*info) in the
 * calling program; an older library sets members that it does not know to 0.
 * -ENOENT: past the last property; -ENODEV: no such driver; -EINVAL.
 */
int blkio_get_property_info(const char *driver, int index, struct blkio_property_info *info,
			    size_t size);

/* ---- Memory regions ----------------------------------------------------------------------- */

/** Memory that requests may read from and write to. */
struct blkio_mem_region {
	void *addr;	   /* start, a multiple of "mem-region-alignment" */
	size_t len;	   /* bytes, a multiple of "mem-region-alignment", not 0 */
	uint64_t iova;	   /* with BLKIO_MEM_GUEST: the guest's address of addr; else ignored */
	int64_t fd_offset; /* where addr lies in fd, bytes */
	int fd;		   /* file behind the memory; -1 where "needs-mem-region-fd" is false */
	uint32_t flags;	   /* BLKIO_MEM_*; ignored while "num-vrings" is 0 */
};

/**
 * Allocate zeroed memory that suits this instance and has a file descriptor (a memfd, closed on
 * execve), and describe it in *region. Valid when connected or started. The region is not yet
 * mapped.
 * -ENODEV: not connected; -EINVAL: len 0 or not a multiple of "mem-region-alignment"; -ENOMEM.
 */
int blkio_alloc_mem_region(struct blkio *b, struct blkio_mem_region *region, size_t len);

/**
 * Free a region from blkio_alloc_mem_region(), unmapped first if needed. Ignores other regions, and
 * those that hold a running vring.
 */
void blkio_free_mem_region(struct blkio *b, const struct blkio_mem_region *region);

/**
 * Let requests use the region. Valid when started. The fd may be closed afterwards. Mapping is
 * slow: map once and reuse. -ENODEV: not connected; -EBUSY: not started; -EINVAL: misaligned,
 * empty, already mapped, overlapping, or without a required fd; -ENOSPC: "max-mem-regions" reached.
 */
int blkio_map_mem_region(struct blkio *b, const struct blkio_mem_region *region);

/**
 * Undo blkio_map_mem_region(); ignores a region that is not mapped. Afterwards the device can no
 * longer access the region. A region that holds a running vring stays mapped, and the asynchronous
 * call fails with -EBUSY. Memory that io_uring has registered ("register-buffers") stays pinned
 * until each queue's next request. The call does not wait for requests: no outstanding request may
 * use the region. Such a request would fail, or still read or write the memory.
 */
void blkio_unmap_mem_region(struct blkio *b, const struct blkio_mem_region *region);

/* ---- Queues ------------------------------------------------------------------------------- */

/**
 * The queue with this index, or NULL if it does not exist or the instance is not started. Valid
 * until the queue is removed or the instance destroyed. Poll queues are numbered separately.
 */
struct blkioq *blkio_get_queue(struct blkio *b, int index);
struct blkioq *blkio_get_poll_queue(struct blkio *b, int index);

/**
 * Add a queue to a started instance; returns its index, the lowest free one.
 * -ENOTSUP: "can-add-queues" (or "supports-poll-queues") is false; -EBUSY: not started;
 * -ENOSPC: "max-queues" reached.
 */
int blkio_add_queue(struct blkio *b);
int blkio_add_poll_queue(struct blkio *b);

/**
 * Remove a queue; the others keep their index. Its requests end as with blkio_destroy(), within the
 * same time. -ENOENT: no queue has this index; -ETIME: requests are still in flight. The queue then
 * still exists, accepts no more requests, and can be removed later. Completions may be lost then.
 */
int blkio_remove_queue(struct blkio *b, int index);
int blkio_remove_poll_queue(struct blkio *b, int index);

/* ---- Requests ----------------------------------------------------------------------------- */

enum {
	BLKIO_REQ_FUA = 1 << 0,		/* all writes: on stable storage before completion */
	BLKIO_REQ_NO_UNMAP = 1 << 1,	/* write zeroes: keep the space allocated */
	BLKIO_REQ_NO_FALLBACK = 1 << 2, /* write zeroes: -ENOTSUP rather than write zero buffers */
	BLKIO_REQ_ATOMIC = 1 << 3,	/* write, writev: all or nothing, also if power fails */
	/* Bits 16 to 31 are reserved for placement hints (NVMe's FDP). So far, they are unknown. */
};

/*
 * Not in libblkio: BLKIO_HAS_REQ_ATOMIC tells that this header declares the flag.
 *
 * After a power failure, either all of a write with BLKIO_REQ_ATOMIC is there or nothing of it. It
 * is one operation of the device: the library never splits it, and refuses with -EINVAL what cannot
 * be one. The length is at least "atomic-write-unit-min" and at most "atomic-write-unit-max", and
 * the range does not cross a multiple of "atomic-write-boundary" (counted from
 * "atomic-write-boundary-offset"), unless that is 0. With io_uring and posix, which ask for it with
 * RWF_ATOMIC (Linux 6.11), the length must also be a power of two, start a multiple of it, and the
 * data one segment. With the drivers for NVMe, the controller's and the namespace's limits apply.
 * -ENOTSUP: "atomic-write-unit-max" is 0, as with all other drivers and devices. The flag does not
 * say that the data is on stable storage: for that there are BLKIO_REQ_FUA and flush.
 */
#define BLKIO_HAS_REQ_ATOMIC 1

/**
 * Put a request on the queue. Any number of requests may be outstanding. The device may see the
 * request at once, and sees it by the next blkioq_do_io(). The call never fails: an error in the
 * request is reported in its completion, together with user_data. The call never waits for the
 * device or for other threads. Requests that are in flight together are not ordered.
 *
 * start and lengths must be multiples of "request-alignment". Buffers and the lengths of their
 * segments must be multiples of "buf-alignment", and lie in mapped regions if "needs-mem-regions"
 * is true. Buffers and the iovec array belong to the library until the request completes. If the
 * library or the kernel copies the data, a buffer at an address that cannot be read or written
 * completes with -EFAULT. The iovec array must be readable.
 */
void blkioq_read(struct blkioq *q, uint64_t start, void *buf, size_t len, void *user_data,
		 uint32_t flags);
void blkioq_write(struct blkioq *q, uint64_t start, const void *buf, size_t len, void *user_data,
		  uint32_t flags);
void blkioq_readv(struct blkioq *q, uint64_t start, const struct iovec *iovec, int iovcnt,
		  void *user_data, uint32_t flags);
void blkioq_writev(struct blkioq *q, uint64_t start, struct iovec *iovec, int iovcnt,
		   void *user_data, uint32_t flags);

/**
 * Make the range read as zeroes, without transferring zeroes if the device supports that. A device
 * may support it for whole logical blocks only: then zeroes are written before and after those
 * blocks, unless BLKIO_REQ_NO_FALLBACK forbids it. After a failure, even -ENOTSUP, the contents of
 * the range are undefined: Linux drops what its page cache holds of a block device before it asks
 * the device.
 */
void blkioq_write_zeroes(struct blkioq *q, uint64_t start, uint64_t len, void *user_data,
			 uint32_t flags);

/**
 * Tell the device that the range is no longer needed. Until it is written again, its contents are
 * undefined. Logical blocks that are only partly in the range are not discarded.
 */
void blkioq_discard(struct blkioq *q, uint64_t start, uint64_t len, void *user_data,
		    uint32_t flags);

/** Put on stable storage all writes that completed before this request was queued. */
void blkioq_flush(struct blkioq *q, void *user_data, uint32_t flags);

/* ---- Block status ------------------------------------------------------------------------- */

/*
 * Not in libblkio: BLKIO_HAS_BLOCK_STATUS tells that this header declares it.
 */
#define BLKIO_HAS_BLOCK_STATUS 1

enum {
	BLKIO_EXTENT_ALLOCATED = 1 << 0, /* takes up space on the device, as far as is known */
	BLKIO_EXTENT_ZERO = 1 << 1,	 /* reads as zeroes */
};

/** A range of the device whose blocks have the same state. */
struct blkio_extent {
	uint64_t start; /* bytes */
	uint64_t len;	/* bytes, not 0 */
	uint32_t flags; /* BLKIO_EXTENT_* */
	uint8_t reserved_[12];
};

/**
 * Find out which blocks of the range are allocated, and which are known to read as zeroes: fill in
 * at most nr_extents extents. The completion's ret is their number.
 *
 * The first extent begins at start, and each other one where the one before it ends. Neighbours
 * have different flags. Each begins and ends at a multiple of "request-alignment", within the
 * range. They may cover less than the range, because nr_extents are not enough or because the
 * device does not say more at a time: ask again from the end of the last one. There is at least one
 * unless len is 0. What follows the last one in the array is undefined.
 *
 * Where nothing is known, an extent is BLKIO_EXTENT_ALLOCATED. Without BLKIO_EXTENT_ALLOCATED and
 * BLKIO_EXTENT_ZERO, the contents are undefined, as after a discard. The answer is a snapshot: a
 * request that is in flight meanwhile may or may not count.
 *
 * The range must be a multiple of "request-alignment", and lie within the device; past the end of a
 * file, there are zeroes. Drivers nbd (if the server has the context base:allocation), iscsi (if
 * the logical unit is thin-provisioned), io_uring and posix (both for regular files) support it;
 * others complete it with -ENOTSUP. -EBADF: "fd" cannot be read from; -EFAULT: the array cannot be
 * written.
 *
 * Of a file, a hole (SEEK_HOLE) is BLKIO_EXTENT_ZERO and data is BLKIO_EXTENT_ALLOCATED. Space that
 * is reserved but was not written (fallocate(2)) may count as either. The file system may have to
 * read from the disk for it, so a thread of the library asks: with io_uring a thread of the queue,
 * which its first such request starts, and with posix one of "num-threads". Poll queues of io_uring
 * complete the request with -ENOTSUP.
 *
 * A file that was given as "fd" is opened once more through /proc, because the position of the
 * given descriptor must not change; -ENOTSUP if that is not possible. io_uring closes what it
 * opened when the queue is removed; as with any close(2), the process then loses its POSIX record
 * locks on the file.
 */
void blkioq_block_status(struct blkioq *q, uint64_t start, uint64_t len,
			 struct blkio_extent *extents, uint32_t nr_extents, void *user_data,
			 uint32_t flags);

/* ---- Zones -------------------------------------------------------------------------------- */

enum {
	BLKIO_ZONE_TYPE_CONVENTIONAL = 0x1,
	BLKIO_ZONE_TYPE_SEQWRITE_REQ = 0x2,
	BLKIO_ZONE_TYPE_SEQWRITE_PREF = 0x3,
};

enum {
	BLKIO_ZONE_STATE_EMPTY = 0x1,
	BLKIO_ZONE_STATE_IMP_OPEN = 0x2,
	BLKIO_ZONE_STATE_EXP_OPEN = 0x3,
	BLKIO_ZONE_STATE_CLOSED = 0x4,
	BLKIO_ZONE_STATE_READONLY = 0xD,
	BLKIO_ZONE_STATE_FULL = 0xE,
	BLKIO_ZONE_STATE_OFFLINE = 0xF,
};

struct blkio_zone {
	uint64_t start;		/* bytes */
	uint64_t len;		/* bytes up to the next zone */
	uint64_t capacity;	/* bytes that can be written */
	uint64_t write_pointer; /* bytes, an offset on the device */
	uint8_t zone_type;	/* BLKIO_ZONE_TYPE_* */
	uint8_t zone_state;	/* BLKIO_ZONE_STATE_* */
	uint8_t reset;		/* the device recommends a reset */
	uint8_t reserved_[29];
};

/**
 * Describe up to nr_zones zones, starting with the one that contains offset. The completion's ret
 * is the number of zones filled in. Drivers without zones complete this and all requests below with
 * -ENOTSUP.
 */
void blkioq_report_zones(struct blkioq *q, uint64_t offset, struct blkio_zone *zones,
			 uint32_t nr_zones, void *user_data, uint32_t flags);

/** Change the state of the zone that starts at offset. */
void blkioq_close_zone(struct blkioq *q, uint64_t offset, void *user_data, uint32_t flags);
void blkioq_finish_zone(struct blkioq *q, uint64_t offset, void *user_data, uint32_t flags);
void blkioq_open_zone(struct blkioq *q, uint64_t offset, void *user_data, uint32_t flags);
void blkioq_reset_zone(struct blkioq *q, uint64_t offset, void *user_data, uint32_t flags);

/** Change the state of all zones that allow it. */
void blkioq_close_all_zones(struct blkioq *q, void *user_data, uint32_t flags);
void blkioq_finish_all_zones(struct blkioq *q, void *user_data, uint32_t flags);
void blkioq_open_all_zones(struct blkioq *q, void *user_data, uint32_t flags);
void blkioq_reset_all_zones(struct blkioq *q, void *user_data, uint32_t flags);

/*
 * Not in libblkio: BLKIO_HAS_ZONE_APPEND tells that this header declares it.
 */
#define BLKIO_HAS_ZONE_APPEND 1

/**
 * Write at the write pointer of the zone that starts at offset zone. The device chooses where: when
 * the request completes with 0, *written_at is the offset in bytes of the first byte written. So
 * many requests, from any number of threads and processes, can write to a zone at the same time.
 *
 * len is at most "zone-append-max-bytes" (-EINVAL), and a multiple of "request-alignment". The
 * request is one operation of the device, which writes all of it or fails. buf and *written_at
 * belong to the library until it completes. BLKIO_REQ_FUA is the one flag. The drivers for NVMe
 * support it on namespaces for which "append-support" is true; all else completes it with -ENOTSUP.
 */
void blkioq_zone_append(struct blkioq *q, uint64_t zone, const void *buf, size_t len,
			uint64_t *written_at, void *user_data, uint32_t flags);

/* ---- Completions -------------------------------------------------------------------------- */

/** A finished request. */
struct blkio_completion {
	void *user_data;       /* as given with the request */
	const char *error_msg; /* static text about a failure, or NULL */
	int ret;	       /* 0, the number of zones or extents, or a negative errno value */
	uint8_t reserved_[12];
};

/**
 * Submit the queued requests, wait for at least min completions, and fill in up to max. Returns the
 * number filled in. With max 0, min 0 and completions NULL, it only submits.
 *
 * A timeout other than NULL bounds the wait, and is updated to the time left. -ETIME: the timeout
 * expired before min requests completed; the next call returns the completions that are there.
 * -EINVAL: negative numbers, min > max, min > outstanding requests, or a malformed timeout.
 * -ENOMEM, once: there was no memory for the last requests, which will not complete; the message
 * says how many.
 */
int blkioq_do_io(struct blkioq *q, struct blkio_completion *completions, int min, int max,
		 struct timespec *timeout);

/**
 * Like blkioq_do_io(), but a signal ends the wait with -EINTR, even if some requests completed: the
 * next call returns those. If min completions are there, the call returns them and no error. sig,
 * if not NULL, is the thread's signal mask during the wait. Poll queues do not support min > 0
 * (-ENOTSUP).
 */
int blkioq_do_io_interruptible(struct blkioq *q, struct blkio_completion *completions, int min,
			       int max, struct timespec *timeout, const sigset_t *sig);

/**
 * An eventfd (non-blocking, close-on-exec) that becomes readable when blkioq_do_io() should be
 * called. Read 8 bytes from it before that call. It belongs to the queue; -1 for poll queues. It
 * stays silent until it is enabled; enabling also covers requests already in flight. It may signal
 * spuriously, and virtio devices may make it do so while it is not enabled.
 */
int blkioq_get_completion_fd(struct blkioq *q);
void blkioq_set_completion_fd_enabled(struct blkioq *q, bool enable);

/* ---- Queue passthrough -------------------------------------------------------------------- */

/*
 * Not in libblkio: BLKIO_HAS_VRING tells that this header declares what follows.
 *
 * An emulator whose guest has a virtio-blk device can let the device serve the guest's virtqueues
 * (vrings) itself: docs/queue-passthrough.md. The drivers virtio-blk-vhost-user and
 * virtio-blk-vhost-vdpa can. Others fail these calls with -ENOTSUP: virtio-blk-vfio-pci because a
 * PCI device cannot say how far it is with a ring, nor go on from there. For vDPA devices of which
 * that is true, blkio_get_vring_features() and, with "num-vrings", blkio_start() fail.
 *
 * Set the properties "num-vrings" and, to what the guest accepted, "vring-features" when connected.
 * Map the guest's memory with BLKIO_MEM_GUEST.
 *
 * A guest can name any address that the device was given. So as long as a vring runs, the device
 * has access to guest memory only: not to other regions, nor to the library's own rings, request
 * headers and bounce buffers. The instance's queues then complete requests with -EBUSY.
 */
#define BLKIO_HAS_VRING 1

enum {
	BLKIO_MEM_GUEST = 1 << 0, /* memory of a guest, which knows it by the address iova */
};

/** A guest's virtqueue. Its parts lie in memory that was mapped with BLKIO_MEM_GUEST. */
struct blkio_vring {
	uint32_t size;	       /* entries: a power of two, at most "max-queue-size" */
	uint32_t flags;	       /* reserved, 0 */
	uint64_t desc;	       /* guest address of the descriptor table or packed ring */
	uint64_t driver;       /* of the available ring or driver event suppression */
	uint64_t device;       /* of the used ring or device event suppression */
	uint32_t base;	       /* where it goes on; a new ring: 0, a packed one: 0x80008000 */
	int kick_fd;	       /* eventfd that the guest signals: KVM's ioeventfd */
	int call_fd;	       /* eventfd that the device signals: KVM's irqfd */
	int err_fd;	       /* eventfd that is signalled when the device fails; -1: none */
	uint64_t reserved_[2]; /* 0 */
};

/**
 * The virtio feature bits that a guest may be offered. Valid when connected or started. The guest's
 * choice goes into "vring-features". With VIRTIO_F_RING_PACKED in it, vrings are packed.
 */
int blkio_get_vring_features(struct blkio *b, uint64_t *features);

/**
 * Read the device's struct virtio_blk_config, for the guest, into the first len bytes of buf. The
 * fields of features that blkio_get_vring_features() never has are 0. Valid when connected or
 * started.
 */
int blkio_get_device_config(struct blkio *b, void *buf, size_t len);

/**
 * Let the device serve a vring; index is below "num-vrings", and *vring and its descriptors are
 * copied. Valid when started. The first one waits until the device has completed what the
 * instance's own queues had submitted; requests that were queued but not submitted complete with
 * -EBUSY. Requests that are already in the vring are served, too.
 * -EINVAL: an impossible vring, one not in guest memory, or with a descriptor that is not an
 * eventfd; -EBUSY: it runs already, or the instance is not started; -ENOTCONN: the server has gone,
 * and may come back; -ETIMEDOUT.
 */
int blkio_start_vring(struct blkio *b, int index, const struct blkio_vring *vring);
int blkio_start_vring_async(struct blkio *b, int index, const struct blkio_vring *vring);

/**
 * Stop a vring: wait until the device has completed what it took from it, and describe it in
 * *state, if not NULL, as it was started, but with the base to start it with again and without
 * descriptors (-1). For a split ring the base is the index of the next entry of the available ring.
 * For a packed ring, bits 0 to 14 are the index of the next available descriptor and bit 15 its
 * wrap counter; bits 16 to 31 say the same of the next used descriptor.
 *
 * After the last one, the instance's own queues can be used again. On failure the vring still runs.
 * -ENOENT: it does not run; -ENOTCONN: the server has gone, and may come back; -ETIMEDOUT.
 */
int blkio_stop_vring(struct blkio *b, int index, struct blkio_vring *state);
int blkio_stop_vring_async(struct blkio *b, int index, struct blkio_vring *state);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif /* BLKIO_H */
