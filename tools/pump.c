/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * See pump.h. Each block has a slot: read -> (looked through) -> written, in as many requests as it
 * has runs of data and of zeroes. When comparing: read from both sides -> compared. What is known
 * to be zero is not read. This file has the slots and the waiting; pump_write.c writes, rescue.c
 * reads around bad places.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pump_slot.h"
#include "tool.h"

#define PIECE_MIN 4096

/* ---- Failures ----------------------------------------------------------------------------- */

void pump_fail(struct pump *p, struct slot *s, const struct target *t, int error, const char *msg)
{
	struct pump_failure *f = &p->result->failure;

	p->stopping = true;
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
	p->stopping = true;
	if (at < p->result->differs_at)
		p->result->differs_at = at;
}

/* ---- Slots -------------------------------------------------------------------------------- */

static void release(struct pump *p, struct slot *s)
{
	if (!s->failed)
		p->moved += s->len;
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
	s->len = min_u64(min_u64(src.end, dst.end) - p->next, most);
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

static bool can_start(struct pump *p)
{
	bool known;

	p->stopping |= tool_stop_signal != 0;
	if (p->stopping || !p->free || p->next >= p->plan->size)
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

static void check_writeback(struct pump *p, int error)
{
	const struct writeback_window *w = &p->writeback.failed;
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
		check_writeback(p, writeback_written(&p->writeback, s->start, s->len));
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

/* ---- Set-up ------------------------------------------------------------------------------- */

static void side_init(struct side *side, struct pump_end *end, unsigned max)
{
	*side = (struct side){ .end = end, .q = blkio_get_queue(end->t->b, 0), .max = max };
	side->fd = blkioq_get_completion_fd(side->q);
	side->completions = tool_alloc(max, sizeof(*side->completions));
	blkioq_set_completion_fd_enabled(side->q, true);
}

static void side_exit(struct side *side)
{
	blkioq_set_completion_fd_enabled(side->q, false);
	free(side->completions);
}

static struct blkio_mem_region slots_init(struct pump *p)
{
	const struct pump_plan *plan = p->plan;
	size_t each = plan->block * (plan->compare ? 2 : 1);
	struct blkio_mem_region region =
	    target_memory(plan->dst.t, plan->src.t, each * plan->depth);

	p->slots = tool_alloc(plan->depth, sizeof(*p->slots));
	for (unsigned i = 0; i < plan->depth; i++) {
		struct slot *s = &p->slots[i];

		s->src = (char *)region.addr + i * each;
		s->dst = s->src + plan->block;
		s->next = p->free;
		p->free = s;
	}
	return region;
}

/* Only what goes through the page cache can be dirty there. */
static int dirty_fd(const struct pump_plan *plan)
{
	return plan->compare || target_bool(plan->dst.t, "direct") ? -1 : plan->dst.place->fd;
}

/* Everything before this is done, when nothing is in flight. */
static uint64_t done_before(const struct pump *p)
{
	const struct pump_result *r = p->result;
	uint64_t done = min_u64(p->undone, p->next);

	if (r->failure.what)
		done = min_u64(done, r->failure.start);
	return min_u64(done, r->differs_at);
}

void pump_run(struct pump_plan *plan, struct pump_result *result, struct progress *progress)
{
	unsigned max = plan->depth * (unsigned)(plan->block / 4096 + 1) + 1;
	struct pump p = {
		.plan = plan,
		.result = result,
		.progress = progress,
		.undone = UINT64_MAX,
		.good = UINT64_MAX,
		.piece = target_number(plan->src.t, "request-alignment"),
	};
	struct blkio_mem_region region;

	if (p.piece < PIECE_MIN)
		p.piece = PIECE_MIN;
	*result = (struct pump_result){ .differs_at = UINT64_MAX };
	side_init(&p.src, &plan->src, max);
	side_init(&p.dst, &plan->dst, max);
	writeback_start(&p.writeback, dirty_fd(plan));
	region = slots_init(&p);
	for (;;) {
		bool moved;

		while (can_start(&p))
			start_block(&p);
		if (!is_busy(&p))
			break;
		moved = collect(&p, &p.src) > 0;
		moved |= collect(&p, &p.dst) > 0;
		progress_update(progress, p.moved);
		if (!moved)
			sleep_until_event(&p);
	}
	check_writeback(&p, writeback_end(&p.writeback));
	result->done = done_before(&p);
	side_exit(&p.src);
	side_exit(&p.dst);
	target_free_memory(plan->dst.t, plan->src.t, &region);
	free(p.slots);
}
