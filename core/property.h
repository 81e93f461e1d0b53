/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a device can do, and what can be set: limits and properties. Part of driver.h.
 */
#ifndef BK_PROPERTY_H
#define BK_PROPERTY_H

#include <stdint.h>

#include "blkio.h"
#include "util.h"

/* ---- Limits ------------------------------------------------------------------------------- */

/* What a write with BLKIO_REQ_ATOMIC may be; max 0: there are none. In bytes. */
struct bk_atomic {
	uint64_t min, max;
	uint64_t boundary, boundary_offset; /* it crosses none; 0: there are none */
	int max_segments;
	bool natural; /* the length is a power of two, and start a multiple of it */
};

/*
 * What the device can do: filled in by connect(), read by properties and by request validation,
 * constant afterwards. 0 means unlimited for every max_*. Alignments are powers of two unless said.
 */
struct bk_limits {
	uint32_t ops; /* BK_OP_BIT()s the driver takes; the core refuses others with ENOTSUP */
	int request_alignment, optimal_io_alignment, optimal_io_size;
	int buf_alignment, optimal_buf_alignment;
	/* submit() also gets unaligned buffers, and decides itself which of them work. */
	bool takes_odd_buffers;
	int max_segments, max_segment_len, max_transfer;
	/* submit() also gets longer requests, does the first part, and reports its length. */
	bool takes_long_requests;
	struct bk_atomic atomic;
	uint64_t max_append; /* BK_ZONE_APPEND; the driver has a property that says it */
	uint64_t max_write_zeroes_len;
	uint64_t max_discard_len;
	/*
	 * BK_WRITE_ZEROES and BK_DISCARD reach submit() in multiples of this only, where it is more
	 * than request_alignment: the core writes zeroes around whole blocks, and rounds discards
	 * inwards. 0: of request_alignment.
	 */
	int whole_blocks;
	int discard_alignment, discard_alignment_offset; /* any number */
	uint64_t end;	/* requests end at or before this offset; INT64_MAX: the device checks */
	int max_queues; /* including poll queues */
	uint64_t max_mem_regions;
	uint64_t mem_region_alignment;
	bool may_pin_mem_regions, needs_mem_regions, needs_mem_region_fd;
	bool needs_huge_pages; /* not a property: what bk_memory_fd() gives */
	bool flush_needed;     /* a volatile cache: writes need a flush to be durable */
	bool can_grow;
	bool supports_poll_queues;
	bool supports_fua_natively; /* the property: what the device does */
	/*
	 * Contract, not property: submit() honours BLKIO_REQ_FUA on BK_WRITE (and BK_WRITE_ZEROES).
	 * Where false, the core lets a flush follow the write.
	 */
	bool takes_fua_write, takes_fua_write_zeroes;
	bool read_only;	    /* it cannot be written; connect() may also fail, with EROFS or such */
	bool write_only;    /* the core refuses reads and zone reports, with EBADF */
	bool zero_fill_eof; /* a read that returns 0 means end of file: the rest reads as zeroes */
};

/* ---- Properties --------------------------------------------------------------------------- */

enum bk_state { BK_CREATED, BK_CONNECTED, BK_STARTED };

enum bk_type { BK_BOOL, BK_INT, BK_UINT64, BK_STR };

union bk_val {
	bool b;
	int i;
	uint64_t u;
	const char *s; /* NULL is the empty string */
};

/* When a property can be read. */
enum bk_readable {
	BK_GET_ALWAYS,
	BK_GET_CONNECTED,
	BK_GET_LIMIT,	 /* from the state the driver names in limits_from */
	BK_GET_TOPOLOGY, /* from the state the driver names in topology_from */
};

/* When a property can be written. */
enum bk_writable { BK_SET_NEVER, BK_SET_CREATED, BK_SET_CONNECTED };

/*
 * One property. Plain ones are a field (offset from struct blkio, so also of the driver's device):
 * bool, int, uint64_t or char * (malloc'ed). check() may refuse a new value that is in range; get()
 * replaces the field on reads. The tables end with a row without name; a driver's row hides a
 * common one.
 */
struct bk_prop {
	const char *name;
	const char *doc; /* one sentence with unit and meaning of special values, for the manual */
	enum bk_type type;
	enum bk_readable readable;
	enum bk_writable writable;
	size_t offset;
	int min, max; /* BK_INT: the range of a new value; both 0: any */
	int (*get)(struct blkio *b, union bk_val *val);
	int (*check)(struct blkio *b, const struct bk_prop *p, const union bk_val *val);
};

#endif
