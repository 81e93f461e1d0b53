/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the server sends, and where it goes. It arrives on the stage, as much as there is in one
 * call; headers are read there, and data is copied to the callers' buffers (nbd_stage.c). Two
 * receives go past the stage:
 *
 *  - the data of a large read, as far as it is not on the stage;
 *  - when one read is all that is in flight: what follows the header must be its data.
 */
#include "nbd/nbd.h"
#include "net/tls_record.h"

void nbd_receive_reset(struct nbd_queue *q)
{
	q->stage.head = q->stage.tail = 0;
	q->slot = NULL;
	q->left = q->skip = q->ahead = 0;
	q->early = false;
}

/* ---- Data --------------------------------------------------------------------------------- */

/* So many bytes of the current data are where they belong. */
static inline void advance(struct nbd_queue *q, uint64_t len)
{
	struct nbd_slot *slot = q->slot;

	q->at += len;
	q->left -= len;
	if (q->left)
		return;
	q->slot = NULL;
	if (q->is_last)
		nbd_done(q, slot);
}

/* The current data, as far as it is on the stage. */
static void take_data(struct nbd_queue *q)
{
	while (q->left && q->stage.head < q->stage.tail) {
		size_t len = min_u64(q->left, q->stage.tail - q->stage.head);

		if (likely(!q->slot->error))
			len = nbd_add_copies(q, q->slot, q->at, len);
		q->stage.head += len;
		advance(q, len);
		if (unlikely(q->copies.n == NET_COPIES))
			nbd_flush_copies(q);
	}
}

static cold_path void take_hole(struct nbd_event *ev)
{
	const struct bk_req *r = ev->slot->r;
	uint64_t at = ev->at, end = ev->at + ev->len;
	struct iovec iov;

	while (at < end && nbd_slice(r, at, end - at, &iov, 1)) {
		if (bk_zero_caller(iov.iov_base, iov.iov_len) < 0)
			ev->slot->error = EFAULT;
		at += iov.iov_len;
	}
}

/* They are the current data, of which nothing is left to be copied. */
static cold_path void begin_extents(struct nbd_queue *q, const struct nbd_event *ev)
{
	q->slot = ev->slot;
	q->is_last = ev->is_last;
	bk_extents_begin(ev->slot->r);
}

static inline void take_event(struct nbd_queue *q, struct nbd_event *ev)
{
	if (likely(ev->kind == NBD_DATA)) {
		q->slot = ev->slot;
		q->at = ev->at;
		q->left = ev->len;
		q->is_last = ev->is_last;
		advance(q, q->ahead);
		q->ahead = 0;
		return;
	}
	if (ev->kind == NBD_HOLE)
		take_hole(ev);
	else
		q->skip = ev->len;
	if (ev->kind == NBD_STATUS)
		begin_extents(q, ev);
	else if (ev->is_last)
		nbd_done(q, ev->slot);
}

/* Whole ones; what remains on the stage is a part of the next one. */
static int take_extents(struct nbd_queue *q, const char **why)
{
	struct net_stage *stage = &q->stage;
	struct nbd_slot *slot = q->slot;
	size_t size = nbd_extent_len(q->table.mode);

	for (; q->skip && stage->tail - stage->head >= size; q->skip -= size) {
		struct nbd_extent x;

		if (nbd_take_extent(q->table.mode, slot, stage->bytes + stage->head, &x, why) < 0)
			return NBD_BROKEN;
		stage->head += size;
		bk_extent_add(slot->r, x.len, x.flags);
	}
	if (q->skip)
		return 0;
	q->slot = NULL;
	if (q->is_last)
		nbd_done(q, slot);
	return 0;
}

/* Extents, or what is of no interest. 0, or NBD_BROKEN. */
static cold_path int skip(struct nbd_queue *q, const char **why)
{
	size_t len = min_u64(q->skip, q->stage.tail - q->stage.head);

	if (q->slot)
		return take_extents(q, why);
	q->stage.head += len;
	q->skip -= len;
	return 0;
}

/* Nobody waits for these alone, and the stage has room for more: copy them together with those. */
static bool may_gather(const struct nbd_queue *q)
{
	unsigned done = q->copies.n + q->nr_done;

	return (int)(q->goal - q->finished - done) > 0 && done < nbd_inflight(q) && !q->left &&
	       !q->skip && q->stage.tail <= NET_STAGE_LEN / 2;
}

/* All that is on the stage. */
static __attribute__((noinline)) void take_stage(struct nbd_queue *q)
{
	struct net_stage *stage = &q->stage;
	const char *why;
	int ret = 0;

	while (stage->head < stage->tail) {
		struct nbd_event ev;

		if (unlikely(q->skip)) {
			ret = skip(q, &why);
			if (ret < 0 || q->skip)
				break;
		}
		if (q->left)
			take_data(q);
		nbd_take_plain_reads(q);
		if (unlikely(q->copies.n == NET_COPIES))
			nbd_flush_copies(q);
		ret = nbd_next_reply(&q->table, stage->bytes + stage->head,
				     stage->tail - stage->head, &ev, &why);
		if (ret <= 0)
			break;
		stage->head += ret;
		take_event(q, &ev);
	}
	if (q->copies.n && (unlikely(ret < 0) || !may_gather(q)))
		nbd_flush_copies(q);
	if (stage->head == stage->tail && !q->copies.n)
		stage->head = stage->tail = 0;
	q->early = ret == NBD_EARLY;
	if (unlikely(ret == NBD_BROKEN))
		nbd_lose(q, EPROTO, why);
}

/* ---- Receiving ---------------------------------------------------------------------------- */

/* How much is wanted on the stage: only headers if all data is to go past it. */
static size_t wanted(const struct nbd_queue *q)
{
	size_t have = q->stage.tail - q->stage.head, len = nbd_data_header_len(q->table.mode);

	if (nbd_inflight(q) > q->nr_big || q->skip || q->left)
		return NET_STAGE_LEN - q->stage.tail;
	return have < len ? len - have : NBD_HEADER_MAX - have;
}

/* The rest of the current data, and then what follows. */
static unsigned into_buffer(struct nbd_queue *q)
{
	struct iovec *in = q->s.in;
	unsigned n = nbd_slice(q->slot->r, q->at, q->left, in, NET_IOVS - 1);
	uint64_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += in[i].iov_len;
	q->into = NBD_INTO_BUFFER;
	q->into_buffer = len;
	if (len == q->left)
		in[n++] =
		    (struct iovec){ q->stage.bytes, nbd_inflight(q) > q->nr_big
							? NET_STAGE_LEN
							: nbd_data_header_len(q->table.mode) };
	return n;
}

/* One read is all that is in flight: its header, and then its data. */
static bool can_go_ahead(const struct nbd_queue *q)
{
	const struct bk_req *r = q->unsent.head;

	return nbd_inflight(q) == 1 && r && r->op == BK_READ && !nbd_slot_of(r)->error &&
	       r->len <= NBD_BIG && r->iovcnt < NET_IOVS && !q->stage.tail && !q->skip &&
	       !q->by_stage;
}

static unsigned into_both(struct nbd_queue *q)
{
	const struct bk_req *r = q->unsent.head;

	q->into = NBD_INTO_BOTH;
	q->into_slot = nbd_slot_of(r);
	q->s.in[0] = (struct iovec){ q->stage.bytes, nbd_data_header_len(q->table.mode) };
	if (likely(r->iovcnt == 1)) {
		q->s.in[1] = r->iov[0];
		return 2;
	}
	return 1 + nbd_slice(r, 0, r->len, q->s.in + 1, NET_IOVS - 1);
}

void nbd_prepare_receive(struct nbd_queue *q)
{
	unsigned n = 1;

	if (unlikely(q->early))
		return;
	if (unlikely(q->stage.head) && !q->copies.n)
		net_stage_compact(&q->stage);
	if (q->left && !q->slot->error && !q->by_stage) {
		n = into_buffer(q);
	} else if (can_go_ahead(q)) {
		n = into_both(q);
	} else {
		q->into = NBD_INTO_STAGE;
		q->s.in[0] = (struct iovec){ q->stage.bytes + q->stage.tail, wanted(q) };
	}
	net_stream_recv(&q->s, n);
}

/* What is behind the header is not what was expected: put it behind the header on the stage. */
static cold_path void come_back(struct nbd_queue *q, size_t len)
{
	const struct bk_req *r = q->into_slot->r;
	uint64_t at = 0;
	struct iovec iov;

	while (at < len && nbd_slice(r, at, len - at, &iov, 1)) {
		if (bk_copy_from_caller(q->stage.bytes + q->stage.tail, iov.iov_base, iov.iov_len) <
		    0) {
			nbd_lose(q, EFAULT, "a buffer became inaccessible");
			return;
		}
		q->stage.tail += iov.iov_len;
		at += iov.iov_len;
	}
}

static cold_path void received_part(struct nbd_queue *q, size_t len)
{
	size_t header = nbd_data_header_len(q->table.mode);

	q->stage.tail = header;
	if (likely(nbd_is_whole_read(&q->table, q->into_slot, q->stage.bytes)))
		q->ahead = len - header;
	else
		come_back(q, len - header);
}

static inline void finish_only_read(struct nbd_queue *q, struct nbd_slot *slot)
{
	nbd_finish(q, slot);
	q->is_calm = !nbd_inflight(q) && !q->s.state && !q->careful;
}

/* What was to be the one read that is in flight, and mostly is, all of it. */
static inline void received_both(struct nbd_queue *q, size_t len)
{
	size_t header = nbd_data_header_len(q->table.mode);
	struct nbd_slot *slot = q->into_slot;

	if (unlikely(len <= header))
		q->stage.tail = len;
	else if (likely(len == header + slot->r->len && !slot->error &&
			nbd_is_only_reply(&q->table, slot, q->stage.bytes)))
		finish_only_read(q, slot);
	else
		received_part(q, len);
}

static void received(struct nbd_queue *q, size_t len)
{
	size_t data;

	if (q->into == NBD_INTO_BUFFER) {
		data = min_u64(len, q->into_buffer);
		advance(q, data);
		q->stage.tail = len - data;
	} else if (q->into == NBD_INTO_STAGE) {
		q->stage.tail += len;
	} else {
		received_both(q, len);
	}
}

/* It is not data that has come. */
static void take_tls_record(struct nbd_queue *q)
{
	switch (net_kernel_tls_take(q->s.sock)) {
	case 0:
		break;
	case -ECONNRESET:
		nbd_lose(q, ENOTCONN, "the NBD server closed the connection");
		break;
	case -EKEYEXPIRED:
		nbd_lose(q, ENOTCONN,
			 "the NBD server changed its TLS keys, which the kernel "
			 "cannot follow (property \"tls-kernel\")");
		break;
	case -EPROTO:
		nbd_lose(q, ENOTCONN, "the NBD server reported a TLS error");
		break;
	default:
		nbd_lose(q, ENOTCONN, "the connection to the NBD server was lost");
	}
}

static cold_path void receive_failed(struct nbd_queue *q, int error)
{
	if (q->s.silent || error == ETIMEDOUT)
		nbd_lose(q, ENOTCONN,
			 "the machine of the NBD server does not answer (property "
			 "\"tcp-timeout\")");
	else if (!error)
		nbd_lose(q, ENOTCONN, "the NBD server closed the connection");
	else if (error == EIO && q->connection.is_kernel_tls)
		take_tls_record(q);
	else if (error == EFAULT && q->into == NBD_INTO_BUFFER)
		q->slot->error = EFAULT;
	else if (error == EFAULT && q->into == NBD_INTO_BOTH)
		q->into_slot->error = EFAULT;
	else if (!net_is_transient(-error))
		nbd_lose(q, ENOTCONN, "the connection to the NBD server was lost");
}

void nbd_receive(struct nbd_queue *q)
{
	struct net_result *r = &q->s.received;
	bool is_new = r->is_new;

	r->is_new = false;
	if (unlikely(q->lost || !(is_new || q->early)))
		return;
	if (is_new && unlikely(r->res <= 0))
		receive_failed(q, -r->res);
	else if (is_new)
		received(q, r->res);
	if (q->stage.head < q->stage.tail && likely(!q->lost))
		take_stage(q);
}
