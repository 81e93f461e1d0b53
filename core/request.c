/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The public blkioq_*() request functions and the validation of requests: once, here; drivers
 * assume that what they get is valid.
 */
#include "core.h"

/* ---- Getting and submitting --------------------------------------------------------------- */

static inline struct bk_req *take_req(struct blkioq *q)
{
	struct bk_req *r = q->free;

	q->free = r->next;
	q->core.outstanding++;
	return r;
}

/* Any request. NULL: no queue, or no memory, which the next do_io reports. */
static struct bk_req *get_req(struct blkioq *q, enum bk_op op, uint64_t start, uint64_t len,
			      void *user_data, uint32_t flags)
{
	struct bk_req *r;

	if (!q)
		return NULL;
	if (!q->free && !bk_add_requests(q)) {
		q->core.nr_dropped++;
		return NULL;
	}
	r = take_req(q);
	r->user_data = user_data;
	r->start = start;
	r->len = len;
	r->op = op;
	r->flags = flags;
	r->special = true;
	return r;
}

static force_inline void submit(struct blkioq *q, struct bk_req *r)
{
	bk_trace(submit, q, r, r->op, r->start, r->len, r->user_data);
	/* First come, first served: behind a backlog, the driver is not asked. */
	if (unlikely(q->backlog.head))
		bk_list_push(&q->backlog, r);
	else
		__atomic_load_n(&q->submit, __ATOMIC_RELAXED)(q, r);
}

/* ---- Validation --------------------------------------------------------------------------- */

static void reject(struct blkioq *q, struct bk_req *r, int errnum, const char *msg)
{
	r->error_msg = msg;
	bk_finish(q, r, -errnum);
}

/* Bits are judged in this order: unknown, FUA, NO_UNMAP, NO_FALLBACK, ATOMIC. */
static const char *flags_error(uint32_t flags, uint32_t allowed)
{
	uint32_t bad = flags & ~allowed;

	if (bad & ~(uint32_t)(BLKIO_REQ_FUA | BLKIO_REQ_NO_UNMAP | BLKIO_REQ_NO_FALLBACK |
			      BLKIO_REQ_ATOMIC))
		return "unknown request flag";
	if (bad & BLKIO_REQ_FUA)
		return "BLKIO_REQ_FUA is only for write and write zeroes requests";
	if (bad & BLKIO_REQ_NO_UNMAP)
		return "BLKIO_REQ_NO_UNMAP is only for write zeroes requests";
	if (bad & BLKIO_REQ_NO_FALLBACK)
		return "BLKIO_REQ_NO_FALLBACK is only for write zeroes requests";
	if (bad & BLKIO_REQ_ATOMIC)
		return "BLKIO_REQ_ATOMIC is only for write requests";
	return NULL;
}

static const char *range_error(const struct blkioq *q, uint64_t start, uint64_t len)
{
	if ((start | len) & q->request_mask)
		return "start or length is not a multiple of property request-alignment";
	if (len > q->end || start > q->end - len)
		return "the request ends past the capacity or past the largest offset";
	return NULL;
}

static const char *size_error(const struct bk_limits *l, const struct bk_req *r)
{
	if (r->iovcnt > 1 && r->iovcnt > l->max_segments)
		return "iovcnt is larger than property max-segments";
	for (int i = 0; l->max_segment_len && i < r->iovcnt; i++) {
		if (r->iov[i].iov_len > (size_t)l->max_segment_len)
			return "a segment is longer than property max-segment-len";
	}
	if (l->max_transfer && r->len > (size_t)l->max_transfer)
		return "the request is longer than property max-transfer";
	return NULL;
}

static const char *segments_error(const struct blkioq *q, const struct bk_req *r)
{
	const struct bk_limits *l = &q->b->lim;

	if (r->iovcnt < 0)
		return "iovcnt is negative";
	for (int i = 0; i < r->iovcnt; i++) {
		const struct iovec *v = &r->iov[i];

		if (((uintptr_t)v->iov_base | v->iov_len) & q->buf_mask)
			return "a buffer or segment is not a multiple of property buf-alignment";
	}
	return l->takes_long_requests ? NULL : size_error(l, r);
}

/* Why a write cannot be one operation that the device does as a whole or not at all. */
static const char *atomic_error(const struct bk_atomic *a, const struct bk_req *r)
{
	uint64_t from = r->start - a->boundary_offset;

	if (r->len < a->min)
		return "an atomic write is shorter than property atomic-write-unit-min";
	if (r->len > a->max)
		return "an atomic write is longer than property atomic-write-unit-max";
	if (r->iovcnt > a->max_segments)
		return "an atomic write has more segments than the device takes at once";
	if (a->natural && (!is_power_of_2(r->len) || (r->start & (r->len - 1))))
		return "the length of an atomic write must be a power of two, and its start a "
		       "multiple of that";
	/* What is before the first boundary wraps: it crosses that one only if it goes beyond. */
	if (a->boundary && (r->start < a->boundary_offset
				? r->len > a->boundary_offset - r->start
				: from / a->boundary != (from + r->len - 1) / a->boundary))
		return "an atomic write crosses a multiple of property atomic-write-boundary";
	return NULL;
}

/* Of those that the limits check in bytes; NULL when they do not apply. */
static const char *length_error(const struct blkioq *q, const struct bk_req *r)
{
	const struct bk_limits *l = &q->b->lim;
	bool can_zero = l->ops & BK_OP_BIT(BK_WRITE_ZEROES);

	if (!r->len)
		return "length is 0";
	if (r->op == BK_DISCARD && l->max_discard_len && r->len > l->max_discard_len)
		return "the request is longer than property max-discard-len";
	if (r->op == BK_WRITE_ZEROES && can_zero && l->max_write_zeroes_len &&
	    r->len > l->max_write_zeroes_len)
		return "the request is longer than property max-write-zeroes-len";
	return NULL;
}

/* Completes r and returns false when it may not write; true when it may go on. */
static bool check_writable(struct blkioq *q, struct bk_req *r)
{
	if (!q->b->read_only)
		return true;
	reject(q, r, EBADF, "the instance is read-only (property read-only)");
	return false;
}

static bool check_readable(struct blkioq *q, struct bk_req *r)
{
	if (!q->b->lim.write_only)
		return true;
	reject(q, r, EBADF, "property fd is a descriptor opened with O_WRONLY");
	return false;
}

/* Completes r and returns false when it is to be atomic, and cannot. */
static bool check_atomic(struct blkioq *q, struct bk_req *r)
{
	const struct bk_atomic *a = &q->b->lim.atomic;
	const char *msg;

	if (!(r->flags & BLKIO_REQ_ATOMIC) || !r->len)
		return true;
	if (!a->max) {
		reject(q, r, ENOTSUP,
		       "the driver or device does not support atomic writes (property "
		       "atomic-write-unit-max is 0)");
		return false;
	}
	msg = atomic_error(a, r);
	if (msg)
		reject(q, r, EINVAL, msg);
	return !msg;
}

/* Completes r and returns false when msg says something. */
static bool check(struct blkioq *q, struct bk_req *r, const char *msg)
{
	if (!msg)
		return true;
	reject(q, r, EINVAL, msg);
	return false;
}

/* r is valid: where the driver does not honour BLKIO_REQ_FUA, a flush follows. */
static void prepare_fua(struct bk_req *r, bool driver_takes_fua)
{
	if (!(r->flags & BLKIO_REQ_FUA) || driver_takes_fua)
		return;
	r->stage = BK_STAGE_FLUSH;
	r->expect = BK_EXPECT_STAGES;
	r->flags &= ~BLKIO_REQ_FUA;
}

/* ---- Reads and writes --------------------------------------------------------------------- */

static void check_and_submit_rw(struct blkioq *q, struct bk_req *r)
{
	if (!check(q, r, segments_error(q, r)) || !check(q, r, range_error(q, r->start, r->len)))
		return;
	if (r->op == BK_WRITE ? !check_writable(q, r) : !check_readable(q, r))
		return;
	if (!check_atomic(q, r))
		return;
	if (!r->len) {
		bk_finish(q, r, 0);
		return;
	}
	r->expect = r->len;
	prepare_fua(r, q->b->lim.takes_fua_write);
	submit(q, r);
}

static struct bk_req *get_rw(struct blkioq *q, enum bk_op op, uint64_t start, uint64_t len,
			     void *user_data, uint32_t flags)
{
	struct bk_req *r = get_req(q, op, start, len, user_data, flags);
	static const uint32_t allowed[BK_NR_OPS] = {
		[BK_WRITE] = BLKIO_REQ_FUA | BLKIO_REQ_ATOMIC,
		[BK_ZONE_APPEND] = BLKIO_REQ_FUA,
	};

	return r && check(q, r, flags_error(flags, allowed[op])) ? r : NULL;
}

/* Everything that is not obviously right: finds what is wrong, or does what is special. */
static cold_path void submit_rw_slow(struct blkioq *q, enum bk_op op, uint64_t start, void *buf,
				     size_t len, void *user_data, uint32_t flags)
{
	struct bk_req *r = get_rw(q, op, start, len, user_data, flags);

	if (!r)
		return;
	r->one = (struct iovec){ buf, len };
	check_and_submit_rw(q, r);
}

static force_inline void submit_rw(struct blkioq *q, enum bk_op op, uint64_t start, void *buf,
				   size_t len, void *user_data, uint32_t flags)
{
	uint64_t max, odd;
	struct bk_req *r;

	if (unlikely(!q))
		return;
	max = op == BK_READ ? q->max_read : q->max_write;
	odd = ((start | len) & q->request_mask) | (((uintptr_t)buf | len) & q->buf_mask) | flags;
	/* max is never above end, so the last difference does not wrap; len 0 is not below max. */
	if (unlikely(odd || len - 1 >= max || start > q->end - len || !q->free)) {
		submit_rw_slow(q, op, start, buf, len, user_data, flags);
		return;
	}
	r = take_req(q);
	r->user_data = user_data;
	r->start = start;
	r->len = len;
	r->expect = len;
	r->op = op;
	r->one.iov_base = buf;
	r->one.iov_len = len;
	submit(q, r);
}

static void submit_rwv(struct blkioq *q, enum bk_op op, uint64_t start, const struct iovec *iov,
		       int iovcnt, void *user_data, uint32_t flags)
{
	struct bk_req *r = get_rw(q, op, start, 0, user_data, flags);

	if (!r)
		return;
	if (unlikely(!iov && iovcnt > 0)) {
		reject(q, r, EINVAL, "iovec is NULL");
		return;
	}
	for (int i = 0; i < iovcnt; i++) {
		if (__builtin_add_overflow(r->len, (uint64_t)iov[i].iov_len, &r->len)) {
			reject(q, r, EINVAL, "the sum of the segment lengths overflows");
			return;
		}
	}
	r->iov = iov;
	r->iovcnt = iovcnt;
	check_and_submit_rw(q, r);
}

void blkioq_read(struct blkioq *q, uint64_t start, void *buf, size_t len, void *user_data,
		 uint32_t flags)
{
	submit_rw(q, BK_READ, start, buf, len, user_data, flags);
}

void blkioq_write(struct blkioq *q, uint64_t start, const void *buf, size_t len, void *user_data,
		  uint32_t flags)
{
	submit_rw(q, BK_WRITE, start, (void *)buf, len, user_data, flags);
}

void blkioq_readv(struct blkioq *q, uint64_t start, const struct iovec *iovec, int iovcnt,
		  void *user_data, uint32_t flags)
{
	submit_rwv(q, BK_READ, start, iovec, iovcnt, user_data, flags);
}

void blkioq_writev(struct blkioq *q, uint64_t start, struct iovec *iovec, int iovcnt,
		   void *user_data, uint32_t flags)
{
	submit_rwv(q, BK_WRITE, start, iovec, iovcnt, user_data, flags);
}

/* ---- The rest ----------------------------------------------------------------------------- */

/* A request without data; NULL when it is complete already, for its flags. */
static struct bk_req *get_plain(struct blkioq *q, enum bk_op op, uint64_t start, uint64_t len,
				void *user_data, uint32_t flags, uint32_t allowed)
{
	struct bk_req *r = get_req(q, op, start, len, user_data, flags);

	if (!r)
		return NULL;
	r->expect = 0;
	r->iov = NULL;
	r->iovcnt = 0;
	return check(q, r, flags_error(flags, allowed)) ? r : NULL;
}

static bool driver_takes(struct blkioq *q, struct bk_req *r)
{
	if (q->b->lim.ops & BK_OP_BIT(r->op))
		return true;
	reject(q, r, ENOTSUP, "the driver or device does not support this request type");
	return false;
}

/* Is it the device's as it is, by its alignment? */
static bool is_whole_blocks(const struct blkioq *q, const struct bk_req *r)
{
	int block = q->b->lim.whole_blocks;

	return !block || !((r->start | r->len) & (block - 1));
}

/* Write zeroes, where the device's own operation takes whole blocks only. */
static void submit_odd_zeroes(struct blkioq *q, struct bk_req *r)
{
	int ret;

	if (r->flags & BLKIO_REQ_NO_FALLBACK) {
		reject(q, r, ENOTSUP,
		       "the device writes zeroes to whole logical blocks only, and "
		       "BLKIO_REQ_NO_FALLBACK forbids writing zero buffers");
		return;
	}
	ret = bk_zeroes_around_blocks(q, r);
	if (ret < 0)
		bk_finish(q, r, ret);
	else
		submit(q, r);
}

void blkioq_write_zeroes(struct blkioq *q, uint64_t start, uint64_t len, void *user_data,
			 uint32_t flags)
{
	struct bk_req *r = get_plain(q, BK_WRITE_ZEROES, start, len, user_data, flags,
				     BLKIO_REQ_FUA | BLKIO_REQ_NO_UNMAP | BLKIO_REQ_NO_FALLBACK);

	if (!r || !check(q, r, range_error(q, start, len)) || !check(q, r, length_error(q, r)) ||
	    !check_writable(q, r))
		return;
	prepare_fua(r, q->b->lim.takes_fua_write_zeroes);
	if (!(q->b->lim.ops & BK_OP_BIT(BK_WRITE_ZEROES)))
		bk_complete_slow(q, r, -ENOTSUP);
	else if (is_whole_blocks(q, r))
		submit(q, r);
	else
		submit_odd_zeroes(q, r);
}

/* A part of a block keeps its data, which a discard may always do. False: nothing is left. */
static bool round_inwards(const struct blkioq *q, struct bk_req *r)
{
	uint64_t mask = q->b->lim.whole_blocks - 1;
	uint64_t start = (r->start + mask) & ~mask, end = (r->start + r->len) & ~mask;

	if (start >= end)
		return false;
	r->start = start;
	r->len = end - start;
	return true;
}

void blkioq_discard(struct blkioq *q, uint64_t start, uint64_t len, void *user_data, uint32_t flags)
{
	struct bk_req *r = get_plain(q, BK_DISCARD, start, len, user_data, flags, 0);

	if (!r || !check(q, r, range_error(q, start, len)) || !check(q, r, length_error(q, r)) ||
	    !check_writable(q, r) || !driver_takes(q, r))
		return;
	if (is_whole_blocks(q, r) || round_inwards(q, r))
		submit(q, r);
	else
		bk_finish(q, r, 0);
}

void blkioq_flush(struct blkioq *q, void *user_data, uint32_t flags)
{
	struct bk_req *r = get_plain(q, BK_FLUSH, 0, 0, user_data, flags, 0);

	if (r && driver_takes(q, r))
		submit(q, r);
}

void blkioq_report_zones(struct blkioq *q, uint64_t offset, struct blkio_zone *zones,
			 uint32_t nr_zones, void *user_data, uint32_t flags)
{
	struct bk_req *r = get_plain(q, BK_ZONE_REPORT, offset, 0, user_data, flags, 0);

	if (!r || !driver_takes(q, r) || !check_readable(q, r) ||
	    !check(q, r, zones || !nr_zones ? NULL : "zones is NULL"))
		return;
	r->zones = zones;
	r->nr_zones = nr_zones;
	submit(q, r);
}

void blkioq_block_status(struct blkioq *q, uint64_t start, uint64_t len,
			 struct blkio_extent *extents, uint32_t nr_extents, void *user_data,
			 uint32_t flags)
{
	struct bk_req *r = get_plain(q, BK_BLOCK_STATUS, start, len, user_data, flags, 0);

	if (!r || !driver_takes(q, r) || !check_readable(q, r) ||
	    !check(q, r, range_error(q, start, len)) ||
	    !check(q, r, extents && nr_extents ? NULL : "extents is NULL, or nr_extents is 0"))
		return;
	if (!len) {
		bk_finish(q, r, 0);
		return;
	}
	r->extents = extents;
	r->nr_extents = min_u64(nr_extents, INT32_MAX);
	r->found.block = __builtin_ctzll(q->request_mask + 1);
	r->expect = BK_EXPECT_STAGES; /* the result is the number of extents */
	submit(q, r);
}

static const char *append_error(const struct blkioq *q, const struct bk_req *r)
{
	if (!r->written_at)
		return "written_at is NULL";
	if (!r->len)
		return "length is 0";
	if (r->len > q->b->lim.max_append)
		return "the request is longer than property zone-append-max-bytes";
	return NULL;
}

void blkioq_zone_append(struct blkioq *q, uint64_t zone, const void *buf, size_t len,
			uint64_t *written_at, void *user_data, uint32_t flags)
{
	struct bk_req *r = get_rw(q, BK_ZONE_APPEND, zone, len, user_data, flags);

	if (!r)
		return;
	r->one = (struct iovec){ (void *)buf, len };
	r->written_at = written_at;
	r->expect = len;
	if (!driver_takes(q, r) || !check(q, r, append_error(q, r)) ||
	    !check(q, r, segments_error(q, r)) || !check(q, r, range_error(q, zone, len)) ||
	    !check_writable(q, r))
		return;
	prepare_fua(r, q->b->lim.takes_fua_write);
	submit(q, r);
}

static void submit_zone_op(struct blkioq *q, enum bk_op op, uint64_t offset, void *user_data,
			   uint32_t flags, uint8_t all)
{
	struct bk_req *r = get_plain(q, op, offset, 0, user_data, flags, 0);

	if (!r || !driver_takes(q, r) || !check_writable(q, r))
		return;
	r->flags |= all;
	submit(q, r);
}

#define DEFINE_ZONE_OP(verb, op)                                                                   \
	void blkioq_##verb##_zone(struct blkioq *q, uint64_t offset, void *user_data,              \
				  uint32_t flags)                                                  \
	{                                                                                          \
		submit_zone_op(q, op, offset, user_data, flags, 0);                                \
	}                                                                                          \
                                                                                                   \
	void blkioq_##verb##_all_zones(struct blkioq *q, void *user_data, uint32_t flags)          \
	{                                                                                          \
		submit_zone_op(q, op, 0, user_data, flags, BK_REQ_ALL_ZONES);                      \
	}

DEFINE_ZONE_OP(close, BK_ZONE_CLOSE)
DEFINE_ZONE_OP(finish, BK_ZONE_FINISH)
DEFINE_ZONE_OP(open, BK_ZONE_OPEN)
DEFINE_ZONE_OP(reset, BK_ZONE_RESET)
