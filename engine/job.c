/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The life of a job. fio calls setup() for every job in its main process, then starts the jobs as
 * threads or processes; each calls init(), iomem_alloc() (buffers.c), post_init(), does its I/O,
 * then iomem_free() and cleanup(). With create_serialize=0 setup() comes after post_init() instead.
 */
#include <fcntl.h>
#include <stdarg.h>

#include "engine.h"

/* ---- Errors -------------------------------------------------------------------------------- */

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

/* ---- Creation and end ---------------------------------------------------------------------- */

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
	if (td->o.io_submit_mode == IO_MODE_OFFLOAD)
		return bkf_fail(td, -EINVAL,
				"io_submit_mode=offload is not supported: each queue belongs to "
				"one thread");
#ifndef BKF_HAS_SKIPPABLE_IOMEM_ALLOC
	if (fio_option_is_set(&td->o, mem_type))
		return bkf_fail(td, -EINVAL,
				"mem= conflicts with this engine, which allocates the I/O buffers "
				"itself: drop mem=");
#endif
	return 0;
}

static void free_job(struct job *job)
{
	if (job->target)
		bkf_target_put(job->target);
	free(job->completions);
	free(job->iovecs);
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
	if (bkf_target_options_init(&o, td) || bkf_prepare_file(td, &o))
		goto fail;
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
	return NULL;
}

void bkf_cleanup(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	if (!job)
		return;
	bkf_iomem_free(td); /* fio skips it for memory of its own */
	td->io_ops_data = NULL;
	if (job->b) {
		bkf_target_return_queue(job->target, &job->zone_slot);
		bkf_target_return_queue(job->target, &job->slot);
		bkf_target_detach(job->target);
	}
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

	/* get_ioengine() compared job options; this tells whether the rest of td is where we think
	 */
	if (td->io_ops != &bkf_ops) {
		log_err("fio: libblkio: this engine was built for another configuration of %s: "
			"rebuild it, see scripts/setup --help\n",
			BKF_FIO_VERSION);
		return 1;
	}
	job = td->io_ops_data;
	if (job && job->b)
		return !!read_capacity(job->b, td);

	job = new_job(td);
	if (!job)
		return 1;
	if (look_at_target(td, job)) {
		free_job(job);
		return 1;
	}
	td->io_ops_data = job;
	return 0;
}

/* ---- init ---------------------------------------------------------------------------------- */

/* The sizes that the device cannot take are better refused now than as errors of the I/Os. */
static int check_block_sizes(struct thread_data *td, struct blkio *b)
{
	static const struct {
		enum fio_ddir ddir;
		enum td_ddir bit;
	} kinds[] = {
		{ DDIR_READ, TD_DDIR_READ },
		{ DDIR_WRITE, TD_DDIR_WRITE },
		{ DDIR_TRIM, TD_DDIR_TRIM },
	};
	unsigned long long align = bkf_get_number(b, "request-alignment", 1);
	unsigned long long max_transfer = bkf_get_number(b, "max-transfer", 0);

	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
		enum fio_ddir ddir = kinds[i].ddir;

		if (!(td->o.td_ddir & kinds[i].bit))
			continue;
		if (align > 1 && td->o.min_bs[ddir] % align)
			return bkf_fail(td, -EINVAL,
					"bs=%llu is not a multiple of the device's "
					"request-alignment, %llu bytes",
					td->o.min_bs[ddir], align);
		if (max_transfer && ddir != DDIR_TRIM && td->o.max_bs[ddir] > max_transfer)
			return bkf_fail(td, -EINVAL,
					"bs=%llu is more than the device's max-transfer, %llu "
					"bytes",
					td->o.max_bs[ddir], max_transfer);
	}
	return 0;
}

/* Make read() on the eventfd wait, or undo what an earlier job on this queue did. */
static int set_blocking(int fd, bool blocking)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) ? -errno : 0;
}

static int set_up_completion_fd(struct thread_data *td, struct job *job)
{
	const struct engine_options *eo = td->eo;
	int ret;

	if (eo->hipri)
		return 0;
	blkioq_set_completion_fd_enabled(job->q,
					 eo->wait_mode == WAIT_EVENTFD || eo->force_completion_fd);
	job->completion_fd = blkioq_get_completion_fd(job->q);
	ret = set_blocking(job->completion_fd, eo->wait_mode == WAIT_EVENTFD);
	return ret ? bkf_fail(td, ret, "fcntl on the completion eventfd: %s", strerror(-ret)) : 0;
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

	/* Submission is part of the wait, so it has no time of its own. */
	td->o.disable_slat = 1;
	job->stamps = fio_fill_issue_time(td);
	job->write_flags = td->o.sync_io ? BLKIO_REQ_FUA : 0;
	job->zeroes_on_trim = eo->write_zeroes_on_trim;
	job->zoned = td->o.zone_mode == ZONE_MODE_ZBD;
	job->wait_mode = eo->wait_mode;
	job->plain = !eo->vectored;
	job->plain_wait = eo->wait_mode == WAIT_BLOCK;
	/* Other threads (verify_async) give I/Os back at any time: "full" says little then. */
	job->may_defer = !td_async_processing(td);
	job->waits_always = !td->o.iodepth_batch_complete_min && !td->o.iodepth_batch_complete_max;
	return 0;
}

int bkf_init(struct thread_data *td)
{
	const struct engine_options *eo = td->eo;
	struct job *job = td->io_ops_data;

	if (!job)
		job = td->io_ops_data = new_job(td);
	if (!job)
		return 1;
	job->b = bkf_target_attach(job->target, td);
	if (!job->b || bkf_target_take_queue(job->target, &job->slot, eo->hipri, td))
		return 1;
	job->q = job->slot.q;
	return check_block_sizes(td, job->b) || set_up_io(td, job) || set_up_completion_fd(td, job);
}

int bkf_post_init(struct thread_data *td)
{
	if (!(td_read(td) || td_write(td)))
		return 0; /* trim only: no buffers */
	if (!td->orig_buffer)
		return bkf_fail(td, -ENOMEM, "fio has no I/O buffers") != 0;
	return bkf_map_foreign_memory(td) != 0;
}
