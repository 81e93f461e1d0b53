/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The error message of each thread. */
#include <stdarg.h>
#include <stdio.h>

#include "core.h"

static __thread struct bk_err_msg err_msg;

int bk_err(int errnum, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err_msg.s, sizeof(err_msg.s), fmt, ap);
	va_end(ap);
	bk_debug("error %d: %s", errnum, err_msg.s);
	return -errnum;
}

const char *blkio_get_error_msg(void)
{
	return err_msg.s;
}

struct bk_err_msg bk_err_save(void)
{
	return err_msg;
}

void bk_err_restore(const struct bk_err_msg *m)
{
	err_msg = *m;
}
