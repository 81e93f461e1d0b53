/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract between the core and its drivers. drivers/null.c is the smallest driver: read it
 * next to this file. request.h, property.h and waiting.h belong to the contract.
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
 * The backlog (FIFO) and the done list live in core/backlog.c and nowhere else. submit() never
 * sleeps and never enters the kernel; enter() does both. Emulated FUA, continuation of short
 * transfers and the write-zeroes fallback are stages of the same request, which the core puts at
 * the front of the backlog: drivers do not know about them. Neither submit(), enter() nor a stage
 * maps memory, waits for a control call, or takes a lock that is held across one:
 * tests/style/hot_paths.py.
 */
#ifndef BK_DRIVER_H
#define BK_DRIVER_H

#include <errno.h>
#include <limits.h>
#include <pthread.h>

#include "blkio.h"
#include "property.h"
#include "request.h"
#include "trace.h"
#include "util.h"
#include "waiting.h"

/* ---- Errors ------------------------------------------------------------------------------- */

/*
 * Set this thread's error message and return -errnum, so that the two cannot part:
 *     return bk_err(EINVAL, "queue-size must be a power of two, got %d", n);
 */
int bk_err(int errnum, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));

/* A message that is kept while the failure is cleaned up after, which may fail as well. */
struct bk_err_msg {
	char s[512];
};
struct bk_err_msg bk_err_save(void);
void bk_err_restore(const struct bk_err_msg *m);

/*
 * For control paths: a line on stderr, where the environment has BLKIO_DEBUG=1. errno stays, and %m
 * is what it stands for.
 */
void bk_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2), cold));

/* ---- Memory regions ----------------------------------------------------------------------- */

/* A mapped region as drivers see it. */
struct bk_region {
	uintptr_t addr;
	uint64_t len;
	uint64_t iova; /* set by map(), defaults to addr */
	uint64_t id;   /* never reused: the same memory mapped again is another region */
	uint32_t slot; /* small, unique among the mapped, reused after unmap */
	bool guest;    /* a guest's memory: iova is given, and map() keeps it; not in snapshots */
};

/* A queue's memory of its last lookup. */
struct bk_region_hit {
	struct bk_region region;
	uint64_t generation;
};

/* Copy up to max mapped regions to out; returns how many there are. */
size_t bk_region_snapshot(const struct blkio *b, struct bk_region *out, size_t max);

/* The guest's memory at [iova, iova + len), all in one region; NULL. On control paths only. */
const struct bk_region *bk_region_of_guest(const struct blkio *b, uint64_t iova, uint64_t len);

/* ---- Exports ------------------------------------------------------------------------------ */

/* For bk_driver.list: in the order in which the server names them. */
struct bk_exports {
	int n;
	struct blkio_export *e; /* with sizes that the driver sets, once it knows them */
	size_t bytes;		/* of text */
};

/* One more: name and description, of these lengths, are the server's. 0, or bk_err(). */
int bk_export_add(struct bk_exports *x, const char *name, size_t name_len, const char *text,
		  size_t text_len);

/* ---- Driver ------------------------------------------------------------------------------- */

/* What else ends the sleep of enter(); most calls need none of it and pass NULL. */
struct bk_wait {
	const struct timespec *timeout; /* relative; NULL: no limit */
	const sigset_t *sigmask;	/* NULL: leave the thread's mask alone */
	/*
	 * A signal must end the sleep. All are blocked but for the time that sigmask is in effect:
	 * return -EINTR whenever a handler ran in that time, also when some requests are finished.
	 */
	bool interruptible;
};

enum bk_drained {
	BK_BUSY,
	BK_QUIET, /* nothing of the queue can access memory any more */
	BK_HELD,  /* the device will not release memory: waiting is useless */
};

/*
 * Queue passthrough, of drivers with the property "num-vrings". On control paths; connected, or
 * started for start() and those that follow. index is below b->num_vrings, vring->size a power of
 * two, and vring->flags and reserved_ are 0.
 *
 * As long as a vring runs, the device reaches regions with guest set only: not those of others, nor
 * b->own. Own queues are on hold then: bk_hold() before the first, bk_unhold() after the last.
 */
struct bk_vring_ops {
	int (*features)(struct blkio *b, uint64_t *offered);
	int (*config)(struct blkio *b, void *buf, size_t len);
	int (*start)(struct blkio *b, int index, const struct blkio_vring *vring);
	int (*stop)(struct blkio *b, int index, struct blkio_vring *state);
	/* Whether a part of a running vring lies in this region. */
	bool (*uses)(const struct blkio *b, const struct bk_region *region);
	/* The instance ends: stop all, and leave own queues on hold. A device that does not stop
	 * is given up. */
	int (*stop_all)(struct blkio *b);
};

struct bk_driver {
	const char *name;
	size_t device_size, queue_size; /* of the embedding structs */
	const struct bk_prop *props;	/* NULL: only the common ones */
	enum bk_state limits_from;	/* BK_GET_LIMIT properties are readable from here */
	enum bk_state topology_from;	/* max-queues and max-mem-regions */
	bool
	    opens_files; /* and block devices, by "path"; the preferred driver first in the table */
	/* Optional: does the kernel let this process use the driver? From any thread. */
	bool (*is_permitted)(void);
	bool can_add_queues; /* not where lim.needs_mem_regions: own is made for those of start() */

	/*
	 * Control. Called by one thread at a time; return 0 or bk_err(). Waits keep to
	 * bk_deadline(). After a failure the core calls nothing to undo the call: give back what it
	 * got hold of (descriptors, memory, mappings). Fields need no care where the core puts them
	 * back: after connect() all of the device's struct, after start(), queue_init() and run()
	 * all of lim.
	 */
	void (*init)(struct blkio *b); /* defaults that are not 0, in lim and own fields */
	/* Open the device, fill in b->lim. For a given fd that cannot write set b->read_only. */
	int (*connect)(struct blkio *b);
	int (*start)(struct blkio *b); /* optional; before queue_init(), again if that fails */
	/* Any state; after the last queue_exit(). If b->stuck, memory stays as with that. */
	void (*close)(struct blkio *b);
	int (*capacity)(struct blkio *b, uint64_t *bytes);
	/*
	 * Optional: ask the server that the properties name what there is to connect to. In any
	 * state; changes nothing.
	 */
	int (*list)(struct blkio *b, struct bk_exports *x);
	const struct bk_vring_ops *vring; /* optional */
	/*
	 * Optional. Other threads may be in hot functions. region->iova may be set. fd belongs to
	 * the caller. The core has checked alignment, overlap, fd and count. After unmap() the
	 * device does not reach the region by our addresses; without unmap(), and if b->stuck, the
	 * core keeps the memory that it allocated.
	 */
	int (*map)(struct blkio *b, struct bk_region *region, int fd, int64_t fd_offset);
	void (*unmap)(struct blkio *b, const struct bk_region *region);
	/* q->index, q->is_poll and q->completion_fd (-1 for poll queues) are set. */
	int (*queue_init)(struct blkio *b, struct blkioq *q);
	/* Optional: all queues of blkio_start() are there. Failing, queue_exit() follows. */
	int (*run)(struct blkio *b);
	/*
	 * The end of a queue: drain() until it is quiet or the time is over (core/end.c), then
	 * queue_exit().
	 *
	 * drain: take in what has finished, with bk_complete(), and bk_cancel() what the device was
	 *        not shown yet. Never sleeps; called again after a pause. From any thread, but
	 *        nobody else uses the queue. cancel: the time is nearly over, give up requests that
	 *        can be cancelled; with them those of other queues only if b->ending. Optional:
	 *        drivers that complete within submit() need none.
	 * queue_exit: release the queue. Waits for the device no longer than bk_deadline(). Unless
	 *        q->quiet the device may still touch memory: what it reaches by our addresses stays
	 *        (the core does not free the queue then); all else goes.
	 */
	enum bk_drained (*drain)(struct blkio *b, struct blkioq *q, bool cancel);
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
	 *         0, -ETIME, -EINTR or, when the queue can no longer be used, another -errno.
	 */
	void (*submit)(struct blkioq *q, struct bk_req *r);
	int (*enter)(struct blkioq *q, unsigned wait_nr, const struct bk_wait *w);

	/* Signal completion_fd when requests complete, or stop. Optional: drivers that complete
	 * within submit() need none, the core signals for what is on the done list. */
	void (*notify)(struct blkioq *q, bool on);
};

/* ---- Base structs ------------------------------------------------------------------------- */

struct bk_control;	/* core/control.c */
struct bk_mem;		/* core/mem.c */
struct bk_region_table; /* core/region.c */

/* Memory that is never freed, because a device may still access it: core/end.c. */
struct bk_kept {
	struct bk_kept *next;
};

struct blkio {
	/* Never changes; blkio_cancel() may read it during connect(). */
	struct bk_control *control;
	const struct bk_driver *drv;
	enum bk_state state;
	struct bk_limits lim;
	/* properties that every driver has */
	bool read_only, auto_read_only;
	int connect_timeout; /* milliseconds; see struct bk_deadline */
	int poll_max_ns;     /* a property of drivers that spin before they sleep: BK_POLL_MAX_NS */
	int num_queues, num_poll_queues;
	int num_vrings; /* of the guest's; a property of drivers with vring ops: BK_NUM_VRINGS */
	int bounce_buffers, bounce_buffer_size;
	/*
	 * Memory of the core's own, where lim.needs_mem_regions: own.len bytes, which start() finds
	 * on a page boundary, zeroed, within what the device reaches until close(). It fills in
	 * addr and iova. It does not count towards max_mem_regions.
	 */
	struct bk_region own;
	bool ending; /* no queue takes requests any more */
	bool stuck;  /* the end came before all queues were quiet */
	/* What only the core's files touch, and the functions below. */
	struct {
		struct bk_kept kept;
		char *zeroes; /* for requests to write from; once started */
		void *zeroes_map;
		size_t zeroes_len;
		uint64_t region_seq; /* generation of the region table; odd while it changes */
		struct bk_region_table *regions;
		struct bk_mem *mem;
		/* When the end is to be over; 0: nothing ends. */
		int64_t end_by;
		pthread_mutex_t gone_lock; /* of live, and of setting gone */
		const char *gone;	   /* why the device is not what it was; NULL: it is */
		const char *held;	   /* why own queues are on hold; NULL: they are not */
		struct blkioq *live;	   /* all queues */
		struct bk_queue_table {
			struct blkioq **q;
			int n;
		} queues, poll_queues;
	} core;
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
	unsigned nr_done;			/* requests on the done list */
	bool is_poll;
	bool notify_on;
	/* What only the core's files touch; the first two are in the second cache line. */
	struct {
		unsigned outstanding;	  /* requests queued and not yet returned to the caller */
		unsigned nr_dropped;	  /* that found no memory; reported by the next do_io */
		bool full;		  /* what submit() just said */
		struct bk_bounce *bounce; /* core/bounce.c; NULL: without */
		void (*device_submit)(struct blkioq *q, struct bk_req *r);
		struct blkioq *next_live; /* core/gone.c */
		/* what submit is again after a hold */
		void (*held_submit)(struct blkioq *q, struct bk_req *r);
		struct bk_chunk *chunks;
		struct bk_kept kept;
	} core;
	/* -- the rest -- */
	const struct bk_driver *drv;
	struct blkio *b;
	int index;
	int completion_fd;
	bool quiet;   /* BK_QUIET was what drain() said */
	bool leaving; /* it is to be removed: drain() may lose completions */
	struct bk_region_hit hit;
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
	return __atomic_load_n(&b->core.region_seq, __ATOMIC_ACQUIRE);
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
/* As ftruncate(), but beyond RLIMIT_FSIZE it only fails (EFBIG), without the deadly SIGXFSZ. */
int bk_set_file_size(int fd, size_t len);
/* What to say when mapping it into our own address space failed. */
int bk_memory_err(const struct blkio *b, size_t len);

/*
 * Copy to and from memory that the caller gave, which may not be accessible: 0, or -EFAULT without
 * having copied anything. Needs a system call for each page.
 */
int bk_copy_to_caller(void *theirs, const void *ours, size_t len);
int bk_copy_from_caller(void *ours, const void *theirs, size_t len);
int bk_zero_caller(void *theirs, size_t len);
/* Can it be accessed, as far as is known? */
bool bk_caller_has(const void *theirs, size_t len, bool writable);

/* ---- Block status, for drivers ------------------------------------------------------------ */

/*
 * How to answer a BK_BLOCK_STATUS: begin, add one extent after the other, each from where the one
 * before it ends, the first from r->start, and bk_complete() with 0. What the device said need not
 * be whole blocks, and may go on behind the request: what the caller gets is cut to
 * request_alignment and to the request, and equal neighbours are one. From any thread; needs some
 * system calls, none of which sleeps.
 *
 * len is not 0. flags: BLKIO_EXTENT_*. False: the caller needs no more of them.
 */
static inline void bk_extents_begin(struct bk_req *r)
{
	r->found = (struct bk_found){ .to = r->start, .block = r->found.block };
}
bool bk_extent_add(struct bk_req *r, uint64_t len, uint32_t flags);

/* ---- Completion, for drivers -------------------------------------------------------------- */

void bk_complete_slow(struct blkioq *q, struct bk_req *r, int64_t res);

static inline void bk_list_init(struct bk_req_list *l)
{
	l->head = NULL;
	l->tail = &l->head;
}

/* What is before r is no longer on the list; NULL: all of it. */
static inline void bk_list_set_head(struct bk_req_list *l, struct bk_req *r)
{
	l->head = r;
	if (!r)
		l->tail = &l->head;
}

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
static force_inline bool bk_complete_fast(struct blkioq *q, struct bk_req *r, int64_t res)
{
	struct blkio_completion *c = q->out;

	if (unlikely(res != r->expect))
		return false;
	if (unlikely(r->special || c == q->out_end)) {
		bk_trace(complete, q, r, 0);
		bk_done(q, r);
		return true;
	}
	*c = (struct blkio_completion){ .user_data = r->user_data };
	q->out = c + 1;
	r->next = q->free;
	q->free = r;
	bk_trace(complete, q, r, 0);
	return true;
}

/*
 * The device finished r. res: bytes transferred for reads and writes, else 0 (BK_ZONE_REPORT: the
 * number of zones; the core itself counts extents); or a negative errno value. r is no longer the
 * driver's.
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

/* For queue_init(): where this queue's requests must end, if that is not lim.end. */
void bk_queue_set_end(struct blkioq *q, uint64_t end);

/*
 * The device has changed since connect(), for example its block size. From now on every request
 * that is submitted fails with ENODEV and msg, static text; so do capacity and new queues. The
 * first message stays. From any thread, and from hot functions.
 */
void bk_set_gone(struct blkio *b, const char *msg);

/* That message, or NULL. */
static inline const char *bk_gone(const struct blkio *b)
{
	return __atomic_load_n(&b->core.gone, __ATOMIC_ACQUIRE);
}

/*
 * Requests that are submitted from now on fail with EBUSY and msg, static text; those that were are
 * the driver's to finish. Until bk_unhold().
 */
void bk_hold(struct blkio *b, const char *msg);
void bk_unhold(struct blkio *b);

/*
 * For submit(), where lim.takes_long_requests: the part of r to begin with, within max_transfer and
 * max_segments. Only where it is one segment may that go on behind the part. bk_complete() is to be
 * told p->len. 0 or -errno; calling it again is harmless.
 */
int bk_first_piece(struct blkioq *q, struct bk_req *r, struct bk_piece *p);

/* Submit r again, ahead of all requests that wait: the driver has another way to do it. */
void bk_retry(struct blkioq *q, struct bk_req *r);

/* The same for an error that may pass; after some tries it completes r. */
void bk_retry_transient(struct blkioq *q, struct bk_req *r, int error);

/* bk_retry(), up to max times, if r may be the cause of the error; then false: fail it. */
bool bk_retry_again(struct blkioq *q, struct bk_req *r, unsigned max);

/* For drain(): the device was never shown r, and will not be. */
void bk_cancel(struct blkioq *q, struct bk_req *r);

/* submit() has no room for r. */
void bk_full(struct blkioq *q, struct bk_req *r);

#endif
