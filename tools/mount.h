/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the mount that a file is on says about where its bytes are. */
#ifndef MOUNT_H
#define MOUNT_H

#include <stdbool.h>
#include <sys/stat.h>

/* The device that the file system of a file is on; false for what is on none. */
bool mount_device(const char *path, const struct stat *st, dev_t *dev);

/*
 * A file on overlayfs is one in a directory below it: which? below: PATH_MAX bytes for its path.
 * False for other files, and where those directories cannot be seen.
 */
bool mount_overlaid(const char *path, char *below, struct stat *st);

#endif
