/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests that io_uring cannot do: discards on block devices before Linux 6.12, and later where
 * pages of the page cache are busy; and the block status of files. ioctl(BLKDISCARD) and
 * lseek(SEEK_DATA) can, but take as long as the device does. (fallocate() refuses
 * FALLOC_FL_NO_HIDE_STALE.) So a thread calls them, one request after the other, and the ring
 * learns of the end as of any other request: it reads the pipe that the thread writes to.
 *
 * An eventfd would not do. The kernel puts off signalling the ring's completion fd from within the
 * write to another eventfd, and Linux 6.18 forgets it the second time.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/watcher.h"
#include "io_uring_dev.h"

/* What both sides see is ordered by go and done; atomics say so to thread sanitizers. */
struct iou_thread {
	int device;   /* a descriptor of its own: the other may be closed before it is done */
	int seek;     /* one with a position of its own, for block status; -1: not open so far */
	bool is_ours; /* the device's position, too */
	int go;	      /* an eventfd that the queue signals */
	int done[2];  /* a pipe that the thread writes to */
	/* The request is for the thread from go on, the result for the queue from done on. */
	struct bk_req *job;
	int result;
	bool busy;
	bool ends, orphan;	    /* orphan: the thread frees all of this */
	struct bk_req *current;	    /* the thread's; NULL: it waits for go */
	struct bk_req_list waiting; /* behind it */
	pthread_t id;
};

/* ---- Beginning and end -------------------------------------------------------------------- */

static void destroy(struct iou_thread *d)
{
	const int fds[] = { d->device, d->seek, d->go, d->done[0], d->done[1] };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	free(d);
}

static int discard(const struct iou_thread *d, const struct bk_req *r)
{
	uint64_t range[2] = { r->start, r->len };

	return ioctl(d->device, BLKDISCARD, range) < 0 ? -errno : 0;
}

static int block_status(struct iou_thread *d, struct bk_req *r)
{
	if (!d->is_ours && d->seek < 0)
		d->seek = file_open_again(d->device, O_RDONLY);
	return file_block_status(r, d->is_ours ? d->device : d->seek);
}

/* There is room: nothing else is in the pipe. */
static void tell(const struct iou_thread *d)
{
	while (write(d->done[1], "", 1) < 0 && errno == EINTR)
		;
}

static void *run(void *arg)
{
	struct iou_thread *d = arg;
	eventfd_t count;

	while (eventfd_read(d->go, &count) == 0 && !__atomic_load_n(&d->ends, __ATOMIC_RELAXED)) {
		struct bk_req *r = __atomic_load_n(&d->job, __ATOMIC_ACQUIRE);

		d->result = r->op == BK_DISCARD ? discard(d, r) : block_status(d, r);
		__atomic_store_n(&d->busy, false, __ATOMIC_RELEASE);
		tell(d);
	}
	if (__atomic_load_n(&d->orphan, __ATOMIC_RELAXED))
		destroy(d);
	return NULL;
}

bool iou_thread_begin(struct iou_queue *q)
{
	const struct uring_dev *dev = &to_iou_dev(q->u.q.b)->u;
	struct iou_thread *d;

	if (q->thread)
		return true;
	d = calloc(1, sizeof(*d));
	if (!d)
		return false;
	d->device = fcntl(dev->fd, F_DUPFD_CLOEXEC, 0);
	d->seek = -1;
	d->is_ours = dev->path;
	d->go = eventfd(0, EFD_CLOEXEC);
	d->done[0] = d->done[1] = -1;
	bk_list_init(&d->waiting);
	if (d->device < 0 || d->go < 0 || pipe2(d->done, O_CLOEXEC) < 0 ||
	    bk_thread_create(&d->id, run, d)) {
		destroy(d);
		return false;
	}
	q->thread = d;
	return true;
}

bool iou_thread_busy(const struct iou_queue *q)
{
	const struct iou_thread *d = q->thread;

	return d && __atomic_load_n(&d->busy, __ATOMIC_ACQUIRE);
}

void iou_thread_end(struct iou_queue *q)
{
	struct iou_thread *d = q->thread;
	pthread_t thread;
	bool orphan;

	if (!d)
		return;
	/* A thread that the device still keeps ends later. */
	orphan = iou_thread_busy(q);
	q->thread = NULL;
	thread = d->id;
	__atomic_store_n(&d->orphan, orphan, __ATOMIC_RELAXED);
	__atomic_store_n(&d->ends, true, __ATOMIC_RELAXED);
	eventfd_write(d->go, 1);
	if (orphan) {
		pthread_detach(thread);
	} else {
		pthread_join(thread, NULL);
		destroy(d);
	}
}

/* ---- Requests ----------------------------------------------------------------------------- */

void iou_thread_submit(struct iou_queue *q, struct bk_req *r)
{
	struct iou_thread *d = q->thread;
	struct io_uring_sqe *sqe;

	if (d->current && d->current != r) {
		bk_list_push(&d->waiting, r);
		return;
	}
	sqe = uring_get_sqe(&q->u.ring, false);
	if (!sqe) {
		bk_full(&q->u.q, r);
		return;
	}
	/* If it has, the read was interrupted: only that is done again. */
	if (!d->current) {
		d->current = r;
		__atomic_store_n(&d->busy, true, __ATOMIC_RELAXED);
		__atomic_store_n(&d->job, r, __ATOMIC_RELEASE);
		eventfd_write(d->go, 1);
	}
	*sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_READ,
		.fd = d->done[0],
		.addr = (uintptr_t)r->priv,
		.len = 1,
		.user_data = (uintptr_t)r,
	};
}

static struct bk_req *next_waiting(struct iou_thread *d)
{
	struct bk_req *r = d->waiting.head;

	if (!r)
		return NULL;
	bk_list_set_head(&d->waiting, r->next);
	return r;
}

void iou_thread_cancel(struct iou_queue *q)
{
	struct bk_req *r;

	while (q->thread && (r = next_waiting(q->thread)))
		bk_cancel(&q->u.q, r);
}

bool iou_thread_complete(struct iou_queue *q, struct bk_req *r, int res)
{
	struct iou_thread *d = q->thread;
	struct bk_req *next;
	int ret;

	if (!d || d->current != r)
		return false;
	if (res < 0) {
		bk_retry(&q->u.q, r);
		return true;
	}
	d->current = NULL;
	/* Acquire: what the thread did before it was no longer busy is done. */
	(void)__atomic_load_n(&d->busy, __ATOMIC_ACQUIRE);
	/* Whatever the command failed of, it is not tried again. */
	ret = d->result;
	if (!ret && r->op == BK_DISCARD && r->priv[1] == IOU_BY_IOCTL)
		q->needs_discard_ioctl = true;
	bk_complete(&q->u.q, r, ret);
	next = next_waiting(d);
	if (next)
		bk_retry(&q->u.q, next);
	return true;
}
