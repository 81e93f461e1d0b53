/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests that take more than one operation: the rest of a short transfer, zero buffers in place
 * of a write-zeroes operation, pieces as large as a bounce buffer, and the flush behind an emulated
 * FUA. Each is a stage of the same request, which goes back to the front of the backlog until
 * nothing is left to do.
 */
#include <stdlib.h>

#include "core.h"

#define ZERO_SEGMENTS_MAX 16
#define RETRIES_MAX	  64

/* The kernel transferred nothing, so nobody has looked at the pointers yet. */
static int zero_fill(struct bk_req *r)
{
	int ret = 0;

	for (int i = 0; i < r->iovcnt && !ret; i++)
		ret = bk_zero_caller(r->iov[i].iov_base, r->iov[i].iov_len);
	if (ret < 0)
		r->error_msg = "a buffer cannot be written";
	return ret;
}

/* Take the first bytes off the segments. The caller's array stays as it is. */
static int advance(struct bk_req *r, uint64_t bytes)
{
	const struct iovec *src = r->iov;
	int n = r->iovcnt;
	struct iovec *dst = &r->one, *copy = NULL;

	r->start += bytes;
	r->len -= bytes;
	while (n && bytes >= src->iov_len) {
		bytes -= src->iov_len;
		src++;
		n--;
	}
	if (n > 1 && !r->iov_copy) {
		copy = malloc(n * sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		r->iov_copy = copy;
	}
	if (n > 1)
		dst = r->iov_copy;
	memmove(dst, src, n * sizeof(*dst));
	dst->iov_base = bk_behind(dst->iov_base, bytes);
	dst->iov_len -= bytes;
	r->iov = dst;
	r->iovcnt = n;
	return 0;
}

/* What segment i has behind its first bytes becomes a segment of its own. */
static int split_segment(struct bk_req *r, int i, size_t bytes)
{
	struct iovec *copy = malloc((r->iovcnt + 1) * sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	memcpy(copy, r->iov, (i + 1) * sizeof(*copy));
	memcpy(copy + i + 1, r->iov + i, (r->iovcnt - i) * sizeof(*copy));
	copy[i].iov_len = bytes;
	copy[i + 1].iov_base = bk_behind(copy[i + 1].iov_base, bytes);
	copy[i + 1].iov_len -= bytes;
	free(r->iov_copy);
	r->iov_copy = copy;
	r->iov = copy;
	r->iovcnt++;
	return 0;
}

int bk_first_piece(struct blkioq *q, struct bk_req *r, struct bk_piece *p)
{
	const struct bk_limits *l = &q->b->lim;
	uint64_t max = l->max_transfer ? (uint64_t)l->max_transfer : UINT64_MAX, len = 0;
	int n;

	for (n = 0; n < r->iovcnt && n < l->max_segments && len < max; n++)
		len += min_u64(r->iov[n].iov_len, max - len);
	len &= ~(uint64_t)(l->request_alignment - 1);
	if (!len) {
		r->error_msg = "a block spans more segments than property max-segments allows";
		return -EINVAL;
	}
	*p = (struct bk_piece){ .len = len };
	if (len < r->len)
		r->expect = BK_EXPECT_STAGES;
	while (r->iov[p->iovcnt].iov_len < len)
		len -= r->iov[p->iovcnt++].iov_len;
	n = p->iovcnt++;
	return n && r->iov[n].iov_len > len ? split_segment(r, n, len) : 0;
}

/* ---- Write zeroes by writing zeroes ------------------------------------------------------- */

static uint64_t zero_write_limit(const struct bk_limits *l, size_t buf_len, uint64_t *segment)
{
	uint64_t align = l->request_alignment, total;
	int n = l->max_segments > 0 && l->max_segments < ZERO_SEGMENTS_MAX ? l->max_segments
									   : ZERO_SEGMENTS_MAX;

	*segment = buf_len;
	if (l->max_segment_len)
		*segment = min_u64(*segment, l->max_segment_len & ~(align - 1));
	total = *segment * n;
	if (l->max_transfer)
		total = min_u64(total, l->max_transfer & ~(align - 1));
	return total;
}

/* Point r at the next piece, of at most max bytes: r->len bytes at r->start. */
static int next_zero_write(struct blkioq *q, struct bk_req *r, uint64_t max)
{
	uint64_t segment, limit, left;
	struct iovec *iov = r->iov_copy;

	limit = zero_write_limit(&q->b->lim, q->b->core.zeroes_len, &segment);
	if (!limit)
		return -ENOTSUP;
	if (!iov) {
		iov = malloc(ZERO_SEGMENTS_MAX * sizeof(*iov));
		if (!iov)
			return -ENOMEM;
		r->iov_copy = iov;
	}

	r->op = BK_WRITE;
	r->len = min_u64(limit, max);
	r->zeroes_left -= r->len;
	r->iov = iov;
	r->iovcnt = 0;
	for (left = r->len; left; left -= iov[r->iovcnt++].iov_len)
		iov[r->iovcnt] = (struct iovec){ q->b->core.zeroes, min_u64(left, segment) };
	return 0;
}

/* The same, where whole blocks are for the device's own operation. */
static int next_zeroes(struct blkioq *q, struct bk_req *r)
{
	uint64_t block = q->b->lim.whole_blocks, odd;

	if (!(r->stage & BK_STAGE_BLOCKS))
		return next_zero_write(q, r, r->zeroes_left);
	odd = r->start & (block - 1);
	if (odd || r->zeroes_left < block)
		return next_zero_write(q, r, min_u64(r->zeroes_left, block - odd));
	r->op = BK_WRITE_ZEROES;
	r->len = r->zeroes_left & ~(block - 1);
	r->zeroes_left -= r->len;
	return 0;
}

static int begin_zeroes(struct blkioq *q, struct bk_req *r, uint64_t len, unsigned stages)
{
	r->zeroes_left = len;
	r->stage |= BK_STAGE_ZEROES | stages;
	r->expect = BK_EXPECT_STAGES;
	if ((r->flags & BLKIO_REQ_FUA) && !q->b->lim.takes_fua_write) {
		r->flags &= ~BLKIO_REQ_FUA;
		r->stage |= BK_STAGE_FLUSH;
	}
	return next_zeroes(q, r);
}

int bk_zeroes_around_blocks(struct blkioq *q, struct bk_req *r)
{
	return begin_zeroes(q, r, r->len, BK_STAGE_BLOCKS);
}

/* Let r do its BK_WRITE_ZEROES by writing zeroes. 0, then r goes to the backlog; or -errno. */
static int stage_zeroes(struct blkioq *q, struct bk_req *r)
{
	uint64_t len = r->len;
	int ret;

	if (r->stage & BK_STAGE_BLOCKS)
		len += r->zeroes_left;
	r->stage &= ~BK_STAGE_BLOCKS;
	r->flags &= BLKIO_REQ_FUA;
	ret = begin_zeroes(q, r, len, 0);
	if (ret < 0)
		return ret;
	bk_retry(q, r);
	return 0;
}

/* ---- Completion --------------------------------------------------------------------------- */

static void end(struct blkioq *q, struct bk_req *r, int ret)
{
	if (r->stage & BK_STAGE_BOUNCE)
		bk_bounce_release(q, r);
	bk_finish(q, r, ret);
}

/* All of the current operation is done: on to the next one. */
static void next_stage(struct blkioq *q, struct bk_req *r)
{
	if ((r->stage & BK_STAGE_ZEROES) && r->zeroes_left) {
		int ret;

		r->start += r->len;
		ret = next_zeroes(q, r);
		if (ret < 0)
			end(q, r, ret);
		else
			bk_retry(q, r);
		return;
	}
	if (r->stage & BK_STAGE_BOUNCE) {
		int ret = bk_bounce_next(q, r);

		if (ret < 0) {
			end(q, r, ret);
			return;
		}
		if (ret) {
			bk_retry(q, r);
			return;
		}
		bk_bounce_release(q, r);
	}
	if (r->stage & BK_STAGE_FLUSH) {
		r->stage = 0;
		r->op = BK_FLUSH;
		r->expect = 0;
		bk_retry(q, r);
		return;
	}
	end(q, r, 0);
}

static void transferred(struct blkioq *q, struct bk_req *r, uint64_t bytes)
{
	if (bytes > r->len) {
		r->error_msg = "the device reports that it transferred more than was requested";
		end(q, r, -EIO);
	} else if (bytes == r->len) {
		next_stage(q, r);
	} else if (bk_must_be_whole(r)) {
		r->error_msg = "the device wrote a part of what was to be written as a whole";
		end(q, r, -EIO);
	} else if (bytes) {
		int ret = advance(r, bytes);

		if (ret < 0) {
			end(q, r, ret);
			return;
		}
		if (!r->stage)
			r->expect = r->len;
		bk_retry(q, r);
	} else if (r->op == BK_READ && q->b->lim.zero_fill_eof) {
		int ret = zero_fill(r);

		if (ret < 0)
			end(q, r, ret);
		else
			next_stage(q, r);
	} else {
		r->error_msg = r->op == BK_READ ? "the request reaches past the end of the device"
						: "the device wrote less than was requested";
		end(q, r, r->op == BK_READ ? -EIO : -ENOSPC);
	}
}

static bool has_odd_buffer(const struct blkioq *q, const struct bk_req *r)
{
	uintptr_t mask = (uintptr_t)q->b->lim.buf_alignment - 1;

	for (int i = 0; i < r->iovcnt; i++)
		if (((uintptr_t)r->iov[i].iov_base | r->iov[i].iov_len) & mask)
			return true;
	return false;
}

static void failed(struct blkioq *q, struct bk_req *r, int error)
{
	if (error == -EINVAL && !r->error_msg && bk_has_segments(r) && has_odd_buffer(q, r))
		r->error_msg = "a buffer or segment is not a multiple of property buf-alignment";
	if (r->op == BK_WRITE_ZEROES && error == -ENOTSUP) {
		r->error_msg = NULL;
		if (r->flags & BLKIO_REQ_NO_FALLBACK) {
			r->error_msg = "the device cannot write zeroes and BLKIO_REQ_NO_FALLBACK "
				       "forbids writing zero buffers";
		} else {
			error = stage_zeroes(q, r);
			if (!error)
				return;
		}
	}
	end(q, r, error);
}

void bk_retry_transient(struct blkioq *q, struct bk_req *r, int error)
{
	r->special = true;
	if (++r->retries <= RETRIES_MAX)
		bk_retry(q, r);
	else
		end(q, r, error);
}

bool bk_retry_again(struct blkioq *q, struct bk_req *r, unsigned max)
{
	if (r->retries >= max)
		return false;
	r->special = true;
	r->retries++;
	bk_retry(q, r);
	return true;
}

void bk_complete_slow(struct blkioq *q, struct bk_req *r, int64_t res)
{
	r->special = true;
	if (res < 0)
		failed(q, r, res);
	else if (bk_has_segments(r))
		transferred(q, r, res);
	else if (r->op == BK_ZONE_REPORT)
		end(q, r, res);
	else if (r->op == BK_BLOCK_STATUS)
		end(q, r, bk_extents_end(r));
	else
		next_stage(q, r);
}
