/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libblkio - block device I/O library. The only public header.
 *
 * An instance (struct blkio) goes through three states:
 *
 *     blkio_create() -> CREATED -> blkio_connect() -> CONNECTED -> blkio_start() -> STARTED
 *
 * Set the properties that say which device (usually "path" or "fd") while created, those that say
 * how to run it ("num-queues", ...) while connected; do I/O on queues (struct blkioq) once started.
 *
 * Conventions of this header
 *   errors   Functions returning int give 0 (or a count or index, where said) or a negative errno
 *            value; blkio_get_error_msg() then has a sentence about it. A failed call changes
 *            nothing: correct the cause and call again. NULL where a pointer is needed: -EINVAL.
 *   units    Offsets, lengths and alignments are bytes.
 *   threads  blkio_*() calls on one instance must not overlap each other in time, with one
 *            exception: memory regions may be mapped and unmapped while other threads use queues.
 *            blkioq_*() calls on one queue must not overlap each other. Different queues, and
 *            different instances, are independent and take no common lock.
 *   fork     An instance stays the parent's, also with requests in flight. The child makes no call
 *            on it, not even blkio_destroy(); it may create its own. execve() closes everything.
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

/* ---- Errors ------------------------------------------------------------------------------- */

/**
 * The message of the last failed call in this thread; "" before the first failure, never NULL.
 * Successful calls leave it alone. Valid until the next failing call in the same thread.
 */
const char *blkio_get_error_msg(void);

/* ---- Lifecycle ---------------------------------------------------------------------------- */

/**
 * Create an instance of the driver named, in state created, and store it in *bp.
 * -ENOENT: no such driver; -EINVAL: name not UTF-8, or a NULL argument; -ENOMEM. *bp is NULL on
 * failure.
 */
int blkio_create(const char *driver, struct blkio **bp);

/**
 * Open the device. created -> connected. 0 at once when already connected.
 * -EINVAL: no or contradicting "path"/"fd"; -EBUSY: already started; else what the device said.
 * The library owns an "fd" from the moment this call succeeds; after a failure it is still the
 * caller's.
 */
int blkio_connect(struct blkio *b);

/**
 * Create the queues and make the device ready for I/O. connected -> started. 0 at once when
 * already started. -ENODEV: not connected; -EINVAL: a property has an impossible value.
 */
int blkio_start(struct blkio *b);

/**
 * Release *bp with its queues, memory regions and descriptors, and set *bp to NULL. bp and *bp may
 * be NULL. Valid in every state; no other call on the instance or its queues may be under way.
 * Requests still in flight are waited for, so their buffers may be freed afterwards.
 */
void blkio_destroy(struct blkio **bp);

/* ---- Properties --------------------------------------------------------------------------- */

/**
 * Read a property. -ENOENT: unknown; -ENOTTY: it has another type; -ENODEV: not readable before a
 * later state. On failure *value is false, 0 or NULL.
 *
 * blkio_get_str() converts a property of any type ("true", "-5", ...); the caller frees *value
 * with free().
 */
int blkio_get_bool(struct blkio *b, const char *name, bool *value);
int blkio_get_int(struct blkio *b, const char *name, int *value);
int blkio_get_uint64(struct blkio *b, const char *name, uint64_t *value);
int blkio_get_str(struct blkio *b, const char *name, char **value);

/**
 * Write a property. -ENOENT: unknown; -ENOTTY: it has another type; -EACCES: read-only; -ENODEV:
 * only writable in a later state; -EBUSY: only writable in an earlier state; -EINVAL: bad value.
 *
 * blkio_set_str() converts to a property of any type: bool is exactly "true" or "false", numbers
 * are decimal. A string that does not parse is -EINVAL before anything else is checked.
 */
int blkio_set_bool(struct blkio *b, const char *name, bool value);
int blkio_set_int(struct blkio *b, const char *name, int value);
int blkio_set_uint64(struct blkio *b, const char *name, uint64_t value);
int blkio_set_str(struct blkio *b, const char *name, const char *value);

/* ---- What there is ------------------------------------------------------------------------ */

/*
 * Not in libblkio: BLKIO_HAS_PROPERTY_INFO says that this header declares it. Needs no instance and
 * no device.
 */
#define BLKIO_HAS_PROPERTY_INFO 1

/** The name of a driver, for indexes from 0; NULL past the last one. Static text. */
const char *blkio_get_driver_name(int index);

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
	const char *doc;   /* a sentence about it; static text */
	uint32_t type;	   /* BLKIO_TYPE_* */
	uint32_t readable; /* BLKIO_STATE_*: the states in which it can be read; not 0 */
	uint32_t writable; /* BLKIO_STATE_*: the states in which it can be set */
	uint32_t reserved_;
};

/**
 * Describe a property of a driver, for indexes from 0, in *info, of which the caller's program has
 * size bytes: sizeof(*info). What an older library does not know is 0 there.
 * -ENOENT: past the last property; -ENODEV: no such driver; -EINVAL.
 */
int blkio_get_property_info(const char *driver, int index, struct blkio_property_info *info,
			    size_t size);

/* ---- Memory regions ----------------------------------------------------------------------- */

/** Memory that requests may read from and write to. */
struct blkio_mem_region {
	void *addr;	   /* start, a multiple of "mem-region-alignment" */
	size_t len;	   /* bytes, a multiple of "mem-region-alignment", not 0 */
	uint64_t iova;	   /* reserved, 0 */
	int64_t fd_offset; /* where addr lies in fd, bytes */
	int fd;		   /* file behind the memory; -1 where "needs-mem-region-fd" is false */
	uint32_t flags;	   /* reserved, 0; ignored */
};

/**
 * Allocate zeroed memory that suits this instance and has a file descriptor (a memfd, closed on
 * execve), and describe it in *region. Connected or started. It still has to be mapped.
 * -ENODEV: not connected; -EINVAL: len 0 or not a multiple of "mem-region-alignment"; -ENOMEM.
 */
int blkio_alloc_mem_region(struct blkio *b, struct blkio_mem_region *region, size_t len);

/** Free a region from blkio_alloc_mem_region(). Unmaps it if needed; ignores any other region. */
void blkio_free_mem_region(struct blkio *b, const struct blkio_mem_region *region);

/**
 * Let requests use the region. Started. The fd may be closed afterwards. Mapping is slow: map once
 * and reuse. -ENODEV: not connected; -EBUSY: not started; -EINVAL: misaligned, empty, already
 * mapped, overlapping, or without a needed fd; -ENOSPC: "max-mem-regions" reached.
 */
int blkio_map_mem_region(struct blkio *b, const struct blkio_mem_region *region);

/** Undo blkio_map_mem_region(). No request may be using it. Ignores a region that is not mapped. */
void blkio_unmap_mem_region(struct blkio *b, const struct blkio_mem_region *region);

/* ---- Queues ------------------------------------------------------------------------------- */

/**
 * The queue with this index, or NULL when there is none or the instance is not started. Valid until
 * the queue is removed or the instance destroyed. Poll queues are numbered separately.
 */
struct blkioq *blkio_get_queue(struct blkio *b, int index);
struct blkioq *blkio_get_poll_queue(struct blkio *b, int index);

/**
 * Add a queue to a started instance; returns its index, the lowest that is free.
 * -ENOTSUP: "can-add-queues" (or "supports-poll-queues") is false; -EBUSY: not started;
 * -ENOSPC: "max-queues" reached.
 */
int blkio_add_queue(struct blkio *b);
int blkio_add_poll_queue(struct blkio *b);

/** Remove a queue; the others keep their index. -ENOENT: there is none with this index. */
int blkio_remove_queue(struct blkio *b, int index);
int blkio_remove_poll_queue(struct blkio *b, int index);

/* ---- Requests ----------------------------------------------------------------------------- */

enum {
	BLKIO_REQ_FUA = 1 << 0,		/* on stable storage before it completes; all writes */
	BLKIO_REQ_NO_UNMAP = 1 << 1,	/* write zeroes: keep the space allocated */
	BLKIO_REQ_NO_FALLBACK = 1 << 2, /* write zeroes: -ENOTSUP rather than write zero buffers */
};

/**
 * Put a request on the queue. Any number may be outstanding. The device may see it at once, and
 * will by the next blkioq_do_io(). Never fails: whatever is wrong with a request comes back in its
 * completion, together with user_data. Requests in flight together are not ordered.
 *
 * start and lengths are multiples of "request-alignment"; buffers and the lengths of their segments
 * are multiples of "buf-alignment" and lie in mapped regions if "needs-mem-regions". Buffers and
 * the iovec array belong to the library until the request completes.
 */
void blkioq_read(struct blkioq *q, uint64_t start, void *buf, size_t len, void *user_data,
		 uint32_t flags);
void blkioq_write(struct blkioq *q, uint64_t start, const void *buf, size_t len, void *user_data,
		  uint32_t flags);
void blkioq_readv(struct blkioq *q, uint64_t start, const struct iovec *iovec, int iovcnt,
		  void *user_data, uint32_t flags);
void blkioq_writev(struct blkioq *q, uint64_t start, struct iovec *iovec, int iovcnt,
		   void *user_data, uint32_t flags);

/** Make the range read as zeroes, without transferring them where the device can. */
void blkioq_write_zeroes(struct blkioq *q, uint64_t start, uint64_t len, void *user_data,
			 uint32_t flags);

/** Tell the device that the range is no longer needed; it reads as anything until written. */
void blkioq_discard(struct blkioq *q, uint64_t start, uint64_t len, void *user_data,
		    uint32_t flags);

/** Put on stable storage whatever writes completed before this request. */
void blkioq_flush(struct blkioq *q, void *user_data, uint32_t flags);

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
 * Describe up to nr_zones zones, from the one that holds offset on. The completion's ret is how
 * many were filled in. Drivers without zones complete it, and all below, with -ENOTSUP.
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

/* ---- Completions -------------------------------------------------------------------------- */

/** A finished request. */
struct blkio_completion {
	void *user_data;       /* as given with the request */
	const char *error_msg; /* static text about a failure, or NULL */
	int ret;	       /* 0, the number of zones reported, or a negative errno value */
	uint8_t reserved_[12];
};

/**
 * Submit what is queued, wait for at least min completions, and fill in up to max. Returns how many
 * were filled in. max 0 with completions NULL and min 0 just submits.
 *
 * timeout, when not NULL, bounds the wait and is updated to what is left of it; -ETIME when it ran
 * out before min completions came. Whatever had completed is returned by the next call.
 * -EINVAL: negative, min > max, min > requests outstanding, or a malformed timeout.
 */
int blkioq_do_io(struct blkioq *q, struct blkio_completion *completions, int min, int max,
		 struct timespec *timeout);

/**
 * The same, but a signal ends the wait with -EINTR. sig, when not NULL, is the thread's signal mask
 * while it waits. Not supported on poll queues with min > 0 (-ENOTSUP).
 */
int blkioq_do_io_interruptible(struct blkioq *q, struct blkio_completion *completions, int min,
			       int max, struct timespec *timeout, const sigset_t *sig);

/**
 * An eventfd (non-blocking, close-on-exec) that becomes readable when blkioq_do_io() should be
 * called; read 8 bytes from it first. Belongs to the queue. -1 for poll queues. Silent until
 * enabled; enabling also covers requests already in flight. May fire without need.
 */
int blkioq_get_completion_fd(struct blkioq *q);
void blkioq_set_completion_fd_enabled(struct blkioq *q, bool enable);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif /* BLKIO_H */
