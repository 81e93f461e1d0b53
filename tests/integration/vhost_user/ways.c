/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See ways.h. */
#include <poll.h>
#include <unistd.h>

#include "test.h"
#include "ways.h"

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
		if (poll(&p, 1, seconds * 1000) != 1)
			FAIL("no event in %d seconds", seconds);
		CHECK_EQ(read(p.fd, &count, sizeof(count)), sizeof(count));
		return blkioq_do_io(q, c, 0, most, NULL);
	case WAIT_TIMEOUT:
		return blkioq_do_io(q, c, 1, most, &ts);
	default:
		return blkioq_do_io(q, c, 1, most, NULL);
	}
}
