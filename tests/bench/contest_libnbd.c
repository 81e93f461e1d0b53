/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The same loop over libnbd, with its asynchronous calls and completion callbacks. */
#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <string.h>

#include "contest.h"

struct side {
	struct nbd_handle *nbd;
	char *buf;
	unsigned *free, nr_free; /* buffers */
	unsigned done;
};

struct slot {
	struct side *side;
	unsigned index;
};

static void must(const char *what, int ret)
{
	if (ret < 0)
		bench_die(what, nbd_get_error());
}

/* best: nothing that is not needed to read. */
void *libnbd_open(const struct workload *w, const struct contender *c)
{
	struct side *s = calloc(1, sizeof(*s));

	if (!s || posix_memalign((void **)&s->buf, 4096, (size_t)w->len * w->depth))
		bench_die("memory", "none left");
	s->free = calloc(w->depth, sizeof(*s->free));
	s->nbd = nbd_create();
	if (!s->free || !s->nbd)
		bench_die("memory", "none left");
	for (unsigned i = 0; i < w->depth; i++)
		s->free[s->nr_free++] = i;
	if (c->best) {
		must("structured replies", nbd_set_request_structured_replies(s->nbd, false));
		must("pread initialize", nbd_set_pread_initialize(s->nbd, false));
		must("strict mode", nbd_set_strict_mode(s->nbd, 0));
	}
	must("connect", nbd_connect_unix(s->nbd, w->path));
	return s;
}

static int read_is_done(void *data, int *error)
{
	struct slot *slot = data;

	if (*error)
		bench_die("read", strerror(*error));
	slot->side->free[slot->side->nr_free++] = slot->index;
	slot->side->done++;
	return 1;
}

static void prepare(struct side *s, const struct workload *w, struct slot *slots, uint32_t *seed)
{
	unsigned i = s->free[--s->nr_free];
	nbd_completion_callback callback = { .callback = read_is_done, .user_data = &slots[i] };

	slots[i] = (struct slot){ s, i };
	if (nbd_aio_pread(s->nbd, s->buf + (size_t)i * w->len, w->len, next_offset(seed, w),
			  callback, 0) < 0)
		bench_die("read", nbd_get_error());
}

/* What nbd_poll() does, without the time that it takes to look for a timeout. */
static void wait(struct side *s)
{
	unsigned direction = nbd_aio_get_direction(s->nbd);
	struct pollfd p = { .fd = nbd_aio_get_fd(s->nbd) };

	if (direction & LIBNBD_AIO_DIRECTION_READ)
		p.events |= POLLIN;
	if (direction & LIBNBD_AIO_DIRECTION_WRITE)
		p.events |= POLLOUT;
	if (poll(&p, 1, -1) < 0)
		bench_die("poll", strerror(errno));
	if (p.revents & POLLIN)
		must("read", nbd_aio_notify_read(s->nbd));
	else if (p.revents & POLLOUT)
		must("write", nbd_aio_notify_write(s->nbd));
}

void libnbd_run(void *state, const struct workload *w, unsigned requests)
{
	struct side *s = state;
	struct slot *slots = calloc(w->depth, sizeof(*slots));
	unsigned queued = 0;
	uint32_t seed = 1;

	if (!slots)
		bench_die("memory", "none left");
	s->done = 0;
	while (s->done < requests) {
		for (; s->nr_free && queued < requests; queued++)
			prepare(s, w, slots, &seed);
		wait(s);
	}
	free(slots);
}

void libnbd_close(void *state)
{
	struct side *s = state;

	nbd_close(s->nbd);
	free(s->free);
	free(s->buf);
	free(s);
}
