/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Replies: which request one is for, and whether it may say what it says. Pure: bytes in memory and
 * the table of requests in flight.
 */
#ifndef BK_NBD_REPLY_H
#define BK_NBD_REPLY_H

#include "nbd/nbd_proto.h"

/*
 * What is missing of a read: ascending, not adjacent. Of a block status request there is one gap,
 * until its extents come; from then on n is 0, and gap[0] is what they do not cover so far.
 */
struct nbd_gaps {
	unsigned n;
	struct nbd_gap {
		uint64_t from, to;
	} gap[NBD_GAPS_MAX];
};

static inline void nbd_gaps_init(struct nbd_gaps *g, uint64_t len)
{
	g->n = 1;
	g->gap[0] = (struct nbd_gap){ 0, len };
}

/* The piece is there now. False: (a part of) it was there before, or there are too many gaps. */
bool nbd_gaps_fill(struct nbd_gaps *g, uint64_t from, uint64_t len);

enum nbd_kind {
	NBD_PLAIN_READ, /* into one buffer, by way of the stage */
	NBD_BIG_READ,	/* past the stage */
	NBD_OTHER,
	NBD_FREE, /* none: the slot is free */
};

/* A request that the server knows of, or will. */
struct nbd_slot {
	struct bk_req *r;
	uint64_t cookie; /* its index in the lowest 16 bits, and how often it was used */
	union {
		uint64_t end; /* of the request, header and data, in all that is sent */
		struct nbd_slot *next_free;
	};
	union {
		uint64_t so_far; /* 0: a plain read, of which nothing has come or failed */
		struct {
			int error;	   /* errno value with which it will end; 0: none so far */
			uint8_t errors;	   /* chunks that reported one */
			uint8_t kind;	   /* enum nbd_kind */
			bool is_answered;  /* it ends soon: no other reply may come */
			bool pads : 1;	   /* what it sends is not the caller's data */
			bool has_come : 1; /* a piece of the answer, as gaps says */
		};
	};
	struct nbd_gaps *gaps; /* with has_come */
};

struct nbd_table {
	enum nbd_mode mode;
	uint32_t context; /* of block status */
	unsigned mask;	  /* of slots there are one more, a power of two */
	struct nbd_slot *slot;
	uint64_t sent;	     /* bytes, ever */
	uint64_t whole_read; /* nbd_whole_read_begin(mode), as it is sent */
};

/* How many bytes are to be sent until the request is sent as a whole. */
static inline uint64_t nbd_unsent(const struct nbd_table *t, const struct nbd_slot *slot)
{
	return slot->end > t->sent ? slot->end - t->sent : 0;
}

enum nbd_event_kind {
	NBD_DATA,   /* len bytes follow, which belong at offset at of the request */
	NBD_HOLE,   /* len bytes at offset at are zeroes */
	NBD_SKIP,   /* len bytes follow, which are of no interest */
	NBD_STATUS, /* len bytes of extents follow */
};

/* What a header says. */
struct nbd_event {
	enum nbd_event_kind kind;
	struct nbd_slot *slot;
	uint64_t at, len;
	bool is_last; /* then the request is done, with slot->error */
};

/*
 * Take the header of a reply from the n bytes at p. Returns its length; 0 when there are not enough
 * bytes, of which NBD_HEADER_MAX are always enough; or NBD_EARLY: it is for a request that was not
 * sent as a whole, as far as we know; or NBD_BROKEN: *why says what is wrong with it.
 */
enum { NBD_HEADER_MAX = 32 + 12, NBD_BROKEN = -1, NBD_EARLY = -2 };
int nbd_next_reply(struct nbd_table *t, const uint8_t *p, size_t n, struct nbd_event *ev,
		   const char **why);

/* An extent on its way: from where the one before it ends. */
struct nbd_extent {
	uint64_t len;
	uint32_t flags; /* BLKIO_EXTENT_* */
};
static inline size_t nbd_extent_len(enum nbd_mode mode)
{
	return mode == NBD_LONG ? 16 : 8;
}

/* Take one of so many bytes at p; what is behind the request is cut off. 0, or NBD_BROKEN. */
int nbd_take_extent(enum nbd_mode mode, struct nbd_slot *slot, const uint8_t *p,
		    struct nbd_extent *x, const char **why);

/* The length of the header of a reply that brings all data of a read at once. */
static inline size_t nbd_data_header_len(enum nbd_mode mode)
{
	if (mode == NBD_STRUCTURED)
		return 20 + 8;
	return mode == NBD_SIMPLE ? 16 : 32 + 8;
}

/*
 * What such a header begins with if nothing but its data follows; without the chunk flag for that
 * there may be more.
 */
static inline uint64_t nbd_whole_read_begin(enum nbd_mode mode)
{
	const uint64_t chunk = (uint64_t)NBD_CHUNK_DONE << 16 | NBD_CHUNK_OFFSET_DATA;

	switch (mode) {
	case NBD_STRUCTURED:
		return (uint64_t)NBD_CHUNK_MAGIC << 32 | chunk;
	case NBD_LONG:
		return (uint64_t)NBD_LONG_CHUNK_MAGIC << 32 | chunk;
	default:
		return (uint64_t)NBD_SIMPLE_REPLY_MAGIC << 32;
	}
}

/* Is what begins like that such a header, for this slot? Nothing of the read has come yet. */
static inline bool nbd_is_of_read(enum nbd_mode mode, const struct nbd_slot *slot, const uint8_t *p)
{
	const struct bk_req *r = slot->r;

	if (unlikely(nbd_get_cookie(p + 8) != slot->cookie))
		return false;
	if (likely(mode == NBD_STRUCTURED))
		return nbd_get32(p + 16) == (uint32_t)r->len + 8 && nbd_get64(p + 20) == r->start;
	if (mode == NBD_LONG)
		return nbd_get64(p + 24) == r->len + 8 && nbd_get64(p + 32) == r->start;
	return true;
}

/* Such a header, for this slot, perhaps with more to follow? That many bytes are at p. */
static inline bool nbd_is_whole_read(const struct nbd_table *t, const struct nbd_slot *slot,
				     const uint8_t *p)
{
	uint64_t may_differ = t->mode == NBD_SIMPLE ? 0 : (uint64_t)NBD_CHUNK_DONE << 16;

	return !((nbd_get64(p) ^ nbd_whole_read_begin(t->mode)) & ~may_differ) &&
	       nbd_is_of_read(t->mode, slot, p);
}

/* Such a header, for this slot, with nothing to follow? */
static inline bool nbd_is_only_header(const struct nbd_table *t, const struct nbd_slot *slot,
				      const uint8_t *p)
{
	uint64_t begin;

	memcpy(&begin, p, sizeof(begin));
	return likely(begin == t->whole_read) && nbd_is_of_read(t->mode, slot, p);
}

/*
 * For the reply that nearly all are, at much less cost than nbd_next_reply(): are the bytes at p a
 * header for all data of this read at once, with nothing to follow? If not, they may be anything.
 * That many bytes of header are there. Nothing of the read has come or failed.
 */
static inline bool nbd_is_only_reply(const struct nbd_table *t, const struct nbd_slot *slot,
				     const uint8_t *p)
{
	return likely(!nbd_unsent(t, slot)) && nbd_is_only_header(t, slot, p);
}

/* The plain read for which it is that; NULL: there is none. */
static inline struct nbd_slot *nbd_find_plain_read(const struct nbd_table *t, const uint8_t *p)
{
	struct nbd_slot *slot = &t->slot[nbd_get_cookie(p + 8) & t->mask];

	return likely(!slot->so_far) && nbd_is_only_reply(t, slot, p) ? slot : NULL;
}

#endif
