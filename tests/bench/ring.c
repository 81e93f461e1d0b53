/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libblkio's io_uring driver against a minimal liburing loop, on a file in the page cache: same
 * process, same offsets, taking turns, so that what disturbs the machine disturbs all. Prints one
 * line of JSON per contender and round; the script `run` makes sense of them.
 *
 * usage: [BENCH_OTHER=LIBBLKIO] bench_ring FILE LEN DEPTH REQUESTS ROUNDS [CONTENDER]
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "ring.h"

static struct library other;

static const struct contender contenders[] = {
	{ "liburing", false, NULL, liburing_open, liburing_run, liburing_close },
	{ "libblkio", false, &library_ours, libblkio_open, libblkio_run, libblkio_close },
	{ "other", false, &other, libblkio_open, libblkio_run, libblkio_close },
	{ "liburing-best", true, NULL, liburing_open, liburing_run, liburing_close },
	{ "libblkio-best", true, &library_ours, libblkio_open, libblkio_run, libblkio_close },
};
#define NR_CONTENDERS (sizeof(contenders) / sizeof(contenders[0]))

/* All of the file into the page cache. */
static uint64_t warm(const char *path)
{
	static char buf[1 << 20];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		bench_die(path, "cannot be opened");
	while (read(fd, buf, sizeof(buf)) > 0)
		;
	close(fd);
	return (uint64_t)st.st_size;
}

static void measure(const struct contender *c, void *state, const struct workload *w,
		    unsigned requests, unsigned round)
{
	int64_t begin = bench_now_ns();

	c->run(state, w, requests);
	printf("{\"contender\": \"%s\", \"round\": %u, \"ns\": %.3f}\n", c->name, round,
	       (double)(bench_now_ns() - begin) / requests);
}

int main(int argc, char **argv)
{
	void *state[NR_CONTENDERS] = { 0 };
	struct workload w;
	unsigned requests, rounds, chosen = 0;

	if (argc < 6 || argc > 7)
		bench_die("usage", "bench_ring FILE LEN DEPTH REQUESTS ROUNDS [CONTENDER]");
	w = (struct workload){ .path = argv[1],
			       .len = bench_number(argv[2]),
			       .depth = bench_number(argv[3]) };
	requests = bench_number(argv[4]);
	rounds = bench_number(argv[5]);
	w.file_size = warm(w.path);
	if (w.file_size < w.len || w.depth > requests)
		bench_die("arguments", "the file is too small, or the depth above the requests");

	if (getenv("BENCH_OTHER"))
		library_load(&other, getenv("BENCH_OTHER"));
	for (unsigned i = 0; i < NR_CONTENDERS; i++) {
		if (argc == 7 && strcmp(argv[6], contenders[i].name))
			continue;
		if (contenders[i].library == &other && !other.create)
			continue;
		state[i] = contenders[i].open(&w, &contenders[i]);
		chosen++;
	}
	if (!chosen)
		bench_die(argv[6], "no such contender");
	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned k = 0; k < NR_CONTENDERS; k++) {
			unsigned i = (round + k) % NR_CONTENDERS;

			if (state[i])
				measure(&contenders[i], state[i], &w, requests, round);
		}
	}
	for (unsigned i = 0; i < NR_CONTENDERS; i++) {
		if (state[i])
			contenders[i].close(state[i]);
	}
	return EXIT_SUCCESS;
}
