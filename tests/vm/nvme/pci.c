/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * nvme-vfio-pci on controllers of the test VM: namespaces of each kind, zones, few interrupts,
 * short transfers. The script vfio says which devices.
 */
#include <pthread.h>
#include <sys/eventfd.h>

#include "append.h"
#include "pci_ctrl.h"
#include "protection.h"

/* ---- Namespaces --------------------------------------------------------------------------- */

static void namespaces(struct device *d)
{
	static const struct {
		int block, zoned;
		uint64_t capacity;
	} want[] = {
		[SMALL] = { 512, 0, 4 * MIB },
		[PLAIN] = { 512, 0, 256 * MIB },
		[BLOCKS_4K] = { 4096, 0, 64 * MIB },
		[ZONED] = { 512, 2, 64 * MIB },
		[METADATA] = { 512, 0, 64 * MIB / 520 * 512 },
	};

	(void)d;
	for (int nsid = 0; nsid <= METADATA; nsid++) {
		struct blkio *b = connect_to(env("VM_VFIO_NVME"), nsid);
		int is = nsid ? nsid : SMALL;

		CHECK_EQ(get_int(b, "nsid"), is);
		CHECK_EQ(get_int(b, "request-alignment"), want[is].block);
		CHECK_EQ(get_int(b, "zoned"), want[is].zoned);
		if (is == METADATA)
			CHECK(get_u64(b, "capacity") > 60 * MIB);
		else
			CHECK_EQ(get_u64(b, "capacity"), want[is].capacity);
		blkio_destroy(&b);
	}
}

/* What the tools show, connected or not. */
static void description(struct device *d)
{
	struct blkio *b;
	char *text;

	(void)d;
	CHECK_OK(blkio_create("nvme-vfio-pci", &b));
	CHECK_OK(blkio_set_str(b, "path", env("VM_VFIO_NVME")));
	for (int round = 0; round < 2; round++) {
		struct blkio_export *list;
		int n = blkio_list_exports(b, &list);

		CHECK(n >= METADATA);
		CHECK_STR(list[0].name, "1");
		CHECK_EQ(list[0].size, 4 * MIB);
		CHECK_STR(list[0].description, "blocks of 512 bytes");
		CHECK_STR(list[BLOCKS_4K - 1].description, "blocks of 4096 bytes");
		CHECK_STR(list[METADATA - 1].description,
			  "blocks of 512 bytes and 8 bytes of metadata");
		free(list);
		CHECK_OK(blkio_connect(b));
	}
	CHECK_OK(blkio_get_str(b, "model", &text));
	CHECK_STR(text, "QEMU NVMe Ctrl");
	free(text);
	CHECK_OK(blkio_get_str(b, "serial", &text));
	CHECK_STR(text, "vm-vfio");
	free(text);
	CHECK_OK(blkio_get_str(b, "firmware", &text));
	CHECK(*text);
	free(text);
	CHECK_OK(blkio_get_str(b, "formats", &text));
	CHECK(strstr(text, "512 (in use), 512+8, ") && strstr(text, ", 4096, 4096+8"));
	free(text);
	CHECK_EQ(get_int(b, "power-state"), 0);
	blkio_destroy(&b);
}

static void no_such_namespace(struct device *d)
{
	static const int none[] = { 99, 1000000 };
	struct blkio *b;

	(void)d;
	for (int i = 0; i < 2; i++) {
		CHECK_OK(blkio_create("nvme-vfio-pci", &b));
		CHECK_OK(blkio_set_str(b, "path", env("VM_VFIO_NVME")));
		CHECK_OK(blkio_set_int(b, "nsid", none[i]));
		CHECK(blkio_connect(b) < 0);
		if (!strstr(blkio_get_error_msg(), i ? "1000000" : "99"))
			FAIL("the message is \"%s\"", blkio_get_error_msg());
		CHECK_OK(blkio_set_int(b, "nsid", PLAIN));
		CHECK_OK(blkio_connect(b));
		blkio_destroy(&b);
	}
}

static void requests(struct device *d)
{
	static const int nsids[] = { PLAIN, BLOCKS_4K, METADATA };

	(void)d;
	for (int i = 0; i < 3; i++) {
		char *buf;
		struct blkio *b = start_namespace(nsids[i], 4 * MIB, &buf);

		any_request(b, buf);
		blkio_destroy(&b);
	}
}

/* The same namespace through the kernel's controller says what the blocks have. */
static void protection(struct device *d)
{
	char *buf;
	struct blkio *b = start_namespace(PROTECTED, 4 * MIB, &buf);

	(void)d;
	check_protection(b, "/dev/ng0n7", 1, buf);
	any_request(b, buf);
	blkio_destroy(&b);
}

/* QEMU's controller writes a block at a time atomically; what is more is refused. */
static void atomic_writes(struct device *d)
{
	static const int nsids[] = { PLAIN, BLOCKS_4K, METADATA };

	(void)d;
	for (int i = 0; i < 3; i++) {
		char *buf;
		struct blkio *b = start_namespace(nsids[i], MIB, &buf);

		check_atomic(b, buf);
		blkio_destroy(&b);
	}
}

static int report(struct blkioq *q, uint64_t from, struct blkio_zone *zones, unsigned n)
{
	int cookie;

	blkioq_report_zones(q, from, zones, n, &cookie, 0);
	return io_finish(q, &cookie);
}

static int reset(struct blkioq *q, uint64_t zone)
{
	int cookie;

	blkioq_reset_zone(q, zone, &cookie, 0);
	return io_finish(q, &cookie);
}

/* 64 zones of 1 MiB: more than one report holds, and than one transfer. */
static void zones(struct device *d)
{
	struct blkio_zone z[70];
	char *buf;
	struct blkio *b = start_namespace(ZONED, 2 * MIB, &buf);
	struct blkioq *q = blkio_get_queue(b, 0);

	(void)d;
	CHECK_EQ(reset(q, MIB), 0);
	CHECK_EQ(report(q, 0, z, 70), 64);
	for (unsigned i = 0; i < 64; i++)
		CHECK_EQ(z[i].start, i * MIB);
	CHECK_EQ(z[1].write_pointer, MIB);
	pattern(buf, 0, MIB, 3);
	CHECK_EQ(io_write(q, MIB, buf, MIB, 0), 0);
	CHECK_EQ(report(q, MIB, z, 1), 1);
	CHECK_EQ(report(q, MIB + MIB / 2 + 100, z, 1), 1); /* rounds down */
	CHECK_EQ(z[0].zone_state, BLKIO_ZONE_STATE_FULL);
	memset(buf, 0, MIB);
	CHECK_EQ(io_read(q, MIB, buf, MIB, 0), 0);
	check_pattern(buf, 0, MIB, 3);
	CHECK_IO_ERR(io_write(q, 2 * MIB + 4096, buf, 4096, 0), EINVAL, "write pointer");
	CHECK_EQ(reset(q, MIB), 0);
	CHECK_EQ(reset(q, 100), -EINVAL);
	blkio_destroy(&b);
}

/* Also from memory that is not mapped: a bounce buffer takes a request as a whole, or not at all.
 */
static void appends(struct device *d)
{
	struct blkio *b = connect_to(env("VM_VFIO_NVME"), ZONED);
	char *buf, *unmapped = malloc(MIB);
	struct blkioq *q;
	uint64_t at;

	(void)d;
	CHECK_OK(blkio_set_int(b, "num-queues", 3));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", 1));
	CHECK_OK(blkio_set_int(b, "bounce-buffers", 2));
	CHECK_OK(blkio_set_int(b, "bounce-buffer-size", 16384));
	start(b, 2 * MIB, &buf);
	q = blkio_get_queue(b, 0);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(reset(q, i * MIB), 0);
	append_from_all_queues(b, 0, MIB);
	append_refusals(b, MIB, buf);
	memset(unmapped, 7, MIB);
	CHECK_EQ(append(q, 2 * MIB, unmapped, 16384, &at, 0), 0);
	CHECK_EQ(at, 2 * MIB);
	CHECK_IO_ERR(append(q, 2 * MIB, unmapped, 20480, &at, 0), EINVAL, "bounce-buffer-size");
	CHECK_EQ(append(q, 2 * MIB, buf, 20480, &at, 0), 0);
	CHECK_EQ(at, 2 * MIB + 16384);
	CHECK_EQ(io_read(q, 2 * MIB, unmapped, 16384, 0), 0);
	check_all(unmapped, 16384, 7);
	free(unmapped);
	blkio_destroy(&b);
}

/* ---- A controller with little ------------------------------------------------------------- */

static char *reads_into;

/*
 * Four queues with three vectors: that of the admin queue, one of a queue, one that three queues
 * share. Each queue sleeps until its own request is done.
 */
static void *read_and_sleep(void *arg)
{
	struct blkioq *q = arg;
	struct timespec limit = { .tv_sec = 60 };
	struct blkio_completion c;
	int fd = blkioq_get_completion_fd(q);

	for (int i = 0; i < 200; i++) {
		eventfd_t count;

		if (i == 100)
			blkioq_set_completion_fd_enabled(q, true);
		blkioq_read(q, 0, reads_into, 4096, NULL, 0);
		if (i >= 100) {
			while (!blkioq_do_io(q, &c, 0, 1, NULL)) {
				CHECK(readable(fd, 60 * 1000));
				eventfd_read(fd, &count);
			}
		} else {
			CHECK_EQ(blkioq_do_io(q, &c, 1, 1, &limit), 1);
		}
		CHECK_EQ(c.ret, 0);
	}
	return NULL;
}

static void few_interrupts(struct device *d)
{
	struct blkio *b = connect_to(env("VM_NVME_LITTLE"), 0);
	pthread_t threads[4];
	char *buf;

	(void)d;
	CHECK_EQ(get_int(b, "max-queues"), 4);
	CHECK_EQ(get_int(b, "max-transfer"), 0);
	CHECK_OK(blkio_set_int(b, "num-queues", 4));
	start(b, 4 * MIB, &buf);
	reads_into = buf;
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, read_and_sleep, blkio_get_queue(b, i)),
			 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	any_request(b, buf);
	blkio_destroy(&b);
}

static void poll_queues(struct device *d)
{
	struct blkio *b = connect_to(env("VM_NVME_LITTLE"), 0);
	char *buf;

	(void)d;
	CHECK_OK(blkio_set_int(b, "num-queues", 2));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", 2));
	start(b, 4 * MIB, &buf);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(io_read(blkio_get_queue(b, i), 2 * MIB, buf, 4096, 0), 0);
		CHECK_EQ(io_read(blkio_get_poll_queue(b, i), 2 * MIB, buf, 4096, 0), 0);
	}
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "namespaces", namespaces, .timeout = 60 },
	{ "description", description },
	{ "no such namespace", no_such_namespace },
	{ "requests", requests, .timeout = 60 },
	{ "protection information", protection },
	{ "atomic writes", atomic_writes, .timeout = 60 },
	{ "zones", zones },
	{ "appends", appends, .timeout = 60 },
	{ "few interrupts, short transfers", few_interrupts, .timeout = 60 },
	{ "poll queues", poll_queues },
};

TEST_MAIN(tests)
