/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Misuse: numbers of queues and ring entries that are zero, negative or absurd. */
#include <limits.h>

#include "io.h"
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

static const struct test tests[] = {
	{ "num-entries", num_entries, T_IO_URING },
	{ "num-queues", num_queues, T_ANY },
	{ "no queues", no_queues, T_ANY },
};
TEST_MAIN(tests)
