/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Keep 8 reads in flight on a file and sleep in poll() until some complete, as a program does that
 * has other descriptors to watch. The buffers are one mapped memory region, as all drivers want it.
 */
#include <blkio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DEPTH = 8, LEN = 4096 };

static void must(int ret)
{
	if (ret < 0) {
		fprintf(stderr, "%s\n", blkio_get_error_msg());
		exit(EXIT_FAILURE);
	}
}

int main(int argc, char **argv)
{
	struct blkio_completion done[DEPTH];
	struct blkio_mem_region region;
	uint64_t capacity, next = 0, blocks, finished = 0, events;
	struct blkio *b;
	struct blkioq *q;
	struct pollfd fd;

	must(blkio_create("io_uring", &b));
	must(blkio_set_str(b, "path", argc > 1 ? argv[1] : ""));
	must(blkio_set_bool(b, "read-only", true));
	must(blkio_connect(b));
	must(blkio_start(b));
	must(blkio_get_uint64(b, "capacity", &capacity));
	blocks = capacity / LEN;

	must(blkio_alloc_mem_region(b, &region, (size_t)DEPTH * LEN));
	must(blkio_map_mem_region(b, &region));
	q = blkio_get_queue(b, 0);
	blkioq_set_completion_fd_enabled(q, true);
	fd = (struct pollfd){ .fd = blkioq_get_completion_fd(q), .events = POLLIN };

	for (; next < DEPTH && next < blocks; next++) {
		char *buf = (char *)region.addr + next * LEN;

		blkioq_read(q, next * LEN, buf, LEN, buf, 0);
	}
	while (finished < blocks) {
		/* Submits what is queued, too; does not sleep. */
		int n = blkioq_do_io(q, done, 0, DEPTH, NULL);

		must(n);
		for (int i = 0; i < n; i++, finished++) {
			if (done[i].ret < 0)
				exit(EXIT_FAILURE);
			/* Each completion frees a buffer for the next request. */
			if (next < blocks)
				blkioq_read(q, next++ * LEN, done[i].user_data, LEN,
					    done[i].user_data, 0);
		}
		if (!n && poll(&fd, 1, -1) == 1 && read(fd.fd, &events, sizeof(events)) < 0)
			continue; /* it may fire without need */
	}
	printf("%llu blocks\n", (unsigned long long)finished);
	blkio_destroy(&b);
	return EXIT_SUCCESS;
}
