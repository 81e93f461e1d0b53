/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reads of 512 bytes through virtio-blk-vhost-user, for run-vhost-user to count instructions of, in
 * this library or another. Requests are queued, submitted and collected in batches of one depth.
 * Where a program would spin, this one sleeps between its looks: what spinning costs says more
 * about the server.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "library.h"

enum { MAX_DEPTH = 64, LEN = 512, BLOCKS = 1024 };

enum wait { WAIT_BLOCK, WAIT_EVENTFD, WAIT_LOOP, WAIT_POLL, NR_WAITS };

static const char *const wait_names[NR_WAITS] = { "block", "eventfd", "loop", "poll" };

static enum wait wait_of(const char *name)
{
	for (int i = 0; i < NR_WAITS; i++) {
		if (!strcmp(name, wait_names[i]))
			return (enum wait)i;
	}
	bench_die(name, "not a way to wait: block, eventfd, loop, poll");
}

struct side {
	const struct library *lib;
	struct blkio *b;
	struct blkioq *q;
	struct blkio_mem_region region;
	enum wait wait;
	int fd;
};

static void open_side(struct side *s, const char *path)
{
	const struct library *l = s->lib;
	bool poll = s->wait == WAIT_POLL;

	library_must(l, "create", l->create("virtio-blk-vhost-user", &s->b));
	library_must(l, "path", l->set_str(s->b, "path", path));
	library_must(l, "connect", l->connect(s->b));
	library_must(l, "num-queues", l->set_int(s->b, "num-queues", !poll));
	library_must(l, "num-poll-queues", l->set_int(s->b, "num-poll-queues", poll));
	library_must(l, "start", l->start(s->b));
	library_must(l, "alloc", l->alloc_mem_region(s->b, &s->region, 1 << 20));
	library_must(l, "map", l->map_mem_region(s->b, &s->region));
	s->q = poll ? l->get_poll_queue(s->b, 0) : l->get_queue(s->b, 0);
	if (s->wait == WAIT_EVENTFD) {
		s->fd = l->get_completion_fd(s->q);
		l->set_completion_fd_enabled(s->q, true);
		/* Afterwards: the server makes it not wait. */
		if (fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) & ~O_NONBLOCK) < 0)
			bench_die("completion fd", strerror(errno));
	}
}

static int collect(struct side *s, struct blkio_completion *c, int left)
{
	const struct library *l = s->lib;
	uint64_t count;
	int n;

	switch (s->wait) {
	case WAIT_BLOCK:
		return l->do_io(s->q, c, left, left, NULL);
	case WAIT_EVENTFD:
		n = l->do_io(s->q, c, 0, left, NULL);
		if (n)
			return n;
		if (read(s->fd, &count, sizeof(count)) != sizeof(count))
			bench_die("completion fd", strerror(errno));
		return l->do_io(s->q, c, 0, left, NULL);
	default:
		usleep(2000);
		return l->do_io(s->q, c, 0, left, NULL);
	}
}

static void run_batch(struct side *s, unsigned depth, unsigned *block)
{
	struct blkio_completion c[MAX_DEPTH];

	for (unsigned i = 0; i < depth; i++)
		s->lib->read(s->q, (uint64_t)(++*block % BLOCKS) * LEN,
			     (char *)s->region.addr + (size_t)i * LEN, LEN, NULL, 0);
	if (s->wait >= WAIT_LOOP)
		library_must(s->lib, "submit", s->lib->do_io(s->q, NULL, 0, 0, NULL));
	for (int left = (int)depth; left;) {
		int n = collect(s, c, left);

		library_must(s->lib, "do_io", n);
		for (int i = 0; i < n; i++) {
			if (c[i].ret)
				bench_die("read", strerror(-c[i].ret));
		}
		left -= n;
	}
}

int main(int argc, char **argv)
{
	struct side s = { .lib = &library_ours };
	struct library other;
	unsigned depth, n, block = 0;

	if (argc < 5)
		bench_die(argv[0], "needs SOCKET WAIT DEPTH REQUESTS [LIBBLKIO]");
	s.wait = wait_of(argv[2]);
	depth = bench_number(argv[3]);
	n = bench_number(argv[4]);
	if (depth > MAX_DEPTH)
		bench_die(argv[3], "too deep");
	if (argc > 5) {
		library_load(&other, argv[5]);
		s.lib = &other;
	}
	open_side(&s, argv[1]);
	for (unsigned done = 0; done < n; done += depth)
		run_batch(&s, depth, &block);
	s.lib->destroy(&s.b);
	return 0;
}
