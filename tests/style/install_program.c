/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A program as applications write them: install.py compiles it against the installed library. */
#include <stdio.h>
#include <string.h>

#include <blkio.h>

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, blkio_get_error_msg());
	return 1;
}

static int try_driver(const char *driver, const char *path)
{
	struct blkio_completion completion;
	struct blkio *b;
	char byte;

	if (blkio_create(driver, &b) < 0)
		return fail(driver);
	if (path &&
	    (blkio_set_str(b, "path", path) < 0 || blkio_set_bool(b, "read-only", true) < 0))
		return fail("properties");
	if (blkio_connect(b) < 0 || blkio_start(b) < 0)
		return fail("connect and start");
	blkioq_read(blkio_get_queue(b, 0), 0, &byte, 1, &byte, 0);
	if (blkioq_do_io(blkio_get_queue(b, 0), &completion, 1, 1, NULL) != 1)
		return fail("do_io");
	blkio_destroy(&b);
	return completion.ret != 0 || completion.user_data != &byte;
}

int main(int argc, char **argv)
{
	(void)argc;
	return try_driver("null", NULL) || try_driver("io_uring", argv[0]);
}
