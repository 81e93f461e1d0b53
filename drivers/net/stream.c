/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See stream.h. */
#include "net/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "common/wait.h"
#include "net/tls_record.h"

#define TICKS 3 /* in the time that a peer may be silent */

/* ---- The beginning ------------------------------------------------------------------------ */

/*
 * The first try does not wait for room, so it has ended when the call that submits it returns. It
 * is silent if all was sent: nobody has to wait for two things, one of which may never come. To
 * send less counts as a failure (MSG_WAITALL), which is not silent.
 */
static void describe_operations(struct net_stream *s)
{
	int fd = s->is_registered ? 0 : s->sock;
	uint8_t flags = s->is_registered ? IOSQE_FIXED_FILE : 0;

	s->wait_and_send = (struct io_uring_sqe){
		.opcode = IORING_OP_SEND,
		.flags = flags,
		.fd = fd,
		.msg_flags = MSG_NOSIGNAL,
		.user_data = NET_SEND,
	};
	s->try_to_send = s->wait_and_send;
	s->try_to_send.msg_flags |= MSG_DONTWAIT;
	s->tells = !(s->ring.features & IORING_FEAT_CQE_SKIP) || net_kernel_tls_attached(s->sock);
	if (!s->tells) {
		s->try_to_send.msg_flags |= MSG_WAITALL;
		s->try_to_send.flags |= IOSQE_CQE_SKIP_SUCCESS;
	}
	s->receive = (struct io_uring_sqe){
		.opcode = IORING_OP_RECV,
		.flags = flags,
		.fd = fd,
		.user_data = NET_RECV,
	};
	s->receive_pair = s->receive;
	s->receive_pair.opcode = IORING_OP_RECVMSG;
	s->receive_pair.addr = (uintptr_t)&s->pair_msg;
	s->receive_pair.len = 1;
}

int net_stream_init(struct net_stream *s, int sock, int completion_fd)
{
	const struct uring_config config = {
		.entries = NET_RING_ENTRIES,
		.completion_fd = completion_fd,
		.optional = true,
	};
	int ret = uring_init(&s->ring, &config);

	if (uring_is_refused(ret))
		ret = net_plain_init(&s->plain, &s->ring, completion_fd);
	if (ret < 0)
		return ret;
	s->polls = completion_fd < 0;
	s->sock = sock;
	s->is_registered = !s->plain && uring_register_file(&s->ring, sock);
	s->out_msg.msg_iov = s->out;
	s->in_msg.msg_iov = s->in;
	s->pair_msg = (struct msghdr){ .msg_iov = s->pair, .msg_iovlen = 2 };
	describe_operations(s);
	return 0;
}

void net_stream_exit(struct net_stream *s)
{
	if (s->plain)
		net_plain_exit(s->plain);
	else
		uring_exit(&s->ring);
	close(s->sock);
}

/* ---- Sending ------------------------------------------------------------------------------ */

bool net_stream_add_padding(struct net_stream *s, unsigned *n, uint64_t len)
{
	static uint8_t zeroes[4096];

	while (len) {
		uint64_t piece = min_u64(len, sizeof(zeroes));

		if (*n == NET_IOVS)
			return false;
		s->out[(*n)++] = (struct iovec){ zeroes, piece };
		len -= piece;
	}
	return true;
}

/* ---- Entering ----------------------------------------------------------------------------- */

struct look {
	const struct uring *ring;
	unsigned need;
};

/* There, or for the kernel to put there when it is entered. */
static bool is_there(const void *arg)
{
	const struct look *l = arg;

	return uring_ready(l->ring) >= l->need ||
	       (__atomic_load_n(l->ring->sq_kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN);
}

static int spin(struct net_stream *s, unsigned need, const struct bk_wait *w)
{
	struct look look = { &s->ring, need };
	int ret = uring_enter(&s->ring, 0, NULL);

	if (ret < 0 || uring_ready(&s->ring) >= need)
		return ret;
	ret = wait_spin(is_there, &look, w);
	return ret < 0 || uring_ready(&s->ring) ? ret : uring_enter(&s->ring, 0, NULL);
}

int net_stream_enter_slow(struct net_stream *s, unsigned need, const struct bk_wait *w)
{
	if (s->plain)
		return net_plain_enter(s->plain, need, w);
	return s->polls ? spin(s, need, w) : uring_enter(&s->ring, need, w);
}

void net_stream_notify(struct net_stream *s, bool on)
{
	if (s->plain)
		net_plain_notify(s->plain, on);
	else
		uring_notify(&s->ring, on);
}

/* The short way ended elsewhere: go on as if it had not been taken. */
cold_path int net_stream_exchanged(struct net_stream *s, int ret)
{
	s->out_len = uring_sqe_ahead(&s->ring, -2)->len;
	s->ring.room -= 2;
	s->sending = s->receiving = s->quick = true;
	ret = ret < 0 ? uring_enter_failed(&s->ring, -ret) : 0;
	net_stream_reap(s);
	return ret;
}

/* ---- A peer that does not answer ---------------------------------------------------------- */

/*
 * Not TCP_USER_TIMEOUT: it also ends connections to a peer that acknowledges, but whose window is
 * full. Such a peer is at work, and what it has received it may still carry out.
 */
void net_stream_watch(struct net_stream *s, int sock, int ms)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	s->silent = false;
	s->silent_ticks = 0;
	s->watched = ms && !getsockopt(sock, IPPROTO_TCP, TCP_INFO, &info, &len) ? sock : -1;
	s->tick_ms = max_u64(ms / TICKS, 1);
	s->tick.tv_sec = s->tick_ms / 1000;
	s->tick.tv_nsec = s->tick_ms % 1000 * NSEC_PER_MSEC;
	s->wants_tick = s->watched >= 0 && !s->ticks;
}

/* It does not count as in flight: who ends the ring need not wait for it. */
cold_path void net_stream_prepare_tick(struct net_stream *s)
{
	struct io_uring_sqe *sqe;

	if (net_stream_is_idle(s))
		return;
	sqe = uring_get_sqe(&s->ring, false);
	s->ring.room++;
	*sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_TIMEOUT,
		.fd = -1,
		.addr = (uintptr_t)&s->tick,
		.len = 1,
		.user_data = NET_TICK,
	};
	s->wants_tick = false;
	s->ticks = true;
}

/* Has nothing been acknowledged since the last tick, though it should have been? */
static bool is_silent(const struct net_stream *s)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return s->watched >= 0 && !net_stream_is_idle(s) &&
	       !getsockopt(s->watched, IPPROTO_TCP, TCP_INFO, &info, &len) && info.tcpi_unacked &&
	       info.tcpi_last_ack_recv >= s->tick_ms;
}

/* The first silent tick may be of what was sent just now, so it takes one more. */
cold_path void net_stream_ticked(struct net_stream *s)
{
	s->ring.room--;
	s->ticks = false;
	s->wants_tick = s->watched >= 0;
	s->silent_ticks = is_silent(s) ? s->silent_ticks + 1 : 0;
	if (s->silent_ticks <= TICKS)
		return;
	s->silent = true;
	net_stream_cut(s);
}

/* ---- Another socket ----------------------------------------------------------------------- */

int net_stream_replace(struct net_stream *s, int sock)
{
	struct io_uring_files_update update = { .fds = (uintptr_t)&sock };
	int ret = 0;

	if (s->is_registered)
		ret = uring_register(&s->ring, IORING_REGISTER_FILES_UPDATE, &update, 1);
	close(s->sock);
	s->sock = sock;
	describe_operations(s);
	s->full = false;
	s->sent.is_new = s->received.is_new = false;
	return ret < 0 ? ret : 0;
}

/* ---- The end ------------------------------------------------------------------------------ */

void net_stream_cut(struct net_stream *s)
{
	shutdown(s->sock, SHUT_RDWR);
}

enum bk_drained net_stream_drain(struct net_stream *s, bool cancel, bool for_good)
{
	enum bk_drained state = BK_BUSY;

	/* Submits, and sleeps not. */
	net_stream_enter_slow(s, 0, NULL);
	if (!s->plain)
		state = uring_drain(&s->ring, cancel, for_good);
	net_stream_reap(s);
	return net_stream_is_idle(s) ? BK_QUIET : state;
}
