/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See net_link.h. */
#include "net/net_link.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "common/wait.h"

/* Release: whoever sees it sees what goes with it. */
static void set_state(struct net_link *l, enum net_link_state state)
{
	__atomic_store_n(&l->state, state, __ATOMIC_RELEASE);
}

/* ---- The thread --------------------------------------------------------------------------- */

static void tell(struct net_link *l, enum net_link_state state)
{
	pthread_mutex_lock(&l->lock);
	set_state(l, state);
	eventfd_write(l->wake_fd, 1);
	if (l->notifies)
		eventfd_write(l->q->completion_fd, 1);
	pthread_mutex_unlock(&l->lock);
}

static void give_up(struct net_link *l, int error, const char *why)
{
	l->error = error;
	l->why = why;
	tell(l, NET_LINK_OVER);
}

/* Returns whether the queue was told something. */
static bool try_once(struct net_link *l)
{
	struct blkio *b = l->q->b;
	struct bk_deadline by = bk_deadline(b);
	const char *changed = NULL;
	int ret;

	by.at = min_u64(by.at, comeback_attempt_end(&l->comeback));
	by.cancel_fd = l->watcher.wake_fd;
	ret = l->ops->connect(l, &by, &changed);
	bk_trace(reconnect, b, ret);
	bk_debug("instance %p: reconnecting to the %s: %s", (void *)b, l->ops->peer,
		 ret < 0 ? blkio_get_error_msg() : "done");
	if (changed) {
		bk_set_gone(b, changed);
		give_up(l, ENODEV, changed);
	} else if (!ret) {
		comeback_connected(&l->comeback);
		comeback_came(&l->comeback);
		tell(l, NET_LINK_BACK);
	}
	return changed || !ret;
}

static void reconnect(struct net_link *l)
{
	struct pollfd woken;
	int ms;

	if (l->ops->close_old)
		l->ops->close_old(l);
	comeback_lost(&l->comeback, l->progressed);
	do {
		ms = comeback_pause(&l->comeback);
		if (ms && !watcher_sleep(&l->watcher, &woken, 0, ms))
			return;
		if (comeback_is_late(&l->comeback)) {
			give_up(l, ENOTCONN,
				l->comeback.came_back ? l->ops->useless : l->ops->away);
			return;
		}
	} while (!try_once(l) && !watcher_ends(&l->watcher));
}

static void *run(void *arg)
{
	struct net_link *l = arg;
	struct pollfd woken;

	while (watcher_sleep(&l->watcher, &woken, 0, -1)) {
		if (net_link_state(l) == NET_LINK_DOWN)
			reconnect(l);
	}
	return NULL;
}

/* ---- The queue: beginning and end --------------------------------------------------------- */

int net_link_init(struct net_link *l, struct blkioq *q, const struct comeback *comeback,
		  const struct net_link_ops *ops)
{
	int ret;

	l->q = q;
	l->ops = ops;
	l->comeback = *comeback;
	if (!l->comeback.timeout_ms)
		return 0;
	comeback_connected(&l->comeback);
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->wake_fd < 0)
		return bk_err(errno, "cannot create queue %d: eventfd: %m", q->index);
	pthread_mutex_init(&l->lock, NULL);
	ret = watcher_start(&l->watcher, "connection", run, l);
	if (ret < 0)
		close(l->wake_fd);
	return ret;
}

void net_link_exit(struct net_link *l)
{
	if (!l->comeback.timeout_ms)
		return;
	watcher_stop(&l->watcher);
	close(l->wake_fd);
	pthread_mutex_destroy(&l->lock);
}

/* ---- The queue: away ---------------------------------------------------------------------- */

void net_link_down(struct net_link *l, unsigned finished)
{
	l->is_away = true;
	l->progressed = finished != l->finished;
	set_state(l, NET_LINK_DOWN);
	watcher_wake(&l->watcher);
}

void net_link_up(struct net_link *l, unsigned finished)
{
	l->is_away = false;
	l->finished = finished;
	set_state(l, NET_LINK_UP);
}

static bool is_told(const void *arg)
{
	return net_link_state(arg) != NET_LINK_DOWN;
}

static int sleep_until_told(struct net_link *l, const struct bk_wait *w)
{
	eventfd_t count;
	int ret;

	if (is_told(l))
		return 0;
	if (l->q->is_poll)
		return wait_spin(is_told, l, w);
	ret = wait_readable(l->wake_fd, w);
	if (!ret)
		eventfd_read(l->wake_fd, &count);
	return ret;
}

int net_link_wait(struct net_link *l, bool wait, const struct bk_wait *w)
{
	int ret = wait ? sleep_until_told(l, w) : 0;

	if (net_link_state(l) == NET_LINK_BACK)
		l->ops->go_on(l);
	else if (net_link_state(l) == NET_LINK_OVER)
		net_link_fail(l, l->error, l->why);
	return ret;
}

void net_link_fail(struct net_link *l, int error, const char *why)
{
	l->is_away = false;
	l->ops->fail(l, error, why);
}

void net_link_end(struct net_link *l)
{
	l->ends = true;
	if (l->is_away)
		net_link_fail(l, 0, NULL);
}

static void notify(struct net_link *l, bool on)
{
	pthread_mutex_lock(&l->lock);
	l->notifies = on;
	/* Of what was told before. */
	if (on && l->is_away && net_link_state(l) != NET_LINK_DOWN)
		eventfd_write(l->q->completion_fd, 1);
	pthread_mutex_unlock(&l->lock);
}

void net_link_notify(struct net_link *l, bool on)
{
	eventfd_t events;

	if (l->comeback.timeout_ms)
		notify(l, on);
	if (!on)
		eventfd_read(l->q->completion_fd, &events);
}
