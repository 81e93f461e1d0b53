/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The error message of each thread. */
#include <stdarg.h>
#include <stdio.h>

#include "core.h"

#define ERR_MSG_SIZE 512

static __thread char err_msg[ERR_MSG_SIZE];

int bk_err(int errnum, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err_msg, sizeof(err_msg), fmt, ap);
	va_end(ap);
	return -errnum;
}

const char *blkio_get_error_msg(void)
{
	return err_msg;
}
