/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See lane.h. */
#include "lane.h"
#include "sys.h"
#include "test.h"

#include <unistd.h>

enum { PAGE = 4096, SLOT = CHUNK + PAGE, PATIENCE_MS = 20000 };

static void count(uint64_t *total, uint64_t n)
{
	__atomic_fetch_add(total, n, __ATOMIC_RELAXED);
}

uint64_t random_below(uint64_t *state, uint64_t n)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state % n;
}

static bool one_in(struct lane *l, unsigned n)
{
	return !random_below(l->random, n);
}

/* ---- Memory and queues -------------------------------------------------------------------- */

static void get_memory(struct lane *l)
{
	struct stress *s = l->s;

	pthread_mutex_lock(&s->control);
	CHECK_OK(blkio_alloc_mem_region(s->b, &l->memory, (size_t)DEPTH * SLOT));
	l->is_mapped = s->must_map || one_in(l, 2);
	if (l->is_mapped) {
		CHECK_OK(blkio_map_mem_region(s->b, &l->memory));
		count(&s->totals->maps, 1);
	}
	pthread_mutex_unlock(&s->control);
	for (int i = 0; i < DEPTH; i++)
		l->requests[i].buf = (char *)l->memory.addr + (size_t)i * SLOT;
}

static void put_memory(struct lane *l)
{
	struct stress *s = l->s;

	pthread_mutex_lock(&s->control);
	if (l->is_mapped)
		blkio_unmap_mem_region(s->b, &l->memory);
	blkio_free_mem_region(s->b, &l->memory);
	pthread_mutex_unlock(&s->control);
}

static void replace_queue(struct lane *l)
{
	struct stress *s = l->s;

	pthread_mutex_lock(&s->control);
	CHECK_OK(blkio_remove_queue(s->b, l->index));
	l->index = blkio_add_queue(s->b);
	CHECK_OK(l->index);
	l->q = blkio_get_queue(s->b, l->index);
	pthread_mutex_unlock(&s->control);
	count(&s->totals->queues, 1);
}

void lane_change(struct lane *l)
{
	CHECK_EQ(l->inflight, 0);
	if (l->s->may_remap && one_in(l, 2)) {
		put_memory(l);
		get_memory(l);
	}
	if (l->s->may_add_queues && one_in(l, 2))
		replace_queue(l);
}

void lane_open(struct lane *l, int index)
{
	l->index = index;
	l->q = blkio_get_queue(l->s->b, index);
	l->scratch = malloc(CHUNK);
	CHECK(l->q && l->scratch);
	for (int i = 0; i < DEPTH; i++) {
		l->requests[i].next = l->free;
		l->free = &l->requests[i];
	}
	get_memory(l);
}

void lane_close(struct lane *l)
{
	lane_drain(l);
	put_memory(l);
	free(l->scratch);
}

/* ---- Requests ------------------------------------------------------------------------------- */

static enum kind choose_kind(struct lane *l)
{
	static const enum kind kinds[] = {
		READ,  READ,  READ,  READ,  READ,	  READ,		READ,	 READ,
		WRITE, WRITE, WRITE, WRITE, WRITE,	  WRITE,	WRITE,	 FLUSH,
		READ,  READ,  WRITE, WRITE, WRITE_ZEROES, WRITE_ZEROES, DISCARD,
	};

	return kinds[random_below(l->random, ARRAY_LEN(kinds))];
}

static size_t max_len(const struct stress *s, enum kind kind)
{
	if (kind == DISCARD)
		return s->max_discard;
	return kind == WRITE_ZEROES ? s->max_zeroes : s->max_io;
}

/* Blocks of the thread's that nobody uses; false if those that were looked at are in use. */
static bool choose_blocks(struct lane *l, struct request *r)
{
	struct shadow *sh = &l->s->shadow;
	size_t per_chunk = CHUNK / sh->block, chunks = sh->nr / per_chunk;
	size_t mine = (chunks - l->thread + l->s->nr_threads - 1) / l->s->nr_threads;
	size_t chunk = l->thread + random_below(l->random, mine) * l->s->nr_threads;
	size_t at = random_below(l->random, per_chunk);
	size_t max = max_len(l->s, r->kind) / sh->block;

	if (max > per_chunk - at)
		max = per_chunk - at;
	if (max > 8 && one_in(l, 2))
		max = 8;
	max = 1 + random_below(l->random, max);
	r->first = chunk * per_chunk + at;
	for (r->n = 0; r->n < max && !sh->busy[r->first + r->n];)
		r->n++;
	r->len = r->n * sh->block;
	return r->n;
}

/* Segments of any lengths that the device takes, the last one first in memory. */
static void cut(struct lane *l, struct request *r)
{
	size_t align = l->s->buf_align, left = r->len;
	size_t shift = random_below(l->random, 64 / align + 1) * align;
	char *end = r->buf + shift + left;
	int max = 1 + (int)random_below(l->random, (uint64_t)l->s->max_segments);

	r->nr_iov = 0;
	while (left) {
		size_t len = (1 + random_below(l->random, left / align)) * align;

		if (r->nr_iov == max - 1 || len > left)
			len = left;
		end -= len;
		left -= len;
		r->iov[r->nr_iov++] = (struct iovec){ end, len };
	}
}

static void scatter(const struct request *r, const char *data)
{
	for (int i = 0; i < r->nr_iov; data += r->iov[i++].iov_len)
		memcpy(r->iov[i].iov_base, data, r->iov[i].iov_len);
}

static void gather(const struct request *r, char *data)
{
	for (int i = 0; i < r->nr_iov; data += r->iov[i++].iov_len)
		memcpy(data, r->iov[i].iov_base, r->iov[i].iov_len);
}

static void prepare(struct lane *l, struct request *r)
{
	r->flags = 0;
	if (r->kind == WRITE_ZEROES)
		r->flags = (one_in(l, 2) ? BLKIO_REQ_NO_UNMAP : 0) |
			   (one_in(l, 4) ? BLKIO_REQ_NO_FALLBACK : 0);
	if (r->kind == READ || r->kind == WRITE)
		cut(l, r);
	if (r->kind == WRITE) {
		r->flags = one_in(l, 16) ? BLKIO_REQ_FUA : 0;
		r->version = ++*l->writes;
		shadow_fill(&l->s->shadow, r->first, r->n, r->version, l->scratch);
		scatter(r, l->scratch);
	} else if (r->kind == READ) {
		memset(r->buf, 0xee, SLOT);
	}
}

static void put_on_queue(struct blkioq *q, struct request *r, uint64_t start)
{
	switch (r->kind) {
	case READ:
		if (r->nr_iov == 1)
			blkioq_read(q, start, r->iov[0].iov_base, r->len, r, r->flags);
		else
			blkioq_readv(q, start, r->iov, r->nr_iov, r, r->flags);
		break;
	case WRITE:
		if (r->nr_iov == 1)
			blkioq_write(q, start, r->iov[0].iov_base, r->len, r, r->flags);
		else
			blkioq_writev(q, start, r->iov, r->nr_iov, r, r->flags);
		break;
	case WRITE_ZEROES:
		blkioq_write_zeroes(q, start, r->len, r, r->flags);
		break;
	case DISCARD:
		blkioq_discard(q, start, r->len, r, r->flags);
		break;
	default:
		blkioq_flush(q, r, r->flags);
	}
}

void lane_submit(struct lane *l)
{
	unsigned n = 1 + (unsigned)random_below(l->random, DEPTH);

	while (n-- && l->free) {
		struct request *r = l->free;

		r->kind = choose_kind(l);
		r->first = r->n = r->len = 0;
		if (r->kind != FLUSH && !choose_blocks(l, r))
			continue;
		prepare(l, r);
		l->free = r->next;
		l->inflight++;
		shadow_set_busy(&l->s->shadow, r->first, r->n, true);
		put_on_queue(l->q, r, r->first * l->s->shadow.block);
	}
}

/* ---- Completions ---------------------------------------------------------------------------- */

static bool is_allowed(const struct request *r, int ret)
{
	return !ret ||
	       (ret == -ENOTSUP && (r->kind == DISCARD || r->flags & BLKIO_REQ_NO_FALLBACK));
}

static void finish(struct lane *l, const struct blkio_completion *c)
{
	static const char *const names[] = { "read", "write", "write zeroes", "discard", "flush" };
	struct request *r = c->user_data;
	struct shadow *sh = &l->s->shadow;

	if (!is_allowed(r, c->ret)) {
		count(&l->s->totals->errors, 1);
		FAIL("%s of %zu blocks of %zu bytes at %zu: %s (%s)", names[r->kind], r->n,
		     sh->block, r->first, strerror(-c->ret),
		     c->error_msg ? c->error_msg : "no message");
	}
	if (r->kind == READ) {
		gather(r, l->scratch);
		count(&l->s->totals->verified, shadow_check(sh, r->first, r->n, l->scratch));
	} else if (r->kind == WRITE) {
		shadow_set(sh, r->first, r->n, r->version);
	} else if (r->kind == WRITE_ZEROES) {
		/* A kernel that refuses has dropped the page cache of the range already. */
		shadow_set(sh, r->first, r->n, c->ret ? SHADOW_ANYTHING : SHADOW_ZEROES);
	} else if (r->kind == DISCARD) {
		shadow_set(sh, r->first, r->n, SHADOW_ANYTHING);
	}
	shadow_set_busy(sh, r->first, r->n, false);
	count(&l->s->totals->done[r->kind], 1);
	r->next = l->free;
	l->free = r;
	l->inflight--;
}

static int wait_for_event(struct lane *l, struct blkio_completion *c, int max)
{
	int fd = blkioq_get_completion_fd(l->q), n;
	uint64_t events;

	blkioq_set_completion_fd_enabled(l->q, true);
	while (!(n = blkioq_do_io(l->q, c, 0, max, NULL))) {
		if (!readable(fd, PATIENCE_MS))
			FAIL("no event in %d ms, with %u requests in flight", PATIENCE_MS,
			     l->inflight);
		SYS(read(fd, &events, sizeof(events)));
	}
	blkioq_set_completion_fd_enabled(l->q, false);
	return n;
}

static int wait_a_little(struct lane *l, struct blkio_completion *c, int min, int max)
{
	struct timespec ts = { 0, (long)random_below(l->random, 1000000) };
	int n = blkioq_do_io(l->q, c, min, max, &ts);

	if (n != -ETIME)
		return n;
	count(&l->s->totals->timeouts, 1);
	return 0;
}

static void collect(struct lane *l, int min, int max)
{
	struct blkio_completion c[DEPTH];
	struct timespec patience = { PATIENCE_MS / 1000, 0 };
	int n;

	switch (random_below(l->random, 5)) {
	case 0:
		n = blkioq_do_io(l->q, c, 0, max, NULL);
		break;
	case 1:
		n = wait_a_little(l, c, min, max);
		break;
	case 2:
		n = wait_for_event(l, c, max);
		break;
	case 3:
		n = blkioq_do_io_interruptible(l->q, c, min, max, &patience, NULL);
		break;
	default:
		n = blkioq_do_io(l->q, c, min, max, &patience);
	}
	CHECK_OK(n);
	CHECK(n <= max);
	for (int i = 0; i < n; i++)
		finish(l, &c[i]);
}

void lane_collect(struct lane *l)
{
	if (l->inflight) {
		int min = 1 + (int)random_below(l->random, l->inflight);

		collect(l, min, min + (int)random_below(l->random, (uint64_t)(DEPTH - min + 1)));
	}
}

void lane_drain(struct lane *l)
{
	while (l->inflight)
		collect(l, 1, DEPTH);
}
