/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which driver functions the core calls, in which order, also when one of them fails. */
#include "fake.h"
#include "io.h"

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
	CHECK(!b->lim.ops); /* what it found out is gone with it */
	CHECK_EQ(b->lim.max_queues, fake.limits.max_queues);
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
	CHECK_EQ(b->lim.max_segments, fake.limits.max_segments);
	fake.start_error = 0;
	fake.failing_queue = 0;
	CHECK_ERR(blkio_start(b), EIO, "fake queue error");
	CHECK_EQ(b->lim.max_segments, fake.limits.max_segments);
	CHECK_OK(blkio_set_int(b, "num-queues", 1)); /* still connected */
	blkio_destroy(&b);
	CHECK_STR(fake.calls, "icssqx");
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

/* ---- A device that is gone ---------------------------------------------------------------- */

static void *from_a_thread(void *b)
{
	bk_set_gone(b, "it is gone");
	bk_set_gone(b, "it is gone again");
	return NULL;
}

/* What the device has is its own; all that has not reached it fails, on every queue. */
static void gone(struct device *d)
{
	struct blkio_completion c[4];
	struct blkio *b;
	struct blkioq *q;
	pthread_t thread;
	uint64_t capacity;

	(void)d;
	fake_reset();
	fake.ring_size = 1;
	b = fake_connect();
	CHECK_OK(blkio_set_int(b, "num-queues", 2));
	CHECK_OK(blkio_set_int(b, "bounce-buffers", 1));
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	for (int i = 0; i < 3; i++)
		blkioq_read(q, 0, memory, 512, NULL, 0);
	SYS(-pthread_create(&thread, NULL, from_a_thread, b));
	pthread_join(thread, NULL);
	blkioq_discard(q, 0, 512, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, c, 4, 4, NULL), 4);
	CHECK_EQ(fake.nr_ops, 1);
	for (int i = 0, good = 0; i < 4; i++) {
		good += !c[i].ret;
		CHECK(!c[i].ret ? good == 1 : c[i].ret == -ENODEV);
		CHECK(!c[i].ret || !strcmp(c[i].error_msg, "it is gone"));
	}
	q = blkio_get_queue(b, 1);
	CHECK_IO_ERR(io_write(q, 0, memory, 512, 0), ENODEV, "it is gone");
	CHECK_IO_ERR(io_zeroes(q, 0, 512, 0), ENODEV, "it is gone");
	CHECK_ERR(blkio_add_queue(b), ENODEV, "it is gone");
	CHECK_ERR(blkio_get_uint64(b, "capacity", &capacity), ENODEV, "it is gone");
	CHECK_EQ(fake.nr_ops, 1);
	blkio_destroy(&b);
}

/* It would wait for itself if the core held its lock. */
static void allocate(struct blkio *b)
{
	struct blkio_mem_region r;

	CHECK_OK(blkio_alloc_mem_region(b, &r, 4096));
}

static void no_lock_while_mapping(struct device *d)
{
	struct blkio_mem_region r = region(0, 4096);
	struct blkio *b;

	(void)d;
	fake_reset();
	b = fake_start();
	fake.while_mapping = allocate;
	CHECK_OK(blkio_map_mem_region(b, &r));
	blkio_unmap_mem_region(b, &r);
	fake.while_mapping = NULL;
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "plain life", plain_life },
	{ "no lock while mapping", no_lock_while_mapping },
	{ "a device that is gone", gone },
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
