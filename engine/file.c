/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Files as fio sees them. What the kernel opens by name is fio's to create, extend, open and close,
 * as for its own engines; libblkio then opens the same file. Any other target is libblkio's alone,
 * and fio learns only its size.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "engine.h"

/* A target that is not a file is one for all files: they could only be other names of it. */
static int check_single_file(struct thread_data *td, const struct job *job)
{
	if (job->many || td->files_index <= 1)
		return 0;
	return bkf_fail(
	    td, -EINVAL,
	    "%u files in one job: it drives one target, which libblkio_path, a property or "
	    "the driver determines, so write one job (section) for each target",
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

/* Have fio not create, extend, open or measure what is not a file. */
static int keep_fio_off(struct thread_data *td)
{
	td->flags |= (unsigned long long)FIO_DISKLESSIO << TD_ENG_FLAG_SHIFT;
	if (!fio_option_is_set(&td->o, write_hint) && !td->o.ioscheduler)
		return 0;
	return bkf_fail(td, -EINVAL,
			"%s= needs a file or block device that fio opens itself: name it with "
			"filename=, rather than with libblkio_path= or a property",
			td->o.ioscheduler ? "ioscheduler" : "write_hint");
}

/* Each open file takes some descriptors, and many systems allow only 1024 at first. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* What needs one target. */
static int check_many(struct thread_data *td)
{
	const struct engine_options *eo = td->eo;

	if (td->o.zone_mode == ZONE_MODE_ZBD)
		return bkf_fail(
		    td, -EINVAL,
		    "zonemode=zbd needs one file: write one job (section) for each file");
	if (eo->mapping == MAPPING_TEMPORARY)
		return bkf_fail(
		    td, -EINVAL,
		    "libblkio_mapping=temporary needs one file: write one job (section) "
		    "for each file");
	return 0;
}

int bkf_prepare_files(struct thread_data *td, struct job *job, const struct target_options *o)
{
	job->by_fio = o->by_fio;
	/* Those of a log or directory come later, and may be none. */
	job->many =
	    o->by_fio && (td->o.nr_files > 1 || td->files_index != 1 || td->o.read_iolog_file);
	if (!job->by_fio && keep_fio_off(td))
		return -1;
	if (job->many) {
		raise_file_limit();
		return check_many(td);
	}
	if (!job->by_fio && td->files_index)
		look_at_type(td->files[0], o->path);
	return check_single_file(td, job);
}

static int size_files(struct thread_data *td)
{
	struct fio_file *f;
	unsigned int i;

	for_each_file(td, f, i)
	{
		struct stat st;

		f->real_file_size = 0;
		if (!stat(f->file_name, &st)) {
			if (generic_get_file_size(td, f))
				return -1;
		} else if (errno != ENOENT) {
			return bkf_fail(td, -errno, "%s: %s", f->file_name, strerror(errno));
		}
	}
	return 0;
}

/* fio opens a block device for that: the job, perhaps another process, opens the target later. */
int bkf_size_files(struct thread_data *td)
{
	struct job *job = td->io_ops_data;
	int ret;

	job->only_sizes = true;
	ret = size_files(td);
	job->only_sizes = false;
	return ret;
}

/* ---- Hooks --------------------------------------------------------------------------------- */

/* After the deletion of the file (unlink_each_loop), its name stands for another. */
static bool is_open(const struct job *job, const struct fio_file *f)
{
	struct stat st;

	return job->b && !fstat(f->fd, &st) && st.st_dev == job->opened_dev &&
	       st.st_ino == job->opened_ino;
}

static int open_by_fio(struct thread_data *td, struct fio_file *f)
{
	struct job *job = td->io_ops_data;
	struct stat st;
	int ret = generic_open_file(td, f);

	if (ret || job->only_sizes || is_open(job, f))
		return ret;
	bkf_job_close(td);
	if (bkf_job_open(td) || fstat(f->fd, &st))
		return generic_close_file(td, f) | 1;
	job->opened_dev = st.st_dev;
	job->opened_ino = st.st_ino;
	return 0;
}

int bkf_open_file(struct thread_data *td, struct fio_file *f)
{
	const struct job *job = td->io_ops_data;

	if (job->by_fio)
		return open_by_fio(td, f);
	if (check_single_file(td, job))
		return 1;
	return td->o.invalidate_cache ? bkf_invalidate(td, f) : 0;
}

int bkf_close_file(struct thread_data *td, struct fio_file *f)
{
	const struct job *job = td->io_ops_data;

	return job->by_fio ? generic_close_file(td, f) : 0;
}

/* Drop the page cache of a file or block device; any other target has none here. */
int bkf_invalidate(struct thread_data *td, struct fio_file *f)
{
	const struct job *job = td->io_ops_data;
	const char *path = job->by_fio ? f->file_name : job->path;
	struct stat st;
	int fd, ret = 0;

	if (!path || stat(path, &st) ||
	    !(S_ISREG(st.st_mode) || (S_ISBLK(st.st_mode) && geteuid() == 0)))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return 0;
	if (S_ISREG(st.st_mode))
		ret = -posix_fadvise(fd, f->file_offset, f->io_size, POSIX_FADV_DONTNEED);
	else if (ioctl(fd, BLKFLSBUF))
		ret = -errno;
	close(fd);
	return ret;
}
