/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The path of every I/O: queue() -> commit() -> getevents() -> event().
 *
 * queue() only hands the request to libblkio. commit() submits it, unless fio is about to call
 * getevents(): then submitting and waiting are one system call there. user_data is the io_u, and
 * completions are read where libblkio wrote them.
 */
#include <poll.h>

#include "engine.h"

/* The message of the failed request that event() returned last, for errdetails(). */
static __thread const char *failure;

/* ---- Submission ---------------------------------------------------------------------------- */

/* All but the issue time itself: what fio is to know of it. */
static __attribute__((noinline)) void note_issue(struct thread_data *td, struct job *job,
						 struct io_u *io_u)
{
	if (td->o.read_iolog_file)
		td->last_issue = io_u->issue_time;
	if (job->unissued)
		job->unissued[job->submitting] = io_u;
	else if (!td->o.disable_slat)
		io_u_queued(td, io_u);
}

/*
 * Submission latency ends, and completion latency begins, when libblkio gets the request, whether
 * that is then submitted alone, in a batch, or together with the wait. Where the user looks at
 * submission latencies, they end after the system call that submits: stamp_submitted().
 */
static inline void stamp(struct thread_data *td, struct job *job, struct io_u *io_u)
{
	fio_gettime(&io_u->issue_time, NULL);
	if (fio_unlikely(job->notes_issues))
		note_issue(td, job, io_u);
}

/* What was handed to the queue since the last submission has now been submitted. */
static void stamp_submitted(struct thread_data *td, struct job *job)
{
	struct timespec now;

	fio_gettime(&now, NULL);
	for (unsigned int i = 0; i < job->submitting; i++) {
		job->unissued[i]->issue_time = now;
		io_u_queued(td, job->unissued[i]);
	}
	if (td->o.read_iolog_file)
		td->last_issue = now;
}

static inline struct iovec *one_segment(struct job *job, struct io_u *io_u)
{
	struct iovec *iov = &job->iovecs[io_u->index];

	*iov = (struct iovec){ .iov_base = io_u->xfer_buf, .iov_len = io_u->xfer_buflen };
	return iov;
}

/* Data, but for the plain way: vectored, or from memory that is mapped now. */
static __attribute__((noinline)) bool queue_specially(struct job *job, struct io_u *io_u)
{
	bool reads = io_u->ddir == DDIR_READ;
	int ret = job->mapped ? bkf_map_io(job, io_u, io_u->xfer_buflen) : 0;

	if (ret) {
		io_u->error = -ret;
		failure = blkio_get_error_msg();
		return false;
	}
	if (job->iovecs && reads)
		blkioq_readv(job->q, io_u->offset, one_segment(job, io_u), 1, io_u, 0);
	else if (job->iovecs)
		blkioq_writev(job->q, io_u->offset, one_segment(job, io_u), 1, io_u,
			      job->write_flags);
	else if (reads)
		blkioq_read(job->q, io_u->offset, io_u->xfer_buf, io_u->xfer_buflen, io_u, 0);
	else
		blkioq_write(job->q, io_u->offset, io_u->xfer_buf, io_u->xfer_buflen, io_u,
			     job->write_flags);
	return true;
}

/* False, here and below: completed already. */
static inline bool queue_read(struct job *job, struct io_u *io_u)
{
	if (fio_unlikely(!job->plain))
		return queue_specially(job, io_u);
	blkioq_read(job->q, io_u->offset, io_u->xfer_buf, io_u->xfer_buflen, io_u, 0);
	return true;
}

static inline bool queue_write(struct job *job, struct io_u *io_u)
{
	if (fio_unlikely(!job->plain))
		return queue_specially(job, io_u);
	blkioq_write(job->q, io_u->offset, io_u->xfer_buf, io_u->xfer_buflen, io_u,
		     job->write_flags);
	return true;
}

static bool queue_trim(struct thread_data *td, struct job *job, struct io_u *io_u)
{
	if (job->zoned && bkf_trim_was_reset(td, io_u))
		return false;
	if (job->zeroes_on_trim)
		blkioq_write_zeroes(job->q, io_u->offset, io_u->xfer_buflen, io_u,
				    job->write_flags);
	else
		blkioq_discard(job->q, io_u->offset, io_u->xfer_buflen, io_u, 0);
	return true;
}

enum fio_q_status bkf_queue(struct thread_data *td, struct io_u *io_u)
{
	struct job *job = td->io_ops_data;

	if (job->stamps)
		stamp(td, job, io_u);
	switch (io_u->ddir) {
	case DDIR_READ:
		if (!queue_read(job, io_u))
			return FIO_Q_COMPLETED;
		break;
	case DDIR_WRITE:
		if (!queue_write(job, io_u))
			return FIO_Q_COMPLETED;
		break;
	case DDIR_TRIM:
		if (!queue_trim(td, job, io_u))
			return FIO_Q_COMPLETED;
		break;
	case DDIR_SYNC:
	case DDIR_DATASYNC:
	case DDIR_SYNC_FILE_RANGE:
		blkioq_flush(job->q, io_u, 0);
		break;
	default:
		io_u->error = ENOTSUP;
		return FIO_Q_COMPLETED;
	}
	job->submitting++;
	return FIO_Q_QUEUED;
}

/* Whether fio's next call is a getevents() that waits. */
static inline bool wait_follows(struct thread_data *td, const struct job *job)
{
	if (!job->may_defer)
		return false;
	if (io_u_qempty(&td->io_u_freelist) || job->waits_always)
		return true;
	return td->o.latency_target && td->cur_depth >= td->latency_qd;
}

bool bkf_wait_follows(struct thread_data *td)
{
	return wait_follows(td, td->io_ops_data);
}

static inline void count_submission(struct thread_data *td, struct job *job)
{
	if (job->submitting)
		io_u_mark_submit(td, job->submitting);
	job->submitting = 0;
}

void bkf_submitted(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	if (job->unissued)
		stamp_submitted(td, job);
	count_submission(td, job);
}

static __attribute__((noinline)) int submit(struct thread_data *td, struct job *job)
{
	int ret = blkioq_do_io(job->q, NULL, 0, 0, NULL);

	if (ret < 0)
		return bkf_fail_call(td, ret, "blkioq_do_io");
	bkf_submitted(td);
	return 0;
}

int bkf_commit(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	/* Nothing queued: called on the way into getevents(), which submits. */
	if (!td->io_u_queued || wait_follows(td, job))
		return 0;
	return submit(td, job);
}

/* ---- Completion ---------------------------------------------------------------------------- */

bool bkf_timed_out(const struct timespec *start, const struct timespec *timeout)
{
	struct timespec now;
	int64_t spent, allowed = timeout->tv_sec * 1000000000LL + timeout->tv_nsec;

	clock_gettime(CLOCK_MONOTONIC, &now);
	spent = (now.tv_sec - start->tv_sec) * 1000000000LL + now.tv_nsec - start->tv_nsec;
	return spent >= allowed;
}

/* Sleep until the eventfd says that there is something to reap. */
static int await_completion_fd(const struct job *job, const struct timespec *timeout)
{
	struct pollfd pfd = { .fd = job->completion_fd, .events = POLLIN };
	uint64_t events;
	int ret;

	if (timeout) {
		ret = ppoll(&pfd, 1, timeout, NULL);
		if (ret <= 0)
			return ret < 0 && errno != EINTR ? -errno : 0;
	}
	if (read(job->completion_fd, &events, sizeof(events)) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

/* Put what the last call kept where event() looks, with room for the rest of the depth behind. */
static unsigned int take_kept(struct job *job)
{
	struct blkio_completion *kept = job->events + job->nr_events;

	if (!job->nr_kept || kept > job->completions + job->depth)
		kept = memmove(job->completions, kept, job->nr_kept * sizeof(*kept));
	job->events = kept;
	return job->nr_kept;
}

/*
 * WAIT_EVENTFD and WAIT_LOOP: take what there is until it is enough. All there is: for completions
 * that it is left with, libblkio would have to write to the eventfd, a system call each time.
 */
static int collect(struct job *job, unsigned int min, unsigned int max,
		   const struct timespec *timeout)
{
	unsigned int n = take_kept(job);
	struct timespec start;
	int ret;

	if (timeout)
		clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		ret = blkioq_do_io(job->q, job->events + n, 0, job->depth - n, NULL);
		if (ret < 0)
			break;
		n += ret;
		if (n >= min || (timeout && bkf_timed_out(&start, timeout)))
			break;
		if (job->wait_mode != WAIT_EVENTFD)
			continue;
		ret = await_completion_fd(job, timeout);
		if (ret < 0)
			break;
	}
	job->nr_events = min(n, max);
	job->nr_kept = n - job->nr_events;
	return ret < 0 && !n ? ret : (int)job->nr_events;
}

/* WAIT_BLOCK with an end: libblkio keeps what completed before it for the next call. */
static int block_until(struct job *job, unsigned int min, unsigned int max,
		       const struct timespec *timeout)
{
	struct timespec left = *timeout;
	int ret = -ETIME;

	if (min)
		ret = blkioq_do_io(job->q, job->events, min, max, &left);
	if (ret == -ETIME)
		ret = blkioq_do_io(job->q, job->events, 0, max, NULL);
	return ret;
}

/* All but the most frequent way to wait, out of its way. */
static __attribute__((noinline)) int wait_otherwise(struct thread_data *td, unsigned int min,
						    unsigned int max,
						    const struct timespec *timeout)
{
	struct job *job = td->io_ops_data;
	int ret;

	/* Less than a batch, which fio does not commit before it asks what has completed. */
	if (job->unissued && job->submitting && submit(td, job))
		return -td->error;
	if (job->wait_mode != WAIT_BLOCK)
		ret = collect(job, min, max, timeout);
	else if (timeout)
		ret = block_until(job, min, max, timeout);
	else
		ret = blkioq_do_io(job->q, job->events, min, max, NULL);
	if (job->mapped && ret > 0)
		bkf_unmap_completed(job, ret);
	return ret;
}

int bkf_getevents(struct thread_data *td, unsigned int min, unsigned int max,
		  const struct timespec *timeout)
{
	struct job *job = td->io_ops_data;
	int ret;

	max = min(max, td->o.iodepth);
	if (job->plain_wait && !timeout)
		ret = blkioq_do_io(job->q, job->events, min, max, NULL);
	else
		ret = wait_otherwise(td, min, max, timeout);
	if (fio_unlikely(ret < 0))
		return bkf_fail_call(td, ret, "blkioq_do_io");
	count_submission(td, job);
	return ret;
}

struct io_u *bkf_event(struct thread_data *td, int event)
{
	struct job *job = td->io_ops_data;
	const struct blkio_completion *c = &job->events[event];
	struct io_u *io_u = c->user_data;

	if (fio_unlikely(c->ret)) {
		io_u->error = -c->ret;
		failure = c->error_msg;
	}
	return io_u;
}

/* fio prints and frees this after its own words on the failed io_u that event() just returned. */
#ifdef BKF_ERRDETAILS_HAS_TD
char *bkf_errdetails(struct thread_data *td, struct io_u *io_u)
#else
char *bkf_errdetails(struct io_u *io_u)
#endif
{
	char *text;

	if (asprintf(&text, "libblkio: %s", failure ? failure : strerror(io_u->error)) < 0)
		text = NULL;
	return text;
}
