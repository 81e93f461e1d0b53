/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The answer to a block status request, as it comes in from the driver: cut to whole blocks and to
 * the request, equal neighbours joined, written to the caller's array. What blkio.h promises of
 * extents holds here, for every driver.
 */
#include "core.h"

#define CHECKED 64 /* extents of the caller's array that are looked at in one go */

enum { ROOM, FULL, BAD }; /* the array has no more room; it cannot be written */

/* Of a block that is partly one and partly the other. */
static uint8_t both(uint8_t a, uint8_t b)
{
	return ((a | b) & BLKIO_EXTENT_ALLOCATED) | (a & b & BLKIO_EXTENT_ZERO);
}

/* Room for one more, zeroed. */
static bool has_room(struct bk_req *r)
{
	struct bk_found *f = &r->found;
	uint32_t left = r->nr_extents - f->n;

	if (!left)
		f->state = FULL;
	else if (f->n % CHECKED == 0 &&
		 bk_zero_caller(&r->extents[f->n], min_u64(left, CHECKED) * sizeof(*r->extents)) <
		     0)
		f->state = BAD;
	return !f->state;
}

static void put(struct bk_req *r, uint64_t from, uint64_t to, uint8_t flags)
{
	struct bk_found *f = &r->found;
	struct blkio_extent *e = r->extents + f->n;

	if (f->state)
		return;
	if (f->n && f->last == flags) {
		e[-1].len += to - from;
	} else if (has_room(r)) {
		e->start = from;
		e->len = to - from;
		e->flags = flags;
		f->last = flags;
		f->n++;
	}
}

bool bk_extent_add(struct bk_req *r, uint64_t len, uint32_t flags)
{
	struct bk_found *f = &r->found;
	uint64_t mask = (1ULL << f->block) - 1, end = r->start + r->len;
	uint64_t from = f->to, to = from + min_u64(len, end - from);

	f->to = to;
	if (from & mask) {
		uint64_t block = from & ~mask;

		f->part = both(f->part, flags);
		if (to - block <= mask)
			return true;
		from = block + mask + 1;
		put(r, block, from, f->part);
	}
	if ((to & ~mask) > from)
		put(r, from, to & ~mask, flags);
	f->part = flags;
	return to < end && !f->state;
}

int bk_extents_end(struct bk_req *r)
{
	struct bk_found *f = &r->found;

	/* Not one block is known as a whole. */
	if (!f->n)
		put(r, r->start, r->start + (1ULL << f->block), BLKIO_EXTENT_ALLOCATED);
	if (f->state != BAD)
		return (int)f->n;
	r->error_msg = "the array of extents cannot be written";
	return -EFAULT;
}
