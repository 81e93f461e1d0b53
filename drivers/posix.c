/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * posix: files and block devices by the system calls that every system has, for where io_uring is
 * not permitted. file/ opens the device; what may take a while is for the threads of posix_pool.c.
 *
 * Not everything takes a while. The queue's thread itself reads and writes what the page cache can
 * do at once (RWF_NOWAIT). Direct I/O takes no thread where the kernel can do it asynchronously
 * (posix_aio.h). And a caller that waits for all of its requests anyway does the last one
 * instead of sleeping: with one request at a time, no thread is ever woken.
 */
#include <limits.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/path_fd.h"
#include "common/wait.h"
#include "file/file.h"
#include "posix_pool.h"

#define NUM_THREADS_DEFAULT 32
#define NUM_THREADS_MAX	    1024

struct posix_dev {
	struct blkio b;
	/* properties */
	char *path;
	int fd;
	int num_threads;
	struct file_info file;	 /* with property direct */
	struct posix_pool *pool; /* NULL until started */
};

/* How requests of a kind are tried at once. */
enum posix_try { POSIX_NEVER, POSIX_NOWAIT, POSIX_PLAINLY, POSIX_AIO };

struct posix_queue {
	struct blkioq q;
	struct bk_req_list fresh; /* submitted since the last enter() */
	unsigned nr_fresh;
	unsigned in_pool;
	enum posix_try at_once[2]; /* of BK_READ and BK_WRITE */
	struct posix_aio *aio;	   /* NULL: never needed so far */
	struct posix_lane lane;
};

static struct posix_dev *to_dev(struct blkio *b)
{
	return container_of(b, struct posix_dev, b);
}

static struct posix_queue *to_queue(struct blkioq *q)
{
	return container_of(q, struct posix_queue, q);
}

/* Requests that the kernel does asynchronously. */
static unsigned in_aio(const struct posix_queue *q)
{
	return q->aio ? q->aio->inflight : 0;
}

/* ---- Requests ----------------------------------------------------------------------------- */

static void clear_fresh(struct posix_queue *q)
{
	bk_list_init(&q->fresh);
	q->nr_fresh = 0;
}

static void posix_submit(struct blkioq *bq, struct bk_req *r)
{
	struct posix_queue *q = to_queue(bq);

	bk_list_push(&q->fresh, r);
	q->nr_fresh++;
}

static void complete(struct posix_queue *q, struct bk_req *r, int64_t res)
{
	const struct posix_dev *d = to_dev(q->q.b);

	if (likely(res >= 0))
		bk_complete(&q->q, r, res);
	else
		file_failed(&q->q, r, &d->file, d->fd, (int)res);
}

/* Of a list. Returns how many. */
static unsigned complete_all(struct posix_queue *q, struct bk_req *r)
{
	struct bk_req *next;
	unsigned n = 0;

	for (; r; r = next, n++) {
		next = r->next;
		complete(q, r, (int64_t)r->priv[1]);
	}
	q->in_pool -= n;
	return n;
}

/* ---- At once ------------------------------------------------------------------------------ */

/*
 * Only bytes that were transferred count. All else is for the pool to find out again, also a 0:
 * Linux 5.9 and 5.10 return it with RWF_NOWAIT where the file does not end.
 */
static bool try_at_once(struct posix_queue *q, struct bk_req *r)
{
	int64_t ret;

	if (q->at_once[r->op] == POSIX_NEVER || r->flags)
		return false;
	ret = posix_transfer(to_dev(q->q.b)->fd, r,
			     q->at_once[r->op] == POSIX_NOWAIT ? RWF_NOWAIT : 0);
	if (ret > 0) {
		bk_complete(&q->q, r, ret);
		return true;
	}
	/* The file system, the kernel or a sandbox does not know RWF_NOWAIT. */
	if (ret < 0 && ret != -EAGAIN && ret != -EFAULT && ret != -ENOSPC)
		q->at_once[r->op] = POSIX_NEVER;
	return false;
}

/*
 * Direct I/O sleeps until the device is done, also with RWF_NOWAIT, unless it is asynchronous.
 * Files in memory do not know RWF_NOWAIT, but reading them has nothing to wait for.
 */
static void choose_at_once(struct posix_queue *q, const struct posix_dev *d)
{
	if (d->file.direct) {
		q->at_once[BK_READ] = q->at_once[BK_WRITE] = POSIX_AIO;
		return;
	}
	q->at_once[BK_READ] = file_is_in_memory(&d->file, d->fd) ? POSIX_PLAINLY : POSIX_NOWAIT;
	q->at_once[BK_WRITE] = POSIX_NOWAIT;
}

/* ---- Asynchronous I/O --------------------------------------------------------------------- */

static void use_pool(struct posix_queue *q, const struct bk_req_list *list, unsigned n)
{
	if (!n)
		return;
	q->in_pool += n;
	posix_lane_add(&q->lane, list, n);
}

/* Returns how many the kernel has now; the others remain on the list. */
static unsigned use_aio(struct posix_queue *q, struct bk_req_list *list)
{
	unsigned before;
	int ret;

	if (!q->aio)
		q->aio = posix_pool_get_aio(q->lane.pool);
	if (!q->aio) {
		q->at_once[BK_READ] = q->at_once[BK_WRITE] = POSIX_NEVER;
		return 0;
	}
	before = q->aio->inflight;
	ret = posix_aio_submit(q->aio, to_dev(q->q.b)->fd, q->lane.wake_fd, list);
	/* The kernel, the file system or a sandbox does not know it. */
	if ((ret == -EOPNOTSUPP && !list->head->flags) || ret == -ENOSYS || ret == -EPERM)
		q->at_once[list->head->op] = POSIX_NEVER;
	return q->aio->inflight - before;
}

/* Take what has ended, at least so many. Returns how many are complete, or -errno. */
static int reap(struct posix_queue *q, unsigned least)
{
	struct io_event events[POSIX_AIO_EVENTS];
	struct bk_req_list again = { NULL, &again.head };
	unsigned nr_again = 0;
	int n, done = 0;

	do {
		n = in_aio(q) ? posix_aio_take(q->aio, least, events) : 0;
		for (int i = 0; i < n; i++) {
			struct bk_req *r = posix_aio_req(&events[i]);

			if (unlikely(posix_aio_not_done(&events[i]))) {
				bk_list_push(&again, r);
				nr_again++;
			} else {
				complete(q, r, events[i].res);
				done++;
			}
		}
		least = 0;
	} while (n == POSIX_AIO_EVENTS);
	use_pool(q, &again, nr_again);
	return n < 0 ? n : done;
}

/* ---- Entering ----------------------------------------------------------------------------- */

/* Is sleeping in a system call as good as sleeping until the pool wakes it, for the queue's thread?
 */
static inline bool may_do_last(const struct posix_queue *q, unsigned wait_nr,
			       const struct bk_wait *w)
{
	return wait_nr && wait_nr == q->nr_fresh + q->in_pool + in_aio(q) &&
	       (!w || (!w->timeout && !w->sigmask && !w->interruptible));
}

static void do_now(struct posix_queue *q, struct bk_req *r)
{
	complete(q, r, posix_perform(to_dev(q->q.b)->fd, r));
}

/* One at a time: there is nothing else to do. */
static force_inline bool do_only(struct posix_queue *q, unsigned wait_nr, const struct bk_wait *w)
{
	struct bk_req *r = q->fresh.head;

	if (q->nr_fresh != 1 || wait_nr != 1 || !may_do_last(q, 1, w) || !bk_is_rw(r))
		return false;
	clear_fresh(q);
	do_now(q, r);
	return true;
}

/* Get everything going. Returns how many are done already. */
static unsigned begin(struct posix_queue *q, bool do_last)
{
	struct bk_req *r = q->fresh.head, *next, *last = NULL;
	struct bk_req_list later = { NULL, &later.head }, async = { NULL, &async.head };
	unsigned done = 0, nr_later = 0, nr_async = 0;

	clear_fresh(q);
	for (; r; r = next) {
		next = r->next;
		if (!next && do_last && bk_is_rw(r)) {
			last = r;
		} else if (bk_is_rw(r) && q->at_once[r->op] == POSIX_AIO) {
			bk_list_push(&async, r);
			nr_async++;
		} else if (bk_is_rw(r) && try_at_once(q, r)) {
			done++;
		} else {
			bk_list_push(&later, r);
			nr_later++;
		}
	}
	if (nr_async)
		nr_async -= use_aio(q, &async);
	use_pool(q, &async, nr_async);
	use_pool(q, &later, nr_later);
	if (last) {
		do_now(q, last);
		done++;
	}
	return done;
}

static int wait_for_pool(struct posix_queue *q, unsigned wait_nr, const struct bk_wait *w)
{
	struct bk_req *r = posix_lane_take(&q->lane, wait_nr);
	eventfd_t count;
	int ret = 0;

	if (!r && wait_nr) {
		ret = wait_readable(q->lane.wake_fd, w);
		eventfd_read(q->lane.wake_fd, &count);
		r = posix_lane_take(&q->lane, 0);
	}
	complete_all(q, r);
	return ret;
}

/* There are requests with both, or a wait that io_getevents(2) does not know. */
static int wait_for_either(struct posix_queue *q, unsigned wait_nr, const struct bk_wait *w)
{
	int done = reap(q, 0), ret;

	if (done < 0 || (unsigned)done >= wait_nr)
		wait_nr = 0;
	/* The wake_fd is signalled for each that ends. */
	ret = wait_for_pool(q, !!wait_nr, w);
	if (wait_nr)
		done = reap(q, 0);
	return ret ?: (done < 0 ? done : 0);
}

static int posix_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	struct posix_queue *q = to_queue(bq);
	unsigned done;
	int ret;

	if (do_only(q, wait_nr, w))
		return 0;
	done = q->nr_fresh ? begin(q, may_do_last(q, wait_nr, w)) : 0;
	wait_nr = wait_nr > done ? wait_nr - done : 0;
	if (!in_aio(q))
		return q->in_pool ? wait_for_pool(q, wait_nr, w) : 0;
	if (q->in_pool || (w && wait_nr))
		return wait_for_either(q, wait_nr, w);
	ret = reap(q, wait_nr);
	return ret < 0 ? ret : 0;
}

static void posix_notify(struct blkioq *bq, bool on)
{
	struct posix_queue *q = to_queue(bq);

	posix_lane_notify(&q->lane, on ? bq->completion_fd : -1, in_aio(q));
}

/* ---- Queues ------------------------------------------------------------------------------- */

static int posix_queue_init(struct blkio *b, struct blkioq *bq)
{
	const struct posix_dev *d = to_dev(b);
	struct posix_queue *q = to_queue(bq);

	clear_fresh(q);
	choose_at_once(q, d);
	return file_check_blocks(b, &d->file, d->fd) ?: posix_lane_init(&q->lane, d->pool);
}

/* Those of a list, which were never begun. Returns how many. */
static unsigned cancel_all(struct posix_queue *q, struct bk_req *r)
{
	struct bk_req *next;
	unsigned n = 0;

	for (; r; r = next, n++) {
		next = r->next;
		bk_cancel(&q->q, r);
	}
	return n;
}

static enum bk_drained posix_drain(struct blkio *b, struct blkioq *bq, bool cancel)
{
	struct posix_queue *q = to_queue(bq);
	struct bk_req *fresh = q->fresh.head;

	(void)b;
	clear_fresh(q);
	cancel_all(q, fresh);
	reap(q, 0);
	complete_all(q, posix_lane_take(&q->lane, 0));
	/* What a thread or the device has begun cannot be cancelled. */
	if (cancel)
		q->in_pool -= cancel_all(q, posix_lane_withdraw(&q->lane));
	return q->in_pool || in_aio(q) ? BK_BUSY : BK_QUIET;
}

static void posix_queue_exit(struct blkio *b, struct blkioq *bq)
{
	struct posix_queue *q = to_queue(bq);

	(void)b;
	/* Destroying a context waits for what is in flight: then the end of the process does. */
	if (q->aio && !q->aio->inflight)
		posix_pool_put_aio(q->lane.pool, q->aio);
	posix_lane_exit(&q->lane);
}

/* ---- Device ------------------------------------------------------------------------------- */

static void posix_init(struct blkio *b)
{
	struct posix_dev *d = to_dev(b);

	d->fd = -1;
	d->num_threads = NUM_THREADS_DEFAULT;
	b->lim.max_queues = INT_MAX;
	b->lim.max_mem_regions = UINT64_MAX;
	b->lim.flush_needed = true;
}

static int posix_connect(struct blkio *b)
{
	struct posix_dev *d = to_dev(b);

	return file_connect(b, &d->file, d->path, &d->fd);
}

static int posix_start(struct blkio *b)
{
	struct posix_dev *d = to_dev(b);
	const struct posix_device device = {
		.fd = d->fd,
		.is_block_device = d->file.is_block_device,
		.has_position = d->path,
		.takes_aio = d->file.direct,
	};

	/* Of a start that failed later, perhaps with another number of threads. */
	if (d->pool)
		posix_pool_end(d->pool, false);
	d->pool = NULL;
	return posix_pool_start(&d->pool, &device, d->num_threads);
}

static void posix_close(struct blkio *b)
{
	struct posix_dev *d = to_dev(b);

	if (d->pool)
		posix_pool_end(d->pool, true);
	else
		path_fd_close(b, NULL, &d->fd);
}

static int posix_capacity(struct blkio *b, uint64_t *bytes)
{
	const struct posix_dev *d = to_dev(b);

	return file_capacity(b, &d->file, d->fd, bytes);
}

/* ---- Properties --------------------------------------------------------------------------- */

static const struct bk_prop posix_props[] = {
	FILE_PROPS(struct posix_dev, path, file.direct),
	PATH_FD_PROP(offsetof(struct posix_dev, fd)),
	{ "num-threads",
	  "How many requests the threads of the instance do at a time; all queues share them. With "
	  "direct, most reads and writes need no thread. Up to 1024; 32 by default.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CONNECTED, offsetof(struct posix_dev, num_threads),
	  .min = 1, .max = NUM_THREADS_MAX },
	{ 0 },
};

const struct bk_driver bk_driver_posix = {
	.name = "posix",
	.device_size = sizeof(struct posix_dev),
	.queue_size = sizeof(struct posix_queue),
	.props = posix_props,
	.limits_from = BK_CONNECTED,
	.topology_from = BK_CREATED,
	.opens_files = true,
	.can_add_queues = true,
	.init = posix_init,
	.connect = posix_connect,
	.start = posix_start,
	.close = posix_close,
	.capacity = posix_capacity,
	.queue_init = posix_queue_init,
	.drain = posix_drain,
	.queue_exit = posix_queue_exit,
	.submit = posix_submit,
	.enter = posix_enter,
	.notify = posix_notify,
};
