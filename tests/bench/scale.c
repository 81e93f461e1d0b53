/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Does the cost of a request stay flat as things grow? Reads of 512 bytes from a file in the page
 * cache through the io_uring driver, with N queues used in turn, N requests outstanding on one
 * queue, or N memory regions used at random (registered buffers). Prints one line of JSON per
 * round; "memory" prints what a queue and a request take.
 *
 * usage: bench_scale queues|outstanding|regions FILE N REQUESTS ROUNDS
 *        bench_scale memory FILE
 */
#include <malloc.h>
#include <string.h>

#include "library.h"

enum { LEN = 512, BATCH = 64, REGION_LEN = 4096, FILE_BLOCKS = 16384 };

struct scale {
	struct blkio *b;
	unsigned n;
	struct blkio_mem_region region;
	uint32_t seed;
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
	static struct blkio_completion c[BATCH];

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

static void run_queues(struct scale *s, unsigned requests)
{
	for (unsigned i = 0; i < requests; i++) {
		struct blkioq *q = blkio_get_queue(s->b, (int)(i % s->n));

		read_one(s, q, s->region.addr);
		await(q, 1);
	}
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

int main(int argc, char **argv)
{
	void (*run)(struct scale * s, unsigned requests);
	struct scale s = { .seed = 1 };
	unsigned requests, rounds;

	if (argc == 3 && !strcmp(argv[1], "memory")) {
		print_memory(argv[2]);
		return EXIT_SUCCESS;
	}
	if (argc != 6)
		bench_die("usage", "bench_scale queues|outstanding|regions FILE N REQUESTS ROUNDS");
	s.n = bench_number(argv[3]);
	requests = bench_number(argv[4]);
	rounds = bench_number(argv[5]);
	if (!strcmp(argv[1], "queues")) {
		start(&s, argv[2], (int)s.n);
		map_regions(&s, 1, REGION_LEN);
		run = run_queues;
	} else if (!strcmp(argv[1], "outstanding")) {
		start(&s, argv[2], 1);
		map_regions(&s, 1, (size_t)s.n * LEN);
		run = run_outstanding;
	} else if (!strcmp(argv[1], "regions")) {
		start(&s, argv[2], 1);
		map_regions(&s, s.n, REGION_LEN);
		run = run_regions;
	} else {
		bench_die(argv[1], "is none of queues, outstanding and regions");
	}
	requests = (requests + s.n - 1) / s.n * s.n;
	for (unsigned round = 0; round < rounds; round++) {
		int64_t begin = bench_now_ns();

		run(&s, requests);
		printf("{\"contender\": \"%s %u\", \"round\": %u, \"ns\": %.3f}\n", argv[1], s.n,
		       round, (double)(bench_now_ns() - begin) / requests);
	}
	blkio_destroy(&s.b);
	return EXIT_SUCCESS;
}
