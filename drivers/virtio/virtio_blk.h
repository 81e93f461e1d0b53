/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * virtio-blk over any transport. A transport is one file: it embeds struct virtio_blk as the first
 * member of its device, fills in struct virtio_transport and a struct bk_driver, most of which is
 * VIRTIO_BLK_DRIVER_OPS, and knows nothing of requests or rings.
 *
 *	virtio_blk.c         features, config space -> limits, queue memory, properties
 *	virtio_blk_queue.c   the hot functions: request <-> buffers, sleep, spin
 *	virtio_blk_memory.c  the memory of a queue, its beginning and its end
 *	virtio_status.c      the device status field: from reset to running
 *	virtio_watch.c       a thread that notices when the device goes away
 *	virtq.[ch]           the ring
 */
#ifndef BK_VIRTIO_BLK_H
#define BK_VIRTIO_BLK_H

#define VIRTIO_BLK_NO_LEGACY	/* but for these two, which are not legacy */
#define VIRTIO_BLK_F_FLUSH	9
#define VIRTIO_BLK_F_CONFIG_WCE 11

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver.h"
#include "virtio/virtq.h"

#define VIRTIO_SEGMENTS_MAX 1024 /* of a request, whatever the device says */
#define VIRTIO_QUEUES_MAX   1024
#define VIRTIO_WATCHED_MAX  4

/* The place among those watched of virtio_config_fd(); the transport's own come behind. */
#define VIRTIO_WATCH_CONFIG 0

struct virtio_blk;
struct virtio_queue;

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
	/* Tell the device of all of q->vring, which is not running; fills in q->kick. */
	int (*queue_start)(struct virtio_blk *v, struct virtio_queue *q);
	/*
	 * Queues asked for attention, by virtio_ask_watcher(): their call_fd changed, or their ring
	 * is a new one. From the watching thread. Optional: without, rings are not lost, and the
	 * completion fd is call_fd from the start and may fire before the application enables it.
	 */
	void (*attend)(struct virtio_blk *v);
	/*
	 * The queue is idle and stays so; its fds go. The device may look at the ring until it is
	 * reset, or until close().
	 */
	void (*queue_stop)(struct virtio_blk *v, struct virtio_queue *q);
	/* All queues are there: the device may go. Fills in v->watched. */
	int (*run)(struct virtio_blk *v);
	/* One of v->watched has events. From the watching thread. A reason to give up, or NULL. */
	const char *(*event)(struct virtio_blk *v, unsigned index, short revents);
	/*
	 * The device is beyond use: make it stop touching memory, as far as possible without
	 * waiting. From any thread.
	 */
	void (*abandon)(struct virtio_blk *v);
};

/* How to tell the device of new buffers: a write to fd, or to memory of the device. */
struct virtio_doorbell {
	int fd; /* -1: mmio */
	uint16_t index;
	volatile uint16_t *mmio;
};

/* Memory of the library's own that the device can read and write. */
struct virtio_mem {
	struct virtio_mem *next; /* older */
	struct bk_region region;
	int fd;
};

struct virtio_blk {
	struct blkio b;
	const struct virtio_transport *transport;
	uint64_t features; /* negotiated */
	int queue_size, max_queue_size;
	int seg_max;		/* of the device; max-segments is that and what queue-size allows */
	struct virtio_mem *mem; /* of all queues */
	/*
	 * Why the device is beyond use; NULL while it is not. Static text. Set once, then all
	 * queues are woken up.
	 */
	const char *failure;
	int failure_errno;
	/* Counts what each queue has to act on: failure, and the loss of all rings. */
	unsigned changes;
	pthread_mutex_t wake_lock; /* of queues, call_fd, and of setting failure and changes */
	struct virtio_queue *queues[VIRTIO_QUEUES_MAX];
	int config_fd; /* signalled when config or status change; -1 */
	/* The watching thread. */
	pthread_t watcher;
	bool is_watching;
	bool watch_ends;
	int watch_fd;		    /* to wake it up; -1 */
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

struct virtio_queue {
	struct blkioq q;
	struct virtq vq;
	struct virtio_slot *slots; /* by chain id */
	uint64_t slots_iova;
	struct virtio_inflight *inflight; /* by chain id */
	uint64_t read_tail, write_tail;	  /* of the data descriptor, but for its length */
	bool direct;			  /* no indirect tables: each buffer is a descriptor */
	bool dead;     /* has seen v->failure: the ring is not looked at any more */
	unsigned seen; /* v->changes, up to which this queue has acted; watching thread reads it */
	struct virtio_doorbell kick;
	struct virtio_blk *v;
	/* tables of requests with several segments: a pool */
	char *tables;
	uint64_t tables_iova;
	size_t table_size;
	uint16_t *free_tables;
	unsigned nr_free_tables;
	uint16_t *table_of; /* by chain id */
	/* where the parts of the ring are, and its number, for the transport */
	struct virtio_vring {
		unsigned index, size;
		void *desc, *driver, *device;
		uint64_t desc_iova, driver_iova, device_iova;
		int call_fd;	      /* to be signalled by the device */
		bool call_fd_changed; /* and the device was not told */
		uint32_t base;	      /* the transport's: where it goes on */
		unsigned known;	      /* the transport's: v->changes, when the device was told */
	} vring;
	/*
	 * Signalled by the device until the application enables its completion fd for the first
	 * time; of poll queues always. Servers exist that give up on a queue without one.
	 */
	int own_call_fd;
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

/*
 * Give up on the device, for the first reason given; msg: static text. Requests fail with EIO, or
 * with errnum. From any thread.
 */
void virtio_fail(struct virtio_blk *v, const char *msg);
void virtio_fail_as(struct virtio_blk *v, int errnum, const char *msg);

/*
 * The device has forgotten all rings, and what was in flight: each queue makes a new one as soon as
 * its thread enters it, submits again what was in flight, and asks for attention.
 */
void virtio_lose_rings(struct virtio_blk *v);
/* Let whoever sleeps look at the rings. */
void virtio_wake(struct virtio_blk *v);

static inline const char *virtio_failure(const struct virtio_blk *v)
{
	return __atomic_load_n(&v->failure, __ATOMIC_ACQUIRE);
}

/* Whether the queue has something to act on: virtio_queue_act(), in the queue's thread. */
static inline bool virtio_changed(const struct virtio_queue *q)
{
	return q->seen != __atomic_load_n(&q->v->changes, __ATOMIC_ACQUIRE);
}

/* bk_err() when the device is beyond use, else 0. */
int virtio_check_alive(const struct virtio_blk *v);

/* virtio_watch.c: start and stop watching v->watched. Stopping twice is fine. */
int virtio_watch_start(struct virtio_blk *v);
void virtio_watch_stop(struct virtio_blk *v);
/* Whether the watching thread is there. */
bool virtio_is_watched(const struct virtio_blk *v);
/* Wake it up, to call attend(). */
void virtio_ask_watcher(struct virtio_blk *v);
/* With wake_lock held: wait until *pending is false, which is returned, or the time is over. */
bool virtio_await_watcher(struct virtio_blk *v, const bool *pending, int ms);
/* In the watching thread: sleep. Returns false when it is to end. */
bool virtio_watch_pause(struct virtio_blk *v, int ms);

/*
 * virtio_status.c. Without a status field, the first is just set_features(), and the next three
 * do nothing.
 */
int virtio_set_features(struct virtio_blk *v);
int virtio_status_start(struct virtio_blk *v);
int virtio_status_run(struct virtio_blk *v);
/* Afterwards the device touches no memory. */
void virtio_status_stop(struct virtio_blk *v);
/* For transports with a status field: their abandon(). */
void virtio_status_abandon(struct virtio_blk *v);
/* An eventfd for the device to signal changes, which is watched; or bk_err(). */
int virtio_config_fd(struct virtio_blk *v);
/* What event() has to say about it. */
const char *virtio_config_event(struct virtio_blk *v);

/* virtio_blk_memory.c */
size_t virtio_queue_memory(const struct virtio_blk *v);
int virtio_blk_queue_init(struct blkio *b, struct blkioq *q);
void virtio_blk_queue_exit(struct blkio *b, struct blkioq *q);
/* A new ring, in the same memory: nothing is in flight. */
void virtio_queue_renew(struct virtio_queue *q);
/* The slot's table, as a plain request finds and leaves it, but for the data. */
void virtio_write_table(struct virtio_queue *q, uint16_t id);

/* virtio_blk_queue.c */
void virtio_blk_submit(struct blkioq *q, struct bk_req *r);
int virtio_blk_enter(struct blkioq *q, unsigned wait_nr, const struct bk_wait *w);
void virtio_blk_notify(struct blkioq *q, bool on);
void virtio_queue_act(struct virtio_queue *q);

/* virtio_blk.c: init is for the driver's own init to call */
void virtio_blk_init(struct virtio_blk *v, const struct virtio_transport *t);
/* Open what the properties say: exactly one of path and fd. open_fd() checks and returns fd. */
int virtio_open(const char *path, int fd, int (*open_path)(const char *path),
		int (*open_fd)(int fd));
int virtio_blk_connect(struct blkio *b);
int virtio_blk_start(struct blkio *b);
int virtio_blk_run(struct blkio *b);
void virtio_blk_close(struct blkio *b);
int virtio_blk_capacity(struct blkio *b, uint64_t *bytes);
int virtio_check_queue_size(struct blkio *b, const struct bk_prop *p, const union bk_val *val);
int virtio_get_max_segments(struct blkio *b, union bk_val *val);

static inline bool virtio_has(const struct virtio_blk *v, unsigned feature)
{
	return v->features >> feature & 1;
}

#define VIRTIO_BLK_DRIVER_OPS                                                                      \
	.queue_size = sizeof(struct virtio_queue), .limits_from = BK_CREATED,                      \
	.topology_from = BK_CONNECTED, .connect = virtio_blk_connect, .start = virtio_blk_start,   \
	.run = virtio_blk_run, .close = virtio_blk_close, .capacity = virtio_blk_capacity,         \
	.queue_init = virtio_blk_queue_init, .queue_exit = virtio_blk_queue_exit,                  \
	.submit = virtio_blk_submit, .enter = virtio_blk_enter, .notify = virtio_blk_notify

/* The rows that all transports have. */
#define VIRTIO_BLK_PROPS                                                                           \
	{ "queue-size",                                                                            \
	  "The number of ring entries of each queue, a power of two; more requests "               \
	  "than fit wait in the library. 256 by default.",                                         \
	  BK_INT,                                                                                  \
	  BK_GET_ALWAYS,                                                                           \
	  BK_SET_CONNECTED,                                                                        \
	  offsetof(struct virtio_blk, queue_size),                                                 \
	  .check = virtio_check_queue_size },                                                      \
	    { "max-queue-size", "The largest queue-size.",                                         \
	      BK_INT,		BK_GET_ALWAYS,                                                     \
	      BK_SET_NEVER,	offsetof(struct virtio_blk, max_queue_size) },                     \
	{                                                                                          \
		"max-segments", "The largest iovcnt of a request; queue-size - 2 at most.",        \
		    BK_INT, BK_GET_LIMIT, BK_SET_NEVER, .get = virtio_get_max_segments             \
	}

#endif
