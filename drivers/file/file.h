/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Files and block devices that the kernel serves: opening them, what they can do, and what the
 * kernel's errors say about them. The same for every driver that reaches them through the kernel,
 * whatever the system calls: limits, the end of a file, and errors must not depend on the driver.
 */
#ifndef BK_FILE_FILE_H
#define BK_FILE_FILE_H

#include <sys/types.h>

#include "driver.h"

struct file_info {
	bool direct;	      /* property; after connect() of a given fd, its own flag */
	bool is_block_device; /* the rest is known when connected */
	int block_size;	      /* of a block device: logical */
	dev_t dev;	      /* the block device, or the one that the file lies on */
};

/* ---- Connect ------------------------------------------------------------------------------ */

/*
 * For bk_driver.connect: open the path, or adopt *fd, and fill in b->lim. *fd is the library's
 * afterwards. lim.supports_poll_queues is left to the driver. 0 or bk_err().
 */
int file_connect(struct blkio *b, struct file_info *f, const char *path, int *fd);

/*
 * A given fd shares its open file description, with flags and position, with descriptors of the
 * application and of other processes. Another one of the same file, with these flags; -1 where the
 * file cannot be opened again: without /proc, or without permission. Sleeps. Not before connect()
 * can no longer fail: closing any descriptor of a file drops the POSIX locks that the process holds
 * on it.
 */
int file_open_again(int fd, int flags);

/* Does a block device still have the blocks that it was connected with? Else it is gone: bk_err().
 */
int file_check_blocks(struct blkio *b, const struct file_info *f, int fd);

/* bk_driver.capacity */
int file_capacity(struct blkio *b, const struct file_info *f, int fd, uint64_t *bytes);

/* Nodes of block devices lie on a file system in memory, too: they are not meant. */
bool file_is_in_memory(const struct file_info *f, int fd);

/* An attribute of a block device in sysfs; false without it. */
bool file_sysfs_number(dev_t dev, const char *name, uint64_t *val);

/* An attribute of the queue of a block device, or of the disk that it is a partition of. */
uint64_t file_queue_attr(dev_t dev, const char *name, uint64_t otherwise);

/* Keeps what we do not understand from becoming an impossible property. */
int file_block_size_or(uint64_t n, int otherwise);

/* ---- Requests ----------------------------------------------------------------------------- */

#ifndef RWF_ATOMIC
#define RWF_ATOMIC 0x40 /* Linux 6.11, include/uapi/linux/fs.h */
#endif

/* The mode of fallocate() for a BK_WRITE_ZEROES. */
int file_zeroes_mode(const struct bk_req *r);

/*
 * Do a BK_BLOCK_STATUS of a regular file, as far as it takes little time: what bk_complete() is to
 * be told. Sleeps, and moves the position of fd, so it must be of an open file description of our
 * own: file_open_again(). -1: there is none.
 */
int file_block_status(struct bk_req *r, int fd);

/* Complete r, which the kernel failed with error, a negative errno value; or try it again. */
void file_failed(struct blkioq *q, struct bk_req *r, const struct file_info *f, int fd, int error);

/* ---- Properties --------------------------------------------------------------------------- */

/* Rows of a driver's table: where its device has the path, and "direct" of its struct file_info. */
/* clang-format off */
#define FILE_PROPS(device, path, direct)							\
	{ "path", "The file or block device to open.", BK_STR, BK_GET_ALWAYS, BK_SET_CREATED,	\
	  offsetof(device, path) },								\
	{ "direct",										\
	  "Bypass the page cache (O_DIRECT). With fd, the flags of fd decide instead, and direct " \
	  "shows them after blkio_connect().",							\
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(device, direct) }
/* clang-format on */

#endif
