/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * See pump.h. Each block has a slot: read -> (looked through) -> written, in as many requests as it
 * has runs of data and of zeroes. When comparing: read from both sides -> compared. What is known
 * to be zero is not read. This file has the slots and the waiting of one lane; pump_lanes.c has the
 * lanes, pump_write.c writes, rescue.c reads around bad places.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pump_slot.h"
#include "tool.h"

/* ---- Failures ----------------------------------------------------------------------------- */

/* All lanes go on up to there: everything before it is to be done. */
static void stop_at(struct pump *p, uint64_t at)
{
	uint64_t old = atomic_load(&p->share->stop_at);

	p->stopping |= at < p->next;
	while (at < old && !atomic_compare_exchange_weak(&p->share->stop_at, &old, at))
		;
}

void pump_fail(struct pump *p, struct slot *s, const struct target *t, int error, const char *msg)
{
	struct pump_failure *f = &p->result->failure;

	stop_at(p, s->start);
	s->failed = true;
	if (f->what && f->start <= s->start)
		return;
	*f = (struct pump_failure){
		.what = s->writing ? "write" : "read",
		.target = t,
		.start = s->start,
		.len = s->len,
		.error = error,
		.msg = msg,
	};
}

static void found_difference(struct pump *p, uint64_t at)
{
	stop_at(p, at);
	if (at < p->result->differs_at)
		p->result->differs_at = at;
}

/* ---- Slots -------------------------------------------------------------------------------- */

static void release(struct pump *p, struct slot *s)
{
	if (!s->failed)
		atomic_fetch_add(&p->share->moved, s->len);
	s->next = p->free;
	p->free = s;
	p->busy--;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The next range of one kind, in s, which is not a block any more if both sides are zero. */
static void choose_range(struct pump *p, struct slot *s)
{
	struct pump_plan *plan = p->plan;
	struct extent src = extents_at(&plan->src.extents, p->next);
	struct extent dst = extents_at(&plan->dst.extents, p->next);
	uint64_t most = plan->block - p->next % plan->block;

	s->start = p->next;
	s->src_zero = src.zero;
	s->dst_zero = dst.zero;
	if (src.zero && dst.zero)
		most = UINT64_MAX;
	else if (src.zero && !plan->compare)
		most = plan->max_zeroes;
	s->len = min_u64(min_u64(min_u64(src.end, dst.end), p->end) - p->next, most);
	p->next += s->len;
}

/* Is it known what is next, on both sides? Otherwise ask. */
static bool is_known(struct side *side, uint64_t at)
{
	struct extents *e = &side->end->extents;

	if (extents_known(e, at))
		return true;
	if (!e->asking) {
		extents_ask(e, at);
		side->outstanding++;
	}
	return false;
}

/* Is there anything left, of this stripe or in another? */
static bool has_next(struct pump *p)
{
	struct pump_share *share = p->share;
	uint64_t size = p->plan->size;

	if (p->next == p->end && p->end < size) {
		p->next = min_u64(atomic_fetch_add(&share->next, share->stripe), size);
		p->end = min_u64(p->next + share->stripe, size);
	}
	return p->next < p->end && p->next < atomic_load(&share->stop_at);
}

static bool can_start(struct pump *p)
{
	bool known;

	p->stopping |= tool_stop_signal != 0;
	if (p->stopping || !p->free || !has_next(p))
		return false;
	known = is_known(&p->src, p->next);
	return is_known(&p->dst, p->next) && known;
}

static bool is_busy(const struct pump *p)
{
	return p->busy || p->src.end->extents.asking || p->dst.end->extents.asking;
}

static void start_block(struct pump *p)
{
	struct slot *s = p->free;

	p->free = s->next;
	p->busy++;
	s->writing = s->failed = s->refused = false;
	s->rewritten = 0;
	s->pending = 0;
	choose_range(p, s);
	if (!s->src_zero)
		pump_read(&p->src, s, s->start, s->src, s->len);
	if (p->plan->compare && !s->dst_zero)
		pump_read(&p->dst, s, s->start, s->dst, s->len);
	if (!p->plan->compare && s->src_zero)
		pump_write(p, s);
	if (!s->pending)
		release(p, s);
}

static void compare_block(struct pump *p, const struct slot *s)
{
	const char *one = s->src_zero ? s->dst : s->src;
	bool half = s->src_zero || s->dst_zero;
	uint64_t i = 0;

	if (half ? pump_is_zero(one, s->len) : !memcmp(s->src, s->dst, s->len))
		return;
	while (half ? !one[i] : s->src[i] == s->dst[i])
		i++;
	found_difference(p, s->start + i);
}

/* All requests of the slot are done: what is next for it? */
static void advance(struct pump *p, struct slot *s)
{
	if (s->rescue.step && rescue_continues(p, s))
		return;
	if (s->refused && !s->failed && pump_rewrite(p, s))
		return;
	if (!s->failed && p->plan->compare)
		compare_block(p, s);
	else if (!s->failed && !s->writing)
		pump_write(p, s);
	if (!s->pending)
		release(p, s);
}

/* ---- Waiting ------------------------------------------------------------------------------ */

void pump_check_writeback(struct pump *p, int error)
{
	const struct writeback_window *w = &p->share->writeback.failed;
	struct slot lost = { .writing = true, .start = w->start, .len = w->end - w->start };

	if (error)
		pump_fail(p, &lost, p->plan->dst.t, -error, "the data did not reach the disk");
}

static void completed(struct pump *p, struct slot *s, const struct side *side,
		      const struct blkio_completion *c)
{
	const struct target *t = side->end->t;

	if (s->rescue.step)
		rescue_completed(p, s, c);
	else if (c->ret == -EBUSY && s->writing && !s->refused)
		s->refused = true;
	else if (c->ret < 0 && !(side == &p->src && rescue_begins(p, s, -c->ret)))
		pump_fail(p, s, t, -c->ret, c->error_msg);
	else if (!c->ret && side == &p->src)
		p->good = s->start;
	if (--s->pending)
		return;
	if (s->writing && !s->failed && (!s->src_zero || s->rewritten))
		pump_check_writeback(p, writeback_written(&p->share->writeback, s->start, s->len));
	advance(p, s);
}

/* Returns how many requests have completed. */
static int collect(struct pump *p, struct side *side)
{
	int n = blkioq_do_io(side->q, side->completions, 0, (int)side->max, NULL);

	if (n < 0)
		target_die(side->end->t, "I/O");
	side->outstanding -= (unsigned)n;
	for (int i = 0; i < n; i++) {
		const struct blkio_completion *c = &side->completions[i];

		if (c->user_data == &side->end->extents)
			extents_answered(c->user_data, c);
		else
			completed(p, c->user_data, side, c);
	}
	return n;
}

static void sleep_until_event(struct pump *p)
{
	struct pollfd fds[] = { { p->src.fd, POLLIN, 0 }, { p->dst.fd, POLLIN, 0 } };
	uint64_t ignored;

	if (poll(fds, 2, -1) < 0 && errno != EINTR)
		tool_die("poll: %s", strerror(errno));
	for (int i = 0; i < 2; i++) {
		if ((fds[i].revents & POLLIN) && read(fds[i].fd, &ignored, sizeof(ignored)) < 0 &&
		    errno != EAGAIN)
			tool_die("cannot read a completion fd: %s", strerror(errno));
	}
}

/* ---- The work ----------------------------------------------------------------------------- */

static void begin_waiting(struct side *side)
{
	side->fd = blkioq_get_completion_fd(side->q);
	blkioq_set_completion_fd_enabled(side->q, true);
}

void pump_work(struct pump *p)
{
	begin_waiting(&p->src);
	begin_waiting(&p->dst);
	for (;;) {
		bool moved;

		while (can_start(p))
			start_block(p);
		if (!is_busy(p))
			break;
		moved = collect(p, &p->src) > 0;
		moved |= collect(p, &p->dst) > 0;
		if (!p->lane)
			progress_update(p->share->progress, atomic_load(&p->share->moved));
		if (!moved)
			sleep_until_event(p);
	}
	blkioq_set_completion_fd_enabled(p->src.q, false);
	blkioq_set_completion_fd_enabled(p->dst.q, false);
}
