/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Sending: headers, and data from where the caller has it. Where data has digests it is copied
 * before, by the kernel: what is summed up must not change until it is sent.
 */
#include "nvme_tcp/crc32c.h"
#include "nvme_tcp/nvme_tcp.h"

/* ---- What there is to send ---------------------------------------------------------------- */

/* Of what the controller has asked for, as much as one PDU takes. */
void nvme_tcp_send_data(struct nvme_tcp_queue *q, struct nvme_tcp_slot *slot)
{
	struct nvme_tcp_item *item = nvme_tcp_item_of(q, slot);

	item->at = slot->so_far - slot->to_ask;
	item->len = min_u64(slot->to_ask, q->table.wire.max_data);
	slot->to_ask -= item->len;
	q->asked -= item->len;
	item->header = item->data_header;
	item->header_len = nvme_tcp_build_data(&q->table.wire, item->header, slot, item->at,
					       item->len, !slot->to_ask);
	item->is_command = false;
	q->sends_data = true;
	if (unlikely(q->careful))
		q->careful++;
	nvme_tcp_push(q, slot, item);
}

/* ---- Straight from the callers' buffers --------------------------------------------------- */

/* What is unsent of a slot; false: not all of it fits. */
static bool add_item(struct nvme_tcp_queue *q, unsigned *n, const struct nvme_tcp_slot *slot)
{
	const struct nvme_tcp_item *item = nvme_tcp_item_of(q, slot);
	uint64_t total = nvme_tcp_total(q, item);
	uint64_t sent = total - min_u64(total, nvme_tcp_unsent(q, slot));
	unsigned used;

	if (sent < item->header_len) {
		if (!net_stream_add(&q->s, n, item->header + sent, item->header_len - sent))
			return false;
		sent = item->header_len;
	}
	sent -= item->header_len;
	if (sent == item->len)
		return true;
	if (unlikely(slot->pads))
		return net_stream_add_padding(&q->s, n, item->len - sent);
	used = net_slice(slot->iov, slot->iovcnt, item->at + sent, item->len - sent, q->s.out + *n,
			 NET_IOVS - *n);
	*n += used;
	return *n < NET_IOVS;
}

/* What fits. Returns how many buffers, and their length. */
static __attribute__((noinline)) unsigned add_items(struct nvme_tcp_queue *q, size_t *len)
{
	const struct bk_req *r = q->unsent.head;
	unsigned n = 0;

	while (r && add_item(q, &n, nvme_tcp_slot_of(q, r)) && likely(!q->careful))
		r = r->next;
	*len = 0;
	for (unsigned i = 0; i < n; i++)
		*len += q->s.out[i].iov_len;
	return n;
}

/* Nothing but commands, of which none is sent in part: one buffer, unless they wrap around. */
static inline unsigned add_all_headers(struct nvme_tcp_queue *q, size_t len)
{
	const struct nvme_tcp_slot *first = nvme_tcp_slot_of(q, q->unsent.head);
	uint8_t *from = nvme_tcp_item_of(q, first)->header;
	size_t room = q->headers_len - (from - q->headers);

	q->s.out[0] = (struct iovec){ from, min_u64(len, room) };
	if (likely(len <= room))
		return 1;
	q->s.out[1] = (struct iovec){ q->headers, len - room };
	return 2;
}

/* ---- With data digests -------------------------------------------------------------------- */

#define LEAST_ROOM (NVME_TCP_HEADER_ROOM + NVME_TCP_DIGEST_LEN)

/* A part of an item's data, summed up. False: it cannot be read. */
static bool copy_data(struct nvme_tcp_queue *q, const struct nvme_tcp_slot *slot, uint32_t at,
		      size_t len)
{
	const struct nvme_tcp_item *item = nvme_tcp_item_of(q, slot);
	uint8_t *to = q->out.bytes + q->out.tail;
	struct iovec iov[NET_IOVS];
	unsigned n = net_slice(slot->iov, slot->iovcnt, item->at + at, len, iov, NET_IOVS);
	bool ok = pwritev(q->out.fd, iov, (int)n, (off_t)q->out.tail) == (ssize_t)len;

	if (!ok)
		memset(to, 0, len);
	q->out_crc = crc32c(at ? q->out_crc : 0, to, len);
	q->out.tail += len;
	return ok;
}

/*
 * What fits of a slot's item; some targets want all that they asked for in one PDU, so it may be
 * long. Commands go in one piece. False: the command was not begun, because its data cannot be
 * read.
 */
static bool copy_item(struct nvme_tcp_queue *q, struct nvme_tcp_slot *slot)
{
	const struct nvme_tcp_item *item = nvme_tcp_item_of(q, slot);
	uint64_t total = nvme_tcp_total(q, item), end = item->header_len + item->len, n;
	uint64_t at = total - (slot->end - q->copied);
	size_t tail = q->out.tail;

	if (NET_STAGE_LEN - tail < (item->is_command ? total : LEAST_ROOM))
		return true;
	if (!at) {
		memcpy(q->out.bytes + tail, item->header, item->header_len);
		q->out.tail += item->header_len;
		at = item->header_len;
	}
	n = min_u64(end - min_u64(at, end), NET_STAGE_LEN - NVME_TCP_DIGEST_LEN - q->out.tail);
	if (n && !copy_data(q, slot, at - item->header_len, n)) {
		slot->error = EFAULT;
		if (item->is_command) {
			q->out.tail = tail;
			return false;
		}
	}
	at += n;
	if (at == end && at < total) {
		nvme_tcp_put32(q->out.bytes + q->out.tail, q->out_crc);
		q->out.tail += NVME_TCP_DIGEST_LEN;
		at = total;
	}
	q->copied = slot->end - (total - at);
	return true;
}

/* Take it off the list, whose first ones are on the stage already. */
static cold_path void drop(struct nvme_tcp_queue *q, struct bk_req *before, struct bk_req *r)
{
	struct nvme_tcp_slot *slot = nvme_tcp_slot_of(q, r);
	uint64_t total = nvme_tcp_total(q, nvme_tcp_item_of(q, slot));

	for (struct bk_req *next = r->next; next; next = next->next)
		nvme_tcp_slot_of(q, next)->end -= total;
	q->to_send -= total;
	if (before)
		before->next = r->next;
	else
		q->unsent.head = r->next;
	if (!r->next)
		q->unsent.tail = before ? &before->next : &q->unsent.head;
	nvme_tcp_finish(q, slot);
}

static void fill_stage(struct nvme_tcp_queue *q)
{
	struct bk_req *before = NULL, *r = q->unsent.head, *next;

	q->out.head = q->out.tail = 0;
	for (; r; r = next) {
		struct nvme_tcp_slot *slot = nvme_tcp_slot_of(q, r);

		next = r->next;
		if (!copy_item(q, slot)) {
			drop(q, before, r);
			continue;
		}
		if (q->copied < slot->end)
			break;
		before = r;
	}
}

static cold_path unsigned add_stage(struct nvme_tcp_queue *q, size_t *len)
{
	if (q->out.head == q->out.tail)
		fill_stage(q);
	*len = q->out.tail - q->out.head;
	q->s.out[0] = (struct iovec){ q->out.bytes + q->out.head, *len };
	return *len ? 1 : 0;
}

/* ---- Sending ------------------------------------------------------------------------------ */

void nvme_tcp_prepare_send(struct nvme_tcp_queue *q)
{
	size_t all = q->to_send - q->table.sent, len = all;
	unsigned n;

	q->is_calm = false;
	if (likely(!q->sends_data && !q->s.full && !q->careful))
		n = add_all_headers(q, len);
	else if (unlikely(q->table.wire.data_digest))
		n = add_stage(q, &len);
	else
		n = add_items(q, &len);
	q->has_more = q->asked || len < all;
	if (likely(n))
		net_stream_send(&q->s, n, len);
}

/* Those that are sent leave; some of them have more to send. Returns the first that is not. */
static struct bk_req *first_unsent(struct nvme_tcp_queue *q)
{
	struct bk_req *r;

	while ((r = q->unsent.head) && !nvme_tcp_unsent(q, nvme_tcp_slot_of(q, r))) {
		bk_list_set_head(&q->unsent, r->next);
		if (q->careful)
			q->careful--;
		if (nvme_tcp_slot_of(q, r)->to_ask)
			nvme_tcp_send_data(q, nvme_tcp_slot_of(q, r));
	}
	return r;
}

static bool is_sent_in_part(const struct nvme_tcp_queue *q, const struct nvme_tcp_slot *slot)
{
	return nvme_tcp_unsent(q, slot) < nvme_tcp_total(q, nvme_tcp_item_of(q, slot));
}

/* So many bytes have left. */
static inline void sent(struct nvme_tcp_queue *q, uint64_t bytes)
{
	struct bk_req *r = NULL;

	q->table.sent += bytes;
	if (unlikely(q->out.head != q->out.tail))
		q->out.head += bytes;
	if (unlikely(q->sends_data || q->table.sent != q->to_send || q->careful))
		r = first_unsent(q);
	else
		bk_list_set_head(&q->unsent, NULL);
	q->s.full = r && !q->careful && is_sent_in_part(q, nvme_tcp_slot_of(q, r));
	if (likely(!r))
		q->sends_data = q->scatters;
}

/*
 * The kernel cannot read some buffer. Which one, is found by sending the items one by one. Then
 * either the controller knows nothing of the command, and never will; or it waits for data.
 */
static cold_path void bad_buffer(struct nvme_tcp_queue *q)
{
	struct bk_req *r = q->unsent.head;
	struct nvme_tcp_slot *slot = nvme_tcp_slot_of(q, r);

	if (!q->careful) {
		for (; r; r = r->next)
			q->careful++;
		return;
	}
	slot->error = EFAULT;
	if (!nvme_tcp_is_unknown(q, slot)) {
		slot->pads = true;
		return;
	}
	q->careful--;
	drop(q, NULL, r);
}

static cold_path void send_failed(struct nvme_tcp_queue *q, int error)
{
	if (error == EFAULT)
		bad_buffer(q);
	else if (error == EAGAIN)
		q->s.full = true;
	else if (!net_is_transient(-error))
		nvme_tcp_lose(q, ENOTCONN, "the connection to the NVMe/TCP target was lost");
}

void nvme_tcp_sent(struct nvme_tcp_queue *q)
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
