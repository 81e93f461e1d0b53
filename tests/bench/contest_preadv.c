/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The loop over preadv(), which waits for each read. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "contest.h"

struct side {
	int fd;
	char *buf;
};

void *preadv_open(const struct workload *w, const struct contender *c)
{
	struct side *s = calloc(1, sizeof(*s));

	(void)c;
	if (!s || posix_memalign((void **)&s->buf, 4096, w->len))
		bench_die("memory", strerror(ENOMEM));
	s->fd = open(w->path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0)
		bench_die(w->path, strerror(errno));
	return s;
}

void preadv_run(void *state, const struct workload *w, unsigned requests)
{
	const struct side *s = state;
	const struct iovec iov = { s->buf, w->len };
	uint32_t seed = 1;

	for (unsigned i = 0; i < requests; i++) {
		off_t at = (off_t)next_offset(&seed, w);

		if (preadv(s->fd, &iov, 1, at) != (ssize_t)w->len)
			bench_die("preadv", "failed");
	}
}

void preadv_close(void *state)
{
	struct side *s = state;

	close(s->fd);
	free(s->buf);
	free(s);
}
