/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The same loop through libblkio. */
#include <string.h>

#include "contest.h"

enum { MAX_DEPTH = 1024 };

struct side {
	const struct library *lib;
	struct blkio *b;
	struct blkioq *q;
	struct blkio_mem_region region;
};

static void set(const struct library *l, struct blkio *b, const struct bool_prop props[2])
{
	for (int i = 0; i < 2 && props[i].name; i++)
		library_must(l, props[i].name, l->set_bool(b, props[i].name, props[i].value));
}

static struct blkio *connect_to(const struct contender *c, const char *path)
{
	const struct library *l = c->library;
	const char *place = c->place ? c->place : "path";
	struct blkio *b;

	library_must(l, "create", l->create(c->driver, &b));
	library_must(l, place, l->set_str(b, place, path));
	library_must(l, "read-only", l->set_bool(b, "read-only", true));
	set(l, b, c->before_connect);
	library_must(l, "connect", l->connect(b));
	return b;
}

uint64_t libblkio_size(const struct contender *c, const char *path)
{
	struct blkio *b = connect_to(c, path);
	uint64_t size;

	library_must(c->library, "capacity", blkio_get_uint64(b, "capacity", &size));
	c->library->destroy(&b);
	return size;
}

void *libblkio_open(const struct workload *w, const struct contender *c)
{
	struct side *s = calloc(1, sizeof(*s));
	const struct library *l = c->library;

	if (!s || w->depth > MAX_DEPTH)
		bench_die("depth", "too large");
	s->lib = l;
	s->b = connect_to(c, w->path);
	set(l, s->b, c->after_connect);
	library_must(l, "start", l->start(s->b));
	library_must(l, "alloc", l->alloc_mem_region(s->b, &s->region, (size_t)w->len * w->depth));
	library_must(l, "map", l->map_mem_region(s->b, &s->region));
	s->q = l->get_queue(s->b, 0);
	return s;
}

static void prepare(struct side *s, const struct workload *w, uintptr_t slot, uint32_t *seed)
{
	s->lib->read(s->q, next_offset(seed, w), (char *)s->region.addr + slot * w->len, w->len,
		     (void *)slot, 0);
}

void libblkio_run(void *state, const struct workload *w, unsigned requests)
{
	struct side *s = state;
	struct blkio_completion c[MAX_DEPTH];
	unsigned queued = 0, done = 0;
	uint32_t seed = 1;

	for (; queued < w->depth; queued++)
		prepare(s, w, queued, &seed);
	while (done < requests) {
		int n = s->lib->do_io(s->q, c, 1, (int)w->depth, NULL);

		library_must(s->lib, "do_io", n);
		for (int i = 0; i < n; i++) {
			if (c[i].ret)
				bench_die("read", strerror(-c[i].ret));
			if (queued < requests) {
				prepare(s, w, (uintptr_t)c[i].user_data, &seed);
				queued++;
			}
		}
		done += (unsigned)n;
	}
}

void libblkio_close(void *state)
{
	struct side *s = state;

	s->lib->destroy(&s->b);
	free(s);
}
