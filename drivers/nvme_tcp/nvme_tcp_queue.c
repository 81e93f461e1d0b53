/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A queue is a connection: its beginning, its hot functions, its end. */
#include "nvme_tcp/nvme_tcp.h"

/* ---- The beginning ------------------------------------------------------------------------ */

/* What does not change with the connection. */
static void describe(struct nvme_tcp_queue *q, const struct nvme_tcp_wire *w)
{
	const struct nvme_tcp_dev *d = nvme_tcp_dev_of_queue(q);
	struct bk_req r = { .len = d->b.lim.request_alignment };

	q->ns = &d->ns;
	q->capsule_data = d->s.ctrl.capsule_data;
	if (w->data_digest)
		q->capsule_data = min_u64(q->capsule_data, NVME_TCP_DATA_MAX);
	q->header_room = w->capsule_data_at;
	q->headers_len = nvme_tcp_slots(d) * q->header_room;
	for (r.op = BK_READ; r.op <= BK_WRITE; r.op++)
		nvme_prep(q->ns, &r, &q->templates[r.op]);
	if (q->ns->pi)
		q->q.submit = nvme_tcp_submit_protected;
	bk_list_init(&q->unsent);
}

static int init_stages(struct nvme_tcp_queue *q, bool data_digest)
{
	int ret = net_stage_init(&q->stage);

	if (ret < 0 || !data_digest)
		return ret;
	ret = net_stage_init(&q->out);
	if (ret < 0)
		net_stage_exit(&q->stage);
	return ret;
}

static void exit_stages(struct nvme_tcp_queue *q)
{
	net_stage_exit(&q->stage);
	if (q->out.bytes)
		net_stage_exit(&q->out);
}

int nvme_tcp_queue_open(struct nvme_tcp_queue *q, const struct nvme_tcp_channel *ch,
			unsigned association)
{
	int ret;

	describe(q, &ch->table.wire);
	ret = nvme_tcp_slots_init(q, nvme_tcp_slots(nvme_tcp_dev_of_queue(q)));
	if (ret < 0)
		return ret;
	ret = init_stages(q, ch->table.wire.data_digest);
	if (ret < 0)
		goto exit_slots;
	ret = nvme_tcp_link_init(q);
	if (ret < 0)
		goto exit_stage;
	ret = nvme_tcp_expose(q, ch->sock, association);
	if (ret < 0)
		goto exit_link;
	ret = net_stream_init(&q->s, ch->sock, q->q.completion_fd);
	if (ret < 0)
		goto hide;
	q->s.pair[0] = (struct iovec){ q->stage.bytes, NVME_TCP_SHORT_LEN };
	nvme_tcp_take_channel(q, ch);
	return 0;

hide:
	nvme_tcp_hide(q);
exit_link:
	nvme_tcp_link_exit(q);
exit_stage:
	exit_stages(q);
exit_slots:
	nvme_tcp_slots_exit(q);
	return ret;
}

void nvme_tcp_queue_close(struct nvme_tcp_queue *q)
{
	nvme_tcp_link_exit(q);
	nvme_tcp_hide(q);
	net_stream_exit(&q->s);
	exit_stages(q);
	nvme_tcp_slots_exit(q);
}

/* ---- Entering ----------------------------------------------------------------------------- */

/* What there is to send and to receive. */
static inline void prepare(struct nvme_tcp_queue *q)
{
	if (q->unsent.head && !q->s.sending)
		nvme_tcp_prepare_send(q);
	if (q->nr_inflight && !q->s.receiving)
		nvme_tcp_prepare_receive(q);
}

/* Look at what has ended since. */
static force_inline void attend(struct nvme_tcp_queue *q)
{
	nvme_tcp_sent(q);
	nvme_tcp_receive(q);
	if (unlikely(q->s.wants_tick))
		q->is_calm = false;
	if (unlikely(q->lost) && net_stream_is_idle(&q->s))
		nvme_tcp_link_lost(q);
}

/* Is there something to wait for? A send that the kernel keeps silent about is none. */
static inline bool may_wait(const struct nvme_tcp_queue *q)
{
	return !(unlikely(q->has_more) && q->s.quick);
}

/* Must the kernel be entered once more, whatever the caller waits for? */
static bool has_to_go_on(const struct nvme_tcp_queue *q)
{
	if (unlikely(q->lost))
		return !net_stream_is_idle(&q->s);
	if (q->unsent.head && !q->s.sending)
		return true;
	if (!q->q.notify_on || !q->nr_inflight)
		return false;
	/* The completion fd fires when a receive ends, a send that waits for room, or a tick. */
	return q->s.receiving ? q->s.wants_tick : !q->early;
}

static __attribute__((noinline)) int enter(struct nvme_tcp_queue *q, unsigned wait_nr,
					   const struct bk_wait *w)
{
	unsigned before = q->finished;
	int ret;

	if (unlikely(q->lost) && q->link.l.is_away) {
		ret = net_link_wait(&q->link.l, wait_nr, w);
		if (q->lost)
			return ret;
		wait_nr = 0; /* there was no less to wait for */
	}
	do {
		if (likely(!q->lost))
			prepare(q);
		ret = net_stream_enter(
		    &q->s, q->lost || (q->finished - before < wait_nr && may_wait(q)), w);
		attend(q);
		if (unlikely(ret < 0))
			return ret;
	} while (has_to_go_on(q) ||
		 (unlikely(q->finished - before < wait_nr) && !w && q->nr_inflight));
	return 0;
}

/* A small read into one buffer. */
static inline bool is_plain_read(const struct nvme_tcp_slot *slot)
{
	return slot->way == NVME_TCP_IN && slot->iovcnt == 1 && slot->len <= NVME_TCP_BIG;
}

/* It went otherwise; len: as net_stream_exchange() returns it. */
static cold_path int go_on_alone(struct nvme_tcp_queue *q, int len)
{
	q->is_calm = false;
	q->into = NVME_TCP_INTO_BOTH;
	q->into_slot = q->newest;
	if (len > 0) {
		q->s.sent = (struct net_result){ true, q->to_send - q->table.sent };
		q->s.received = (struct net_result){ true, len };
	}
	attend(q);
	return len < 0 ? len : enter(q, q->nr_inflight, NULL);
}

/* Submit the only request, a plain read, and wait for it. */
static __attribute__((noinline)) int read_alone(struct nvme_tcp_queue *q)
{
	struct nvme_tcp_slot *slot = q->newest;
	const struct nvme_tcp_item *item = nvme_tcp_item_of(q, slot);
	const uint64_t sent = q->table.sent;
	bool is_done;
	int len;

	q->s.pair[1] = *slot->iov;
	len = net_stream_exchange(&q->s, item->header, item->header_len);
	q->table.sent = q->to_send;
	if (unlikely((size_t)len != NVME_TCP_SHORT_LEN + (size_t)slot->len ||
		     !nvme_tcp_is_whole(&q->table, slot, q->stage.bytes, &is_done) || !is_done)) {
		q->table.sent = sent;
		return go_on_alone(q, len);
	}
	bk_list_init(&q->unsent);
	nvme_tcp_finish(q, slot);
	return 0;
}

int nvme_tcp_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	struct nvme_tcp_queue *q = nvme_tcp_queue_of(bq);

	if (wait_nr && q->is_calm && q->nr_inflight == 1 && is_plain_read(q->newest) &&
	    uring_is_ready(&q->s.ring, w))
		return read_alone(q);
	return enter(q, wait_nr, w);
}

void nvme_tcp_notify(struct blkioq *bq, bool on)
{
	struct nvme_tcp_queue *q = nvme_tcp_queue_of(bq);

	net_stream_notify(&q->s, on);
	net_link_notify(&q->link.l, on);
	/* It fires for what ends from now on; and when it was silent before, for the next send. */
	if (on && q->nr_inflight)
		enter(q, 0, NULL);
}

/* ---- The end ------------------------------------------------------------------------------ */

/* Requests of which the controller knows nothing. */
static void cancel_unsent(struct nvme_tcp_queue *q)
{
	struct bk_req **link = &q->unsent.head, *r;
	uint64_t less = 0;

	if (q->s.sending || q->out.head != q->out.tail)
		return;
	while ((r = *link)) {
		struct nvme_tcp_slot *slot = nvme_tcp_slot_of(q, r);

		slot->end -= less;
		if (!nvme_tcp_is_unknown(q, slot)) {
			link = &r->next;
			continue;
		}
		less += nvme_tcp_total(q, nvme_tcp_item_of(q, slot));
		*link = r->next;
		slot->error = ECANCELED;
		r->error_msg = "the queue ended before the request was submitted";
		nvme_tcp_finish(q, slot);
	}
	q->unsent.tail = link;
	q->to_send -= less;
}

enum bk_drained nvme_tcp_drain(struct blkio *b, struct blkioq *bq, bool cancel)
{
	struct nvme_tcp_queue *q = nvme_tcp_queue_of(bq);

	(void)b;
	net_link_end(&q->link.l);
	cancel_unsent(q);
	if (cancel && q->nr_inflight)
		nvme_tcp_lose(q, ECANCELED, "the queue ended before the NVMe/TCP target replied");
	if (!q->nr_inflight)
		net_stream_cut(&q->s);
	else if (!q->lost)
		prepare(q);
	net_stream_drain(&q->s, cancel, bq->leaving);
	attend(q);
	q->is_calm = false;
	return !q->nr_inflight && net_stream_is_idle(&q->s) ? BK_QUIET : BK_BUSY;
}
