/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Properties "path" and "fd": a driver opens the one, or uses the other. What it opened is its own
 * from then on; a given descriptor remains the application's until blkio_connect() has succeeded.
 * This file is where that is decided.
 */
#ifndef BK_COMMON_PATH_FD_H
#define BK_COMMON_PATH_FD_H

#include <limits.h>

#include "driver.h"

/* All that return int: a descriptor, file status flags or 0, or bk_err(). fd: -1 when not set. */

/* Is exactly one of the two set? */
int path_fd_check(const char *path, int fd);

/* For messages: the path in quotes, or which property "fd" it is. */
struct path_fd_name {
	char s[PATH_MAX + 2];
};
struct path_fd_name path_fd_name(const char *path, int fd);

/* Can the given fd do I/O? Returns its file status flags. */
int path_fd_flags(int fd);

/* Connected with a given fd: the instance does no more than what it was opened for. */
void path_fd_limit(struct blkio *b, int fd);

/* Check, then open the path, or let use_fd() check the descriptor and return it. */
int path_fd_open(const char *path, int fd, int (*open_path)(const char *path),
		 int (*use_fd)(int fd));

/* Whether a descriptor that came of path or fd is the library's to close. */
static inline bool path_fd_is_ours(const struct blkio *b, const char *path)
{
	return path || b->state != BK_CREATED;
}

/* Close it if so. *fd is -1 afterwards. */
void path_fd_close(const struct blkio *b, const char *path, int *fd);

/* The row "fd" of a driver's table: offset is that of an int, -1 by default. */
/* clang-format off */
#define PATH_FD_PROP(offset)									\
	{ "fd", "An open file descriptor to use instead of path. The library owns it after "	\
	  "blkio_connect(). Its file status flags stay unchanged; it allows only what it was "	\
	  "opened for.",									\
	  BK_INT, BK_GET_ALWAYS, BK_SET_CREATED, offset }
/* clang-format on */

#endif
