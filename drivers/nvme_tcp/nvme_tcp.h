/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The NVMe/TCP driver: a host of its own, which needs no kernel driver. A queue is a connection;
 * the admin queue is one more.
 *
 *	crc32c.c             digests
 *	nvme_tcp_pdu.c       PDUs: built, taken apart, checked
 *	nvme_tcp_uri.c       URIs
 *	nvme_tcp_channel.c   a connection, and commands on control paths
 *	nvme_tcp_names.c     the NQN and the ID of this host
 *	nvme_tcp_session.c   the controller: its beginning and its end; connections for queues
 *	nvme_tcp_watch.c     the thread that keeps the controller alive and takes in events
 *	nvme_tcp_slots.c     requests in flight, and their end when the connection is lost
 *	nvme_tcp_submit.c    from requests to commands
 *	nvme_tcp_send.c      what is sent
 *	nvme_tcp_receive.c   what comes, and where it goes
 *	nvme_tcp_queue.c     both, in one system call; the end of a queue
 *	nvme_tcp_reconnect.c a queue whose connection is lost
 *	nvme_tcp.c           properties, limits
 */
#ifndef BK_NVME_TCP_H
#define BK_NVME_TCP_H

#include "net/net_link.h"
#include "net/socket.h"
#include "net/stage.h"
#include "net/stream.h"
#include "nvme/nvme_fabrics.h"
#include "nvme_tcp/nvme_tcp_pdu.h"

#define NVME_TCP_PORT		4420
#define NVME_TCP_DISCOVERY_PORT 8009

/* ---- Where to go -------------------------------------------------------------------------- */

/* Decoded properties, or a URI. */
struct nvme_tcp_target {
	struct net_address address;
	const char *subnqn;
	int nsid;     /* 0: the first one */
	char *memory; /* of the strings of a URI */
};

/* Decode the URI. 0 or bk_err(). */
int nvme_tcp_parse_uri(const char *uri, struct nvme_tcp_target *t);
void nvme_tcp_target_free(struct nvme_tcp_target *t);

/* ---- Channels ----------------------------------------------------------------------------- */

/* Which commands a channel can have in flight. */
enum { NVME_TCP_CALL, NVME_TCP_KEEP_ALIVE, NVME_TCP_AWAIT_EVENT, NVME_TCP_CHANNEL_SLOTS };

/* A connection on control paths, which one thread uses at a time. */
struct nvme_tcp_channel {
	int sock; /* -1: there is none */
	bool is_lost;
	int lost_error; /* errno value */
	struct bk_err_msg lost_why;
	bool is_asked; /* for all that it sends: none goes in capsules */
	struct nvme_tcp_table table;
	struct nvme_tcp_slot slots[NVME_TCP_CHANNEL_SLOTS];
	/* what has come for them since it was looked at last */
	struct nvme_tcp_answer {
		bool is_there;
		uint16_t status;
		uint64_t result;
	} answers[NVME_TCP_CHANNEL_SLOTS];
};

struct nvme_tcp_wish {
	const struct net_address *address;
	bool header_digest, data_digest;
	bool no_capsule_data; /* no room even for that of Connect */
	int tcp_timeout;
};

/* Connect, and agree on how PDUs look. 0 or bk_err(). */
int nvme_tcp_channel_open(struct nvme_tcp_channel *ch, const struct nvme_tcp_wish *w,
			  const struct bk_deadline *deadline);
void nvme_tcp_channel_close(struct nvme_tcp_channel *ch);

/* What a command sends, and what it receives into; each may be empty. */
struct nvme_tcp_data {
	const void *out;
	void *in;
	uint32_t len;
};
/* Send one, in a slot that is free. 0 or bk_err(). */
int nvme_tcp_channel_send(struct nvme_tcp_channel *ch, unsigned slot, const struct nvme_cmd *c,
			  const struct nvme_tcp_data *data, const struct bk_deadline *deadline);
/* Receive one PDU: perhaps an answer is there now. 0 or bk_err(). */
int nvme_tcp_channel_receive(struct nvme_tcp_channel *ch, const struct bk_deadline *deadline);

/* For nvme_fabrics.h and nvme_ident.h. */
struct nvme_tcp_caller {
	struct nvme_fabrics f;
	struct nvme_admin a;
	struct nvme_tcp_channel *ch;
	const struct bk_deadline *deadline;
};
struct nvme_tcp_caller nvme_tcp_caller(struct nvme_tcp_channel *ch,
				       const struct bk_deadline *deadline);

/* ---- The controller ----------------------------------------------------------------------- */

/* One that was asked for, with its admin queue. */
struct nvme_tcp_session {
	struct nvme_tcp_wish wish;
	struct nvme_fabrics_names names;
	char hostnqn[NVMF_NQN_SIZE + 1];
	uint32_t keep_alive_ms;
	struct nvme_tcp_channel admin;
	struct nvme_fabrics_ctrl ctrl;
	uint16_t cntlid;
};

/* What s->wish and so on say: an enabled one. 0 or bk_err(); then there is nothing to close. */
int nvme_tcp_session_open(struct nvme_tcp_session *s, const struct bk_deadline *deadline);
void nvme_tcp_session_close(struct nvme_tcp_session *s, const struct bk_deadline *deadline);

/* ---- The device --------------------------------------------------------------------------- */

struct nvme_tcp_queue;

#define NVME_TCP_QUEUES_MAX 1024

struct nvme_tcp_dev {
	struct blkio b;
	/* properties */
	char *uri, *traddr, *subnqn, *hostnqn, *hostid, *digests;
	int trsvcid, nsid, queue_size, tcp_timeout, keep_alive_timeout;
	struct comeback comeback; /* what each queue begins with */
	/* connected */
	struct nvme_tcp_target target;
	struct nvme_ns ns;
	uint64_t size;	      /* atomic: bytes, as the controller said last */
	pthread_mutex_t lock; /* of s; held while it is talked to, so not by hot functions */
	struct nvme_tcp_session s;
	int64_t asked_at;		    /* now_ns(): the last keep-alive was sent */
	bool used[NVME_TCP_QUEUES_MAX + 1]; /* queue IDs */
	struct watcher watcher;
	/* Queues, to be cut when the controller is lost. */
	pthread_mutex_t queues_lock; /* for moments, of ... */
	struct nvme_tcp_queue *queues;
	const char *cut_why;  /* atomic; NULL: the target closed the connections */
	unsigned association; /* counts the controllers that there have been */
};

static inline struct nvme_tcp_dev *nvme_tcp_dev_of(struct blkio *b)
{
	return container_of(b, struct nvme_tcp_dev, b);
}

/* How many requests a queue can have in flight; one entry of the submission queue stays free. */
static inline unsigned nvme_tcp_slots(const struct nvme_tcp_dev *d)
{
	return min_u64(d->queue_size, min_u64(d->s.ctrl.queue_entries - 1, NVME_TCP_SLOTS_MAX));
}

/* nvme_tcp_names.c */

/* Properties hostnqn and hostid, or what this machine is known by. 0 or bk_err(). */
int nvme_tcp_name_host(const struct nvme_tcp_dev *d, struct nvme_tcp_session *s);

/* nvme_tcp_session.c */

/*
 * A connection for queue qid, of the controller that there is, or of another one if that is lost
 * and reconnect is set; *association: which. 0 or bk_err(), and then *changed, static text, if the
 * namespace is no longer what it was.
 */
int nvme_tcp_open_queue(struct nvme_tcp_dev *d, unsigned qid, bool reconnect,
			const struct bk_deadline *deadline, struct nvme_tcp_channel *ch,
			unsigned *association, const char **changed);
/* nvme_identify() with the driver's own limit of a transfer. */
int nvme_tcp_identify(const struct nvme_admin *a, uint32_t nsid, struct nvme_ns *ns,
		      struct bk_limits *l);
/* Of the instance's namespace. */
int nvme_tcp_capacity(struct blkio *b, uint64_t *bytes);
/* Ask for the size, and note it. 0; -ENODEV: it is not what it was; or bk_err(). */
int nvme_tcp_look_at_namespace(struct nvme_tcp_dev *d, const struct bk_deadline *deadline);
/* Let the controller send an event when there is one. 0 or bk_err(). */
int nvme_tcp_await_event(struct nvme_tcp_dev *d, const struct bk_deadline *deadline);
/* It is lost, and with it all connections. why: static text or NULL. d->lock is held. */
void nvme_tcp_lose_controller(struct nvme_tcp_dev *d, const char *why);
extern const char nvme_tcp_changed[];

/* nvme_tcp_watch.c */

/* Of a connected device: 0 or bk_err(); watcher_stop() ends it. */
int nvme_tcp_watch_start(struct nvme_tcp_dev *d);

/* ---- Queues ------------------------------------------------------------------------------- */

#define NVME_TCP_BIG	  (32U << 10) /* longer reads go past the stage */
#define NVME_TCP_PAGE	  4096
#define NVME_TCP_DATA_MAX (64U << 10) /* with data digests: in one capsule; fits on the stage */

/* The connection of a queue, where it may be replaced. */
struct nvme_tcp_link {
	struct net_link l;
	struct nvme_tcp_channel new; /* NET_LINK_BACK: the new one */
};

/* A slot's part of what is sent, beside its command. */
struct nvme_tcp_item {
	/* what is sent next: a header, a part of the data, and its digest */
	uint8_t *header;
	uint16_t header_len;
	bool is_command;
	uint32_t at, len;
	uint16_t status; /* with which the command was completed */
	uint64_t result;
	struct nvme_dsm_range range;
	uint8_t data_header[NVME_TCP_HEADER_ROOM];
};

struct nvme_tcp_queue {
	struct blkioq q;
	struct nvme_tcp_table table;
	struct nvme_tcp_item *items; /* by the slot's index */
	const struct nvme_ns *ns;
	struct nvme_cmd templates[2];	       /* of plain reads and writes, by op */
	struct nvme_tcp_slot *newest;	       /* of the last request that was submitted */
	unsigned nr_free, nr_inflight, nr_big; /* slots; of those in use, big reads */
	uint16_t *free;
	unsigned finished;     /* requests, ever */
	uint32_t capsule_data; /* bytes at most */
	const char *lost;      /* why the connection cannot be used; NULL: it can */
	int lost_error;
	/* sending: requests in order, the first one perhaps in part */
	struct bk_req_list unsent;
	uint64_t to_send; /* bytes, ever, of all requests */
	bool sends_data;  /* not just headers of commands, which are one buffer */
	bool scatters;	  /* headers in a row are not one buffer, or all is copied */
	bool has_more;	  /* to send than is being sent: nothing need come before that */
	uint64_t asked;	  /* of that, bytes that are not among the unsent so far */
	uint8_t *headers; /* of commands: a ring of as many as there are slots */
	unsigned header_at, headers_len, header_room;
	uint8_t *pages;	      /* of zoned namespaces: NVME_TCP_PAGE bytes for each slot */
	unsigned careful;     /* so many items go one by one: some buffer cannot be read */
	struct net_stage out; /* with data digests: what is being sent, from head to tail */
	uint64_t copied;      /* to there: bytes, ever */
	uint32_t out_crc;     /* of the item that is there in part */
	/* receiving: the data of this slot, from this offset on, then its digest */
	struct nvme_tcp_slot *slot;
	uint32_t at, left, crc;
	bool has_trailer;
	bool is_done;	/* then the command is done */
	bool early;	/* the PDU that is next is about something that was not sent yet */
	uint32_t ahead; /* bytes of the next data that are in their place already */
	bool is_calm;	/* one read was all that was in flight, and nothing is left of it */
	enum { NVME_TCP_INTO_STAGE, NVME_TCP_INTO_BUFFER, NVME_TCP_INTO_BOTH } into;
	uint32_t into_buffer;		 /* at most so many bytes */
	struct nvme_tcp_slot *into_slot; /* with NVME_TCP_INTO_BOTH */
	struct net_stage stage;
	struct net_copies copies;
	unsigned nr_done;
	struct nvme_tcp_slot *done[NET_COPIES]; /* once the copies are made */
	/* the connection */
	struct nvme_tcp_link link;
	struct net_stream s;
	unsigned qid;
	/* for who cuts the connection, on d->queues: its socket once more */
	struct nvme_tcp_queue *next;
	bool is_exposed;
	int cut_fd;
	unsigned association; /* which controller it is of */
};

static inline struct nvme_tcp_queue *nvme_tcp_queue_of(struct blkioq *q)
{
	return container_of(q, struct nvme_tcp_queue, q);
}

static inline struct nvme_tcp_dev *nvme_tcp_dev_of_queue(const struct nvme_tcp_queue *q)
{
	return nvme_tcp_dev_of(q->q.b);
}

/* Is there to be another connection when this one is lost, or now that it is? */
static inline bool nvme_tcp_link_returns(const struct nvme_tcp_queue *q)
{
	return net_link_returns(&q->link.l) && (!q->lost || q->lost_error == ENOTCONN);
}

static inline unsigned nvme_tcp_index(const struct nvme_tcp_slot *slot)
{
	return slot->cid & (NVME_TCP_SLOTS_MAX - 1);
}

static inline struct nvme_tcp_slot *nvme_tcp_slot_of(const struct nvme_tcp_queue *q,
						     const struct bk_req *r)
{
	return &q->table.slot[r->priv[0]];
}

static inline struct nvme_tcp_item *nvme_tcp_item_of(const struct nvme_tcp_queue *q,
						     const struct nvme_tcp_slot *slot)
{
	return &q->items[nvme_tcp_index(slot)];
}

/* Bytes to send of what is to be sent next for a slot. */
static inline uint64_t nvme_tcp_total(const struct nvme_tcp_queue *q,
				      const struct nvme_tcp_item *item)
{
	return (uint64_t)item->header_len + item->len +
	       nvme_tcp_trailer_len(&q->table.wire, item->len);
}

/* How many of these bytes have not been sent. */
static inline uint64_t nvme_tcp_unsent(const struct nvme_tcp_queue *q,
				       const struct nvme_tcp_slot *slot)
{
	return slot->end > q->table.sent ? slot->end - q->table.sent : 0;
}

/* Is a slot that has something unsent one of whose command the controller knows nothing? */
static inline bool nvme_tcp_is_unknown(const struct nvme_tcp_queue *q,
				       const struct nvme_tcp_slot *slot)
{
	const struct nvme_tcp_item *item = nvme_tcp_item_of(q, slot);

	return item->is_command && nvme_tcp_unsent(q, slot) >= nvme_tcp_total(q, item);
}

/* nvme_tcp_slots.c */
int nvme_tcp_slots_init(struct nvme_tcp_queue *q, unsigned n);
void nvme_tcp_slots_exit(struct nvme_tcp_queue *q);
static inline bool nvme_tcp_is_big(const struct nvme_tcp_slot *slot)
{
	return slot->way == NVME_TCP_IN && slot->len > NVME_TCP_BIG;
}
static inline void nvme_tcp_release(struct nvme_tcp_queue *q, struct nvme_tcp_slot *slot)
{
	if (unlikely(nvme_tcp_is_big(slot)))
		q->nr_big--;
	q->nr_inflight--;
	slot->in_flight = false;
	slot->r = NULL;
	q->free[q->nr_free++] = nvme_tcp_index(slot);
}
void nvme_tcp_finish_other(struct nvme_tcp_queue *q, struct nvme_tcp_slot *slot);
/* Give the slot back and complete its request, which has its status. */
static inline void nvme_tcp_finish(struct nvme_tcp_queue *q, struct nvme_tcp_slot *slot)
{
	struct bk_req *r = slot->r;

	if (unlikely(slot->error || nvme_tcp_item_of(q, slot)->status || !bk_is_rw(r))) {
		nvme_tcp_finish_other(q, slot);
		return;
	}
	q->finished++;
	nvme_tcp_release(q, slot);
	bk_complete(&q->q, r, (int64_t)r->len);
}
/* The connection cannot be used any more. The first message stays. */
void nvme_tcp_lose(struct nvme_tcp_queue *q, int error, const char *why);
/* Once nothing is in the kernel any more: all requests of a lost connection. */
void nvme_tcp_fail_all(struct nvme_tcp_queue *q);
/* The same, but let the core submit those again that have no error of their own. */
void nvme_tcp_retry_all(struct nvme_tcp_queue *q);

/* nvme_tcp_submit.c */
void nvme_tcp_submit(struct blkioq *bq, struct bk_req *r);
/* The same for a namespace with protection information. */
void nvme_tcp_submit_protected(struct blkioq *bq, struct bk_req *r);

/* nvme_tcp_send.c */

/* What the slot's item says is to be sent after all else. */
static inline void nvme_tcp_push(struct nvme_tcp_queue *q, struct nvme_tcp_slot *slot,
				 const struct nvme_tcp_item *item)
{
	q->to_send += nvme_tcp_total(q, item);
	slot->end = q->to_send;
	bk_list_push(&q->unsent, slot->r);
}
/* The controller has asked for a slot's data. */
void nvme_tcp_send_data(struct nvme_tcp_queue *q, struct nvme_tcp_slot *slot);
void nvme_tcp_prepare_send(struct nvme_tcp_queue *q);
/* Look at what has been sent, if something has. */
void nvme_tcp_sent(struct nvme_tcp_queue *q);

/* nvme_tcp_receive.c */

/* Forget what came of a lost connection. */
void nvme_tcp_receive_reset(struct nvme_tcp_queue *q);
void nvme_tcp_prepare_receive(struct nvme_tcp_queue *q);
/* Take in what has arrived, if something has, and what could not be taken in before. */
void nvme_tcp_receive(struct nvme_tcp_queue *q);

/* nvme_tcp_reconnect.c */

/* Let nvme_tcp_lose_controller() cut this connection, in place of the last one. 0 or bk_err(). */
int nvme_tcp_expose(struct nvme_tcp_queue *q, int sock, unsigned association);
void nvme_tcp_hide(struct nvme_tcp_queue *q);
/* Go on with this connection: what its PDUs look like. Its socket is the stream's. */
void nvme_tcp_take_channel(struct nvme_tcp_queue *q, const struct nvme_tcp_channel *ch);

/* With "reconnect-timeout": start the thread. 0 or bk_err(). */
int nvme_tcp_link_init(struct nvme_tcp_queue *q);
void nvme_tcp_link_exit(struct nvme_tcp_queue *q);
/* The connection is lost, and nothing is in the kernel any more. */
void nvme_tcp_link_lost(struct nvme_tcp_queue *q);

/* nvme_tcp_queue.c */

/* On a connected channel, which then is the queue's. 0 or bk_err(). */
int nvme_tcp_queue_open(struct nvme_tcp_queue *q, const struct nvme_tcp_channel *ch,
			unsigned association);
void nvme_tcp_queue_close(struct nvme_tcp_queue *q);
int nvme_tcp_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w);
void nvme_tcp_notify(struct blkioq *bq, bool on);
enum bk_drained nvme_tcp_drain(struct blkio *b, struct blkioq *bq, bool cancel);

#endif
