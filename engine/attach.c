/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a job has open while it runs: the device, a queue of it, and the job's memory within its
 * reach.
 */
#include <fcntl.h>

#include "engine.h"

/* The sizes that the device cannot take are better refused now than as errors of the I/Os. */
int bkf_check_block_sizes(struct thread_data *td, struct blkio *b)
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

int bkf_set_up_completion_fd(struct thread_data *td, struct blkioq *q, bool enable, bool blocking)
{
	int fd, ret;

	blkioq_set_completion_fd_enabled(q, enable);
	fd = blkioq_get_completion_fd(q);
	ret = set_blocking(fd, blocking);
	if (ret)
		return bkf_fail(td, ret, "fcntl on the completion eventfd: %s", strerror(-ret));
	return fd;
}

static int set_up_waiting(struct thread_data *td, struct job *job)
{
	const struct engine_options *eo = td->eo;
	bool sleeps = eo->wait_mode == WAIT_EVENTFD;

	if (eo->hipri)
		return 0;
	job->completion_fd =
	    bkf_set_up_completion_fd(td, job->q, sleeps || eo->force_completion_fd, sleeps);
	return min(job->completion_fd, 0);
}

int bkf_job_open(struct thread_data *td)
{
	const struct engine_options *eo = td->eo;
	struct job *job = td->io_ops_data;

	job->b = bkf_target_attach(job->target, td);
	if (!job->b || bkf_target_take_queue(job->target, &job->slot, eo->hipri, td))
		return -1;
	job->q = job->slot.q;
	if (bkf_check_block_sizes(td, job->b) || set_up_waiting(td, job))
		return -1;
	return bkf_map_memory(td);
}

void bkf_job_close(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	if (!job->b)
		return;
	bkf_end_region(td);
	bkf_target_return_queue(job->target, &job->zone_slot);
	bkf_target_return_queue(job->target, &job->slot);
	bkf_target_detach(job->target);
	job->b = NULL;
	job->q = NULL;
}
