/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Files as fio sees them. libblkio opens the target; here is what fio does around its own opens
 * and what users of filename= expect of it: laying out a new file, not writing to what is mounted,
 * dropping the page cache.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "engine.h"
#include <lib/mountcheck.h>

#pragma weak device_is_mounted
#pragma weak generic_prepopulate_file

/* Where all I/O goes is one target: more files could only be the same one under other names. */
static int check_single_file(struct thread_data *td)
{
	if (td->files_index <= 1)
		return 0;
	return bkf_fail(td, -EINVAL,
			"%u files in one job: a job drives one target, so write one job (section) "
			"for each file",
			td->files_index);
}

/* fio looked at filename; with libblkio_path the target is something else. */
static void look_at_type(struct fio_file *f, const char *path)
{
	struct stat st;

	if (!path || stat(path, &st))
		return;
	if (S_ISBLK(st.st_mode))
		f->filetype = FIO_TYPE_BLOCK;
	else if (S_ISCHR(st.st_mode))
		f->filetype = FIO_TYPE_CHAR;
	else
		f->filetype = FIO_TYPE_FILE;
}

static int check_not_mounted(struct thread_data *td, const struct fio_file *f, const char *path)
{
	if (f->filetype != FIO_TYPE_BLOCK || td->o.allow_mounted_write || read_only ||
	    !(td_write(td) || td_trim(td)) || !device_is_mounted(path))
		return 0;
	return bkf_fail(td, -EBUSY,
			"%s is mounted: writing to it would destroy its file system "
			"(allow_mounted_write=1 overrides)",
			path);
}

/* The size that a file must have to hold the job; 0 when the options do not say. */
static unsigned long long wanted_size(const struct thread_data *td)
{
	unsigned long long size = td->o.file_size_low ? td->o.file_size_low : td->o.size;

	return size ? td->o.start_offset + size : 0;
}

/* As with fio's own engines, a file of filename= that does not exist yet is filled with data. */
static int lay_out(struct thread_data *td, struct fio_file *f, const struct target_options *o)
{
	unsigned long long size = wanted_size(td);
	struct stat st;
	int ret;

	if (!o->path_is_filename || strcmp(o->driver, "io_uring") || !size || read_only ||
	    (stat(f->file_name, &st) ? errno != ENOENT : !S_ISREG(st.st_mode) || st.st_size))
		return 0;
	log_info("%s: laying out I/O file %s (%lluMiB)\n", td->o.name, f->file_name, size >> 20);
	f->real_file_size = size;
	ret = generic_prepopulate_file(td, f);
	if (f->fd != -1)
		close(f->fd);
	f->fd = -1;
	return ret ? bkf_fail(td, -td->error, "cannot lay out %s", f->file_name) : 0;
}

int bkf_prepare_file(struct thread_data *td, const struct target_options *o)
{
	struct fio_file *f;
	int ret;

	if (!td->files_index)
		return 0; /* read_iolog: its files come later */
	f = td->files[0];
	ret = check_single_file(td);
	if (ret)
		return ret;
	ret = lay_out(td, f, o);
	if (ret)
		return ret;
	look_at_type(f, o->path);
	return o->path ? check_not_mounted(td, f, o->path) : 0;
}

/* ---- Hooks --------------------------------------------------------------------------------- */

int bkf_open_file(struct thread_data *td, struct fio_file *f)
{
	int ret = check_single_file(td);

	if (ret)
		return ret;
	return td->o.invalidate_cache ? bkf_invalidate(td, f) : 0;
}

int bkf_close_file(struct thread_data *td, struct fio_file *f)
{
	return 0;
}

/* Drop the page cache of a file or block device; any other target has none here. */
int bkf_invalidate(struct thread_data *td, struct fio_file *f)
{
	const struct job *job = td->io_ops_data;
	struct stat st;
	int fd, ret = 0;

	if (!job->path || stat(job->path, &st) ||
	    !(S_ISREG(st.st_mode) || (S_ISBLK(st.st_mode) && geteuid() == 0)))
		return 0;
	fd = open(job->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return 0;
	if (S_ISREG(st.st_mode))
		ret = -posix_fadvise(fd, f->file_offset, f->io_size, POSIX_FADV_DONTNEED);
	else if (ioctl(fd, BLKFLSBUF))
		ret = -errno;
	close(fd);
	return ret;
}
