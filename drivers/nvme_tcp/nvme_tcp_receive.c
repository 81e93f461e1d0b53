/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the controller sends, and where it goes. It arrives on a stage of our own, as much as there
 * is in one call; headers are read there, and data is copied to the callers' buffers, all of it in
 * one call. Two receives go past the stage:
 *
 *  - the data of a large read, as far as it is not on the stage;
 *  - when one read is all that is in flight: what follows the header must be its data.
 *
 * Data with digests is summed up on the stage, so all of it goes that way.
 */
#include "nvme_tcp/crc32c.h"
#include "nvme_tcp/nvme_tcp.h"

void nvme_tcp_receive_reset(struct nvme_tcp_queue *q)
{
	q->stage.head = q->stage.tail = 0;
	q->slot = NULL;
	q->left = q->ahead = 0;
	q->has_trailer = q->early = false;
}

/* ---- Copies ------------------------------------------------------------------------------- */

/* Make all copies, then complete the requests that waited for them. */
static void flush_copies(struct nvme_tcp_queue *q)
{
	if (q->copies.n)
		net_copies_make(&q->copies, &q->stage);
	for (unsigned i = 0; i < q->nr_done; i++)
		nvme_tcp_finish(q, q->done[i]);
	q->nr_done = 0;
}

/* len bytes on the stage, from `from` on. There is room. */
static inline void add_copy(struct nvme_tcp_queue *q, struct nvme_tcp_slot *slot, size_t from,
			    void *to, size_t len)
{
	struct net_copies *c = &q->copies;

	if (!net_copies_reach(c, from)) {
		flush_copies(q);
		net_copies_begin(c, from);
	}
	net_copies_add(c, from, to, len, &slot->error);
}

/* The command is completed: nothing else may come for it. */
static inline void done(struct nvme_tcp_queue *q, struct nvme_tcp_slot *slot)
{
	if (!q->copies.n) {
		nvme_tcp_finish(q, slot);
		return;
	}
	slot->in_flight = false;
	q->done[q->nr_done++] = slot;
	if (unlikely(q->nr_done == NET_COPIES))
		flush_copies(q);
}

/* ---- Data --------------------------------------------------------------------------------- */

static void end_data(struct nvme_tcp_queue *q)
{
	struct nvme_tcp_slot *slot = q->slot;

	q->slot = NULL;
	if (q->is_done)
		done(q, slot);
}

/* So many bytes of the current data are where they belong. */
static inline void advance(struct nvme_tcp_queue *q, uint32_t len)
{
	q->at += len;
	q->left -= len;
	if (!q->left && !q->has_trailer)
		end_data(q);
}

/* Of len bytes on the stage; returns how many there was room for. */
static size_t add_copies(struct nvme_tcp_queue *q, size_t len)
{
	const struct nvme_tcp_slot *slot = q->slot;
	struct iovec iov[NET_COPIES];
	unsigned n = net_slice(slot->iov, slot->iovcnt, q->at, len, iov, NET_COPIES - q->copies.n);
	size_t from = q->stage.head;

	for (unsigned i = 0; i < n; i++) {
		add_copy(q, q->slot, from, iov[i].iov_base, iov[i].iov_len);
		from += iov[i].iov_len;
	}
	return from - q->stage.head;
}

/* The current data, as far as it is on the stage. */
static void take_data(struct nvme_tcp_queue *q)
{
	while (q->left && q->stage.head < q->stage.tail) {
		size_t len = min_u64(q->left, q->stage.tail - q->stage.head);

		if (likely(!q->slot->error))
			len = add_copies(q, len);
		if (unlikely(q->has_trailer))
			q->crc = crc32c(q->crc, q->stage.bytes + q->stage.head, len);
		q->stage.head += len;
		advance(q, len);
		if (unlikely(q->copies.n == NET_COPIES))
			flush_copies(q);
	}
}

/* The digest behind it. False: it has not come. */
static cold_path bool take_trailer(struct nvme_tcp_queue *q)
{
	struct net_stage *stage = &q->stage;
	struct nvme_tcp_slot *slot = q->slot;

	if (stage->tail - stage->head < NVME_TCP_DIGEST_LEN)
		return false;
	if (nvme_tcp_get32(stage->bytes + stage->head) != q->crc && !slot->error) {
		slot->error = EILSEQ;
		slot->r->error_msg = "the data digest is wrong: data was garbled on its way from "
				     "the NVMe/TCP target";
	}
	stage->head += NVME_TCP_DIGEST_LEN;
	q->has_trailer = false;
	end_data(q);
	return true;
}

static inline void take_event(struct nvme_tcp_queue *q, const struct nvme_tcp_event *ev)
{
	if (likely(ev->kind == NVME_TCP_DATA)) {
		q->slot = ev->slot;
		q->at = ev->at;
		q->left = ev->len;
		q->is_done = ev->is_done;
		q->has_trailer = q->table.wire.data_digest;
		q->crc = 0;
		advance(q, q->ahead);
		q->ahead = 0;
	} else if (ev->kind == NVME_TCP_DONE) {
		nvme_tcp_item_of(q, ev->slot)->status = ev->status;
		nvme_tcp_item_of(q, ev->slot)->result = ev->result;
		done(q, ev->slot);
	} else if (ev->kind == NVME_TCP_ASKS) {
		q->asked += ev->slot->to_ask;
		nvme_tcp_send_data(q, ev->slot);
	}
}

/* ---- The stage ---------------------------------------------------------------------------- */

/* What nvme_tcp_next() found to be wrong, if it did. */
static cold_path void refuse(struct nvme_tcp_queue *q, int ret, const char *why)
{
	uint8_t pdu[NVME_TCP_SHORT_LEN];

	if (ret == NVME_TCP_EARLY) {
		q->early = true;
		return;
	}
	if (ret == NVME_TCP_CORRUPT)
		nvme_tcp_lose(q, ENOTCONN, "the header digest of a PDU is wrong");
	if (ret != NVME_TCP_BROKEN)
		return;
	/* Between two PDUs we can say so. */
	if (!q->unsent.head) {
		nvme_tcp_build_term(pdu);
		send(q->s.sock, pdu, sizeof(pdu), MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	nvme_tcp_lose(q, EPROTO, why);
}

/* All that is on the stage. */
static __attribute__((noinline)) void take_stage(struct nvme_tcp_queue *q)
{
	struct net_stage *stage = &q->stage;
	const char *why;
	int ret = 0;

	q->early = false;
	for (;;) {
		struct nvme_tcp_event ev;

		if (q->left)
			take_data(q);
		if (unlikely(q->slot) && (q->left || !take_trailer(q)))
			break;
		ret = nvme_tcp_next(&q->table, stage->bytes + stage->head,
				    stage->tail - stage->head, &ev, &why);
		if (ret <= 0)
			break;
		stage->head += ret;
		if (unlikely(ev.kind == NVME_TCP_TERMINATED)) {
			nvme_tcp_lose(q, ENOTCONN, why);
			break;
		}
		take_event(q, &ev);
	}
	flush_copies(q);
	if (unlikely(ret < 0))
		refuse(q, ret, why);
}

/* ---- Receiving ---------------------------------------------------------------------------- */

/* How much is wanted on the stage: only headers if all data is to go past it. */
static size_t wanted(const struct nvme_tcp_queue *q)
{
	size_t have = q->stage.tail - q->stage.head;
	size_t len = nvme_tcp_data_header_len(&q->table.wire);

	if (q->nr_inflight > q->nr_big || q->slot || have >= len || q->table.wire.data_digest)
		return NET_STAGE_LEN - q->stage.tail;
	return len - have;
}

/* The rest of the current data, and then what follows. */
static unsigned into_buffer(struct nvme_tcp_queue *q)
{
	const struct nvme_tcp_slot *slot = q->slot;
	struct iovec *in = q->s.in;
	unsigned n = net_slice(slot->iov, slot->iovcnt, q->at, q->left, in, NET_IOVS - 1);
	uint32_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += in[i].iov_len;
	q->into = NVME_TCP_INTO_BUFFER;
	q->into_buffer = len;
	if (len == q->left)
		in[n++] = (struct iovec){ q->stage.bytes,
					  q->nr_inflight > q->nr_big
					      ? NET_STAGE_LEN
					      : nvme_tcp_data_header_len(&q->table.wire) };
	return n;
}

/* One read is all that is in flight: its header, and then its data. */
static bool can_go_ahead(const struct nvme_tcp_queue *q)
{
	const struct nvme_tcp_wire *w = &q->table.wire;
	const struct nvme_tcp_slot *slot = q->newest;

	return q->nr_inflight == 1 && slot->in_flight && slot->way == NVME_TCP_IN &&
	       slot->len <= NVME_TCP_BIG && !slot->so_far && slot->iovcnt < NET_IOVS - 2 &&
	       !q->stage.tail && !slot->error && !w->header_digest && !w->data_digest;
}

/* The header, the data, and then the response if the controller sends one. */
static unsigned into_both(struct nvme_tcp_queue *q)
{
	const struct nvme_tcp_slot *slot = q->newest;
	struct iovec *in = q->s.in;
	unsigned n;

	q->into = NVME_TCP_INTO_BOTH;
	q->into_slot = q->newest;
	in[0] = (struct iovec){ q->stage.bytes, NVME_TCP_SHORT_LEN };
	if (likely(slot->iovcnt == 1)) {
		in[1] = slot->iov[0];
		n = 2;
	} else {
		n = 1 + net_slice(slot->iov, slot->iovcnt, 0, slot->len, in + 1, NET_IOVS - 2);
	}
	in[n++] =
	    (struct iovec){ q->stage.bytes + NVME_TCP_SHORT_LEN + slot->len, NVME_TCP_SHORT_LEN };
	return n;
}

void nvme_tcp_prepare_receive(struct nvme_tcp_queue *q)
{
	unsigned n = 1;

	if (unlikely(q->early))
		return;
	net_stage_compact(&q->stage);
	if (q->left && !q->slot->error && !q->has_trailer) {
		n = into_buffer(q);
	} else if (can_go_ahead(q)) {
		n = into_both(q);
	} else {
		q->into = NVME_TCP_INTO_STAGE;
		q->s.in[0] = (struct iovec){ q->stage.bytes + q->stage.tail, wanted(q) };
	}
	net_stream_recv(&q->s, n);
}

/* What is behind the header is not what was expected: put it behind the header on the stage. */
static cold_path void come_back(struct nvme_tcp_queue *q, size_t len)
{
	const struct nvme_tcp_slot *slot = q->into_slot;
	size_t at = 0, data = min_u64(len, slot->len);
	struct iovec iov;

	while (at < data && net_slice(slot->iov, slot->iovcnt, at, data - at, &iov, 1)) {
		if (bk_copy_from_caller(q->stage.bytes + NVME_TCP_SHORT_LEN + at, iov.iov_base,
					iov.iov_len) < 0) {
			nvme_tcp_lose(q, EFAULT, "a buffer became inaccessible");
			return;
		}
		at += iov.iov_len;
	}
	q->stage.tail = NVME_TCP_SHORT_LEN + len;
}

/* All data of the one read that is in flight, and perhaps the beginning of what follows it. */
static inline void received_whole(struct nvme_tcp_queue *q, size_t len, bool is_done)
{
	struct nvme_tcp_slot *slot = q->into_slot;

	q->stage.head = NVME_TCP_SHORT_LEN + slot->len;
	q->stage.tail = len;
	slot->so_far = slot->len;
	slot->is_last = true;
	if (is_done)
		nvme_tcp_finish(q, slot);
}

/* All of it, and nothing else: as of most reads that are alone. */
static inline void finish_only_read(struct nvme_tcp_queue *q)
{
	nvme_tcp_finish(q, q->into_slot);
	q->is_calm = !q->nr_inflight && !q->s.state && !q->careful && !q->unsent.head;
}

/* What was to be the one read that is in flight, and mostly is. */
static inline void received_both(struct nvme_tcp_queue *q, size_t len)
{
	struct nvme_tcp_slot *slot = q->into_slot;
	bool is_done = false;

	if (unlikely(len <= NVME_TCP_SHORT_LEN)) {
		q->stage.tail = len;
	} else if (unlikely(!nvme_tcp_is_whole(&q->table, slot, q->stage.bytes, &is_done))) {
		come_back(q, len - NVME_TCP_SHORT_LEN);
	} else if (likely(len == NVME_TCP_SHORT_LEN + slot->len && is_done)) {
		finish_only_read(q);
	} else if (likely(len >= NVME_TCP_SHORT_LEN + slot->len)) {
		received_whole(q, len, is_done);
	} else {
		q->stage.tail = NVME_TCP_SHORT_LEN;
		q->ahead = len - NVME_TCP_SHORT_LEN;
	}
}

static void received(struct nvme_tcp_queue *q, size_t len)
{
	uint32_t data;

	if (q->into == NVME_TCP_INTO_BUFFER) {
		data = min_u64(len, q->into_buffer);
		advance(q, data);
		q->stage.tail = len - data;
	} else if (q->into == NVME_TCP_INTO_STAGE) {
		q->stage.tail += len;
	} else {
		received_both(q, len);
	}
}

static const char *why_closed(const struct nvme_tcp_queue *q)
{
	const struct nvme_tcp_dev *d = nvme_tcp_dev_of_queue(q);

	return __atomic_load_n(&d->cut_why, __ATOMIC_ACQUIRE)
		   ?: "the NVMe/TCP target closed the connection";
}

static cold_path void receive_failed(struct nvme_tcp_queue *q, int error)
{
	if (q->s.silent || error == ETIMEDOUT)
		nvme_tcp_lose(q, ENOTCONN,
			      "the machine of the NVMe/TCP target does not answer (property "
			      "\"tcp-timeout\")");
	else if (!error)
		nvme_tcp_lose(q, ENOTCONN, why_closed(q));
	else if (error == EFAULT && q->into == NVME_TCP_INTO_BUFFER)
		q->slot->error = EFAULT;
	else if (error == EFAULT && q->into == NVME_TCP_INTO_BOTH)
		q->into_slot->error = EFAULT;
	else if (!net_is_transient(-error))
		nvme_tcp_lose(q, ENOTCONN, "the connection to the NVMe/TCP target was lost");
}

void nvme_tcp_receive(struct nvme_tcp_queue *q)
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
