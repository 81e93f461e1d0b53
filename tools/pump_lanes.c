/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * See pump.h. Each lane copies a stripe after the other, in a thread and with queues and buffers of
 * its own. As the stripes are taken in order, and a lane that fails at some offset has the others
 * go on up to there, there is one offset before which everything is done.
 */
#include <pthread.h>
#include <stdlib.h>

#include "pump_slot.h"
#include "tool.h"

#define PIECE_MIN 4096
#define STRIPE	  (4 << 20)

struct lane {
	struct pump pump;
	struct pump_plan plan; /* with what is known of the targets: each lane asks for itself */
	struct pump_result result;
	struct blkio_mem_region region;
	pthread_t thread;
};

/* ---- Set-up ------------------------------------------------------------------------------- */

static void side_init(struct side *side, struct pump_end *end, unsigned lane, unsigned max)
{
	*side = (struct side){ .end = end, .q = target_queue(end->t, false, lane), .max = max };
	side->completions = tool_alloc(max, sizeof(*side->completions));
	if (end->extents.q)
		end->extents.q = side->q;
}

static void slots_init(struct lane *lane)
{
	const struct pump_plan *plan = &lane->plan;
	size_t each = plan->block * (plan->compare ? 2 : 1);
	struct pump *p = &lane->pump;

	lane->region = target_memory(plan->dst.t, plan->src.t, each * plan->depth);
	p->slots = tool_alloc(plan->depth, sizeof(*p->slots));
	for (unsigned i = 0; i < plan->depth; i++) {
		struct slot *s = &p->slots[i];

		s->src = (char *)lane->region.addr + i * each;
		s->dst = s->src + plan->block;
		s->next = p->free;
		p->free = s;
	}
}

static void lane_init(struct lane *lane, const struct pump_plan *plan, unsigned number,
		      struct pump_share *share)
{
	unsigned depth = plan->depth / plan->lanes;
	unsigned max = depth * (unsigned)(plan->block / 4096 + 1) + 1;
	struct pump *p = &lane->pump;

	lane->plan = *plan;
	lane->plan.depth = depth;
	lane->result.differs_at = UINT64_MAX;
	*p = (struct pump){
		.share = share,
		.lane = number,
		.plan = &lane->plan,
		.result = &lane->result,
		.undone = UINT64_MAX,
		.good = UINT64_MAX,
		.piece = target_number(plan->src.t, "request-alignment"),
	};
	if (p->piece < PIECE_MIN)
		p->piece = PIECE_MIN;
	side_init(&p->src, &lane->plan.src, number, max);
	side_init(&p->dst, &lane->plan.dst, number, max);
	slots_init(lane);
}

static void lane_exit(struct lane *lane)
{
	free(lane->pump.src.completions);
	free(lane->pump.dst.completions);
	target_free_memory(lane->plan.dst.t, lane->plan.src.t, &lane->region);
	free(lane->pump.slots);
}

/* Only what goes through the page cache can be dirty there. */
static int dirty_fd(const struct pump_plan *plan)
{
	return plan->compare || target_bool(plan->dst.t, "direct") ? -1 : plan->dst.place->fd;
}

/* ---- Results ------------------------------------------------------------------------------ */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Of the stripes that the lane has taken, everything before this is done. */
static uint64_t done_before(const struct lane *lane)
{
	const struct pump_result *r = &lane->result;
	const struct pump *p = &lane->pump;
	uint64_t done = p->undone;

	if (p->next < p->end)
		done = min_u64(done, p->next);
	if (r->failure.what)
		done = min_u64(done, r->failure.start);
	return min_u64(done, r->differs_at);
}

static void add_result(struct pump_result *all, const struct lane *lane)
{
	const struct pump_result *r = &lane->result;

	all->done = min_u64(all->done, done_before(lane));
	all->zeroes += r->zeroes;
	all->differs_at = min_u64(all->differs_at, r->differs_at);
	if (r->failure.what && (!all->failure.what || r->failure.start < all->failure.start))
		all->failure = r->failure;
	/* Only one lane can skip errors: see pump.h. */
	if (r->nr_unreadable) {
		all->unreadable = r->unreadable;
		all->nr_unreadable = r->nr_unreadable;
	}
}

/* ---- Running ------------------------------------------------------------------------------ */

static void *work(void *arg)
{
	struct lane *lane = arg;

	pump_work(&lane->pump);
	return NULL;
}

/* How many there are then. Others do the work of those that cannot be started. */
static unsigned start_lanes(struct lane *lanes, unsigned n)
{
	for (unsigned i = 1; i < n; i++) {
		if (tool_thread(&lanes[i].thread, work, &lanes[i]))
			return i;
	}
	return n;
}

void pump_run(struct pump_plan *plan, struct pump_result *result, struct progress *progress)
{
	struct pump_share share = { .stripe = plan->lanes > 1 ? STRIPE : plan->size,
				    .stop_at = UINT64_MAX,
				    .progress = progress };
	struct lane *lanes = tool_alloc(plan->lanes, sizeof(*lanes));
	unsigned n;

	for (unsigned i = 0; i < plan->lanes; i++)
		lane_init(&lanes[i], plan, i, &share);
	writeback_start(&share.writeback, dirty_fd(plan));
	n = start_lanes(lanes, plan->lanes);
	pump_work(&lanes[0].pump);
	for (unsigned i = 1; i < n; i++)
		pthread_join(lanes[i].thread, NULL);
	pump_check_writeback(&lanes[0].pump, writeback_end(&share.writeback));
	*result = (struct pump_result){ .done = min_u64(share.next, plan->size),
					.differs_at = UINT64_MAX };
	for (unsigned i = 0; i < n; i++)
		add_result(result, &lanes[i]);
	for (unsigned i = 0; i < plan->lanes; i++)
		lane_exit(&lanes[i]);
	free(lanes);
}
