/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a file or block device is made of: a partition lies on a disk, a loop device on a file, a
 * device mapper or RAID volume on its members, a file on the device of its file system. Names mean
 * nothing here: files are told apart by device and inode, devices by their numbers.
 */
#ifndef STORAGE_H
#define STORAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define STORAGE_LAYERS 32

struct storage_layer {
	bool is_disk;
	dev_t dev; /* of the disk, or of the file system that the file is on */
	ino_t ino; /* files */
	/* Which bytes of the layer. exact: all of these; else somewhere among them. */
	uint64_t start, end;
	bool exact;
};

/* The first layer is the file or device itself. */
struct storage {
	struct storage_layer layers[STORAGE_LAYERS];
	unsigned n;
};

/* path: where the file was found; only needed for regular files. */
void storage_find(struct storage *s, const char *path, const struct stat *st);

/* Of the device that a loop device's name in sysfs stands for, such as "loop0". */
void storage_find_loop(struct storage *s, const char *name);

enum storage_relation {
	STORAGE_APART,	 /* as far as anybody can tell */
	STORAGE_OVERLAP, /* writing to one changes the other */
	STORAGE_SAME,
};

/* *where: the layer that they have in common, one of a's. */
enum storage_relation storage_compare(const struct storage *a, const struct storage *b,
				      const struct storage_layer **where);

#endif
