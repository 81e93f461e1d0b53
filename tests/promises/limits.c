/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The properties are true: what keeps to them is done, and a device that no longer has what they
 * say fails every request.
 */
#include <linux/loop.h>
#include <sys/ioctl.h>

#include "matrix.h"

static void requests_within_limits_work(struct setting *s)
{
	struct blkio_mem_region r;

	setting_start(s);
	CHECK_OK(blkio_alloc_mem_region(s->b, &r, ALIGNED_LEN));
	CHECK_OK(blkio_map_mem_region(s->b, &r));
	for (int i = 0; i < s->nr_queues; i++)
		check_limits(s->b, setting_queue(s, i), r.addr);
	blkio_destroy(&s->b);
}

static void change_block_size(struct setting *s)
{
	unsigned long other = s->d->target->block_size == 512 ? 4096 : 512;
	uint64_t capacity;

	if (ioctl(s->d->loop_fd, LOOP_SET_BLOCK_SIZE, other) < 0)
		SKIP("LOOP_SET_BLOCK_SIZE: %s", strerror(errno));
	CHECK_ERR(blkio_get_uint64(s->b, "capacity", &capacity), ENODEV, "4096", "512");
}

static void changed_device_is_gone(struct setting *s)
{
	enum { LEN = 4096 };
	char *buf = buffer(LEN);

	setting_start(s);
	for (int i = 0; i < s->nr_queues; i++)
		CHECK_EQ(io_read(setting_queue(s, i), 0, buf, LEN, 0), 0);
	memset(buf, 0xee, LEN);
	setting_call(s, change_block_size);
	for (int i = 0; i < s->nr_queues; i++) {
		CHECK_IO_ERR(io_read(setting_queue(s, i), 0, buf, LEN, 0), ENODEV, "new instance");
		CHECK_IO_ERR(io_write(setting_queue(s, i), 0, buf, LEN, 0), ENODEV, "new instance");
		CHECK_IO_ERR(io_zeroes(setting_queue(s, i), 0, LEN, 0), ENODEV, "new instance");
	}
	check_all(buf, LEN, 0xee);
	blkio_destroy(&s->b);
	buffer_free(buf);
}

#define KINDS (ALL_KINDS & ~KIND(SPINNING))

static const struct promise limits_promises[] = {
	{ "what keeps to the properties works", requests_within_limits_work, T_STORES, 0, KINDS,
	  CONDITION(QUIET) | CONDITION(FAILED_BEFORE) | CONDITION(SEVERAL_QUEUES) },
	{ "a device with other blocks is gone", changed_device_is_gone, T_BLOCK, 0, KINDS,
	  CONDITION(QUIET) | CONDITION(SIGNALS) | CONDITION(OTHER_THREAD) |
	      CONDITION(FAILED_BEFORE) | CONDITION(SEVERAL_QUEUES) },
};
PROMISES(limits_promises)
