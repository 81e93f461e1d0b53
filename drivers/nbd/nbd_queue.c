/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A queue is a connection: its beginning, its hot functions, its end. */
#include "nbd/nbd.h"
#include "net/tls_record.h"

int nbd_queue_open(struct nbd_queue *q, const struct nbd_connection *c, const struct nbd_export *e,
		   unsigned slots)
{
	int ret = nbd_slots_init(q, slots);
	uint16_t read_flags = 0, write_flags = 0;

	if (ret < 0)
		return ret;
	q->table.mode = e->mode;
	q->table.whole_read = htobe64(nbd_whole_read_begin(e->mode));
	q->table.context = e->context;
	q->request_len = nbd_request_len(e->mode);
	q->headers_len = slots * q->request_len;
	q->flags = e->flags;
	/* Holes would save nothing of small reads. */
	if (e->flags & NBD_FLAG_SEND_DF && e->mode != NBD_SIMPLE)
		read_flags = NBD_CMD_FLAG_DF;
	if (e->mode == NBD_LONG) {
		write_flags = NBD_CMD_FLAG_PAYLOAD_LEN;
		q->q.submit = nbd_submit_long;
	}
	q->read_begin = nbd_request_begin(e->mode, NBD_CMD_READ, read_flags);
	q->write_begin = nbd_request_begin(e->mode, NBD_CMD_WRITE, write_flags);
	bk_list_init(&q->unsent);
	ret = net_stage_init(&q->stage);
	if (ret < 0)
		goto exit_slots;
	ret = nbd_link_init(q);
	if (ret < 0)
		goto exit_stage;
	ret = net_stream_init(&q->s, c->sock, q->q.completion_fd);
	if (ret < 0)
		goto exit_link;
	q->s.pair[0] = (struct iovec){ q->stage.bytes, nbd_data_header_len(e->mode) };
	nbd_take_connection(q, c);
	return 0;

exit_link:
	nbd_link_exit(q);
exit_stage:
	net_stage_exit(&q->stage);
exit_slots:
	nbd_slots_exit(q);
	return ret;
}

void nbd_queue_close(struct nbd_queue *q)
{
	nbd_link_exit(q);
	net_stream_exit(&q->s);
	nbd_close_connection(&q->connection);
	net_stage_exit(&q->stage);
	nbd_slots_exit(q);
}

/* ---- Entering ----------------------------------------------------------------------------- */

/* What there is to send and to receive. */
static inline void prepare(struct nbd_queue *q)
{
	if (q->unsent.head && !q->s.sending)
		nbd_prepare_send(q);
	if (nbd_inflight(q) && !q->s.receiving)
		nbd_prepare_receive(q);
}

/* Look at what has ended since. */
static inline void attend(struct nbd_queue *q)
{
	nbd_sent(q);
	nbd_receive(q);
	if (unlikely(q->s.wants_tick))
		q->is_calm = false;
	if (unlikely(q->lost)) {
		nbd_flush_copies(q);
		if (net_stream_is_idle(&q->s))
			nbd_link_lost(q);
	}
}

/* Must the kernel be entered once more, whatever the caller waits for? */
static bool has_to_go_on(const struct nbd_queue *q)
{
	if (unlikely(q->lost))
		return !net_stream_is_idle(&q->s);
	if (q->unsent.head && !q->s.sending)
		return true;
	if (!q->q.notify_on || !nbd_inflight(q))
		return false;
	/* The completion fd fires when a receive ends, a send that waits for room, or a tick. */
	return q->s.receiving ? q->s.wants_tick : !q->early;
}

static __attribute__((noinline)) int enter(struct nbd_queue *q, unsigned wait_nr,
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
	q->goal = before + wait_nr;
	do {
		if (likely(!q->lost))
			prepare(q);
		ret = net_stream_enter(&q->s, q->lost || q->finished - before < wait_nr, w);
		attend(q);
		if (unlikely(ret < 0 || w))
			nbd_flush_copies(q);
		if (unlikely(ret < 0))
			return ret;
	} while (has_to_go_on(q) ||
		 (unlikely(q->finished - before < wait_nr) && !w && nbd_inflight(q)));
	return 0;
}

/* It went otherwise; len: as net_stream_exchange() returns it. */
static cold_path int go_on_alone(struct nbd_queue *q, int len)
{
	q->into = NBD_INTO_BOTH;
	q->into_slot = nbd_slot_of(q->unsent.head);
	if (len > 0) {
		q->s.sent = (struct net_result){ true, q->request_len };
		q->s.received = (struct net_result){ true, len };
	}
	attend(q);
	return len < 0 ? len : enter(q, nbd_inflight(q), NULL);
}

/* Submit the only request, a plain read, and wait for it. */
static __attribute__((noinline)) int read_alone(struct nbd_queue *q)
{
	const struct bk_req *r = q->unsent.head;
	int len;

	q->s.pair[1] = *r->iov;
	len = net_stream_exchange(&q->s, nbd_header(q, r), q->request_len);
	r = q->unsent.head;
	if (unlikely((size_t)len != q->s.pair[0].iov_len + r->len ||
		     !nbd_is_only_header(&q->table, nbd_slot_of(r), q->stage.bytes)))
		return go_on_alone(q, len);
	q->table.sent = q->to_send;
	bk_list_init(&q->unsent);
	nbd_finish_plain_read(q, nbd_slot_of(r));
	return 0;
}

int nbd_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	struct nbd_queue *q = nbd_queue_of(bq);

	if (wait_nr && q->is_calm && nbd_inflight(q) == 1 && !nbd_slot_of(q->unsent.head)->so_far &&
	    uring_is_ready(&q->s.ring, w))
		return read_alone(q);
	return enter(q, wait_nr, w);
}

void nbd_notify(struct blkioq *bq, bool on)
{
	struct nbd_queue *q = nbd_queue_of(bq);

	net_stream_notify(&q->s, on);
	net_link_notify(&q->link.l, on);
	/* It fires for what ends from now on; and when it was silent before, for the next send. */
	if (on && nbd_inflight(q))
		enter(q, 0, NULL);
}

/* ---- The end ------------------------------------------------------------------------------ */

/* Requests of which the server knows nothing. */
static void cancel_unsent(struct nbd_queue *q)
{
	struct bk_req **link = &q->unsent.head, *r;

	if (q->s.sending)
		return;
	r = *link;
	/* It has begun to send the first one. */
	if (r && nbd_unsent(&q->table, nbd_slot_of(r)) < nbd_total(q, r)) {
		link = &r->next;
		r = *link;
	}
	*link = NULL;
	q->unsent.tail = link;
	if (r)
		q->to_send = nbd_slot_of(r)->end - nbd_total(q, r);
	while (r) {
		struct nbd_slot *slot = nbd_slot_of(r);
		struct bk_req *next = r->next;

		slot->error = ECANCELED;
		r->error_msg = "the queue ended before the request was submitted";
		nbd_finish(q, slot);
		r = next;
	}
}

/* The server may close its end at once, with nothing left in flight. */
static void say_goodbye(struct nbd_queue *q)
{
	const struct nbd_request rq = { .command = NBD_CMD_DISC };
	uint8_t header[NBD_LONG_REQUEST_LEN];

	if (!q->lost && !q->said_goodbye) {
		nbd_build_request(header, q->table.mode, &rq);
		send(q->s.sock, header, q->request_len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (q->connection.is_kernel_tls)
			net_kernel_tls_bye(q->s.sock);
	}
	q->said_goodbye = true;
	net_stream_cut(&q->s);
}

enum bk_drained nbd_drain(struct blkio *b, struct blkioq *bq, bool cancel)
{
	struct nbd_queue *q = nbd_queue_of(bq);

	(void)b;
	net_link_end(&q->link.l);
	cancel_unsent(q);
	if (cancel && nbd_inflight(q))
		nbd_lose(q, ECANCELED, "the queue ended before the NBD server replied");
	if (!nbd_inflight(q))
		say_goodbye(q);
	else if (!q->lost)
		prepare(q);
	net_stream_drain(&q->s, cancel, bq->leaving);
	q->goal = q->finished;
	attend(q);
	q->is_calm = false;
	return !nbd_inflight(q) && net_stream_is_idle(&q->s) ? BK_QUIET : BK_BUSY;
}
