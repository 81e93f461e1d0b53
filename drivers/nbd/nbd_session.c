/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Connections to the same export: the first is that of blkio_connect(), others are for more queues,
 * or in place of a lost one. The server must describe the export as it did the first time.
 */
#include "common/socket.h"
#include "nbd/nbd.h"

#define NOT_WHAT_IT_WAS "the NBD server's export is not what it was at blkio_connect(): "

/* ---- One connection ----------------------------------------------------------------------- */

void nbd_close_connection(struct nbd_connection *c)
{
	if (c->sock >= 0)
		socket_close(c->sock);
	net_tls_stop(c->tls);
	if (c->tls)
		socket_close(c->below);
	*c = NBD_NO_CONNECTION;
}

void nbd_give_back(const struct nbd_dev *d, struct nbd_connection *c)
{
	if (d->fd < 0) {
		nbd_close_connection(c);
		return;
	}
	if (c->tls)
		socket_close(c->sock);
	net_tls_stop(c->tls);
	*c = NBD_NO_CONNECTION;
}

int nbd_open_connection(const struct nbd_dev *d, const struct nbd_target *t, unsigned modes,
			const struct bk_deadline *deadline, struct nbd_connection *c,
			struct nbd_export *e)
{
	const struct nbd_wish wish = {
		.export = t->export ? t->export : "",
		.modes = modes,
		.tls = d->tls_mode,
		.keys = d->keys,
	};
	int ret;

	*c = NBD_NO_CONNECTION;
	c->sock = d->fd >= 0 ? d->fd : net_connect(&t->address, deadline);
	if (c->sock < 0)
		return c->sock;
	net_keep_alive(c->sock, d->tcp_timeout);
	ret = nbd_negotiate(c, &wish, deadline, e);
	if (ret < 0)
		nbd_give_back(d, c);
	return ret;
}

/* Its socket is the stream's already. */
void nbd_take_connection(struct nbd_queue *q, const struct nbd_connection *c)
{
	net_stream_watch(&q->s, nbd_socket_to_server(c), nbd_dev_of(q->q.b)->tcp_timeout);
	q->connection = *c;
	q->connection.sock = -1;
	q->by_stage = c->is_kernel_tls;
}

/* ---- More of them ------------------------------------------------------------------------- */

uint64_t nbd_size(const struct nbd_dev *d)
{
	return __atomic_load_n(&d->e.size, __ATOMIC_RELAXED);
}

/* What is no longer as the limits have it; NULL: nothing. The size may differ. */
static const char *changes(const struct nbd_dev *d, const struct nbd_export *e)
{
	const struct nbd_export *was = &d->e;

	if (e->flags & ~was->flags & NBD_FLAG_READ_ONLY)
		return NOT_WHAT_IT_WAS "it is read-only";
	if (e->flags != was->flags || e->mode != was->mode || e->has_context != was->has_context)
		return NOT_WHAT_IT_WAS "it supports other operations";
	if (e->min_block != was->min_block || e->max_transfer != was->max_transfer)
		return NOT_WHAT_IT_WAS "it has other block sizes";
	return NULL;
}

/*
 * A server that says nothing of block sizes does not say that they have changed either: what was
 * assumed of an even size still holds for an odd one, up to its last whole block.
 */
static void assume_blocks(const struct nbd_export *was, struct nbd_export *e)
{
	if (e->has_blocks || was->has_blocks)
		return;
	e->min_block = was->min_block;
	e->size &= ~((uint64_t)e->min_block - 1);
}

int nbd_another_connection(struct nbd_dev *d, const struct bk_deadline *deadline,
			   struct nbd_connection *c, struct nbd_export *e, const char **changed)
{
	int ret;

	*changed = NULL;
	if (d->fd >= 0)
		return bk_err(ENOTSUP,
			      "the connection that property \"fd\" (%d) gave has been "
			      "closed with its queue",
			      d->fd);
	ret = nbd_open_connection(d, &d->target, NBD_MODE(d->e.mode), deadline, c, e);
	if (ret < 0)
		return ret;
	assume_blocks(&d->e, e);
	*changed = changes(d, e);
	if (*changed) {
		nbd_close_connection(c);
		return bk_err(ENODEV, "%s", *changed);
	}
	__atomic_store_n(&d->e.size, e->size, __ATOMIC_RELAXED);
	return 0;
}
