/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Property accessors: what strings mean, which error comes first, what failure leaves behind. */
#include <limits.h>

#include "test.h"

static void reads_as(struct blkio *b, const char *name, const char *want)
{
	char *value;

	CHECK_OK(blkio_get_str(b, name, &value));
	CHECK_STR(value, want);
	free(value);
}

static void bool_strings(struct device *d)
{
	static const char *const bad[] = { "",	    "1",     "0",	  "yes", "True", "TRUE",
					   " true", "true ", "truefalse", "on",	 "f" };
	struct blkio *b = device_create(d);

	CHECK_OK(blkio_set_str(b, "read-only", "true"));
	CHECK_EQ(get_bool(b, "read-only"), true);
	reads_as(b, "read-only", "true");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_ERR(blkio_set_str(b, "read-only", bad[i]), EINVAL, "read-only", bad[i]);
	CHECK_EQ(get_bool(b, "read-only"), true);
	CHECK_OK(blkio_set_str(b, "read-only", "false"));
	reads_as(b, "read-only", "false");
	blkio_destroy(&b);
}

static void int_strings(struct device *d)
{
	static const struct {
		const char *text;
		int value;
	} good[] = { { "1", 1 },
		     { "+7", 7 },
		     { "007", 7 },
		     { "0", 0 },
		     { "0000000000012", 12 },
		     { "2147483647", INT_MAX },
		     { "-0", 0 } };
	static const char *const bad[] = {
		"",
		" 1",
		"1 ",
		"0x10",
		"1.0",
		"one",
		"+",
		"-",
		"--1",
		"1e3",
		"1k",
		"2147483648",
		"99999999999999999999",
		"-2147483649",
		"+-1",
		"\t1",
		"1\n",
	};
	struct blkio *b = device_connect(d);

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		CHECK_OK(blkio_set_str(b, "num-queues", good[i].text));
		CHECK_EQ(get_int(b, "num-queues"), good[i].value);
	}
	CHECK_OK(blkio_set_int(b, "num-queues", 3));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_ERR(blkio_set_str(b, "num-queues", bad[i]), EINVAL, "num-queues", bad[i]);
	reads_as(b, "num-queues", "3");
	blkio_destroy(&b);
}

static void uint64_strings(struct device *d)
{
	static const char *const bad[] = { "", "-1", "0x10", "18446744073709551616", "1 ", "1.5" };
	struct blkio *b;

	(void)d;
	CHECK_OK(blkio_create("null", &b));
	CHECK_OK(blkio_set_str(b, "capacity", "1099511627777"));
	CHECK_EQ(get_u64(b, "capacity"), 1099511627777);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_ERR(blkio_set_str(b, "capacity", bad[i]), EINVAL, "capacity", bad[i]);
	reads_as(b, "capacity", "1099511627777");
	blkio_destroy(&b);
}

static void path_strings(struct device *d)
{
	struct blkio *b = device_create(d);
	char *longest = malloc(70000);

	CHECK_OK(blkio_set_str(b, "path", "some where/\xc3\xa9"));
	reads_as(b, "path", "some where/\xc3\xa9");
	CHECK_ERR(blkio_set_str(b, "path", "\xff\xfe"), EINVAL, "path");
	CHECK_ERR(blkio_set_str(b, "path", "over\xc0\xaflong"), EINVAL, "path");
	CHECK_ERR(blkio_set_str(b, "path", "surrogate\xed\xa0\x80"), EINVAL, "path");
	CHECK_ERR(blkio_set_str(b, "path", "cut\xe2\x82"), EINVAL, "path");
	reads_as(b, "path", "some where/\xc3\xa9");
	CHECK_OK(blkio_set_str(b, "path", ""));
	reads_as(b, "path", "");

	memset(longest, 'a', 69999);
	longest[69999] = '\0';
	CHECK_OK(blkio_set_str(b, "path", longest));
	reads_as(b, "path", longest);
	CHECK_ERR(blkio_connect(b), ENAMETOOLONG);
	free(longest);
	blkio_destroy(&b);
}

/* Unknown, then unparsable, then wrong type, then read-only, then state. */
static void which_error_comes_first(struct device *d)
{
	struct blkio *b = device_create(d);

	CHECK_ERR(blkio_set_str(b, "no-such", "x"), ENOENT, "no-such");
	CHECK_ERR(blkio_set_int(b, "no-such", 1), ENOENT, "no-such");
	CHECK_ERR(blkio_set_str(b, "max-queues", "x"), EINVAL, "max-queues", "x");
	CHECK_ERR(blkio_set_str(b, "can-add-queues", "x"), EINVAL, "can-add-queues", "x");
	CHECK_ERR(blkio_set_str(b, "max-queues", "1"), EACCES, "max-queues");
	CHECK_ERR(blkio_set_bool(b, "max-queues", true), ENOTTY, "max-queues");
	CHECK_ERR(blkio_set_uint64(b, "max-queues", 1), ENOTTY, "max-queues");
	CHECK_ERR(blkio_set_str(b, "num-queues", "x"), EINVAL, "num-queues", "x");
	CHECK_ERR(blkio_set_str(b, "num-queues", "1"), ENODEV, "num-queues", "connect");
	CHECK_ERR(blkio_set_bool(b, "num-queues", true), ENOTTY, "num-queues");
	CHECK_OK(blkio_connect(b));
	CHECK_ERR(blkio_set_str(b, "read-only", "x"), EINVAL, "read-only", "x");
	CHECK_ERR(blkio_set_str(b, "read-only", "true"), EBUSY, "read-only");
	CHECK_ERR(blkio_set_int(b, "read-only", 1), ENOTTY, "read-only");
	blkio_destroy(&b);
}

/* A failed get never leaves the caller's variable as it was. */
static void failed_get_clears_the_value(struct device *d)
{
	const char *late = d->target->traits & T_VIRTIO ? "max-queues" : "max-segments";
	struct blkio *b = device_create(d);
	bool flag = true;
	int i = 7;
	uint64_t u = 7;
	char *s = (char *)"unset";

	CHECK_ERR(blkio_get_bool(b, "no-such", &flag), ENOENT, "no-such");
	CHECK_EQ(flag, false);
	CHECK_ERR(blkio_get_int(b, late, &i), ENODEV, late);
	CHECK_EQ(i, 0);
	CHECK_ERR(blkio_get_uint64(b, late, &u), ENOTTY, late);
	CHECK_EQ(u, 0);
	CHECK_ERR(blkio_get_str(b, late, &s), ENODEV, late);
	CHECK(!s);
	s = (char *)"unset";
	CHECK_ERR(blkio_get_str(b, "no-such", &s), ENOENT, "no-such");
	CHECK(!s);
	blkio_destroy(&b);
}

static void refused_values_leave_the_old(struct device *d)
{
	struct blkio *b = device_connect(d);

	CHECK_OK(blkio_set_int(b, "num-queues", 2));
	CHECK_ERR(blkio_set_int(b, "num-queues", -1), EINVAL, "queues", "-1");
	CHECK_ERR(blkio_set_str(b, "num-queues", "-5"), EINVAL, "queues", "-5");
	CHECK_ERR(blkio_set_int(b, "num-poll-queues", INT_MIN), EINVAL, "queues", "-2147483648");
	CHECK_EQ(get_int(b, "num-queues"), 2);
	CHECK_EQ(get_int(b, "num-poll-queues"), 0);
	blkio_destroy(&b);
}

static void names_are_exact(struct device *d)
{
	static const char *const bad[] = { "",	      "Capacity",   "capacity ",
					   "capacit", "max_queues", "capacity\xff" };
	struct blkio *b = device_connect(d);
	uint64_t u;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_ERR(blkio_get_uint64(b, bad[i], &u), ENOENT);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "bool strings", bool_strings, T_ANY },
	{ "int strings", int_strings, T_ANY },
	{ "uint64 strings", uint64_strings, 0 },
	{ "path strings", path_strings, T_PATH },
	{ "which error comes first", which_error_comes_first, T_ANY },
	{ "a failed get clears the value", failed_get_clears_the_value, T_ANY },
	{ "refused values leave the old", refused_values_leave_the_old, T_ANY },
	{ "names are exact", names_are_exact, T_ANY },
};
TEST_MAIN(tests)
