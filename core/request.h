/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A request, as the core and its drivers see it. Part of driver.h.
 */
#ifndef BK_REQUEST_H
#define BK_REQUEST_H

#include <stdint.h>
#include <sys/uio.h>

#include "blkio.h"
#include "util.h"

enum bk_op {
	BK_READ,
	BK_WRITE,
	BK_WRITE_ZEROES,
	BK_DISCARD,
	BK_FLUSH,
	BK_ZONE_REPORT,
	BK_ZONE_OPEN,
	BK_ZONE_CLOSE,
	BK_ZONE_FINISH,
	BK_ZONE_RESET,
	BK_BLOCK_STATUS,
	BK_ZONE_APPEND,
	BK_NR_OPS,
};

#define BK_OP_BIT(op) (1u << (op))
#define BK_OPS_RW     (BK_OP_BIT(BK_READ) | BK_OP_BIT(BK_WRITE))
#define BK_OPS_BLOCK                                                                               \
	(BK_OPS_RW | BK_OP_BIT(BK_WRITE_ZEROES) | BK_OP_BIT(BK_DISCARD) | BK_OP_BIT(BK_FLUSH))
#define BK_OPS_ZONE                                                                                \
	(BK_OP_BIT(BK_ZONE_REPORT) | BK_OP_BIT(BK_ZONE_OPEN) | BK_OP_BIT(BK_ZONE_CLOSE) |          \
	 BK_OP_BIT(BK_ZONE_FINISH) | BK_OP_BIT(BK_ZONE_RESET))

/* Request flags besides the public BLKIO_REQ_* (low bits). */
enum {
	BK_REQ_ALL_ZONES = 1 << 7, /* a zone operation on every zone; start is 0 */
};

/*
 * One request. The address is stable until the request completes, so a driver may use it as the
 * device's cookie where the device is trusted (the kernel), and as index into private tables else.
 *
 * Most requests are plain: they read or write one buffer of at most BK_PLAIN_MAX bytes, without
 * flags, and succeed. What is the same for all of those is not set for each: a free request has iov
 * = &one, iovcnt = 1, and flags, stage, iov_copy, error_msg, ret and retries 0. Whoever changes any
 * of that sets special, and collecting the completion puts it back.
 */
#define BK_PLAIN_MAX (1U << 30)

/* What a BK_BLOCK_STATUS has found so far: for core/extents.c. */
struct bk_found {
	uint64_t to;   /* everything before this offset is known */
	uint32_t n;    /* extents in the caller's array */
	uint8_t last;  /* flags of the last one */
	uint8_t part;  /* flags of the block that `to` lies in, if it does not end there */
	uint8_t block; /* log2 of request_alignment */
	uint8_t state; /* 0, or why no more of them are needed */
};

struct bk_req {
	struct bk_req *next; /* of whichever list it is on; the driver's while the device has it */
	void *user_data;
	uint64_t start; /* bytes */
	uint64_t len;	/* bytes: sum of the segments, if bk_has_segments() */
	/*
	 * What the driver passes to bk_complete() when nothing is left to do: len for reads and
	 * writes, 0 for the rest. The core sets it to something else when stages follow.
	 */
	int64_t expect;
	const struct iovec *iov; /* iovcnt segments, also when there is one */
	int iovcnt;
	uint8_t op;		/* enum bk_op */
	bool special;		/* false: a plain request, see above; written by the core */
	uint8_t flags;		/* BLKIO_REQ_* | BK_REQ_* */
	uint8_t stage;		/* core only: the stages that follow */
	struct iovec *iov_copy; /* core only: segments that are not the caller's */
	/* -- second cache line -- */
	union {
		struct iovec one;      /* the segment of blkioq_read() and the like */
		struct bk_found found; /* BK_BLOCK_STATUS */
	};
	const char *error_msg;
	int ret;
	union {
		uint32_t nr_zones;   /* BK_ZONE_REPORT */
		uint32_t nr_extents; /* BK_BLOCK_STATUS */
	};
	union {
		struct blkio_zone *zones;     /* BK_ZONE_REPORT: out */
		struct blkio_extent *extents; /* BK_BLOCK_STATUS: out, by bk_extent_add() */
		uint64_t *written_at;	      /* BK_ZONE_APPEND: out, before bk_complete() */
		uint64_t zeroes_left;	      /* core only: the write-zeroes fallback's, bytes */
	};
	uint32_t retries; /* core only */
	uint32_t bounce;  /* core only: which bounce buffer it has */
	uint64_t priv[2]; /* the driver's, from submit() to bk_complete() */
};
_Static_assert(sizeof(struct bk_req) == 128, "two cache lines");

/* Segments that r->iov begins with, whose first len bytes are whole blocks. */
struct bk_piece {
	int iovcnt;
	uint64_t len;
};

static inline bool bk_is_rw(const struct bk_req *r)
{
	return r->op <= BK_WRITE;
}

static inline bool bk_has_segments(const struct bk_req *r)
{
	return bk_is_rw(r) || r->op == BK_ZONE_APPEND;
}

/* Must it be one operation of the device? One that cannot be fails with EINVAL. */
static inline bool bk_must_be_whole(const struct bk_req *r)
{
	return r->op == BK_ZONE_APPEND || (r->flags & BLKIO_REQ_ATOMIC);
}

/* FIFO. An empty one has its tail at &head. */
struct bk_req_list {
	struct bk_req *head, **tail;
};

#endif
