/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See storage.h. */
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "mount.h"
#include "storage.h"

#define SECTOR 512

static void find_below(struct storage *s, const struct storage_layer *upper);

/* A layer below upper, of which upper has len bytes from offset on; len 0: all the rest. */
static void add_below(struct storage *s, const struct storage_layer *upper,
		      struct storage_layer layer, uint64_t offset, uint64_t len)
{
	layer.start = upper->start + offset;
	layer.end = len && upper->end > len	       ? offset + len
		    : upper->end > UINT64_MAX - offset ? UINT64_MAX
						       : upper->end + offset;
	layer.exact &= upper->exact;
	if (s->n == STORAGE_LAYERS)
		return;
	s->layers[s->n++] = layer;
	find_below(s, &layer);
}

/* The same somewhere on a layer below. */
static void add_somewhere_on(struct storage *s, dev_t dev)
{
	static const struct storage_layer all = { .end = UINT64_MAX };

	add_below(s, &all, (struct storage_layer){ .is_disk = true, .dev = dev }, 0, 0);
}

/* ---- sysfs -------------------------------------------------------------------------------- */

/* The content of a file in sysfs, without the newline. */
static bool read_attribute(const char *path, char *value, size_t size)
{
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(value, (int)size, f);

	if (f)
		fclose(f);
	if (ok)
		value[strcspn(value, "\n")] = '\0';
	return ok;
}

static bool read_number(dev_t dev, const char *name, uint64_t *number)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(dev), minor(dev), name);
	if (!read_attribute(path, text, sizeof(text)))
		return false;
	*number = strtoull(text, NULL, 10);
	return true;
}

static bool read_dev(const char *path, dev_t *dev)
{
	unsigned maj, min;
	char text[32];

	if (!read_attribute(path, text, sizeof(text)) || sscanf(text, "%u:%u", &maj, &min) != 2)
		return false;
	*dev = makedev(maj, min);
	return true;
}

/* ---- Loop devices ------------------------------------------------------------------------- */

/* The kernel's huge_encode_dev(). */
static dev_t decode_dev(uint64_t dev)
{
	return makedev((dev & 0xfff00) >> 8, (dev & 0xff) | (dev >> 12 & 0xfff00));
}

static bool ask_loop(const char *name, struct loop_info64 *info)
{
	char path[64];
	int fd, ret;

	snprintf(path, sizeof(path), "/dev/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	ret = ioctl(fd, LOOP_GET_STATUS64, info);
	close(fd);
	return !ret;
}

static uint64_t loop_number(const char *name, const char *what)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), "/sys/block/%.32s/loop/%s", name, what);
	return read_attribute(path, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

/* For those who may not open it: sysfs has but the name that the file had. */
static bool guess_loop(const char *name, struct loop_info64 *info)
{
	char path[128], file[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "/sys/block/%.32s/loop/backing_file", name);
	if (!read_attribute(path, file, sizeof(file)) || stat(file, &st) < 0)
		return false;
	info->lo_offset = loop_number(name, "offset");
	info->lo_sizelimit = loop_number(name, "sizelimit");
	info->lo_inode = st.st_ino;
	info->lo_device = (uint64_t)major(st.st_dev) << 8 | (minor(st.st_dev) & 0xff) |
			  (uint64_t)(minor(st.st_dev) & ~0xffU) << 12;
	info->lo_rdevice = !S_ISBLK(st.st_mode)
			       ? 0
			       : (uint64_t)major(st.st_rdev) << 8 | (minor(st.st_rdev) & 0xff) |
				     (uint64_t)(minor(st.st_rdev) & ~0xffU) << 12;
	return true;
}

static void add_loop_file(struct storage *s, const struct storage_layer *upper, const char *name)
{
	struct loop_info64 info = { 0 };
	struct storage_layer layer = { .exact = true };

	if (!ask_loop(name, &info) && !guess_loop(name, &info))
		return;
	layer.is_disk = info.lo_rdevice != 0;
	layer.dev = decode_dev(layer.is_disk ? info.lo_rdevice : info.lo_device);
	layer.ino = layer.is_disk ? 0 : info.lo_inode;
	add_below(s, upper, layer, info.lo_offset, info.lo_sizelimit);
	if (!layer.is_disk && major(layer.dev))
		add_somewhere_on(s, layer.dev);
}

void storage_find_loop(struct storage *s, const char *name)
{
	static const struct storage_layer all = { .end = UINT64_MAX, .exact = true };

	s->n = 0;
	add_loop_file(s, &all, name);
}

/* ---- Devices ------------------------------------------------------------------------------ */

/* Of a device mapper or RAID volume. Which bytes of them, only their drivers know. */
static void add_members(struct storage *s, dev_t dev)
{
	char pattern[64];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "/sys/dev/block/%u:%u/slaves/*/dev", major(dev),
		 minor(dev));
	if (glob(pattern, 0, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		dev_t member;

		if (read_dev(found.gl_pathv[i], &member))
			add_somewhere_on(s, member);
	}
	globfree(&found);
}

static void find_below_disk(struct storage *s, const struct storage_layer *upper)
{
	struct storage_layer disk = { .is_disk = true, .exact = true };
	char path[64], target[PATH_MAX], *name;
	uint64_t number, start, sectors;
	ssize_t len;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(upper->dev), minor(upper->dev));
	len = readlink(path, target, sizeof(target) - 1);
	if (len <= 0)
		return;
	target[len] = '\0';
	name = strrchr(target, '/') ? strrchr(target, '/') + 1 : target;
	if (read_number(upper->dev, "partition", &number) &&
	    read_number(upper->dev, "start", &start) && read_number(upper->dev, "size", &sectors)) {
		strncat(path, "/../dev", sizeof(path) - strlen(path) - 1);
		if (read_dev(path, &disk.dev))
			add_below(s, upper, disk, start * SECTOR, sectors * SECTOR);
	} else if (!strncmp(name, "loop", 4)) {
		add_loop_file(s, upper, name);
	} else {
		add_members(s, upper->dev);
	}
}

static void find_below(struct storage *s, const struct storage_layer *upper)
{
	if (upper->is_disk)
		find_below_disk(s, upper);
}

/* ---- Files -------------------------------------------------------------------------------- */

/* A file, its counterpart in a layer of overlayfs, and the device that they are on. */
static void add_file(struct storage *s, const char *path, const struct stat *st)
{
	static const struct storage_layer all = { .end = UINT64_MAX, .exact = true };
	struct storage_layer file = { .exact = true, .dev = st->st_dev, .ino = st->st_ino };
	char below[PATH_MAX];
	struct stat below_st;
	dev_t dev;

	add_below(s, &all, file, 0, 0);
	if (s->n < STORAGE_LAYERS && mount_overlaid(path, below, &below_st))
		add_file(s, below, &below_st);
	else if (S_ISREG(st->st_mode) && mount_device(path, st, &dev))
		add_somewhere_on(s, dev);
}

void storage_find(struct storage *s, const char *path, const struct stat *st)
{
	static const struct storage_layer all = { .end = UINT64_MAX, .exact = true };
	struct storage_layer disk = { .is_disk = true, .exact = true, .dev = st->st_rdev };

	s->n = 0;
	if (S_ISBLK(st->st_mode))
		add_below(s, &all, disk, 0, 0);
	else
		add_file(s, path, st);
}

/* ---- Comparing ---------------------------------------------------------------------------- */

static bool covers(const struct storage_layer *a, const struct storage_layer *b)
{
	return a->start <= b->start && b->end <= a->end;
}

static enum storage_relation compare_layers(const struct storage_layer *a,
					    const struct storage_layer *b)
{
	if (a->is_disk != b->is_disk || a->dev != b->dev || a->ino != b->ino)
		return STORAGE_APART;
	if (a->exact && b->exact) {
		if (covers(a, b) && covers(b, a))
			return STORAGE_SAME;
		return a->start < b->end && b->start < a->end ? STORAGE_OVERLAP : STORAGE_APART;
	}
	/* Two that lie somewhere on a disk can be next to each other, as two files are. */
	return (a->exact && covers(a, b)) || (b->exact && covers(b, a)) ? STORAGE_OVERLAP
									: STORAGE_APART;
}

enum storage_relation storage_compare(const struct storage *a, const struct storage *b,
				      const struct storage_layer **where)
{
	enum storage_relation worst = STORAGE_APART;

	for (unsigned i = 0; i < a->n; i++) {
		for (unsigned k = 0; k < b->n; k++) {
			enum storage_relation r = compare_layers(&a->layers[i], &b->layers[k]);

			if (r > worst) {
				worst = r;
				*where = &a->layers[i];
			}
		}
	}
	return worst;
}
