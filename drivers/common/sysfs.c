/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See sysfs.h. */
#include "common/sysfs.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

bool sysfs_read_number(const char *path, uint64_t *val)
{
	FILE *f = fopen(path, "re");
	unsigned long long v;
	bool ok;

	if (!f)
		return false;
	ok = fscanf(f, "%llu", &v) == 1;
	fclose(f);
	if (ok)
		*val = v;
	return ok;
}

struct sysfs_name sysfs_read_link(const char *path)
{
	struct sysfs_name name = { "" };
	char target[PATH_MAX];
	ssize_t len = readlink(path, target, sizeof(target) - 1);
	const char *base;

	if (len < 0)
		return name;
	target[len] = '\0';
	base = strrchr(target, '/');
	snprintf(name.s, sizeof(name.s), "%.63s", base ? base + 1 : target);
	return name;
}
