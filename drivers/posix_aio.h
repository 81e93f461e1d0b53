/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The kernel's asynchronous I/O, io_submit(2): for O_DIRECT it takes no thread. The system calls
 * alone, so that no library is needed. Default sandboxes of containers permit them.
 *
 * A request is never waited for while it is submitted (RWF_NOWAIT): what would have to be, such as
 * an allocating write or one that finds the device's queue full, comes back as not done.
 */
#ifndef BK_POSIX_AIO_H
#define BK_POSIX_AIO_H

#include <linux/aio_abi.h>

#include "driver.h"

#define POSIX_AIO_MAX	 128 /* requests in flight of a context */
#define POSIX_AIO_EVENTS 32  /* that are taken at a time */

struct posix_aio {
	struct posix_aio *next; /* of the pool's unused ones */
	aio_context_t context;
	unsigned inflight;
};

/* NULL: it is not permitted here, or all that the system permits is in use. */
struct posix_aio *posix_aio_new(void);
/* Nothing is in flight. Sleeps for tens of milliseconds. */
void posix_aio_free(struct posix_aio *a);

/*
 * Submit reads and writes, in order, until one is not taken; those that remain on the list are not
 * submitted. As each one ends, wake_fd is signalled, an eventfd. 0, or -errno of the first that
 * remains: -EAGAIN if there is just no room.
 */
int posix_aio_submit(struct posix_aio *a, int fd, int wake_fd, struct bk_req_list *list);

/*
 * Take up to POSIX_AIO_EVENTS of what has ended; sleep until it is at least so many. Their number,
 * or -errno: -EINTR. From any thread.
 */
int posix_aio_take(struct posix_aio *a, unsigned least, struct io_event *events);

/* What an event is about, and whether the request has to be done in another way. */
static inline struct bk_req *posix_aio_req(const struct io_event *e)
{
	return (struct bk_req *)(uintptr_t)e->data;
}
bool posix_aio_not_done(const struct io_event *e);

#endif
