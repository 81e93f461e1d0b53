/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The least that reads through io_uring: what libblkio is measured against. */
#include <fcntl.h>
#include <liburing.h>
#include <string.h>
#include <unistd.h>

#include "contest.h"

struct side {
	struct io_uring ring;
	int fd;
	char *buf;
	bool best;
};

static void must(const char *what, int ret)
{
	if (ret < 0)
		bench_die(what, strerror(-ret));
}

void *liburing_open(const struct workload *w, const struct contender *c)
{
	struct side *s = calloc(1, sizeof(*s));
	struct io_uring_params p = { .flags = IORING_SETUP_COOP_TASKRUN };
	struct iovec iov;

	if (!s || posix_memalign((void **)&s->buf, 4096, (size_t)w->len * w->depth))
		bench_die("memory", "none left");
	s->best = c->best;
	s->fd = open(w->path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0)
		bench_die(w->path, "cannot be opened");
	if (c->best)
		p.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
	must("io_uring_queue_init_params", io_uring_queue_init_params(128, &s->ring, &p));
	if (c->best) {
		iov = (struct iovec){ s->buf, (size_t)w->len * w->depth };
		must("register file", io_uring_register_files(&s->ring, &s->fd, 1));
		must("register buffer", io_uring_register_buffers(&s->ring, &iov, 1));
		must("register ring fd", io_uring_register_ring_fd(&s->ring));
	}
	return s;
}

static void prepare(struct side *s, const struct workload *w, unsigned slot, uint32_t *seed)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&s->ring);
	char *buf = s->buf + (size_t)slot * w->len;

	if (s->best) {
		io_uring_prep_read_fixed(sqe, 0, buf, w->len, next_offset(seed, w), 0);
		sqe->flags |= IOSQE_FIXED_FILE;
	} else {
		io_uring_prep_read(sqe, s->fd, buf, w->len, next_offset(seed, w));
	}
	io_uring_sqe_set_data64(sqe, slot);
}

void liburing_run(void *state, const struct workload *w, unsigned requests)
{
	struct side *s = state;
	unsigned queued = 0, done = 0;
	uint32_t seed = 1;

	for (; queued < w->depth; queued++)
		prepare(s, w, queued, &seed);
	while (done < requests) {
		struct io_uring_cqe *cqe;
		unsigned head, n = 0;

		must("io_uring_submit_and_wait", io_uring_submit_and_wait(&s->ring, 1));
		io_uring_for_each_cqe(&s->ring, head, cqe)
		{
			if (cqe->res != (int)w->len)
				bench_die("read", strerror(-cqe->res));
			if (queued < requests) {
				prepare(s, w, (unsigned)cqe->user_data, &seed);
				queued++;
			}
			n++;
		}
		io_uring_cq_advance(&s->ring, n);
		done += n;
	}
}

void liburing_close(void *state)
{
	struct side *s = state;

	io_uring_queue_exit(&s->ring);
	close(s->fd);
	free(s->buf);
	free(s);
}
