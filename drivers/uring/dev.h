/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What drivers on io_uring have in common: a device that is one open file, its properties, and
 * queues of one ring each. A driver's device embeds struct uring_dev as its first member, its queue
 * struct uring_queue.
 */
#ifndef BK_URING_DEV_H
#define BK_URING_DEV_H

#include "common/path_fd.h"
#include "uring/ring.h"

struct uring_dev {
	struct blkio b;
	/* properties */
	char *path;
	int fd;
	int num_entries;
	bool single_issuer, register_buffers, sq_poll;
	/* For requests in place of fd: another open file description of the same file; -1: none. */
	int own_fd;
};

/* A queue's mirror of the region table in its ring's registered buffers. */
struct uring_buffers {
	uint64_t generation;  /* of the region table when last mirrored */
	bool behind;	      /* the table has changed since: uring_buffers_update() */
	unsigned n;	      /* slots of the ring; 0: the kernel refused them */
	uint64_t *id;	      /* of the region in each slot; 0: none */
	struct bk_region hit; /* the last that was found; len 0: none */
};

struct uring_queue {
	struct blkioq q;
	struct uring ring;
	int fd;		   /* the device: descriptor, or index of the registered file */
	uint8_t sqe_flags; /* IOSQE_FIXED_FILE, or 0 */
	bool use_buffers;
	struct uring_buffers buffers;
	uint64_t result; /* of big completions, besides res, for complete() */
};

/* ---- Hooks of struct bk_driver ------------------------------------------------------------ */

void uring_dev_init(struct blkio *b);
int uring_dev_start(struct blkio *b);
void uring_dev_close(struct blkio *b);
void uring_queue_exit(struct blkio *b, struct blkioq *bq);
void uring_queue_notify(struct blkioq *bq, bool on);

/* For queue_init(). big: see struct uring_config. */
int uring_queue_init(struct blkio *b, struct blkioq *bq, bool big);

/* ---- Completion --------------------------------------------------------------------------- */

/* What a driver does with its requests: a constant that hot functions know when compiling. */
struct uring_ops {
	bool big; /* see struct uring_config */
	/*
	 * Complete r, given the result in its CQE. The fast one calls nothing; when it returns
	 * false, nothing has happened, and complete() follows, which handles everything.
	 */
	bool (*complete_fast)(struct blkioq *q, struct bk_req *r, int res);
	void (*complete)(struct blkioq *q, struct bk_req *r, int res);
};

/* Complete all that is in the ring. */
cold_path void uring_reap_slow(struct uring_queue *q, const struct uring_ops *ops);

/* The same, where ops is known when compiling; n: uring_ready(). */
static force_inline void uring_reap(struct uring_queue *q, unsigned n, const struct uring_ops *ops)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		const struct io_uring_cqe *cqe = uring_cqe(&q->ring, i, ops->big);
		struct bk_req *r = (struct bk_req *)(uintptr_t)cqe->user_data;

		if (unlikely(!ops->complete_fast(&q->q, r, cqe->res)))
			break;
	}
	uring_seen(&q->ring, i);
	if (unlikely(i < n))
		uring_reap_slow(q, ops);
}

/* Submit, and wait until wait_nr completions are in the ring. */
int uring_enter_slow(struct uring_queue *q, unsigned wait_nr, const struct bk_wait *w);

/* For uring_queue_enter(). Out of line, but each driver has one made for its ops. */
static __attribute__((noinline, unused)) int uring_queue_enter_slow(struct uring_queue *q,
								    unsigned wait_nr,
								    const struct bk_wait *w,
								    const struct uring_ops *ops)
{
	int ret = uring_enter_slow(q, wait_nr, w);

	uring_reap(q, uring_ready(&q->ring), ops);
	return ret;
}

/* bk_driver.enter, where ops is known when compiling. */
static force_inline int uring_queue_enter(struct uring_queue *q, unsigned wait_nr,
					  const struct bk_wait *w, const struct uring_ops *ops)
{
	unsigned n;
	bool guess;

	if (unlikely(!uring_is_fast(&q->ring, w)))
		return uring_queue_enter_slow(q, wait_nr, w, ops);
	guess = uring_guess(&q->ring);
	if (unlikely(uring_enter_fast(&q->ring, wait_nr, guess) < 0))
		return uring_queue_enter_slow(q, wait_nr, NULL, ops);
	n = uring_ready(&q->ring);
	if (guess && unlikely(!n || n < wait_nr)) {
		uring_guessed_wrong(&q->ring);
		return uring_queue_enter_slow(q, wait_nr, NULL, ops);
	}
	uring_reap(q, n, ops);
	return 0;
}

/* bk_driver.drain */
enum bk_drained uring_queue_drain(struct uring_queue *q, bool cancel, const struct uring_ops *ops);

/* ---- Properties --------------------------------------------------------------------------- */

int uring_get_may_pin(struct blkio *b, union bk_val *val);

/* Rows of a driver's table, which adds "path" with its own words. */
/* clang-format off */
#define URING_DEV_PROPS										\
	PATH_FD_PROP(offsetof(struct uring_dev, fd)),						\
	{ "num-entries", "The size of each queue's submission ring, up to 32768; more requests " \
	  "than that wait in the library; 128 by default.",					\
	  BK_INT, BK_GET_ALWAYS, BK_SET_CONNECTED, offsetof(struct uring_dev, num_entries),	\
	  .min = 1, .max = INT_MAX },							\
	{ "single-issuer", "Promise that only one thread ever uses each queue: the one that "	\
	  "first calls blkioq_do_io() on it, which should also remove it. Faster on Linux 6.1 "	\
	  "and later; no effect on older kernels.",						\
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CONNECTED, offsetof(struct uring_dev, single_issuer) }, \
	{ "register-buffers", "Register mapped memory regions with the kernel, which pins them " \
	  "at the queue's next blkioq_do_io(). Faster for I/O that bypasses the page cache; no " \
	  "effect if the kernel refuses, for example because of RLIMIT_MEMLOCK.",		\
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CONNECTED, offsetof(struct uring_dev, register_buffers) }, \
	{ "sq-poll", "Let a kernel thread per queue poll for requests: submitting needs no "	\
	  "system calls, but keeps a CPU busy.",						\
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CONNECTED, offsetof(struct uring_dev, sq_poll) },	\
	{ "may-pin-mem-regions", "Whether mapped pages may be pinned; true with register-buffers.", \
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_NEVER, .get = uring_get_may_pin }
/* clang-format on */

/* ---- Registered buffers (buffers.c) ------------------------------------------------------- */

void uring_buffers_init(struct uring_queue *q);
void uring_buffers_exit(struct uring_queue *q);

int uring_buffers_find_slow(struct uring_queue *q, const void *addr, size_t len);

/* Mirror the region table: pins the memory of regions that are new. */
void uring_buffers_update(struct uring_queue *q);

/* Does the buffer that was found last, buffers.hit, hold [addr, addr + len)? */
static inline bool uring_buffers_hit(const struct uring_queue *q, const void *addr, size_t len)
{
	return q->buffers.generation == bk_region_generation(q->q.b) &&
	       bk_region_holds(&q->buffers.hit, (uintptr_t)addr, len);
}

/* The registered buffer that holds [addr, addr + len), or -1. */
static inline int uring_buffers_find(struct uring_queue *q, const void *addr, size_t len)
{
	return uring_buffers_hit(q, addr, len) ? (int)q->buffers.hit.slot
					       : uring_buffers_find_slow(q, addr, len);
}

#endif
