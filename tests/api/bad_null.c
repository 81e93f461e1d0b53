/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Misuse: NULL wherever a pointer is needed. An error or nothing, never a crash. */
#include "io.h"
#include "test.h"

static void instance(struct device *d)
{
	struct blkio *b = NULL;
	struct blkio_mem_region r = { .fd = -1 };
	bool flag = true;
	int i = 1;
	uint64_t u = 1;
	char *s = (char *)&s;

	(void)d;
	CHECK_ERR(blkio_create(NULL, &b), EINVAL, "NULL");
	CHECK_ERR(blkio_create("null", NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_create(NULL, NULL), EINVAL, "NULL");
	blkio_destroy(NULL);
	blkio_destroy(&b);
	CHECK_ERR(blkio_connect(NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_start(NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_get_bool(NULL, "read-only", &flag), EINVAL, "NULL");
	CHECK_ERR(blkio_get_int(NULL, "num-queues", &i), EINVAL, "NULL");
	CHECK_ERR(blkio_get_uint64(NULL, "capacity", &u), EINVAL, "NULL");
	CHECK_ERR(blkio_get_str(NULL, "driver", &s), EINVAL, "NULL");
	CHECK(!flag && !i && !u && !s);
	CHECK_ERR(blkio_set_bool(NULL, "read-only", true), EINVAL, "NULL");
	CHECK_ERR(blkio_set_int(NULL, "num-queues", 1), EINVAL, "NULL");
	CHECK_ERR(blkio_set_uint64(NULL, "capacity", 1), EINVAL, "NULL");
	CHECK_ERR(blkio_set_str(NULL, "path", "x"), EINVAL, "NULL");
	CHECK(!blkio_get_queue(NULL, 0));
	CHECK(!blkio_get_poll_queue(NULL, 0));
	CHECK_ERR(blkio_add_queue(NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_add_poll_queue(NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_remove_queue(NULL, 0), EINVAL, "NULL");
	CHECK_ERR(blkio_remove_poll_queue(NULL, 0), EINVAL, "NULL");
	CHECK_ERR(blkio_alloc_mem_region(NULL, &r, 4096), EINVAL, "NULL");
	CHECK_ERR(blkio_map_mem_region(NULL, &r), EINVAL, "NULL");
	blkio_unmap_mem_region(NULL, &r);
	blkio_free_mem_region(NULL, &r);
}

static void arguments(struct device *d)
{
	struct blkio *b = device_create(d);

	CHECK_ERR(blkio_get_bool(b, NULL, NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_get_bool(b, "read-only", NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_get_int(b, "num-queues", NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_get_uint64(b, "max-mem-regions", NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_get_str(b, "driver", NULL), EINVAL, "NULL");
	CHECK_ERR(blkio_set_bool(b, NULL, true), EINVAL, "NULL");
	CHECK_ERR(blkio_set_int(b, NULL, 1), EINVAL, "NULL");
	CHECK_ERR(blkio_set_uint64(b, NULL, 1), EINVAL, "NULL");
	CHECK_ERR(blkio_set_str(b, NULL, "x"), EINVAL, "NULL");
	CHECK_ERR(blkio_set_str(b, "read-only", NULL), EINVAL, "NULL");
	CHECK_OK(blkio_connect(b));
	CHECK_ERR(blkio_alloc_mem_region(b, NULL, 4096), EINVAL, "NULL");
	CHECK_OK(blkio_start(b));
	CHECK_ERR(blkio_map_mem_region(b, NULL), EINVAL, "NULL");
	blkio_unmap_mem_region(b, NULL);
	blkio_free_mem_region(b, NULL);
	blkio_destroy(&b);
}

static void queue(struct device *d)
{
	struct blkio_completion c;
	struct iovec iov = { &c, 0 };

	(void)d;
	blkioq_read(NULL, 0, &c, 1, NULL, 0);
	blkioq_write(NULL, 0, &c, 1, NULL, 0);
	blkioq_readv(NULL, 0, &iov, 1, NULL, 0);
	blkioq_writev(NULL, 0, &iov, 1, NULL, 0);
	blkioq_write_zeroes(NULL, 0, 1, NULL, 0);
	blkioq_discard(NULL, 0, 1, NULL, 0);
	blkioq_flush(NULL, NULL, 0);
	blkioq_report_zones(NULL, 0, NULL, 1, NULL, 0);
	blkioq_zone_append(NULL, 0, &c, 1, NULL, NULL, 0);
	blkioq_open_zone(NULL, 0, NULL, 0);
	blkioq_close_zone(NULL, 0, NULL, 0);
	blkioq_finish_zone(NULL, 0, NULL, 0);
	blkioq_reset_zone(NULL, 0, NULL, 0);
	blkioq_open_all_zones(NULL, NULL, 0);
	blkioq_close_all_zones(NULL, NULL, 0);
	blkioq_finish_all_zones(NULL, NULL, 0);
	blkioq_reset_all_zones(NULL, NULL, 0);
	CHECK_ERR(blkioq_do_io(NULL, &c, 0, 1, NULL), EINVAL, "NULL");
	CHECK_ERR(blkioq_do_io_interruptible(NULL, &c, 0, 1, NULL, NULL), EINVAL, "NULL");
	CHECK_EQ(blkioq_get_completion_fd(NULL), -1);
	blkioq_set_completion_fd_enabled(NULL, true);
}

/* Buffers that are no memory: the device finds out, or the library; the process lives. */
static void check_buffers(struct device *d, struct blkio *b)
{
	struct blkioq *q = blkio_get_queue(b, 0);
	struct iovec iov[2] = { { NULL, 4096 }, { NULL, 4096 } };
	int results[] = {
		io_write(q, 0, NULL, 4096, 0),	    io_writev(q, 0, iov, 2, 0),
		io_read(q, 0, NULL, 4096, 0),	    io_readv(q, 0, iov, 2, 0),
		io_read(q, 1 << 20, NULL, 4096, 0),
	};
	char *buf = buffer(4096);

	for (size_t i = 0; i < ARRAY_LEN(results); i++) {
		if (results[i] != -EFAULT && results[i] != -EINVAL)
			FAIL("request %zu with a NULL buffer gave %d", i, results[i]);
	}
	/* past the end of a file there is nothing to transfer, only zeroes to fill in */
	if (d->target->traits & T_FILE) {
		int ret = io_read(q, DEVICE_SIZE, NULL, 4096, 0);

		CHECK(ret == -EFAULT || ret == -EINVAL);
	}
	CHECK_EQ(io_read(q, 0, buf, 4096, 0), 0);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void buffers(struct device *d)
{
	check_buffers(d, device_start(d));
}

static void bounced(struct device *d)
{
	check_buffers(d, device_start_with(d, "bounce-buffers", "4"));
}

static const struct test tests[] = {
	{ "instance", instance, 0 },
	{ "arguments", arguments, T_ANY },
	{ "queue", queue, 0 },
	{ "buffers", buffers, T_STORES },
	{ "buffers, bounced", bounced, T_STORES },
};
TEST_MAIN(tests)
