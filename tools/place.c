/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See place.h. */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "place.h"
#include "tool.h"

bool place_find(struct place *p, const struct target *t)
{
	char *path = target_setting(t, "path"), *fd = target_setting(t, "fd");

	*p = (struct place){ .t = t, .fd = -1 };
	if (path && *path)
		snprintf(p->path, sizeof(p->path), "%s", path);
	else if (fd)
		snprintf(p->path, sizeof(p->path), "/proc/self/fd/%s", fd);
	if (*p->path && stat(p->path, &p->st) < 0)
		*p->path = '\0';
	return *p->path;
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
