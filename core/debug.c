/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * BLKIO_DEBUG=1 in the environment: what the control paths do goes to stderr, a line each, with the
 * thread. This is the only file of the library that prints. Programs that run with the privileges
 * of another user ignore the variable.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core.h"

#define LINE_LEN 640

static bool enabled;

static void read_environment(void)
{
	const char *value = secure_getenv("BLKIO_DEBUG");

	enabled = value && *value && strcmp(value, "0");
}

void bk_debug(const char *fmt, ...)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int before = errno, head, n;
	char line[LINE_LEN];
	va_list ap;

	pthread_once(&once, read_environment);
	if (enabled) {
		errno = before; /* for %m */
		head = snprintf(line, sizeof(line), "libblkio[%d]: ", (int)gettid());
		va_start(ap, fmt);
		n = vsnprintf(line + head, sizeof(line) - head, fmt, ap);
		va_end(ap);
		n = min_u64(head + (n > 0 ? n : 0), sizeof(line) - 1);
		line[n++] = '\n'; /* one write(), so that lines of threads do not mix */
		if (write(STDERR_FILENO, line, n) < 0)
			enabled = false;
	}
	errno = before;
}
