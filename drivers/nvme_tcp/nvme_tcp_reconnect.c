/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A queue whose connection is lost: property "reconnect-timeout". The thread of its link makes
 * another connection, and another controller if that is lost as well. Meanwhile requests are queued
 * as ever, and wait.
 *
 * Requests in flight go back to the core, which submits them again. The controller may have carried
 * them out already, or may still be at it: that it has lost its host does not stop it. So a write
 * that is submitted again may be carried out twice. On a zoned namespace that would be an error, so
 * there what changes zones fails with ENOTCONN.
 *
 * Reconnecting is for a connection that ended. A target that breaks the protocol is not asked
 * again, and one that hangs is waited for.
 */
#include <fcntl.h>

#include "nvme_tcp/nvme_tcp.h"

/* ---- Connections that others may cut ------------------------------------------------------ */

int nvme_tcp_expose(struct nvme_tcp_queue *q, int sock, unsigned association)
{
	struct nvme_tcp_dev *d = nvme_tcp_dev_of_queue(q);
	int fd = fcntl(sock, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return bk_err(errno, "cannot duplicate a socket: fcntl: %m");
	nvme_tcp_hide(q);
	pthread_mutex_lock(&d->queues_lock);
	q->cut_fd = fd;
	q->association = association;
	q->is_exposed = true;
	q->next = d->queues;
	d->queues = q;
	pthread_mutex_unlock(&d->queues_lock);
	return 0;
}

void nvme_tcp_hide(struct nvme_tcp_queue *q)
{
	struct nvme_tcp_dev *d = nvme_tcp_dev_of_queue(q);
	struct nvme_tcp_queue **link = &d->queues;

	if (!q->is_exposed)
		return;
	pthread_mutex_lock(&d->queues_lock);
	while (*link != q)
		link = &(*link)->next;
	*link = q->next;
	q->is_exposed = false;
	pthread_mutex_unlock(&d->queues_lock);
	close(q->cut_fd);
}

void nvme_tcp_take_channel(struct nvme_tcp_queue *q, const struct nvme_tcp_channel *ch)
{
	const struct nvme_tcp_wire *w = &ch->table.wire;

	q->table.wire = *w;
	q->scatters = w->data_digest || w->capsule_len != q->header_room;
	q->sends_data |= q->scatters; /* what has waited may have data */
	net_stream_watch(&q->s, ch->sock, nvme_tcp_dev_of_queue(q)->tcp_timeout);
}

/* ---- The thread --------------------------------------------------------------------------- */

#define LOST_TEXT(what) "the NVMe/TCP target " what " (property \"reconnect-timeout\")"

static struct nvme_tcp_queue *queue_of(struct net_link *l)
{
	return container_of(l, struct nvme_tcp_queue, link.l);
}

/* Headers may be waiting that were built for what the lost one agreed to. */
static bool is_alike(const struct nvme_tcp_wire *a, const struct nvme_tcp_wire *b)
{
	return a->capsule_len == b->capsule_len && a->capsule_data_at == b->capsule_data_at;
}

static int make_another(struct net_link *l, const struct bk_deadline *by, const char **changed)
{
	struct nvme_tcp_queue *q = queue_of(l);
	struct nvme_tcp_link *link = &q->link;
	struct nvme_tcp_dev *d = nvme_tcp_dev_of_queue(q);
	unsigned association;
	int ret = nvme_tcp_open_queue(d, q->qid, true, by, &link->new, &association, changed);

	if (!ret && !is_alike(&link->new.table.wire, &q->table.wire)) {
		*changed = nvme_tcp_changed;
		ret = bk_err(ENODEV, "the NVMe/TCP target wants data at other places in PDUs");
		nvme_tcp_channel_close(&link->new);
	}
	if (!ret) {
		ret = nvme_tcp_expose(q, link->new.sock, association);
		if (ret < 0)
			nvme_tcp_channel_close(&link->new);
	}
	return ret;
}

/* ---- In the queue's thread ---------------------------------------------------------------- */

static void go_on(struct net_link *l)
{
	struct nvme_tcp_queue *q = queue_of(l);
	struct nvme_tcp_link *link = &q->link;
	int ret;

	net_link_up(l, q->finished);
	ret = net_stream_replace(&q->s, link->new.sock);
	nvme_tcp_take_channel(q, &link->new);
	link->new.sock = -1;
	if (ret < 0) {
		net_link_fail(l, -ret,
			      "the kernel refused the new connection to the NVMe/TCP target");
		return;
	}
	q->lost = NULL;
	q->lost_error = 0;
}

static void fail(struct net_link *l, int error, const char *why)
{
	struct nvme_tcp_queue *q = queue_of(l);

	if (why) {
		q->lost = why;
		q->lost_error = error;
	}
	nvme_tcp_fail_all(q);
}

static const struct net_link_ops ops = {
	.peer = "NVMe/TCP target",
	.away = LOST_TEXT("closed the connection and did not come back in time"),
	.useless = LOST_TEXT("closes each connection before it completes a request"),
	.connect = make_another,
	.go_on = go_on,
	.fail = fail,
};

/* ---- The queue ---------------------------------------------------------------------------- */

int nvme_tcp_link_init(struct nvme_tcp_queue *q)
{
	q->link.new.sock = -1;
	return net_link_init(&q->link.l, &q->q, &nvme_tcp_dev_of_queue(q)->comeback, &ops);
}

void nvme_tcp_link_exit(struct nvme_tcp_queue *q)
{
	net_link_exit(&q->link.l);
	nvme_tcp_channel_close(&q->link.new);
}

void nvme_tcp_link_lost(struct nvme_tcp_queue *q)
{
	unsigned finished = q->finished;

	if (q->link.l.is_away)
		return;
	if (!nvme_tcp_link_returns(q)) {
		nvme_tcp_fail_all(q);
		return;
	}
	nvme_tcp_retry_all(q);
	nvme_tcp_receive_reset(q);
	net_link_down(&q->link.l, finished);
}
