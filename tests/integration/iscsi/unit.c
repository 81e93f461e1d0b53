/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See unit.h. */
#include <stdio.h>
#include <unistd.h>

#include "sys.h"
#include "test.h"
#include "unit.h"

const char *unit_file(void)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/disk", test_dir());
	return path;
}

void unit_make(void)
{
	FILE *f = fopen(unit_file(), "we");

	CHECK(f);
	SYS(ftruncate(fileno(f), UNIT_SIZE));
	CHECK_EQ(fclose(f), 0);
}

void unit_start(struct tgt *t)
{
	struct blkio *b;

	if (blkio_create("iscsi", &b) < 0)
		SKIP("%s", blkio_get_error_msg());
	blkio_destroy(&b);
	unit_make();
	t->file = unit_file();
	tgt_start(t);
}

struct blkio *unit_create(const struct tgt *t, const char *more)
{
	struct blkio *b;
	char uri[512];

	snprintf(uri, sizeof(uri), "%s%s", tgt_uri(t), more);
	CHECK_OK(blkio_create("iscsi", &b));
	CHECK_OK(blkio_set_str(b, "uri", uri));
	return b;
}

void unit_peek(uint64_t start, void *buf, size_t len)
{
	FILE *f = fopen(unit_file(), "re");

	CHECK(f);
	SYS(fseek(f, (long)start, SEEK_SET));
	CHECK_EQ(fread(buf, 1, len, f), len);
	fclose(f);
}
