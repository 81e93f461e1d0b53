/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The nvme-tcp driver and the kernel's target: who is refused and how, data in each way to send it,
 * the kernel's own host beside, and a host that is silent or stopped.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../disk.h"
#include "nvmet.h"

/* ---- Who may connect ---------------------------------------------------------------------- */

static void refused(struct device *d)
{
	struct blkio *b = nvmet_create(0, "closed/1");

	(void)d;
	CHECK_ERR(blkio_connect(b), EACCES, NVMET_NQN "closed", "does not allow host", "hostnqn");
	CHECK_OK(blkio_set_str(b, "hostnqn", NVMET_NQN "friend"));
	CHECK_OK(blkio_connect(b));
	blkio_destroy(&b);

	b = nvmet_create(0, "none/1");
	CHECK_ERR(blkio_connect(b), ENOENT, "no subsystem \"" NVMET_NQN "none\"", "subnqn");
	blkio_destroy(&b);

	b = nvmet_create(0, "disks/9");
	CHECK_ERR(blkio_connect(b), ENODEV, "namespace 9");
	blkio_destroy(&b);

	b = nvmet_create(5, "disks/1");
	CHECK_ERR(blkio_connect(b), ECONNREFUSED, "4425");
	blkio_destroy(&b);
}

static void one_queue(struct device *d)
{
	struct blkio *b = nvmet_create(0, "one/1"), *other;
	char *buf = buffer(BLOCK);

	(void)d;
	CHECK_OK(blkio_connect(b));
	CHECK_EQ(get_int(b, "max-queues"), 1);
	CHECK_OK(blkio_set_int(b, "num-queues", 2));
	CHECK_ERR(blkio_start(b), EINVAL, "max-queues");
	CHECK_OK(blkio_set_int(b, "num-queues", 1));
	CHECK_OK(blkio_start(b));
	CHECK_ERR(blkio_add_queue(b), ENOSPC, "queue");
	/* The limit is each controller's. */
	other = nvmet_start(1, "one/1");
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
	CHECK_EQ(io_read(blkio_get_queue(other, 0), 0, buf, BLOCK, 0), 0);
	/* Its ID is free again with the queue. */
	CHECK_OK(blkio_remove_queue(b, 0));
	CHECK_OK(blkio_add_queue(b));
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
	buffer_free(buf);
	blkio_destroy(&other);
	blkio_destroy(&b);
}

/* ---- Data --------------------------------------------------------------------------------- */

/* Each way to send data, and each combination of digests, with requests of every length. */
static void lengths_and_digests(struct device *d)
{
	static const char *const digests[] = { "none", "header", "data", "both" };
	static const uint32_t lengths[] = { 512, 16384, 16896, 300032 };
	char *buf = buffer(MIB);

	(void)d;
	for (int port = 0; port < 2; port++) {
		for (size_t i = 0; i < ARRAY_LEN(digests); i++) {
			struct blkio *b = nvmet_create(port, "disks/1");
			struct blkioq *q;

			CHECK_OK(blkio_set_str(b, "digests", digests[i]));
			CHECK_OK(blkio_connect(b));
			CHECK_OK(blkio_start(b));
			CHECK_EQ(get_int(b, "request-alignment"), 512);
			q = blkio_get_queue(b, 0);
			for (size_t k = 0; k < ARRAY_LEN(lengths); k++) {
				uint32_t len = lengths[k], seed = i * 10 + k;

				pattern(buf, MIB + 512, len, seed);
				CHECK_EQ(io_write(q, MIB + 512, buf, len, 0), 0);
				memset(buf, 0xee, len);
				CHECK_EQ(io_read(q, MIB + 512, buf, len, 0), 0);
				check_pattern(buf, MIB + 512, len, seed);
			}
			blkio_destroy(&b);
		}
	}
	buffer_free(buf);
}

/* nvmet has no limit (MDTS 0), and property max-transfer is ours. */
static void longest(struct device *d)
{
	struct blkio *b = nvmet_start(0, "disks/1");
	struct blkioq *q = blkio_get_queue(b, 0);
	uint32_t max = get_int(b, "max-transfer");
	char *buf = buffer(max + 512);

	(void)d;
	pattern(buf, 16 * MIB, max, 3);
	CHECK_EQ(io_write(q, 16 * MIB, buf, max, 0), 0);
	memset(buf, 0xee, max);
	CHECK_EQ(io_read(q, 16 * MIB, buf, max, 0), 0);
	check_pattern(buf, 16 * MIB, max, 3);
	CHECK_IO_ERR(io_read(q, 0, buf, max + 512, 0), EINVAL, "max-transfer");
	buffer_free(buf);
	blkio_destroy(&b);
}

static void kernel_host_beside(struct device *d)
{
	struct blkio *b = nvmet_start(0, "target/1");
	struct blkioq *q = blkio_get_queue(b, 0);
	int fd = (int)SYS(open(disk_path(), O_RDWR | O_DIRECT | O_CLOEXEC));
	char *buf = buffer(MIB);

	(void)d;
	CHECK(buf); /* for gcc */
	CHECK_EQ(get_u64(b, "capacity"), SYS(lseek(fd, 0, SEEK_END)));
	for (uint32_t len = BLOCK; len <= MIB / 4; len *= 8) {
		pattern(buf, 0, len, len);
		CHECK_EQ(io_write(q, 0, buf, len, 0), 0);
		memset(buf, 0xee, len);
		CHECK_EQ(pread(fd, buf, len, 0), len);
		check_pattern(buf, 0, len, len);
		pattern(buf, MIB, len, len + 1);
		CHECK_EQ(pwrite(fd, buf, len, MIB), len);
		memset(buf, 0xee, len);
		CHECK_EQ(io_read(q, MIB, buf, len, 0), 0);
		check_pattern(buf, MIB, len, len + 1);
	}
	buffer_free(buf);
	close(fd);
	blkio_destroy(&b);
}

/* ---- Signs of life ------------------------------------------------------------------------ */

/* Is a queue there still that nobody has used for longer than the target waits? */
static bool survives(int seconds)
{
	struct blkio *b = nvmet_create(0, "one/1");
	char *buf = buffer(BLOCK);
	int ret;

	CHECK_OK(blkio_set_int(b, "keep-alive-timeout", seconds * 1000));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	sleep(seconds * 5 / 2);
	ret = io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0);
	if (ret)
		CHECK_EQ(ret, -ENOTCONN);
	buffer_free(buf);
	blkio_destroy(&b);
	return !ret;
}

/* A machine that stands still for these seconds is silent, too: try again with more. */
static void silent(struct device *d)
{
	(void)d;
	CHECK(survives(4) || survives(8) || survives(16));
}

static void wait_for_expiry(int log)
{
	char line[8192];
	ssize_t n;

	do {
		n = SYS(read(log, line, sizeof(line) - 1));
		line[n] = '\0';
	} while (!strstr(line, "keep-alive timer") || !strstr(line, "expired"));
}

/* What the child does before it is stopped, and after. */
static int use_device(int ready)
{
	struct blkio *b = nvmet_create(0, "one/1");
	char *buf = buffer(BLOCK);

	CHECK_OK(blkio_set_int(b, "keep-alive-timeout", 2000));
	CHECK_OK(blkio_set_str(b, "reconnect-timeout", NVMET_MS));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
	CHECK_EQ(write(ready, buf, 1), 1);
	raise(SIGSTOP);
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
	buffer_free(buf);
	blkio_destroy(&b);
	return 0;
}

static void stopped(struct device *d)
{
	int log = (int)SYS(open("/dev/kmsg", O_RDONLY | O_CLOEXEC)), ready[2], status;
	pid_t child;
	char byte;

	(void)d;
	SYS(lseek(log, 0, SEEK_END));
	SYS(pipe(ready));
	child = (pid_t)SYS(fork());
	if (!child)
		_exit(use_device(ready[1]));
	close(ready[1]);
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	wait_for_expiry(log);
	SYS(kill(child, SIGCONT));
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	close(ready[0]);
	close(log);
}

static const struct test tests[] = {
	{ "refused", refused },
	{ "one queue", one_queue },
	{ "lengths and digests", lengths_and_digests },
	{ "the longest request", longest },
	{ "the kernel's host beside", kernel_host_beside },
	{ "silent for longer than keep-alive-timeout", silent },
	{ "stopped for longer than keep-alive-timeout", stopped },
};
TEST_MAIN(tests)
