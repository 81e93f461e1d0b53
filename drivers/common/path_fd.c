/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See path_fd.h. */
#include "common/path_fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int path_fd_check(const char *path, int fd)
{
	if (!path && fd < 0)
		return bk_err(EINVAL, "set property \"path\" or \"fd\" before blkio_connect()");
	if (path && fd >= 0)
		return bk_err(EINVAL,
			      "properties \"path\" (\"%s\") and \"fd\" (%d) are both set; "
			      "set one of them",
			      path, fd);
	return 0;
}

struct path_fd_name path_fd_name(const char *path, int fd)
{
	struct path_fd_name name;

	if (path)
		snprintf(name.s, sizeof(name.s), "\"%s\"", path);
	else
		snprintf(name.s, sizeof(name.s), "property \"fd\" (%d)", fd);
	return name;
}

int path_fd_flags(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return bk_err(errno, "property \"fd\" is %d: %m", fd);
	if (flags & O_PATH)
		return bk_err(
		    EBADF, "property \"fd\" (%d) was opened with O_PATH, which does not allow I/O",
		    fd);
	return flags;
}

void path_fd_limit(struct blkio *b, int fd)
{
	int mode = fcntl(fd, F_GETFL) & O_ACCMODE;

	b->read_only |= mode == O_RDONLY;
	b->lim.write_only = mode == O_WRONLY;
}

int path_fd_open(const char *path, int fd, int (*open_path)(const char *path),
		 int (*use_fd)(int fd))
{
	int ret = path_fd_check(path, fd);

	if (ret < 0)
		return ret;
	return path ? open_path(path) : use_fd(fd);
}

void path_fd_close(const struct blkio *b, const char *path, int *fd)
{
	if (*fd >= 0 && path_fd_is_ours(b, path))
		close(*fd);
	*fd = -1;
}
