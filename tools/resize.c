/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See resize.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "resize.h"
#include "tool.h"

static char *created; /* by us, and still empty */

static void remove_created(void)
{
	if (created)
		unlink(created);
}

static void create(struct place *dst, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);

	if (fd < 0)
		tool_die("cannot create %s: %s", path, strerror(errno));
	close(fd);
	/* Through links: what was made is to be removed. */
	created = realpath(path, NULL);
	atexit(remove_created);
	if (!place_find(dst, dst->t))
		tool_die("cannot find %s, which was just created: %s", path, strerror(errno));
}

bool resize_prepare(struct place *dst)
{
	const struct target *t = dst->t;
	const char *path = target_setting(t, "path");

	if (!target_opens_files(t) || (!path && !*dst->path))
		tool_usage("--resize needs a DESTINATION that is a file, not %s", t->text);
	if (!*dst->path)
		create(dst, path);
	if (!place_is_file(dst))
		tool_usage("--resize needs a DESTINATION that is a regular file; %s is not one",
			   dst->path);
	return created != NULL;
}

static bool has_content(const struct place *dst)
{
	return dst->st.st_size > 0;
}

void resize_check_space(const struct place *dst, uint64_t size, struct extents *src, bool force)
{
	struct statvfs fs;
	uint64_t room, data;
	char text[160];

	if (dst->fd < 0 || fstatvfs(dst->fd, &fs) < 0 || !fs.f_blocks)
		return;
	room = (geteuid() ? fs.f_bavail : fs.f_bfree) * (uint64_t)fs.f_frsize +
	       (uint64_t)dst->st.st_blocks * 512;
	if (size <= room)
		return;
	data = extents_data(src);
	if (data <= room)
		return;
	snprintf(text, sizeof(text), "the data takes up to %llu bytes, but only %llu are free",
		 (unsigned long long)data, (unsigned long long)room);
	if (has_content(dst) && !force)
		tool_die("%s: %s: refusing to overwrite it; --force overrides", dst->t->text, text);
	tool_warn("%s: %s", dst->t->text, text);
}

uint64_t resize_to(struct place *dst, uint64_t size)
{
	uint64_t old = (uint64_t)dst->st.st_size;

	if (dst->fd < 0 || ftruncate(dst->fd, (off_t)size) < 0)
		tool_die("cannot resize %s to %llu bytes: %s", dst->path, (unsigned long long)size,
			 strerror(errno));
	free(created);
	created = NULL;
	return old;
}
