/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Does the cost of a request stay flat as things grow? Reads of 512 bytes from a file in the page
 * cache through the io_uring driver, with N queues used in turn, N queues shared out to two
 * threads, N requests outstanding on one queue, or N memory regions used at random (registered
 * buffers). Prints one line of JSON per round; "memory" prints what a queue and a request take.
 *
 * usage: bench_scale queues|threads|outstanding|regions FILE N REQUESTS ROUNDS
 *        bench_scale memory FILE
 */
#include <malloc.h>
#include <pthread.h>
#include <string.h>

#include "library.h"

enum { LEN = 512, BATCH = 64, REGION_LEN = 4096, FILE_BLOCKS = 16384 };

struct scale {
	struct blkio *b;
	unsigned n;
	struct blkio_mem_region region;
	uint32_t seed;
	struct helper *helper; /* "threads" */
};

static void must(const char *what, int ret)
{
	library_must(&library_ours, what, ret);
}

static void start(struct scale *s, const char *path, int queues)
{
	must("create", blkio_create("io_uring", &s->b));
	must("path", blkio_set_str(s->b, "path", path));
	must("read-only", blkio_set_bool(s->b, "read-only", true));
	must("connect", blkio_connect(s->b));
	must("single-issuer", blkio_set_bool(s->b, "single-issuer", true));
	must("register-buffers", blkio_set_bool(s->b, "register-buffers", true));
	must("num-queues", blkio_set_int(s->b, "num-queues", queues));
	must("start", blkio_start(s->b));
}

static unsigned random_below(struct scale *s, unsigned n)
{
	s->seed = s->seed * 1664525u + 1013904223u;
	return (uint64_t)s->seed * n >> 32;
}

static void read_one(struct scale *s, struct blkioq *q, void *buf)
{
	blkioq_read(q, (uint64_t)random_below(s, FILE_BLOCKS) * LEN, buf, LEN, NULL, 0);
}

static void await(struct blkioq *q, unsigned n)
{
	struct blkio_completion c[BATCH];

	while (n) {
		unsigned want = n < BATCH ? n : BATCH;
		int ret = blkioq_do_io(q, c, (int)want, (int)want, NULL);

		must("do_io", ret);
		for (int i = 0; i < ret; i++)
			if (c[i].ret)
				bench_die("read", strerror(-c[i].ret));
		n -= (unsigned)ret;
	}
}

/* The first and every step-th queue after it, in turn. */
static void use_queues(struct scale *s, unsigned first, unsigned step, unsigned requests)
{
	unsigned n = s->n / step;

	for (unsigned i = 0; i < requests; i++) {
		struct blkioq *q = blkio_get_queue(s->b, (int)(first + i % n * step));

		read_one(s, q, s->region.addr);
		await(q, 1);
	}
}

static void run_queues(struct scale *s, unsigned requests)
{
	use_queues(s, 0, 1, requests);
}

/* The second of two threads. It stays: the queues with odd numbers are its own. */
struct helper {
	pthread_t thread;
	pthread_barrier_t turn; /* begins and ends a round */
	struct scale scale;	/* a copy: it has a seed of its own */
	unsigned requests;	/* of the round; 0: it ends */
};

static void *help(void *arg)
{
	struct helper *h = arg;

	for (;;) {
		pthread_barrier_wait(&h->turn);
		if (!h->requests)
			return NULL;
		use_queues(&h->scale, 1, 2, h->requests);
		pthread_barrier_wait(&h->turn);
	}
}

static void start_helper(struct scale *s)
{
	struct helper *h = calloc(1, sizeof(*h));

	if (s->n < 2)
		bench_die("threads", "two threads need two queues");
	if (!h || pthread_barrier_init(&h->turn, NULL, 2))
		bench_die("threads", "out of memory");
	h->scale = *s;
	s->helper = h;
	if (pthread_create(&h->thread, NULL, help, h))
		bench_die("threads", "cannot create a thread");
}

static void end_helper(struct scale *s)
{
	struct helper *h = s->helper;

	h->requests = 0;
	pthread_barrier_wait(&h->turn);
	pthread_join(h->thread, NULL);
	pthread_barrier_destroy(&h->turn);
	free(h);
}

static void run_threads(struct scale *s, unsigned requests)
{
	s->helper->requests = requests / 2;
	pthread_barrier_wait(&s->helper->turn);
	use_queues(s, 0, 2, requests - requests / 2);
	pthread_barrier_wait(&s->helper->turn);
}

static void run_outstanding(struct scale *s, unsigned requests)
{
	struct blkioq *q = blkio_get_queue(s->b, 0);

	for (unsigned done = 0; done < requests; done += s->n) {
		for (unsigned i = 0; i < s->n; i++)
			read_one(s, q, (char *)s->region.addr + (size_t)i * LEN);
		await(q, s->n);
	}
}

static void run_regions(struct scale *s, unsigned requests)
{
	struct blkioq *q = blkio_get_queue(s->b, 0);

	for (unsigned i = 0; i < requests; i++) {
		read_one(s, q, (char *)s->region.addr + (size_t)random_below(s, s->n) * REGION_LEN);
		await(q, 1);
	}
}

/* One allocation, mapped as n regions. */
static void map_regions(struct scale *s, unsigned n, size_t each)
{
	struct blkio_mem_region part;

	must("alloc", blkio_alloc_mem_region(s->b, &s->region, (size_t)n * each));
	part = s->region;
	part.len = each;
	for (unsigned i = 0; i < n; i++) {
		must("map", blkio_map_mem_region(s->b, &part));
		part.addr = (char *)part.addr + each;
		part.fd_offset += (int64_t)each;
	}
}

static size_t heap(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static void print_memory(const char *path)
{
	enum { QUEUES = 64, REQUESTS = 16384 };
	static char buf[LEN];
	struct scale s = { 0 };
	struct blkioq *q;
	size_t before;

	start(&s, path, 1);
	before = heap();
	for (int i = 0; i < QUEUES; i++)
		must("add queue", blkio_add_queue(s.b));
	printf("{\"what\": \"queue\", \"bytes\": %zu}\n", (heap() - before) / QUEUES);
	q = blkio_get_queue(s.b, 0);
	before = heap();
	for (unsigned i = 0; i < REQUESTS; i++)
		read_one(&s, q, buf);
	printf("{\"what\": \"request\", \"bytes\": %zu}\n", (heap() - before) / REQUESTS);
	await(q, REQUESTS);
	blkio_destroy(&s.b);
}

typedef void run_fn(struct scale *s, unsigned requests);

static const struct kind {
	const char *name;
	run_fn *run;
	bool many_queues, many_regions;
	size_t region_len; /* for each request, or region, of n */
} kinds[] = {
	{ "queues", run_queues, .many_queues = true },
	{ "threads", run_threads, .many_queues = true },
	{ "outstanding", run_outstanding, .region_len = LEN },
	{ "regions", run_regions, .many_regions = true, .region_len = REGION_LEN },
};

static const struct kind *find_kind(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	}
	bench_die(name, "is none of queues, threads, outstanding and regions");
}

static void prepare(struct scale *s, const struct kind *kind, const char *path)
{
	start(s, path, kind->many_queues ? (int)s->n : 1);
	if (kind->many_regions)
		map_regions(s, s->n, kind->region_len);
	else
		map_regions(s, 1, kind->region_len ? s->n * kind->region_len : REGION_LEN);
	if (kind->run == run_threads)
		start_helper(s);
}

int main(int argc, char **argv)
{
	struct scale s = { .seed = 1 };
	const struct kind *kind;
	unsigned requests, rounds;

	if (argc == 3 && !strcmp(argv[1], "memory")) {
		print_memory(argv[2]);
		return EXIT_SUCCESS;
	}
	if (argc != 6)
		bench_die("usage",
			  "bench_scale queues|threads|outstanding|regions FILE N REQUESTS ROUNDS");
	kind = find_kind(argv[1]);
	s.n = bench_number(argv[3]);
	requests = bench_number(argv[4]);
	rounds = bench_number(argv[5]);
	prepare(&s, kind, argv[2]);
	requests = (requests + s.n - 1) / s.n * s.n;
	for (unsigned round = 0; round < rounds; round++) {
		int64_t begin = bench_now_ns();

		kind->run(&s, requests);
		printf("{\"contender\": \"%s %u\", \"round\": %u, \"ns\": %.3f}\n", argv[1], s.n,
		       round, (double)(bench_now_ns() - begin) / requests);
	}
	if (s.helper)
		end_helper(&s);
	blkio_destroy(&s.b);
	return EXIT_SUCCESS;
}
