/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A queue whose connection is lost: property "reconnect-timeout". The thread of its link makes
 * another connection. Meanwhile requests are queued as ever, and wait.
 *
 * Requests in flight go back to the core, which submits them again. The server may have carried
 * them out already; nobody notices, because no reply was seen. Nothing but the kernel has a hand in
 * their memory, and it lets go of it before that (net_stream_cut()): so, other than with shared
 * memory, no old server can reach it.
 *
 * Reconnecting is for a connection that ended. A server that breaks the protocol is not asked
 * again, and one that hangs is waited for.
 */
#include "nbd/nbd.h"

#define LOST_TEXT(what) "the NBD server " what " (property \"reconnect-timeout\")"

/* ---- The thread --------------------------------------------------------------------------- */

static struct nbd_queue *queue_of(struct net_link *l)
{
	return container_of(l, struct nbd_queue, link.l);
}

static void close_old(struct net_link *l)
{
	nbd_close_connection(&queue_of(l)->link.old);
}

static int make_another(struct net_link *l, const struct bk_deadline *by, const char **changed)
{
	struct nbd_link *link = &queue_of(l)->link;

	return nbd_another_connection(nbd_dev_of(l->q->b), by, &link->new, &link->e, changed);
}

/* ---- In the queue's thread ---------------------------------------------------------------- */

static void go_on(struct net_link *l)
{
	struct nbd_queue *q = queue_of(l);
	struct nbd_link *link = &q->link;
	int ret;

	net_link_up(l, q->finished);
	ret = net_stream_replace(&q->s, link->new.sock);
	nbd_take_connection(q, &link->new);
	link->new = NBD_NO_CONNECTION;
	if (ret < 0) {
		net_link_fail(l, -ret, "the kernel refused the new connection to the NBD server");
		return;
	}
	q->table.context = link->e.context;
	q->lost = NULL;
	q->lost_error = 0;
}

static void fail(struct net_link *l, int error, const char *why)
{
	struct nbd_queue *q = queue_of(l);

	if (why) {
		q->lost = why;
		q->lost_error = error;
	}
	nbd_fail_all(q);
}

static const struct net_link_ops ops = {
	.peer = "NBD server",
	.away = LOST_TEXT("closed the connection and did not come back in time"),
	.useless = LOST_TEXT("closes each connection before it completes a request"),
	.close_old = close_old,
	.connect = make_another,
	.go_on = go_on,
	.fail = fail,
};

/* ---- The queue ---------------------------------------------------------------------------- */

int nbd_link_init(struct nbd_queue *q)
{
	q->link.old = q->link.new = NBD_NO_CONNECTION;
	return net_link_init(&q->link.l, &q->q, &nbd_dev_of(q->q.b)->comeback, &ops);
}

void nbd_link_exit(struct nbd_queue *q)
{
	net_link_exit(&q->link.l);
	nbd_close_connection(&q->link.old);
	nbd_close_connection(&q->link.new);
}

void nbd_link_lost(struct nbd_queue *q)
{
	unsigned finished = q->finished;

	if (q->link.l.is_away)
		return;
	if (!nbd_link_returns(q)) {
		nbd_fail_all(q);
		return;
	}
	nbd_retry_all(q);
	nbd_receive_reset(q);
	q->link.old = q->connection;
	q->connection = NBD_NO_CONNECTION;
	net_link_down(&q->link.l, finished);
}
