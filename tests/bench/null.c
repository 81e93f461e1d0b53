/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the core costs per request: reads on the null driver, which completes them at once, queued
 * and collected depth at a time. Prints one line of JSON per round.
 *
 * usage: bench_null DEPTH REQUESTS ROUNDS
 */
#include "bench.h"
#include "blkio.h"

enum { MAX_DEPTH = 4096, LEN = 4096 };

static struct blkioq *start(struct blkio **b)
{
	if (blkio_create("null", b) < 0 || blkio_connect(*b) < 0 || blkio_start(*b) < 0)
		bench_die("null driver", blkio_get_error_msg());
	return blkio_get_queue(*b, 0);
}

static void run(struct blkioq *q, unsigned depth, unsigned requests)
{
	static struct blkio_completion c[MAX_DEPTH];
	static char buf[LEN];

	for (unsigned done = 0; done < requests; done += depth) {
		for (unsigned i = 0; i < depth; i++)
			blkioq_read(q, (uint64_t)i * LEN, buf, LEN, NULL, 0);
		if (blkioq_do_io(q, c, (int)depth, (int)depth, NULL) != (int)depth)
			bench_die("blkioq_do_io", blkio_get_error_msg());
	}
}

int main(int argc, char **argv)
{
	unsigned depth, requests, rounds;
	struct blkio *b;
	struct blkioq *q;

	if (argc != 4)
		bench_die("usage", "bench_null DEPTH REQUESTS ROUNDS");
	depth = bench_number(argv[1]);
	requests = bench_number(argv[2]) / depth * depth;
	rounds = bench_number(argv[3]);
	if (depth > MAX_DEPTH || !requests)
		bench_die(argv[1], "depth must be at most 4096 and at most the number of requests");
	q = start(&b);
	for (unsigned round = 0; round < rounds; round++) {
		int64_t begin = bench_now_ns();

		run(q, depth, requests);
		printf("{\"contender\": \"libblkio null\", \"round\": %u, \"ns\": %.3f}\n", round,
		       (double)(bench_now_ns() - begin) / requests);
	}
	blkio_destroy(&b);
	return EXIT_SUCCESS;
}
