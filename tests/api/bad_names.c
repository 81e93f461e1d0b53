/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Misuse: drivers and properties that do not exist. */
#include "test.h"

static void drivers(struct device *d)
{
	static const char *const names[] = { "",	   "nulL",   "null ",  "io-uring",
					     "io_uring\n", "virtio", "%s%s%n", "io_uring/" };
	char *longest = malloc(100001);
	struct blkio *b;

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		b = (struct blkio *)&b;
		CHECK_ERR(blkio_create(names[i], &b), ENOENT, names[i]);
		CHECK(!b);
	}
	CHECK_ERR(blkio_create("\xff\xfe", &b), EINVAL, "UTF-8");
	CHECK(!b);
	memset(longest, 'x', 100000);
	longest[100000] = '\0';
	CHECK_ERR(blkio_create(longest, &b), ENOENT, "xxx");
	free(longest);
}

static void properties(struct device *d)
{
	struct blkio *b = device_create(d);
	bool flag;
	char *s;
	int i;

	CHECK_ERR(blkio_get_bool(b, "frobnicate", &flag), ENOENT, "frobnicate", d->driver);
	CHECK_ERR(blkio_get_int(b, "%n%s", &i), ENOENT, "%n%s");
	CHECK_ERR(blkio_get_str(b, "\xff", &s), ENOENT);
	CHECK_ERR(blkio_set_bool(b, "frobnicate", true), ENOENT, "frobnicate");
	CHECK_ERR(blkio_set_str(b, "frobnicate", "true"), ENOENT, "frobnicate");
	CHECK_ERR(blkio_set_uint64(b, "queue-size", 1), ENOENT, "queue-size");
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "drivers", drivers, 0 },
	{ "properties", properties, T_KERNEL },
	{ "properties of null", properties, T_ANY, T_PATH | T_URI },
};
TEST_MAIN(tests)
