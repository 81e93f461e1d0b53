/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See iova.h. First fit: mappings are few, and cost far more than the search for their place. */
#include "common/iova.h"

#include <errno.h>
#include <stdlib.h>

#define ROOM_MIN 16

/* ---- Usable ranges ------------------------------------------------------------------------ */

static int by_first(const void *a, const void *b)
{
	const struct iova_range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* Whole pages only, and not page 0: to devices, a ring at address 0 is a ring that is not there. */
static bool trim(struct iova_range *r, uint64_t page)
{
	uint64_t first = max_u64(r->first, page);

	if (first > UINT64_MAX - (page - 1))
		return false;
	first = round_up(first, page);
	/* Of the page that holds the last address, all must be usable. */
	if (r->last < first || r->last - first < page - 1)
		return false;
	r->last = first + (r->last - first + 1) / page * page - 1;
	r->first = first;
	return true;
}

int iova_init(struct iova_space *s, const struct iova_range *usable, size_t n, uint64_t page)
{
	*s = (struct iova_space){ .page = page };
	s->usable = calloc(n + 1, sizeof(*usable));
	if (!s->usable)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct iova_range r = usable[i];

		if (trim(&r, page))
			s->usable[s->nr_usable++] = r;
	}
	qsort(s->usable, s->nr_usable, sizeof(*usable), by_first);
	for (size_t i = 1; i < s->nr_usable; i++) {
		if (s->usable[i].first <= s->usable[i - 1].last)
			s->nr_usable = 0; /* who says such things is not to be believed */
	}
	if (s->nr_usable)
		return 0;
	iova_exit(s);
	return -EINVAL;
}

void iova_exit(struct iova_space *s)
{
	free(s->usable);
	free(s->taken);
	*s = (struct iova_space){ 0 };
}

/* ---- Allocation --------------------------------------------------------------------------- */

/* The lowest address from `from` on that is as far from a multiple of align as addr. */
static bool place(uint64_t from, uint64_t addr, uint64_t align, uint64_t *at)
{
	return !__builtin_add_overflow(from, (addr - from) & (align - 1), at);
}

static bool fits(uint64_t at, uint64_t len, uint64_t last)
{
	return at <= last && last - at >= len - 1;
}

/* Finds where len bytes fit, and before which of those taken. */
static bool find(const struct iova_space *s, uint64_t addr, uint64_t len, uint64_t align,
		 uint64_t *at, size_t *before)
{
	size_t t = 0;

	for (size_t u = 0; u < s->nr_usable; u++) {
		uint64_t from = s->usable[u].first, end = s->usable[u].last;

		for (; t < s->nr_taken && s->taken[t].first <= end; t++) {
			if (place(from, addr, align, at) && fits(*at, len, s->taken[t].first - 1)) {
				*before = t;
				return true;
			}
			from = s->taken[t].last + 1;
		}
		/* from: 0 once the last address of all is taken */
		if (from && place(from, addr, align, at) && fits(*at, len, end)) {
			*before = t;
			return true;
		}
	}
	return false;
}

static bool find_best(const struct iova_space *s, uint64_t addr, uint64_t len, uint64_t *at,
		      size_t *before)
{
	static const uint64_t large_pages[] = { 1ULL << 30, 1ULL << 21 };

	for (size_t i = 0; i < ARRAY_SIZE(large_pages); i++) {
		if (len >= large_pages[i] && large_pages[i] > s->page &&
		    find(s, addr, len, large_pages[i], at, before))
			return true;
	}
	return find(s, addr, len, s->page, at, before);
}

int iova_alloc(struct iova_space *s, uintptr_t addr, uint64_t len, uint64_t *iova)
{
	size_t before;

	if (s->nr_taken == s->room) {
		size_t room = s->room ? 2 * s->room : ROOM_MIN;
		struct iova_range *bigger = reallocarray(s->taken, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		s->taken = bigger;
		s->room = room;
	}
	if (!len || !find_best(s, addr, len, iova, &before))
		return -ENOSPC;
	memmove(&s->taken[before + 1], &s->taken[before],
		(s->nr_taken - before) * sizeof(*s->taken));
	s->taken[before] = (struct iova_range){ *iova, *iova + (len - 1) };
	s->nr_taken++;
	return 0;
}

void iova_free(struct iova_space *s, uint64_t iova)
{
	for (size_t i = 0; i < s->nr_taken; i++) {
		if (s->taken[i].first != iova)
			continue;
		s->nr_taken--;
		memmove(&s->taken[i], &s->taken[i + 1], (s->nr_taken - i) * sizeof(*s->taken));
		return;
	}
}
