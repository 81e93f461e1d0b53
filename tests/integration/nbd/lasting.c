/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See lasting.h. */
#include "lasting.h"

#include "sys.h"
#include "test.h"

const char *const lasting_nbdkit[] = { "nbdkit", "-f", "-U", NBD_SOCKET, "file", NBD_FILE, NULL };
const char *const lasting_quick[] = { "nbdkit", "-f", "-U",	  NBD_SOCKET, "--filter=delay",
				      "memory", "4M", "rdelay=0", NULL };

struct blkio *lasting_begin(struct nbd_server *s, const char *const *argv, int ms)
{
	struct blkio *b;

	nbd_server_init(s, argv);
	b = nbd_server_start(s);
	blkio_destroy(&b);
	b = nbd_server_create(s);
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", ms));
	CHECK_OK(blkio_connect(b));
	return b;
}

struct blkioq *lasting_queue(struct blkio *b, enum wait wait, int i)
{
	return wait == WAIT_POLL_QUEUE ? blkio_get_poll_queue(b, i) : blkio_get_queue(b, i);
}

int lasting_start(struct blkio *b, enum wait wait, int n)
{
	bool poll = wait == WAIT_POLL_QUEUE;

	if (n > get_int(b, "max-queues"))
		n = get_int(b, "max-queues");
	CHECK_OK(blkio_set_int(b, "queue-size", 64));
	CHECK_OK(blkio_set_int(b, "num-queues", poll ? 0 : n));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", poll ? n : 0));
	CHECK_OK(blkio_start(b));
	for (int i = 0; i < n && wait == WAIT_EVENT; i++)
		blkioq_set_completion_fd_enabled(lasting_queue(b, wait, i), true);
	return n;
}

struct blkio *lasting_begin_by(struct nbd_server *s, const char *const *argv, int ms,
			       enum wait wait, struct blkioq **q)
{
	struct blkio *b = lasting_begin(s, argv, ms);

	lasting_start(b, wait, 1);
	*q = lasting_queue(b, wait, 0);
	return b;
}

void lasting_end(struct nbd_server *s, struct blkio *b)
{
	blkio_destroy(&b);
	nbd_server_kill(s);
}

void lasting_read_many(struct blkioq *q, char *buf, unsigned char *seen)
{
	memset(seen, 0, N);
	for (int i = 0; i < N; i++)
		blkioq_read(q, (uint64_t)i * BLOCK, buf, BLOCK, seen + i, 0);
}
