/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The test harness. A test program is a table of cases and TEST_MAIN(table); its output is TAP.
 *
 * Every case runs in a process of its own, once without or once per target with a scratch device
 * (device.h), under a deadline, and fails when it leaves a file descriptor or a mapping behind. So
 * a case may drop privileges, forbid system calls or crash: the others do not notice. A hang is a
 * failure. SKIP() needs a reason, which the summary of scripts/test repeats.
 */
#ifndef TEST_H
#define TEST_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blkio.h"
#include "device.h"

struct test {
	const char *name;
	/* d: a scratch device of the target, opened by nobody; NULL when run without target */
	void (*run)(struct device *d);
	/* Run for every target that has all these traits; 0: run once, without target. */
	unsigned traits;
	unsigned without; /* ... and none of these */
	unsigned timeout; /* seconds; 0: the default of 20 */
	const void *data; /* for run(), which asks for it: test_data() */
};

/* What the table says of the case that runs. */
const void *test_data(void);

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define TEST_MAIN(tests)                                                                           \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		return test_main(argc, argv, tests, ARRAY_LEN(tests));                             \
	}

int test_main(int argc, char **argv, const struct test *tests, size_t nr_tests);

/*
 * Directories of the running case for scratch files, removed afterwards: on the build's file
 * system, and on a tmpfs.
 */
const char *test_dir(void);
const char *test_tmpfs_dir(void);

/*
 * Milliseconds. What has not come after this time does not come, on a machine that may hold each
 * thread for seconds: for waits that end earlier when all is well, and as what a call may take
 * beyond the time that it promises.
 */
enum { LATE_MS = 10000 };

#define EXIT_SKIP      77	/* of a case, and of whole programs */
#define TEST_SKIP_MARK "SKIP: " /* before the reason, in what a case prints */

/* ---- Verdicts ----------------------------------------------------------------------------- */

_Noreturn void test_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void test_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)
#define SKIP(...) test_skip(__VA_ARGS__)

/* ---- Assertions ----------------------------------------------------------------------------- */

void test_eq(const char *file, int line, const char *what, intmax_t got, intmax_t want);
void test_str(const char *file, int line, const char *what, const char *got, const char *want);
void test_ok(const char *file, int line, const char *what, intmax_t ret);
void test_mem(const char *file, int line, const char *what, const void *got, const void *want,
	      size_t len);

/* Make the error message a known one, so that a call that sets none is detected. */
void test_forget_error(void);
/* ret must be -errnum and the message must contain every string of the NULL-ended list. */
void test_err(const char *file, int line, const char *what, intmax_t ret, int errnum, ...);

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			FAIL("not true: %s", #cond);                                               \
	} while (0)
#define CHECK_EQ(got, want)	  test_eq(__FILE__, __LINE__, #got, (intmax_t)(got), (intmax_t)(want))
#define CHECK_STR(got, want)	  test_str(__FILE__, __LINE__, #got, got, want)
#define CHECK_MEM(got, want, len) test_mem(__FILE__, __LINE__, #got, got, want, len)
/* A call that must not fail: its result must not be negative. */
#define CHECK_OK(call) test_ok(__FILE__, __LINE__, #call, (intmax_t)(call))
/* A library call that must fail with this errno; the message must contain all the strings. */
#define CHECK_ERR(call, errnum, ...)                                                               \
	(test_forget_error(),                                                                      \
	 test_err(__FILE__, __LINE__, #call, (intmax_t)(call), errnum, ##__VA_ARGS__, NULL))
/* A system call of the test's own that must not fail. */
#define SYS(call)                                                                                  \
	({                                                                                         \
		intmax_t sys_ret_ = (intmax_t)(call);                                              \
		if (sys_ret_ == -1)                                                                \
			FAIL("%s: %s", #call, strerror(errno));                                    \
		sys_ret_;                                                                          \
	})

#endif
