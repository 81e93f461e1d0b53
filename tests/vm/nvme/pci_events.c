/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * nvme-vfio-pci on controllers of the test VM: errors, processes that are killed, namespaces and
 * controllers that go, shadow doorbells. The script vfio says which devices.
 */
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <nvme/types.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../qmp.h"
#include "pci_ctrl.h"

/* ---- What goes wrong ---------------------------------------------------------------------- */

static void media_errors(struct device *d)
{
	char *buf;
	struct blkio *b = start_namespace(BAD, MIB, &buf);
	struct blkioq *q = blkio_get_queue(b, 0);

	(void)d;
	CHECK_EQ(io_read(q, 0, buf, 4096, 0), 0);
	CHECK(io_read(q, 64 * KIB, buf, 4096, 0) < 0);
	if (!strstr(io_msg(), "NVMe: "))
		FAIL("the message is \"%s\"", io_msg());
	CHECK_EQ(io_read(q, 0, buf, 4096, 0), 0);
	blkio_destroy(&b);
}

static void read_for_ever(int ready)
{
	char *buf;
	struct blkio *b = start_namespace(PLAIN, 2 * MIB, &buf);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_completion c;

	for (unsigned i = 0; i < 32; i++)
		blkioq_read(q, i * 64 * KIB, buf + i * 64 * KIB, 64 * KIB, buf + i * 64 * KIB, 0);
	for (unsigned i = 0;; i++) {
		CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
		CHECK_EQ(c.ret, 0);
		blkioq_read(q, 0, c.user_data, 64 * KIB, c.user_data, 0);
		if (i == 50)
			SYS(write(ready, "", 1));
	}
}

static void killed(struct device *d)
{
	(void)d;
	for (int round = 0; round < 2; round++) {
		int pipe_fds[2], status;
		struct blkio *b;
		char byte, *buf;
		pid_t child;

		SYS(pipe(pipe_fds));
		child = (pid_t)SYS(fork());
		if (!child)
			read_for_ever(pipe_fds[1]);
		close(pipe_fds[1]);
		CHECK_EQ(read(pipe_fds[0], &byte, 1), 1);
		close(pipe_fds[0]);
		SYS(kill(child, SIGKILL));
		CHECK_EQ(waitpid(child, &status, 0), child);
		b = start_namespace(PLAIN, 4 * MIB, &buf);
		any_request(b, buf);
		blkio_destroy(&b);
	}
}

static void *pull(void *arg)
{
	int port = qmp_open();

	(void)arg;
	usleep(100 * 1000);
	qmp_tell(port, "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"little\"}}\n");
	close(port);
	return NULL;
}

/* In mid-I/O; the controller of the other tests before. */
static void removed(struct device *d)
{
	struct timespec limit = { .tv_sec = 60 };
	struct blkio_completion c;
	char *buf;
	struct blkio *b = start(connect_to(env("VM_NVME_LITTLE"), 0), MIB, &buf);
	struct blkioq *q = blkio_get_queue(b, 0);
	pthread_t thread;

	(void)d;
	for (unsigned i = 0; i < 16; i++)
		blkioq_read(q, i * 4096, buf + i * 4096, 4096, buf + i * 4096, 0);
	CHECK_EQ(pthread_create(&thread, NULL, pull, NULL), 0);
	do {
		CHECK_EQ(blkioq_do_io(q, &c, 1, 1, &limit), 1);
		if (!c.ret)
			blkioq_read(q, 0, c.user_data, 4096, c.user_data, 0);
	} while (!c.ret);
	CHECK_EQ(c.ret, -EIO);
	if (!c.error_msg || !strstr(c.error_msg, "removed"))
		FAIL("the message is \"%s\"", c.error_msg ? c.error_msg : "(none)");
	for (unsigned i = 1; i < 16; i++) {
		CHECK_EQ(blkioq_do_io(q, &c, 1, 1, &limit), 1);
		CHECK_EQ(c.ret, -EIO);
	}
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(io_read(q, 0, buf, 4096, 0), -EIO);
	blkio_destroy(&b);
}

/* ---- Namespaces that come and go ---------------------------------------------------------- */

static int admin_command(int fd, struct nvme_passthru_cmd *c, void *data, size_t len)
{
	c->addr = (uintptr_t)data;
	c->data_len = len;
	return ioctl(fd, NVME_IOCTL_ADMIN_CMD, c);
}

/* Attach a namespace to our controller, or detach it: the kernel's controller does that. */
static void attach(int nsid, bool attached)
{
	struct nvme_passthru_cmd list = { .opcode = nvme_admin_identify,
					  .cdw10 = NVME_IDENTIFY_CNS_CTRL_LIST };
	struct nvme_passthru_cmd c = { .opcode = nvme_admin_ns_attach,
				       .nsid = nsid,
				       .cdw10 = !attached };
	char path[64], own[16];
	int fd, node = (int)SYS(open("/dev/nvme0", O_RDONLY | O_CLOEXEC));
	struct nvme_ctrl_list all, ours = { .num = 1 };

	snprintf(path, sizeof(path), "/sys/class/nvme/nvme0/cntlid");
	fd = (int)SYS(open(path, O_RDONLY | O_CLOEXEC));
	memset(own, 0, sizeof(own));
	SYS(read(fd, own, sizeof(own) - 1));
	close(fd);
	CHECK_EQ(admin_command(node, &list, &all, sizeof(all)), 0);
	CHECK_EQ(all.num, 2);
	ours.identifier[0] = all.identifier[all.identifier[0] == atoi(own)];
	CHECK_EQ(admin_command(node, &c, &ours, sizeof(ours)), 0);
	close(node);
}

/* Nobody asks the controller: it is the watching thread that is told. */
static void detached(struct device *d)
{
	char *buf;
	struct blkio *b = start_namespace(BLOCKS_4K, MIB, &buf);
	struct blkioq *q = blkio_get_queue(b, 0);
	int64_t limit = clock_ns() + 60 * 1000000000LL;
	uint64_t bytes;
	int ret;

	(void)d;
	attach(METADATA, false);
	for (int i = 0; i < 1000; i++)
		CHECK_EQ(io_read(q, 0, buf, 4096, 0), 0);
	attach(METADATA, true);
	attach(BLOCKS_4K, false);
	do {
		ret = io_read(q, 0, buf, 4096, 0);
		CHECK(clock_ns() < limit);
	} while (ret != -ENODEV);
	attach(BLOCKS_4K, true);
	/* It may not be what it was. */
	CHECK_IO_ERR(io_read(q, 0, buf, 4096, 0), ENODEV, "removed");
	CHECK_ERR(blkio_get_uint64(b, "capacity", &bytes), ENODEV, "");
	blkio_destroy(&b);
	b = start_namespace(BLOCKS_4K, MIB, &buf);
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, 4096, 0), 0);
	blkio_destroy(&b);
}

/* ---- Shadow doorbells --------------------------------------------------------------------- */

struct lost {
	struct blkioq *q;
	char *buf;
	bool polls;
};

/* Each wait ends, with any number of requests in flight: no doorbell is lost. */
static void *read_with_any_depth(void *arg)
{
	const struct lost *l = arg;
	struct timespec limit = { .tv_sec = 60 };
	struct blkio_completion c[16];
	uint32_t seed = 1 + l->polls, in_flight = 0;

	for (int i = 0; i < 2000; i++) {
		unsigned more, want;

		seed = seed * 1103515245 + 12345;
		more = (seed >> 16) % (17 - in_flight);
		for (unsigned j = 0; j < more; j++)
			blkioq_read(l->q, j * 4096, l->buf + j * 4096, 4096, NULL, 0);
		in_flight += more;
		want = (seed >> 24) % (in_flight + 1);
		limit.tv_sec = 60;
		CHECK_EQ(blkioq_do_io(l->q, c, want, want, &limit), want);
		for (unsigned j = 0; j < want; j++)
			CHECK_EQ(c[j].ret, 0);
		in_flight -= want;
	}
	CHECK_EQ(blkioq_do_io(l->q, c, in_flight, in_flight, &limit), in_flight);
	return NULL;
}

static void shadow_doorbells(struct device *d)
{
	struct blkio *b = connect_to(env("VM_VFIO_NVME"), PLAIN);
	struct lost lost[3];
	pthread_t threads[3];
	char *buf;

	(void)d;
	CHECK_OK(blkio_set_bool(b, "shadow-doorbells", true));
	CHECK_OK(blkio_set_int(b, "queue-size", 32));
	CHECK_OK(blkio_set_int(b, "num-queues", 2));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", 1));
	start(b, 4 * MIB, &buf);
	for (int i = 0; i < 3; i++) {
		bool polls = i == 2;

		lost[i] = (struct lost){ polls ? blkio_get_poll_queue(b, 0) : blkio_get_queue(b, i),
					 buf + i * MIB, polls };
		CHECK_EQ(pthread_create(&threads[i], NULL, read_with_any_depth, &lost[i]), 0);
	}
	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	any_request(b, buf);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "errors of the medium", media_errors },
	{ "a process is killed", killed, .timeout = 60 },
	{ "a namespace is detached", detached, .timeout = 90 },
	{ "shadow doorbells", shadow_doorbells, .timeout = 120 },
	{ "removed in mid-I/O", removed, .timeout = 90 },
};

TEST_MAIN(tests)
