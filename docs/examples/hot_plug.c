/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Plug in a second disk while the first does I/O, in one event loop, as an emulator does. The
 * second may be a server that does not answer: the loop goes on, and gives up when it likes.
 */
#include <blkio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void check(int ret, const char *what)
{
	if (ret < 0) {
		fprintf(stderr, "%s: %s\n", what, blkio_get_error_msg());
		exit(1);
	}
}

static struct blkio *open_disk(const char *path)
{
	struct blkio *b;

	check(blkio_create("io_uring", &b), "create");
	check(blkio_set_bool(b, "read-only", true), "read-only");
	check(blkio_set_str(b, "path", path), "path");
	check(blkio_connect(b), "connect");
	check(blkio_start(b), "start");
	return b;
}

/* One after the other: each completion queues the next read. */
static int go_on(struct blkioq *q, char *buf)
{
	struct blkio_completion c;
	int n = blkioq_do_io(q, &c, 0, 1, NULL);

	check(n, "do_io");
	if (n)
		blkioq_read(q, 0, buf, 4096, NULL, 0);
	check(blkioq_do_io(q, NULL, 0, 0, NULL), "submit");
	return n;
}

int main(int argc, char **argv)
{
	static char buf[4096];
	struct blkio *disk, *plugged;
	struct blkioq *q;
	long reads = 0;
	int ret;

	if (argc != 3)
		return fprintf(stderr, "usage: %s FILE SOCKET\n", argv[0]), 1;
	disk = open_disk(argv[1]);
	q = blkio_get_queue(disk, 0);
	blkioq_set_completion_fd_enabled(q, true);
	blkioq_read(q, 0, buf, sizeof(buf), NULL, 0);
	check(blkioq_do_io(q, NULL, 0, 0, NULL), "submit");

	check(blkio_create("virtio-blk-vhost-user", &plugged), "create");
	check(blkio_set_str(plugged, "path", argv[2]), "path");
	check(blkio_connect_async(plugged), "connect");

	do {
		struct pollfd p[] = {
			{ .fd = blkioq_get_completion_fd(q), .events = POLLIN },
			{ .fd = blkio_get_control_fd(plugged), .events = POLLIN },
		};
		unsigned long long count;

		poll(p, 2, -1);
		if (p[0].revents && read(p[0].fd, &count, sizeof(count)) > 0)
			reads += go_on(q, buf);
		if (reads == 10000) /* the user has lost patience */
			blkio_cancel(plugged);
		ret = p[1].revents ? blkio_control_result(plugged) : 1;
	} while (ret == 1);

	printf("%s after %ld reads\n", ret ? blkio_get_error_msg() : "plugged in", reads);
	blkio_destroy(&plugged);
	blkio_destroy(&disk);
	return 0;
}
