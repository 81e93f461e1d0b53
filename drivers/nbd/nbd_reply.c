/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See nbd_reply.h. */
#include "nbd/nbd_reply.h"

enum { SIMPLE_LEN = 16, CHUNK_LEN = 20, LONG_CHUNK_LEN = 32 };

struct header {
	uint16_t flags, type;
	uint64_t cookie, len;
};

/* ---- Gaps --------------------------------------------------------------------------------- */

bool nbd_gaps_fill(struct nbd_gaps *g, uint64_t from, uint64_t len)
{
	struct nbd_gap *gap = g->gap, *end = g->gap + g->n;
	uint64_t to = from + len;

	while (gap < end && from >= gap->to)
		gap++;
	if (gap == end || from < gap->from || to > gap->to)
		return false;
	if (from > gap->from && to < gap->to) {
		if (g->n == NBD_GAPS_MAX)
			return false;
		memmove(gap + 1, gap, (end - gap) * sizeof(*gap));
		g->n++;
		gap[0].to = from;
		gap[1].from = to;
	} else if (from > gap->from) {
		gap->to = from;
	} else if (to < gap->to) {
		gap->from = to;
	} else {
		memmove(gap, gap + 1, (end - gap - 1) * sizeof(*gap));
		g->n--;
	}
	return true;
}

/* ---- Which request ------------------------------------------------------------------------ */

static int broken(const char **why, const char *what)
{
	*why = what;
	return NBD_BROKEN;
}

static int find_slot(struct nbd_table *t, uint64_t cookie, struct nbd_event *ev, const char **why)
{
	struct nbd_slot *slot = &t->slot[cookie & t->mask];

	if (unlikely(slot->cookie != cookie || slot->kind == NBD_FREE || slot->is_answered))
		return broken(why, "the NBD server replied to a request that is not in flight");
	if (unlikely(nbd_unsent(t, slot)))
		return NBD_EARLY;
	ev->slot = slot;
	return 0;
}

/* ---- Simple replies ----------------------------------------------------------------------- */

static int next_simple(struct nbd_table *t, const uint8_t *p, struct nbd_event *ev,
		       const char **why)
{
	uint32_t error = nbd_get32(p + 4);
	int ret = find_slot(t, nbd_get_cookie(p + 8), ev, why);
	const struct bk_req *r;

	if (unlikely(ret < 0))
		return ret;
	r = ev->slot->r;
	ev->kind = NBD_DATA;
	ev->at = 0;
	ev->len = 0;
	ev->is_last = true;
	if (unlikely(error)) {
		ev->slot->error = nbd_errno(error);
		return SIMPLE_LEN;
	}
	if (unlikely(r->op == BK_BLOCK_STATUS))
		return broken(why, "the NBD server did not say which blocks are allocated");
	if (likely(r->op == BK_READ)) {
		if (unlikely(t->mode != NBD_SIMPLE))
			return broken(why, "the NBD server sent data in a simple reply although "
					   "structured replies were agreed on");
		ev->len = r->len;
	}
	return SIMPLE_LEN;
}

/* ---- Chunks ------------------------------------------------------------------------------- */

/* A piece of a read, at an offset of the export. */
static int take_piece(struct nbd_event *ev, uint64_t offset, uint64_t len, const char **why)
{
	struct nbd_slot *slot = ev->slot;
	const struct bk_req *r = slot->r;

	if (unlikely(r->op != BK_READ))
		return broken(why, "the NBD server sent data for a request that is not a read");
	if (unlikely(!len || offset < r->start || len > r->len || offset - r->start > r->len - len))
		return broken(why, "the NBD server sent data outside the range of the read");
	ev->at = offset - r->start;
	ev->len = len;
	slot->has_come = true;
	if (unlikely(!nbd_gaps_fill(slot->gaps, ev->at, len)))
		return broken(why, "the NBD server sent the same data of a read twice, or in too "
				   "many pieces");
	return 0;
}

static int take_data(const struct header *h, const uint8_t *p, size_t n, struct nbd_event *ev,
		     const char **why)
{
	if (unlikely(h->len <= 8))
		return broken(why, "the NBD server sent a data chunk without data");
	if (n < 8)
		return 0;
	ev->kind = NBD_DATA;
	return take_piece(ev, nbd_get64(p), h->len - 8, why) < 0 ? NBD_BROKEN : 8;
}

static int take_hole(const struct header *h, const uint8_t *p, size_t n, struct nbd_event *ev,
		     const char **why)
{
	if (h->len != 12)
		return broken(why, "the NBD server sent a hole chunk of the wrong length");
	if (n < 12)
		return 0;
	ev->kind = NBD_HOLE;
	return take_piece(ev, nbd_get64(p), nbd_get32(p + 8), why) < 0 ? NBD_BROKEN : 12;
}

/* There is one such chunk, since there is one context. */
static int take_status(const struct nbd_table *t, const struct header *h, const uint8_t *p,
		       size_t n, struct nbd_event *ev, const char **why)
{
	bool is_long = h->type == NBD_CHUNK_STATUS_LONG;
	uint64_t head = is_long ? 8 : 4, size = nbd_extent_len(t->mode);
	struct nbd_slot *slot = ev->slot;

	if (slot->r->op != BK_BLOCK_STATUS || is_long != (t->mode == NBD_LONG))
		return broken(why, "the NBD server sent extents that were not asked for");
	if (h->len < head + size || (h->len - head) % size ||
	    (h->len - head) / size > NBD_EXTENTS_MAX)
		return broken(why, "the NBD server sent an extents chunk of the wrong length");
	if (n < head)
		return 0;
	if (nbd_get32(p) != t->context)
		return broken(why, "the NBD server sent extents of a context that was not asked "
				   "for");
	if (is_long && nbd_get32(p + 4) && nbd_get32(p + 4) != (h->len - head) / size)
		return broken(why, "the NBD server miscounted its extents");
	if (!slot->gaps->n)
		return broken(why, "the NBD server sent extents twice");
	slot->has_come = true;
	slot->gaps->n = 0;
	slot->gaps->gap[0] = (struct nbd_gap){ 0, slot->r->len };
	ev->kind = NBD_STATUS;
	ev->len = h->len - head;
	return head;
}

int nbd_take_extent(enum nbd_mode mode, struct nbd_slot *slot, const uint8_t *p,
		    struct nbd_extent *x, const char **why)
{
	bool is_long = mode == NBD_LONG;
	uint64_t len = is_long ? nbd_get64(p) : nbd_get32(p);
	uint64_t flags = is_long ? nbd_get64(p + 8) : nbd_get32(p + 4);
	struct nbd_gap *rest = &slot->gaps->gap[0];

	if (!len)
		return broken(why, "the NBD server sent an extent of length 0");
	if (rest->from == rest->to)
		return broken(why, "the NBD server sent extents outside the range of the request");
	x->len = min_u64(len, rest->to - rest->from);
	x->flags = (flags & NBD_STATE_HOLE ? 0 : BLKIO_EXTENT_ALLOCATED) |
		   (flags & NBD_STATE_ZERO ? BLKIO_EXTENT_ZERO : 0);
	rest->from += x->len;
	return 0;
}

/* Of whatever type; what else than the error it says is skipped. */
static int take_error(const struct header *h, const uint8_t *p, size_t n, struct nbd_event *ev,
		      const char **why)
{
	struct nbd_slot *slot = ev->slot;

	if (h->len < 6 || h->len > 6 + NBD_ERROR_TEXT_MAX + 8)
		return broken(why, "the NBD server sent an error chunk of the wrong length");
	if (n < 6)
		return 0;
	if (nbd_get16(p + 4) > h->len - 6 || !nbd_get32(p))
		return broken(why, "the NBD server sent an error chunk that is not valid");
	if (++slot->errors > NBD_ERRORS_MAX)
		return broken(why, "the NBD server reported too many errors for one request");
	if (!slot->error)
		slot->error = nbd_errno(nbd_get32(p));
	ev->kind = NBD_SKIP;
	ev->len = h->len - 6;
	return 6;
}

static int take_none(const struct header *h, struct nbd_event *ev, const char **why)
{
	if (h->len || !(h->flags & NBD_CHUNK_DONE))
		return broken(why, "the NBD server sent an empty chunk that is not the last one");
	ev->kind = NBD_SKIP;
	ev->len = 0;
	return 0;
}

/* Does a request that gets an answer lack (a part of) it? */
static bool lacks_answer(const struct nbd_slot *slot)
{
	return slot->gaps->n && (slot->r->op == BK_READ || slot->r->op == BK_BLOCK_STATUS);
}

/* n bytes at p follow the header, of header_len bytes. */
static int take_chunk(const struct nbd_table *t, const struct header *h, int header_len,
		      const uint8_t *p, size_t n, struct nbd_event *ev, const char **why)
{
	const struct nbd_slot *slot = ev->slot;
	int ret;

	if (h->type == NBD_CHUNK_OFFSET_DATA)
		ret = take_data(h, p, n, ev, why);
	else if (h->type == NBD_CHUNK_OFFSET_HOLE)
		ret = take_hole(h, p, n, ev, why);
	else if (h->type & NBD_CHUNK_ERROR)
		ret = take_error(h, p, n, ev, why);
	else if (h->type == NBD_CHUNK_NONE)
		ret = take_none(h, ev, why);
	else if (h->type == NBD_CHUNK_STATUS || h->type == NBD_CHUNK_STATUS_LONG)
		ret = take_status(t, h, p, n, ev, why);
	else
		return broken(why, "the NBD server sent a chunk of unknown type");
	if (ret < 0 || (!ret && h->type != NBD_CHUNK_NONE))
		return ret;
	ev->is_last = h->flags & NBD_CHUNK_DONE;
	if (ev->is_last && !slot->error && lacks_answer(slot))
		return broken(why, "the NBD server did not send all that was asked for");
	return header_len + ret;
}

static int next_chunk(struct nbd_table *t, const uint8_t *p, size_t n, struct nbd_event *ev,
		      const char **why)
{
	int len = t->mode == NBD_LONG ? LONG_CHUNK_LEN : CHUNK_LEN, ret;
	struct header h = {
		.flags = nbd_get16(p + 4),
		.type = nbd_get16(p + 6),
		.cookie = nbd_get_cookie(p + 8),
		.len = t->mode == NBD_LONG ? nbd_get64(p + 24) : nbd_get32(p + 16),
	};

	ret = find_slot(t, h.cookie, ev, why);
	if (unlikely(ret < 0))
		return ret;
	if (!ev->slot->has_come)
		nbd_gaps_init(ev->slot->gaps, ev->slot->r->len);
	return take_chunk(t, &h, len, p + len, n - len, ev, why);
}

int nbd_next_reply(struct nbd_table *t, const uint8_t *p, size_t n, struct nbd_event *ev,
		   const char **why)
{
	uint32_t magic;

	if (n < SIMPLE_LEN)
		return 0;
	magic = nbd_get32(p);
	if (magic == NBD_SIMPLE_REPLY_MAGIC && t->mode != NBD_LONG)
		return next_simple(t, p, ev, why);
	if (magic == NBD_CHUNK_MAGIC && t->mode == NBD_STRUCTURED)
		return n < CHUNK_LEN ? 0 : next_chunk(t, p, n, ev, why);
	if (magic == NBD_LONG_CHUNK_MAGIC && t->mode == NBD_LONG)
		return n < LONG_CHUNK_LEN ? 0 : next_chunk(t, p, n, ev, why);
	return broken(why, "the NBD server sent something that is not a reply");
}
