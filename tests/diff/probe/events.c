/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The completion fd; waiting for a server that does not answer for a while, or never again. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "probe.h"

static bool is_readable(int fd, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, ms) == 1;
}

static void show_event(const char *what, int fd)
{
	uint64_t count = 0;

	if (!is_readable(fd, 2000))
		show_text(what, "none");
	else
		show_text(what, "%s",
			  read(fd, &count, sizeof(count)) == 8 && count ? "yes" : "empty");
}

static void submit_flush(struct blkioq *q)
{
	blkioq_flush(q, NULL, 0);
	blkioq_do_io(q, NULL, 0, 0, NULL);
}

/* Without waiting, until there is something, or for 2 seconds. */
static int collect_soon(struct blkioq *q, struct blkio_completion *c)
{
	int ret = 0;

	for (int i = 0; i < 40 && !ret; i++) {
		usleep(50000);
		ret = blkioq_do_io(q, c, 0, 1, NULL);
	}
	return ret;
}

void group_events(void)
{
	STEP("the descriptor") {
		struct blkio *b;
		struct blkioq *q = device_queue(&b);
		int fd = blkioq_get_completion_fd(q);

		show("non-blocking", (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
		show("close-on-exec", (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
		show("the same twice", blkioq_get_completion_fd(q) == fd);
		show("readable at first", is_readable(fd, 0));
	}
	STEP("one event, then silence") {
		struct blkio *b;
		struct blkioq *q = device_queue(&b);
		struct blkio_completion c;
		int fd = blkioq_get_completion_fd(q);

		blkioq_set_completion_fd_enabled(q, true);
		show("enabled, readable", is_readable(fd, 0));
		submit_flush(q);
		show_event("event", fd);
		show("do_io", blkioq_do_io(q, &c, 0, 1, NULL));
		show("readable again", is_readable(fd, 50));
		submit_flush(q);
		show_event("second event", fd);
	}
	STEP("enabled after the submission") {
		struct blkio *b;
		struct blkioq *q = device_queue(&b);
		struct blkio_completion c;

		blkioq_set_completion_fd_enabled(q, false);
		submit_flush(q);
		usleep(50000);
		blkioq_set_completion_fd_enabled(q, true);
		show("do_io", collect_soon(q, &c));
	}
	STEP("queued only, not submitted") {
		struct blkio *b;
		struct blkioq *q = device_queue(&b);
		int fd = blkioq_get_completion_fd(q);

		blkioq_set_completion_fd_enabled(q, true);
		blkioq_flush(q, NULL, 0);
		show("readable", is_readable(fd, 50));
	}
	STEP("an invalid request") {
		struct blkio *b;
		struct blkioq *q = device_queue(&b);
		int fd = blkioq_get_completion_fd(q);
		struct blkio_completion c;

		blkioq_set_completion_fd_enabled(q, true);
		blkioq_flush(q, NULL, 8);
		show("do_io of none", blkioq_do_io(q, NULL, 0, 0, NULL));
		show_event("event", fd);
		show("do_io", blkioq_do_io(q, &c, 1, 1, NULL));
		show("ret", c.ret);
	}
	STEP("more completions than were fetched") {
		struct blkio *b;
		struct blkioq *q = device_queue(&b);
		int fd = blkioq_get_completion_fd(q);
		struct blkio_completion c;

		blkioq_set_completion_fd_enabled(q, true);
		for (int i = 0; i < 3; i++) {
			submit_flush(q);
			usleep(300000); /* it completes, even on a slow disk */
		}
		for (int i = 0; i < 3; i++) {
			show_event("event", fd);
			show("do_io", blkioq_do_io(q, &c, 0, 1, NULL));
		}
	}
}

/* ---- A server that is stopped ------------------------------------------------------------- */

static struct blkioq *stalled_queue(struct blkio **bp, int nr)
{
	struct blkioq *q = device_queue(bp);
	char *buf = device_buffer(*bp, 4096);

	kill(target.server, SIGSTOP);
	usleep(20000);
	for (int i = 0; i < nr; i++)
		blkioq_read(q, 0, buf, 4096, NULL, 0);
	return q;
}

static void on_signal(int sig)
{
	(void)sig;
}

static void *signal_soon(void *thread)
{
	for (int i = 0; i < 20; i++) { /* one may come before the wait */
		usleep(50000);
		pthread_kill(*(pthread_t *)thread, SIGUSR1);
	}
	return NULL;
}

static void try_interrupt(const char *step, bool interruptible, bool with_mask, bool restart)
{
	STEP(step) {
		struct sigaction action = { .sa_handler = on_signal,
					    .sa_flags = restart ? SA_RESTART : 0 };
		struct timespec t = { 2, 0 };
		struct blkio_completion c;
		pthread_t self = pthread_self(), thread;
		struct blkio *b;
		struct blkioq *q = stalled_queue(&b, 1);
		sigset_t mask;
		int ret;

		sigaction(SIGUSR1, &action, NULL);
		sigemptyset(&mask);
		sigaddset(&mask, SIGUSR1);
		if (with_mask) /* only the wait lets it through */
			pthread_sigmask(SIG_BLOCK, &mask, NULL);
		sigemptyset(&mask);
		pthread_create(&thread, NULL, signal_soon, &self);
		ret = interruptible
			  ? blkioq_do_io_interruptible(q, &c, 1, 1, &t, with_mask ? &mask : NULL)
			  : blkioq_do_io(q, &c, 1, 1, &t);
		show("ret", ret);
		show_text("timeout", "%s", t.tv_sec || t.tv_nsec ? "some left" : "none left");
		kill(target.server, SIGCONT);
		show("afterwards", blkioq_do_io(q, &c, 1, 1, NULL));
	}
}

void group_stalled(void)
{
	if (!target.server)
		return;
	STEP("timeout") {
		struct timespec t = { 0, 100000000 };
		struct blkio_completion c;
		struct blkio *b;
		struct blkioq *q = stalled_queue(&b, 2);

		show("ret", blkioq_do_io(q, &c, 1, 1, &t));
		show("left", t.tv_sec || t.tv_nsec);
		show("zero timeout", blkioq_do_io(q, &c, 1, 1, &t));
		show("no wait", blkioq_do_io(q, &c, 0, 1, NULL));
		kill(target.server, SIGCONT);
		show("afterwards", blkioq_do_io(q, &c, 1, 1, NULL));
		show("the other", blkioq_do_io(q, &c, 1, 1, NULL));
	}
	STEP("enabling the completion fd covers what is in flight") {
		struct blkio *b;
		struct blkioq *q = device_queue(&b);
		int fd = blkioq_get_completion_fd(q);

		/* with 1.5 it is not silent at first */
		blkioq_set_completion_fd_enabled(q, true);
		blkioq_set_completion_fd_enabled(q, false);
		is_readable(fd, 50);
		eventfd_read(fd, &(eventfd_t){ 0 });
		kill(target.server, SIGSTOP);
		usleep(20000);
		submit_flush(q);
		blkioq_set_completion_fd_enabled(q, true);
		show("readable", is_readable(fd, 50));
		kill(target.server, SIGCONT);
		show_event("event", fd);
	}
	try_interrupt("signal", false, false, false);
	try_interrupt("signal, interruptible", true, false, false);
	try_interrupt("signal, interruptible, restarting handler", true, false, true);
	try_interrupt("signal, interruptible, mask", true, true, false);
}
