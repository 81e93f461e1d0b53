/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Is what a job writes to mounted? fio's own answer reads /etc/mtab, which small systems and
 * containers lack, and compares names: it misses links to a device, the disk under a partition or a
 * volume, and the character device of an NVMe namespace. Here the kernel's table of mounts is
 * asked, and device numbers are compared.
 */
#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "engine.h"

#define SYS_PATH_MAX 512

/* A file of sysfs that holds a device number. */
static bool read_number(const char *file, dev_t *dev)
{
	FILE *f = fopen(file, "re");
	unsigned int major, minor;
	bool found = false;

	if (f) {
		found = fscanf(f, "%u:%u", &major, &minor) == 2;
		fclose(f);
	}
	if (found)
		*dev = makedev(major, minor);
	return found;
}

/* The block device that this file is, or for the generic node of an NVMe namespace stands for. */
static bool block_device_of(const struct stat *st, dev_t *dev)
{
	char name[SYS_PATH_MAX], link[SYS_PATH_MAX];
	int controller, ns;
	ssize_t len;

	*dev = st->st_rdev;
	if (S_ISBLK(st->st_mode))
		return true;
	if (!S_ISCHR(st->st_mode))
		return false;
	snprintf(name, sizeof(name), "/sys/dev/char/%u:%u", major(*dev), minor(*dev));
	len = readlink(name, link, sizeof(link) - 1);
	if (len < 0)
		return false;
	link[len] = '\0';
	if (!strrchr(link, '/') || sscanf(strrchr(link, '/'), "/ng%dn%d", &controller, &ns) != 2)
		return false;
	snprintf(name, sizeof(name), "/sys/class/block/nvme%dn%d/dev", controller, ns);
	return read_number(name, dev);
}

static bool lies_on(dev_t dev, dev_t disk);

/* The devices that a volume of LVM, RAID, device mapper and such is made of. */
static bool slave_lies_on(const char *node, dev_t disk)
{
	char pattern[SYS_PATH_MAX];
	bool found = false;
	glob_t slaves;
	dev_t slave;

	snprintf(pattern, sizeof(pattern), "%s/slaves/*/dev", node);
	if (glob(pattern, 0, NULL, &slaves))
		return false;
	for (size_t i = 0; i < slaves.gl_pathc && !found; i++)
		found = read_number(slaves.gl_pathv[i], &slave) && lies_on(slave, disk);
	globfree(&slaves);
	return found;
}

/* Does the block device dev keep its data on disk: is it that, a part of it, or a volume there? */
static bool lies_on(dev_t dev, dev_t disk)
{
	char node[64], file[SYS_PATH_MAX];
	dev_t parent;

	if (dev == disk)
		return true;
	snprintf(node, sizeof(node), "/sys/dev/block/%u:%u", major(dev), minor(dev));
	snprintf(file, sizeof(file), "%s/partition", node);
	if (!access(file, F_OK)) {
		snprintf(file, sizeof(file), "%s/../dev", node);
		return read_number(file, &parent) && parent == disk;
	}
	return slave_lies_on(node, disk);
}

/* A line of mountinfo: ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELD...] - TYPE SOURCE OPTIONS */
static bool is_mount_of(char *line, dev_t disk, char **point)
{
	char *source = strstr(line, " - "), *save, *word;
	unsigned int major, minor;
	struct stat st;

	if (!source || sscanf(line, "%*u %*u %u:%u", &major, &minor) != 2)
		return false;
	*source = '\0';
	strtok_r(source + 3, " ", &save);
	source = strtok_r(NULL, " ", &save);
	word = strtok_r(line, " ", &save);
	for (int i = 1; word && i < 5; i++)
		word = strtok_r(NULL, " ", &save);
	*point = word;
	if (lies_on(makedev(major, minor), disk))
		return true;
	/* btrfs has numbers of its own */
	return source && *source == '/' && !stat(source, &st) && S_ISBLK(st.st_mode) &&
	       lies_on(st.st_rdev, disk);
}

/* Without a table of mounts: the kernel gives what is mounted to nobody else. */
static bool is_claimed(const char *path)
{
	int fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return errno == EBUSY;
	close(fd);
	return false;
}

static int fail_mounted(struct thread_data *td, const char *path, const char *point)
{
	return bkf_fail(td, -EBUSY,
			"%s is mounted (%s): writing to it would destroy its file system "
			"(allow_mounted_write=1 overrides)",
			path, point);
}

static int check_path(struct thread_data *td, const char *path)
{
	char *line = NULL, *point;
	size_t size = 0;
	struct stat st;
	FILE *mounts;
	int ret = 0;
	dev_t disk;

	if (stat(path, &st) || !block_device_of(&st, &disk))
		return 0;
	mounts = fopen("/proc/self/mountinfo", "re");
	if (!mounts)
		return S_ISBLK(st.st_mode) && is_claimed(path)
			   ? fail_mounted(td, path, "or in use otherwise")
			   : 0;
	while (!ret && getline(&line, &size, mounts) > 0) {
		if (is_mount_of(line, disk, &point))
			ret = fail_mounted(td, path, point ? point : "somewhere");
	}
	free(line);
	fclose(mounts);
	return ret;
}

int bkf_check_not_mounted(struct thread_data *td, struct blkio *b)
{
	char *path = NULL, by_fd[32];
	int fd = -1, ret = 0;

	if (td->o.allow_mounted_write || read_only || !(td_write(td) || td_trim(td)))
		return 0;
	if (!blkio_get_str(b, "path", &path) && *path) {
		ret = check_path(td, path);
	} else if (!blkio_get_int(b, "fd", &fd) && fd >= 0) {
		snprintf(by_fd, sizeof(by_fd), "/proc/self/fd/%d", fd);
		ret = check_path(td, by_fd);
	}
	free(path);
	return ret;
}
