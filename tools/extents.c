/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See extents.h. */
#include "extents.h"

void extents_init(struct extents *e, struct blkioq *q, uint64_t size, uint64_t align)
{
	*e = (struct extents){ .q = q, .size = size, .align = align, .zero_from = size };
}

/* ---- Asking ------------------------------------------------------------------------------- */

bool extents_known(const struct extents *e, uint64_t at)
{
	return !e->q || at < e->known || at >= e->zero_from;
}

void extents_ask(struct extents *e, uint64_t at)
{
	e->asking = true;
	e->known = at;
	blkioq_block_status(e->q, at, e->size - at, e->list, EXTENTS_LIST, e, 0);
}

static uint64_t round_up(const struct extents *e, uint64_t at)
{
	uint64_t end = at + (e->align - at % e->align) % e->align;

	return end < e->size ? end : e->size;
}

void extents_answered(struct extents *e, const struct blkio_completion *c)
{
	uint64_t end;

	e->asking = false;
	/* It cannot tell; or it cannot be reached, which the reads will show. */
	if (c->ret <= 0) {
		e->q = NULL;
		return;
	}
	e->n = (unsigned)c->ret;
	e->at = 0;
	end = e->list[e->n - 1].start + e->list[e->n - 1].len;
	/* Of a block that is known in part, nothing is known: it is data. */
	if (end < e->size && end - end % e->align > e->known)
		e->known = end - end % e->align;
	else
		e->known = round_up(e, end);
}

/* ---- Using -------------------------------------------------------------------------------- */

static uint64_t end_of(const struct extents *e, unsigned i)
{
	uint64_t end = e->list[i].start + e->list[i].len;

	return end < e->known ? end : e->known;
}

/* The end of the zeroes that begin with number i; where that begins if it has none. */
static uint64_t zeroes_end(const struct extents *e, unsigned i)
{
	uint64_t end = e->list[i].start;

	for (; i < e->n && (e->list[i].flags & BLKIO_EXTENT_ZERO); i++)
		end = end_of(e, i);
	return end;
}

/* The whole blocks of zeroes from start on, which end at end: where they end. */
static uint64_t zero_blocks_end(const struct extents *e, uint64_t start, uint64_t end)
{
	end -= end % e->align;
	return end > start && end - start >= EXTENT_ZERO_MIN ? end : start;
}

/* At number i there is data. Up to where, if zeroes that are too few count as data? */
static uint64_t data_end(const struct extents *e, unsigned i)
{
	for (; i < e->n; i++) {
		uint64_t begin = round_up(e, e->list[i].start);

		if (zero_blocks_end(e, begin, zeroes_end(e, i)) > begin)
			return begin;
	}
	return e->known;
}

static struct extent find(struct extents *e, uint64_t at)
{
	struct extent found = { .start = at, .end = e->size };
	uint64_t end;

	if (at >= e->zero_from) {
		found.end = e->size - e->size % e->align;
		found.zero = found.end > at;
		if (!found.zero)
			found.end = e->size;
		return found;
	}
	found.end = round_up(e, e->zero_from);
	if (!e->q)
		return found;
	while (e->at + 1 < e->n && end_of(e, e->at) <= at)
		e->at++;
	end = zero_blocks_end(e, at, zeroes_end(e, e->at));
	found.zero = end > at;
	end = found.zero ? end : data_end(e, e->at + 1);
	if (end < found.end)
		found.end = end;
	return found;
}

struct extent extents_at(struct extents *e, uint64_t at)
{
	struct extent now;

	if (at < e->last.start || at >= e->last.end)
		e->last = find(e, at);
	now = e->last;
	now.start = at;
	return now;
}

static void ask_and_wait(struct extents *e, uint64_t at)
{
	struct blkio_completion c;

	extents_ask(e, at);
	if (blkioq_do_io(e->q, &c, 1, 1, NULL) < 0)
		c.ret = -1;
	extents_answered(e, &c);
}

uint64_t extents_data(struct extents *e)
{
	uint64_t bytes = 0;

	for (uint64_t at = 0; at < e->size;) {
		struct extent x;

		if (!extents_known(e, at))
			ask_and_wait(e, at);
		x = extents_at(e, at);
		bytes += x.zero ? 0 : x.end - x.start;
		at = x.end;
	}
	/* From the beginning. */
	extents_init(e, e->q, e->size, e->align);
	return bytes;
}
