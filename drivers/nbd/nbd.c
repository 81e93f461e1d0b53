/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Properties, limits, and which connection a queue gets: the first one that of blkio_connect(),
 * each other one its own.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "common/socket.h"
#include "nbd/nbd.h"

#define CONNECT_TIMEOUT_MS 10000
#define TCP_TIMEOUT_MS	   30000
#define QUEUES_MAX	   1024
#define QUEUE_SIZE_DEFAULT 128
#define SEGMENTS_MAX	   (NET_IOVS - 1) /* one is for the header */

/* ---- Where to connect --------------------------------------------------------------------- */

static int check_properties(const struct nbd_dev *d)
{
	const struct {
		const char *name;
		bool is_set;
	} ways[] = {
		{ "uri", d->uri }, { "path", d->path }, { "host", d->host }, { "fd", d->fd >= 0 }
	};
	const char *way = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		if (!ways[i].is_set)
			continue;
		if (way)
			return bk_err(EINVAL,
				      "properties \"%s\" and \"%s\" are both set; set one of them",
				      way, ways[i].name);
		way = ways[i].name;
	}
	if (!way)
		return bk_err(EINVAL, "set property \"uri\", \"path\", \"host\" or \"fd\" before "
				      "blkio_connect()");
	if (d->uri && d->export)
		return bk_err(EINVAL, "properties \"uri\" and \"export\" are both set; name the "
				      "export in the URI");
	if (d->fd >= 0 && d->comeback.timeout_ms)
		return bk_err(EINVAL, "property \"reconnect-timeout\" requires property \"uri\", "
				      "\"path\" or \"host\", to which to reconnect");
	return 0;
}

static int find_target(const struct nbd_dev *d, struct nbd_target *t)
{
	const struct net_address address = { d->path, d->host, d->port };

	if (d->uri)
		return nbd_parse_uri(d->uri, t);
	*t = (struct nbd_target){ .address = address, .export = d->export };
	return 0;
}

/* ---- Limits ------------------------------------------------------------------------------- */

static void set_ops(struct bk_limits *l, const struct nbd_export *e)
{
	uint16_t flags = e->flags;

	l->ops = BK_OPS_RW | BK_OP_BIT(BK_FLUSH);
	if (flags & NBD_FLAG_SEND_WRITE_ZEROES)
		l->ops |= BK_OP_BIT(BK_WRITE_ZEROES);
	if (flags & NBD_FLAG_SEND_TRIM)
		l->ops |= BK_OP_BIT(BK_DISCARD);
	if (e->has_context)
		l->ops |= BK_OP_BIT(BK_BLOCK_STATUS);
	l->flush_needed = flags & NBD_FLAG_SEND_FLUSH;
	l->supports_fua_natively = flags & NBD_FLAG_SEND_FUA;
	/* Without a flush either, all writes are durable. */
	l->takes_fua_write = l->supports_fua_natively || !l->flush_needed;
	l->takes_fua_write_zeroes = l->takes_fua_write;
	l->read_only = flags & NBD_FLAG_READ_ONLY;
}

static void set_limits(struct nbd_dev *d)
{
	const struct nbd_export *e = &d->e;
	struct bk_limits *l = &d->b.lim;

	set_ops(l, e);
	l->request_alignment = e->min_block;
	l->discard_alignment = e->min_block;
	l->optimal_io_alignment = e->preferred_block;
	l->buf_alignment = 1;
	l->optimal_buf_alignment = 1;
	l->max_segments = SEGMENTS_MAX;
	l->max_transfer = e->max_transfer;
	l->mem_region_alignment = 1;
	/* Another server may have another size, and checks. */
	l->end = d->comeback.timeout_ms ? INT64_MAX & ~((uint64_t)NBD_BLOCK_MAX - 1) : e->size;
	/* What has no payload is limited by its length field only. */
	if (e->mode != NBD_LONG) {
		l->max_write_zeroes_len = NBD_LEN_MAX;
		l->max_discard_len = l->max_write_zeroes_len;
	}
	l->max_queues = e->flags & NBD_FLAG_CAN_MULTI_CONN && d->fd < 0 ? QUEUES_MAX : 1;
}

/* ---- Hooks -------------------------------------------------------------------------------- */

static void nbd_init(struct blkio *b)
{
	struct nbd_dev *d = nbd_dev_of(b);

	b->connect_timeout = CONNECT_TIMEOUT_MS;
	d->tcp_timeout = TCP_TIMEOUT_MS;
	d->fd = -1;
	d->first = NBD_NO_CONNECTION;
	d->tls_verify_peer = d->tls_kernel = true;
	d->port = NBD_DEFAULT_PORT;
	d->queue_size = QUEUE_SIZE_DEFAULT;
	d->structured_replies = true;
	b->lim.max_mem_regions = UINT64_MAX;
	b->lim.supports_poll_queues = true;
	b->lim.flush_needed = true;
}

static int check_writable(const struct nbd_dev *d, const struct nbd_target *t)
{
	if (d->e.flags & NBD_FLAG_READ_ONLY && !d->b.read_only && !d->b.auto_read_only)
		return bk_err(EROFS,
			      "export \"%s\" is read-only; set property \"read-only\" or "
			      "\"auto-read-only\"",
			      t->export ? t->export : "");
	return 0;
}

static int nbd_connect(struct blkio *b)
{
	struct nbd_dev *d = nbd_dev_of(b);
	const struct bk_deadline deadline = bk_deadline(b);
	unsigned modes = d->structured_replies ? NBD_MODE(NBD_STRUCTURED) | NBD_MODE(NBD_LONG) : 0;
	struct nbd_target t = { 0 };
	int ret = check_properties(d);

	if (!ret && d->fd >= 0)
		ret = net_check_fd(d->fd);
	if (!ret)
		ret = find_target(d, &t);
	if (ret < 0)
		return ret;
	ret = nbd_load_keys(d, &t);
	if (!ret)
		ret = nbd_open_connection(d, &t, modes, &deadline, &d->first, &d->e);
	if (!ret) {
		ret = check_writable(d, &t);
		if (ret < 0)
			nbd_give_back(d, &d->first);
	}
	if (ret < 0) {
		nbd_target_free(&t);
		net_tls_unload(d->keys);
		return ret;
	}
	/* Whoever comes between this and the next connection must not get less. */
	if (d->first.tls || d->first.is_kernel_tls)
		d->tls_mode = NBD_TLS_REQUIRE;
	d->tls_by = d->first.tls ? "thread" : d->first.is_kernel_tls ? "kernel" : "";
	/* io_uring does not wait on a non-blocking socket. */
	if (d->fd >= 0)
		fcntl(d->fd, F_SETFL, fcntl(d->fd, F_GETFL) & ~O_NONBLOCK);
	d->target = t;
	set_limits(d);
	return 0;
}

static void nbd_close(struct blkio *b)
{
	struct nbd_dev *d = nbd_dev_of(b);

	/* Until connected, a given descriptor is the application's. */
	nbd_close_connection(&d->first);
	nbd_target_free(&d->target);
	net_tls_unload(d->keys);
}

static int nbd_capacity(struct blkio *b, uint64_t *bytes)
{
	*bytes = nbd_size(nbd_dev_of(b));
	return 0;
}

/* d: a copy, which gets keys of its own. */
static int list_exports(struct nbd_dev *d, const struct nbd_target *t,
			const struct bk_deadline *deadline, struct bk_exports *x)
{
	struct nbd_connection c = NBD_NO_CONNECTION;
	int ret;

	d->keys = NULL;
	ret = nbd_load_keys(d, t);
	if (!ret)
		ret = c.sock = net_connect(&t->address, deadline);
	if (ret >= 0) {
		const struct nbd_wish wish = { .tls = d->tls_mode, .keys = d->keys };

		ret = nbd_list_exports(&c, &wish, deadline, x);
		nbd_close_connection(&c);
	}
	net_tls_unload(d->keys);
	return ret;
}

static int nbd_list(struct blkio *b, struct bk_exports *x)
{
	const struct bk_deadline deadline = bk_deadline(b);
	struct nbd_dev d = *nbd_dev_of(b);
	struct nbd_target t = { 0 };
	int ret = check_properties(&d);

	if (!ret && d.fd >= 0)
		ret = bk_err(ENOTSUP,
			     "property \"fd\" (%d) is one connection, and the list of exports "
			     "takes one of its own",
			     d.fd);
	if (!ret)
		ret = find_target(&d, &t);
	if (ret < 0)
		return ret;
	ret = list_exports(&d, &t, &deadline, x);
	nbd_target_free(&t);
	return ret;
}

static int nbd_queue_init(struct blkio *b, struct blkioq *bq)
{
	struct nbd_dev *d = nbd_dev_of(b);
	const struct bk_deadline deadline = bk_deadline(b);
	struct nbd_connection c = d->first;
	struct nbd_export e;
	const char *changed = NULL;
	int ret = 0;

	if (c.sock < 0)
		ret = nbd_another_connection(d, &deadline, &c, &e, &changed);
	else
		e = d->e;
	if (changed)
		bk_set_gone(b, changed);
	if (ret < 0)
		return ret;
	if (!d->comeback.timeout_ms)
		bk_queue_set_end(bq, e.size);
	ret = nbd_queue_open(nbd_queue_of(bq), &c, &e, d->queue_size);
	if (!ret)
		d->first = NBD_NO_CONNECTION;
	else if (d->first.sock < 0)
		nbd_close_connection(&c);
	return ret;
}

static void nbd_queue_exit(struct blkio *b, struct blkioq *bq)
{
	(void)b;
	nbd_queue_close(nbd_queue_of(bq));
}

/* ---- Driver ------------------------------------------------------------------------------- */

static int check_tls(struct blkio *b, const struct bk_prop *p, const union bk_val *val)
{
	(void)b;
	return nbd_parse_tls(p->name, val->s) < 0 ? -EINVAL : 0;
}

static int get_tls_by(struct blkio *b, union bk_val *val)
{
	val->s = nbd_dev_of(b)->tls_by;
	return 0;
}

static const struct bk_prop nbd_props[] = {
	{ "uri",
	  "The server and its export: nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH. "
	  "With nbds in place of nbd, TLS is required. In place of path, host, port, export and "
	  "fd.",
	  BK_STR, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nbd_dev, uri) },
	{ "path", "The path of the Unix socket on which the server listens.", BK_STR, BK_GET_ALWAYS,
	  BK_SET_CREATED, offsetof(struct nbd_dev, path) },
	{ "host", "The name or address of the host on which the server listens.", BK_STR,
	  BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nbd_dev, host) },
	{ "port", "The TCP port of host; 10809 by default.", BK_INT, BK_GET_ALWAYS, BK_SET_CREATED,
	  offsetof(struct nbd_dev, port), .min = 1, .max = 65535 },
	{ "fd",
	  "A connected stream socket to use instead of path or host, before the handshake. The "
	  "library owns it after blkio_connect(), which makes it blocking. There can be one queue.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nbd_dev, fd) },
	{ "export", "The name of the export; empty, the server's default export, by default.",
	  BK_STR, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nbd_dev, export) },
	{ "tls",
	  "Whether the connection is encrypted: \"off\", the default; \"require\"; or \"allow\", "
	  "if the server supports it, which does not protect against an attacker.",
	  BK_STR, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nbd_dev, tls),
	  .check = check_tls },
	{ "tls-certificates",
	  "The folder of the TLS certificates: ca-cert.pem, and if need be ca-crl.pem, "
	  "client-cert.pem and client-key.pem. Without, the server is verified with those that "
	  "this machine "
	  "trusts.",
	  BK_STR, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nbd_dev, tls_certificates) },
	{ "tls-psk-file",
	  "A file with pre-shared keys for TLS, in lines NAME:HEX, in place of tls-certificates.",
	  BK_STR, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nbd_dev, tls_psk_file) },
	{ "tls-username", "Which key of tls-psk-file to use.", BK_STR, BK_GET_ALWAYS,
	  BK_SET_CREATED, offsetof(struct nbd_dev, tls_username) },
	{ "tls-hostname",
	  "The name that the server's certificate must be for; host by default, and any name with "
	  "path or fd.",
	  BK_STR, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nbd_dev, tls_hostname) },
	{ "tls-verify-peer",
	  "Verify the server's certificate; true by default. If false, anybody can be the server.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nbd_dev, tls_verify_peer) },
	{ "tls-kernel",
	  "Let the kernel encrypt and decrypt, over TCP and where it can; true by default. "
	  "Otherwise "
	  "a thread of each connection does.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nbd_dev, tls_kernel) },
	{ "tls-by",
	  "Who encrypts and decrypts the connection of blkio_connect(): \"kernel\" or \"thread\"; "
	  "empty without TLS.",
	  BK_STR, BK_GET_CONNECTED, BK_SET_NEVER, .get = get_tls_by },
	{ "structured-replies",
	  "Ask the server for structured replies, or for extended headers; true by default. "
	  "Servers that have them report the errors of reads without closing the connection, and "
	  "need not send holes.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nbd_dev, structured_replies) },
	BK_CONNECT_TIMEOUT,
	COMEBACK_TIMEOUT(struct nbd_dev, comeback),
	{ "tcp-timeout",
	  "How long the server's machine may acknowledge nothing over TCP, in milliseconds, before "
	  "the connection is lost; 30000 by default; 0 if as long as the system permits. A server "
	  "that is only slow, or stopped, is waited for.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nbd_dev, tcp_timeout),
	  .max = INT_MAX },
	{ "queue-size",
	  "The number of requests that a queue has in flight at most, up to 32768; more requests "
	  "than that wait in the library; 128 by default.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CONNECTED, offsetof(struct nbd_dev, queue_size), .min = 1,
	  .max = NBD_SLOTS_MAX },
	{ 0 },
};

const struct bk_driver bk_driver_nbd = {
	.name = "nbd",
	.device_size = sizeof(struct nbd_dev),
	.queue_size = sizeof(struct nbd_queue),
	.props = nbd_props,
	.limits_from = BK_CONNECTED,
	.topology_from = BK_CONNECTED,
	.can_add_queues = true,
	.init = nbd_init,
	.connect = nbd_connect,
	.close = nbd_close,
	.capacity = nbd_capacity,
	.list = nbd_list,
	.queue_init = nbd_queue_init,
	.drain = nbd_drain,
	.queue_exit = nbd_queue_exit,
	.submit = nbd_submit,
	.enter = nbd_enter,
	.notify = nbd_notify,
};
