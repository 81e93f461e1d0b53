/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * fio hands its engines its own structures, whose layout changes between versions, and with
 * distributions' patches. Its version number of the interface does not notice: so before fio
 * trusts our table, compare what this fio says of itself with what we were built for. Before the
 * first I/O, see that the structures which fio tells nothing about hold what they should.
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

const char *bkf_find_difference(void)
{
	if (!fio_options || !fio_version_string)
		return "the program that loads it is not fio, or hides its symbols";
	if (strcmp(fio_version_string, BKF_FIO_VERSION))
		return "the versions differ";
	if (!option_table_is_ours())
		return "its option table has a different layout";
	for (size_t i = 0; i < ARRAY_LENGTH(landmarks); i++) {
		const struct fio_option *o = find_running_option(landmarks[i].name);

		if (!o || o->off1 != landmarks[i].offset)
			return "its job options have a different layout";
	}
	return NULL;
}

/* ---- What no table of fio's tells: whether the values are where they should be --------------- */

static int refuse(struct thread_data *td, const char *what)
{
	return bkf_fail(td, -EINVAL,
			"this engine was built for another configuration of %s, whose %s has a "
			"different layout: rebuild it, see scripts/setup --help",
			BKF_FIO_VERSION, what);
}

/* The hooks are behind all of the job's options, and those behind its files. */
int bkf_check_job(struct thread_data *td, bool has_our_hooks)
{
	struct fio_file *f;
	unsigned int i;

	if (!has_our_hooks)
		return refuse(td, "struct thread_data");
	for_each_file(td, f, i)
	{
		/* The files of a job's copies (numjobs) get theirs only later. */
		if (f->fileno && f->fileno != (int)i)
			return refuse(td, "struct fio_file");
	}
	return 0;
}

/* All I/Os of the job are free at its start, in the order of their numbers. */
int bkf_check_io_us(struct thread_data *td)
{
	const struct io_u_queue *free_ones = &td->io_u_freelist;

	/* The list of all, which follows, looks the same then. */
	if (free_ones->nr != td->o.iodepth || td->io_u_all.nr != td->o.iodepth)
		return refuse(td, "struct thread_data");
	for (unsigned int i = 0; i < free_ones->nr; i++)
		if (free_ones->io_us[i]->index != i)
			return refuse(td, "struct io_u");
	return 0;
}
