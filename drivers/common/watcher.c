/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See watcher.h. */
#include "common/watcher.h"

#include <sys/eventfd.h>
#include <unistd.h>

int watcher_start(struct watcher *w, const char *what, void *(*run)(void *arg), void *arg)
{
	int ret;

	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->wake_fd < 0)
		return bk_err(errno, "cannot watch the %s: eventfd: %m", what);
	ret = bk_thread_create(&w->thread, run, arg);
	if (ret) {
		close(w->wake_fd);
		return bk_err(ret, "cannot watch the %s: pthread_create: %s", what, strerror(ret));
	}
	__atomic_store_n(&w->runs, true, __ATOMIC_RELAXED);
	return 0;
}

void watcher_stop(struct watcher *w)
{
	if (!w->runs)
		return;
	__atomic_store_n(&w->ends, true, __ATOMIC_RELEASE);
	watcher_wake(w);
	pthread_join(w->thread, NULL);
	close(w->wake_fd);
	*w = (struct watcher){ 0 };
}

void watcher_wake(struct watcher *w)
{
	eventfd_write(w->wake_fd, 1);
}

bool watcher_sleep(struct watcher *w, struct pollfd *fds, unsigned n, int ms)
{
	eventfd_t count;

	/* Another sleep may have taken the waking. */
	if (watcher_ends(w))
		return false;
	fds[n] = (struct pollfd){ .fd = w->wake_fd, .events = POLLIN };
	if (poll(fds, n + 1, ms) < 0) { /* EINTR of a debugger */
		for (unsigned i = 0; i <= n; i++)
			fds[i].revents = 0;
	}
	if (fds[n].revents)
		eventfd_read(w->wake_fd, &count);
	return !watcher_ends(w);
}
