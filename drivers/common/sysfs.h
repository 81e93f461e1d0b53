/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Looking things up in sysfs. A file that is missing or unreadable is an answer, not an error. */
#ifndef BK_COMMON_SYSFS_H
#define BK_COMMON_SYSFS_H

#include "util.h"

/* The number that a file holds; false without one. */
bool sysfs_read_number(const char *path, uint64_t *val);

/* The last component of a name in sysfs. */
struct sysfs_name {
	char s[64];
};

/* That of the path which a link holds, such as the driver of a device; "" without such a link. */
struct sysfs_name sysfs_read_link(const char *path);

#endif
