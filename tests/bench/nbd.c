/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libblkio's nbd driver against libnbd, on the Unix socket of a server. Prints one line of JSON per
 * contender and round; the script `run-nbd` makes sense of them.
 *
 * usage: bench_nbd SOCKET LEN DEPTH REQUESTS ROUNDS [CONTENDER]
 */
#include "contest.h"

static const struct contender contenders[] = {
	{ "libblkio", false, libblkio_open, libblkio_run, libblkio_close, &library_ours, "nbd" },
	{ "libblkio-best", true, libblkio_open, libblkio_run, libblkio_close, &library_ours, "nbd",
	  .before_connect = { { "structured-replies", false } } },
#ifdef HAVE_LIBNBD
	{ "libnbd", false, libnbd_open, libnbd_run, libnbd_close },
	{ "libnbd-best", true, libnbd_open, libnbd_run, libnbd_close },
#endif
};

int main(int argc, char **argv)
{
	struct contest c = contest_parse(argc, argv);

	c.w.size = libblkio_size(&contenders[0], c.w.path);
	contest_run(&c, contenders, sizeof(contenders) / sizeof(contenders[0]));
	return EXIT_SUCCESS;
}
