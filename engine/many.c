/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Jobs with several files: nrfiles=, filename=a:b, files of a log. Each open file is a target of
 * its own, with one queue. The hooks here stand in for those of jobs with one file (engine.c),
 * whose I/Os therefore pay nothing for it.
 *
 * While one file alone has requests in flight, waiting is one call that sleeps on its queue. Else
 * it is one poll() of the completion fds of all files that have some.
 */
#include <poll.h>

#include "engine.h"

struct file_queue {
	struct file_queue *next;
	struct target *target;
	struct blkio *b;
	struct queue_slot slot;
	int completion_fd;	/* -1: poll queues have none */
	unsigned int in_flight; /* queued and not yet collected */
	bool unsubmitted;
};

/* ---- Opening and closing ------------------------------------------------------------------- */

static bool sleeps_on_fds(const struct thread_data *td)
{
	const struct engine_options *eo = td->eo;

	return td->o.iodepth > 1 && !eo->hipri && eo->wait_mode != WAIT_LOOP;
}

static int add_pollfd(struct thread_data *td, struct job *job)
{
	struct pollfd *more = realloc(job->pollfds, (job->nr_pollfds + 1) * sizeof(*more));

	if (!more)
		return bkf_fail(td, -ENOMEM, "no memory for %u open files", job->nr_pollfds + 1);
	job->pollfds = more;
	job->nr_pollfds++;
	return 0;
}

/* Undo as much of open_queue() as it did. */
static void close_queue(struct file_queue *fq)
{
	if (fq->b) {
		bkf_target_return_queue(fq->target, &fq->slot);
		bkf_target_detach(fq->target);
	}
	if (fq->target)
		bkf_target_put(fq->target);
	free(fq);
}

static int open_queue(struct thread_data *td, const struct fio_file *f, struct file_queue *fq)
{
	const struct engine_options *eo = td->eo;
	struct target_options o;

	if (bkf_target_options_init(&o, td, f)) {
		bkf_target_options_free(&o);
		return -1;
	}
	o.sleeps_on_fd = sleeps_on_fds(td);
	fq->target = bkf_target_get(&o, false, !eo->hipri, !!eo->hipri);
	if (!fq->target) {
		bkf_target_options_free(&o);
		return bkf_fail(td, -ENOMEM, "no memory for %s", f->file_name);
	}
	fq->b = bkf_target_attach(fq->target, td);
	if (!fq->b || bkf_target_take_queue(fq->target, &fq->slot, eo->hipri, td) ||
	    bkf_check_block_sizes(td, fq->b))
		return -1;
	fq->completion_fd = -1;
	if (!eo->hipri)
		fq->completion_fd = bkf_set_up_completion_fd(
		    td, fq->slot.q, sleeps_on_fds(td) || eo->force_completion_fd, false);
	return eo->hipri ? 0 : min(fq->completion_fd, 0);
}

int bkf_many_open(struct thread_data *td, struct fio_file *f)
{
	struct job *job = td->io_ops_data;
	struct file_queue *fq;

	if (generic_open_file(td, f))
		return 1;
	fq = calloc(1, sizeof(*fq));
	if (!fq) {
		bkf_fail(td, -ENOMEM, "no memory for %s", f->file_name);
		goto close;
	}
	if (open_queue(td, f, fq) || add_pollfd(td, job)) {
		close_queue(fq);
		goto close;
	}
	fq->next = job->files;
	job->files = fq;
	FILE_SET_ENG_DATA(f, fq);
	return 0;
close:
	return generic_close_file(td, f) | 1;
}

int bkf_many_close(struct thread_data *td, struct fio_file *f)
{
	struct job *job = td->io_ops_data;
	struct file_queue *fq = FILE_ENG_DATA(f), **link = &job->files;

	while (*link != fq)
		link = &(*link)->next;
	*link = fq->next;
	job->nr_pollfds--;
	FILE_SET_ENG_DATA(f, NULL);
	job->q = NULL;
	/* After an error requests may be in flight, and the device may still write to memory. */
	if (fq->in_flight && !bkf_drain(td, fq->slot.q, job->completions))
		job->slot.abandoned = fq->slot.abandoned = true;
	close_queue(fq);
	return generic_close_file(td, f);
}

/* ---- I/O ----------------------------------------------------------------------------------- */

enum fio_q_status bkf_many_queue(struct thread_data *td, struct io_u *io_u)
{
	struct job *job = td->io_ops_data;
	struct file_queue *fq = FILE_ENG_DATA(io_u->file);
	enum fio_q_status status;

	job->q = fq->slot.q;
	status = bkf_queue(td, io_u);
	if (status == FIO_Q_QUEUED) {
		fq->in_flight++;
		fq->unsubmitted = true;
	}
	return status;
}

static int submit(struct thread_data *td, struct job *job)
{
	for (struct file_queue *fq = job->files; fq; fq = fq->next) {
		int ret = fq->unsubmitted ? blkioq_do_io(fq->slot.q, NULL, 0, 0, NULL) : 0;

		if (ret < 0)
			return bkf_fail_call(td, ret, "blkioq_do_io");
		fq->unsubmitted = false;
	}
	bkf_submitted(td);
	return 0;
}

int bkf_many_commit(struct thread_data *td)
{
	if (!td->io_u_queued || bkf_wait_follows(td))
		return 0;
	return submit(td, td->io_ops_data);
}

static int collect(struct job *job, struct file_queue *fq, unsigned int n, unsigned int min,
		   unsigned int max, struct timespec *timeout)
{
	int ret = blkioq_do_io(fq->slot.q, job->events + n, min, max, timeout);

	fq->unsubmitted = false;
	if (ret > 0)
		fq->in_flight -= ret;
	return ret;
}

/* The only file that has requests in flight; NULL when there are several such files, or none. */
static struct file_queue *only_busy(const struct job *job)
{
	struct file_queue *busy = NULL;

	for (struct file_queue *fq = job->files; fq; fq = fq->next) {
		if (fq->in_flight && busy)
			return NULL;
		if (fq->in_flight)
			busy = fq;
	}
	return busy;
}

/* Submit everything, and take what is there: up to max, and no file always before the others. */
static int collect_all(struct job *job, unsigned int n, unsigned int max)
{
	struct file_queue *fq, *last = NULL;

	for (fq = job->files; fq; last = fq, fq = fq->next) {
		int ret = fq->in_flight ? collect(job, fq, n, 0, max - n, NULL) : 0;

		if (ret < 0)
			return ret;
		n += ret;
	}
	if (last && last != job->files) {
		last->next = job->files;
		job->files = job->files->next;
		last->next->next = NULL;
	}
	return n;
}

/* Sleep until one of the files has something to collect. */
static int await_any(struct job *job, const struct timespec *timeout)
{
	unsigned int n = 0;
	uint64_t events;

	for (struct file_queue *fq = job->files; fq; fq = fq->next)
		if (fq->in_flight)
			job->pollfds[n++] =
			    (struct pollfd){ .fd = fq->completion_fd, .events = POLLIN };
	if (ppoll(job->pollfds, n, timeout, NULL) < 0)
		return errno == EINTR ? 0 : -errno;
	for (unsigned int i = 0; i < n; i++)
		if (job->pollfds[i].revents & POLLIN &&
		    read(job->pollfds[i].fd, &events, sizeof(events)) < 0 && errno != EAGAIN &&
		    errno != EINTR)
			return -errno;
	return 0;
}

static int wait_for_all(struct thread_data *td, struct job *job, unsigned int min, unsigned int max,
			const struct timespec *timeout)
{
	struct timespec start;
	int n = 0, ret = 0;

	if (timeout)
		clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		ret = collect_all(job, n, max);
		if (ret < 0)
			break;
		n = ret;
		if (n >= (int)min || (timeout && bkf_timed_out(&start, timeout)))
			break;
		if (!sleeps_on_fds(td))
			continue;
		ret = await_any(job, timeout);
		if (ret < 0)
			break;
	}
	return ret < 0 && !n ? ret : n;
}

int bkf_many_getevents(struct thread_data *td, unsigned int min, unsigned int max,
		       const struct timespec *timeout)
{
	struct job *job = td->io_ops_data;
	struct file_queue *only = only_busy(job);
	int ret;

	max = min(max, td->o.iodepth);
	if (job->unissued && job->submitting && submit(td, job))
		return -td->error;
	if (only && !timeout && job->wait_mode != WAIT_LOOP)
		ret = collect(job, only, 0, min, max, NULL);
	else
		ret = wait_for_all(td, job, min, max, timeout);
	if (ret < 0)
		return bkf_fail_call(td, ret, "blkioq_do_io");
	bkf_submitted(td);
	return ret;
}
