/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Read the first bytes of a file, one request at a time. */
#include <blkio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int ret)
{
	if (ret < 0) {
		fprintf(stderr, "%s\n", blkio_get_error_msg());
		exit(EXIT_FAILURE);
	}
}

int main(int argc, char **argv)
{
	struct blkio_completion done;
	struct blkio *b;
	struct blkioq *q;
	char buf[16];

	must(blkio_create("io_uring", &b));
	must(blkio_set_str(b, "path", argc > 1 ? argv[1] : ""));
	must(blkio_set_bool(b, "read-only", true));
	must(blkio_connect(b));
	must(blkio_start(b));

	q = blkio_get_queue(b, 0);
	blkioq_read(q, 0, buf, sizeof(buf), NULL, 0);
	must(blkioq_do_io(q, &done, 1, 1, NULL));
	if (done.ret < 0)
		fprintf(stderr, "%s\n", done.error_msg ? done.error_msg : strerror(-done.ret));
	else
		fwrite(buf, 1, sizeof(buf), stdout);

	blkio_destroy(&b);
	return done.ret < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
