/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A namespace that changes while it is in use. One that is formatted with other blocks can no
 * longer be used: a command counts blocks, and with larger ones the controller would overrun the
 * buffers of an application that keeps to the old. One that grows or shrinks can, as far as it
 * goes.
 */
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <nvme/types.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ns.h"

enum { BLOCK = 4096, LEN = 512 };

/* Formats that QEMU's namespaces have. */
enum { FORMAT_512 = 0, FORMAT_512_8 = 1, FORMAT_4096 = 4, METADATA_WITHIN = 1 << 4 };

static void format(unsigned how)
{
	int fd = (int)SYS(open(ns_generic(), O_RDWR | O_CLOEXEC));
	struct nvme_passthru_cmd c = {
		.opcode = nvme_admin_format_nvm,
		.nsid = (uint32_t)SYS(ioctl(fd, NVME_IOCTL_ID)),
		.cdw10 = how,
		.timeout_ms = 120000,
	};

	CHECK_EQ(ioctl(fd, NVME_IOCTL_ADMIN_CMD, &c), 0);
	close(fd);
}

static void check_gone(struct blkio *b)
{
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(2 * BLOCK);
	struct iovec iov[2] = { { buf, LEN }, { buf + BLOCK, LEN } };
	uint64_t capacity;

	memset(buf, 0xee, 2 * BLOCK);
	CHECK_IO_ERR(io_read(q, 0, buf, LEN, 0), ENODEV, "formatted");
	CHECK_IO_ERR(io_readv(q, 0, iov, 2, 0), ENODEV, "formatted");
	CHECK_IO_ERR(io_write(q, 0, buf, LEN, 0), ENODEV, "formatted");
	CHECK_IO_ERR(io_zeroes(q, 0, LEN, 0), ENODEV, "formatted");
	CHECK_IO_ERR(io_flush(q, 0), ENODEV, "formatted");
	check_all(buf, 2 * BLOCK, 0xee);
	CHECK_ERR(blkio_get_uint64(b, "capacity", &capacity), ENODEV, "formatted");
	CHECK_ERR(blkio_add_queue(b), ENODEV, "formatted");
	free(buf);
}

static void check_works(int block)
{
	struct blkio *b = ns_start();
	char *buf = buffer(2 * BLOCK);

	CHECK_EQ(get_int(b, "request-alignment"), block);
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, 2 * BLOCK, 0), 0);
	free(buf);
	blkio_destroy(&b);
}

static void capacity_notices(struct device *d)
{
	struct blkio *b = ns_start();
	uint64_t capacity;

	(void)d;
	format(FORMAT_4096);
	test_forget_error();
	CHECK_EQ(blkio_get_uint64(b, "capacity", &capacity), -ENODEV);
	check_gone(b);
	blkio_destroy(&b);
	check_works(4096);
	format(FORMAT_512);
	check_works(512);
}

static void start_notices(struct device *d)
{
	struct blkio *b = ns_connect();

	(void)d;
	format(FORMAT_4096);
	CHECK_ERR(blkio_start(b), ENODEV, "formatted", "2^9", "2^12");
	blkio_destroy(&b);
	format(FORMAT_512);
}

/* Nobody asks. Flushes have no data that could be overrun meanwhile. */
static void time_notices(struct device *d)
{
	static const unsigned formats[] = { FORMAT_4096, FORMAT_512_8 | METADATA_WITHIN };

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		struct blkio *b = ns_start();
		int ret = 0;

		format(formats[i]);
		while (!ret) /* for as long as it takes, up to the deadline of the case */
			ret = io_flush(blkio_get_queue(b, 0), 0);
		CHECK_EQ(ret, -ENODEV);
		check_gone(b);
		blkio_destroy(&b);
		format(FORMAT_512);
	}
	check_works(512);
}

/* The same format again is no change, and not the end. */
static void same_format(struct device *d)
{
	struct blkio *b = ns_start();
	char *buf = buffer(BLOCK);

	(void)d;
	format(FORMAT_512);
	usleep(100000); /* in which nothing must happen */
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, LEN, 0), 0);
	CHECK(get_u64(b, "capacity") > 0);
	free(buf);
	blkio_destroy(&b);
}

/* ---- Another size ------------------------------------------------------------------------- */

/* A namespace of the kernel's NVMe target, on a file: QEMU's keep their size. */
#define TARGET "/sys/kernel/config/nvmet/subsystems/nqn.2024-01.vm:target/namespaces/2"

static void resize(int fd, struct blkio *b, uint64_t bytes)
{
	SYS(ftruncate(fd, (off_t)bytes));
	write_sysfs(TARGET "/revalidate_size", "1");
	CHECK_EQ(get_u64(b, "capacity"), bytes);
}

static struct blkio *start_on_target(void)
{
	char disk[64], node[64];
	int controller;

	CHECK_EQ(sscanf(getenv("VM_NVMET_DEVICE"), "/dev/nvme%dn1", &controller), 1);
	snprintf(disk, sizeof(disk), "/dev/nvme%dn2", controller);
	snprintf(node, sizeof(node), "/dev/ng%dn2", controller);
	while (access(disk, F_OK) || access(node, F_OK)) /* the host is told of it */
		usleep(10000);
	setenv("TEST_DISK", disk, true);
	return ns_start();
}

static void grows_and_shrinks(struct device *d)
{
	static const char file[] = "/dev/shm/namespace";
	int fd = (int)SYS(open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	char *buf = buffer(BLOCK);
	struct blkioq *q;
	struct blkio *b;

	(void)d;
	SYS(ftruncate(fd, 8 << 20));
	SYS(mkdir(TARGET, 0700));
	write_sysfs(TARGET "/device_path", file);
	write_sysfs(TARGET "/buffered_io", "1");
	write_sysfs(TARGET "/enable", "1");
	b = start_on_target();
	q = blkio_get_queue(b, 0);
	CHECK(io_read(q, 8 << 20, buf, BLOCK, 0) < 0);

	resize(fd, b, 16 << 20);
	pattern(buf, 0, BLOCK, 1);
	CHECK_EQ(io_write(q, (16 << 20) - BLOCK, buf, BLOCK, 0), 0);
	memset(buf, 0, BLOCK);
	CHECK_EQ(io_read(q, (16 << 20) - BLOCK, buf, BLOCK, 0), 0);
	check_pattern(buf, 0, BLOCK, 1);
	CHECK_EQ(io_discard(q, (16 << 20) - BLOCK, BLOCK, 0), 0);

	resize(fd, b, 4 << 20);
	CHECK_EQ(io_discard(q, 4 << 20, BLOCK, 0), -EINVAL);
	CHECK(io_read(q, 4 << 20, buf, BLOCK, 0) < 0);
	CHECK_EQ(io_read(q, (4 << 20) - BLOCK, buf, BLOCK, 0), 0);
	free(buf);
	blkio_destroy(&b);
	write_sysfs(TARGET "/enable", "0");
	SYS(rmdir(TARGET));
	close(fd);
	unlink(file);
}

static const struct test tests[] = {
	{ "reading the capacity notices", capacity_notices },
	{ "start notices", start_notices },
	{ "it is noticed in time", time_notices },
	{ "the same format", same_format },
	{ "it grows and shrinks", grows_and_shrinks, .timeout = 60 },
};
TEST_MAIN(tests)
