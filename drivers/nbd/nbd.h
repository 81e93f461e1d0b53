/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The NBD driver: a client of a server over TCP or a Unix socket. A queue is a connection of its
 * own.
 *
 *	nbd_proto.c      messages: built, taken apart, checked
 *	nbd_reply.c      replies: which request they are for, what they may say
 *	nbd_uri.c        URIs
 *	nbd_negotiate.c  the handshake
 *	nbd_slots.c      requests in flight, and what becomes of them with the connection
 *	nbd_send.c       what is sent
 *	nbd_stage.c      where it arrives, and the copies from there
 *	nbd_receive.c    what comes, and where it goes
 *	nbd_queue.c      both, in one system call; the end of a queue
 *	nbd_session.c    connections to the same export
 *	nbd_reconnect.c  a queue whose connection is lost
 *	nbd.c            properties, limits
 */
#ifndef BK_NBD_H
#define BK_NBD_H

#include "nbd/nbd_reply.h"
#include "net/net_link.h"
#include "net/socket.h"
#include "net/stage.h"
#include "net/stream.h"
#include "net/tls.h"

/* Where to go: decoded properties, or a URI. */
struct nbd_target {
	struct net_address address;
	char *export;
	/* what only a URI says, or NULL */
	bool needs_tls;
	const char *username, *certificates, *psk_file, *hostname, *verify;
	char *memory; /* of all strings above */
};

/* Decode the URI. 0 or bk_err(). */
int nbd_parse_uri(const char *uri, struct nbd_target *t);
void nbd_target_free(struct nbd_target *t);

enum nbd_tls { NBD_TLS_OFF, NBD_TLS_ALLOW, NBD_TLS_REQUIRE };

/* A socket to a server. */
struct nbd_connection {
	int sock;	     /* for NBD; -1: there is no connection */
	struct net_tls *tls; /* NULL: without TLS, or the kernel's */
	int below;	     /* with tls: the socket to the server; else -1 */
	bool is_kernel_tls;  /* the socket's bytes are plain, but MSG_WAITALL does not work */
};

/* That to the server. */
static inline int nbd_socket_to_server(const struct nbd_connection *c)
{
	return c->tls ? c->below : c->sock;
}

#define NBD_NO_CONNECTION ((struct nbd_connection){ .sock = -1, .below = -1 })

/* What to ask for. */
struct nbd_wish {
	const char *export;
	unsigned modes; /* NBD_MODE()s */
	enum nbd_tls tls;
	const struct net_tls_keys *keys; /* unless NBD_TLS_OFF */
};

/* With the server at the other end of the socket. 0 or bk_err(). */
int nbd_negotiate(struct nbd_connection *c, const struct nbd_wish *wish,
		  const struct bk_deadline *deadline, struct nbd_export *e);

/* ---- The device --------------------------------------------------------------------------- */

struct nbd_dev {
	struct blkio b;
	/* properties */
	char *uri, *path, *host, *export;
	char *tls, *tls_certificates, *tls_psk_file, *tls_username, *tls_hostname;
	int port, fd, queue_size, tcp_timeout;
	bool structured_replies, tls_verify_peer, tls_kernel;
	struct comeback comeback; /* what each queue begins with */
	/* connected */
	struct nbd_target target; /* not with fd */
	struct nbd_export e;	  /* its size may change with another connection */
	enum nbd_tls tls_mode;	  /* of connections to come */
	const char *tls_by;	  /* property "tls-by" */
	struct net_tls_keys *keys;
	struct nbd_connection first; /* negotiated, and without a queue so far */
};

static inline struct nbd_dev *nbd_dev_of(struct blkio *b)
{
	return container_of(b, struct nbd_dev, b);
}

/* nbd_keys.c */
/* An enum nbd_tls: of no or empty text it is off; or bk_err(). */
int nbd_parse_tls(const char *property, const char *value);
/* By the properties and the URI: set d->tls_mode and d->keys. 0 or bk_err(). */
int nbd_load_keys(struct nbd_dev *d, const struct nbd_target *t);

/* nbd_session.c */

/* Negotiate; as a new connection if d->fd is -1. 0, or bk_err() with d->fd left open. */
int nbd_open_connection(const struct nbd_dev *d, const struct nbd_target *t, unsigned modes,
			const struct bk_deadline *deadline, struct nbd_connection *c,
			struct nbd_export *e);
void nbd_close_connection(struct nbd_connection *c);
/* The same before blkio_connect() is done: what property "fd" gave stays the application's. */
void nbd_give_back(const struct nbd_dev *d, struct nbd_connection *c);
/*
 * One more connection to the export that blkio_connect() found. 0, with what the server says of the
 * export; or bk_err(), and then *changed, if it is another one now.
 */
int nbd_another_connection(struct nbd_dev *d, const struct bk_deadline *deadline,
			   struct nbd_connection *c, struct nbd_export *e, const char **changed);
/* The size of the export as the last connection had it. */
uint64_t nbd_size(const struct nbd_dev *d);

/* Ask for all exports. The connection can be used for nothing else afterwards. 0 or bk_err(). */
int nbd_list_exports(struct nbd_connection *c, const struct nbd_wish *wish,
		     const struct bk_deadline *deadline, struct bk_exports *x);

/* ---- Queues ------------------------------------------------------------------------------- */

#define NBD_BIG NBD_DF_MAX /* longer reads go past the stage */

/* The connection of a queue, where it may be replaced. */
struct nbd_link {
	struct net_link l;
	struct nbd_connection old; /* NET_LINK_DOWN: what is left of the lost one */
	struct nbd_connection new; /* NET_LINK_BACK: the new one, negotiated */
	struct nbd_export e;	   /* NET_LINK_BACK: as that connection has it */
};

struct nbd_queue {
	struct blkioq q;
	struct nbd_table table;
	struct nbd_slot *free;		  /* NULL: all are in use */
	unsigned nr_big;		  /* big reads among the requests in flight */
	unsigned submitted, finished;	  /* requests, ever */
	uint16_t flags;			  /* of the export */
	uint64_t read_begin, write_begin; /* of the requests of a small read, and a write */
	unsigned request_len;		  /* bytes of a header */
	const char *lost;		  /* why the connection cannot be used; NULL: it can */
	int lost_error;
	bool said_goodbye;
	/* all data goes by way of the stage: the kernel's TLS has it once, also if that fails */
	bool by_stage;
	/* sending: requests in order, the first one perhaps in part */
	struct bk_req_list unsent;
	uint64_t to_send;      /* bytes, ever, of all requests */
	bool sends_data;       /* one of them may have payload */
	struct nbd_gaps *gaps; /* one for each slot */
	uint8_t *headers;      /* a ring of as many as there are slots */
	unsigned header_at, headers_len;
	unsigned careful; /* so many requests go one by one: some buffer cannot be read */
	/*
	 * receiving: the data of this slot, from this offset on, then what is to be skipped; if
	 * there is a slot without data left, that is its extents
	 */
	struct nbd_slot *slot;
	uint64_t at, left, skip;
	bool is_last;	/* then the slot is done */
	bool early;	/* the reply that is next comes before its request was sent */
	uint64_t ahead; /* bytes of the next data that are in their place already */
	bool is_calm;	/* one read was all that was in flight, and nothing is left of it */
	enum { NBD_INTO_STAGE, NBD_INTO_BUFFER, NBD_INTO_BOTH } into; /* of the current receive */
	uint64_t into_buffer;					      /* at most so many bytes */
	struct nbd_slot *into_slot;				      /* with NBD_INTO_BOTH */
	struct net_stage stage;
	struct net_copies copies;
	unsigned nr_done;
	struct nbd_slot *done[NET_COPIES]; /* others, once the copies are made */
	unsigned goal; /* of enter(): until so many requests have finished, replies may gather */
	struct nbd_link link;
	struct net_stream s;
	struct nbd_connection connection; /* but for its socket, which is the stream's */
};

static inline struct nbd_queue *nbd_queue_of(struct blkioq *q)
{
	return container_of(q, struct nbd_queue, q);
}

/* Is there to be another connection when this one is lost, or now that it is? */
static inline bool nbd_link_returns(const struct nbd_queue *q)
{
	return net_link_returns(&q->link.l) && (!q->lost || q->lost_error == ENOTCONN);
}

/* Bytes to send for a request. */
static inline uint64_t nbd_total(const struct nbd_queue *q, const struct bk_req *r)
{
	return q->request_len + (r->op == BK_WRITE ? r->len : 0);
}

static inline struct nbd_slot *nbd_slot_of(const struct bk_req *r)
{
	return (struct nbd_slot *)(uintptr_t)r->priv[0];
}

/* Requests that have a slot. */
static inline unsigned nbd_inflight(const struct nbd_queue *q)
{
	return q->submitted - q->finished;
}

/* Of a request that is to be sent. */
static inline uint8_t *nbd_header(const struct nbd_queue *q, const struct bk_req *r)
{
	return q->headers + r->priv[1];
}

/* nbd_slots.c */
int nbd_slots_init(struct nbd_queue *q, unsigned n);
void nbd_slots_exit(struct nbd_queue *q);
static inline void nbd_release(struct nbd_queue *q, struct nbd_slot *slot)
{
	slot->kind = NBD_FREE;
	slot->next_free = q->free;
	q->free = slot;
}
/* Give the slot of a plain read back and complete its request. */
static inline void nbd_finish_plain_read(struct nbd_queue *q, struct nbd_slot *slot)
{
	struct bk_req *r = slot->r;

	nbd_release(q, slot);
	q->finished++;
	bk_complete(&q->q, r, (int64_t)r->len);
}
void nbd_finish_failed(struct nbd_queue *q, struct nbd_slot *slot);
/* The same of any request, with the slot's error if it has one. */
static inline void nbd_finish(struct nbd_queue *q, struct nbd_slot *slot)
{
	struct bk_req *r = slot->r;

	if (unlikely(slot->error)) {
		nbd_finish_failed(q, slot);
		return;
	}
	q->nr_big -= slot->kind == NBD_BIG_READ;
	nbd_release(q, slot);
	q->finished++;
	bk_complete(&q->q, r, bk_is_rw(r) ? (int64_t)r->len : 0);
}
/* The connection cannot be used any more. The first message stays. */
void nbd_lose(struct nbd_queue *q, int error, const char *why);
/* Once nothing is in the kernel any more: all requests of a lost connection. */
void nbd_fail_all(struct nbd_queue *q);
/* The same, but let the core submit those again that have no error of their own. */
void nbd_retry_all(struct nbd_queue *q);

/* Of bytes [at, at + len) of r. */
static inline unsigned nbd_slice(const struct bk_req *r, uint64_t at, uint64_t len,
				 struct iovec *out, unsigned max)
{
	return net_slice(r->iov, r->iovcnt, at, len, out, max);
}

/* nbd_session.c */
void nbd_take_connection(struct nbd_queue *q, const struct nbd_connection *c);

/* nbd_send.c */
void nbd_submit(struct blkioq *bq, struct bk_req *r);
/* The same with extended headers. */
void nbd_submit_long(struct blkioq *bq, struct bk_req *r);
void nbd_prepare_send(struct nbd_queue *q);
/* Look at what has been sent, if something has. */
void nbd_sent(struct nbd_queue *q);

/* nbd_stage.c */
/*
 * Copy the next len bytes on the stage to offset at of the slot's request: later, and only as many
 * as there is room for. Returns how many.
 */
size_t nbd_add_copies(struct nbd_queue *q, struct nbd_slot *slot, uint64_t at, size_t len);
/* Take all replies that are whole plain reads, as long as nothing else comes. */
void nbd_take_plain_reads(struct nbd_queue *q);
/* The request of this slot has its reply, and ends once the copies are made. */
void nbd_done(struct nbd_queue *q, struct nbd_slot *slot);
/* Make all copies, then complete the requests that waited for them. */
void nbd_flush_copies(struct nbd_queue *q);

/* nbd_receive.c */
/* Forget what came of a lost connection. */
void nbd_receive_reset(struct nbd_queue *q);
void nbd_prepare_receive(struct nbd_queue *q);
/* Take in what has arrived, if something has, and what could not be taken in before. */
void nbd_receive(struct nbd_queue *q);

/* nbd_reconnect.c */
/* With "reconnect-timeout": start the thread. 0 or bk_err(). */
int nbd_link_init(struct nbd_queue *q);
void nbd_link_exit(struct nbd_queue *q);
/* The connection is lost, and nothing is in the kernel any more. */
void nbd_link_lost(struct nbd_queue *q);

/* nbd_queue.c */
/* On a negotiated connection, which then is the queue's. 0 or bk_err(). */
int nbd_queue_open(struct nbd_queue *q, const struct nbd_connection *c, const struct nbd_export *e,
		   unsigned slots);
void nbd_queue_close(struct nbd_queue *q);
int nbd_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w);
void nbd_notify(struct blkioq *bq, bool on);
enum bk_drained nbd_drain(struct blkio *b, struct blkioq *bq, bool cancel);

#endif
