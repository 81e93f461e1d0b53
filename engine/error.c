/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How a job fails: with a line in fio's log, and the error as the job's. */
#include <stdarg.h>

#include "engine.h"

int bkf_fail(struct thread_data *td, int err, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_err("fio: libblkio: job %s: %s\n", td->o.name, text);
	td_verror(td, -err, "libblkio");
	return err;
}

int bkf_fail_call(struct thread_data *td, int err, const char *call)
{
	return bkf_fail(td, err, "%s: %s", call, blkio_get_error_msg());
}
