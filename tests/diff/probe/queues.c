/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Queues that come and go, and the arguments and counts of do_io. */
#include <sys/uio.h>

#include "probe.h"

static void queue_calls(struct blkio *b)
{
	show("get_queue", blkio_get_queue(b, 0) != NULL);
	show("get_poll_queue", blkio_get_poll_queue(b, 0) != NULL);
	SHOW(blkio_add_queue(b));
	SHOW(blkio_add_poll_queue(b));
	SHOW(blkio_remove_queue(b, 3));
	SHOW(blkio_remove_queue(b, 0));
	SHOW(blkio_remove_poll_queue(b, 0));
}

static void show_num_queues(struct blkio *b)
{
	int n = -1;

	blkio_get_int(b, "num-queues", &n);
	show("num-queues", n);
}

static void add_and_remove(void)
{
	STEP("add and remove") {
		struct blkio *b = device_started();

		SHOW(blkio_add_queue(b));
		SHOW(blkio_add_queue(b));
		show_num_queues(b);
		SHOW(blkio_remove_queue(b, 1));
		SHOW(blkio_remove_queue(b, 1));
		show("queue 0", blkio_get_queue(b, 0) != NULL);
		show("queue 1", blkio_get_queue(b, 1) != NULL);
		show("queue 2", blkio_get_queue(b, 2) != NULL);
		SHOW(blkio_remove_queue(b, 0));
		SHOW(blkio_add_queue(b));
		SHOW(blkio_add_queue(b));
		SHOW(blkio_add_queue(b));
		show_num_queues(b);
	}
	STEP("a queue that was added does I/O") {
		struct blkio *b = device_started();
		struct blkioq *q;

		MUST(blkio_add_queue(b));
		q = blkio_get_queue(b, 1);
		SHOW_REQUEST(blkioq_flush(q, NULL, 0));
	}
}

void group_queues(void)
{
	STEP("created") {
		queue_calls(device_created());
	}
	STEP("connected") {
		queue_calls(device_connected());
	}
	STEP("started") {
		queue_calls(device_started());
	}
	STEP("indices") {
		struct blkio *b = device_started();

		show("the same twice", blkio_get_queue(b, 0) == blkio_get_queue(b, 0));
		show("-1", blkio_get_queue(b, -1) != NULL);
		show("1", blkio_get_queue(b, 1) != NULL);
		show("INT32_MAX", blkio_get_queue(b, INT32_MAX) != NULL);
		SHOW(blkio_remove_queue(b, -1));
		SHOW(blkio_remove_queue(b, INT32_MIN));
	}
	STEP("no queue at all") {
		struct blkio *b = device_connected();

		MUST(blkio_set_int(b, "num-queues", 0));
		SHOW(blkio_start(b));
		show("queue 0", blkio_get_queue(b, 0) != NULL);
		SHOW(blkio_add_queue(b));
	}
	STEP("three queues") {
		struct blkio *b = device_connected();
		struct blkioq *q;

		MUST(blkio_set_int(b, "num-queues", 3));
		SHOW(blkio_start(b));
		q = blkio_get_queue(b, 2);
		SHOW_REQUEST(blkioq_flush(q, NULL, 0));
		show("queue 3", blkio_get_queue(b, 3) != NULL);
		SHOW(blkio_remove_queue(b, 1));
		show("queue 2", blkio_get_queue(b, 2) != NULL);
	}
	if (target.kind != SERVER_DEVICE)
		add_and_remove();
}

/* ---- do_io -------------------------------------------------------------------------------- */

static struct blkioq *queue_with_reads(int nr)
{
	struct blkio *b;
	struct blkioq *q = device_queue(&b);
	char *buf = device_buffer(b, 4096);

	for (int i = 0; i < nr; i++)
		blkioq_read(q, 0, buf, 4096, buf + i, 0);
	return q;
}

static void try_counts(int outstanding, int min, int max, bool no_buffer)
{
	struct blkio_completion c[16];
	char step[64];

	snprintf(step, sizeof(step), "%d outstanding, min %d, max %d%s", outstanding, min, max,
		 no_buffer ? ", NULL" : "");
	STEP(step) {
		struct blkioq *q = queue_with_reads(outstanding);
		int n = blkioq_do_io(q, no_buffer ? NULL : c, min, max, NULL);

		/* with min < max it depends on the moment how many there are */
		show_text("ret", "%s", n >= min && n >= 0 ? "enough" : result_name(n));
		if (n < 0) /* nothing is lost */
			show("all of them", blkioq_do_io(q, c, outstanding, 16, NULL));
	}
}

static void counts(void)
{
	try_counts(0, 0, 0, true);
	try_counts(0, 0, 0, false);
	try_counts(0, 0, 4, false);
	try_counts(0, 0, 4, true);
	try_counts(0, 1, 1, false);
	try_counts(3, -1, 1, false);
	try_counts(3, 0, -1, false);
	try_counts(3, 2, 1, false);
	try_counts(3, 1, 1, true);
	try_counts(3, 0, 0, true);
	try_counts(3, 1, 4, false);
	try_counts(3, 3, 3, false);
	try_counts(3, 3, 16, false);
	try_counts(3, 4, 16, false);
	try_counts(3, INT32_MAX, INT32_MAX, false);
	try_counts(3, INT32_MIN, 16, false);
}

static void try_timeout(const char *step, long sec, long nsec, int outstanding)
{
	struct blkio_completion c[4];
	struct timespec t = { sec, nsec };

	STEP(step) {
		struct blkioq *q = queue_with_reads(outstanding);

		int n = blkioq_do_io(q, c, outstanding, 4, &t);

		show("ret", n);
		if (!t.tv_sec && !t.tv_nsec && (sec || nsec))
			show_text("timeout", "zero");
		else if (n > 0) /* libblkio 1.5 reduces it only if it had to wait */
			show_text("timeout", "left");
		else
			show_text("timeout", "%s",
				  t.tv_sec == sec && t.tv_nsec == nsec ? "untouched" : "reduced");
		show_text("message", "%s", *blkio_get_error_msg() ? "yes" : "none");
	}
}

static void completions(void)
{
	STEP("completion") {
		struct blkio_completion c;
		static const unsigned char zeroes[sizeof(c.reserved_)];
		struct blkioq *q = queue_with_reads(1);
		int mark;

		memset(&c, 0xff, sizeof(c));
		blkioq_flush(q, &mark, 0);
		show("first", blkioq_do_io(q, &c, 1, 1, NULL));
		show("reserved is zero", !memcmp(c.reserved_, zeroes, sizeof(zeroes)));
		show("error_msg", c.error_msg != NULL);
		show("second", blkioq_do_io(q, &c, 1, 1, NULL));
		show("none left", blkioq_do_io(q, &c, 0, 1, NULL));
	}
	STEP("error_msg of a request") {
		struct blkio_completion c;
		struct blkioq *q = queue_with_reads(0);

		blkioq_flush(q, &c, ~0u);
		show("n", blkioq_do_io(q, &c, 1, 1, NULL));
		show("ret", c.ret);
		show("error_msg", c.error_msg != NULL);
		show("user_data", c.user_data == &c);
	}
	STEP("more requests than fit the ring") {
		struct blkio_completion c[64];
		struct blkioq *q = queue_with_reads(1000);
		int n = 0;

		while (n < 1000) {
			int got = blkioq_do_io(q, c, 1, 64, NULL);

			if (got <= 0)
				break;
			n += got;
		}
		show("completions", n);
	}
	STEP("a thousand at once") {
		struct blkio_completion *c = calloc(1000, sizeof(*c));

		show("completions", blkioq_do_io(queue_with_reads(1000), c, 1000, 1000, NULL));
	}
}

void group_do_io(void)
{
	counts();
	try_timeout("timeout with nothing to wait for", 0, 0, 0);
	try_timeout("long timeout, nothing to wait for", 5, 0, 0);
	try_timeout("long timeout", 60, 0, 2);
	try_timeout("timeout tv_nsec -1", 0, -1, 2);
	try_timeout("timeout tv_nsec 1e9", 0, 1000000000, 2);
	try_timeout("timeout tv_sec -1", -1, 0, 2);
	try_timeout("timeout tv_sec -1, tv_nsec -1", -1, -1, 2);
	try_timeout("timeout of the end of time", INT64_MAX, 999999999, 2);
	completions();
	STEP("interruptible, no mask") {
		struct blkio_completion c;

		show("ret", blkioq_do_io_interruptible(queue_with_reads(1), &c, 1, 1, NULL, NULL));
	}
	STEP("interruptible, mask, nothing to wait for") {
		struct blkio_completion c;
		sigset_t mask;

		sigemptyset(&mask);
		show("ret", blkioq_do_io_interruptible(queue_with_reads(0), &c, 0, 1, NULL, &mask));
	}
	STEP("interruptible, mask") {
		struct blkio_completion c[4];
		sigset_t mask;

		sigemptyset(&mask);
		show("ret", blkioq_do_io_interruptible(queue_with_reads(4), c, 4, 4, NULL, &mask));
	}
}
