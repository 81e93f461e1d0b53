/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What QEMU says and does through a port of the guest. The capacity of a device that is in use
 * changes: what was beyond the end is there afterwards, and is gone when the device shrinks.
 */
#include <unistd.h>

#include "../qmp.h"
#include "io.h"
#include "test.h"

#define MIB ((uint64_t)1 << 20)

static void resize(int port, struct blkio *b, uint64_t bytes)
{
	char command[256];

	snprintf(command, sizeof(command),
		 "{\"execute\":\"block_resize\",\"arguments\":"
		 "{\"node-name\":\"vfio1\",\"size\":%llu}}\n",
		 (unsigned long long)bytes);
	qmp_tell(port, command);
	for (int i = 0; i < 100 && get_u64(b, "capacity") != bytes; i++)
		usleep(100 * 1000);
	CHECK_EQ(get_u64(b, "capacity"), bytes);
}

static void grows_and_shrinks(struct device *d)
{
	int port = qmp_open();
	struct blkio_mem_region r;
	uint64_t before;
	struct blkioq *q;
	struct blkio *b;

	(void)d;
	CHECK_OK(blkio_create(getenv("TEST_DRIVER"), &b));
	CHECK_OK(blkio_set_str(b, "path", getenv("TEST_PATH")));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK_OK(blkio_alloc_mem_region(b, &r, 4096));
	CHECK_OK(blkio_map_mem_region(b, &r));
	q = blkio_get_queue(b, 0);
	before = get_u64(b, "capacity");

	CHECK_EQ(io_read(q, before, r.addr, 4096, 0), -EIO);
	resize(port, b, before + 64 * MIB);
	pattern(r.addr, 1, 4096, 1);
	CHECK_EQ(io_write(q, before + 63 * MIB, r.addr, 4096, 0), 0);
	memset(r.addr, 0, 4096);
	CHECK_EQ(io_read(q, before + 63 * MIB, r.addr, 4096, 0), 0);
	check_pattern(r.addr, 1, 4096, 1);

	resize(port, b, before - 64 * MIB);
	CHECK_EQ(io_read(q, before - 64 * MIB, r.addr, 4096, 0), -EIO);
	CHECK_EQ(io_read(q, before - 65 * MIB, r.addr, 4096, 0), 0);
	blkio_destroy(&b);
	close(port);
}

/* What the device says that was agreed on, not what we think. */
static void rings_are_packed(struct device *d)
{
	static char answer[1 << 16];
	int port = qmp_open();
	struct blkio *b;
	char *mine;

	(void)d;
	CHECK_OK(blkio_create(getenv("TEST_DRIVER"), &b));
	CHECK_OK(blkio_set_str(b, "path", getenv("TEST_PATH")));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	qmp_tell(port, "{\"execute\":\"x-query-virtio-status\",\"arguments\":"
		       "{\"path\":\"/machine/peripheral/blk1/virtio-backend\"}}\n");
	qmp_hear(port, answer, sizeof(answer));
	mine = strstr(answer, "\"guest-features\"");
	if (!mine)
		FAIL("QEMU says %s", answer);
	/* "guest-features", then "host-features": only of the first. */
	*strstr(mine, "host-features") = '\0';
	CHECK(strstr(mine, "VIRTIO_F_RING_PACKED"));
	CHECK(strstr(mine, "VIRTIO_F_IOMMU_PLATFORM") || strstr(mine, "VIRTIO_F_ACCESS_PLATFORM"));
	blkio_destroy(&b);
	close(port);
}

static const struct test tests[] = {
	{ "the device knows of packed rings", rings_are_packed, .timeout = 60 },
	{ "grows and shrinks", grows_and_shrinks, .timeout = 60 },
};

TEST_MAIN(tests)
