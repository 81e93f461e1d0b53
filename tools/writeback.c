/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See writeback.h. A thread of its own waits for the disk, so that reading goes on meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "tool.h"
#include "writeback.h"

#define WINDOW (4 << 20)

/* The kernel reports an error once per descriptor: a later flush would not see this one. */
static int sync_window(int fd, const struct writeback_window *w)
{
	static const unsigned flags =
	    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

	if (!sync_file_range(fd, (off_t)w->start, (off_t)(w->end - w->start), flags))
		return 0;
	/* Other errors mean that the file does not support it. */
	return errno == EIO || errno == ENOSPC || errno == EDQUOT ? -errno : 0;
}

static void *work(void *arg)
{
	struct writeback *w = arg;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct writeback_window window = w->windows[0];
		int error;

		if (!w->nr && w->end)
			break;
		if (!w->nr) {
			pthread_cond_wait(&w->changed, &w->lock);
			continue;
		}
		pthread_mutex_unlock(&w->lock);
		error = sync_window(w->fd, &window);
		pthread_mutex_lock(&w->lock);
		if (error && !w->error) {
			w->error = error;
			w->failed = window;
		}
		memmove(w->windows, w->windows + 1, --w->nr * sizeof(*w->windows));
		pthread_cond_broadcast(&w->changed);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

void writeback_start(struct writeback *w, int fd)
{
	int error;

	*w = (struct writeback){ .fd = fd, .now.start = UINT64_MAX };
	if (fd < 0)
		return;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	error = tool_thread(&w->thread, work, w);
	if (error)
		tool_die("cannot start a thread: %s", strerror(error));
}

static void hand_over(struct writeback *w)
{
	w->windows[w->nr++] = w->now;
	w->now = (struct writeback_window){ .start = UINT64_MAX };
	w->bytes = 0;
	pthread_cond_broadcast(&w->changed);
}

int writeback_written(struct writeback *w, uint64_t start, uint64_t len)
{
	struct writeback_window *now = &w->now;
	int error;

	if (w->fd < 0)
		return 0;
	pthread_mutex_lock(&w->lock);
	w->bytes += len;
	now->start = start < now->start ? start : now->start;
	now->end = start + len > now->end ? start + len : now->end;
	/* Another thread that waits here may hand these bytes over as well. */
	while (w->bytes >= WINDOW && w->nr == WRITEBACK_WINDOWS)
		pthread_cond_wait(&w->changed, &w->lock);
	if (w->bytes >= WINDOW)
		hand_over(w);
	error = w->error;
	pthread_mutex_unlock(&w->lock);
	return error;
}

int writeback_end(struct writeback *w)
{
	if (w->fd < 0)
		return 0;
	pthread_mutex_lock(&w->lock);
	w->end = true;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	return w->error;
}
