/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Misuse: numbers of queues, ring entries and threads that are zero, negative or absurd. */
#include <limits.h>

#include "io.h"
#include "sys.h"
#include "test.h"

static void num_entries(struct device *d)
{
	static const int bad[] = { 0, -1, -128, INT_MIN };
	static const int too_many[] = { 32769, 65536, 1 << 30, INT_MAX };
	struct blkio *b = device_connect(d);
	char text[16];

	CHECK_EQ(get_int(b, "num-entries"), 128);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(text, sizeof(text), "%d", bad[i]);
		CHECK_ERR(blkio_set_int(b, "num-entries", bad[i]), EINVAL, "num-entries", text);
		CHECK_ERR(blkio_set_str(b, "num-entries", text), EINVAL, "num-entries", text);
		CHECK_EQ(get_int(b, "num-entries"), 128);
	}
	for (size_t i = 0; i < ARRAY_LEN(too_many); i++) {
		snprintf(text, sizeof(text), "%d", too_many[i]);
		CHECK_OK(blkio_set_int(b, "num-entries", too_many[i]));
		CHECK_ERR(blkio_start(b), EINVAL, "num-entries", text);
	}
	CHECK_OK(blkio_set_int(b, "num-entries", 1));
	CHECK_OK(blkio_start(b));
	CHECK_EQ(io_flush(blkio_get_queue(b, 0), 0), 0);
	blkio_destroy(&b);
}

static void num_threads(struct device *d)
{
	static const int bad[] = { 0, -1, INT_MIN, 1025, INT_MAX };
	struct blkio *b = device_connect(d);
	char text[16];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(text, sizeof(text), "%d", bad[i]);
		CHECK_ERR(blkio_set_int(b, "num-threads", bad[i]), EINVAL, "num-threads", text);
		CHECK_EQ(get_int(b, "num-threads"), 32);
	}
	/* A start that lacks descriptors leaves its threads; the next one has as many as it says.
	 */
	allow_more_fds(5);
	CHECK_OK(blkio_set_int(b, "num-queues", 8));
	CHECK_ERR(blkio_start(b), EMFILE, "eventfd");
	CHECK_OK(blkio_set_int(b, "num-threads", 1));
	CHECK_OK(blkio_set_int(b, "num-queues", 1));
	CHECK_OK(blkio_start(b));
	CHECK_EQ(io_flush(blkio_get_queue(b, 0), 0), 0);
	blkio_destroy(&b);

	b = device_connect(d);
	drop_privileges();
	limit_processes(0);
	CHECK_ERR(blkio_start(b), EAGAIN, "num-threads", "RLIMIT_NPROC");
	blkio_destroy(&b);
	limit_processes(RLIM_INFINITY);
}

static void num_queues(struct device *d)
{
	struct blkio *b = device_connect(d);
	int most = get_int(b, "max-queues");

	CHECK_ERR(blkio_set_int(b, "num-queues", -1), EINVAL, "queues", "-1");
	CHECK_ERR(blkio_set_int(b, "num-poll-queues", -1), EINVAL, "queues", "-1");
	CHECK_OK(blkio_set_int(b, "num-queues", most));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", most));
	CHECK_ERR(blkio_start(b), EINVAL, "queues");
	if (most < INT_MAX) {
		CHECK_OK(blkio_set_int(b, "num-poll-queues", 0));
		CHECK_OK(blkio_set_int(b, "num-queues", most + 1));
		CHECK_ERR(blkio_start(b), EINVAL, "max-queues");
	}
	CHECK_OK(blkio_set_int(b, "num-poll-queues", 0));
	CHECK_OK(blkio_set_int(b, "num-queues", 1));
	CHECK_OK(blkio_start(b));
	blkio_destroy(&b);
}

/* Zero queues: useful where they can be added later, an error where they cannot. */
static void no_queues(struct device *d)
{
	struct blkio *b = device_connect(d);

	CHECK_OK(blkio_set_int(b, "num-queues", 0));
	if (get_bool(b, "can-add-queues")) {
		CHECK_OK(blkio_start(b));
		CHECK(!blkio_get_queue(b, 0));
	} else {
		CHECK_ERR(blkio_start(b), EINVAL, "num-queues");
	}
	blkio_destroy(&b);
}

static const struct range {
	const char *name;
	bool early; /* set before blkio_connect() */
	int min, max;
} all_ranges[] = {
	{ "num-queues", false, 0, INT_MAX },
	{ "num-poll-queues", false, 0, INT_MAX },
	{ "bounce-buffers", false, 0, 65536 },
	{ "bounce-buffer-size", false, 512, 1 << 30 },
	{ "num-entries", false, 1, INT_MAX },
	{ "num-threads", false, 1, 1024 },
	{ "port", true, 1, 65535 },
	{ "queue-size", false, 1, 32768 },
	{ "connect-timeout", true, 0, INT_MAX },
	{ "reconnect-timeout", true, 0, INT_MAX },
	{ "tcp-timeout", true, 0, INT_MAX },
};

static void refuse_outside(struct blkio *b, const struct range *r, int val)
{
	int before = get_int(b, r->name);
	char text[16];

	snprintf(text, sizeof(text), "%d", val);
	CHECK_ERR(blkio_set_int(b, r->name, val), EINVAL, r->name, text);
	CHECK_ERR(blkio_set_str(b, r->name, text), EINVAL, r->name, text);
	CHECK_EQ(get_int(b, r->name), before);
}

static void check_range(struct blkio *b, const struct range *r)
{
	refuse_outside(b, r, INT_MIN);
	refuse_outside(b, r, r->min - 1);
	if (r->max < INT_MAX)
		refuse_outside(b, r, r->max + 1);
	CHECK_OK(blkio_set_int(b, r->name, r->max));
	CHECK_OK(blkio_set_int(b, r->name, r->min));
}

/* The size of a virtqueue is a power of two, and what the device allows at most. */
static void limit_to_device(struct blkio *b, struct range *r)
{
	int max;

	if (strcmp(r->name, "queue-size") || blkio_get_int(b, "max-queue-size", &max) < 0)
		return;
	r->min = 2;
	r->max = max;
}

/* Each takes the ends of its range and nothing beyond them. */
static void ranges(struct device *d)
{
	for (size_t i = 0; i < ARRAY_LEN(all_ranges); i++) {
		struct range r = all_ranges[i];
		struct blkio *b = device_create(d);
		int ignored;

		if (blkio_get_int(b, r.name, &ignored) != -ENOENT) {
			printf("%s\n", r.name);
			if (!r.early)
				CHECK_OK(blkio_connect(b));
			limit_to_device(b, &r);
			check_range(b, &r);
		}
		blkio_destroy(&b);
	}
}

static const struct test tests[] = {
	{ "num-entries", num_entries, T_IO_URING },
	{ "num-threads", num_threads, T_KERNEL, T_IO_URING },
	{ "num-queues", num_queues, T_ANY },
	{ "no queues", no_queues, T_ANY },
	{ "ranges", ranges, T_ANY },
};
TEST_MAIN(tests)
