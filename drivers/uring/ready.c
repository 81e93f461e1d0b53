/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See ready.h. */
#include "uring/ready.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define RING_ENTRIES 8 /* two, and those of descriptors that have been shut down */

/* ---- By a thread -------------------------------------------------------------------------- */

/* With the lock: once notifying is off, nothing is said any more. */
static void tell(struct uring_ready *p)
{
	pthread_mutex_lock(&p->lock);
	if (p->on)
		eventfd_write(p->completion_fd, 1);
	pthread_mutex_unlock(&p->lock);
}

static void *watch(void *arg)
{
	struct uring_ready *p = arg;
	struct pollfd fds[2] = { { .fd = p->epoll_fd, .events = POLLIN } };
	struct epoll_event event;

	while (watcher_sleep(&p->watcher, fds, 1, -1)) {
		if (epoll_wait(p->epoll_fd, &event, 1, 0) == 1)
			tell(p);
	}
	return NULL;
}

static int init_thread(struct uring_ready *p, int completion_fd)
{
	int ret;

	*p = (struct uring_ready){ .by_thread = true, .completion_fd = completion_fd };
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll_fd < 0)
		return bk_err(errno, "cannot watch the connection: epoll_create1: %m");
	pthread_mutex_init(&p->lock, NULL);
	ret = watcher_start(&p->watcher, "connection", watch, p);
	if (ret < 0) {
		close(p->epoll_fd);
		pthread_mutex_destroy(&p->lock);
	}
	return ret;
}

static void exit_thread(struct uring_ready *p)
{
	watcher_stop(&p->watcher);
	close(p->epoll_fd);
	pthread_mutex_destroy(&p->lock);
}

static void notify_by_thread(struct uring_ready *p, bool on)
{
	pthread_mutex_lock(&p->lock);
	p->on = on;
	pthread_mutex_unlock(&p->lock);
}

/* For one event. The kernel has forgotten descriptors that were closed. */
static void arm_thread(struct uring_ready *p, int fd, short events)
{
	struct epoll_event event = { .events = (uint32_t)events | EPOLLONESHOT };

	if (epoll_ctl(p->epoll_fd, EPOLL_CTL_MOD, fd, &event))
		epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* ---- By a ring ---------------------------------------------------------------------------- */

/* user_data of a poll. */
static uint64_t name_of(const struct uring_ready *p, short event)
{
	return p->series << 16 | (uint16_t)event;
}

static void reap(struct uring_ready *p)
{
	unsigned n = uring_ready(&p->ring);

	for (unsigned i = 0; i < n; i++) {
		uint64_t name = uring_cqe(&p->ring, i, false)->user_data;

		if (name == name_of(p, POLLIN))
			p->in = false;
		else if (name == name_of(p, POLLOUT))
			p->out = false;
	}
	if (n)
		uring_seen(&p->ring, n);
}

static void poll_for(struct uring_ready *p, int fd, short event, bool *armed)
{
	struct io_uring_sqe *sqe = *armed ? NULL : uring_get_sqe(&p->ring, false);

	if (!sqe)
		return;
	*sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_POLL_ADD,
		.fd = fd,
		.poll_events = event,
		.user_data = name_of(p, event),
	};
	*armed = true;
}

static void arm_ring(struct uring_ready *p, int fd, short events)
{
	reap(p);
	if (events & POLLIN)
		poll_for(p, fd, POLLIN, &p->in);
	if (events & POLLOUT)
		poll_for(p, fd, POLLOUT, &p->out);
	uring_enter(&p->ring, 0, NULL);
}

/* ---- Either way --------------------------------------------------------------------------- */

int uring_ready_init(struct uring_ready *p, int completion_fd)
{
	const struct uring_config config = {
		.entries = RING_ENTRIES,
		.completion_fd = completion_fd,
		.optional = true,
	};
	int ret;

	p->by_thread = false;
	ret = uring_init(&p->ring, &config);
	return uring_is_refused(ret) ? init_thread(p, completion_fd) : ret;
}

void uring_ready_exit(struct uring_ready *p)
{
	if (p->by_thread)
		exit_thread(p);
	else
		uring_exit(&p->ring);
}

void uring_ready_arm(struct uring_ready *p, int fd, short events)
{
	if (!p->on)
		return;
	if (p->by_thread)
		arm_thread(p, fd, events);
	else
		arm_ring(p, fd, events);
}

void uring_ready_notify(struct uring_ready *p, bool on)
{
	if (p->by_thread) {
		notify_by_thread(p, on);
		return;
	}
	p->on = on;
	uring_notify(&p->ring, on);
}

void uring_ready_replace(struct uring_ready *p)
{
	p->series++;
	p->in = p->out = false;
}
