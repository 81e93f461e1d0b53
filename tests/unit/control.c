/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which driver functions the core calls, in which order, also when one of them fails. */
#include "fake.h"

static char memory[1 << 20];

static struct blkio_mem_region region(size_t from, size_t len)
{
	return (struct blkio_mem_region){ .addr = memory + from, .len = len, .fd = -1 };
}

static void plain_life(struct device *d)
{
	struct blkio_mem_region r = region(0, 4096);
	struct blkio *b;

	(void)d;
	fake_reset();
	b = fake_start();
	CHECK_OK(blkio_map_mem_region(b, &r));
	blkio_destroy(&b);
	CHECK_STR(fake.calls, "icsqmeux");
}

static void destroyed_early(struct device *d)
{
	struct blkio *b;

	(void)d;
	fake_reset();
	CHECK_OK(blkio_create("fake", &b));
	blkio_destroy(&b);
	CHECK_STR(fake.calls, "ix");
	fake_reset();
	b = fake_connect();
	blkio_destroy(&b);
	CHECK_STR(fake.calls, "icx");
}

static void failing_connect(struct device *d)
{
	struct blkio *b;

	(void)d;
	fake_reset();
	fake.connect_error = EREMOTEIO;
	CHECK_OK(blkio_create("fake", &b));
	CHECK_ERR(blkio_connect(b), EREMOTEIO, "fake connect error");
	CHECK_ERR(blkio_start(b), ENODEV);
	fake.connect_error = 0;
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_connect(b)); /* does not ask again */
	blkio_destroy(&b);
	CHECK_STR(fake.calls, "iccx");
}

/* The third of four queues fails: the first two go, the start can be tried again. */
static void failing_queue(struct device *d)
{
	struct blkio *b;

	(void)d;
	fake_reset();
	fake.failing_queue = 2;
	b = fake_connect();
	CHECK_OK(blkio_set_int(b, "num-queues", 4));
	CHECK_ERR(blkio_start(b), EIO, "fake queue error");
	CHECK(!blkio_get_queue(b, 0));
	CHECK_STR(fake.calls, "icsqqqee");
	fake.failing_queue = -1;
	CHECK_OK(blkio_set_int(b, "num-queues", 1));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", 1));
	CHECK_OK(blkio_start(b));
	blkio_destroy(&b);
	CHECK_STR(fake.calls, "icsqqqeesqPeex");
}

static void failing_start(struct device *d)
{
	struct blkio *b;

	(void)d;
	fake_reset();
	fake.start_error = EREMOTEIO;
	b = fake_connect();
	CHECK_ERR(blkio_start(b), EREMOTEIO, "fake start error");
	CHECK_OK(blkio_set_int(b, "num-queues", 1)); /* still connected */
	blkio_destroy(&b);
	CHECK_STR(fake.calls, "icsx");
}

static void failing_add(struct device *d)
{
	struct blkio *b;

	(void)d;
	fake_reset();
	b = fake_start();
	fake.failing_queue = 1;
	CHECK_ERR(blkio_add_queue(b), EIO, "fake queue error");
	CHECK(!blkio_get_queue(b, 1));
	fake.failing_queue = -1;
	CHECK_EQ(blkio_add_queue(b), 1);
	blkio_destroy(&b);
}

static void no_queues_to_add(struct device *d)
{
	struct blkio *b;

	(void)d;
	fake_reset();
	fake.can_add_queues = false;
	b = fake_connect();
	CHECK_ERR(blkio_add_queue(b), ENOTSUP);
	CHECK_OK(blkio_set_int(b, "num-queues", 0));
	CHECK_ERR(blkio_start(b), EINVAL, "num-queues");
	CHECK_OK(blkio_set_int(b, "num-queues", 65));
	CHECK_ERR(blkio_start(b), EINVAL, "max-queues", "64");
	CHECK_OK(blkio_set_int(b, "num-queues", 64));
	CHECK_OK(blkio_start(b));
	CHECK_ERR(blkio_add_queue(b), ENOTSUP);
	blkio_destroy(&b);
}

static void as_many_queues_as_the_device_has(struct device *d)
{
	struct blkio *b;

	(void)d;
	fake_reset();
	fake.limits.max_queues = 3;
	b = fake_start();
	CHECK_EQ(blkio_add_queue(b), 1);
	CHECK_EQ(blkio_add_poll_queue(b), 0);
	CHECK_ERR(blkio_add_queue(b), ENOSPC, "max-queues", "3");
	CHECK_ERR(blkio_add_poll_queue(b), ENOSPC, "max-queues", "3");
	CHECK_OK(blkio_remove_poll_queue(b, 0));
	CHECK_EQ(blkio_add_queue(b), 2);
	blkio_destroy(&b);
}

/* ---- Regions ------------------------------------------------------------------------------ */

static void failing_map(struct device *d)
{
	struct blkio_mem_region r = region(0, 4096);
	struct blkio *b;

	(void)d;
	fake_reset();
	fake.map_error = EREMOTEIO;
	b = fake_start();
	CHECK_ERR(blkio_map_mem_region(b, &r), EREMOTEIO, "fake map error");
	CHECK(!bk_region_find(blkio_get_queue(b, 0), memory, 1));
	blkio_unmap_mem_region(b, &r);
	fake.map_error = 0;
	CHECK_OK(blkio_map_mem_region(b, &r));
	CHECK(bk_region_find(blkio_get_queue(b, 0), memory, 1));
	blkio_destroy(&b);
	CHECK_STR(fake.calls, "icsqmmeux");
}

static void as_many_regions_as_the_device_takes(struct device *d)
{
	struct blkio_mem_region r[3] = { region(0, 4096), region(8192, 4096), region(65536, 4096) };
	struct blkio *b;

	(void)d;
	fake_reset();
	fake.limits.max_mem_regions = 2;
	b = fake_start();
	CHECK_OK(blkio_map_mem_region(b, &r[0]));
	CHECK_OK(blkio_map_mem_region(b, &r[1]));
	CHECK_ERR(blkio_map_mem_region(b, &r[2]), ENOSPC, "max-mem-regions", "2");
	blkio_unmap_mem_region(b, &r[0]);
	CHECK_OK(blkio_map_mem_region(b, &r[2]));
	blkio_destroy(&b);
}

static void what_regions_must_be(struct device *d)
{
	struct blkio_mem_region r = region(0, 4096);
	struct blkio *b;
	char *page = (char *)(((uintptr_t)memory + 8191) & ~(uintptr_t)4095);

	(void)d;
	fake_reset();
	fake.limits.mem_region_alignment = 4096;
	fake.limits.needs_mem_region_fd = true;
	b = fake_start();
	r.addr = page + 512;
	r.fd = 0;
	CHECK_ERR(blkio_map_mem_region(b, &r), EINVAL, "mem-region-alignment", "4096");
	r.addr = page;
	r.len = 4097;
	CHECK_ERR(blkio_map_mem_region(b, &r), EINVAL, "mem-region-alignment", "4097");
	r.len = 4096;
	r.fd = -1;
	CHECK_ERR(blkio_map_mem_region(b, &r), EINVAL, "descriptor", "-1");
	r.fd = 0;
	r.fd_offset = -4096;
	CHECK_ERR(blkio_map_mem_region(b, &r), EINVAL, "-4096");
	r.fd_offset = 0;
	CHECK_OK(blkio_map_mem_region(b, &r));
	CHECK_STR(fake.calls, "icsqm");
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "plain life", plain_life },
	{ "destroyed early", destroyed_early },
	{ "failing connect", failing_connect },
	{ "failing queue", failing_queue },
	{ "failing start", failing_start },
	{ "failing add", failing_add },
	{ "no queues to add", no_queues_to_add },
	{ "as many queues as the device has", as_many_queues_as_the_device_has },
	{ "failing map", failing_map },
	{ "as many regions as the device takes", as_many_regions_as_the_device_takes },
	{ "what regions must be", what_regions_must_be },
};
TEST_MAIN(tests)
