/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See mount.h. Asks /proc/self/mountinfo, by the number of the mount (statx, Linux 5.8). */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "mount.h"

/* A line of mountinfo, its strings in the line itself. */
struct mount {
	char *line;
	char *root, *point, *type, *source, *options;
};

/* Spaces and such are written as octal numbers. */
static void decode(char *s)
{
	char *out = s;

	for (; *s; s++) {
		unsigned c;

		if (*s == '\\' && sscanf(s + 1, "%3o", &c) == 1) {
			*out++ = (char)c;
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

/* id parent major:minor root point options [field]... - type source options */
static bool parse(struct mount *m)
{
	char *fields[6], *rest = strstr(m->line, " - "), *save = NULL;

	if (!rest)
		return false;
	*rest = '\0';
	fields[0] = strtok_r(m->line, " ", &save);
	for (int i = 1; i < 5; i++)
		fields[i] = strtok_r(NULL, " ", &save);
	m->root = fields[3];
	m->point = fields[4];
	m->type = strtok_r(rest + 3, " ", &save);
	m->source = strtok_r(NULL, " ", &save);
	m->options = strtok_r(NULL, " \n", &save);
	if (!m->point || !m->options)
		return false;
	decode(m->root);
	decode(m->point);
	decode(m->source);
	return true;
}

/* free(m->line) afterwards, in any case. */
static bool find_mount(const char *path, struct mount *m)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	struct statx stx;
	size_t size = 0;
	bool found = false;

	*m = (struct mount){ 0 };
	if (!mounts)
		return false;
	if (!statx(AT_FDCWD, path, 0, STATX_MNT_ID, &stx) && (stx.stx_mask & STATX_MNT_ID)) {
		while (!found && getline(&m->line, &size, mounts) > 0)
			found = strtoull(m->line, NULL, 10) == stx.stx_mnt_id;
	}
	fclose(mounts);
	return found && parse(m);
}

bool mount_device(const char *path, const struct stat *st, dev_t *dev)
{
	struct stat source;
	struct mount m;
	bool found;

	*dev = st->st_dev;
	if (major(st->st_dev))
		return true;
	/* Some file systems, such as btrfs, have a number of their own: ask what was mounted. */
	found = find_mount(path, &m) && *m.source == '/' && !stat(m.source, &source) &&
		S_ISBLK(source.st_mode);
	if (found)
		*dev = source.st_rdev;
	free(m.line);
	return found;
}

/* ---- overlayfs ---------------------------------------------------------------------------- */

/* Where the file is within its file system. */
static bool path_within(const struct mount *m, const char *path, char *within)
{
	char real[PATH_MAX];
	size_t len = strcmp(m->point, "/") ? strlen(m->point) : 0;

	if (!realpath(path, real) || strncmp(real, m->point, len))
		return false;
	return snprintf(within, PATH_MAX, "%s%s", strcmp(m->root, "/") ? m->root : "", real + len) <
	       PATH_MAX;
}

/* The file of that name in one of these directories, separated by colons; \ quotes one. */
static bool find_in(const char *dirs, const char *within, char *below, struct stat *st)
{
	while (*dirs && *dirs != ',') {
		size_t n = 0;

		for (; *dirs && *dirs != ',' && *dirs != ':' && n < PATH_MAX / 2; n++) {
			dirs += *dirs == '\\' && dirs[1];
			below[n] = *dirs++;
		}
		snprintf(below + n, PATH_MAX - n, "%s", within);
		if (!stat(below, st))
			return true;
		dirs += *dirs == ':';
	}
	return false;
}

bool mount_overlaid(const char *path, char *below, struct stat *st)
{
	static const char *const kinds[] = { "upperdir=", "lowerdir=" };
	char within[PATH_MAX];
	struct mount m;
	bool found = false;

	if (find_mount(path, &m) && !strcmp(m.type, "overlay") && path_within(&m, path, within)) {
		for (int i = 0; i < 2 && !found; i++) {
			const char *dirs = strstr(m.options, kinds[i]);

			decode(m.options);
			found = dirs && find_in(dirs + strlen(kinds[i]), within, below, st);
		}
	}
	free(m.line);
	return found;
}
