/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The iSCSI driver: an initiator, on libiscsi. A queue is a session of its own with one connection.
 *
 *	iscsi_library.c    libiscsi, loaded when it is needed
 *	iscsi_scsi.c       SCSI commands and the data that describes a logical unit
 *	iscsi_sense.c      how a command ended
 *	iscsi_uri.c        URIs
 *	iscsi_login.c      what a target says while we log in, before libiscsi gets to see it
 *	iscsi_brake.c      how long libiscsi may read
 *	iscsi_session.c    a session: login, commands on control paths, the end
 *	iscsi_unit.c       the logical unit: what it is, and is it still the same
 *	iscsi_slots.c      requests in flight, and what becomes of them with the connection
 *	iscsi_submit.c     requests as SCSI commands
 *	iscsi_queue.c      sending, receiving and waiting; the end of a queue
 *	iscsi_reconnect.c  a queue whose connection is lost
 *	iscsi.c            properties, limits
 */
#ifndef BK_ISCSI_DEV_H
#define BK_ISCSI_DEV_H

#include "iscsi/iscsi_brake.h"
#include "iscsi/iscsi_library.h"
#include "iscsi/iscsi_scsi.h"
#include "net/net_link.h"
#include "net/socket.h"
#include "uring/ready.h"

#define ISCSI_DEFAULT_PORT 3260
#define ISCSI_SLOTS_MAX	   32768
#define ISCSI_SEGMENTS_MAX 1024 /* the kernel's limit: libiscsi passes them on in one call */

/* ---- Where to go -------------------------------------------------------------------------- */

/* How a side authenticates itself, by CHAP. Both are NULL: it does not. */
struct iscsi_chap {
	const char *user, *password;
};

/* What a URI says. */
struct iscsi_target {
	struct net_address address;
	const char *name;		     /* of the target: iqn. ... */
	int lun;			     /* as a SCSI command has it */
	struct iscsi_chap chap, target_chap; /* ours, and the target's */
	const char *header_digest;	     /* NULL: not said */
	char *memory;			     /* of all strings above */
};

/* Decode the URI. 0 or bk_err(). */
int iscsi_parse_uri(const char *uri, struct iscsi_target *t);
void iscsi_target_free(struct iscsi_target *t);

/* ---- Sessions ----------------------------------------------------------------------------- */

/* What to log in to, and how. */
struct iscsi_wish {
	struct iscsi_target target;
	const char *initiator;
	enum iscsi_header_digest digest;
	int tcp_timeout; /* milliseconds; 0: the system's */
};

/* A target's answers during the login. */
struct iscsi_login {
	bool mutual;		       /* it is to authenticate itself */
	bool has_challenged, has_left; /* with CHAP; the phase in which it may */
	bool authenticated;
	bool is_last;	 /* with the answer that was looked at, libiscsi is logged in */
	uint16_t status; /* not 0: why it refuses */
};

/*
 * Look at the next answer on the socket, which stays there: may libiscsi have it? 0, -EAGAIN as
 * long as not all of it is there, or bk_err().
 */
int iscsi_login_look(struct iscsi_login *l, int sock);
/* The same for the bytes of an answer: all of its header and len bytes of text. */
int iscsi_login_check(struct iscsi_login *l, const uint8_t *header, const char *text, size_t len);
/* The login is over. 0 or bk_err(). */
int iscsi_login_over(const struct iscsi_login *l);
/* What the target's status means; an errno value. */
int iscsi_login_errno(uint16_t status);

/*
 * Which session it is, among those of this initiator. A target ends the one that it has when
 * another comes that says the same: nothing of the lost session is carried out later than that.
 */
struct iscsi_isid {
	uint32_t random, qualifier;
};
/* 0 or bk_err(). */
int iscsi_isid_choose(struct iscsi_isid *isid);

/* libiscsi knows its address: a session is freed after its context only. */
struct iscsi_session {
	struct iscsi_context *context;
	struct iscsi_isid isid;
	int lun;
	struct iscsi_brake brake;
	bool braked; /* reading took too long, the last time */
	/* the call that waits for libiscsi */
	bool done;
	int status;
	struct scsi_task task;
	struct scsi_iovec iov;
	uint8_t data[ISCSI_DATA_MAX];
};

#define ISCSI_PENDING_MAX 10000 /* that a target makes libiscsi send without being asked */

/* Let libiscsi read what there is, for a limited time. */
static inline int iscsi_session_read(struct iscsi_session *s)
{
	uint32_t call = iscsi_brake_begin(&s->brake);
	int ret = libiscsi.service(s->context, POLLIN);

	s->braked = iscsi_brake_end(&s->brake, call);
	return ret;
}

/* Connect and log in; retry until the unit has no attention pending. 0 or bk_err(). */
int iscsi_session_open(const struct iscsi_wish *wish, const struct iscsi_isid *isid,
		       const struct bk_deadline *deadline, struct iscsi_session **session);
void iscsi_session_close(struct iscsi_session *s);
/* The target may forget the session at once, with nothing left in flight. Never sleeps. */
void iscsi_session_say_goodbye(struct iscsi_session *s);

/*
 * A command that reads at most ISCSI_DATA_MAX bytes, into s->data, which is zeroed before. *len:
 * in, what it asks for, and out, what came. 0, and *verdict says how it ended; or bk_err(), then
 * the session can only be closed.
 */
int iscsi_session_command(struct iscsi_session *s, const struct iscsi_cdb *cdb, size_t *len,
			  const struct bk_deadline *deadline, struct iscsi_verdict *verdict);

/* What libiscsi is to think of an empty list: not that there is none. */
extern struct scsi_iovec iscsi_no_iov[1];

/* A task of ours that is ready to be queued, but for its data. */
static inline void iscsi_task_init(struct scsi_task *task, const struct iscsi_cdb *cdb)
{
	*task = (struct scsi_task){ .cdb_size = cdb->len, .xfer_dir = SCSI_XFER_NONE };
	memcpy(task->cdb, cdb->b, sizeof(cdb->b));
	/* Data that nobody has asked for ends the connection, and is not collected. */
	task->iovector_in.iov = iscsi_no_iov;
}

/* Of data that was asked for, what did not come: nothing says more than this. */
static inline size_t iscsi_missing(const struct scsi_task *task)
{
	if (task->residual_status != SCSI_RESIDUAL_UNDERFLOW)
		return 0;
	return min_u64(task->residual, task->expxferlen);
}

/* ---- The logical unit --------------------------------------------------------------------- */

#define ISCSI_ID_MAX 252

struct iscsi_lun {
	struct iscsi_unit unit;
	size_t id_len;
	uint8_t id[ISCSI_ID_MAX]; /* the descriptors of VPD page 83h: which one it is */
};

/* A session with it. 0, and what it says of itself; or bk_err(). */
int iscsi_open_unit(const struct iscsi_wish *wish, const struct iscsi_isid *isid,
		    const struct bk_deadline *deadline, struct iscsi_session **session,
		    struct iscsi_lun *lun);

/* ---- The device --------------------------------------------------------------------------- */

struct iscsi_dev {
	struct blkio b;
	/* properties */
	char *uri, *initiator_name, *header_digest;
	char *user, *password, *target_user, *target_password;
	char default_name[128]; /* the initiator's, until has_own_name */
	bool has_own_name;
	int queue_size, tcp_timeout;
	struct comeback comeback; /* what each queue begins with */
	/* connected */
	struct iscsi_wish wish;
	struct iscsi_lun lun;	     /* as it was at blkio_connect() */
	uint64_t size;		     /* as the last session had it; atomic */
	struct iscsi_session *first; /* without a queue so far */
	void *zero_block;	     /* for WRITE SAME */
};

static inline struct iscsi_dev *iscsi_dev_of(struct blkio *b)
{
	return container_of(b, struct iscsi_dev, b);
}

/* All but end. */
void iscsi_set_limits(struct bk_limits *l, const struct iscsi_unit *u);

/*
 * One more session with the unit that blkio_connect() found. 0; or bk_err(), and then *changed, if
 * it is another one now.
 */
int iscsi_another_session(struct iscsi_dev *d, const struct iscsi_isid *isid,
			  const struct bk_deadline *deadline, struct iscsi_session **session,
			  const char **changed);

/* ---- Queues ------------------------------------------------------------------------------- */

#define ISCSI_IOVS 2 /* of a slot; requests with more of them get memory */
/*
 * Commands that libiscsi has at a time. It looks through a list of them for each one that is added,
 * so many more would keep a caller for seconds. Targets take fewer at a time anyway.
 */
#define ISCSI_SENT_MAX 512

/* A request that libiscsi has. */
struct iscsi_slot {
	struct scsi_task task;
	struct iscsi_queue *q;
	struct bk_req *r;   /* NULL: the slot is free */
	bool is_sent;	    /* libiscsi has it */
	struct iovec *more; /* in place of iov */
	uint8_t *data;	    /* of a request whose data is not the caller's */
	struct iscsi_verdict verdict;
	struct iovec iov[ISCSI_IOVS];
	uint8_t unmap[ISCSI_UNMAP_LEN];
};

struct iscsi_link {
	struct net_link l;
	struct iscsi_isid isid;
	struct iscsi_session *new; /* NET_LINK_BACK */
};

struct iscsi_queue {
	struct blkioq q;
	struct iscsi_session *session; /* NULL: the last one is lost, and closed */
	struct iscsi_context *context; /* of session */
	int lun;
	uint8_t block_bits; /* log2 of the size of a logical block */
	bool reads_zeroes, write_same_unmap, has_cache;
	void *zero_block;
	const char *lost; /* why the session cannot be used; NULL: it can */
	int lost_error;
	struct iscsi_slot *slot;
	uint32_t *free;
	unsigned nr_slots, nr_free, nr_inflight;
	unsigned nr_sent;	   /* of them, those that libiscsi has */
	unsigned nr_writes;	   /* of them, those that send data */
	unsigned finished;	   /* requests, ever */
	struct bk_req_list unsent; /* that libiscsi does not have yet */
	uint32_t *held;		   /* slots that are done, but libiscsi may still send of them */
	unsigned nr_held;
	struct uring_ready ready; /* unless the queue polls */
	struct iscsi_link link;
};

static inline struct iscsi_queue *iscsi_queue_of(struct blkioq *q)
{
	return container_of(q, struct iscsi_queue, q);
}

static inline struct iscsi_slot *iscsi_slot_of(struct iscsi_queue *q, const struct bk_req *r)
{
	return &q->slot[r->priv[0]];
}

/* The queue goes on with a session. */
static inline void iscsi_queue_use(struct iscsi_queue *q, struct iscsi_session *s)
{
	q->session = s;
	q->context = s->context;
	q->lun = s->lun;
	q->lost = NULL;
	q->lost_error = 0;
}

/* iscsi_slots.c */
int iscsi_slots_init(struct iscsi_queue *q, unsigned n);
void iscsi_slots_exit(struct iscsi_queue *q);
/* A command of libiscsi's ended; arg: the slot. */
void iscsi_command_ended(struct iscsi_context *context, int status, void *task, void *arg);
/* Complete what is done, as far as libiscsi has let go of it. */
void iscsi_finish_held(struct iscsi_queue *q);
/* What libiscsi does not have yet will not be done. */
void iscsi_cancel_unsent(struct iscsi_queue *q);
/* Give the slot back; its request is the caller's. */
void iscsi_slot_release(struct iscsi_slot *slot);
/* The session cannot be used any more. The first message stays. */
void iscsi_lose(struct iscsi_queue *q, int error, const char *why);
/*
 * Once the lost session is closed: all requests; or let the core submit them again, and return
 * whether one of them was the cause, which fails.
 */
void iscsi_fail_all(struct iscsi_queue *q);
bool iscsi_retry_all(struct iscsi_queue *q);

/* iscsi_submit.c */
void iscsi_submit(struct blkioq *bq, struct bk_req *r);
/* Let libiscsi have what was submitted, as far as it takes more. Returns whether it got any. */
bool iscsi_hand_over(struct iscsi_queue *q);

/* iscsi_reconnect.c */
int iscsi_link_init(struct iscsi_queue *q);
void iscsi_link_exit(struct iscsi_queue *q);
/* q->lost was set: close the session, and see what becomes of its requests. */
void iscsi_link_lost(struct iscsi_queue *q);

/* iscsi_queue.c */
/* With a session, which then is the queue's. 0 or bk_err(). */
int iscsi_queue_open(struct iscsi_queue *q, struct iscsi_session *s, unsigned slots);
void iscsi_queue_close(struct iscsi_queue *q);
int iscsi_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w);
void iscsi_notify(struct blkioq *bq, bool on);
enum bk_drained iscsi_drain(struct blkio *b, struct blkioq *bq, bool cancel);

#endif
