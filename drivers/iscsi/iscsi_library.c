/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See iscsi_library.h. The build says which library the headers belong to, and its package. */
#include "iscsi/iscsi_library.h"

#include "common/library.h"

struct iscsi_library libiscsi;

static const struct library_function functions[] = {
#define ISCSI_ROW(name) { "iscsi_" #name, (void **)&libiscsi.name },
	ISCSI_FUNCTIONS(ISCSI_ROW)
#undef ISCSI_ROW
	    { 0 },
};

static struct library library = {
	.name = BK_LIBISCSI,
	.package = BK_LIBISCSI_PACKAGE,
	.user = "driver iscsi",
	.functions = functions,
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

int iscsi_library_load(void)
{
	return library_load(&library);
}
