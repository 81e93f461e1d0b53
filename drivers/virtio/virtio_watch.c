/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The watching thread of a started device. An application that sleeps on completion fds cannot
 * notice that the device has gone: this thread does, and wakes every queue. It sleeps otherwise.
 */
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio/virtio_blk.h"

static void *watch(void *arg)
{
	struct virtio_blk *v = arg;
	struct pollfd fds[VIRTIO_WATCHED_MAX + 1];
	unsigned n = v->nr_watched;

	memcpy(fds, v->watched, sizeof(v->watched));
	fds[n] = (struct pollfd){ .fd = v->watch_stop_fd, .events = POLLIN };
	for (;;) {
		if (poll(fds, n + 1, -1) < 0)
			continue; /* EINTR of a debugger: all signals are blocked */
		if (fds[n].revents)
			return NULL;
		for (unsigned i = 0; i < n; i++) {
			const char *failure = NULL;

			if (fds[i].revents)
				failure = v->transport->event(v, i, fds[i].revents);
			if (failure) {
				virtio_fail(v, failure);
				return NULL;
			}
		}
	}
}

int virtio_watch_start(struct virtio_blk *v)
{
	sigset_t all, before;
	int ret;

	v->watch_stop_fd = eventfd(0, EFD_CLOEXEC);
	if (v->watch_stop_fd < 0)
		return bk_err(errno, "cannot watch the device: eventfd: %m");
	/* Signals are for the application's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&v->watcher, NULL, watch, v);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret) {
		close(v->watch_stop_fd);
		v->watch_stop_fd = -1;
		return bk_err(ret, "cannot watch the device: pthread_create: %s", strerror(ret));
	}
	v->is_watching = true;
	return 0;
}

void virtio_watch_stop(struct virtio_blk *v)
{
	if (!v->is_watching)
		return;
	eventfd_write(v->watch_stop_fd, 1);
	pthread_join(v->watcher, NULL);
	close(v->watch_stop_fd);
	v->watch_stop_fd = -1;
	v->is_watching = false;
}
