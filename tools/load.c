/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * See load.h. The clock is read once per batch of completions, and that time is both the end of
 * those and the begin of the requests that replace them.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"
#include "tool.h"

/* Without latencies the clock only says when to stop. */
#define BATCHES_PER_CLOCK 64

static bool load_failed; /* some thread did: all end */

struct slot {
	char *buf;
	int64_t begin_ns;
	uint64_t start;
	bool is_write;
};

enum phase { WARM_UP, MEASURE, DRAIN };

struct run {
	struct load_worker *w;
	const struct load_plan *plan;
	struct blkioq *q;
	struct blkio_completion *completions;
	struct slot *slots;
	struct blkio_mem_region region;
	enum phase phase;
	uint64_t random;		    /* state of the generator */
	uint64_t first_block, blocks, next; /* sequential: this thread's share */
	uint64_t submitted, write_below;
	unsigned in_flight, batches;
	int64_t now;
};

/* ---- Requests ----------------------------------------------------------------------------- */

/* xorshift64*: cheap, and good enough to choose blocks. */
static inline uint64_t next_random(struct run *r)
{
	r->random ^= r->random >> 12;
	r->random ^= r->random << 25;
	r->random ^= r->random >> 27;
	return r->random * 0x2545f4914f6cdd1dULL;
}

static inline uint64_t next_block(struct run *r, uint64_t random)
{
	uint64_t block;

	if (r->plan->random)
		return (uint64_t)((unsigned __int128)random * r->plan->blocks >> 64);
	block = r->first_block + r->next;
	r->next = r->next + 1 == r->blocks ? 0 : r->next + 1;
	return block;
}

static inline void submit(struct run *r, struct slot *s)
{
	uint64_t random = next_random(r);

	s->start = next_block(r, random) * r->plan->block;
	s->is_write = (random & 0xffffffff) < r->write_below;
	s->begin_ns = r->now;
	if (s->is_write)
		blkioq_write(r->q, s->start, s->buf, r->plan->block, s, 0);
	else
		blkioq_read(r->q, s->start, s->buf, r->plan->block, s, 0);
	r->submitted++;
	r->in_flight++;
}

static void fail(struct run *r, int error, const struct slot *s, const char *msg)
{
	struct load_result *result = &r->w->result;

	__atomic_store_n(&load_failed, true, __ATOMIC_RELAXED);
	r->phase = DRAIN;
	if (result->failure.error)
		return;
	result->failure.error = error;
	result->failure.is_write = s && s->is_write;
	result->failure.start = s ? s->start : 0;
	snprintf(result->failure.msg, sizeof(result->failure.msg), "%s", msg ? msg : "");
}

static inline void complete(struct run *r, const struct blkio_completion *c)
{
	struct slot *s = c->user_data;
	struct load_result *result = &r->w->result;

	r->in_flight--;
	if (__builtin_expect(c->ret < 0, 0))
		fail(r, -c->ret, s, c->error_msg);
	if (r->phase == MEASURE) {
		result->ios[s->is_write]++;
		if (r->plan->latency)
			histogram_add(&result->latency[s->is_write],
				      (uint64_t)(r->now - s->begin_ns));
	}
	if (r->phase != DRAIN && r->submitted < r->plan->count)
		submit(r, s);
}

/* ---- Waiting ------------------------------------------------------------------------------ */

static int sleep_on_fd(struct run *r)
{
	struct pollfd pfd = { blkioq_get_completion_fd(r->q), POLLIN, 0 };
	uint64_t ignored;

	if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
		return -errno;
	return read(pfd.fd, &ignored, sizeof(ignored)) < 0 && errno != EAGAIN ? -errno : 0;
}

static inline int wait_for_some(struct run *r)
{
	int min = r->plan->batch < (int)r->in_flight ? r->plan->batch : (int)r->in_flight;
	int n;

	if (r->plan->wait == WAIT_LOOP || r->plan->wait == WAIT_EVENTFD)
		min = 0;
	n = blkioq_do_io(r->q, r->completions, min, (int)r->plan->depth, NULL);
	if (n || r->plan->wait != WAIT_EVENTFD)
		return n;
	return sleep_on_fd(r);
}

static void update_phase(struct run *r)
{
	struct load_result *result = &r->w->result;

	r->now = tool_now_ns();
	if (r->phase == WARM_UP && r->now >= result->begin_ns) {
		r->phase = MEASURE;
		result->begin_ns = r->now;
	}
	if (r->phase == MEASURE) {
		result->end_ns = r->now;
		if (r->now - result->begin_ns >= r->plan->time_ns)
			r->phase = DRAIN;
	}
	if (tool_stop_signal || __atomic_load_n(&load_failed, __ATOMIC_RELAXED))
		r->phase = DRAIN;
}

static void drive(struct run *r)
{
	const struct load_plan *plan = r->plan;

	r->now = tool_now_ns();
	r->w->result.begin_ns = r->w->result.end_ns = r->now + plan->warm_up_ns;
	r->phase = plan->warm_up_ns ? WARM_UP : MEASURE;
	for (unsigned i = 0; i < plan->depth && r->submitted < plan->count; i++)
		submit(r, &r->slots[i]);
	while (r->in_flight) {
		int n = wait_for_some(r);

		if (n < 0) {
			fail(r, -1, NULL, blkio_get_error_msg());
			return; /* blkio_destroy() waits for what is in flight */
		}
		if (plan->latency ? n > 0 : r->batches++ % BATCHES_PER_CLOCK == 0)
			update_phase(r);
		for (int i = 0; i < n; i++)
			complete(r, &r->completions[i]);
		__atomic_store_n(&r->w->done, r->w->done + (unsigned)n, __ATOMIC_RELAXED);
	}
	if (r->phase == MEASURE)
		r->w->result.end_ns = tool_now_ns();
}

/* ---- Threads ------------------------------------------------------------------------------ */

static void run_init(struct run *r, struct load_worker *w)
{
	const struct load_plan *plan = w->plan;
	uint64_t share = plan->blocks / plan->threads;
	bool poll_queue = plan->wait == WAIT_POLL;

	*r = (struct run){ .w = w, .plan = plan };
	r->q = poll_queue ? blkio_get_poll_queue(plan->t->b, (int)w->index)
			  : blkio_get_queue(plan->t->b, (int)w->index);
	if (plan->wait == WAIT_EVENTFD)
		blkioq_set_completion_fd_enabled(r->q, true);
	r->random = plan->seed * 0x9e3779b97f4a7c15ULL + w->index + 1;
	r->blocks = share ? share : plan->blocks;
	r->first_block = share ? share * w->index : 0;
	r->write_below = (uint64_t)plan->write_percent * 0x100000000ULL / 100;
	r->completions = tool_alloc(plan->depth, sizeof(*r->completions));
	r->slots = tool_alloc(plan->depth, sizeof(*r->slots));
}

static void fill_buffers(struct run *r)
{
	uint64_t *words = r->region.addr;

	for (size_t i = 0; i < r->region.len / sizeof(*words); i++)
		words[i] = next_random(r);
	for (unsigned i = 0; i < r->plan->depth; i++)
		r->slots[i].buf = (char *)r->region.addr + i * r->plan->block;
}

static void *work(void *arg)
{
	static pthread_mutex_t mapping = PTHREAD_MUTEX_INITIALIZER; /* blkio_*() do not overlap */
	struct load_worker *w = arg;
	struct run r;

	run_init(&r, w);
	pthread_mutex_lock(&mapping);
	r.region = target_memory(w->plan->t, NULL, w->plan->block * w->plan->depth);
	pthread_mutex_unlock(&mapping);
	fill_buffers(&r);
	drive(&r);
	free(r.completions);
	free(r.slots);
	__atomic_store_n(&w->finished, true, __ATOMIC_RELEASE);
	return NULL;
}

struct load_worker *load_start(const struct load_plan *plan)
{
	struct load_worker *workers = tool_alloc(plan->threads, sizeof(*workers));

	for (unsigned i = 0; i < plan->threads; i++) {
		int error;

		workers[i].plan = plan;
		workers[i].index = i;
		error = pthread_create(&workers[i].thread, NULL, work, &workers[i]);
		if (error)
			tool_die("cannot start thread %u: %s", i, strerror(error));
	}
	return workers;
}

void load_join(struct load_worker *workers)
{
	for (unsigned i = 0; i < workers->plan->threads; i++)
		pthread_join(workers[i].thread, NULL);
}
