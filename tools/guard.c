/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See guard.h. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "guard.h"
#include "tool.h"

struct place {
	char path[PATH_MAX];
	struct stat st;
};

/* The file that properties path and fd name; false where there is none that could be looked at. */
static bool find_place(const struct target *t, struct place *p)
{
	char *path = target_setting(t, "path"), *fd = target_setting(t, "fd");

	*p = (struct place){ 0 };
	if (path && *path)
		snprintf(p->path, sizeof(p->path), "%s", path);
	else if (fd)
		snprintf(p->path, sizeof(p->path), "/proc/self/fd/%s", fd);
	return *p->path && !stat(p->path, &p->st);
}

/* The generic node of an NVMe namespace stands for its block device. */
static void to_block_device(struct place *p)
{
	char link[PATH_MAX], *name;
	int ctrl, ns;

	if (!S_ISCHR(p->st.st_mode) || !realpath(p->path, link))
		return;
	name = strrchr(link, '/') + 1;
	if (sscanf(name, "ng%dn%d", &ctrl, &ns) == 2) {
		snprintf(p->path, sizeof(p->path), "/dev/nvme%dn%d", ctrl, ns);
		if (stat(p->path, &p->st))
			p->st.st_mode = 0;
	}
}

static void report(const struct target *t, bool force, const char *what)
{
	if (!force)
		tool_die("%s is %s: refusing to write to it; --force overrides", t->text, what);
	tool_warn("%s is %s: written to all the same, as --force says", t->text, what);
}

/* ---- Block devices ------------------------------------------------------------------------ */

/* Where it, or for a disk one of its partitions, is mounted. */
static bool find_mount(const struct place *p, char *what, size_t size)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *m;
	bool found = false;

	while (mounts && !found && (m = getmntent(mounts))) {
		struct stat st;

		found = *m->mnt_fsname == '/' && !stat(m->mnt_fsname, &st) && S_ISBLK(st.st_mode) &&
			st.st_rdev == p->st.st_rdev;
		if (found)
			snprintf(what, size, "mounted on %s", m->mnt_dir);
	}
	if (mounts)
		endmntent(mounts);
	return found;
}

static void guard_block_device(const struct target *t, const struct place *p, bool force)
{
	char what[PATH_MAX + 32];
	/* Kept open: as long as we have it, the kernel gives it to nobody else. */
	int fd = open(p->path, O_RDONLY | O_EXCL | O_CLOEXEC);

	if (find_mount(p, what, sizeof(what)))
		report(t, force, what);
	else if (fd < 0 && errno == EBUSY)
		report(t, force,
		       "in use (a partition of it is mounted, or it is swap space or part of a "
		       "RAID, LVM or device mapper volume)");
}

/* ---- Regular files ------------------------------------------------------------------------ */

static bool names_this(const char *path, const struct place *p)
{
	struct stat st;

	return !stat(path, &st) && st.st_dev == p->st.st_dev && st.st_ino == p->st.st_ino;
}

/* Does the first word of any line of the file name this place? */
static bool listed_in(const char *list, const struct place *p)
{
	FILE *f = fopen(list, "re");
	char line[PATH_MAX];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\t\n")] = '\0';
		found = *line == '/' && names_this(line, p);
		line[strcspn(line, " ")] = '\0';
		found |= *line == '/' && names_this(line, p);
	}
	if (f)
		fclose(f);
	return found;
}

static bool behind_loop_device(const struct place *p)
{
	glob_t files;
	bool found = false;

	if (glob("/sys/block/loop*/loop/backing_file", 0, NULL, &files))
		return false;
	for (size_t i = 0; i < files.gl_pathc && !found; i++)
		found = listed_in(files.gl_pathv[i], p);
	globfree(&files);
	return found;
}

/* QEMU and others lock the images that they have open. */
static bool is_locked(const struct place *p)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(p->path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	bool locked = false;

	if (fd >= 0) {
		locked = !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
		close(fd);
	}
	return locked;
}

static void guard_file(const struct target *t, const struct place *p, bool force)
{
	if (behind_loop_device(p))
		report(t, force, "the file behind a loop device");
	else if (listed_in("/proc/swaps", p))
		report(t, force, "swap space");
	else if (is_locked(p))
		report(t, force, "locked by another program, as images of running machines are");
}

/* ---- Public ------------------------------------------------------------------------------- */

void guard_writable(const struct target *t, bool force)
{
	struct place p;

	if (!find_place(t, &p))
		return;
	to_block_device(&p);
	if (S_ISBLK(p.st.st_mode))
		guard_block_device(t, &p, force);
	else if (S_ISREG(p.st.st_mode))
		guard_file(t, &p, force);
}

void guard_distinct(const struct target *a, const struct target *b)
{
	struct place pa, pb;
	bool same;

	if (!find_place(a, &pa) || !find_place(b, &pb))
		return;
	to_block_device(&pa);
	to_block_device(&pb);
	same = pa.st.st_dev == pb.st.st_dev && pa.st.st_ino == pb.st.st_ino;
	if (S_ISBLK(pa.st.st_mode) && S_ISBLK(pb.st.st_mode))
		same = pa.st.st_rdev == pb.st.st_rdev;
	if (same)
		tool_die("%s and %s are the same", a->text, b->text);
}
