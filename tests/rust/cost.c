/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reads from the null driver, to count what a request costs in C:
 * bindings/rust/blkio/examples/cost.rs is the same in Rust.
 *
 * usage: cost REQUESTS DEPTH
 */
#include <blkio.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_DEPTH 64

static int read_all(struct blkioq *q, char *memory, int requests, int depth)
{
	struct blkio_completion c[MAX_DEPTH];
	char *bufs[MAX_DEPTH];
	int done = 0, n;

	for (n = 0; n < depth; n++)
		bufs[n] = memory + n * 512;
	while (done < requests) {
		for (; n; n--)
			blkioq_read(q, 0, bufs[n - 1], 512, bufs[n - 1], 0);
		n = blkioq_do_io(q, c, depth, MAX_DEPTH, NULL);
		if (n < 0)
			return -1;
		for (int i = 0; i < n; i++) {
			if (c[i].ret < 0)
				return -1;
			bufs[i] = c[i].user_data;
			done++;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	int requests = argc == 3 ? atoi(argv[1]) : 0, depth = argc == 3 ? atoi(argv[2]) : 0;
	struct blkio_mem_region region;
	struct blkio *b;

	if (requests < 1 || depth < 1 || depth > MAX_DEPTH) {
		fprintf(stderr, "usage: cost REQUESTS DEPTH\n");
		return 2;
	}
	if (blkio_create("null", &b) || blkio_connect(b) || blkio_start(b) ||
	    blkio_alloc_mem_region(b, &region, depth * 512) || blkio_map_mem_region(b, &region) ||
	    read_all(blkio_get_queue(b, 0), region.addr, requests, depth)) {
		fprintf(stderr, "cost: %s\n", blkio_get_error_msg());
		return 1;
	}
	blkio_destroy(&b);
	return 0;
}
