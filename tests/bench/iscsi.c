/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libblkio's iscsi driver against libiscsi, which it is built on, on a logical unit with blocks of
 * 512 bytes. Prints one line of JSON per contender and round; the script `run-iscsi` makes sense of
 * them.
 *
 * usage: bench_iscsi URI LEN DEPTH REQUESTS ROUNDS [CONTENDER]
 */
#include "contest.h"

static const struct contender contenders[] = {
	{ "libblkio", false, libblkio_open, libblkio_run, libblkio_close, &library_ours, "iscsi",
	  .place = "uri" },
	{ "libiscsi", false, libiscsi_open, libiscsi_run, libiscsi_close },
};

int main(int argc, char **argv)
{
	struct contest c = contest_parse(argc, argv);

	c.w.size = libblkio_size(&contenders[0], c.w.path);
	contest_run(&c, contenders, sizeof(contenders) / sizeof(contenders[0]));
	return EXIT_SUCCESS;
}
