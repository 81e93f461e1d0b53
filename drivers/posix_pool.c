/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See posix_pool.h. */
#include "posix_pool.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/watcher.h"
#include "file/file.h"

struct posix_thread {
	pthread_t id;
	struct posix_pool *pool;
	bool busy;     /* with a request */
	bool detached; /* nobody joins it */
};

struct posix_pool {
	struct posix_device device;
	bool close_fd;
	pthread_mutex_t seek_lock; /* of seek_fd; threads sleep with it */
	int seek_fd;		   /* one whose position is ours; -1: not open so far */
	int epoll_fd;		   /* of the wake_fds of all lanes; -1: without asynchronous I/O */
	struct watcher relay;	   /* passes on what epoll_fd says */
	unsigned users;		   /* the instance and each thread: the last one frees the pool */
	int nr_threads;
	pthread_mutex_t lock;
	/* all below: under the lock */
	struct bk_req_list todo;
	uint32_t news;		/* changes when there is something to do, or the end: a futex */
	unsigned idle;		/* threads that wait for news */
	pthread_cond_t settled; /* a lane's signals are sent */
	bool ends;
	struct posix_aio *unused_aio;
	struct posix_thread threads[];
};

/* ---- System calls ------------------------------------------------------------------------- */

static int64_t result(int64_t ret)
{
	return ret < 0 ? -errno : ret;
}

/*
 * These are not libc's functions, which in a process with threads first make themselves
 * cancellable: that takes longer than the rest of the driver, and a cancelled thread would lose its
 * request.
 */

/* The offset is two longs. A kernel of 64 bits ignores the upper one. */
static int64_t transfer_vector(int fd, const struct bk_req *r, int flags)
{
	long nr = r->op == BK_READ ? (flags ? SYS_preadv2 : SYS_preadv)
				   : (flags ? SYS_pwritev2 : SYS_pwritev);

	return result(syscall(nr, (long)fd, r->iov, (long)r->iovcnt, (long)r->start,
			      (long)(r->start >> 32), (long)flags));
}

int64_t posix_transfer(int fd, const struct bk_req *r, int flags)
{
#ifdef __LP64__
	/* One segment takes the kernel less time than a vector of one. */
	if (!flags && r->iovcnt == 1)
		return result(syscall(r->op == BK_READ ? SYS_pread64 : SYS_pwrite64, (long)fd,
				      r->iov->iov_base, (long)r->iov->iov_len, (long)r->start));
#endif
	return transfer_vector(fd, r, flags);
}

/* Kernels and sandboxes without pwritev2() get the same of two calls. */
int64_t posix_perform(int fd, const struct bk_req *r)
{
	int flags = posix_rw_flags(r);
	int64_t ret = posix_transfer(fd, r, flags);

	if (likely(!(flags & RWF_DSYNC) || (ret != -EOPNOTSUPP && ret != -ENOSYS)))
		return ret;
	ret = posix_transfer(fd, r, flags & ~RWF_DSYNC);
	if (ret > 0 && fdatasync(fd) < 0)
		return -errno;
	return ret;
}

static int64_t discard(const struct posix_device *d, const struct bk_req *r)
{
	uint64_t range[2] = { r->start, r->len };

	if (d->is_block_device)
		return result(ioctl(d->fd, BLKDISCARD, range));
	return result(fallocate(d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)r->start,
				(off_t)r->len));
}

/* Opened when the first request needs it, and then kept. */
static int seek_fd(struct posix_pool *p)
{
	int fd;

	if (p->device.has_position)
		return p->device.fd;
	pthread_mutex_lock(&p->seek_lock);
	if (p->seek_fd < 0)
		p->seek_fd = file_open_again(p->device.fd, O_RDONLY);
	fd = p->seek_fd;
	pthread_mutex_unlock(&p->seek_lock);
	return fd;
}

static int64_t perform(struct posix_pool *p, struct bk_req *r)
{
	int fd = p->device.fd;

	switch (r->op) {
	case BK_READ:
	case BK_WRITE:
		return posix_perform(fd, r);
	case BK_WRITE_ZEROES:
		return result(fallocate(fd, file_zeroes_mode(r), (off_t)r->start, (off_t)r->len));
	case BK_DISCARD:
		return discard(&p->device, r);
	case BK_BLOCK_STATUS:
		return file_block_status(r, seek_fd(p));
	default:
		return result(fdatasync(fd));
	}
}

/* ---- Threads ------------------------------------------------------------------------------ */

static void put_pool(struct posix_pool *p)
{
	if (__atomic_sub_fetch(&p->users, 1, __ATOMIC_ACQ_REL))
		return;
	if (p->close_fd)
		close(p->device.fd);
	if (p->seek_fd >= 0)
		close(p->seek_fd);
	if (p->epoll_fd >= 0)
		close(p->epoll_fd);
	pthread_mutex_destroy(&p->seek_lock);
	pthread_cond_destroy(&p->settled);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* Signals may end it early. */
static void futex_wait(uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(uint32_t *word, int n)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static struct bk_req *next_request(struct posix_pool *p)
{
	struct bk_req *r;

	while (!p->ends && !p->todo.head) {
		uint32_t known = p->news;

		p->idle++;
		pthread_mutex_unlock(&p->lock);
		futex_wait(&p->news, known);
		pthread_mutex_lock(&p->lock);
		p->idle--;
	}
	if (p->ends)
		return NULL;
	r = p->todo.head;
	bk_list_set_head(&p->todo, r->next);
	return r;
}

static void signal_fd(int fd)
{
	static const uint64_t one = 1;

	/* EAGAIN: it is readable. */
	if (fd >= 0 && syscall(SYS_write, fd, &one, sizeof(one)) < 0)
		return;
}

/* Signals are sent without the lock, for which whoever wakes would have to wait. */
static void finished(struct posix_pool *p, struct posix_lane *l, struct bk_req *r)
{
	int wake_fd = -1, notify_fd = -1;

	/* The descriptors of an abandoned one belong to somebody else by now. */
	if (l->abandoned)
		return;
	bk_list_push(&l->finished, r);
	/* One signal for all that are there when enter() takes them: it takes all. */
	if (!l->nr_finished++)
		notify_fd = l->notify_fd;
	if (l->wanted && l->nr_finished >= l->wanted) {
		l->wanted = 0;
		wake_fd = l->wake_fd;
	}
	if (wake_fd < 0 && notify_fd < 0)
		return;
	l->signalling++;
	pthread_mutex_unlock(&p->lock);
	signal_fd(wake_fd);
	signal_fd(notify_fd);
	pthread_mutex_lock(&p->lock);
	if (!--l->signalling && l->settling)
		pthread_cond_broadcast(&p->settled);
}

/* Until this, threads may use the lane and its descriptors. Under the lock. */
static void settle(struct posix_lane *l)
{
	l->settling = true;
	while (l->signalling)
		pthread_cond_wait(&l->pool->settled, &l->pool->lock);
	l->settling = false;
}

/* Under the lock, or when nobody else is left. */
static struct posix_aio *pop_aio(struct posix_pool *p)
{
	struct posix_aio *a = p->unused_aio;

	if (a)
		p->unused_aio = a->next;
	return a;
}

/* With the lock. Each takes a while, but some threads can do it at the same time. */
static void free_aio(struct posix_pool *p)
{
	struct posix_aio *a;

	while ((a = pop_aio(p))) {
		pthread_mutex_unlock(&p->lock);
		posix_aio_free(a);
		pthread_mutex_lock(&p->lock);
	}
}

static void *run(void *arg)
{
	struct posix_thread *t = arg;
	struct posix_pool *p = t->pool;
	struct bk_req *r;

	pthread_mutex_lock(&p->lock);
	while ((r = next_request(p))) {
		t->busy = true;
		pthread_mutex_unlock(&p->lock);
		r->priv[1] = (uint64_t)perform(p, r);
		pthread_mutex_lock(&p->lock);
		t->busy = false;
		finished(p, (struct posix_lane *)(uintptr_t)r->priv[0], r);
	}
	free_aio(p);
	pthread_mutex_unlock(&p->lock);
	put_pool(p);
	return NULL;
}

/* ---- Asynchronous I/O --------------------------------------------------------------------- */

#define RELAYED 16 /* lanes at a time */

/* Lanes leave the epoll_fd with the lock. */
static void relay_signals(struct posix_pool *p)
{
	struct epoll_event events[RELAYED];
	int n;

	pthread_mutex_lock(&p->lock);
	n = epoll_wait(p->epoll_fd, events, RELAYED, 0);
	for (int i = 0; i < n; i++)
		signal_fd(((struct posix_lane *)events[i].data.ptr)->notify_fd);
	pthread_mutex_unlock(&p->lock);
}

/*
 * What has ended signals the lane's wake_fd, whether or not the completion fd is enabled by then.
 * Where it is, this thread passes the signal on.
 */
static void *relay(void *arg)
{
	struct posix_pool *p = arg;
	struct pollfd fds[2] = { { .fd = p->epoll_fd, .events = POLLIN } };

	while (watcher_sleep(&p->relay, fds, 1, -1))
		relay_signals(p);
	return NULL;
}

static int start_relay(struct posix_pool *p)
{
	if (!p->device.takes_aio)
		return 0;
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll_fd < 0)
		return bk_err(errno, "cannot watch the queues: epoll_create1: %m");
	return watcher_start(&p->relay, "queues", relay, p);
}

/* Under the lock. An edge for each signal; nobody reads the wake_fd for it. */
static void set_relay(struct posix_lane *l, bool on)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.ptr = l };

	if (l->pool->epoll_fd >= 0)
		epoll_ctl(l->pool->epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, l->wake_fd,
			  &event);
}

struct posix_aio *posix_pool_get_aio(struct posix_pool *p)
{
	struct posix_aio *a;

	pthread_mutex_lock(&p->lock);
	a = pop_aio(p);
	pthread_mutex_unlock(&p->lock);
	return a ?: posix_aio_new();
}

void posix_pool_put_aio(struct posix_pool *p, struct posix_aio *a)
{
	pthread_mutex_lock(&p->lock);
	a->next = p->unused_aio;
	p->unused_aio = a;
	pthread_mutex_unlock(&p->lock);
}

/* ---- Beginning and end -------------------------------------------------------------------- */

static int add_thread(struct posix_pool *p)
{
	struct posix_thread *t = &p->threads[p->nr_threads];
	int err;

	t->pool = p;
	__atomic_add_fetch(&p->users, 1, __ATOMIC_RELAXED);
	err = bk_thread_create(&t->id, run, t);
	if (err)
		__atomic_sub_fetch(&p->users, 1, __ATOMIC_RELAXED);
	else
		p->nr_threads++;
	return err;
}

static int start_threads(struct posix_pool *p, int n)
{
	int err = 0;

	while (p->nr_threads < n && !err)
		err = add_thread(p);
	if (!err)
		return 0;
	return bk_err(err,
		      "cannot create thread %d of %d (property \"num-threads\"): %s; "
		      "see RLIMIT_NPROC and the pids limit of the control group",
		      p->nr_threads + 1, n, strerror(err));
}

int posix_pool_start(struct posix_pool **pool, const struct posix_device *device, int n)
{
	struct posix_pool *p = calloc(1, sizeof(*p) + n * sizeof(p->threads[0]));
	int ret;

	if (!p)
		return bk_err(ENOMEM, "out of memory");
	p->device = *device;
	p->seek_fd = p->epoll_fd = -1;
	p->users = 1;
	pthread_mutex_init(&p->seek_lock, NULL);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->settled, NULL);
	bk_list_init(&p->todo);
	ret = start_threads(p, n);
	if (!ret)
		ret = start_relay(p);
	if (ret < 0) {
		struct bk_err_msg message = bk_err_save();

		posix_pool_end(p, false);
		bk_err_restore(&message);
		return ret;
	}
	*pool = p;
	return 0;
}

void posix_pool_end(struct posix_pool *p, bool close_fd)
{
	watcher_stop(&p->relay);
	pthread_mutex_lock(&p->lock);
	p->ends = true;
	p->close_fd = close_fd;
	for (int i = 0; i < p->nr_threads; i++) {
		struct posix_thread *t = &p->threads[i];

		/* In the kernel for who knows how long: it takes care of itself. */
		t->detached = t->busy;
		if (t->detached)
			pthread_detach(t->id);
	}
	p->news++;
	futex_wake(&p->news, INT_MAX);
	free_aio(p);
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; i < p->nr_threads; i++) {
		if (!p->threads[i].detached)
			pthread_join(p->threads[i].id, NULL);
	}
	put_pool(p);
}

/* ---- Lanes -------------------------------------------------------------------------------- */

int posix_lane_init(struct posix_lane *l, struct posix_pool *pool)
{
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->wake_fd < 0)
		return bk_err(errno, "cannot create the eventfd that wakes the queue: %m");
	l->pool = pool;
	l->notify_fd = -1;
	bk_list_init(&l->finished);
	return 0;
}

void posix_lane_exit(struct posix_lane *l)
{
	posix_lane_withdraw(l);
	pthread_mutex_lock(&l->pool->lock);
	settle(l);
	set_relay(l, false);
	l->abandoned = true;
	pthread_mutex_unlock(&l->pool->lock);
	close(l->wake_fd);
}

void posix_lane_add(struct posix_lane *l, const struct bk_req_list *list, unsigned n)
{
	struct posix_pool *p = l->pool;

	for (struct bk_req *r = list->head; r; r = r->next)
		r->priv[0] = (uintptr_t)l;
	pthread_mutex_lock(&p->lock);
	*p->todo.tail = list->head;
	p->todo.tail = list->tail;
	n = min_u64(n, p->idle);
	p->news += !!n;
	pthread_mutex_unlock(&p->lock);
	if (n)
		futex_wake(&p->news, (int)n);
}

struct bk_req *posix_lane_take(struct posix_lane *l, unsigned least)
{
	struct bk_req *r = NULL;

	pthread_mutex_lock(&l->pool->lock);
	if (l->nr_finished >= least) {
		r = l->finished.head;
		bk_list_init(&l->finished);
		l->nr_finished = 0;
		least = 0;
	}
	l->wanted = least;
	pthread_mutex_unlock(&l->pool->lock);
	return r;
}

struct bk_req *posix_lane_withdraw(struct posix_lane *l)
{
	struct posix_pool *p = l->pool;
	struct bk_req *mine = NULL, **at, *r;

	pthread_mutex_lock(&p->lock);
	for (at = &p->todo.head; (r = *at);) {
		if (r->priv[0] != (uintptr_t)l) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		r->next = mine;
		mine = r;
	}
	p->todo.tail = at;
	pthread_mutex_unlock(&p->lock);
	return mine;
}

void posix_lane_notify(struct posix_lane *l, int fd, bool has_aio)
{
	eventfd_t count;
	bool late;

	/* Of what has been taken in the meantime. */
	if (fd >= 0 && !has_aio)
		eventfd_read(l->wake_fd, &count);
	pthread_mutex_lock(&l->pool->lock);
	l->notify_fd = fd;
	late = l->finished.head;
	set_relay(l, fd >= 0);
	if (fd < 0)
		settle(l);
	pthread_mutex_unlock(&l->pool->lock);
	if (late)
		signal_fd(fd);
}
