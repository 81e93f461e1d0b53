/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The life of a job. fio calls setup() for every job in its main process, then starts the jobs as
 * threads or processes; each calls init(), iomem_alloc() (buffers.c), post_init(), does its I/O,
 * then iomem_free() and cleanup(). With create_serialize=0 setup() comes after post_init() instead.
 * The device is opened by init(), or, where it is a file that fio creates, after fio has opened it.
 */

#include "engine.h"

/* ---- Creation and end ---------------------------------------------------------------------- */

/* Whether writes are to carry placement identifiers: fdp=1, dataplacement=. */
static bool places_data(const struct thread_data *td)
{
#if defined(BKF_HAS_DATAPLACEMENT)
	return td->o.fdp || td->o.dp_type;
#elif defined(BKF_HAS_FDP)
	return td->o.fdp;
#else
	(void)td;
	return false;
#endif
}

/* What libblkio's requests and queues are not made for. */
static int check_requests(struct thread_data *td)
{
	if (td->o.oatomic)
		return bkf_fail(td, -EINVAL,
				"atomic=1 is not supported: this engine submits no atomic "
				"writes");
	if (places_data(td))
		return bkf_fail(td, -EINVAL,
				"fdp=1 and dataplacement= are not supported: the writes of "
				"libblkio carry no placement identifiers");
	if (td->o.io_submit_mode == IO_MODE_OFFLOAD)
		return bkf_fail(td, -EINVAL,
				"io_submit_mode=offload is not supported: each queue belongs to "
				"one thread");
	return 0;
}

/* Combinations of options that cannot work, before anything is opened. */
static int check_options(struct thread_data *td)
{
	const struct engine_options *eo = td->eo;

	if (eo->hipri && eo->wait_mode == WAIT_EVENTFD)
		return bkf_fail(td, -EINVAL,
				"hipri uses poll queues, which have no completion eventfd: set "
				"libblkio_wait_mode to block or loop");
	if (eo->hipri && eo->force_completion_fd)
		return bkf_fail(td, -EINVAL,
				"hipri uses poll queues, which have no completion eventfd: drop "
				"libblkio_force_enable_completion_eventfd");
	return check_requests(td);
}

static void free_job(struct job *job)
{
	if (job->target)
		bkf_target_put(job->target);
	free(job->completions);
	free(job->iovecs);
	free(job->unissued);
	free(job->pollfds);
	free(job->mapped);
	free(job);
}

static struct job *new_job(struct thread_data *td)
{
	const struct engine_options *eo = td->eo;
	bool zoned = td->o.zone_mode == ZONE_MODE_ZBD;
	struct target_options o;
	struct job *job;

	if (check_options(td))
		return NULL;
	job = calloc(1, sizeof(*job));
	if (!job) {
		bkf_fail(td, -ENOMEM, "no memory for the job");
		return NULL;
	}
	if (bkf_target_options_init(&o, td, td->files_index ? td->files[0] : NULL) ||
	    bkf_prepare_files(td, job, &o))
		goto fail;
	if (job->many) {
		bkf_target_options_free(&o); /* each file has some of its own */
		return job;
	}
	job->target = bkf_target_get(&o, td->o.use_thread, !eo->hipri + zoned, !!eo->hipri);
	if (!job->target) {
		bkf_fail(td, -ENOMEM, "no memory for the job");
		goto fail;
	}
	job->path = bkf_target_options(job->target)->path;
	return job;
fail:
	bkf_target_options_free(&o);
	free_job(job);
	td->io_ops_data = NULL;
	return NULL;
}

void bkf_cleanup(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	if (!job)
		return;
	bkf_iomem_free(td); /* fio skips it for memory of its own */
	bkf_job_close(td);
	td->io_ops_data = NULL;
	free_job(job);
}

/* ---- setup --------------------------------------------------------------------------------- */

static int read_capacity(struct blkio *b, struct thread_data *td)
{
	struct fio_file *f = td->files[0];
	uint64_t capacity;
	int ret = blkio_get_uint64(b, "capacity", &capacity);

	if (ret)
		return bkf_fail_call(td, ret, "reading capacity");
	f->real_file_size = capacity;
	fio_file_set_size_known(f);
	return 0;
}

/* The device is only looked at: jobs open it for themselves, perhaps in other processes. */
static int look_at_target(struct thread_data *td, const struct job *job)
{
	struct blkio *b = bkf_target_connect(bkf_target_options(job->target), td);
	int ret;

	if (!b)
		return -1;
	ret = td->files_index ? read_capacity(b, td) : 0;
	blkio_destroy(&b);
	return ret;
}

int bkf_setup(struct thread_data *td)
{
	struct job *job;

	job = td->io_ops_data;
	if (job && job->b)
		return !!read_capacity(job->b, td);

	if (!job)
		job = td->io_ops_data = new_job(td);
	if (!job)
		return 1;
	if (job->by_fio && bkf_size_files(td))
		return 1;
	if (job->by_fio && (job->many || !td->files[0]->real_file_size))
		return 0; /* there may be nothing to look at yet */
	return !!look_at_target(td, job);
}

/* ---- init ---------------------------------------------------------------------------------- */

/* Does the user look at submission latencies? */
static bool shows_slat(const struct thread_data *td)
{
	return !td->o.disable_slat && (td->o.slat_percentiles || td->slat_log);
}

static int set_up_stamps(struct thread_data *td, struct job *job)
{
	job->stamps = fio_fill_issue_time(td);
	job->notes_issues = !td->o.disable_slat || td->o.read_iolog_file;
	if (!shows_slat(td))
		return 0;
	job->unissued = calloc(td->o.iodepth, sizeof(struct io_u *));
	return job->unissued ? 0 : bkf_fail(td, -ENOMEM, "no memory for iodepth=%u", td->o.iodepth);
}

static int set_up_io(struct thread_data *td, struct job *job)
{
	const struct engine_options *eo = td->eo;

	job->depth = td->o.iodepth;
	job->completions = calloc(2 * (size_t)job->depth, sizeof(*job->completions));
	job->events = job->completions;
	if (eo->vectored)
		job->iovecs = calloc(td->o.iodepth, sizeof(*job->iovecs));
	if (!job->completions || (eo->vectored && !job->iovecs))
		return bkf_fail(td, -ENOMEM, "no memory for iodepth=%u", td->o.iodepth);

	if (set_up_stamps(td, job))
		return -ENOMEM;
	job->write_flags = td->o.sync_io ? BLKIO_REQ_FUA : 0;
	job->zeroes_on_trim = eo->write_zeroes_on_trim;
	job->zoned = td->o.zone_mode == ZONE_MODE_ZBD;
	job->wait_mode = eo->wait_mode;
	job->plain = !eo->vectored;
	job->plain_wait = eo->wait_mode == WAIT_BLOCK && !job->unissued;
	/* Other threads (verify_async) give I/Os back at any time: "full" says little then. */
	job->may_defer = !td_async_processing(td) && !job->unissued;
	job->waits_always = !td->o.iodepth_batch_complete_min && !td->o.iodepth_batch_complete_max;
	return 0;
}

/* Files that fio opens, and perhaps creates, are opened after that. */
int bkf_init(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	if (!job)
		job = td->io_ops_data = new_job(td);
	if (!job || set_up_io(td, job))
		return 1;
	return job->by_fio ? 0 : !!bkf_job_open(td);
}

int bkf_post_init(struct thread_data *td)
{
	const struct job *job = td->io_ops_data;

	if (!(td_read(td) || td_write(td)))
		return 0; /* trim only: no buffers */
	if (!td->orig_buffer)
		return bkf_fail(td, -ENOMEM, "fio has no I/O buffers") != 0;
	return job->b ? bkf_map_memory(td) != 0 : 0;
}
