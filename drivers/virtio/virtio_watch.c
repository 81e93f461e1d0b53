/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The watching thread of a started device. An application that sleeps on completion fds cannot
 * notice that the device has gone: this thread does, and wakes every queue. It also does for queues
 * what may take long. It sleeps otherwise.
 */
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio/virtio_blk.h"

static bool ends(const struct virtio_blk *v)
{
	return __atomic_load_n(&v->watch_ends, __ATOMIC_ACQUIRE);
}

/* What events have to say; NULL: go on. */
static const char *handle_events(struct virtio_blk *v, const struct pollfd *fds, unsigned n)
{
	const char *failure = NULL;

	for (unsigned i = 0; i < n && !failure; i++) {
		if (fds[i].revents)
			failure = v->transport->event(v, i, fds[i].revents);
	}
	return failure;
}

static void *watch(void *arg)
{
	struct virtio_blk *v = arg;
	struct pollfd fds[VIRTIO_WATCHED_MAX + 1];

	for (;;) {
		unsigned n = v->nr_watched;
		const char *failure;
		eventfd_t count;

		memcpy(fds, v->watched, sizeof(v->watched));
		fds[n] = (struct pollfd){ .fd = v->watch_fd, .events = POLLIN };
		if (poll(fds, n + 1, -1) < 0)
			continue; /* EINTR of a debugger: all signals are blocked */
		if (ends(v))
			return NULL;
		failure = handle_events(v, fds, n);
		if (failure)
			virtio_fail(v, failure);
		if (virtio_failure(v))
			return NULL;
		if (fds[n].revents) {
			eventfd_read(v->watch_fd, &count);
			v->transport->attend(v);
		}
	}
}

bool virtio_is_watched(const struct virtio_blk *v)
{
	return __atomic_load_n(&v->is_watching, __ATOMIC_RELAXED);
}

void virtio_ask_watcher(struct virtio_blk *v)
{
	eventfd_write(v->watch_fd, 1);
}

bool virtio_await_watcher(struct virtio_blk *v, const bool *pending, int ms)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += ms * 1000000L;
	end.tv_sec += end.tv_nsec / NSEC_PER_SEC;
	end.tv_nsec %= NSEC_PER_SEC;
	while (*pending && !v->failure) {
		if (pthread_cond_clockwait(&v->watcher_did, &v->wake_lock, CLOCK_MONOTONIC, &end))
			break;
	}
	return !*pending;
}

bool virtio_watch_pause(struct virtio_blk *v, int ms)
{
	struct pollfd p = { .fd = v->watch_fd, .events = POLLIN };
	eventfd_t count;

	if (poll(&p, 1, ms) > 0)
		eventfd_read(v->watch_fd, &count); /* all queues are attended to afterwards */
	return !ends(v);
}

int virtio_watch_start(struct virtio_blk *v)
{
	sigset_t all, before;
	int ret;

	v->watch_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (v->watch_fd < 0)
		return bk_err(errno, "cannot watch the device: eventfd: %m");
	/* Signals are for the application's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&v->watcher, NULL, watch, v);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret) {
		close(v->watch_fd);
		v->watch_fd = -1;
		return bk_err(ret, "cannot watch the device: pthread_create: %s", strerror(ret));
	}
	__atomic_store_n(&v->is_watching, true, __ATOMIC_RELAXED);
	return 0;
}

void virtio_watch_stop(struct virtio_blk *v)
{
	if (!v->is_watching)
		return;
	__atomic_store_n(&v->watch_ends, true, __ATOMIC_RELEASE);
	eventfd_write(v->watch_fd, 1);
	pthread_join(v->watcher, NULL);
	close(v->watch_fd);
	v->watch_fd = -1;
	v->is_watching = false;
	v->watch_ends = false;
}
