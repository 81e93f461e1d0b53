/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a case finds, as its text and exit status: see run.c, which collects them. */
#include <stdarg.h>
#include <unistd.h>

#include "test.h"

/* ---- Verdicts of the child ---------------------------------------------------------------- */

void test_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	printf("%s:%d: ", file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(NULL);
	_exit(EXIT_FAILURE); /* not exit(): another thread may still be using what it would free */
}

void test_skip(const char *fmt, ...)
{
	va_list ap;

	printf(TEST_SKIP_MARK);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(NULL);
	_exit(EXIT_SKIP);
}

/* "-22 (EINVAL)" where the number can be an error, else the number. */
static const char *number(char *buf, size_t size, intmax_t n)
{
	const char *name = n < 0 && n > -200 ? strerrorname_np((int)-n) : NULL;

	if (name)
		snprintf(buf, size, "%jd (-%s)", n, name);
	else
		snprintf(buf, size, "%jd", n);
	return buf;
}

void test_eq(const char *file, int line, const char *what, intmax_t got, intmax_t want)
{
	char a[40], b[40];

	if (got != want)
		test_fail(file, line, "%s is %s, not %s; last error message: \"%s\"", what,
			  number(a, sizeof(a), got), number(b, sizeof(b), want),
			  blkio_get_error_msg());
}

void test_str(const char *file, int line, const char *what, const char *got, const char *want)
{
	if (!got || strcmp(got, want))
		test_fail(file, line, "%s is \"%s\", not \"%s\"", what, got ? got : "(NULL)", want);
}

void test_mem(const char *file, int line, const char *what, const void *got, const void *want,
	      size_t len)
{
	const unsigned char *g = got, *w = want;

	for (size_t i = 0; i < len; i++) {
		if (g[i] != w[i])
			test_fail(file, line, "%s: byte %zu of %zu is 0x%02x, not 0x%02x", what, i,
				  len, g[i], w[i]);
	}
}

void test_ok(const char *file, int line, const char *what, intmax_t ret)
{
	char a[40];

	if (ret < 0)
		test_fail(file, line, "%s failed: %s, \"%s\"", what, number(a, sizeof(a), ret),
			  blkio_get_error_msg());
}

#define FORGOTTEN "no-message-was-set"

void test_forget_error(void)
{
	struct blkio *b;

	blkio_create(FORGOTTEN, &b);
}

void test_err(const char *file, int line, const char *what, intmax_t ret, int errnum, ...)
{
	const char *msg = blkio_get_error_msg();
	const char *part;
	char a[40], b[40];
	va_list ap;

	if (ret != -errnum)
		test_fail(file, line, "%s gave %s, not %s; message: \"%s\"", what,
			  number(a, sizeof(a), ret), number(b, sizeof(b), -errnum), msg);
	if (!msg[0] || strstr(msg, FORGOTTEN))
		test_fail(file, line, "%s gave %s but set no message", what,
			  number(a, sizeof(a), ret));
	va_start(ap, errnum);
	while ((part = va_arg(ap, const char *))) {
		if (!strstr(msg, part))
			test_fail(file, line, "%s: the message \"%s\" does not contain \"%s\"",
				  what, msg, part);
	}
	va_end(ap);
}
