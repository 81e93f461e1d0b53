/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * See pump.h. Each block has a slot: read -> (looked through) -> written, in as many requests as it
 * has runs of data and of zeroes. When comparing: read from both sides -> compared. When a block
 * cannot be read and errors are to be skipped: read again in small pieces, one after the other.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pump.h"
#include "tool.h"

#define ZERO_GRANULARITY 65536
#define RESCUE_PIECE_MIN 4096

struct slot {
	struct slot *next; /* of the free ones */
	uint64_t start;
	size_t len;
	char *src, *dst;  /* buffers */
	unsigned pending; /* requests */
	bool writing;
	bool failed;
	bool rescue;	   /* read piece by piece */
	size_t rescued;	   /* up to here in the block */
	size_t unreadable; /* of which these many last bytes are not readable */
};

struct side {
	struct target *t;
	struct blkioq *q;
	int fd;
	unsigned outstanding;
	struct blkio_completion *completions;
	unsigned max;
};

struct pump {
	const struct pump_plan *plan;
	struct pump_result *result;
	struct progress *progress;
	struct side src, dst;
	struct slot *slots, *free;
	unsigned busy;	 /* slots */
	uint64_t next;	 /* offset of the next block */
	uint64_t moved;	 /* bytes, for the progress bar */
	uint64_t undone; /* the lowest block that was given up for stopping */
	size_t piece;	 /* of blocks that cannot be read at once */
	bool stopping;
};

/* ---- Failures ----------------------------------------------------------------------------- */

static void fail(struct pump *p, struct slot *s, const struct side *side,
		 const struct blkio_completion *c)
{
	struct pump_failure *f = &p->result->failure;

	p->stopping = true;
	s->failed = true;
	if (f->what && f->start <= s->start)
		return;
	*f = (struct pump_failure){
		.what = !s->writing ? "read" : "write",
		.target = side->t,
		.start = s->start,
		.len = s->len,
		.error = -c->ret,
		.msg = c->error_msg,
	};
}

static void found_difference(struct pump *p, uint64_t at)
{
	p->stopping = true;
	if (at < p->result->differs_at)
		p->result->differs_at = at;
}

/* ---- Blocks that cannot be read ----------------------------------------------------------- */

static size_t rescue_piece(const struct pump *p, const struct slot *s)
{
	size_t left = s->len - s->rescued;

	return left < p->piece ? left : p->piece;
}

static void read_piece(struct pump *p, struct slot *s)
{
	blkioq_read(p->src.q, s->start + s->rescued, s->src + s->rescued, rescue_piece(p, s), s, 0);
	p->src.outstanding++;
	s->pending++;
}

static void report_unreadable(struct pump *p, struct slot *s)
{
	if (!s->unreadable)
		return;
	progress_clear(p->progress);
	tool_warn("%s: cannot read %zu bytes at offset %llu; they are zeroes in the copy",
		  p->src.t->text, s->unreadable,
		  (unsigned long long)(s->start + s->rescued - s->unreadable));
	p->result->unreadable += s->unreadable;
	s->unreadable = 0;
}

/* A piece, or at first the whole block, has been read or not. */
static void rescue(struct pump *p, struct slot *s, bool ok)
{
	size_t piece = rescue_piece(p, s);

	if (!s->rescue) {
		s->rescue = true;
		s->rescued = s->unreadable = 0;
		return;
	}
	if (ok) {
		report_unreadable(p, s);
	} else {
		memset(s->src + s->rescued, 0, piece);
		s->unreadable += piece;
	}
	s->rescued += piece;
	if (s->rescued == s->len)
		report_unreadable(p, s);
}

/* The next piece; once stopping, the block is left undone. */
static void continue_rescue(struct pump *p, struct slot *s)
{
	if (!p->stopping) {
		read_piece(p, s);
		return;
	}
	report_unreadable(p, s);
	s->failed = true;
	if (s->start < p->undone)
		p->undone = s->start;
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

static void read_block(struct pump *p)
{
	struct slot *s = p->free;
	uint64_t left = p->plan->size - p->next;

	p->free = s->next;
	p->busy++;
	s->start = p->next;
	s->len = left < p->plan->block ? left : p->plan->block;
	s->writing = s->failed = s->rescue = false;
	s->pending = 1;
	p->next += s->len;
	blkioq_read(p->src.q, s->start, s->src, s->len, s, 0);
	p->src.outstanding++;
	if (p->plan->compare) {
		blkioq_read(p->dst.q, s->start, s->dst, s->len, s, 0);
		p->dst.outstanding++;
		s->pending++;
	}
}

static bool is_zero(const char *buf, size_t len)
{
	const size_t head = len < 16 ? len : 16;

	for (size_t i = 0; i < head; i++) {
		if (buf[i])
			return false;
	}
	return !memcmp(buf, buf + head, len - head);
}

static void write_run(struct pump *p, struct slot *s, size_t from, size_t to, bool zero)
{
	if (zero)
		p->result->zeroes += to - from;
	if (zero && p->plan->skip_zeroes)
		return;
	if (zero)
		blkioq_write_zeroes(p->dst.q, s->start + from, to - from, s, 0);
	else
		blkioq_write(p->dst.q, s->start + from, s->src + from, to - from, s, 0);
	p->dst.outstanding++;
	s->pending++;
}

/* Runs of data and of zeroes, in pieces of ZERO_GRANULARITY. */
static void write_block(struct pump *p, struct slot *s)
{
	size_t begin = 0;
	bool zero = false;

	s->writing = true;
	if (!p->plan->find_zeroes) {
		write_run(p, s, 0, s->len, false);
		return;
	}
	for (size_t at = 0; at < s->len; at += ZERO_GRANULARITY) {
		size_t left = s->len - at;
		bool now = is_zero(s->src + at, left < ZERO_GRANULARITY ? left : ZERO_GRANULARITY);

		if (at && now != zero) {
			write_run(p, s, begin, at, zero);
			begin = at;
		}
		zero = now;
	}
	write_run(p, s, begin, s->len, zero);
}

static void compare_block(struct pump *p, const struct slot *s)
{
	size_t i = 0;

	if (!memcmp(s->src, s->dst, s->len))
		return;
	while (s->src[i] == s->dst[i])
		i++;
	found_difference(p, s->start + i);
}

/* All requests of the slot are done: what is next for it? */
static void advance(struct pump *p, struct slot *s)
{
	if (s->rescue && !s->writing && s->rescued < s->len)
		continue_rescue(p, s);
	else if (!s->failed && p->plan->compare)
		compare_block(p, s);
	else if (!s->failed && !s->writing)
		write_block(p, s);
	if (!s->pending)
		release(p, s);
}

/* ---- Waiting ------------------------------------------------------------------------------ */

/* Returns how many requests have completed. */
static int collect(struct pump *p, struct side *side)
{
	int n = blkioq_do_io(side->q, side->completions, 0, (int)side->max, NULL);

	if (n < 0)
		target_die(side->t, "I/O");
	side->outstanding -= (unsigned)n;
	for (int i = 0; i < n; i++) {
		const struct blkio_completion *c = &side->completions[i];
		struct slot *s = c->user_data;

		if (p->plan->skip_errors && !s->writing && (c->ret < 0 || s->rescue))
			rescue(p, s, !c->ret);
		else if (c->ret < 0)
			fail(p, s, side, c);
		if (!--s->pending)
			advance(p, s);
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

static void side_init(struct side *side, struct target *t, unsigned max)
{
	*side = (struct side){ .t = t, .q = blkio_get_queue(t->b, 0), .max = max };
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
	struct blkio_mem_region region = target_memory(plan->dst, plan->src, each * plan->depth);

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

/* Everything before this is done, when nothing is in flight. */
static uint64_t done_before(const struct pump *p)
{
	const struct pump_result *r = p->result;
	uint64_t done = p->undone < p->next ? p->undone : p->next;

	if (r->failure.what && r->failure.start < done)
		done = r->failure.start;
	return r->differs_at < done ? r->differs_at : done;
}

void pump_run(const struct pump_plan *plan, struct pump_result *result, struct progress *progress)
{
	unsigned max = plan->depth * (unsigned)(plan->block / 4096 + 1);
	struct pump p = {
		.plan = plan,
		.result = result,
		.progress = progress,
		.undone = UINT64_MAX,
		.piece = target_number(plan->src, "request-alignment"),
	};
	struct blkio_mem_region region;

	if (p.piece < RESCUE_PIECE_MIN)
		p.piece = RESCUE_PIECE_MIN;
	*result = (struct pump_result){ .differs_at = UINT64_MAX };
	side_init(&p.src, plan->src, max);
	side_init(&p.dst, plan->dst, max);
	region = slots_init(&p);
	for (;;) {
		bool moved;

		p.stopping |= tool_stop_signal != 0;
		while (!p.stopping && p.free && p.next < plan->size)
			read_block(&p);
		if (!p.busy)
			break;
		moved = collect(&p, &p.src) > 0;
		moved |= collect(&p, &p.dst) > 0;
		progress_update(progress, p.moved);
		if (!moved)
			sleep_until_event(&p);
	}
	result->done = done_before(&p);
	side_exit(&p.src);
	side_exit(&p.dst);
	target_free_memory(plan->dst, plan->src, &region);
	free(p.slots);
}
