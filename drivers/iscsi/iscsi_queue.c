/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A queue: sending, receiving and waiting, for libiscsi, which does both without waiting; the end.
 */
#include <poll.h>
#include <signal.h>

#include "common/wait.h"
#include "iscsi/iscsi_dev.h"

#define SEGMENT_MIN 512 /* iscsi_login.c refuses less */

int iscsi_queue_open(struct iscsi_queue *q, struct iscsi_session *s, unsigned slots)
{
	int ret = iscsi_slots_init(q, slots);

	if (ret < 0)
		return ret;
	ret = iscsi_link_init(q);
	if (ret < 0)
		goto exit_slots;
	if (!q->q.is_poll) {
		ret = uring_ready_init(&q->ready, q->q.completion_fd);
		if (ret < 0)
			goto exit_link;
	}
	iscsi_queue_use(q, s);
	return 0;

exit_link:
	iscsi_link_exit(q);
exit_slots:
	iscsi_slots_exit(q);
	return ret;
}

void iscsi_queue_close(struct iscsi_queue *q)
{
	iscsi_link_exit(q);
	iscsi_session_close(q->session);
	if (!q->q.is_poll)
		uring_ready_exit(&q->ready);
	iscsi_slots_exit(q);
}

/* ---- Serving libiscsi --------------------------------------------------------------------- */

/*
 * It sends data with writev(), which raises SIGPIPE in this thread when the target has closed the
 * connection. That is not the application's: unless one was pending before, it is taken away.
 */
static int send_quietly(struct iscsi_queue *q)
{
	const struct timespec now = { 0 };
	sigset_t pipe, before, pending;
	int ret;

	sigemptyset(&pipe);
	sigemptyset(&pending);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &before);
	if (unlikely(sigismember(&before, SIGPIPE)))
		sigpending(&pending);
	ret = libiscsi.service(q->context, POLLOUT);
	if (unlikely(ret < 0 || q->lost) && !sigismember(&pending, SIGPIPE))
		sigtimedwait(&pipe, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret;
}

static short events_of(const struct iscsi_queue *q)
{
	return libiscsi.which_events(q->context);
}

/*
 * Reading took too long. Of good targets, too; but they make libiscsi send no more than the data of
 * the writes, in pieces of 512 bytes at least, and a few answers.
 */
static cold_path void check_pending(struct iscsi_queue *q)
{
	uint64_t most = q->nr_inflight + ISCSI_PENDING_MAX;

	for (unsigned i = 0; i < q->nr_slots; i++) {
		const struct iscsi_slot *slot = &q->slot[i];

		if (slot->r && slot->is_sent && slot->task.xfer_dir == SCSI_XFER_WRITE)
			most += slot->task.expxferlen / SEGMENT_MIN + 1;
	}
	if ((uint64_t)libiscsi.queue_length(q->context) > most)
		iscsi_lose(q, ENOTCONN, "the iSCSI target broke the protocol");
}

/*
 * events: that have come, or may have. It drops what it cannot make sense of, and does not say so;
 * then it has fewer commands than we have.
 */
static void serve_once(struct iscsi_queue *q, short events)
{
	unsigned finished = q->finished, held = q->nr_held;
	int ret = 0;

	if (events & POLLIN) {
		ret = iscsi_session_read(q->session);
		if (unlikely(q->session->braked) && !ret)
			check_pending(q);
	}
	if (!ret && !q->lost && (events & POLLOUT || events_of(q) & POLLOUT))
		ret = q->nr_writes ? send_quietly(q) : libiscsi.service(q->context, POLLOUT);
	if (unlikely(ret < 0))
		iscsi_lose(q, ENOTCONN, "the iSCSI target closed the connection");
	if (unlikely(q->nr_held) && !q->lost && !(events_of(q) & POLLOUT))
		iscsi_finish_held(q);
	if (unlikely(events & POLLIN && q->nr_sent && q->finished == finished &&
		     q->nr_held == held && !q->lost) &&
	    (unsigned)libiscsi.queue_length(q->context) + q->nr_held < q->nr_sent)
		iscsi_lose(q, ENOTCONN, "the iSCSI target broke the protocol");
	if (unlikely(q->lost))
		iscsi_link_lost(q);
}

/* The same, and let it have what there was no room for. */
static void serve(struct iscsi_queue *q, short events)
{
	serve_once(q, events);
	while (unlikely(q->unsent.head) && !q->lost && iscsi_hand_over(q))
		serve_once(q, POLLOUT);
}

/* The completion fd fires when there is more to do. */
static void arm(struct iscsi_queue *q)
{
	if (!q->lost)
		uring_ready_arm(&q->ready, libiscsi.get_fd(q->context), events_of(q));
}

/* ---- Entering ----------------------------------------------------------------------------- */

/* What enter() waits for: so many requests, counted like finished. */
struct goal {
	struct iscsi_queue *q;
	unsigned before, wait_nr;
};

/* What is to be submitted again is a reason to return as well. */
static bool is_reached(const struct goal *g)
{
	const struct iscsi_queue *q = g->q;

	return q->finished - g->before >= g->wait_nr || !q->nr_inflight || q->lost ||
	       q->q.backlog.head;
}

static bool look(const void *arg)
{
	const struct goal *g = arg;

	serve(g->q, POLLIN);
	/* The caller's time may be over. */
	return is_reached(g) || g->q->session->braked;
}

/* Where the socket always has something, no sleep lets signals in. */
static cold_path int let_signals_in(const struct bk_wait *w)
{
	const struct timespec now = { 0 };
	const struct bk_wait moment = { .timeout = &now, .sigmask = w->sigmask };

	return wait_events(-1, 0, &moment) == -EINTR ? -EINTR : 0;
}

static int wait_once(const struct goal *g, const struct bk_wait *w)
{
	struct iscsi_queue *q = g->q;
	unsigned before = q->finished;
	int ret;

	if (q->q.is_poll)
		return wait_spin(look, g, w);
	ret = wait_events(libiscsi.get_fd(q->context), events_of(q), w);
	serve(q, POLLIN);
	if (unlikely(w && !ret && !q->lost && q->finished == before))
		ret = let_signals_in(w);
	return ret;
}

int iscsi_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	struct iscsi_queue *q = iscsi_queue_of(bq);
	struct goal goal = { q, q->finished, wait_nr };
	bool sends;
	int ret = 0;

	if (unlikely(q->lost)) {
		if (q->link.l.is_away)
			ret = net_link_wait(&q->link.l, wait_nr, w);
		if (q->lost)
			return ret;
		goal.wait_nr = wait_nr = 0; /* there was no less to wait for */
	}
	sends = iscsi_hand_over(q);
	serve(q, (wait_nr ? 0 : POLLIN) | (sends ? POLLOUT : 0));
	while (!ret && !is_reached(&goal)) {
		ret = wait_once(&goal, w);
		if (w)
			break;
	}
	if (unlikely(bq->notify_on))
		arm(q);
	return ret;
}

void iscsi_notify(struct blkioq *bq, bool on)
{
	struct iscsi_queue *q = iscsi_queue_of(bq);

	uring_ready_notify(&q->ready, on);
	net_link_notify(&q->link.l, on);
	if (on)
		arm(q);
}

/* ---- The end ------------------------------------------------------------------------------ */

static void end_session(struct iscsi_queue *q)
{
	iscsi_session_say_goodbye(q->session);
	iscsi_lose(q, ECANCELED, "the queue has ended");
	iscsi_link_lost(q);
}

enum bk_drained iscsi_drain(struct blkio *b, struct blkioq *bq, bool cancel)
{
	struct iscsi_queue *q = iscsi_queue_of(bq);

	(void)b;
	net_link_end(&q->link.l);
	iscsi_cancel_unsent(q);
	if (!q->lost && q->nr_inflight)
		serve(q, POLLIN);
	if (!q->lost && q->nr_inflight && cancel) {
		iscsi_lose(q, ECANCELED, "the queue ended before the iSCSI target replied");
		iscsi_link_lost(q);
	}
	if (!q->lost && !q->nr_inflight)
		end_session(q);
	return q->nr_inflight ? BK_BUSY : BK_QUIET;
}
