/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract between the core and its drivers. drivers/null.c is the smallest driver: read it
 * next to this file.
 *
 * A driver embeds struct blkio as the first member of its device and struct blkioq as the first
 * member of its queue, and offers one const struct bk_driver. The core allocates both, zeroed.
 *
 * Life of a request (a struct bk_req), always in this direction:
 *
 *   blkioq_read() -> validate -> submit() -> the device -> enter() -> bk_complete() -> done list
 *                        |          ^                                        |
 *                        +-backlog--+<---- next stage (FUA, short read) ---+
 *
 * The backlog (FIFO) and the done list live in core/queue.c and nowhere else. submit() never sleeps
 * and never enters the kernel; enter() does both. Emulated FUA, continuation of short transfers and
 * the write-zeroes fallback are stages of the same request, which the core puts at the front of the
 * backlog: drivers do not know about them.
 */
#ifndef BK_DRIVER_H
#define BK_DRIVER_H

#include <errno.h>

#include "blkio.h"
#include "util.h"

/* ---- Errors ------------------------------------------------------------------------------- */

/*
 * Set this thread's error message and return -errnum, so that the two cannot part:
 *     return bk_err(EINVAL, "queue-size must be a power of two, got %d", n);
 */
int bk_err(int errnum, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));

/* ---- Requests ----------------------------------------------------------------------------- */

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

struct bk_req {
	struct bk_req *next; /* of whichever list it is on; the driver's while the device has it */
	void *user_data;
	uint64_t start; /* bytes */
	uint64_t len;	/* bytes: sum of the segments for BK_READ and BK_WRITE */
	/*
	 * What the driver passes to bk_complete() when nothing is left to do: len for reads and
	 * writes, 0 for the rest. The core sets it to something else when stages follow.
	 */
	int64_t expect;
	const struct iovec *iov; /* BK_READ, BK_WRITE: iovcnt segments, also when there is one */
	int iovcnt;
	uint8_t op;		/* enum bk_op */
	bool special;		/* false: a plain request, see above; written by the core */
	uint8_t flags;		/* BLKIO_REQ_* | BK_REQ_* */
	uint8_t stage;		/* core only: the stages that follow */
	struct iovec *iov_copy; /* core only: segments that are not the caller's */
	/* -- second cache line -- */
	struct iovec one; /* the segment of blkioq_read() and blkioq_write() */
	const char *error_msg;
	int ret;
	uint32_t nr_zones; /* BK_ZONE_REPORT */
	union {
		struct blkio_zone *zones; /* BK_ZONE_REPORT: out */
		uint64_t zeroes_left;	  /* core only: the write-zeroes fallback's, bytes */
	};
	uint32_t retries; /* core only */
	uint32_t bounce;  /* core only: which bounce buffer it has */
	uint64_t priv[2]; /* the driver's, from submit() to bk_complete() */
};
_Static_assert(sizeof(struct bk_req) == 128, "two cache lines");

/* FIFO. An empty one has its tail at &head. */
struct bk_req_list {
	struct bk_req *head, **tail;
};

/* ---- Limits ------------------------------------------------------------------------------- */

/*
 * What the device can do: filled in by connect(), read by properties and by request validation,
 * constant afterwards. 0 means unlimited for every max_*. Alignments are powers of two unless said.
 */
struct bk_limits {
	uint32_t ops; /* BK_OP_BIT()s the driver takes; the core refuses others with ENOTSUP */
	int request_alignment, optimal_io_alignment, optimal_io_size;
	int buf_alignment, optimal_buf_alignment;
	/* submit() gets buffers that are not aligned, too, and judges itself: some of them work. */
	bool takes_odd_buffers;
	int max_segments, max_segment_len, max_transfer;
	/* submit() gets what is beyond these, too, does the first of it, and says how much. */
	bool takes_long_requests;
	uint64_t max_write_zeroes_len;
	uint64_t max_discard_len;
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
 * bool, int, uint64_t or char * (malloc'ed). check() may refuse a new value; get() replaces the
 * field on reads. The tables end with a row without name; a driver's row hides a common one.
 */
struct bk_prop {
	const char *name;
	const char *doc; /* one sentence with unit and meaning of special values, for the manual */
	enum bk_type type;
	enum bk_readable readable;
	enum bk_writable writable;
	size_t offset;
	int (*get)(struct blkio *b, union bk_val *val);
	int (*check)(struct blkio *b, const struct bk_prop *p, const union bk_val *val);
};

/* ---- Memory regions ----------------------------------------------------------------------- */

/* A mapped region as drivers see it. */
struct bk_region {
	uintptr_t addr;
	uint64_t len;
	uint64_t iova; /* set by map(), defaults to addr */
	uint64_t id;   /* never reused: the same memory mapped again is another region */
	uint32_t slot; /* small, unique among the mapped, reused after unmap */
};

/* A queue's memory of its last lookup. */
struct bk_region_hit {
	struct bk_region region;
	uint64_t generation;
};

/* Copy up to max mapped regions to out; returns how many there are. */
size_t bk_region_snapshot(const struct blkio *b, struct bk_region *out, size_t max);

/* ---- Driver ------------------------------------------------------------------------------- */

/* What else ends the sleep of enter(); most calls have none of it and pass NULL. */
struct bk_wait {
	const struct timespec *timeout; /* relative; NULL: no limit */
	const sigset_t *sigmask;	/* NULL: leave the thread's mask alone */
	bool interruptible;		/* return -EINTR when a signal came */
};

struct bk_driver {
	const char *name;
	size_t device_size, queue_size; /* of the embedding structs */
	const struct bk_prop *props;	/* NULL: only the common ones */
	enum bk_state limits_from;	/* BK_GET_LIMIT properties are readable from here */
	enum bk_state topology_from;	/* max-queues and max-mem-regions */
	bool can_add_queues;

	/*
	 * Control. Called by one thread at a time; return 0 or bk_err(). After a failure the core
	 * calls nothing to undo the call: leave things as they were.
	 */
	void (*init)(struct blkio *b);	 /* defaults that are not 0, in lim and own fields */
	int (*connect)(struct blkio *b); /* open the device, fill in b->lim */
	int (*start)(struct blkio *b);	 /* optional; before queue_init(), again if that fails */
	void (*close)(struct blkio *b);	 /* any state; after the last queue_exit() */
	int (*capacity)(struct blkio *b, uint64_t *bytes);
	/*
	 * Optional. Other threads may be in hot functions. region->iova may be set. fd belongs to
	 * the caller. The core has checked alignment, overlap, fd and count.
	 */
	int (*map)(struct blkio *b, struct bk_region *region, int fd, int64_t fd_offset);
	void (*unmap)(struct blkio *b, const struct bk_region *region);
	/* q->index, q->is_poll and q->completion_fd (-1 for poll queues) are set. */
	int (*queue_init)(struct blkio *b, struct blkioq *q);
	/* Optional: all queues of blkio_start() are there. Failing, queue_exit() follows. */
	int (*run)(struct blkio *b);
	/* Waits (bounded) for what is in flight, so that buffers can be freed. */
	void (*queue_exit)(struct blkio *b, struct blkioq *q);

	/*
	 * Hot. Called by the queue's thread only.
	 *
	 * submit: take a valid request. bk_complete() must then be called for it exactly once,
	 *         here or from enter(), also when it cannot be done; or bk_full(), right here: the
	 *         core keeps it and tries again after enter(). An empty queue is never full.
	 *         (Nothing is returned so that the call is the last thing the core does.)
	 * enter:  show the device all that was submitted; if wait_nr > 0, sleep until wait_nr
	 *         requests (never more than are in flight) are finished, or for a shorter time;
	 *         then bk_complete() every finished request, also after an error. w may be NULL.
	 *         0, -ETIME, -EINTR or, when the queue is beyond use, another -errno.
	 */
	void (*submit)(struct blkioq *q, struct bk_req *r);
	int (*enter)(struct blkioq *q, unsigned wait_nr, const struct bk_wait *w);

	/* Signal completion_fd when requests complete, or stop. Optional: drivers that complete
	 * within submit() need none, the core signals for what is on the done list. */
	void (*notify)(struct blkioq *q, bool on);
};

/* ---- Base structs ------------------------------------------------------------------------- */

struct bk_mem;		/* core/mem.c */
struct bk_region_table; /* core/region.c */

struct blkio {
	const struct bk_driver *drv;
	enum bk_state state;
	struct bk_limits lim;
	/* properties that every driver has */
	bool read_only, auto_read_only;
	int num_queues, num_poll_queues;
	int bounce_buffers, bounce_buffer_size;
	/* core only */
	uint64_t region_seq; /* generation of the region table; odd while it changes */
	struct bk_region_table *regions;
	struct bk_mem *mem;
	struct bk_queue_table {
		struct blkioq **q;
		int n;
	} queues, poll_queues;
};

struct blkioq {
	/* -- first cache line: what queueing a request needs -- */
	void (*submit)(struct blkioq *q, struct bk_req *r); /* the driver's; queue_init() may */
	int (*enter)(struct blkioq *q, unsigned wait_nr,    /* choose faster ones */
		     const struct bk_wait *w);
	struct bk_req *free;
	/* limits in the form that validation wants: core/queue.c */
	uint64_t request_mask, buf_mask;
	uint64_t max_read, max_write; /* bytes in one segment; 0 sends all to the slow path */
	uint64_t end;
	/* -- second cache line: what completing one needs, too -- */
	struct bk_req_list backlog, done;
	struct blkio_completion *out, *out_end; /* of the running do_io: completions go here */
	unsigned outstanding;			/* queued and not yet returned to the caller */
	unsigned nr_done;			/* of those, on the done list */
	unsigned nr_dropped; /* requests that found no memory; reported by the next do_io */

	bool is_poll;
	bool notify_on;
	bool full; /* core only: what submit() just said */
	/* -- the rest -- */
	const struct bk_driver *drv;
	struct blkio *b;
	struct bk_bounce *bounce; /* core/bounce.c; NULL: not needed so far */
	void (*device_submit)(struct blkioq *q, struct bk_req *r);
	int index;
	int completion_fd;
	struct bk_region_hit hit;
	struct bk_chunk *chunks;
};

/* ---- Memory look-up, for drivers ---------------------------------------------------------- */

const struct bk_region *bk_region_find_slow(struct blkioq *q, uintptr_t addr, size_t len);

static inline bool bk_region_holds(const struct bk_region *r, uintptr_t addr, size_t len)
{
	return addr - r->addr < r->len && len <= r->len - (addr - r->addr);
}

/* Changes with every map and unmap, for drivers that mirror the table. */
static inline uint64_t bk_region_generation(const struct blkio *b)
{
	/* Acquire: what is read of the table is no older than this. */
	return __atomic_load_n(&b->region_seq, __ATOMIC_ACQUIRE);
}

/*
 * Find the mapped region that holds [addr, addr + len). NULL when there is none: the request
 * touches unmapped memory or crosses the end of a region. Takes no lock; another thread may map
 * and unmap other regions meanwhile. The result is valid until the next call on the same queue.
 */
static inline const struct bk_region *bk_region_find(struct blkioq *q, const void *addr, size_t len)
{
	if (likely(q->hit.generation == bk_region_generation(q->b) &&
		   bk_region_holds(&q->hit.region, (uintptr_t)addr, len)))
		return &q->hit.region;
	return bk_region_find_slow(q, (uintptr_t)addr, len);
}

/*
 * A file of memory that the device can be given: of huge pages if lim.needs_huge_pages. *len: bytes
 * that are wanted, rounded up to whole pages. The fd or bk_err().
 */
int bk_memory_fd(const struct blkio *b, size_t *len);
/* What to say when mapping it into our own address space failed. */
int bk_memory_err(const struct blkio *b, size_t len);

/* ---- Completion, for drivers -------------------------------------------------------------- */

void bk_complete_slow(struct blkioq *q, struct bk_req *r, int64_t res);

static inline void bk_list_push(struct bk_req_list *l, struct bk_req *r)
{
	r->next = NULL;
	*l->tail = r;
	l->tail = &r->next;
}

static inline void bk_done(struct blkioq *q, struct bk_req *r)
{
	bk_list_push(&q->done, r);
	q->nr_done++;
}

/*
 * bk_complete() for a request that did what it should, which calls nothing; false, and nothing has
 * happened, for another. A plain one goes straight to the caller who waits.
 */
static inline bool bk_complete_fast(struct blkioq *q, struct bk_req *r, int64_t res)
{
	struct blkio_completion *c = q->out;

	if (unlikely(res != r->expect))
		return false;
	if (unlikely(r->special || c == q->out_end)) {
		bk_done(q, r);
		return true;
	}
	*c = (struct blkio_completion){ .user_data = r->user_data };
	q->out = c + 1;
	r->next = q->free;
	q->free = r;
	return true;
}

/*
 * The device finished r. res: bytes transferred for reads and writes, else 0 (BK_ZONE_REPORT: the
 * number of zones); or a negative errno value. r is no longer the driver's.
 */
static inline void bk_complete(struct blkioq *q, struct bk_req *r, int64_t res)
{
	if (unlikely(!bk_complete_fast(q, r, res)))
		bk_complete_slow(q, r, res);
}

/* bk_complete() with an error that there is more to say about. msg: static text. */
static inline void bk_fail(struct blkioq *q, struct bk_req *r, int errnum, const char *msg)
{
	r->error_msg = msg;
	bk_complete_slow(q, r, -errnum);
}

/* Give r back to be submitted again, before anything else that waits: the driver knows a way. */
void bk_retry(struct blkioq *q, struct bk_req *r);

/* The same for an error that may pass; after some tries it completes r. */
void bk_retry_transient(struct blkioq *q, struct bk_req *r, int error);

/* submit() has no room for r. */
void bk_full(struct blkioq *q, struct bk_req *r);

#endif
