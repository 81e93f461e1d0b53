/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See ways.h. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "test.h"
#include "ways.h"

struct blkioq *start_by(struct blkio *b, enum wait wait)
{
	bool poll = wait == WAIT_POLL_QUEUE;
	struct blkioq *q;

	CHECK_OK(blkio_set_int(b, "num-queues", !poll));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", poll));
	CHECK_OK(blkio_start(b));
	q = poll ? blkio_get_poll_queue(b, 0) : blkio_get_queue(b, 0);
	if (wait == WAIT_EVENT)
		blkioq_set_completion_fd_enabled(q, true);
	return q;
}

/* Signals do not matter. */
static bool has_event(struct pollfd *p, int seconds)
{
	int n;

	do
		n = poll(p, 1, seconds * 1000);
	while (n < 0 && errno == EINTR);
	return n == 1;
}

int collect_by(struct blkioq *q, enum wait wait, struct blkio_completion *c, int most, int seconds)
{
	struct pollfd p = { .fd = blkioq_get_completion_fd(q), .events = POLLIN };
	struct timespec ts = { seconds, 0 };
	uint64_t count;
	int n;

	switch (wait) {
	case WAIT_EVENT:
		n = blkioq_do_io(q, c, 0, most, NULL);
		if (n)
			return n;
		if (!has_event(&p, seconds))
			FAIL("no event in %d seconds", seconds);
		/* One call for each event, as applications do: a second would hide what it left. */
		CHECK_EQ(read(p.fd, &count, sizeof(count)), sizeof(count));
		return 0;
	case WAIT_TIMEOUT:
		return blkioq_do_io(q, c, 1, most, &ts);
	default:
		return blkioq_do_io(q, c, 1, most, NULL);
	}
}

void collect_each(struct blkioq *q, enum wait wait, int n, int want)
{
	enum { MOST = 200, SECONDS = 20 };
	struct blkio_completion c[MOST];

	for (int done = 0; done < n;) {
		int got = collect_by(q, wait, c, MOST, SECONDS);

		CHECK_OK(got);
		for (int i = 0; i < got; i++) {
			CHECK_EQ(c[i].ret, want);
			CHECK_EQ(++*(unsigned char *)c[i].user_data, 1);
		}
		done += got;
	}
}
