/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests in flight: each has a slot from submit() until its reply. What the kernel has in flight
 * on a lost connection ends once the socket is shut down, whatever the server does; only then are
 * its requests complete.
 */
#include <stdlib.h>

#include "nbd/nbd.h"

void nbd_slots_exit(struct nbd_queue *q)
{
	free(q->table.slot);
	free(q->gaps);
	free(q->headers);
}

int nbd_slots_init(struct nbd_queue *q, unsigned n)
{
	unsigned all = 1;

	while (all < n)
		all *= 2;
	q->table.slot = calloc(all, sizeof(*q->table.slot));
	q->gaps = calloc(n, sizeof(*q->gaps));
	q->headers = calloc(n, NBD_LONG_REQUEST_LEN);
	if (!q->table.slot || !q->gaps || !q->headers) {
		nbd_slots_exit(q);
		return bk_err(ENOMEM, "out of memory");
	}
	q->table.mask = all - 1;
	for (unsigned i = all; i-- > 0;) {
		struct nbd_slot *slot = &q->table.slot[i];

		slot->cookie = i;
		slot->kind = NBD_FREE;
		if (i >= n)
			continue;
		slot->gaps = &q->gaps[i];
		nbd_release(q, slot);
	}
	return 0;
}

cold_path void nbd_finish_failed(struct nbd_queue *q, struct nbd_slot *slot)
{
	struct bk_req *r = slot->r;

	/* It has not done it. So say servers that end, before they close the connection. */
	if (slot->error == ESHUTDOWN && nbd_link_returns(q)) {
		slot->error = 0;
		nbd_lose(q, ENOTCONN, "the NBD server is shutting down");
		return;
	}
	q->nr_big -= slot->kind == NBD_BIG_READ;
	nbd_release(q, slot);
	q->finished++;
	bk_complete(&q->q, r, -slot->error);
}

void nbd_lose(struct nbd_queue *q, int error, const char *why)
{
	if (!q->lost) {
		q->lost = why;
		q->lost_error = error;
	}
	q->is_calm = false;
	net_stream_cut(&q->s);
}

static void forget_unsent(struct nbd_queue *q)
{
	bk_list_init(&q->unsent);
	q->table.sent = q->to_send;
}

void nbd_fail_all(struct nbd_queue *q)
{
	for (unsigned i = 0; i <= q->table.mask; i++) {
		struct nbd_slot *slot = &q->table.slot[i];

		if (slot->kind == NBD_FREE)
			continue;
		if (!slot->error) {
			slot->error = q->lost_error;
			slot->r->error_msg = q->lost;
		}
		nbd_finish(q, slot);
	}
	forget_unsent(q);
}

void nbd_retry_all(struct nbd_queue *q)
{
	/* The core puts each before those that it has. */
	for (unsigned i = q->table.mask + 1; i-- > 0;) {
		struct nbd_slot *slot = &q->table.slot[i];
		struct bk_req *r = slot->r;
		bool was_sent;

		if (slot->kind == NBD_FREE)
			continue;
		if (slot->error && slot->error != ESHUTDOWN) {
			nbd_finish(q, slot);
			continue;
		}
		was_sent = nbd_unsent(&q->table, slot) < nbd_total(q, r);
		q->submitted--;
		q->nr_big -= slot->kind == NBD_BIG_READ;
		nbd_release(q, slot);
		comeback_retry(&q->q, r, was_sent);
	}
	forget_unsent(q);
	q->careful = 0;
}
