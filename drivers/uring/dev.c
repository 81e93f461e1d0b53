/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See dev.h. */
#include "uring/dev.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define NUM_ENTRIES_DEFAULT 128
#define NUM_ENTRIES_MAX	    32768

static struct uring_dev *to_dev(struct blkio *b)
{
	return container_of(b, struct uring_dev, b);
}

static struct uring_queue *to_queue(struct blkioq *q)
{
	return container_of(q, struct uring_queue, q);
}

/* ---- Connect ------------------------------------------------------------------------------ */

struct uring_dev_name uring_dev_name(const struct uring_dev *d)
{
	struct uring_dev_name name;

	if (d->path)
		snprintf(name.s, sizeof(name.s), "\"%s\"", d->path);
	else
		snprintf(name.s, sizeof(name.s), "property \"fd\" (%d)", d->fd);
	return name;
}

int uring_dev_check(const struct uring_dev *d)
{
	if (!d->path && d->fd < 0)
		return bk_err(EINVAL, "set property \"path\" or \"fd\" before blkio_connect()");
	if (d->path && d->fd >= 0)
		return bk_err(EINVAL,
			      "properties \"path\" (\"%s\") and \"fd\" (%d) are both set; "
			      "set one of them",
			      d->path, d->fd);
	return 0;
}

int uring_dev_check_fd(const struct uring_dev *d)
{
	int flags = fcntl(d->fd, F_GETFL);

	if (flags < 0)
		return bk_err(errno, "property \"fd\" is %d: %m", d->fd);
	if (flags & O_PATH)
		return bk_err(EBADF,
			      "property \"fd\" (%d) was opened with O_PATH, which cannot do "
			      "I/O",
			      d->fd);
	if ((flags & O_ACCMODE) == O_WRONLY || ((flags & O_ACCMODE) == O_RDONLY && !d->b.read_only))
		return bk_err(EBADF, "property \"fd\" (%d) is not open for %s", d->fd,
			      (flags & O_ACCMODE) == O_WRONLY ? "reading"
							      : "writing; set property read-only");
	return flags;
}

bool uring_sysfs_number(const char *path, uint64_t *val)
{
	FILE *f = fopen(path, "re");
	unsigned long long v;
	bool ok;

	if (!f)
		return false;
	ok = fscanf(f, "%llu", &v) == 1;
	fclose(f);
	if (ok)
		*val = v;
	return ok;
}

/* ---- Device ------------------------------------------------------------------------------- */

void uring_dev_init(struct blkio *b)
{
	struct uring_dev *d = to_dev(b);

	d->fd = -1;
	d->num_entries = NUM_ENTRIES_DEFAULT;
	b->lim.max_queues = INT_MAX;
	b->lim.max_mem_regions = UINT64_MAX;
	b->lim.flush_needed = true;
}

int uring_dev_start(struct blkio *b)
{
	const struct uring_dev *d = to_dev(b);

	if (d->num_entries > NUM_ENTRIES_MAX)
		return bk_err(EINVAL, "property \"num-entries\" must be at most %d, got %d",
			      NUM_ENTRIES_MAX, d->num_entries);
	return 0;
}

void uring_dev_close(struct blkio *b)
{
	/* Until connected, the fd is the caller's. */
	if (b->state != BK_CREATED)
		close(to_dev(b)->fd);
}

int uring_check_num_entries(struct blkio *b, const struct bk_prop *p, const union bk_val *val)
{
	(void)b;
	if (val->i <= 0)
		return bk_err(EINVAL, "property \"%s\" must be positive, got %d", p->name, val->i);
	return 0;
}

int uring_get_may_pin(struct blkio *b, union bk_val *val)
{
	val->b = to_dev(b)->register_buffers;
	return 0;
}

/* ---- Queues ------------------------------------------------------------------------------- */

/* Saves looking up the descriptor for each request. */
static void register_file(struct uring_queue *q, int fd)
{
	q->fd = fd;
	if (uring_register(&q->ring, IORING_REGISTER_FILES, &fd, 1) == 0) {
		q->fd = 0;
		q->sqe_flags = IOSQE_FIXED_FILE;
	}
}

int uring_queue_init(struct blkio *b, struct blkioq *bq, bool big)
{
	const struct uring_dev *d = to_dev(b);
	struct uring_queue *q = to_queue(bq);
	const struct uring_config config = {
		.entries = d->num_entries,
		.iopoll = bq->is_poll,
		.single_issuer = d->single_issuer,
		.sq_poll = d->sq_poll,
		.big = big,
	};
	int ret = uring_init(&q->ring, &config);

	if (ret < 0)
		return ret;
	register_file(q, d->fd);
	q->use_buffers = d->register_buffers;
	if (q->use_buffers)
		uring_buffers_init(q);
	return 0;
}

void uring_queue_exit(struct blkio *b, struct blkioq *bq)
{
	struct uring_queue *q = to_queue(bq);

	(void)b;
	uring_exit(&q->ring);
	uring_buffers_exit(q);
}

void uring_queue_notify(struct blkioq *bq, bool on)
{
	uring_notify(&to_queue(bq)->ring, bq->completion_fd, on);
}

/* ---- Completion --------------------------------------------------------------------------- */

void uring_reap_slow(struct uring_queue *q, bool big, uring_complete *other)
{
	unsigned n = uring_ready(&q->ring);

	for (unsigned i = 0; i < n; i++) {
		const struct io_uring_cqe *cqe = uring_cqe(&q->ring, i, big);

		other(&q->q, (struct bk_req *)(uintptr_t)cqe->user_data, cqe->res);
	}
	uring_seen(&q->ring, n);
}

int uring_enter_slow(struct uring_queue *q, unsigned wait_nr, const struct bk_wait *w,
		     uring_reaper *reap)
{
	int ret = uring_enter(&q->ring, wait_nr, w);

	reap(q, uring_ready(&q->ring));
	return ret;
}

cold_path int uring_enter_again(struct uring_queue *q, unsigned wait_nr, uring_reaper *reap)
{
	uring_guessed_wrong(&q->ring);
	return uring_enter_slow(q, wait_nr, NULL, reap);
}

cold_path int uring_enter_error(struct uring_queue *q, int error, uring_reaper *reap)
{
	int ret = uring_enter_failed(&q->ring, error);

	reap(q, uring_ready(&q->ring));
	return ret;
}
