/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See place.h. */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "place.h"
#include "tool.h"

bool place_find(struct place *p, const struct target *t)
{
	const char *path = target_setting(t, "path"), *fd = target_setting(t, "fd");
	/* The library takes "+3" and "03", too. */
	int given = fd ? (int)strtol(fd, NULL, 10) : -1;
	bool found;

	*p = (struct place){ .t = t, .fd = -1 };
	if (path && *path) {
		snprintf(p->path, sizeof(p->path), "%s", path);
		found = !stat(path, &p->st);
	} else {
		snprintf(p->path, sizeof(p->path), "/proc/self/fd/%d", given);
		found = !fstat(given, &p->st); /* /proc may be missing */
	}
	if (!found)
		*p->path = '\0';
	return found;
}

void place_connected(struct place *p)
{
	struct stat st;
	int fd;

	if (!place_is_file(p) && !place_is_disk(p))
		return;
	if (blkio_get_int(p->t->b, "fd", &fd) < 0 || fstat(fd, &st) < 0)
		return;
	if (st.st_dev != p->st.st_dev || st.st_ino != p->st.st_ino)
		tool_die("another file replaced %s while it was being opened", p->t->text);
	p->fd = fd;
}

bool place_is_read_only(const struct place *p)
{
	int read_only = 0;

	return place_is_disk(p) && p->fd >= 0 && !ioctl(p->fd, BLKROGET, &read_only) && read_only;
}
