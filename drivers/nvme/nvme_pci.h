/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An NVMe controller whose registers and queues this process has in its own memory.
 *
 *	nvme_vfio_pci.c    the driver: properties, connect, start, close; registers through VFIO
 *	nvme_pci_watch.c   a thread that notices failure and events, and relays interrupts
 *	nvme_pci_event.c   what the controller reports without being asked
 *	nvme_pci_limits.c  what controller and namespace can do
 *	nvme_pci_queue.c   how an I/O queue begins, drains and ends; memory of all queues
 *	nvme_pci_request.c the hot functions: request <-> command, sleep, spin
 *	nvme_pci_admin.c   the controller's life, admin commands
 *	nvme_pci_fail.c    failure: waking all queues up
 *	nvme_prp.[ch]      data pointers
 *	nvme_regs.h        registers
 *
 * Each file calls only files below it in this list. What the controller writes (completions,
 * identify data, registers) is checked; what it can write to later (submission queues, lists) is
 * never read.
 */
#ifndef BK_NVME_PCI_H
#define BK_NVME_PCI_H

#include "common/queue_memory.h"
#include "common/wait.h"
#include "common/watcher.h"
#include "nvme/nvme_ident.h"
#include "nvme/nvme_prp.h"
#include "nvme/nvme_regs.h"

#define NVME_PCI_QUEUES_MAX	1024
#define NVME_PCI_QUEUE_SIZE_MAX 4096

/* What the thread watches: the carrier's events, vector 0, a vector that several queues share. */
enum {
	NVME_PCI_EVENTS = 2,
	NVME_PCI_ADMIN = NVME_PCI_EVENTS,
	NVME_PCI_SHARED,
	NVME_PCI_WATCHED,
};

/* Senders of admin commands, each one at a time. */
enum nvme_pci_asker {
	NVME_PCI_CALL,	  /* a control call */
	NVME_PCI_WATCHER, /* the watching thread */
	NVME_PCI_EVENT, /* nobody waits: the controller answers when there is something to report */
	NVME_PCI_ASKERS,
};

struct nvme_pci_command {
	uint16_t cid;
	bool pending;
	uint16_t status; /* once it is not */
	uint32_t result;
};

/* A completion queue entry (Base, 3.3.3.2), in four dwords. */
struct nvme_cqe {
	uint64_t result; /* most commands have 32 bits */
	uint32_t sq;	 /* head, identifier << 16 */
	uint32_t status; /* command identifier, phase << 16, status << 17 */
};
_Static_assert(sizeof(struct nvme_cqe) == 16, "as the specification says");

/* A submission queue and its completion queue, both of size entries. */
struct nvme_ring {
	struct nvme_cmd *sq;
	const struct nvme_cqe *cq;
	struct nvme_doorbell sq_doorbell, cq_doorbell;
	uint32_t size;
	uint32_t tail, told_tail; /* of the submission queue */
	uint32_t head, told_head; /* of the completion queue; told with shadow doorbells */
	uint32_t phase;		  /* of the entries there that are new */
	uint32_t sqid;		  /* << 16, as in completions */
};

/* Where a ring is, for the controller, which also knows it by its id. */
struct nvme_ring_place {
	void *sq, *cq;
	uint64_t sq_iova, cq_iova;
};

struct nvme_pci_queue;

struct nvme_pci_dev {
	struct blkio b;
	struct nvme_ns ns;
	volatile void *regs;
	uint64_t regs_len;
	uint64_t cap; /* the register CAP, checked */
	/* The admin queue. Nobody waits with the lock held. */
	pthread_mutex_t admin_lock;
	struct nvme_ring admin;
	uint16_t admin_cid;
	struct nvme_pci_command commands[NVME_PCI_ASKERS];
	bool asked_for_events;
	void *admin_data; /* NVME_PAGE bytes for each asker */
	uint64_t admin_data_iova;
	struct queue_memory *admin_memory;
	/* Shadow doorbells, two pages: values, then events. For I/O queues only. */
	char *shadows;
	uint64_t shadows_iova;
	bool shadow_doorbells;		/* the property */
	bool use_shadows;		/* the controller knows where they are */
	int queue_size, max_queue_size; /* properties */
	struct queue_memory *memory;	/* of all I/O queues, and what the core needs */
	/* Namespaces with metadata: what all commands write, and read to. IOVAs. */
	uint64_t metadata_zeroes, metadata_sink;
	/*
	 * Why the controller can no longer be used; NULL while it can. Static text. Set once, then
	 * all queues are woken up.
	 */
	const char *failure;
	pthread_mutex_t wake_lock; /* of queues, their call_fd, and of setting failure */
	struct nvme_pci_queue *queues[NVME_PCI_QUEUES_MAX];
	struct watcher watcher;
	struct pollfd watched[NVME_PCI_WATCHED];
	/* After the carrier's, the controller cannot be used: why. */
	const char *event_texts[NVME_PCI_EVENTS];
	unsigned nr_vectors; /* of interrupts; queue_init() needs it */
	/* Let interrupt vector signal fd; -1: none. 0 or bk_err(). */
	int (*set_vector)(struct nvme_pci_dev *d, unsigned vector, int fd);
	/* As in struct bk_driver. */
	queue_memory_map *map;
	queue_memory_unmap *unmap;
};

struct nvme_pci_queue {
	struct blkioq q;
	struct nvme_ring ring;
	struct bk_req **inflight; /* by command identifier; NULL: free */
	uint16_t *free_cids;
	uint32_t nr_free;	 /* of ring.size - 1 */
	bool dead;		 /* has seen d->failure: the ring is not looked at any more ... */
	bool lost;		 /* ... and had something in flight */
	struct nvme_list *lists; /* a page for each command identifier */
	uint64_t lists_iova;
	struct nvme_cmd templates[2]; /* of plain reads and writes, by op */
	struct nvme_pci_dev *d;
	unsigned id; /* from 1 on */
	int vector;  /* -1: is polled */
	/* Signalled by the controller: own_call_fd until the application enables its own. */
	int call_fd, own_call_fd;
	struct wait_window window;
};

static inline struct nvme_pci_dev *to_nvme_pci_dev(struct blkio *b)
{
	return container_of(b, struct nvme_pci_dev, b);
}

static inline struct nvme_pci_queue *to_nvme_pci_queue(struct blkioq *q)
{
	return container_of(q, struct nvme_pci_queue, q);
}

/*
 * Vector 0 is the admin queue's. Each of the others is that of one queue, but the last: that is of
 * all further queues, too, and the watching thread passes its signals on. A lone vector is for all.
 */
static inline unsigned nvme_pci_vector(const struct nvme_pci_dev *d, unsigned id)
{
	return min_u64(id, d->nr_vectors - 1);
}

static inline bool nvme_pci_shares(const struct nvme_pci_dev *d, unsigned vector)
{
	return vector == d->nr_vectors - 1 && (!vector || (unsigned)d->b.num_queues > vector);
}

/* Let completions signal fd; -1: none. What is shared stays: the watching thread passes it on. */
static inline int nvme_pci_connect_interrupt(const struct nvme_pci_queue *q, int fd)
{
	if (q->vector < 0 || nvme_pci_shares(q->d, q->vector))
		return 0;
	return q->d->set_vector(q->d, q->vector, fd);
}

/* ---- Rings -------------------------------------------------------------------------------- */

static inline struct nvme_doorbell nvme_pci_doorbell(const struct nvme_pci_dev *d, unsigned id,
						     bool completion)
{
	uint64_t at = nvme_doorbell_offset(NVME_STRIDE(d->cap), id, completion);
	struct nvme_doorbell bell = { .reg = (volatile void *)((volatile char *)d->regs + at) };

	if (id && d->use_shadows) {
		bell.shadow = (void *)(d->shadows + at - NVME_REG_DOORBELLS);
		bell.event = bell.shadow + NVME_PAGE / sizeof(*bell.event);
	}
	return bell;
}

/* The memory is zeroed. */
static inline void nvme_ring_init(struct nvme_ring *r, const struct nvme_pci_dev *d, unsigned id,
				  unsigned size, const struct nvme_ring_place *p)
{
	*r = (struct nvme_ring){
		.sq = p->sq,
		.cq = p->cq,
		.sq_doorbell = nvme_pci_doorbell(d, id, false),
		.cq_doorbell = nvme_pci_doorbell(d, id, true),
		.size = size,
		.phase = 1,
		.sqid = id << 16,
	};
}

/* The entry at the tail becomes the controller's with nvme_ring_show(). */
static inline struct nvme_cmd *nvme_ring_entry(const struct nvme_ring *r)
{
	return &r->sq[r->tail];
}

static inline void nvme_ring_push(struct nvme_ring *r)
{
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the entry at the tail is to become little-endian here"
#endif
	r->tail = r->tail + 1 == r->size ? 0 : r->tail + 1;
}

/* Tell the controller of what was pushed: one doorbell for all of it. */
static force_inline void nvme_ring_show(struct nvme_ring *r, const bool shadow)
{
	if (r->tail == r->told_tail)
		return;
	if (shadow)
		nvme_doorbell_write_shadow(&r->sq_doorbell, r->tail, r->told_tail);
	else
		nvme_doorbell_write(&r->sq_doorbell, r->tail);
	r->told_tail = r->tail;
}

/* Whether the next n completions are there; n: at least 1, below size. */
static inline bool nvme_ring_has(const struct nvme_ring *r, unsigned n)
{
	uint32_t at = r->head + n - 1, phase = r->phase;

	if (at >= r->size) {
		at -= r->size;
		phase ^= 1;
	}
	return (__atomic_load_n(&r->cq[at].status, __ATOMIC_ACQUIRE) >> 16 & 1) == phase;
}

/* Each field is read once: the controller may change it at any time. */
struct nvme_completion {
	uint64_t result;
	uint16_t cid, status;
	bool valid; /* of this queue */
};

static inline bool nvme_ring_get(struct nvme_ring *r, struct nvme_completion *c)
{
	const struct nvme_cqe *e = &r->cq[r->head];
	/* Acquire: the rest of the entry, and data, are no older. */
	uint32_t status = __atomic_load_n(&e->status, __ATOMIC_ACQUIRE), sq;

	if ((status >> 16 & 1) != r->phase)
		return false;
	sq = __atomic_load_n(&e->sq, __ATOMIC_RELAXED);
	c->result = __atomic_load_n(&e->result, __ATOMIC_RELAXED);
	c->cid = (uint16_t)status;
	c->status = status >> 17;
	c->valid = sq - r->sqid < r->size;
	if (++r->head == r->size) {
		r->head = 0;
		r->phase ^= 1;
	}
	return true;
}

/* Give the entries of completions back. */
static force_inline void nvme_ring_release(struct nvme_ring *r, const bool shadow)
{
	if (!shadow) {
		nvme_doorbell_write(&r->cq_doorbell, r->head);
		return;
	}
	nvme_doorbell_write_shadow(&r->cq_doorbell, r->head, r->told_head);
	r->told_head = r->head;
}

/* ---- nvme_pci_watch.c --------------------------------------------------------------------- */

/* Watch the carrier's events, the interrupts that are not a queue's own, and the status. */
int nvme_pci_watch_start(struct nvme_pci_dev *d);
void nvme_pci_watch_stop(struct nvme_pci_dev *d);

/* ---- nvme_pci_event.c --------------------------------------------------------------------- */

/* Ask for events: from now on there may be some. 0, also if there will be none, or bk_err(). */
int nvme_pci_ask_for_events(struct nvme_pci_dev *d);
/* Do what has been reported. By the watching thread. */
void nvme_pci_handle_events(struct nvme_pci_dev *d);

/* ---- nvme_pci_limits.c -------------------------------------------------------------------- */

/* For the driver's own init to call. */
void nvme_pci_init(struct nvme_pci_dev *d);
/*
 * Of an enabled controller: ns, lim and max_queue_size, but for what the IOMMU decides. nsid: 0 for
 * the first active namespace; name: of the controller, for messages.
 */
int nvme_pci_find_limits(struct nvme_pci_dev *d, uint32_t nsid, const char *name);
int nvme_pci_capacity(struct blkio *b, uint64_t *bytes);
/* The same; if there is no such namespace any more, the instance cannot be used any more. */
int nvme_pci_check_namespace(struct nvme_pci_dev *d, enum nvme_pci_asker asker, uint64_t *bytes);
/* The active namespaces of an enabled controller. */
int nvme_pci_list(struct nvme_pci_dev *d, struct bk_exports *x);
int nvme_pci_get_model(struct blkio *b, union bk_val *val);
int nvme_pci_get_serial(struct blkio *b, union bk_val *val);
int nvme_pci_get_firmware(struct blkio *b, union bk_val *val);
int nvme_pci_get_formats(struct blkio *b, union bk_val *val);
int nvme_pci_get_power_state(struct blkio *b, union bk_val *val);
int nvme_pci_get_protection(struct blkio *b, union bk_val *val);
int nvme_pci_check_queue_size(struct blkio *b, const struct bk_prop *p, const union bk_val *val);

/* ---- nvme_pci_queue.c --------------------------------------------------------------------- */

/* Memory for all queues; d->memory. */
int nvme_pci_alloc_memory(struct nvme_pci_dev *d);
void nvme_pci_free_memory(struct nvme_pci_dev *d);
int nvme_pci_queue_init(struct blkio *b, struct blkioq *q);
enum bk_drained nvme_pci_drain(struct blkio *b, struct blkioq *q, bool cancel);
void nvme_pci_queue_exit(struct blkio *b, struct blkioq *q);

/* ---- nvme_pci_request.c ------------------------------------------------------------------- */

void nvme_pci_submit(struct blkioq *q, struct bk_req *r);
void nvme_pci_submit_protected(struct blkioq *q, struct bk_req *r);
int nvme_pci_enter(struct blkioq *q, unsigned wait_nr, const struct bk_wait *w);
int nvme_pci_enter_shadow(struct blkioq *q, unsigned wait_nr, const struct bk_wait *w);
void nvme_pci_notify(struct blkioq *q, bool on);
/* Complete what the controller has finished, or everything once it has failed. */
void nvme_pci_reap(struct nvme_pci_queue *q);
/* What was never shown to the controller; the rest of the queue is idle. */
void nvme_pci_cancel_unshown(struct nvme_pci_queue *q);

static inline unsigned nvme_pci_in_flight(const struct nvme_pci_queue *q)
{
	return q->ring.size - 1 - q->nr_free;
}

/* ---- nvme_pci_admin.c --------------------------------------------------------------------- */

/* All that return int: 0 or bk_err(), unless said otherwise. Wait at most as bk_deadline() says. */

/* d->regs and regs_len are set: check what the registers say, set cap. */
int nvme_pci_check_registers(struct nvme_pci_dev *d);
/* From any state to one in which admin commands work. Needs map() and lim's memory fields. */
int nvme_pci_enable(struct nvme_pci_dev *d);
/* The controller touches no memory any more. */
int nvme_pci_disable(struct nvme_pci_dev *d);
/* Announce that power may go: the controller writes out its cache. */
void nvme_pci_shut_down(struct nvme_pci_dev *d);
void nvme_pci_free_admin(struct nvme_pci_dev *d);

/* For nvme_ident.h. */
struct nvme_pci_admin {
	struct nvme_admin a;
	struct nvme_pci_dev *d;
	enum nvme_pci_asker asker;
};
struct nvme_pci_admin nvme_pci_admin(struct nvme_pci_dev *d, enum nvme_pci_asker asker);

/*
 * Show a command to the controller, and take in what came. For NVME_PCI_EVENT only: the others wait
 * for the answer.
 */
void nvme_pci_send(struct nvme_pci_dev *d, enum nvme_pci_asker asker, const struct nvme_cmd *cmd);
/* Whether it has come: then *c is what it says. */
bool nvme_pci_answered(struct nvme_pci_dev *d, enum nvme_pci_asker asker,
		       struct nvme_pci_command *c);
/* Set a feature, by a control call; 0, an NVMe status, or bk_err(). */
int nvme_pci_set_feature(struct nvme_pci_dev *d, enum nvme_features_id fid, uint32_t value,
			 uint32_t *result);
int nvme_pci_get_feature(struct nvme_pci_dev *d, enum nvme_features_id fid, uint32_t *value);

/* How many I/O queues the controller gives, at most max. */
int nvme_pci_count_queues(struct nvme_pci_dev *d, unsigned max, unsigned *n);
/* Before the first I/O queue is created: if the property says so. */
int nvme_pci_set_up_shadows(struct nvme_pci_dev *d);
/* vector: -1 for polling. */
int nvme_pci_create_queue(struct nvme_pci_dev *d, unsigned id, unsigned size,
			  const struct nvme_ring_place *p, int vector);
void nvme_pci_delete_queue(struct nvme_pci_dev *d, unsigned id);

/* ---- nvme_pci_fail.c ---------------------------------------------------------------------- */

/*
 * Give up on the controller, for the first reason given; msg: static text. It is told to stop; all
 * requests fail with EIO. From any thread.
 */
void nvme_pci_fail(struct nvme_pci_dev *d, const char *msg);
int nvme_pci_check_alive(const struct nvme_pci_dev *d);
/* Why the controller cannot be used, by its status register, or NULL. */
const char *nvme_pci_problem(const struct nvme_pci_dev *d);
/* Whether a controller that was given up has stopped accessing memory. */
enum bk_drained nvme_pci_has_let_go(const struct nvme_pci_dev *d);

static inline const char *nvme_pci_failure(const struct nvme_pci_dev *d)
{
	return __atomic_load_n(&d->failure, __ATOMIC_ACQUIRE);
}

#endif
