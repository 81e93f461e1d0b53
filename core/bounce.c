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
	char *allocated; /* NULL: the buffers are in memory of all queues (own.c) */
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

static uint64_t alignment(const struct blkio *b)
{
	return max_u64(BUFFER_ALIGNMENT, b->lim.buf_alignment);
}

static uint64_t buffer_len(const struct blkio *b)
{
	return round_up(b->bounce_buffer_size, alignment(b));
}

int bk_bounce_check(const struct blkio *b)
{
	if (b->bounce_buffers && !max_piece(&b->lim, buffer_len(b)))
		return bk_err(EINVAL,
			      "property \"bounce-buffer-size\" (%d) is less than property "
			      "\"request-alignment\" (%d)",
			      b->bounce_buffer_size, b->lim.request_alignment);
	return 0;
}

uint64_t bk_bounce_len(const struct blkio *b)
{
	return b->bounce_buffers * buffer_len(b);
}

int bk_bounce_init(struct blkioq *q, char *buf)
{
	const struct blkio *b = q->b;
	int n = b->bounce_buffers;
	struct bk_bounce *p;

	if (!n)
		return 0;
	p = calloc(1, sizeof(*p) + n * sizeof(p->slots[0]));
	if (p && !buf)
		buf = p->allocated = aligned_alloc(alignment(b), bk_bounce_len(b));
	if (!p || !buf) {
		free(p);
		return bk_err(ENOMEM,
			      "cannot allocate %d bounce buffers of %llu bytes: out of memory", n,
			      (unsigned long long)buffer_len(b));
	}
	p->max_piece = max_piece(&b->lim, buffer_len(b));
	for (int i = n; i-- > 0;) {
		p->slots[i].buf = buf + i * buffer_len(b);
		p->slots[i].next = p->free;
		p->free = &p->slots[i];
	}
	q->core.bounce = p;
	return 0;
}

void bk_bounce_exit(struct blkioq *q)
{
	if (!q->core.bounce)
		return;
	free(q->core.bounce->allocated);
	free(q->core.bounce);
}

/* ---- Pieces ------------------------------------------------------------------------------- */

/* Between the buffer and the next bytes of the caller's segments. */
static int copy_piece(struct slot *s, bool to_caller)
{
	char *buf = s->buf, *end = s->buf + s->piece;
	int ret = 0;

	while (buf < end && !ret) {
		char *theirs = bk_behind(s->iov->iov_base, s->skip);
		size_t n = min_u64(s->iov->iov_len - s->skip, end - buf);

		ret = to_caller ? bk_copy_to_caller(theirs, buf, n)
				: bk_copy_from_caller(buf, theirs, n);
		buf += n;
		s->skip += n;
		if (s->skip == s->iov->iov_len) {
			s->iov++;
			s->skip = 0;
		}
	}
	return ret;
}

static int prepare_piece(struct blkioq *q, struct bk_req *r, struct slot *s)
{
	s->piece = min_u64(s->left, q->core.bounce->max_piece);
	s->left -= s->piece;
	s->segment = (struct iovec){ s->buf, s->piece };
	r->start = s->start;
	r->len = s->piece;
	r->iov = &s->segment;
	r->iovcnt = 1;
	return r->op == BK_READ ? 0 : copy_piece(s, false);
}

static struct slot *slot_of(struct blkioq *q, const struct bk_req *r)
{
	return &q->core.bounce->slots[r->bounce];
}

void bk_bounce_release(struct blkioq *q, struct bk_req *r)
{
	struct slot *s = slot_of(q, r);

	s->next = q->core.bounce->free;
	q->core.bounce->free = s;
	r->stage &= ~BK_STAGE_BOUNCE;
}

int bk_bounce_next(struct blkioq *q, struct bk_req *r)
{
	struct slot *s = slot_of(q, r);
	int ret = r->op == BK_READ ? copy_piece(s, true) : 0;

	if (!ret && !s->left)
		return 0;
	if (!ret) {
		s->start += s->piece;
		ret = prepare_piece(q, r, s);
	}
	if (!ret)
		return 1;
	r->error_msg = r->op == BK_READ ? "a buffer cannot be written" : "a buffer cannot be read";
	return ret;
}

static int take_slot(struct blkioq *q, struct bk_req *r)
{
	struct slot *s = q->core.bounce->free;

	q->core.bounce->free = s->next;
	s->left = r->len;
	s->start = r->start;
	s->skip = 0;
	s->iov = r->iov;
	if (r->iov == &r->one) {
		s->caller_iov0 = r->one;
		s->iov = &s->caller_iov0;
	}
	r->bounce = s - q->core.bounce->slots;
	r->stage |= BK_STAGE_BOUNCE;
	r->expect = BK_EXPECT_STAGES;
	r->special = true;
	return prepare_piece(q, r, s);
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

/* Complete r, which no stage follows: nothing of it has begun. */
static void refuse(struct blkioq *q, struct bk_req *r, int errnum, const char *msg)
{
	r->special = true;
	r->error_msg = msg;
	bk_finish(q, r, -errnum);
}

static void bounce_submit(struct blkioq *q, struct bk_req *r)
{
	/* Zeroes that replace BK_WRITE_ZEROES come from a buffer that fits. */
	if (!bk_has_segments(r) || (r->stage & (BK_STAGE_BOUNCE | BK_STAGE_ZEROES)) ||
	    fits_device(q, r)) {
		q->core.device_submit(q, r);
		return;
	}
	if (has_null_buffer(r)) {
		refuse(q, r, EFAULT, "a buffer is NULL");
		return;
	}
	if (bk_must_be_whole(r) && r->len > q->core.bounce->max_piece) {
		refuse(
		    q, r, EINVAL,
		    "a request that must be done as a whole needs a bounce buffer, and is longer "
		    "than property bounce-buffer-size");
		return;
	}
	if (!q->core.bounce->free) {
		bk_full(q, r);
		return;
	}
	if (take_slot(q, r) < 0) {
		bk_bounce_release(q, r);
		refuse(q, r, EFAULT, "a buffer cannot be read");
	} else {
		q->core.device_submit(q, r);
	}
}

void bk_bounce_attach(struct blkioq *q)
{
	if (!q->core.bounce)
		return;
	q->buf_mask = 0;
	q->core.device_submit = q->submit;
	q->submit = bounce_submit;
}
