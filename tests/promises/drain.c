/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * blkio_drain() may be called in any state, as often as one likes, and with whatever time: what it
 * says is true, and each request has one completion. blkio_remove_queue() is the same for a queue.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hold.h"

enum { LEN = 4096, PER_QUEUE = 8 };

/* A server was cut off, and will know when it goes on. */
static void release(struct hold *h)
{
	hold_release(h);
	hold_release_after(h, 0);
}

/* ---- Again and again ---------------------------------------------------------------------- */

/* What can be cancelled is, so it may be over at once; then it stays so. */
static void drain_at_once(struct setting *s)
{
	struct timespec none = { 0 };
	int ret = -ETIME;

	for (int i = 0; i < 3; i++) {
		if (!ret)
			CHECK_EQ(blkio_drain(s->b, &none), 0);
		else
			ret = blkio_drain(s->b, &none);
		CHECK(!ret || ret == -ETIME);
	}
	CHECK_EQ(none.tv_sec + none.tv_nsec, 0);
}

static void drain_twice(struct setting *s)
{
	struct timespec none = { 0 };

	CHECK_EQ(blkio_drain(s->b, NULL), 0);
	CHECK_EQ(blkio_drain(s->b, &none), 0);
	CHECK_EQ(blkio_drain(s->b, NULL), 0);
}

static void drain_again(struct setting *s)
{
	struct hold *h = hold_start(s, PER_QUEUE);

	setting_call(s, drain_at_once);
	release(h);
	/* Of a single-issuer ring only the owner knows. */
	if (s->kind == SINGLE_ISSUER)
		drain_twice(s);
	else
		setting_call(s, drain_twice);
	hold_check_untouched(h);
	blkio_destroy(&s->b);
	hold_free(h);
}

static void drain_before_start(struct setting *s)
{
	char *buf = buffer(LEN);
	struct blkio *b = device_create(s->d);

	s->b = b;
	setting_call(s, drain_twice);
	CHECK_OK(blkio_connect(b));
	setting_call(s, drain_twice);
	blkio_destroy(&s->b);
	setting_start(s);
	CHECK_EQ(io_write(setting_queue(s, 0), 0, buf, LEN, 0), 0);
	CHECK_ERR(blkio_drain(s->b, &(struct timespec){ .tv_sec = -1 }), EINVAL, "timeout");
	CHECK_EQ(io_read(setting_queue(s, 0), 0, buf, LEN, 0), 0);
	blkio_destroy(&s->b);
	buffer_free(buf);
}

/* Not by the owner of the ring, so that nothing can be cancelled. */
static void remove_silent(struct setting *s)
{
	CHECK_ERR(blkio_remove_queue(s->b, 0), ETIME, "in flight");
}

static void remove_queue(struct setting *s)
{
	CHECK_OK(blkio_remove_queue(s->b, 0));
	CHECK_ERR(blkio_remove_queue(s->b, 0), ENOENT, "0");
}

static void remove_again(struct setting *s)
{
	struct hold *h = hold_start(s, PER_QUEUE);
	char *buf = buffer(LEN);
	int other;

	setting_call(s, remove_silent);
	/* It is there, and takes nothing; another works. */
	CHECK_IO_ERR(io_read(setting_queue(s, 0), 0, buf, LEN, 0), ECANCELED, "ended");
	other = blkio_add_queue(s->b);
	CHECK(other > 0);
	CHECK_EQ(io_read(blkio_get_queue(s->b, other), 0, buf, LEN, 0), 0);
	release(h);
	remove_queue(s);
	hold_check_untouched(h);
	CHECK_EQ(io_read(blkio_get_queue(s->b, other), 0, buf, LEN, 0), 0);
	blkio_destroy(&s->b);
	buffer_free(buf);
	hold_free(h);
}

/* ---- Completions -------------------------------------------------------------------------- */

static void drain(struct setting *s)
{
	CHECK_EQ(blkio_drain(s->b, NULL), 0);
}

enum { N = 300 };

/* Requests of all kinds that take more than one operation, many more than a ring holds. */
static void queue_stages(struct setting *s, struct blkioq *q, char *buf, unsigned char *seen)
{
	struct iovec iov[2] = { { buf, LEN }, { buf + LEN, LEN } };
	int align = get_int(s->b, "request-alignment");

	for (int i = 0; i < N; i += 3) {
		blkioq_write(q, 0, buf, LEN, seen + i, BLKIO_REQ_FUA);
		blkioq_write_zeroes(q, align, 64 * LEN, seen + i + 1, BLKIO_REQ_FUA);
		blkioq_readv(q, 0, iov, 2, seen + i + 2, 0);
		if (i == N / 3)
			CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	}
}

static void amidst_stages(struct setting *s)
{
	static unsigned char seen[4][N];
	static struct blkio_completion c[N];
	char *buf = buffer(2 * LEN);

	setting_start(s);
	for (int i = 0; i < s->nr_queues; i++)
		queue_stages(s, setting_queue(s, i), buf, seen[i]);
	setting_call(s, drain);
	memset(buf, 0x55, 2 * LEN);
	for (int i = 0; i < s->nr_queues; i++) {
		CHECK_EQ(blkioq_do_io(setting_queue(s, i), c, N, N, NULL), N);
		for (int n = 0; n < N; n++) {
			CHECK(!c[n].ret || c[n].ret == -ECANCELED);
			++*(unsigned char *)c[n].user_data;
		}
		check_all(seen[i], N, 1);
	}
	check_all(buf, 2 * LEN, 0x55);
	blkio_destroy(&s->b);
	buffer_free(buf);
}

/* ---- Other ways to get there -------------------------------------------------------------- */

static void destroy(struct setting *s)
{
	blkio_destroy(&s->b);
}

/* Destroyed while a child has a copy of everything, which it does not use. */
static void child_has_a_copy(struct setting *s)
{
	struct hold *h = hold_start(s, PER_QUEUE);
	pid_t pid = (pid_t)SYS(fork_dependent());

	if (!pid) {
		pause();
		_exit(0);
	}
	hold_release_after(h, 100);
	setting_call(s, destroy);
	hold_check_untouched(h);
	SYS(kill(pid, SIGKILL));
	SYS(waitpid(pid, NULL, 0));
	hold_free(h);
}

#define RING_KINDS (KIND(PLAIN) | KIND(SINGLE_ISSUER) | KIND(SQ_POLL) | KIND(REGISTERED))
#define USUAL	   (CONDITION(QUIET) | CONDITION(SIGNALS) | CONDITION(ALL_AT_ONCE))

static const struct promise promises[] = {
	{ "drain again", drain_again, T_HOLDS, T_SLOW, RING_KINDS, USUAL },
	{ "drain before start", drain_before_start, T_STORES, T_ALIGNED | T_EXCLUSIVE, KIND(PLAIN),
	  CONDITION(QUIET) | CONDITION(OTHER_THREAD) },
	{ "remove_queue again", remove_again, T_HOLDS | T_ADD_QUEUES, T_SLOW, KIND(SINGLE_ISSUER),
	  CONDITION(OTHER_THREAD) },
	{ "drain amidst stages", amidst_stages, T_STORES, T_ALIGNED,
	  RING_KINDS | KIND(POLL) | KIND(BOUNCED), USUAL },
	{ "destroy while a child has a copy", child_has_a_copy, T_HOLDS, 0, RING_KINDS,
	  CONDITION(QUIET) | CONDITION(SIGNALS) },
};
PROMISES(promises)
