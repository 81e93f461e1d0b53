/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libblkio's io_uring driver against a minimal liburing loop, and its posix driver against
 * preadv(), on a file in the page cache. Prints one line of JSON per contender and round; the
 * script `run` makes sense of them.
 *
 * usage: [BENCH_OTHER=LIBBLKIO] bench_ring FILE LEN DEPTH REQUESTS ROUNDS [CONTENDER]
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "contest.h"

static struct library other;

static const struct contender contenders[] = {
	{ "liburing", false, liburing_open, liburing_run, liburing_close },
	{ "libblkio", false, libblkio_open, libblkio_run, libblkio_close, &library_ours,
	  "io_uring" },
	{ "other", false, libblkio_open, libblkio_run, libblkio_close, &other, "io_uring" },
	{ "liburing-best", true, liburing_open, liburing_run, liburing_close },
	{ "libblkio-best", true, libblkio_open, libblkio_run, libblkio_close, &library_ours,
	  "io_uring",
	  .after_connect = { { "single-issuer", true }, { "register-buffers", true } } },
	{ "preadv", false, preadv_open, preadv_run, preadv_close },
	{ "posix", false, libblkio_open, libblkio_run, libblkio_close, &library_ours, "posix" },
};

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

int main(int argc, char **argv)
{
	struct contest c = contest_parse(argc, argv);

	c.w.size = warm(c.w.path);
	if (getenv("BENCH_OTHER"))
		library_load(&other, getenv("BENCH_OTHER"));
	contest_run(&c, contenders, sizeof(contenders) / sizeof(contenders[0]));
	return EXIT_SUCCESS;
}
