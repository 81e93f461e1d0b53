/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See plain.h. */
#include "net/plain.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "common/wait.h"
#include "uring/ready.h"

struct net_plain {
	struct uring *ring;
	/* what the ring's pointers point to */
	unsigned sq_tail, cq_head, cq_tail, flags;
	struct io_uring_sqe sqes[NET_RING_ENTRIES];
	struct io_uring_cqe cqes[NET_RING_ENTRIES];
	/* in flight, by user_data; opcode 0: nothing */
	struct io_uring_sqe inflight[NET_RING_ENTRIES];
	int timer_fd;
	int64_t due; /* of the timer, in now_ns(); 0: none is in flight */
	bool polls;
	struct uring_ready ready; /* unless it polls: the completion fd */
};

/* ---- The beginning and the end ------------------------------------------------------------ */

static void describe_ring(struct net_plain *p)
{
	*p->ring = (struct uring){
		.sqes = p->sqes,
		.sq_ktail = &p->sq_tail,
		.sq_kflags = &p->flags,
		.sq_mask = NET_RING_ENTRIES - 1,
		.sq_entries = NET_RING_ENTRIES,
		.room = NET_RING_ENTRIES,
		.cqes = p->cqes,
		.cq_khead = &p->cq_head,
		.cq_ktail = &p->cq_tail,
		.cq_kflags = &p->flags,
		.cq_mask = NET_RING_ENTRIES - 1,
		.features = IORING_FEAT_CQE_SKIP,
		.freed_fd = -1,
		.fd = -1,
	};
}

int net_plain_init(struct net_plain **plain, struct uring *u, int completion_fd)
{
	struct net_plain *p = calloc(1, sizeof(*p));
	int ret = 0;

	if (!p)
		return bk_err(ENOMEM, "out of memory");
	p->ring = u;
	p->polls = completion_fd < 0;
	p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (p->timer_fd < 0)
		ret = bk_err(errno, "cannot watch the connection: timerfd_create: %m");
	else if (!p->polls)
		ret = uring_ready_init(&p->ready, completion_fd);
	if (ret < 0) {
		if (p->timer_fd >= 0)
			close(p->timer_fd);
		free(p);
		return ret;
	}
	describe_ring(p);
	*plain = p;
	bk_debug("io_uring is not permitted: the connection uses plain system calls");
	return 0;
}

void net_plain_exit(struct net_plain *p)
{
	if (!p)
		return;
	if (!p->polls)
		uring_ready_exit(&p->ready);
	close(p->timer_fd);
	free(p);
}

/* ---- Operations --------------------------------------------------------------------------- */

static bool is_send(const struct io_uring_sqe *sqe)
{
	return sqe->opcode == IORING_OP_SEND || sqe->opcode == IORING_OP_SENDMSG;
}

static bool is_receive(const struct io_uring_sqe *sqe)
{
	return sqe->opcode == IORING_OP_RECV || sqe->opcode == IORING_OP_RECVMSG;
}

static void begin_timer(struct net_plain *p, const struct io_uring_sqe *sqe)
{
	const struct __kernel_timespec *ts = (const void *)(uintptr_t)sqe->addr;
	struct itimerspec timer = { 0 };

	p->due = deadline_in(ts->tv_sec * NSEC_PER_SEC + ts->tv_nsec);
	timer.it_value = to_timespec(p->due);
	timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

/* The entries that were prepared since. */
static void take_entries(struct net_plain *p)
{
	struct uring *u = p->ring;

	for (; u->sq_submitted != u->sq_tail; u->sq_submitted++) {
		const struct io_uring_sqe *sqe = &u->sqes[u->sq_submitted & u->sq_mask];

		p->inflight[sqe->user_data] = *sqe;
		if (sqe->opcode == IORING_OP_TIMEOUT)
			begin_timer(p, sqe);
	}
}

static void complete(struct net_plain *p, struct io_uring_sqe *sqe, int res, bool is_silent)
{
	sqe->opcode = IORING_OP_NOP;
	if (is_silent)
		return;
	p->cqes[p->cq_tail % NET_RING_ENTRIES] = (struct io_uring_cqe){
		.user_data = sqe->user_data,
		.res = res,
	};
	p->cq_tail++;
}

static size_t length_of(const struct msghdr *msg)
{
	size_t len = 0;

	for (size_t i = 0; i < msg->msg_iovlen; i++)
		len += msg->msg_iov[i].iov_len;
	return len;
}

/* What cannot go on stays in flight, unless it is not to wait. */
static void transfer(struct net_plain *p, struct io_uring_sqe *sqe)
{
	struct iovec iov = { (void *)(uintptr_t)sqe->addr, sqe->len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int flags = (int)sqe->msg_flags | MSG_DONTWAIT;
	bool is_silent = sqe->flags & IOSQE_CQE_SKIP_SUCCESS;
	ssize_t n;

	if (sqe->opcode == IORING_OP_SENDMSG || sqe->opcode == IORING_OP_RECVMSG)
		msg = *(const struct msghdr *)(uintptr_t)sqe->addr;
	n = is_send(sqe) ? sendmsg(sqe->fd, &msg, flags) : recvmsg(sqe->fd, &msg, flags);
	if (n < 0 && errno == EAGAIN && !(sqe->msg_flags & MSG_DONTWAIT))
		return;
	complete(p, sqe, n < 0 ? -errno : (int)n,
		 is_silent && n >= 0 && (size_t)n == length_of(&msg));
}

static void end_timer(struct net_plain *p, struct io_uring_sqe *sqe)
{
	if (now_ns() < p->due)
		return;
	p->due = 0;
	complete(p, sqe, -ETIME, false);
}

static void carry_out(struct net_plain *p, bool receives)
{
	for (int i = 0; i < NET_RING_ENTRIES; i++) {
		struct io_uring_sqe *sqe = &p->inflight[i];

		if (is_send(sqe) || (receives && is_receive(sqe)))
			transfer(p, sqe);
		else if (sqe->opcode == IORING_OP_TIMEOUT)
			end_timer(p, sqe);
	}
}

/* ---- Waiting ------------------------------------------------------------------------------ */

/* For what the transfers in flight wait. */
static struct pollfd socket_events(const struct net_plain *p)
{
	struct pollfd socket = { .fd = -1 };

	for (int i = 0; i < NET_RING_ENTRIES; i++) {
		const struct io_uring_sqe *sqe = &p->inflight[i];

		if (is_send(sqe) || is_receive(sqe)) {
			socket.fd = sqe->fd;
			socket.events |= is_send(sqe) ? POLLOUT : POLLIN;
		}
	}
	return socket;
}

static int sleep_on_it(const struct net_plain *p, const struct bk_wait *w)
{
	struct pollfd fds[] = {
		socket_events(p),
		{ .fd = p->timer_fd, .events = POLLIN },
	};

	return wait_fds(fds, p->due ? 2 : 1, w);
}

struct look {
	struct net_plain *p;
};

static bool look(const void *arg)
{
	const struct look *l = arg;

	carry_out(l->p, true);
	return uring_ready(l->p->ring);
}

static void arm(struct net_plain *p)
{
	struct pollfd socket = socket_events(p);

	if (p->polls || !p->ready.on)
		return;
	if (socket.events)
		uring_ready_arm(&p->ready, socket.fd, socket.events);
	if (p->due)
		uring_ready_arm(&p->ready, p->timer_fd, POLLIN);
}

/* To wait first, and only then to look whether something has come, saves a call that is in vain. */
int net_plain_enter(struct net_plain *p, bool need, const struct bk_wait *w)
{
	const struct look l = { p };
	int ret = 0;

	take_entries(p);
	carry_out(p, p->polls || !need);
	if (need && !uring_ready(p->ring)) {
		ret = p->polls ? wait_spin(look, &l, w) : sleep_on_it(p, w);
		if (!p->polls)
			carry_out(p, true);
	}
	arm(p);
	return ret;
}

void net_plain_notify(struct net_plain *p, bool on)
{
	if (p->polls)
		return;
	uring_ready_notify(&p->ready, on);
	arm(p);
}
