/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An NVMe controller in this process: how it is started and stopped, its queues, how a thread waits
 * for it, and what happens when it fails or says nothing.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "io.h"
#include "nvme_pci_rig.h"
#include "sys.h"
#include "test.h"

/* ---- Starting ----------------------------------------------------------------------------- */

static int connect_error(void)
{
	struct blkio *b;
	int ret;

	CHECK_OK(blkio_create("fake-nvme", &b));
	ret = blkio_connect(b);
	printf("%s\n", blkio_get_error_msg());
	blkio_destroy(&b);
	return ret;
}

static int with_cap(uint64_t cap)
{
	device_reset();
	memcpy(device.regs, &cap, sizeof(cap));
	return connect_error();
}

static void impossible_registers(struct device *d)
{
	const uint64_t good = 255 | 1 << 16 | 1ull << 37;

	(void)d;
	CHECK_EQ(with_cap(good), 0);
	CHECK_EQ(with_cap(good & ~255ull), -EPROTO); /* one entry */
	CHECK_EQ(with_cap(good | 1), 0);
	CHECK_EQ(with_cap(good | 10ull << 32), -EPROTO); /* doorbells beyond the BAR */
	CHECK_EQ(with_cap(good | 1ull << 48), -ENOTSUP); /* pages of 8 KiB */
	CHECK_EQ(with_cap(255 | 1ull << 44), -ENOTSUP);	 /* admin commands only */
	CHECK_EQ(with_cap(255 | 1ull << 43), 0);	 /* command sets by number */
	CHECK_EQ(with_cap(UINT64_MAX), -EPROTO);
	device_reset();
	memset(device.regs, 0xff, sizeof(device.regs));
	CHECK_EQ(connect_error(), -ENODEV);
	/* A stride at which there is room for one pair only: the admin queue's. */
	CHECK_EQ(with_cap(good | 9ull << 32), -EPROTO);
}

static void a_controller_that_fails(struct device *d)
{
	(void)d;
	device_reset();
	device.never_ready = true;
	CHECK_EQ(connect_error(), -ETIMEDOUT);
	device_reset();
	device.silent = true;
	CHECK_EQ(connect_error(), -ETIMEDOUT);
	device_reset();
	device.cid_lie = 1;
	CHECK_EQ(connect_error(), -EIO);
	device_reset();
	device.admin_status = 6;
	CHECK_EQ(connect_error(), -EIO);
	device_reset();
	memset(device.namespaces, 0, sizeof(device.namespaces));
	CHECK_EQ(connect_error(), -ENODEV);
	device_reset();
	device.ns.lbaf[0].ds = 31;
	CHECK_EQ(connect_error(), -EINVAL);
}

static void description(struct device *d)
{
	struct blkio *b;
	char *text;
	int state;

	(void)d;
	device_reset();
	device.ns.nlbaf = 3;
	device.ns.lbaf[1].ms = 8;
	device.ns.lbaf[2].ds = 12;
	device.ns.lbaf[2].ms = 64;
	device.ns.lbaf[3].ds = 12;
	device.ns.flbas = 3;
	CHECK_OK(blkio_create("fake-nvme", &b));
	CHECK_ERR(blkio_get_int(b, "power-state", &state), ENODEV, "power-state");
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_get_str(b, "formats", &text));
	CHECK_STR(text, "512, 4096+64, 4096 (in use)");
	free(text);
	CHECK_OK(blkio_get_int(b, "power-state", &state));
	CHECK_EQ(state, 3);
	device.admin_status = 2;
	CHECK_ERR(blkio_get_int(b, "power-state", &state), EINVAL, "feature 0x2");
	device.admin_status = 0;
	blkio_destroy(&b);

	/* As long as it can be, whatever the controller says. */
	device_reset();
	device.ns.nlbaf = 255;
	for (size_t i = 0; i < ARRAY_LEN(device.ns.lbaf); i++)
		device.ns.lbaf[i] = (struct nvme_lbaf){ .ds = i ? 20 : 9, .ms = i ? 65535 : 0 };
	CHECK_OK(blkio_create("fake-nvme", &b));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_get_str(b, "formats", &text));
	CHECK(strlen(text) < NVME_FORMATS_LEN);
	free(text);
	blkio_destroy(&b);
}

/* Whoever sees it first, all that is in flight fails. */
static void status_says_so(uint32_t status, const char *msg)
{
	struct rig r = start();
	struct blkio_completion done;
	uint64_t bytes;

	blkioq_read(r.q, 0, r.buf, 512, NULL, 0);
	submit(r.q);
	device.silent = true;
	nvme_reg_write32(device.regs, NVME_REG_CSTS, status);
	CHECK_ERR(blkio_get_uint64(r.b, "capacity", &bytes), EIO, msg);
	CHECK_EQ(blkioq_do_io(r.q, &done, 1, 1, NULL), 1);
	CHECK_EQ(done.ret, -EIO);
	CHECK_STR(done.error_msg, msg);
	CHECK_IO_ERR(io_read(r.q, 0, r.buf, 512, 0), EIO, msg);
	nvme_reg_write32(device.regs, NVME_REG_CSTS, 0);
	blkio_destroy(&r.b);
	CHECK_EQ(device.shutdowns, 0);
}

static void fatal_status(struct device *d)
{
	(void)d;
	status_says_so(3, "the NVMe controller reported a fatal error");
	status_says_so(UINT32_MAX, "the NVMe controller has been removed");
}

/* Queues that the controller does not create; afterwards it is as before, and starts. */
static void start_fails(struct device *d)
{
	struct blkio *b;

	(void)d;
	device_reset();
	CHECK_OK(blkio_create("fake-nvme", &b));
	CHECK_OK(blkio_connect(b));
	device.admin_status = 0x101;
	CHECK_EQ(blkio_start(b), -EIO);
	device.admin_status = 0;
	CHECK_OK(blkio_start(b));
	CHECK(device.ring[1].exists && device.ring[1].interrupts);
	CHECK_EQ(device.ring[1].vector, 1);
	blkio_destroy(&b);
	CHECK_EQ(device.resets, 1);
}

static void kinds_of_queues(struct device *d)
{
	struct rig r;

	(void)d;
	device_reset();
	r = start_queues(2, 2);
	for (unsigned i = 1; i <= 4; i++) {
		CHECK(device.ring[i].exists);
		CHECK_EQ(device.ring[i].interrupts, i <= 2);
		CHECK_EQ(device.ring[i].size, RING);
	}
	CHECK_OK(blkio_remove_queue(r.b, 1));
	CHECK(!device.ring[2].exists && device.ring[3].exists);
	CHECK_EQ(device.fds[2], -1);
	blkio_destroy(&r.b);
}

static void poll_queue(struct device *d)
{
	struct blkio_completion done;
	struct nvme_cmd c;
	struct rig r;

	(void)d;
	device_reset();
	r = start_queues(0, 1);
	blkioq_read(r.q, 0, r.buf, 512, NULL, 0);
	submit(r.q);
	c = expect(2, 0, 1);
	device_complete(1, &c, 0);
	CHECK_EQ(blkioq_do_io(r.q, &done, 1, 1, NULL), 1);
	CHECK_EQ(done.ret, 0);
	blkio_destroy(&r.b);
}

static void completion_fd(struct device *d)
{
	struct rig r = start();
	int fd = blkioq_get_completion_fd(r.q);
	struct nvme_cmd c;

	(void)d;
	blkioq_read(r.q, 0, r.buf, 512, NULL, 0);
	submit(r.q);
	c = expect(2, 0, 1);
	CHECK(device.fds[1] != fd);
	device_complete(1, &c, 0);
	CHECK(!readable(fd, 0));
	blkioq_set_completion_fd_enabled(r.q, true);
	CHECK_EQ(device.fds[1], fd);
	CHECK(readable(fd, 0));
	submit(r.q);
	blkio_destroy(&r.b);
}

static int nr_signals; /* that a handler has had */

static void count(int sig)
{
	(void)sig;
	nr_signals++;
}

/* The controller's side: what sleeps is signalled, and later answered. */
static void *disturb_and_answer(void *arg)
{
	const pthread_t *sleeper = arg;
	struct nvme_cmd c;

	for (int i = 0; i < 3; i++) {
		usleep(10 * 1000);
		CHECK_EQ(pthread_kill(*sleeper, SIGUSR1), 0);
	}
	usleep(10 * 1000);
	c = expect(2, 0, 1);
	device_complete(1, &c, 0);
	return NULL;
}

static void sleeps(struct device *d)
{
	struct timespec limit = { .tv_sec = 60 };
	struct timespec *limits[] = { NULL, &limit };
	struct sigaction action = { .sa_handler = count };
	struct blkio_completion done;
	pthread_t self = pthread_self(), thread;

	(void)d;
	SYS(sigaction(SIGUSR1, &action, NULL));
	for (int listen = 0; listen < 2; listen++) {
		struct rig r = start();

		blkioq_set_completion_fd_enabled(r.q, listen);
		for (int i = 0; i < 2; i++) {
			nr_signals = 0;
			blkioq_read(r.q, 0, r.buf, 512, NULL, 0);
			submit(r.q);
			CHECK_EQ(pthread_create(&thread, NULL, disturb_and_answer, &self), 0);
			CHECK_EQ(blkioq_do_io(r.q, &done, 1, 1, limits[i]), 1);
			CHECK_EQ(done.ret, 0);
			CHECK_EQ(pthread_join(thread, NULL), 0);
			CHECK(nr_signals);
		}
		blkio_destroy(&r.b);
	}
}

/* Requests that never come back: the controller is reset before their memory goes. */
static void never_answers(struct device *d)
{
	struct rig r = start();
	struct blkio_completion done;

	(void)d;
	blkioq_read(r.q, 0, r.buf, 512, NULL, 0);
	submit(r.q);
	expect(2, 0, 1);
	r.b->ending = true;
	CHECK_EQ(nvme_pci_drain(r.b, r.q, false), BK_BUSY);
	CHECK_EQ(nvme_pci_drain(r.b, r.q, true), BK_BUSY);
	CHECK_EQ(nvme_reg_read32(device.regs, 0x14), 0);
	device_turn();
	CHECK_EQ(nvme_pci_drain(r.b, r.q, true), BK_QUIET);
	r.b->ending = false;
	CHECK_EQ(blkioq_do_io(r.q, &done, 1, 1, NULL), 1);
	CHECK_EQ(done.ret, -EIO);
	blkio_destroy(&r.b);
	CHECK_EQ(device.shutdowns, 0);
}

/* Submitted, but never shown. */
static void cancelled(struct device *d)
{
	struct rig r = start();
	struct blkio_completion done;

	(void)d;
	for (int i = 0; i < 2 * RING; i++)
		blkioq_read(r.q, 0, r.buf, 512, NULL, 0);
	CHECK_OK(blkio_drain(r.b, NULL));
	for (int i = 0; i < 2 * RING; i++) {
		CHECK_EQ(blkioq_do_io(r.q, &done, 1, 1, NULL), 1);
		CHECK_EQ(done.ret, -ECANCELED);
	}
	expect_none();
	blkio_destroy(&r.b);
}

static void format(struct device *d)
{
	struct rig r = start();
	uint64_t bytes;

	(void)d;
	device.ns.nsze = 100;
	CHECK_OK(blkio_get_uint64(r.b, "capacity", &bytes));
	CHECK_EQ(bytes, 51200);
	device.ns.lbaf[0].ds = 12;
	CHECK_EQ(blkio_get_uint64(r.b, "capacity", &bytes), -ENODEV);
	CHECK_EQ(io_read(r.q, 0, r.buf, 512, 0), -ENODEV);
	blkio_destroy(&r.b);
}

static const struct test tests[] = {
	{ "impossible registers", impossible_registers },
	{ "a controller that fails", a_controller_that_fails },
	{ "fatal status, and removal", fatal_status },
	{ "formats and power state", description },
	{ "start fails", start_fails },
	{ "kinds of queues", kinds_of_queues },
	{ "poll queue", poll_queue },
	{ "completion fd", completion_fd },
	{ "sleeps through signals", sleeps },
	{ "requests that never come back", never_answers },
	{ "requests that were never shown", cancelled },
	{ "the namespace is formatted", format },
};

TEST_MAIN(tests)
