/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Property "bounce-buffers": requests whose buffers the device cannot use as they are (not in a
 * mapped region where that is needed, not aligned) go through buffers of the library.
 *
 * A queue with bounce buffers has the submit() of this file in front of the driver's. A request
 * that needs a buffer and finds none is one that the driver has no room for: it waits in the
 * backlog. What is longer than a buffer is done in pieces, which are stages (stages.c). Queues
 * without bounce buffers never come here.
 */
#include <stdlib.h>

#include "core.h"

#define BUFFER_ALIGNMENT 4096

/* A buffer, and where the request that has it stands. */
struct slot {
	struct slot *next; /* of the free ones */
	struct iovec segment;
	uint64_t piece, left;	  /* bytes: under way, and after that */
	uint64_t start;		  /* of the piece under way */
	const struct iovec *iov;  /* the caller's segment that is next, ... */
	size_t skip;		  /* ... less its first bytes */
	struct iovec caller_iov0; /* where iov points for blkioq_read() and blkioq_write() */
	char *buf;
};

struct bk_bounce {
	struct blkio_mem_region region;
	uint64_t max_piece;
	struct slot *free;
	struct slot slots[];
};

/* ---- The pool ----------------------------------------------------------------------------- */

static uint64_t max_piece(const struct bk_limits *l, uint64_t buf_len)
{
	uint64_t max = buf_len;

	if (l->max_segment_len)
		max = min_u64(max, l->max_segment_len);
	if (l->max_transfer)
		max = min_u64(max, l->max_transfer);
	return max & ~(uint64_t)(l->request_alignment - 1);
}

/* On first use: a program that maps its memory pays nothing. */
static int pool_init(struct blkioq *q)
{
	struct blkio *b = q->b;
	int n = b->bounce_buffers;
	uint64_t align = max_u64(BUFFER_ALIGNMENT, b->lim.mem_region_alignment);
	uint64_t len = round_up(b->bounce_buffer_size, align);
	struct bk_bounce *p = calloc(1, sizeof(*p) + n * sizeof(p->slots[0]));
	int ret;

	if (!p)
		return bk_err(ENOMEM, "out of memory");
	p->max_piece = max_piece(&b->lim, len);
	ret = p->max_piece ? bk_mem_get(b, &p->region, len * n)
			   : bk_err(EINVAL, "bounce buffers of %llu bytes are too small",
				    (unsigned long long)len);
	if (ret < 0) {
		free(p);
		return ret;
	}
	for (int i = n; i-- > 0;) {
		p->slots[i].buf = (char *)p->region.addr + i * len;
		p->slots[i].next = p->free;
		p->free = &p->slots[i];
	}
	q->bounce = p;
	return 0;
}

void bk_bounce_exit(struct blkioq *q)
{
	if (!q->bounce)
		return;
	blkio_free_mem_region(q->b, &q->bounce->region);
	free(q->bounce);
}

/* ---- Pieces ------------------------------------------------------------------------------- */

/* Between the buffer and the next bytes of the caller's segments. */
static void copy_piece(struct slot *s, bool to_caller)
{
	char *buf = s->buf, *end = s->buf + s->piece;

	while (buf < end) {
		char *theirs = (char *)s->iov->iov_base + s->skip;
		size_t n = min_u64(s->iov->iov_len - s->skip, end - buf);

		/* Of a segment without length, the address may be NULL. */
		if (n && to_caller)
			memcpy(theirs, buf, n);
		else if (n)
			memcpy(buf, theirs, n);
		buf += n;
		s->skip += n;
		if (s->skip == s->iov->iov_len) {
			s->iov++;
			s->skip = 0;
		}
	}
}

static void prepare_piece(struct blkioq *q, struct bk_req *r, struct slot *s)
{
	s->piece = min_u64(s->left, q->bounce->max_piece);
	s->left -= s->piece;
	if (r->op == BK_WRITE)
		copy_piece(s, false);
	s->segment = (struct iovec){ s->buf, s->piece };
	r->start = s->start;
	r->len = s->piece;
	r->iov = &s->segment;
	r->iovcnt = 1;
}

static struct slot *slot_of(struct blkioq *q, const struct bk_req *r)
{
	return &q->bounce->slots[r->bounce];
}

void bk_bounce_release(struct blkioq *q, struct bk_req *r)
{
	struct slot *s = slot_of(q, r);

	s->next = q->bounce->free;
	q->bounce->free = s;
	r->stage &= ~BK_STAGE_BOUNCE;
}

bool bk_bounce_next(struct blkioq *q, struct bk_req *r)
{
	struct slot *s = slot_of(q, r);

	if (r->op == BK_READ)
		copy_piece(s, true);
	if (!s->left) {
		bk_bounce_release(q, r);
		return false;
	}
	s->start += s->piece;
	prepare_piece(q, r, s);
	return true;
}

static void take_slot(struct blkioq *q, struct bk_req *r)
{
	struct slot *s = q->bounce->free;

	q->bounce->free = s->next;
	s->left = r->len;
	s->start = r->start;
	s->skip = 0;
	s->iov = r->iov;
	if (r->iov == &r->one) {
		s->caller_iov0 = r->one;
		s->iov = &s->caller_iov0;
	}
	r->bounce = s - q->bounce->slots;
	r->stage |= BK_STAGE_BOUNCE;
	r->expect = BK_EXPECT_STAGES;
	r->special = true;
	prepare_piece(q, r, s);
}

/* ---- Submission --------------------------------------------------------------------------- */

static bool fits_device(struct blkioq *q, const struct bk_req *r)
{
	const struct bk_limits *l = &q->b->lim;
	uintptr_t mask = (uintptr_t)l->buf_alignment - 1;

	for (int i = 0; i < r->iovcnt; i++) {
		const struct iovec *v = &r->iov[i];

		if (((uintptr_t)v->iov_base | v->iov_len) & mask)
			return false;
		if (l->needs_mem_regions && v->iov_len &&
		    !bk_region_find(q, v->iov_base, v->iov_len))
			return false;
	}
	return true;
}

static bool has_null_buffer(const struct bk_req *r)
{
	for (int i = 0; i < r->iovcnt; i++) {
		if (!r->iov[i].iov_base && r->iov[i].iov_len)
			return true;
	}
	return false;
}

static void bounce_submit(struct blkioq *q, struct bk_req *r)
{
	/* Zeroes that replace BK_WRITE_ZEROES come from a buffer that fits. */
	if (r->op > BK_WRITE || (r->stage & (BK_STAGE_BOUNCE | BK_STAGE_ZEROES)) ||
	    fits_device(q, r)) {
		q->device_submit(q, r);
		return;
	}
	if (has_null_buffer(r)) {
		bk_fail(q, r, EFAULT, "a buffer is NULL");
		return;
	}
	if (!q->bounce) {
		int ret = pool_init(q);

		if (ret < 0) {
			bk_fail(q, r, -ret, "the bounce buffers cannot be allocated or mapped");
			return;
		}
	}
	if (!q->bounce->free) {
		bk_full(q, r);
		return;
	}
	take_slot(q, r);
	q->device_submit(q, r);
}

void bk_bounce_init(struct blkioq *q)
{
	if (!q->b->bounce_buffers)
		return;
	q->buf_mask = 0;
	q->device_submit = q->submit;
	q->submit = bounce_submit;
}
