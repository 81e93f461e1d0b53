/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* No file descriptors left, at every step that needs one: EMFILE, a message, and no leak. */
#include <sys/resource.h>

#include "io.h"
#include "sys.h"
#include "test.h"

/* How far an instance gets with n descriptors to spare; 0 when all the way. */
static int try_with(struct device *d, unsigned n)
{
	struct blkio_mem_region r;
	struct rlimit before;
	struct blkio *b;
	int ret;

	b = device_create(d);
	SYS(getrlimit(RLIMIT_NOFILE, &before));
	allow_more_fds(n);
	test_forget_error();
	ret = blkio_connect(b);
	if (!ret)
		ret = blkio_start(b);
	if (!ret)
		ret = blkio_alloc_mem_region(b, &r, 1 << 20);
	if (!ret)
		ret = blkio_map_mem_region(b, &r);
	if (!ret && get_bool(b, "can-add-queues"))
		ret = blkio_add_queue(b);
	if (ret < 0)
		test_err(__FILE__, __LINE__, "a step without descriptors", ret, EMFILE, NULL);
	SYS(setrlimit(RLIMIT_NOFILE, &before));
	blkio_destroy(&b);
	return ret;
}

static void at_every_step(struct device *d)
{
	unsigned fds = count_fds(), maps = count_special_maps(), n = 0;

	while (try_with(d, n) < 0) {
		CHECK_EQ(count_fds(), fds);
		CHECK_EQ(count_special_maps(), maps);
		CHECK(++n < 40);
	}
	CHECK(n > 1);
	printf("%u descriptors are enough\n", n);
}

/* A start that failed for want of descriptors succeeds once there are some. */
static void retried(struct device *d)
{
	struct rlimit before;
	struct blkio *b = device_connect(d);

	SYS(getrlimit(RLIMIT_NOFILE, &before));
	CHECK_OK(blkio_set_int(b, "num-queues", 5));
	allow_more_fds(3);
	CHECK_ERR(blkio_start(b), EMFILE);
	CHECK(!blkio_get_queue(b, 0));
	SYS(setrlimit(RLIMIT_NOFILE, &before));
	CHECK_OK(blkio_start(b));
	for (int i = 0; i < 5; i++)
		CHECK_EQ(io_flush(blkio_get_queue(b, i), 0), 0);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "at every step", at_every_step, T_ANY },
	{ "retried", retried, T_ANY },
};
TEST_MAIN(tests)
