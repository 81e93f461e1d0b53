/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A connected stream socket on a ring: at most one send and one receive are in flight. One system
 * call submits both and waits. The completion fd fires when a receive ends, without a thread.
 * Knows nothing of what is sent and received.
 *
 * Where rings are not permitted, plain system calls take the place of the ring's (plain.h): one to
 * send, one to wait, one to receive, and a thread that signals the completion fd.
 *
 * Either operation may transfer less than it was asked to; the user keeps the books.
 */
#ifndef BK_NET_STREAM_H
#define BK_NET_STREAM_H

#include <sys/socket.h>

#include "net/plain.h"

#define NET_IOVS 1024 /* of one operation: the kernel's limit */

/* How an operation ended. */
struct net_result {
	bool is_new; /* the user has yet to look at it, and clears this */
	int res;     /* bytes, or -errno; 0 of a receive: the peer has closed the connection */
};

struct net_stream {
	struct uring ring;  /* the kernel's; or with plain, which then is not NULL, of its own */
	bool is_registered; /* the socket, as file 0 */
	struct io_uring_sqe wait_and_send, try_to_send, receive; /* but for what */
	struct io_uring_sqe receive_pair;
	union {
		uint64_t state; /* 0: nothing is in flight, and nothing special */
		struct {
			bool polls; /* do not sleep */
			bool sending, receiving;
			bool wants_tick; /* the next enter is to begin another one */
			bool tells;	 /* the kernel cannot keep silent about a send of all that
					  * succeeds */
			bool quick;	 /* the send that was prepared ends within the call that
					  * submits it, silently */
			bool full;	 /* the socket took less than all: the next send waits */
		};
	};
	struct net_result sent, received;
	int sock;
	size_t out_len;
	/* net_stream_watch() */
	int watched; /* TCP socket; -1: none */
	unsigned tick_ms, silent_ticks;
	bool ticks;  /* one is in flight */
	bool silent; /* the peer's machine: the stream is cut */
	struct __kernel_timespec tick;
	struct msghdr out_msg, in_msg, pair_msg;
	struct iovec out[NET_IOVS], in[NET_IOVS], pair[2];
	struct net_plain *plain;
};

/*
 * completion_fd: -1 for a queue that polls. Then the socket is the stream's, until
 * net_stream_exit(). After a failure it is the caller's.
 */
int net_stream_init(struct net_stream *s, int sock, int completion_fd);
/* Neither operation may be in flight: see net_stream_drain(). */
void net_stream_exit(struct net_stream *s);

/* ---- Operations --------------------------------------------------------------------------- */

/* All that is ever set in this ring: what is behind it is 0. */
static inline void net_stream_fill(struct io_uring_sqe *sqe, const struct io_uring_sqe *common)
{
	memcpy(sqe, common, offsetof(struct io_uring_sqe, buf_index));
}

/* One buffer needs no message header. */
static inline void net_stream_prepare(struct net_stream *s, const struct io_uring_sqe *common,
				      uint8_t many, struct msghdr *msg, unsigned n)
{
	struct io_uring_sqe *sqe = uring_get_sqe(&s->ring, false);
	const struct iovec *iov = msg->msg_iov;

	net_stream_fill(sqe, common);
	if (n == 1) {
		sqe->addr = (uintptr_t)iov->iov_base;
		sqe->len = min_u64(iov->iov_len, INT32_MAX);
	} else {
		msg->msg_iovlen = n;
		sqe->opcode = many;
		sqe->addr = (uintptr_t)msg;
		sqe->len = 1;
	}
}

/* Add a buffer to the first *n of s->out, or to the last of them if it begins where that ends. */
static inline bool net_stream_add(struct net_stream *s, unsigned *n, void *base, size_t len)
{
	struct iovec *out = s->out;

	if (*n && bk_behind(out[*n - 1].iov_base, out[*n - 1].iov_len) == base) {
		out[*n - 1].iov_len += len;
		return true;
	}
	if (unlikely(*n == NET_IOVS))
		return false;
	out[(*n)++] = (struct iovec){ base, len };
	return true;
}

/* In place of data that cannot be read: the peer waits for so many bytes. False: too many. */
bool net_stream_add_padding(struct net_stream *s, unsigned *n, uint64_t len);

/* Prepare to send the first n of s->out, which holds len bytes. Nothing may be in flight there. */
static inline void net_stream_send(struct net_stream *s, unsigned n, size_t len)
{
	s->sending = true;
	s->out_len = len;
	s->quick = !s->tells && !s->full;
	net_stream_prepare(s, unlikely(s->full) ? &s->wait_and_send : &s->try_to_send,
			   IORING_OP_SENDMSG, &s->out_msg, n);
}

/* The same for receiving into s->in. */
static inline void net_stream_recv(struct net_stream *s, unsigned n)
{
	s->receiving = true;
	net_stream_prepare(s, &s->receive, IORING_OP_RECVMSG, &s->in_msg, n);
}

/* ---- Entering ----------------------------------------------------------------------------- */

enum { NET_SEND = 1, NET_RECV = 2, NET_TICK = 3 }; /* user_data */

void net_stream_prepare_tick(struct net_stream *s);
void net_stream_ticked(struct net_stream *s);

/* Take in what has ended. */
static inline void net_stream_reap(struct net_stream *s)
{
	unsigned n = uring_ready(&s->ring);

	for (unsigned i = 0; i < n; i++) {
		const struct io_uring_cqe *cqe = uring_cqe(&s->ring, i, false);
		struct net_result result = { true, cqe->res };

		if (likely(cqe->user_data == NET_RECV)) {
			s->receiving = false;
			s->received = result;
		} else if (likely(cqe->user_data == NET_SEND)) {
			s->sending = false;
			s->sent = result;
		} else {
			net_stream_ticked(s);
		}
	}
	uring_seen(&s->ring, n);
	if (s->quick && likely(s->ring.sq_tail == s->ring.sq_submitted)) {
		s->quick = false;
		if (unlikely(!s->sending))
			return; /* it has failed */
		s->sending = false;
		s->ring.room++;
		s->sent = (struct net_result){ true, s->out_len };
	}
}

int net_stream_enter_slow(struct net_stream *s, unsigned need, const struct bk_wait *w);

/*
 * Submit what was prepared; wait: until data has come or sending was cut short, or for a shorter
 * time. Then see s->sent and s->received. Returns what bk_driver.enter does.
 */
static inline int net_stream_enter(struct net_stream *s, bool wait, const struct bk_wait *w)
{
	unsigned need = wait && (s->receiving || (s->sending && !s->quick));
	int ret;

	if (unlikely(s->wants_tick))
		net_stream_prepare_tick(s);
	if (likely(uring_is_fast(&s->ring, w) && !s->polls)) {
		ret = uring_enter_fast(&s->ring, need, false);
		ret = unlikely(ret < 0) ? uring_enter_failed(&s->ring, -ret) : 0;
	} else {
		ret = net_stream_enter_slow(s, need, w);
	}
	net_stream_reap(s);
	return ret;
}

/* ---- One request and its reply ------------------------------------------------------------ */

int net_stream_exchanged(struct net_stream *s, int ret);

/*
 * Send one buffer, receive into s->pair, and wait: what net_stream_enter() does, at less cost. Only
 * with s->state 0 and uring_is_ready(). Returns how many bytes came. Or else it went otherwise, and
 * it returns what net_stream_enter() does: see s->sent and s->received.
 */
static force_inline int net_stream_exchange(struct net_stream *s, const void *out, size_t len)
{
	struct uring *u = &s->ring;
	struct io_uring_sqe *send = uring_sqe_ahead(u, 0), *receive = uring_sqe_ahead(u, 1);
	const struct io_uring_cqe *cqe;
	int ret;

	net_stream_fill(send, &s->try_to_send);
	send->addr = (uintptr_t)out;
	send->len = len;
	net_stream_fill(receive, &s->receive_pair);
	u->sq_tail += 2;
	ret = uring_enter_fast(u, 1, false);
	if (unlikely(ret != 2 || uring_ready(u) != 1))
		return net_stream_exchanged(s, ret);
	cqe = uring_cqe(u, 0, false);
	if (unlikely(cqe->user_data != NET_RECV || cqe->res <= 0))
		return net_stream_exchanged(s, ret);
	ret = cqe->res;
	uring_advance(u, 1);
	return ret;
}

/* Let the completion fd fire, or stop. */
void net_stream_notify(struct net_stream *s, bool on);

/* ---- Another socket, and the end ---------------------------------------------------------- */

/*
 * Go on with another socket, as after net_stream_init(). Neither operation may be in flight. The
 * old socket is closed, also after a failure: -errno without message.
 */
int net_stream_replace(struct net_stream *s, int sock);

/*
 * Cut the stream when the peer's machine has acknowledged nothing for so many milliseconds although
 * something was sent, as s->silent then says. To look needs no thread: the ring wakes who waits, or
 * the completion fd, from time to time while something is in flight. sock: a TCP socket below the
 * stream, or of any other kind, which is left alone.
 */
void net_stream_watch(struct net_stream *s, int sock, int ms);

/* Close both directions: what is in flight ends soon. */
void net_stream_cut(struct net_stream *s);

/* Let the kernel finish what it can; never sleeps, any thread. For bk_driver.drain. */
enum bk_drained net_stream_drain(struct net_stream *s, bool cancel, bool for_good);

/* Is the result of an operation a reason to try it again? */
static inline bool net_is_transient(int res)
{
	return res == -EAGAIN || res == -EINTR || res == -ECANCELED;
}

static inline bool net_stream_is_idle(const struct net_stream *s)
{
	return !s->sending && !s->receiving;
}

#endif
