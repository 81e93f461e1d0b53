/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * virtio-blk over any transport. A transport is one file: it embeds struct virtio_blk as the first
 * member of its device, fills in struct virtio_transport and a struct bk_driver, most of which is
 * VIRTIO_BLK_DRIVER_OPS, and knows nothing of requests or rings.
 *
 *	virtio_blk_vring.c   a guest's rings in place of our own
 *	virtio_blk.c         features, config space -> limits; connect, start, close
 *	virtio_blk_queue.c   how a queue begins, drains and ends
 *	virtio_blk_submit.c  from requests to buffers
 *	virtio_blk_request.c from buffers back to requests, kick, sleep, spin
 *	virtio_blk_memory.c  memory of all queues, and its layout
 *	virtio_loss.c        a device that went and may return: what was in flight, and progress
 *	virtio_status.c      the device status field: from reset to running
 *	virtio_watch.c       failure: waking all queues up; a thread that notices it
 *	virtq.[ch]           the ring
 *
 * Each file calls only files below it in this list.
 */
#ifndef BK_VIRTIO_BLK_H
#define BK_VIRTIO_BLK_H

#define VIRTIO_BLK_NO_LEGACY	/* but for these two, which are not legacy */
#define VIRTIO_BLK_F_FLUSH	9
#define VIRTIO_BLK_F_CONFIG_WCE 11

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/queue_memory.h"
#include "common/wait.h"
#include "common/watcher.h"
#include "driver.h"
#include "virtio/virtq.h"

#define VIRTIO_SEGMENTS_MAX 1024 /* of a request, whatever the device says */
#define VIRTIO_QUEUES_MAX   1024
#define VIRTIO_WATCHED_MAX  4
#define VIRTIO_STATUS_UNSET 0xff       /* of a slot whose request the device has not answered */
#define VIRTIO_NO_TABLE	    UINT16_MAX /* in table_of: the table is the slot's */

/* The place among those watched of virtio_config_fd(); the transport's own come behind. */
#define VIRTIO_WATCH_CONFIG 0

struct virtio_blk;
struct virtio_queue;
struct virtio_guest;
struct virtio_vring;

/* All but kick are called on control paths, by one thread at a time; 0 or bk_err(). */
struct virtio_transport {
	/*
	 * Find the device; offered: its features. max_queues: what the transport can do. May lower
	 * v->max_queue_size, to a power of two. After a failure everything is as before, after
	 * success close() undoes it.
	 */
	int (*open)(struct virtio_blk *v, uint64_t *offered, unsigned *max_queues);
	void (*close)(struct virtio_blk *v);
	/* Features of the transport's own, accepted where offered. */
	uint64_t features;
	int (*set_features)(struct virtio_blk *v, uint64_t features);
	/* The device status field; NULL where there is none. From any thread. */
	int (*get_status)(struct virtio_blk *v, uint8_t *status);
	int (*set_status)(struct virtio_blk *v, uint8_t status);
	/* Optional: queues follow, for the first time or after a reset. */
	int (*prepare)(struct virtio_blk *v);
	int (*read_config)(struct virtio_blk *v, void *buf, size_t len);
	/* As in struct bk_driver. */
	int (*map)(struct virtio_blk *v, struct bk_region *region, int fd, int64_t fd_offset);
	void (*unmap)(struct virtio_blk *v, const struct bk_region *region);
	/* Tell the device of all of q->vring, which is not running; fills in q->kick. */
	int (*queue_start)(struct virtio_blk *v, struct virtio_queue *q);
	/*
	 * A queue woke the watcher: the call_fd of some changed, or their ring is a new one. Tell
	 * the device. From the watching thread. Optional: without, rings are not lost, and the
	 * completion fd is call_fd from the start and may fire before the application enables it.
	 */
	void (*update_queues)(struct virtio_blk *v);
	/*
	 * The queue is idle and stays so; its fds go. The device may look at the ring until it is
	 * reset, or until close().
	 */
	void (*queue_stop)(struct virtio_blk *v, struct virtio_queue *q);
	/*
	 * Queue passthrough; optional. The numbers of a guest's rings are those of our own. hold:
	 * let the device finish what is on our rings, stop them, and take the memory away that is
	 * not a guest's; home is the ring that is to be started first. unhold: give the memory
	 * back, and go on with our rings where q->vring.base says.
	 *
	 * guest_start and guest_stop: as in struct bk_vring_ops; the latter sets g->ring.base.
	 */
	bool split_guests; /* even where it has packed rings */
	/* Optional: whether this device can be stopped, and go on from any index. */
	int (*check_guests)(const struct virtio_blk *v);
	int (*hold)(struct virtio_blk *v, const struct virtio_vring *home);
	int (*unhold)(struct virtio_blk *v);
	int (*guest_start)(struct virtio_blk *v, struct virtio_guest *g);
	int (*guest_stop)(struct virtio_blk *v, struct virtio_guest *g);
	/* All queues are there: the device may go. Fills in v->watched. */
	int (*run)(struct virtio_blk *v);
	/* One of v->watched has events. From the watching thread. A reason to give up, or NULL. */
	const char *(*event)(struct virtio_blk *v, unsigned index, short revents);
	/*
	 * The device can no longer be used: stop it from accessing memory, as far as possible
	 * without waiting. From any thread.
	 */
	void (*abandon)(struct virtio_blk *v);
	/* Whether the device has stopped touching memory, for good. Does not wait. */
	enum bk_drained (*has_let_go)(struct virtio_blk *v);
};

/* How to tell the device of new buffers: a write to fd, or to memory of the device. */
struct virtio_doorbell {
	int fd; /* -1: mmio */
	uint16_t index;
	volatile uint16_t *mmio;
};

struct virtio_blk {
	struct blkio b;
	const struct virtio_transport *transport;
	uint64_t features;		 /* negotiated */
	struct virtio_blk_config config; /* when connected: what the limits are from */
	int queue_size, max_queue_size;
	int seg_max; /* of the device; max-segments is that and what queue-size allows */
	struct queue_memory *memory; /* of all queues */
	/*
	 * Why the device can no longer be used; NULL while it can. Static text. Set once, then all
	 * queues are woken up.
	 */
	const char *failure;
	int failure_errno;
	/* Grows with each event that queues must act on: failure, and the loss of the device. */
	unsigned epoch;
	unsigned ring_epoch; /* grows with each loss of the device that all rings were lost with */
	unsigned losses;     /* of the device, with rings or without */
	bool held;	     /* the device has a guest's rings in place of ours */
	/* A queue that saw the device go has seen it finish a request since. */
	bool made_progress;
	pthread_mutex_t
	    wake_lock; /* of queues, call_fd, and of setting failure, epochs, losses, held */
	struct virtio_queue *queues[VIRTIO_QUEUES_MAX];
	uint64_t offered;	     /* features; and of those, what ... */
	uint64_t guest_features;     /* ... a guest has accepted; 0: the library's own choice */
	struct virtio_guest *guests; /* b.num_vrings; those that run with wake_lock */
	int nr_guests;		     /* that run */
	int config_fd;		     /* signalled when config or status change; -1 */
	/* The watching thread. */
	struct watcher watcher;
	pthread_cond_t watcher_did; /* what a queue asked for; with wake_lock */
	struct pollfd watched[VIRTIO_WATCHED_MAX];
	unsigned nr_watched;
};

/* The parts of a request that are not data: read and written by the device. */
struct virtio_slot {
	struct virtio_blk_outhdr hdr;
	struct vring_desc table[3]; /* header, data, status: of requests with one segment */
	/* -- second cache line -- */
	struct virtio_blk_discard_write_zeroes range;
	uint8_t status;
} __attribute__((aligned(128)));

/* What is known of a request in flight; private. */
struct virtio_inflight {
	struct bk_req *req;
	uint32_t result;    /* to complete it with: bytes */
	uint32_t most_used; /* bytes that the device may say it has written */
};

/* Where the parts of a ring are, and its number, for the transport. */
struct virtio_vring {
	unsigned index, size;
	void *desc, *driver, *device;
	uint64_t desc_iova, driver_iova, device_iova;
	int call_fd;	      /* to be signalled by the device */
	bool call_fd_changed; /* and the device was not told */
	uint32_t base;	      /* where it goes on */
	bool stopped;	      /* the transport's: the device knows the ring, but is not to use it */
	unsigned told_epoch;  /* the transport's: v->ring_epoch, when the device was told */
};

/*
 * A guest's ring; the fds are our own copies. It runs from just before the transport starts it,
 * with ring.stopped, until just after it was stopped; the watching thread may look at any time.
 */
struct virtio_guest {
	struct virtio_vring ring;
	int kick_fd, err_fd;
	bool runs;	  /* written with wake_lock, and as the last of all that begins here */
	uint32_t seen_at; /* the transport's: where the ring was when the device was lost */
};

static inline bool virtio_guest_runs(const struct virtio_guest *g)
{
	return __atomic_load_n(&g->runs, __ATOMIC_ACQUIRE);
}

struct virtio_queue {
	struct blkioq q;
	struct virtq vq;
	struct virtio_slot *slots; /* by chain id */
	uint64_t slots_iova;
	struct virtio_inflight *inflight; /* by chain id */
	uint64_t read_tail, write_tail;	  /* of the data descriptor, but for its length */
	bool direct;			  /* no indirect tables: each buffer is a descriptor */
	bool dead;	/* has seen v->failure: the ring is not looked at any more ... */
	bool lost;	/* ... and had something in flight */
	unsigned epoch; /* v->epoch, up to which this queue has acted */
	struct virtio_doorbell kick;
	struct virtio_blk *v;
	/* tables of requests with several segments: a pool */
	char *tables;
	uint64_t tables_iova;
	size_t table_size;
	uint16_t *free_tables;
	unsigned nr_free_tables;
	uint16_t *table_of; /* by chain id */
	struct virtio_vring vring;
	struct wait_window window;
	/*
	 * Signalled by the device until the application enables its completion fd for the first
	 * time; of poll queues always. Servers exist that give up on a queue without one.
	 */
	int own_call_fd;
	/* virtio_loss.c */
	unsigned ring_epoch;   /* v->ring_epoch of its ring; the watching thread reads it */
	unsigned lost_at;      /* where the ring was when the device went */
	unsigned seen_losses;  /* v->losses, up to which this queue has acted */
	bool expects_progress; /* since then */
	uint8_t *losses;       /* by chain id: how many devices went while it was in flight */
};

static inline struct virtio_queue *to_virtio_queue(struct blkioq *q)
{
	return container_of(q, struct virtio_queue, q);
}

static inline uint64_t virtio_slot_iova(const struct virtio_queue *q, uint16_t id)
{
	return q->slots_iova + (uint64_t)id * sizeof(struct virtio_slot);
}

/* Where the ring begins, for vhost; of a packed one with the wrap counters of both sides. */
static inline uint32_t virtio_vring_base(const struct virtio_queue *q)
{
	return q->vq.packed ? 0x80008000U : 0;
}

static inline void virtio_kick(const struct virtio_queue *q)
{
	static const uint64_t one = 1;

	if (q->kick.fd < 0)
		*q->kick.mmio = htole16(q->kick.index);
	/*
	 * EAGAIN: as full as can be, so the device has enough to wake up for. Not write(): in a
	 * process with threads it first makes itself cancellable, which takes longer than the rest.
	 */
	else if (syscall(SYS_write, q->kick.fd, &one, sizeof(one)) < 0)
		return;
}

/* ---- virtio_blk.c ------------------------------------------------------------------------- */

/* For the driver's own init to call. */
void virtio_blk_init(struct virtio_blk *v, const struct virtio_transport *t);
int virtio_blk_connect(struct blkio *b);
int virtio_blk_start(struct blkio *b);
int virtio_blk_run(struct blkio *b);
void virtio_blk_close(struct blkio *b);
int virtio_blk_capacity(struct blkio *b, uint64_t *bytes);
/*
 * Read the configuration again, also from the watching thread. If limits are not what they were,
 * the device is given up: they cannot change under an application that observes them.
 */
int virtio_read_config(struct virtio_blk *v, struct virtio_blk_config *c);
/* Are all limits in these the same? The capacity may differ. */
bool virtio_same_limits(const struct virtio_blk_config *a, const struct virtio_blk_config *b);
/* An eventfd for the device to signal changes of configuration or status; or bk_err(). */
int virtio_config_fd(struct virtio_blk *v);
/* What event() returns for it. */
const char *virtio_config_event(struct virtio_blk *v);
int virtio_check_queue_size(struct blkio *b, const struct bk_prop *p, const union bk_val *val);
int virtio_get_max_segments(struct blkio *b, union bk_val *val);

uint64_t virtio_features_for_guests(const struct virtio_blk *v);
int virtio_check_guest_features(struct blkio *b, const struct bk_prop *p, const union bk_val *val);
int virtio_get_guest_features(struct blkio *b, union bk_val *val);

/* ---- virtio_blk_vring.c ------------------------------------------------------------------- */

extern const struct bk_vring_ops virtio_vring_ops;

/* ---- virtio_blk_queue.c ------------------------------------------------------------------- */

int virtio_blk_queue_init(struct blkio *b, struct blkioq *q);
enum bk_drained virtio_blk_drain(struct blkio *b, struct blkioq *q, bool cancel);
void virtio_blk_queue_exit(struct blkio *b, struct blkioq *q);

/* ---- virtio_blk_submit.c ------------------------------------------------------------------ */

void virtio_blk_submit(struct blkioq *q, struct bk_req *r);

/* ---- virtio_blk_request.c ----------------------------------------------------------------- */

int virtio_blk_enter(struct blkioq *q, unsigned wait_nr, const struct bk_wait *w);
void virtio_blk_notify(struct blkioq *q, bool on);
/* Complete what the device has finished. */
void virtio_queue_reap(struct virtio_queue *q);
/* Act on what has happened since the last time: failure, or the loss of the device. */
void virtio_queue_catch_up(struct virtio_queue *q);
/* What is left in flight was never shown to the device. */
void virtio_queue_cancel(struct virtio_queue *q);

/* ---- virtio_blk_memory.c ------------------------------------------------------------------ */

/* Memory for all queues, and what the core needs; v->memory. */
int virtio_alloc_memory(struct virtio_blk *v);
void virtio_free_memory(struct virtio_blk *v);
/* v->guests. */
int virtio_alloc_guests(struct virtio_blk *v);
void virtio_free_guests(struct virtio_blk *v);
/* bk_driver.map and unmap: the transport's. */
int virtio_blk_map(struct blkio *b, struct bk_region *region, int fd, int64_t fd_offset);
void virtio_blk_unmap(struct blkio *b, const struct bk_region *region);
/* Bytes of it for each queue. */
size_t virtio_queue_memory(const struct virtio_blk *v);
/* A queue's part of it, and the private memory. q->v and q->vring.index are set. */
int virtio_queue_alloc(struct virtio_queue *q);
void virtio_queue_free(struct virtio_queue *q);
/* A new ring, in the same memory: nothing is in flight. */
void virtio_queue_renew(struct virtio_queue *q);
/* The slot's table, as a plain request finds and leaves it, but for the data. */
void virtio_write_table(struct virtio_queue *q, uint16_t id);

/* ---- virtio_loss.c ------------------------------------------------------------------------ */

/*
 * A request that many devices, one after the other, went with may be why they did: it fails. In the
 * queue's thread, after a loss of a device that will go on by its notes: count for all in flight.
 */
void virtio_count_losses(struct virtio_queue *q);
/* From now on, let virtio_made_progress() know of what the device finishes. */
void virtio_expect_progress(struct virtio_queue *q);
void virtio_note_progress(struct virtio_queue *q);
/* Whether the loss is over: the device made progress, and what was in flight then has finished. */
bool virtio_has_recovered(struct virtio_queue *q);
/* From any thread: whether there was any progress since the last call. */
bool virtio_made_progress(struct virtio_blk *v);

/* ---- virtio_status.c ---------------------------------------------------------------------- */

/* Without a status field, the first is just set_features(), and the next three do nothing. */
int virtio_set_features(struct virtio_blk *v);
int virtio_status_start(struct virtio_blk *v);
int virtio_status_run(struct virtio_blk *v);
/* Afterwards the device touches no memory. */
void virtio_status_stop(struct virtio_blk *v);
/* For transports with a status field: their abandon() and has_let_go(). */
void virtio_status_abandon(struct virtio_blk *v);
enum bk_drained virtio_status_has_let_go(struct virtio_blk *v);

/* ---- virtio_watch.c ----------------------------------------------------------------------- */

/*
 * Give up on the device, for the first reason given; msg: static text. Requests fail with EIO, or
 * with errnum. From any thread.
 */
void virtio_fail(struct virtio_blk *v, const char *msg);
void virtio_fail_as(struct virtio_blk *v, int errnum, const char *msg);
/* bk_err() when the device can no longer be used, else 0. */
int virtio_check_alive(const struct virtio_blk *v);
/*
 * The device has forgotten all rings, and what was in flight: each queue makes a new one as soon as
 * its thread enters it, submits again what was in flight, and wakes the watcher.
 */
void virtio_lose_rings(struct virtio_blk *v);
/* The device went, but will find the rings, and what is in flight, as they are when it returns. */
void virtio_lose_device(struct virtio_blk *v);
/*
 * The device is to have, or has, a guest's rings: what it was not shown of ours is submitted again,
 * and fails. Until this ends, a queue's thread may begin a new ring at any time, and sets its base.
 */
void virtio_set_held(struct virtio_blk *v, bool held);

static inline const char *virtio_failure(const struct virtio_blk *v)
{
	return __atomic_load_n(&v->failure, __ATOMIC_ACQUIRE);
}

/* Whether the queue has something to act on: virtio_queue_catch_up(), in the queue's thread. */
static inline bool virtio_is_behind(const struct virtio_queue *q)
{
	return q->epoch != __atomic_load_n(&q->v->epoch, __ATOMIC_ACQUIRE);
}

/* Start watching v->watched; watcher_stop() ends it. */
int virtio_watch_start(struct virtio_blk *v);
/* With wake_lock held: wait until *pending is false, which is returned, or the time is over. */
bool virtio_await_watcher(struct virtio_blk *v, const bool *pending, int ms);
/* In the watching thread: sleep, also when woken. Returns false when it is to end. */
bool virtio_watch_pause(struct virtio_blk *v, int ms);

/* ---- Tables of a transport ---------------------------------------------------------------- */

static inline bool virtio_has(const struct virtio_blk *v, unsigned feature)
{
	return v->features >> feature & 1;
}

#define VIRTIO_BLK_DRIVER_OPS                                                                      \
	.queue_size = sizeof(struct virtio_queue), .limits_from = BK_CREATED,                      \
	.topology_from = BK_CONNECTED, .connect = virtio_blk_connect, .start = virtio_blk_start,   \
	.run = virtio_blk_run, .close = virtio_blk_close, .capacity = virtio_blk_capacity,         \
	.queue_init = virtio_blk_queue_init, .drain = virtio_blk_drain,                            \
	.queue_exit = virtio_blk_queue_exit, .map = virtio_blk_map, .unmap = virtio_blk_unmap,     \
	.submit = virtio_blk_submit, .enter = virtio_blk_enter, .notify = virtio_blk_notify

/* The rows that all transports have. */
#define VIRTIO_BLK_PROPS                                                                            \
	{ "queue-size",                                                                             \
	  "The number of ring entries of each queue, a power of two; more requests "                \
	  "than fit wait in the library; 256 by default.",                                          \
	  BK_INT,                                                                                   \
	  BK_GET_ALWAYS,                                                                            \
	  BK_SET_CONNECTED,                                                                         \
	  offsetof(struct virtio_blk, queue_size),                                                  \
	  .check = virtio_check_queue_size },                                                       \
	    { "max-queue-size", "The largest possible value of queue-size.", BK_INT, BK_GET_ALWAYS, \
	      BK_SET_NEVER,	offsetof(struct virtio_blk, max_queue_size) },                      \
	    { "max-segments", "The largest iovcnt of a request; queue-size - 2 at most.",           \
	      BK_INT,	      BK_GET_LIMIT,                                                         \
	      BK_SET_NEVER,   .get = virtio_get_max_segments },                                     \
	    BK_POLL_MAX_NS

/* And those of transports with queue passthrough. */
#define VIRTIO_VRING_PROPS                                                                         \
	BK_NUM_VRINGS,                                                                             \
	{                                                                                          \
		"vring-features",                                                                  \
		    "The virtio feature bits that a guest has accepted, out of "                   \
		    "blkio_get_vring_features(); the library's own queues keep to them, "          \
		    "too. 0: those that the library accepts, which reading it returns.",           \
		    BK_UINT64, BK_GET_CONNECTED, BK_SET_CONNECTED,                                 \
		    offsetof(struct virtio_blk, guest_features),                                   \
		    .get = virtio_get_guest_features, .check = virtio_check_guest_features         \
	}

#endif
