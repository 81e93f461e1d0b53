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
#include "storage.h"
#include "tool.h"

/* The name at the end of a symbolic link, as sysfs has them for device numbers. */
static bool last_component(const char *link, char *name, size_t size)
{
	char target[PATH_MAX];
	ssize_t len = readlink(link, target, sizeof(target) - 1);

	target[len > 0 ? len : 0] = '\0';
	snprintf(name, size, "%s", strrchr(target, '/') ? strrchr(target, '/') + 1 : target);
	return *name;
}

/* The generic node of an NVMe namespace, whatever its name, stands for its block device. */
static void to_block_device(struct place *p)
{
	char path[64], target[PATH_MAX];
	int ctrl, ns;

	if (!S_ISCHR(p->st.st_mode))
		return;
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u", major(p->st.st_rdev),
		 minor(p->st.st_rdev));
	if (!last_component(path, target, sizeof(target)) ||
	    sscanf(target, "ng%dn%d", &ctrl, &ns) != 2)
		return;
	snprintf(p->path, sizeof(p->path), "/dev/nvme%dn%d", ctrl, ns);
	if (stat(p->path, &p->st))
		p->st.st_mode = 0;
}

static void report(const struct target *t, bool force, const char *what)
{
	if (!force)
		tool_die("%s is %s: refusing to write to it; --force overrides", t->text, what);
	tool_warn("%s is %s: writing to it anyway because of --force", t->text, what);
}

/* ---- Loop devices ------------------------------------------------------------------------- */

/* Its name may be another one by now, or gone: losetup, then ln and rm. */
static bool behind_loop_device(const struct place *p)
{
	static const char dir[] = "/sys/block/";
	struct storage self, loop;
	glob_t found;
	bool behind = false;

	if (glob("/sys/block/loop*/loop", 0, NULL, &found))
		return false;
	storage_find(&self, p->path, &p->st);
	self.n = 1; /* what it lies on itself is another matter */
	for (size_t i = 0; i < found.gl_pathc && !behind; i++) {
		const struct storage_layer *where;
		char *name = found.gl_pathv[i] + strlen(dir);

		*strrchr(name, '/') = '\0';
		storage_find_loop(&loop, name);
		behind = storage_compare(&self, &loop, &where) != STORAGE_APART;
	}
	globfree(&found);
	return behind;
}

/* ---- Block devices ------------------------------------------------------------------------ */

/* Where it is mounted. Of partitions and other names, O_EXCL tells. */
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
	else if (behind_loop_device(p))
		report(t, force, "the backing device of a loop device");
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
		report(t, force, "the backing file of a loop device");
	else if (listed_in("/proc/swaps", p))
		report(t, force, "swap space");
	else if (is_locked(p))
		report(t, force,
		       "locked by another program, as the image of a running virtual machine is");
}

/* ---- Public ------------------------------------------------------------------------------- */

void guard_writable(const struct place *place, bool force)
{
	struct place p = *place;

	if (!*p.path)
		return;
	to_block_device(&p);
	if (S_ISBLK(p.st.st_mode))
		guard_block_device(p.t, &p, force);
	else if (S_ISREG(p.st.st_mode))
		guard_file(p.t, &p, force);
}

/* What both use: a device by its name, else the file of one of them. */
static void name_layer(const struct storage_layer *where, char *name, size_t size)
{
	char path[64], disk[NAME_MAX];

	snprintf(name, size, "the same file");
	if (!where->is_disk)
		return;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(where->dev), minor(where->dev));
	if (last_component(path, disk, sizeof(disk)))
		snprintf(name, size, "/dev/%s", disk);
	else
		snprintf(name, size, "the same disk");
}

/* Device nodes other than disks are one if their numbers are. */
static bool same_node(const struct place *a, const struct place *b)
{
	if (S_ISCHR(a->st.st_mode) && S_ISCHR(b->st.st_mode))
		return a->st.st_rdev == b->st.st_rdev;
	return a->st.st_dev == b->st.st_dev && a->st.st_ino == b->st.st_ino;
}

void guard_distinct(const struct place *src, const struct place *dst, bool force)
{
	struct place a = *src, b = *dst;
	struct storage of_a, of_b;
	const struct storage_layer *where;
	enum storage_relation relation;
	char what[PATH_MAX];

	if (!*a.path || !*b.path)
		return;
	to_block_device(&a);
	to_block_device(&b);
	storage_find(&of_a, a.path, &a.st);
	storage_find(&of_b, b.path, &b.st);
	relation = storage_compare(&of_a, &of_b, &where);
	if (same_node(&a, &b) || relation == STORAGE_SAME)
		tool_die("%s and %s are the same", a.t->text, b.t->text);
	if (relation == STORAGE_APART)
		return;
	name_layer(where, what, sizeof(what));
	if (!force)
		tool_die("%s and %s overlap on %s: the copy would change its own source; --force "
			 "overrides",
			 a.t->text, b.t->text, what);
	tool_warn("%s and %s overlap on %s: copying anyway because of --force", a.t->text,
		  b.t->text, what);
}

void guard_not_same(const struct place *a, const struct place *b)
{
	if (*a->path && *b->path && same_node(a, b))
		tool_die("%s and %s are the same", a->t->text, b->t->text);
}
