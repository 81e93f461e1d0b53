/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Taking requests, and sending them. Headers lie in a ring of their own, in the order in which they
 * are sent, so that those of reads in a row are one buffer. Payload is sent from where the caller
 * has it.
 */
#include "nbd/nbd.h"

#define COOKIE_STEP 0x10000 /* above the index of the slot */

static inline size_t header_offset(const struct bk_req *r)
{
	return r->priv[1];
}

/* ---- Submitting --------------------------------------------------------------------------- */

static const uint8_t commands[BK_NR_OPS] = {
	[BK_READ] = NBD_CMD_READ,
	[BK_WRITE] = NBD_CMD_WRITE,
	[BK_WRITE_ZEROES] = NBD_CMD_WRITE_ZEROES,
	[BK_DISCARD] = NBD_CMD_TRIM,
	[BK_FLUSH] = NBD_CMD_FLUSH,
	[BK_BLOCK_STATUS] = NBD_CMD_BLOCK_STATUS,
};

static uint16_t special_flags(const struct bk_req *r)
{
	uint16_t flags = 0;

	if (r->flags & BLKIO_REQ_NO_UNMAP)
		flags |= NBD_CMD_FLAG_NO_HOLE;
	if (r->flags & BLKIO_REQ_NO_FALLBACK)
		flags |= NBD_CMD_FLAG_FAST_ZERO;
	if (r->op == BK_BLOCK_STATUS && r->nr_extents == 1)
		flags |= NBD_CMD_FLAG_REQ_ONE;
	return flags;
}

/* Of anything but a read: the core lets through only what the export can do. */
static uint16_t command_flags(const struct nbd_queue *q, const struct bk_req *r)
{
	uint16_t flags = 0;

	if (r->op == BK_WRITE && q->table.mode == NBD_LONG)
		flags |= NBD_CMD_FLAG_PAYLOAD_LEN;
	if ((r->flags & BLKIO_REQ_FUA) && (q->flags & NBD_FLAG_SEND_FUA))
		flags |= NBD_CMD_FLAG_FUA;
	return bk_is_rw(r) ? flags : flags | special_flags(r);
}

/* What is decided without the server. Returns whether r is complete. */
static cold_path bool finish_early(struct nbd_queue *q, struct bk_req *r)
{
	if (q->lost && !q->link.l.is_away) {
		bk_fail(&q->q, r, q->lost_error, q->lost);
	} else if (r->op == BK_FLUSH && !(q->flags & NBD_FLAG_SEND_FLUSH)) {
		bk_complete(&q->q, r, 0); /* there is nothing to flush */
	} else if (r->op == BK_WRITE_ZEROES && (r->flags & BLKIO_REQ_NO_FALLBACK) &&
		   !(q->flags & NBD_FLAG_SEND_FAST_ZERO)) {
		bk_complete(&q->q, r, -ENOTSUP); /* the server may write zeroes as data */
	} else {
		/* An answer for less is an answer. */
		if (r->op == BK_BLOCK_STATUS && q->table.mode != NBD_LONG)
			r->len = min_u64(r->len, NBD_LEN_MAX);
		return false;
	}
	return true;
}

/* The place of the next header, which r remembers. */
static inline uint8_t *next_header(struct nbd_queue *q, struct bk_req *r, size_t len)
{
	unsigned at = q->header_at, next = at + len;

	r->priv[1] = at;
	q->header_at = likely(next != q->headers_len) ? next : 0;
	return q->headers + at;
}

static inline struct nbd_slot *take_slot(struct nbd_queue *q, struct bk_req *r, uint64_t total,
					 enum nbd_kind kind)
{
	struct nbd_slot *slot = q->free;

	q->free = slot->next_free;
	r->priv[0] = (uintptr_t)slot;
	slot->r = r;
	slot->cookie += COOKIE_STEP;
	slot->so_far = 0;
	if (kind != NBD_PLAIN_READ)
		slot->kind = kind;
	q->to_send += total;
	slot->end = q->to_send;
	bk_list_push(&q->unsent, r);
	q->submitted++;
	return slot;
}

static enum nbd_kind kind_of(const struct bk_req *r)
{
	if (r->op != BK_READ)
		return NBD_OTHER;
	if (r->len > NBD_BIG)
		return NBD_BIG_READ;
	return r->iovcnt == 1 ? NBD_PLAIN_READ : NBD_OTHER;
}

static __attribute__((noinline)) void submit_other(struct nbd_queue *q, struct bk_req *r)
{
	struct nbd_request rq = { .command = commands[r->op], .offset = r->start };
	enum nbd_mode mode = q->table.mode;
	struct nbd_slot *slot;

	if (unlikely(q->lost || !bk_is_rw(r)) && finish_early(q, r))
		return;
	if (unlikely(!q->free)) {
		bk_full(&q->q, r);
		return;
	}
	slot = take_slot(q, r, nbd_total(q, r), kind_of(r));
	q->nr_big += slot->kind == NBD_BIG_READ;
	q->sends_data |= r->op == BK_WRITE;
	if (r->op != BK_READ)
		rq.flags = command_flags(q, r);
	rq.cookie = slot->cookie;
	rq.len = r->len;
	nbd_build_request(next_header(q, r, nbd_request_len(mode)), mode, &rq);
}

/* begin: as of nbd_request_begin(). */
static force_inline void submit_rw(struct nbd_queue *q, struct bk_req *r, enum nbd_mode mode,
				   uint64_t begin, uint64_t payload, enum nbd_kind kind)
{
	const size_t len = nbd_request_len(mode);
	struct nbd_slot *slot = take_slot(q, r, len + payload, kind);
	const struct nbd_request rq = {
		.cookie = slot->cookie,
		.offset = r->start,
		.len = r->len,
	};

	nbd_build_begun(next_header(q, r, len), mode, begin, &rq);
}

static force_inline void submit(struct nbd_queue *q, struct bk_req *r, enum nbd_mode mode)
{
	bool is_small_read = r->op == BK_READ && likely(r->len <= NBD_BIG);

	if (unlikely(q->lost || !q->free)) {
		submit_other(q, r);
	} else if (is_small_read && likely(!r->special)) {
		submit_rw(q, r, mode, q->read_begin, 0, NBD_PLAIN_READ);
	} else if (r->op == BK_WRITE && !r->flags) {
		q->sends_data = true;
		submit_rw(q, r, mode, q->write_begin, r->len, NBD_OTHER);
	} else if (is_small_read && !r->flags) {
		submit_rw(q, r, mode, q->read_begin, 0, NBD_OTHER);
	} else {
		submit_other(q, r);
	}
}

void nbd_submit(struct blkioq *bq, struct bk_req *r)
{
	submit(nbd_queue_of(bq), r, NBD_STRUCTURED);
}

void nbd_submit_long(struct blkioq *bq, struct bk_req *r)
{
	submit(nbd_queue_of(bq), r, NBD_LONG);
}

/* ---- Sending ------------------------------------------------------------------------------ */

/* What is unsent of r; false: not all of it fits. */
static bool add_request(struct nbd_queue *q, unsigned *n, const struct bk_req *r)
{
	const struct nbd_slot *slot = nbd_slot_of(r);
	uint64_t payload = r->op == BK_WRITE ? r->len : 0;
	uint64_t begin = slot->end - nbd_total(q, r);
	uint64_t sent = q->table.sent > begin ? q->table.sent - begin : 0;
	unsigned used;

	if (likely(!sent && payload && r->iovcnt == 1 && !slot->pads && *n + 2 <= NET_IOVS)) {
		q->s.out[(*n)++] = (struct iovec){ q->headers + header_offset(r), q->request_len };
		q->s.out[(*n)++] = r->iov[0];
		return *n < NET_IOVS;
	}
	if (sent < q->request_len) {
		if (!net_stream_add(&q->s, n, q->headers + header_offset(r) + sent,
				    q->request_len - sent))
			return false;
		sent = q->request_len;
	}
	if (!payload)
		return true;
	sent -= q->request_len;
	if (unlikely(slot->pads))
		return net_stream_add_padding(&q->s, n, payload - sent);
	used = nbd_slice(r, sent, payload - sent, q->s.out + *n, NET_IOVS - *n);
	*n += used;
	return *n < NET_IOVS;
}

/*
 * From r on, of which nothing is sent, requests without payload whose headers are one buffer.
 * Returns the first request that is none.
 */
static const struct bk_req *add_headers(struct nbd_queue *q, unsigned *n, const struct bk_req *r)
{
	size_t at = header_offset(r), end = at;

	if (unlikely(*n == NET_IOVS))
		return r;
	while (r && r->op != BK_WRITE && header_offset(r) == end) {
		end += q->request_len;
		r = r->next;
	}
	if (end > at)
		q->s.out[(*n)++] = (struct iovec){ q->headers + at, end - at };
	return r;
}

/* What fits. Returns how many buffers, and their length. */
static __attribute__((noinline)) unsigned add_requests(struct nbd_queue *q, size_t *len)
{
	const struct bk_req *r = q->unsent.head;
	unsigned n = 0;

	while (r && add_request(q, &n, r) && likely(!q->careful))
		r = r->next ? add_headers(q, &n, r->next) : NULL;
	*len = 0;
	for (unsigned i = 0; i < n; i++)
		*len += q->s.out[i].iov_len;
	return n;
}

/* Nothing but headers, of which none is sent in part: one buffer, unless they wrap around. */
static inline unsigned add_all_headers(struct nbd_queue *q, size_t len)
{
	size_t at = header_offset(q->unsent.head), room = q->headers_len - at;

	q->s.out[0] = (struct iovec){ q->headers + at, min_u64(len, room) };
	if (likely(len <= room))
		return 1;
	q->s.out[1] = (struct iovec){ q->headers, len - room };
	return 2;
}

void nbd_prepare_send(struct nbd_queue *q)
{
	size_t len = q->to_send - q->table.sent;
	unsigned n;

	q->is_calm = false;
	if (likely(!q->sends_data && !q->s.full && !q->careful))
		n = add_all_headers(q, len);
	else
		n = add_requests(q, &len);
	net_stream_send(&q->s, n, len);
}

static struct bk_req *first_unsent(struct nbd_queue *q)
{
	struct bk_req *r = q->unsent.head;

	while (r && !nbd_unsent(&q->table, nbd_slot_of(r))) {
		r = r->next;
		if (q->careful)
			q->careful--;
	}
	return r;
}

/* So many bytes have left. */
static inline void sent(struct nbd_queue *q, uint64_t bytes)
{
	struct bk_req *r = NULL;

	q->table.sent += bytes;
	if (unlikely(q->table.sent != q->to_send || q->careful))
		r = first_unsent(q);
	bk_list_set_head(&q->unsent, r);
	q->s.full = r && !q->careful;
	if (likely(!r))
		q->sends_data = false;
}

/*
 * The kernel cannot read some buffer. Which one, is found by sending the requests one by one. Then
 * either nothing of the request has been sent, and nothing will be; or the server waits for the
 * rest of its data.
 */
static cold_path void bad_buffer(struct nbd_queue *q)
{
	struct bk_req *r = q->unsent.head;
	struct nbd_slot *slot = nbd_slot_of(r);

	if (!q->careful) {
		for (; r; r = r->next)
			q->careful++;
		return;
	}
	slot->error = EFAULT;
	if (nbd_unsent(&q->table, slot) < nbd_total(q, r)) {
		slot->pads = true;
		return;
	}
	q->table.sent = slot->end;
	q->careful--;
	bk_list_set_head(&q->unsent, r->next);
	nbd_finish(q, slot);
}

static cold_path void send_failed(struct nbd_queue *q, int error)
{
	if (error == EFAULT)
		bad_buffer(q);
	else if (error == EAGAIN)
		q->s.full = true;
	else if (!net_is_transient(-error))
		nbd_lose(q, ENOTCONN, "the connection to the NBD server was lost");
}

void nbd_sent(struct nbd_queue *q)
{
	struct net_result *result = &q->s.sent;

	if (!result->is_new)
		return;
	result->is_new = false;
	if (likely(result->res > 0))
		sent(q, result->res);
	else
		send_failed(q, -result->res);
}
