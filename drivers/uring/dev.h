/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What drivers on io_uring have in common: a device that is one open file, its properties, and
 * queues of one ring each. A driver's device embeds struct uring_dev as its first member, its queue
 * struct uring_queue.
 */
#ifndef BK_URING_DEV_H
#define BK_URING_DEV_H

#include <limits.h>

#include "uring/ring.h"

struct uring_dev {
	struct blkio b;
	/* properties */
	char *path;
	int fd;
	int num_entries;
	bool single_issuer, register_buffers, sq_poll;
};

/* A queue's mirror of the region table in its ring's registered buffers. */
struct uring_buffers {
	uint64_t generation;  /* of the region table when last mirrored */
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
};

/* ---- Connect ------------------------------------------------------------------------------ */

/* For messages: the path in quotes, or which property "fd" it is. */
struct uring_dev_name {
	char s[PATH_MAX + 2];
};
struct uring_dev_name uring_dev_name(const struct uring_dev *d);

/* Is exactly one of the properties path and fd set? */
int uring_dev_check(const struct uring_dev *d);

/* Is the fd open for what property read-only says? Returns its file status flags. */
int uring_dev_check_fd(const struct uring_dev *d);

/* The number that a file of sysfs holds; false when there is none. */
bool uring_sysfs_number(const char *path, uint64_t *val);

/* ---- Hooks of struct bk_driver ------------------------------------------------------------ */

void uring_dev_init(struct blkio *b);
int uring_dev_start(struct blkio *b);
void uring_dev_close(struct blkio *b);
void uring_queue_exit(struct blkio *b, struct blkioq *bq);
void uring_queue_notify(struct blkioq *bq, bool on);

/* For queue_init(). big: see struct uring_config. */
int uring_queue_init(struct blkio *b, struct blkioq *bq, bool big);

/* ---- Completion --------------------------------------------------------------------------- */

/*
 * What a driver does with a request and the result in its CQE. The fast one calls nothing; false,
 * and nothing has happened: it takes the other, which does all.
 */
typedef bool uring_complete_fast(struct blkioq *q, struct bk_req *r, int res);
typedef void uring_complete(struct blkioq *q, struct bk_req *r, int res);

/* Complete all there is in the ring. */
cold_path void uring_reap_slow(struct uring_queue *q, bool big, uring_complete *other);

/* The same, where big and the functions are known when compiling; n: uring_ready(). */
static inline __attribute__((always_inline)) void uring_reap(struct uring_queue *q, unsigned n,
							     bool big, uring_complete_fast *fast,
							     uring_complete *other)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		const struct io_uring_cqe *cqe = uring_cqe(&q->ring, i, big);
		struct bk_req *r = (struct bk_req *)(uintptr_t)cqe->user_data;

		if (unlikely(!fast(&q->q, r, cqe->res)))
			break;
	}
	uring_seen(&q->ring, i);
	if (unlikely(i < n))
		uring_reap_slow(q, big, other);
}

/*
 * bk_driver.enter, given what completes the n that are ready in the ring: a function known when
 * compiling, built on uring_reap().
 */
typedef void uring_reaper(struct uring_queue *q, unsigned n);

int uring_enter_slow(struct uring_queue *q, unsigned wait_nr, const struct bk_wait *w,
		     uring_reaper *reap);
/* After a wrong guess. */
int uring_enter_again(struct uring_queue *q, unsigned wait_nr, uring_reaper *reap);
int uring_enter_error(struct uring_queue *q, int error, uring_reaper *reap);

static inline __attribute__((always_inline)) int uring_queue_enter(struct uring_queue *q,
								   unsigned wait_nr,
								   const struct bk_wait *w,
								   uring_reaper *reap)
{
	unsigned ready;
	bool guess;
	int ret;

	if (unlikely(!uring_is_fast(&q->ring, w)))
		return uring_enter_slow(q, wait_nr, w, reap);
	guess = uring_guess(&q->ring);
	ret = uring_enter_fast(&q->ring, wait_nr, guess);
	if (unlikely(ret < 0))
		return uring_enter_error(q, -ret, reap);
	ready = uring_ready(&q->ring);
	if (guess && unlikely(!ready || ready < wait_nr))
		return uring_enter_again(q, wait_nr, reap);
	reap(q, ready);
	return 0;
}

/* ---- Properties --------------------------------------------------------------------------- */

int uring_check_num_entries(struct blkio *b, const struct bk_prop *p, const union bk_val *val);
int uring_get_may_pin(struct blkio *b, union bk_val *val);

/* Rows of a driver's table, which adds "path" with its own words. */
/* clang-format off */
#define URING_DEV_PROPS										\
	{ "fd", "An open file descriptor to use in place of path; the library's once connected.", \
	  BK_INT, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct uring_dev, fd) },		\
	{ "num-entries", "The size of each queue's submission ring, up to 32768; more requests " \
	  "than that wait in the library. 128 by default.",					\
	  BK_INT, BK_GET_ALWAYS, BK_SET_CONNECTED, offsetof(struct uring_dev, num_entries),	\
	  .check = uring_check_num_entries },							\
	{ "single-issuer", "Promise that each queue is only ever used by one thread: the one that " \
	  "first calls blkioq_do_io() on it, which should also remove it. Faster (Linux 6.1); " \
	  "no effect on older kernels.",							\
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CONNECTED, offsetof(struct uring_dev, single_issuer) }, \
	{ "register-buffers", "Register mapped memory regions with the kernel, which pins them. " \
	  "Faster for I/O past the page cache; no effect where the kernel refuses, as beyond " \
	  "RLIMIT_MEMLOCK.",									\
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CONNECTED, offsetof(struct uring_dev, register_buffers) }, \
	{ "sq-poll", "Let a kernel thread per queue watch for requests: no system calls to " \
	  "submit, at the price of a busy CPU.",						\
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CONNECTED, offsetof(struct uring_dev, sq_poll) },	\
	{ "may-pin-mem-regions", "Whether mapped pages may be pinned: with register-buffers.", \
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_NEVER, .get = uring_get_may_pin }
/* clang-format on */

/* ---- Registered buffers (buffers.c) ------------------------------------------------------- */

void uring_buffers_init(struct uring_queue *q);
void uring_buffers_exit(struct uring_queue *q);

int uring_buffers_find_slow(struct uring_queue *q, const void *addr, size_t len);

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
