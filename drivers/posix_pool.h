/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The threads of the posix driver, which make the system calls that may take a while. All queues of
 * an instance share them. A request in the pool has its lane in priv[0] and its result in priv[1].
 *
 * One lock is over all of it. It is held for moments: no thread makes a call under it that waits.
 */
#ifndef BK_POSIX_POOL_H
#define BK_POSIX_POOL_H

#include <linux/fs.h>

#include "file/file.h"
#include "posix_aio.h"

struct posix_pool;

/* What the requests are for. */
struct posix_device {
	int fd;
	bool is_block_device;
	bool has_position; /* nobody else uses that of fd */
	bool takes_aio;	   /* reads and writes may go to the kernel's asynchronous I/O */
};

/* A queue's place in the pool. What is below the pool is under its lock. */
struct posix_lane {
	struct posix_pool *pool;
	int wake_fd; /* eventfd: nr_finished has reached wanted, or asynchronous I/O has ended */
	struct bk_req_list finished;
	unsigned nr_finished;
	unsigned wanted;     /* 0: the queue's thread does not sleep */
	int notify_fd;	     /* to be signalled when one finishes; -1: none */
	unsigned signalling; /* threads that write to one of these descriptors */
	bool settling;	     /* somebody waits until none does */
	bool abandoned;	     /* the queue has ended without what its threads still do */
};

/* ---- System calls ------------------------------------------------------------------------- */

/* RWF_* for what a BK_READ or BK_WRITE asks for. */
static inline int posix_rw_flags(const struct bk_req *r)
{
	return (r->flags & BLKIO_REQ_FUA ? RWF_DSYNC : 0) |
	       (r->flags & BLKIO_REQ_ATOMIC ? RWF_ATOMIC : 0);
}

/* Do a BK_READ or BK_WRITE, however long it takes: what bk_complete() is to be told. */
int64_t posix_perform(int fd, const struct bk_req *r);

/* The system call alone; flags: RWF_*. Bytes or a negative errno value. */
int64_t posix_transfer(int fd, const struct bk_req *r, int flags);

/* ---- The pool ----------------------------------------------------------------------------- */

/* Start n threads. 0 or bk_err(). */
int posix_pool_start(struct posix_pool **pool, const struct posix_device *device, int n);

/*
 * End the threads; no lane has anything left in the pool but what its threads do. Does not wait for
 * a thread that the kernel keeps: that one ends later. close_fd: close the device's fd once no
 * thread uses it.
 */
void posix_pool_end(struct posix_pool *pool, bool close_fd);

/* ---- Lanes -------------------------------------------------------------------------------- */

/* 0 or bk_err(). */
int posix_lane_init(struct posix_lane *l, struct posix_pool *pool);
void posix_lane_exit(struct posix_lane *l);

/* Let the pool do the requests of the list, n. */
void posix_lane_add(struct posix_lane *l, const struct bk_req_list *list, unsigned n);

/*
 * What has finished, as a list, once that is at least `least`. If less has, NULL; the wake_fd
 * becomes readable then when it is enough.
 */
struct bk_req *posix_lane_take(struct posix_lane *l, unsigned least);

/* Those that no thread has begun, as a list: they are no longer in the pool. */
struct bk_req *posix_lane_withdraw(struct posix_lane *l);

/*
 * fd: see notify_fd. has_aio: asynchronous I/O is in flight, of which some may have ended
 * unnoticed.
 */
void posix_lane_notify(struct posix_lane *l, int fd, bool has_aio);

/* ---- Asynchronous I/O --------------------------------------------------------------------- */

/* A context for a queue; NULL: see posix_aio_new(). */
struct posix_aio *posix_pool_get_aio(struct posix_pool *pool);
/* Nothing is in flight. The next one may have it; the threads free it when the pool ends. */
void posix_pool_put_aio(struct posix_pool *pool, struct posix_aio *a);

#endif
