/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One io_uring: set-up with probed features, submission and completion ring, enter. Shared by the
 * drivers that talk to the kernel this way; knows nothing of requests.
 *
 * A ring belongs to one thread at a time. With single_issuer it belongs for ever to the thread that
 * enters it first, which need not be the one that made it.
 */
#ifndef BK_URING_RING_H
#define BK_URING_RING_H

#include <linux/io_uring.h>

#include "driver.h"

struct uring_config {
	unsigned entries;
	bool iopoll;	    /* poll the device for completions instead of interrupts */
	bool single_issuer; /* bind to one thread; completions run when it enters */
	bool sq_poll;	    /* a kernel thread watches the submission ring */
	bool big;	    /* 128-byte SQEs and 32-byte CQEs, for passthrough commands */
};

struct uring {
	/* submission */
	struct io_uring_sqe *sqes;
	unsigned *sq_ktail, *sq_kflags;
	unsigned sq_tail;      /* ours; published to *sq_ktail by uring_enter() */
	unsigned sq_submitted; /* up to here the kernel has been told */
	unsigned sq_mask, sq_entries;
	unsigned
	    inflight; /* prepared and not yet seen, at most sq_entries: neither ring overflows */
	/* completion */
	unsigned cq_head; /* ours; published by uring_seen() */
	unsigned cq_mask;
	unsigned *cq_khead, *cq_ktail, *cq_kflags;
	struct io_uring_cqe *cqes;
	/* entering */
	int enter_fd;	      /* fd, or its index among the thread's registered rings */
	unsigned enter_flags; /* always passed */
	const char *owner;    /* thread that registered the ring fd; NULL: not registered */
	bool is_plain;	      /* enabled, no polling of either kind */
	bool disabled;	      /* single_issuer, not yet entered */
	struct uring_config config;
	unsigned setup_flags;
	int fd;
	void *ring_map;
	size_t ring_map_len, sqes_map_len;
};

/* On failure *u is to be forgotten, not exited. */
int uring_init(struct uring *u, const struct uring_config *config);

/* Waits, for some seconds at most, for what is in flight. */
void uring_exit(struct uring *u);

/* io_uring_register(2): >= 0 or a negative errno value, no message. */
int uring_register(struct uring *u, unsigned opcode, const void *arg, unsigned nr_args);

/* Make the completion fd fire, or stop. The fd is registered with the ring on first use. */
void uring_notify(struct uring *u, int eventfd, bool on);

/* bk_driver.enter: submit all, and wait for wait_nr completions to be in the ring. */
int uring_enter(struct uring *u, unsigned wait_nr, const struct bk_wait *w);

/*
 * The next free SQE, contents undefined; NULL when the ring is full. Whatever is in flight has been
 * read by the kernel or has an entry of its own, so entries are free as long as inflight allows.
 */
static inline struct io_uring_sqe *uring_get_sqe(struct uring *u)
{
	if (unlikely(u->inflight >= u->sq_entries))
		return NULL;
	u->inflight++;
	return &u->sqes[(u->sq_tail++ & u->sq_mask) << u->config.big];
}

/* How many completions can be looked at. */
static inline unsigned uring_ready(const struct uring *u)
{
	/* Acquire: entries below the tail are written before the tail is. */
	return __atomic_load_n(u->cq_ktail, __ATOMIC_ACQUIRE) - u->cq_head;
}

/* The i-th of them. */
static inline const struct io_uring_cqe *uring_cqe(const struct uring *u, unsigned i)
{
	return &u->cqes[((u->cq_head + i) & u->cq_mask) << u->config.big];
}

/* Give the first n back. */
static inline void uring_seen(struct uring *u, unsigned n)
{
	u->cq_head += n;
	u->inflight -= n;
	/* Release: we are done reading the entries before the kernel may write them. */
	__atomic_store_n(u->cq_khead, u->cq_head, __ATOMIC_RELEASE);
}

#endif
