/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A device that can no longer be used, or that went and may return: each queue learns of it, also
 * one whose thread sleeps. And the thread that notices, and that does slow work for queues.
 */
#include <sys/eventfd.h>

#include "virtio/virtio_blk.h"

/* ---- Failure ------------------------------------------------------------------------------ */

int virtio_check_alive(const struct virtio_blk *v)
{
	const char *failure = virtio_failure(v);

	return failure ? bk_err(v->failure_errno, "the device can no longer be used: %s", failure)
		       : 0;
}

/* With wake_lock held. */
static void begin_epoch(struct virtio_blk *v)
{
	/* Release: whoever sees it sees what has changed. */
	__atomic_store_n(&v->epoch, v->epoch + 1, __ATOMIC_RELEASE);
}

static void wake(struct virtio_blk *v)
{
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		if (v->queues[i])
			eventfd_write(v->queues[i]->vring.call_fd, 1);
	}
}

static void tell_guests(struct virtio_blk *v)
{
	for (int i = 0; v->guests && i < v->b.num_vrings; i++) {
		if (v->guests[i].runs && v->guests[i].err_fd >= 0)
			eventfd_write(v->guests[i].err_fd, 1);
	}
}

void virtio_fail_as(struct virtio_blk *v, int errnum, const char *msg)
{
	pthread_mutex_lock(&v->wake_lock);
	if (!v->failure) {
		bk_debug("instance %p: the device can no longer be used: %s", (void *)&v->b, msg);
		bk_trace(fail, &v->b, errnum, msg);
		v->transport->abandon(v);
		v->failure_errno = errnum;
		/* Release: whoever sees it sees the device abandoned. */
		__atomic_store_n(&v->failure, msg, __ATOMIC_RELEASE);
		begin_epoch(v);
		wake(v);
		tell_guests(v);
		pthread_cond_broadcast(&v->watcher_did);
	}
	pthread_mutex_unlock(&v->wake_lock);
}

void virtio_fail(struct virtio_blk *v, const char *msg)
{
	virtio_fail_as(v, EIO, msg);
}

static void lose(struct virtio_blk *v, bool rings)
{
	pthread_mutex_lock(&v->wake_lock);
	__atomic_store_n(&v->ring_epoch, v->ring_epoch + rings, __ATOMIC_RELEASE);
	v->losses++;
	begin_epoch(v);
	wake(v);
	pthread_mutex_unlock(&v->wake_lock);
}

void virtio_lose_rings(struct virtio_blk *v)
{
	lose(v, true);
}

void virtio_lose_device(struct virtio_blk *v)
{
	lose(v, false);
}

void virtio_set_held(struct virtio_blk *v, bool held)
{
	pthread_mutex_lock(&v->wake_lock);
	v->held = held;
	if (held) {
		begin_epoch(v);
		wake(v);
	}
	pthread_mutex_unlock(&v->wake_lock);
}

/* ---- The watching thread ------------------------------------------------------------------ */

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

		memcpy(fds, v->watched, sizeof(v->watched));
		if (!watcher_sleep(&v->watcher, fds, n, -1))
			return NULL;
		failure = handle_events(v, fds, n);
		if (failure)
			virtio_fail(v, failure);
		if (virtio_failure(v))
			return NULL;
		if (fds[n].revents)
			v->transport->update_queues(v);
	}
}

bool virtio_await_watcher(struct virtio_blk *v, const bool *pending, int ms)
{
	const struct timespec end = to_timespec(deadline_in(ms * 1000000LL));

	while (*pending && !v->failure) {
		if (pthread_cond_clockwait(&v->watcher_did, &v->wake_lock, CLOCK_MONOTONIC, &end))
			break;
	}
	return !*pending;
}

bool virtio_watch_pause(struct virtio_blk *v, int ms)
{
	int64_t left, end = deadline_in(ms * 1000000LL);
	struct pollfd woken; /* all queues are attended to afterwards */

	while (!watcher_ends(&v->watcher) && !virtio_failure(v)) {
		left = end - now_ns();
		if (left <= 0)
			return true;
		watcher_sleep(&v->watcher, &woken, 0, (int)(left / 1000000 + 1));
	}
	return !watcher_ends(&v->watcher);
}

int virtio_watch_start(struct virtio_blk *v)
{
	return watcher_start(&v->watcher, "device", watch, v);
}
