/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the core's files offer each other; drivers see driver.h only. */
#ifndef BK_CORE_H
#define BK_CORE_H

#include <sys/eventfd.h>

#include "driver.h"

/* drivers.c: NULL when no driver has that name */
const struct bk_driver *bk_find_driver(const char *name);
/* NULL past the last one */
const struct bk_driver *bk_driver_at(size_t index);

/* props_common.c */
extern const struct bk_prop bk_common_props[];

/* prop.c */
bool bk_is_utf8(const char *s);
/* The first state in which the property can be read. */
enum bk_state bk_prop_readable_from(const struct bk_driver *drv, const struct bk_prop *p);
void bk_free_props(struct blkio *b);

/* region.c: the table; what changes it is called under the lock of mem.c */
int bk_regions_init(struct blkio *b);
void bk_regions_exit(struct blkio *b);
/* Room for one more, and its slot, which is given back by release() or erase(). */
int bk_region_reserve(struct blkio *b, uint32_t *slot);
void bk_region_release(struct blkio *b, uint32_t slot);
void bk_region_insert(struct blkio *b, const struct bk_region *region);
void bk_region_erase(struct blkio *b, const struct bk_region *region);
size_t bk_region_count(const struct blkio *b);
/* One that the device knows by some of these addresses; NULL. */
const struct bk_region *bk_region_at_iova(const struct blkio *b, uint64_t iova, uint64_t len);
/* The last region that starts at or below addr, and the one after it; NULL when there is none. */
struct bk_region_pair {
	const struct bk_region *below, *above;
} bk_region_neighbours(const struct blkio *b, uintptr_t addr);

/* mem.c */
int bk_mem_init(struct blkio *b);
void bk_mem_exit(struct blkio *b);

/* own.c: b->own and b->core.zeroes */
/* Before the driver's start(): what it is to find memory for. */
int bk_own_prepare(struct blkio *b);
/* After it; stop() may follow without start(). */
int bk_own_start(struct blkio *b);
void bk_own_stop(struct blkio *b);
/* The part of a queue, bk_bounce_len() bytes; NULL where the queue is to get its own. */
char *bk_own_bounce(const struct blkioq *q);

/* control.c */
int bk_control_init(struct blkio *b);
void bk_control_exit(struct blkio *b);
union bk_call_args {
	struct blkio_mem_region region;
	struct {
		struct bk_queue_table *table;
		int index;
	} queue;
	struct timespec *timeout;
	uint64_t *bytes;
	struct bk_exports *exports;
	uint64_t *features;
	struct {
		void *buf;
		size_t len;
	} config;
	struct {
		int index;
		struct blkio_vring vring;  /* to start */
		struct blkio_vring *state; /* of one to stop */
	} vring;
};
typedef int bk_call(struct blkio *b, const union bk_call_args *args);
/* 0; -EINVAL for NULL; -EBUSY while an asynchronous call is in progress. */
int bk_control_check(const struct blkio *b);
/* Check, then make a control call with a deadline, which can be cancelled. */
int bk_control_call(struct blkio *b, bk_call *call, const union bk_call_args *args);

/* What follows in the call of this thread has all of its time: requests had theirs before. */
void bk_control_restart(const struct blkio *b);
/* What follows in the call of this thread ends by then, too; of now_ns(). */
void bk_control_limit(const struct blkio *b, int64_t at);
/* For those that cannot fail: wait for the asynchronous call, then make this one. */
void bk_control_call_after(struct blkio *b, bk_call *call, const union bk_call_args *args);
/* Check, then make the call on a thread; args are copied. */
int bk_control_start(struct blkio *b, bk_call *call, const union bk_call_args *args);
/* The asynchronous call that was not collected yet, or NULL. */
bk_call *bk_control_running(const struct blkio *b);
/* Wait until the asynchronous call is over, if there is one; it remains to be collected. */
void bk_control_settle(struct blkio *b);

/* Of the call that this thread is in; -1: none, or it cannot be cancelled. */
int bk_cancel_fd(const struct blkio *b);

/* end.c */
/* 0, or bk_err() for a timeout of the caller's that is not valid. */
int bk_check_timeout(const struct timespec *timeout);
/* End all queues, within some seconds; sets b->stuck. */
void bk_end_all(struct blkio *b);
/* The queues are gone, but there may be others. */
void bk_end_undo(struct blkio *b);
/* End this one. 0, or -ETIME when it has to be tried again. */
int bk_end_queue(struct blkioq *q);
/* Never free what holds k. */
void bk_keep(struct bk_kept *k);

/* vring.c */
/* Stop those that run, as the instance ends. -errno: the device may go on with some. */
int bk_end_vrings(struct blkio *b);
/* -EBUSY: the device uses the region for a guest's ring. */
int bk_check_unmap(const struct blkio *b, const struct bk_region *r);

/* queue.c */
/* *qp is left alone on failure. */
int bk_queue_new(struct blkio *b, int index, bool poll, struct blkioq **qp);
/* Of a queue that has ended, or was never used. */
void bk_queue_free(struct blkioq *q);
/* Get memory for more requests onto q->free. */
bool bk_add_requests(struct blkioq *q);

/* backlog.c */
/* A free request, as struct bk_req describes it. */
void bk_req_reset(struct bk_req *r);
/* Complete r, for good. */
void bk_finish(struct blkioq *q, struct bk_req *r, int ret);
/* Offer the backlog to the driver; returns how many requests left it. */
unsigned bk_feed(struct blkioq *q);
/* Move up to max requests from the done list to the caller. */
int bk_collect(struct blkioq *q, struct blkio_completion *out, int max);
/* Put the last n completions, which went straight to the caller, on the done list instead. */
void bk_return_to_done(struct blkioq *q, unsigned n);

/* The caller may sleep on the completion fd next: it must know about what is on the done list. */
static inline void bk_signal_done(const struct blkioq *q)
{
	if (unlikely(q->notify_on) && q->done.head)
		eventfd_write(q->completion_fd, 1);
}

/* gone.c */
/* 0, or bk_err() of an instance whose device is gone. */
int bk_check_gone(const struct blkio *b);
/* A queue that may be diverted, from its beginning to its end. */
void bk_gone_add_queue(struct blkioq *q);
void bk_gone_remove_queue(struct blkioq *q);

/* bounce.c */
/* What the properties say: can it be done? */
int bk_bounce_check(const struct blkio *b);
/* Bytes that the buffers of a queue take. */
uint64_t bk_bounce_len(const struct blkio *b);
/* buf: memory for the buffers, bk_bounce_len() bytes; NULL: allocate it. */
int bk_bounce_init(struct blkioq *q, char *buf);
/* Once the driver has chosen q->submit. */
void bk_bounce_attach(struct blkioq *q);
void bk_bounce_exit(struct blkioq *q);
/* A piece of r is done: 1 with the next one in place; 0 when that was all, or -EFAULT. */
int bk_bounce_next(struct blkioq *q, struct bk_req *r);
/* r, with BK_STAGE_BOUNCE, needs its buffer no longer. */
void bk_bounce_release(struct blkioq *q, struct bk_req *r);

/* extents.c */
/* r, a BK_BLOCK_STATUS, is answered: the number of extents, or a negative errno value. */
int bk_extents_end(struct bk_req *r);

/* stages.c */
/* A BK_WRITE_ZEROES that is not whole blocks: point r at its first piece. 0 or -errno. */
int bk_zeroes_around_blocks(struct blkioq *q, struct bk_req *r);
enum bk_stage {
	BK_STAGE_FLUSH = 1 << 0,  /* a flush follows: emulated FUA */
	BK_STAGE_ZEROES = 1 << 1, /* writes zero buffers in place of BK_WRITE_ZEROES */
	BK_STAGE_BOUNCE = 1 << 2, /* goes through a bounce buffer, piece by piece */
	BK_STAGE_BLOCKS = 1 << 3, /* with ZEROES: but whole blocks stay BK_WRITE_ZEROES */
};
/* expect of a request with stages: no result of a driver. */
#define BK_EXPECT_STAGES INT64_MIN

#endif
