/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The same loop through libblkio. */
#include <string.h>

#include "bench.h"
#include "blkio.h"
#include "ring.h"

enum { MAX_DEPTH = 1024 };

struct side {
	struct blkio *b;
	struct blkioq *q;
	struct blkio_mem_region region;
};

static void must(const char *what, int ret)
{
	if (ret < 0)
		bench_die(what, blkio_get_error_msg());
}

void *libblkio_open(const struct workload *w, bool best)
{
	struct side *s = calloc(1, sizeof(*s));

	if (!s || w->depth > MAX_DEPTH)
		bench_die("depth", "too large");
	must("create", blkio_create("io_uring", &s->b));
	must("path", blkio_set_str(s->b, "path", w->path));
	must("read-only", blkio_set_bool(s->b, "read-only", true));
	must("connect", blkio_connect(s->b));
	must("single-issuer", blkio_set_bool(s->b, "single-issuer", best));
	must("register-buffers", blkio_set_bool(s->b, "register-buffers", best));
	must("start", blkio_start(s->b));
	must("alloc", blkio_alloc_mem_region(s->b, &s->region, (size_t)w->len * w->depth));
	must("map", blkio_map_mem_region(s->b, &s->region));
	s->q = blkio_get_queue(s->b, 0);
	return s;
}

static void prepare(struct side *s, const struct workload *w, uintptr_t slot, uint32_t *seed)
{
	blkioq_read(s->q, next_offset(seed, w), (char *)s->region.addr + slot * w->len, w->len,
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
		int n = blkioq_do_io(s->q, c, 1, (int)w->depth, NULL);

		must("do_io", n);
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

	blkio_destroy(&s->b);
	free(s);
}
