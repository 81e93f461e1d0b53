/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A queue whose connection is lost: property "reconnect-timeout". The thread of its link makes
 * another session, with the same identifier: a target ends the lost one then, if it has not noticed
 * yet, so that nothing of it is carried out later. Meanwhile requests are queued as ever, and wait.
 *
 * Requests in flight go back to the core, which submits them again. The target may have carried
 * them out already; nobody notices, because no answer was seen. Only this queue's thread, in
 * libiscsi, has a hand in their memory, and no longer once the session is closed.
 */
#include "iscsi/iscsi_dev.h"

#define LOST_TEXT(what) "the iSCSI target " what " (property \"reconnect-timeout\")"

/* ---- The thread --------------------------------------------------------------------------- */

static struct iscsi_queue *queue_of(struct net_link *l)
{
	return container_of(l, struct iscsi_queue, link.l);
}

static int make_another(struct net_link *l, const struct bk_deadline *by, const char **changed)
{
	struct iscsi_link *link = container_of(l, struct iscsi_link, l);

	return iscsi_another_session(iscsi_dev_of(l->q->b), &link->isid, by, &link->new, changed);
}

/* ---- In the queue's thread ---------------------------------------------------------------- */

static void go_on(struct net_link *l)
{
	struct iscsi_queue *q = queue_of(l);
	struct iscsi_session *s = q->link.new;

	q->link.new = NULL;
	iscsi_queue_use(q, s);
	uring_ready_replace(&q->ready);
	net_link_up(l, q->finished);
}

static void fail(struct net_link *l, int error, const char *why)
{
	struct iscsi_queue *q = queue_of(l);

	if (why) {
		q->lost = why;
		q->lost_error = error;
	}
	iscsi_fail_all(q);
}

static const struct net_link_ops ops = {
	.peer = "iSCSI target",
	.away = LOST_TEXT("closed the connection and did not come back in time"),
	.useless = LOST_TEXT("closes each connection before it completes a request"),
	.connect = make_another,
	.go_on = go_on,
	.fail = fail,
};

/* ---- The queue ---------------------------------------------------------------------------- */

int iscsi_link_init(struct iscsi_queue *q)
{
	return net_link_init(&q->link.l, &q->q, &iscsi_dev_of(q->q.b)->comeback, &ops);
}

void iscsi_link_exit(struct iscsi_queue *q)
{
	net_link_exit(&q->link.l);
	iscsi_session_close(q->link.new);
	q->link.new = NULL;
}

void iscsi_link_lost(struct iscsi_queue *q)
{
	bool returns = net_link_returns(&q->link.l) && q->lost_error == ENOTCONN;
	unsigned finished = q->finished;

	iscsi_session_close(q->session);
	q->session = NULL;
	q->context = NULL;
	/* The target had answered these. */
	iscsi_finish_held(q);
	if (!returns) {
		iscsi_fail_all(q);
		return;
	}
	/* If it was not the target's fault, nobody has to be patient with it. */
	if (iscsi_retry_all(q))
		finished = q->finished;
	net_link_down(&q->link.l, finished);
}
