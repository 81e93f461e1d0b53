/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * No space left: TEST_DISK is larger than what lies behind it, a file on a small file system or a
 * loop device over one. Writes fail from some point on, what was written before stays, and space
 * that is given back can be used. TEST_FULL: the errno values to expect. TEST_URI: the disk is this
 * logical unit of an iSCSI target. TEST_STAYS_FULL: space that is given back is not to be had.
 */
#include "../../lib/io.h"
#include "../../lib/test.h"
#include "../disk.h"

#define LEN   (64u << 10)
#define COUNT 256 /* 16 MiB, the size of the disk */

static struct blkio *start(void)
{
	const char *uri = getenv("TEST_URI");
	struct blkio *b;

	CHECK_OK(blkio_create(uri ? "iscsi" : "io_uring", &b));
	CHECK_OK(blkio_set_str(b, uri ? "uri" : "path", uri ?: disk_path()));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	return b;
}

/* Write and sync: a loop device may say only then that there was no room. */
static int write_synced(struct blkioq *q, int i, char *buf)
{
	int ret;

	pattern(buf, i * LEN, LEN, 4);
	ret = io_write(q, i * LEN, buf, LEN, 0);
	return ret ? ret : io_flush(q, 0);
}

static void space_is_back(struct blkioq *q, char *buf)
{
	CHECK_EQ(io_discard(q, 0, 8 * LEN, 0), 0);
	CHECK_EQ(write_synced(q, COUNT - 1, buf), 0);
	CHECK_EQ(io_read(q, (COUNT - 1) * LEN, buf, LEN, 0), 0);
	check_pattern(buf, (COUNT - 1) * LEN, LEN, 4);
}

static void no_space(struct device *d)
{
	struct blkio *b = start();
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(LEN);
	int written = 0, ret = 0;

	(void)d;
	while (written < COUNT && !(ret = write_synced(q, written, buf)))
		written++;
	CHECK(written > 8 && written < COUNT);
	CHECK_EQ(ret, -atoi(getenv("TEST_FULL")));
	for (int i = 0; i < 4; i++)
		CHECK(write_synced(q, written + 1 + i, buf) < 0);
	for (int i = 0; i < written; i++) {
		CHECK_EQ(io_read(q, i * LEN, buf, LEN, 0), 0);
		check_pattern(buf, i * LEN, LEN, 4);
	}
	/* What nobody wrote reads as zeroes. */
	CHECK_EQ(io_read(q, (COUNT - 1) * LEN, buf, LEN, 0), 0);
	check_all(buf, LEN, 0);
	if (!getenv("TEST_STAYS_FULL"))
		space_is_back(q, buf);
	free(buf);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "no space left", no_space, .timeout = 60 },
};

TEST_MAIN(tests)
