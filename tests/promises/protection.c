/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A file given as fd is used for what it was opened for, and its flags, which others may share,
 * stay as they are. What is write-protected can be connected to, and is not written.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "matrix.h"

enum { LEN = 4096 };

#define KINDS (ALL_KINDS & ~KIND(SPINNING))
#define CONDITIONS                                                                                 \
	(CONDITION(QUIET) | CONDITION(SIGNALS) | CONDITION(OTHER_THREAD) |                         \
	 CONDITION(FAILED_BEFORE) | CONDITION(SEVERAL_QUEUES))

static int read_gives, write_gives;

static void read_and_write(struct setting *s)
{
	char *buf = buffer(LEN), *before = buffer(LEN), *after = buffer(LEN);

	for (int i = 0; i < s->nr_queues; i++) {
		struct blkioq *q = setting_queue(s, i);
		struct iovec iov[2] = { { buf, LEN / 2 }, { buf + LEN / 2, LEN / 2 } };

		pattern(buf, 0, LEN, (uint32_t)i + 1);
		device_peek(s->d, 0, before, LEN);
		CHECK_EQ(io_write(q, 0, buf, LEN, 0), write_gives);
		CHECK_EQ(io_writev(q, 0, iov, 2, 0), write_gives);
		CHECK_EQ(io_write(q, 0, buf, LEN, BLKIO_REQ_FUA), write_gives);
		device_peek(s->d, 0, after, LEN);
		CHECK_MEM(after, write_gives ? before : buf, LEN);
		memset(buf, 0xee, LEN);
		CHECK_EQ(io_read(q, 0, buf, LEN, 0), read_gives);
		CHECK_EQ(io_readv(q, 0, iov, 2, 0), read_gives);
		if (read_gives)
			check_all(buf, LEN, 0xee);
		else
			CHECK_MEM(buf, after, LEN);
	}
	buffer_free(buf);
	buffer_free(before);
	buffer_free(after);
}

static void open_for(struct setting *s, int mode)
{
	int direct = s->d->target->traits & T_DIRECT ? O_DIRECT : 0, flags, twin;

	s->fd = (int)SYS(open(s->d->path, mode | direct | O_CLOEXEC));
	twin = (int)SYS(dup(s->fd));
	flags = (int)SYS(fcntl(twin, F_GETFL));
	read_gives = mode == O_WRONLY ? -EBADF : 0;
	write_gives = mode == O_RDONLY ? -EBADF : 0;
	setting_start(s);
	CHECK_EQ(get_bool(s->b, "read-only"), mode == O_RDONLY);
	setting_call(s, read_and_write);
	CHECK_EQ(SYS(fcntl(twin, F_GETFL)), flags);
	blkio_destroy(&s->b);
	CHECK_EQ(SYS(fcntl(twin, F_GETFL)), flags);
	CHECK_EQ(fcntl(s->fd, F_GETFD), -1);
	close(twin);
}

static void for_reading(struct setting *s)
{
	open_for(s, O_RDONLY);
}

static void for_writing(struct setting *s)
{
	open_for(s, O_WRONLY);
}

static void for_both(struct setting *s)
{
	open_for(s, O_RDWR);
}

static void set_protection(struct setting *s, int protect)
{
	int fd = (int)SYS(open(s->d->path, O_RDONLY | O_CLOEXEC));

	SYS(ioctl(fd, BLKROSET, &protect));
	close(fd);
}

static void write_protected(struct setting *s)
{
	read_gives = 0;
	write_gives = -EPERM;
	set_protection(s, 1);
	setting_start(s);
	setting_call(s, read_and_write);
	blkio_destroy(&s->b);
	set_protection(s, 0);
}

static const struct promise protection_promises[] = {
	{ "a descriptor for reading only reads", for_reading, T_KERNEL, 0, KINDS, CONDITIONS },
	{ "a descriptor for writing only writes", for_writing, T_KERNEL, 0, KINDS, CONDITIONS },
	{ "a descriptor keeps its flags", for_both, T_KERNEL, 0, KINDS, CONDITIONS },
	{ "a write-protected block device is not written", write_protected, T_BLOCK, 0, KINDS,
	  CONDITIONS },
};
PROMISES(protection_promises)
