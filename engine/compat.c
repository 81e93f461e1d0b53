/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * fio hands its engines its own structures, whose layout changes between versions, and with
 * distributions' patches. Its version number of the interface does not notice: so before fio
 * trusts our table, compare what this fio says of itself with what we were built for.
 */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include "engine.h"

/* Where fio, when it was built, found these options in struct thread_options; ours beside it. */
static const struct {
	const char *name;
	unsigned int offset;
} landmarks[] = {
#define LANDMARK(option, member)                                                                   \
	{                                                                                          \
		option, offsetof(struct thread_options, member)                                    \
	}
	LANDMARK("filename", filename),
	LANDMARK("iodepth", iodepth),
	LANDMARK("size", size),
	LANDMARK("direct", odirect),
	LANDMARK("mem", mem_type),
	LANDMARK("sync", sync_io),
	LANDMARK("thread", use_thread),
	LANDMARK("disable_slat", disable_slat),
	LANDMARK("latency_target", latency_target),
	LANDMARK("allow_mounted_write", allow_mounted_write),
	LANDMARK("log_prio", log_prio),
#undef LANDMARK
};

static const struct fio_option *find_running_option(const char *name)
{
	for (size_t i = 0; i < FIO_MAX_OPTS && fio_options[i].name; i++)
		if (!strcmp(fio_options[i].name, name))
			return &fio_options[i];
	return NULL;
}

/* The size of fio's table tells whether its entries have the size that we know. */
static bool option_table_is_ours(void)
{
	Dl_info info;
	ElfW(Sym) *symbol = NULL;

	return dladdr1(&fio_options[0], &info, (void **)&symbol, RTLD_DL_SYMENT) && symbol &&
	       symbol->st_size == sizeof(struct fio_option) * FIO_MAX_OPTS;
}

/* What differs, or NULL. */
static const char *find_difference(void)
{
	if (!fio_options || !fio_version_string)
		return "the program that loads it is no fio, or hides its symbols";
	if (strcmp(fio_version_string, BKF_FIO_VERSION))
		return "the versions differ";
	if (!option_table_is_ours())
		return "its table of options has another layout";
	for (size_t i = 0; i < ARRAY_LENGTH(landmarks); i++) {
		const struct fio_option *o = find_running_option(landmarks[i].name);

		if (!o || o->off1 != landmarks[i].offset)
			return "its job options have another layout";
	}
	return NULL;
}

bool bkf_fio_is_compatible(void)
{
	static bool said;
	const char *difference = find_difference();

	if (!difference)
		return true;
	if (!said)
		fprintf(
		    stderr,
		    "libblkio: this fio engine was built for %s (engine interface %d), but runs in "
		    "%s: %s. Rebuild it from the source of the fio that you run:\n"
		    "    scripts/setup %s&& meson setup --reconfigure BUILD && ninja -C BUILD\n",
		    BKF_FIO_VERSION, FIO_IOOPS_VERSION,
		    fio_version_string ? fio_version_string : "an unknown program", difference,
		    "[--fio-source DIR] ");
	said = true;
	return false;
}
