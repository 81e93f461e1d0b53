/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * get_ioengine(), by which fio finds its engine: fio opens the library given as
 * ioengine=external:PATH and calls that symbol. It picks the engine that was compiled for the fio
 * that calls.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "pick.h"

/* BKF_VERSIONS lists those that meson.build compiles: VERSION(fio_3_33) VERSION(fio_3_39) */
#define VERSION(id) extern const struct fio_version bkf_version_##id;
BKF_VERSIONS
#undef VERSION

static const struct fio_version *const versions[] = {
#define VERSION(id) &bkf_version_##id,
	BKF_VERSIONS
#undef VERSION
};

#define NR_VERSIONS (sizeof(versions) / sizeof(versions[0]))

/* fio's; other programs use the library without it. */
#pragma weak fio_version_string
extern const char fio_version_string[];

/* What to say about a fio that none of them fits: the difference from the one of its version. */
static const char *describe_difference(void)
{
	for (size_t i = 0; fio_version_string && i < NR_VERSIONS; i++)
		if (!strcmp(fio_version_string, versions[i]->fio))
			return versions[i]->find_difference();
	return versions[0]->find_difference();
}

static void refuse(void)
{
	static int said;

	if (said++)
		return;
	fprintf(stderr, "libblkio: this fio engine was built for ");
	for (size_t i = 0; i < NR_VERSIONS; i++)
		fprintf(stderr, "%s%s", i ? ", " : "", versions[i]->fio);
	fprintf(stderr,
		", but runs in %s: %s. Rebuild it from the source of the fio that you run:\n"
		"    scripts/setup [--fio-source DIR] && meson setup --reconfigure BUILD && "
		"ninja -C BUILD\n",
		fio_version_string ? fio_version_string : "an unknown program",
		describe_difference());
}

void get_ioengine(struct ioengine_ops **out);

/* fio refuses an engine that is NULL, and fails the job. */
__attribute__((visibility("default"))) void get_ioengine(struct ioengine_ops **out)
{
	*out = NULL;
	for (size_t i = 0; !*out && i < NR_VERSIONS; i++)
		if (!versions[i]->find_difference())
			*out = versions[i]->get_hooks();
	if (!*out)
		refuse();
}
