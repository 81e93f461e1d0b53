/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the core's files offer each other; drivers see driver.h only. */
#ifndef BK_CORE_H
#define BK_CORE_H

#include "driver.h"

/* drivers.c: NULL when there is none of that name */
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
/* The last region that starts at or below addr, and the one after it; NULL when there is none. */
struct bk_region_pair {
	const struct bk_region *below, *above;
} bk_region_neighbours(const struct blkio *b, uintptr_t addr);

/* mem.c */
int bk_mem_init(struct blkio *b);
void bk_mem_exit(struct blkio *b);
/* A zero buffer of *len bytes that requests may write from; made on first use. From any thread. */
int bk_mem_zeroes(struct blkio *b, void **buf, size_t *len);
/* Memory that requests may use, mapped where needed; freed like any region. From any thread. */
int bk_mem_get(struct blkio *b, struct blkio_mem_region *region, uint64_t len);

/* queue.c */
/* *qp is left alone on failure. */
int bk_queue_new(struct blkio *b, int index, bool poll, struct blkioq **qp);
void bk_queue_free(struct blkioq *q);
/* Get memory for more requests onto q->free. */
bool bk_add_requests(struct blkioq *q);
/* Offer the backlog to the driver; returns how many requests left it. */
unsigned bk_feed(struct blkioq *q);
/* Move up to max requests from the done list to the caller. */
int bk_collect(struct blkioq *q, struct blkio_completion *out, int max);
/* Take the last n completions that went straight to the caller back to the done list. */
void bk_undeliver(struct blkioq *q, unsigned n);

/* Complete r, for good. */
void bk_finish(struct blkioq *q, struct bk_req *r, int ret);

/* bounce.c */
/* Once the driver has chosen q->submit. */
void bk_bounce_init(struct blkioq *q);
void bk_bounce_exit(struct blkioq *q);
/* A piece of r is done: true with the next one in place, or false and r has no buffer any more. */
bool bk_bounce_next(struct blkioq *q, struct bk_req *r);
/* r, with BK_STAGE_BOUNCE, ends early. */
void bk_bounce_release(struct blkioq *q, struct bk_req *r);

/* stages.c */
enum bk_stage {
	BK_STAGE_FLUSH = 1 << 0,  /* a flush follows: emulated FUA */
	BK_STAGE_ZEROES = 1 << 1, /* writes zero buffers in place of BK_WRITE_ZEROES */
	BK_STAGE_BOUNCE = 1 << 2, /* goes through a bounce buffer, piece by piece */
};
/* expect of a request with stages: no result of a driver. */
#define BK_EXPECT_STAGES INT64_MIN

#endif
