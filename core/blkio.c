/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Lifecycle of instances and their queues. Runs on control paths only. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core.h"

#define BOUNCE_BUFFER_SIZE_DEFAULT (128 << 10)

int blkio_create(const char *driver, struct blkio **bp)
{
	const struct bk_driver *drv;
	struct blkio *b;
	int ret;

	if (!bp)
		return bk_err(EINVAL, "bp must not be NULL");
	*bp = NULL;
	if (!driver)
		return bk_err(EINVAL, "driver name must not be NULL");
	if (!bk_is_utf8(driver))
		return bk_err(EINVAL, "driver name is not valid UTF-8");

	drv = bk_find_driver(driver);
	if (!drv)
		return bk_err(ENOENT, "unknown driver \"%s\"", driver);

	b = calloc(1, drv->device_size);
	if (!b)
		return bk_err(ENOMEM, "out of memory");
	b->drv = drv;
	pthread_mutex_init(&b->core.gone_lock, NULL);
	b->num_queues = 1;
	b->bounce_buffer_size = BOUNCE_BUFFER_SIZE_DEFAULT;
	ret = bk_control_init(b);
	if (ret < 0)
		goto free_instance;
	ret = bk_mem_init(b);
	if (ret < 0)
		goto exit_control;
	if (drv->init)
		drv->init(b);
	bk_debug("instance %p: created, driver %s", (void *)b, driver);
	*bp = b;
	return 0;

exit_control:
	bk_control_exit(b);
free_instance:
	pthread_mutex_destroy(&b->core.gone_lock);
	free(b);
	return ret;
}

/* What opening for writing fails with where opening for reading may not. */
static bool may_be_read_only(int error)
{
	return error == -EROFS || error == -EACCES || error == -EPERM;
}

/* A driver that fails gives back what it got hold of. What it noted meanwhile is undone here. */
static int try_connect(struct blkio *b)
{
	size_t size = b->drv->device_size;
	struct blkio *before = malloc(size);
	int ret;

	if (!before)
		return bk_err(ENOMEM, "out of memory");
	memcpy(before, b, size);
	bk_debug("instance %p: connect", (void *)b);
	ret = b->drv->connect(b);
	if (ret < 0) /* all but control */
		memcpy(&b->drv, &before->drv, size - offsetof(struct blkio, drv));
	free(before);
	return ret;
}

static int connect_device(struct blkio *b)
{
	int ret = try_connect(b);

	if (!b->auto_read_only || b->read_only)
		return ret;
	if (may_be_read_only(ret)) {
		b->read_only = true;
		ret = try_connect(b);
		b->read_only = !ret;
	} else if (!ret) {
		b->read_only = b->lim.read_only;
	}
	return ret;
}

static int connect_call(struct blkio *b, const union bk_call_args *args)
{
	int ret;

	(void)args;
	if (b->state == BK_STARTED)
		return bk_err(EBUSY, "cannot connect: the instance is already started");
	if (b->state == BK_CONNECTED)
		return 0;

	ret = connect_device(b);
	if (ret < 0)
		return ret;
	b->state = BK_CONNECTED;
	return 0;
}

int blkio_connect(struct blkio *b)
{
	return bk_control_call(b, connect_call, NULL);
}

int blkio_connect_async(struct blkio *b)
{
	return bk_control_start(b, connect_call, NULL);
}

/* ---- Queue tables ------------------------------------------------------------------------- */

static struct blkioq *table_get(const struct bk_queue_table *t, int index)
{
	return index >= 0 && index < t->n ? t->q[index] : NULL;
}

static int table_count(const struct bk_queue_table *t)
{
	int count = 0;

	for (int i = 0; i < t->n; i++)
		count += t->q[i] != NULL;
	return count;
}

/* Creates a queue at the lowest free index, which it returns. */
static int table_add(struct blkio *b, struct bk_queue_table *t)
{
	int index = 0;
	int ret;

	while (index < t->n && t->q[index])
		index++;
	if (index == t->n) {
		struct blkioq **bigger = reallocarray(t->q, t->n + 1, sizeof(*t->q));

		if (!bigger)
			return bk_err(ENOMEM, "out of memory");
		t->q = bigger;
		t->q[t->n++] = NULL;
	}

	ret = bk_queue_new(b, index, t == &b->core.poll_queues, &t->q[index]);
	return ret < 0 ? ret : index;
}

static void table_remove(struct bk_queue_table *t, int index)
{
	bk_queue_free(t->q[index]);
	t->q[index] = NULL;
}

static void table_free(struct bk_queue_table *t)
{
	for (int i = 0; i < t->n; i++) {
		if (t->q[i])
			table_remove(t, i);
	}
	free(t->q);
	*t = (struct bk_queue_table){ 0 };
}

/* ---- Start and destroy -------------------------------------------------------------------- */

static int check_queue_counts(const struct blkio *b)
{
	int64_t total = (int64_t)b->num_queues + b->num_poll_queues;

	if (!total && !b->drv->can_add_queues)
		return bk_err(EINVAL,
			      "driver %s needs at least one queue: set num-queues or "
			      "num-poll-queues",
			      b->drv->name);
	if (b->num_poll_queues && !b->lim.supports_poll_queues)
		return bk_err(EINVAL,
			      "num-poll-queues is %d but this device does not support poll "
			      "queues",
			      b->num_poll_queues);
	if (total > b->lim.max_queues)
		return bk_err(EINVAL, "num-queues + num-poll-queues is %lld but max-queues is %d",
			      (long long)total, b->lim.max_queues);
	return 0;
}

static void undo_start(struct blkio *b)
{
	const struct bk_err_msg why = bk_err_save();

	bk_end_all(b);
	table_free(&b->core.queues);
	table_free(&b->core.poll_queues);
	bk_own_stop(b);
	bk_end_undo(b);
	bk_err_restore(&why);
}

static int start_device(struct blkio *b)
{
	int ret;

	bk_debug("instance %p: start, %d queues, %d poll queues", (void *)b, b->num_queues,
		 b->num_poll_queues);
	ret = bk_own_prepare(b);

	if (!ret && b->drv->start)
		ret = b->drv->start(b);
	if (!ret)
		ret = bk_own_start(b);
	for (int i = 0; i < b->num_queues && ret >= 0; i++)
		ret = table_add(b, &b->core.queues);
	for (int i = 0; i < b->num_poll_queues && ret >= 0; i++)
		ret = table_add(b, &b->core.poll_queues);
	if (ret >= 0 && b->drv->run)
		ret = b->drv->run(b);
	if (ret < 0)
		undo_start(b);
	return ret < 0 ? ret : 0;
}

static int start_call(struct blkio *b, const union bk_call_args *args)
{
	struct bk_limits before;
	int ret;

	(void)args;
	if (b->state == BK_STARTED)
		return 0;
	if (b->state == BK_CREATED)
		return bk_err(ENODEV, "cannot start: the instance is not connected yet");

	ret = check_queue_counts(b);
	if (ret < 0)
		return ret;
	before = b->lim;
	ret = start_device(b);
	if (ret < 0) {
		b->lim = before;
		return ret;
	}
	b->state = BK_STARTED;
	return 0;
}

int blkio_start(struct blkio *b)
{
	return bk_control_call(b, start_call, NULL);
}

int blkio_start_async(struct blkio *b)
{
	return bk_control_start(b, start_call, NULL);
}

void blkio_destroy(struct blkio **bp)
{
	struct blkio *b;

	if (!bp || !*bp)
		return;
	b = *bp;
	*bp = NULL;
	bk_debug("instance %p: destroy", (void *)b);
	blkio_cancel(b);
	bk_control_settle(b);
	bk_end_all(b);
	table_free(&b->core.queues);
	table_free(&b->core.poll_queues);
	bk_own_stop(b);
	bk_mem_exit(b);
	if (b->drv->close)
		b->drv->close(b);
	bk_free_props(b);
	bk_control_exit(b);
	if (b->stuck) {
		bk_keep(&b->core.kept);
		return;
	}
	pthread_mutex_destroy(&b->core.gone_lock);
	free(b);
}

struct destruction {
	struct blkio *b;
	int fd; /* the other end of the caller's socket, which its end makes readable */
};

static void *destroy(void *arg)
{
	struct destruction *d = arg;
	int fd = d->fd;

	blkio_destroy(&d->b);
	free(d);
	shutdown(fd, SHUT_RDWR); /* a child process may have the descriptor, too */
	close(fd);
	return NULL;
}

/* Returns the caller's descriptor. */
static int start_destroying(struct destruction *d)
{
	pthread_t thread;
	int pair[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return bk_err(errno, "cannot report the end: socketpair: %m");
	d->fd = pair[1];
	err = bk_thread_create(&thread, destroy, d);
	if (!err) {
		pthread_detach(thread);
		return pair[0];
	}
	close(pair[0]);
	close(pair[1]);
	return bk_err(err, "cannot start a thread for the end: %s", strerror(err));
}

int blkio_destroy_async(struct blkio **bp, int *fd)
{
	struct destruction *d;
	int ret;

	if (!bp || !*bp || !fd)
		return bk_err(EINVAL, "%s must not be NULL", !fd ? "fd" : bp ? "*bp" : "bp");
	d = calloc(1, sizeof(*d));
	if (!d)
		return bk_err(ENOMEM, "out of memory");
	d->b = *bp;
	ret = start_destroying(d);
	if (ret < 0) {
		free(d);
		return ret;
	}
	*bp = NULL;
	*fd = ret;
	return 0;
}

/* ---- Queues ------------------------------------------------------------------------------- */

static int add_call(struct blkio *b, const union bk_call_args *args)
{
	struct bk_queue_table *t = args->queue.table;

	if (t == &b->core.poll_queues && b->state == BK_STARTED && !b->lim.supports_poll_queues)
		return bk_err(ENOTSUP, "this device does not support poll queues");
	if (!b->drv->can_add_queues)
		return bk_err(ENOTSUP,
			      "driver %s cannot add queues after start; set num-queues "
			      "before it",
			      b->drv->name);
	if (b->state != BK_STARTED)
		return bk_err(EBUSY, "cannot add a queue: the instance is not started");
	if (b->ending)
		return bk_err(ECANCELED, "cannot add a queue: the instance has been drained");
	if (table_count(&b->core.queues) + table_count(&b->core.poll_queues) >= b->lim.max_queues)
		return bk_err(ENOSPC, "cannot add a queue: max-queues is %d", b->lim.max_queues);
	return table_add(b, t);
}

/* What table_add() and others need; b may be NULL, as bk_control_call() says. */
static union bk_call_args queue_args(struct blkio *b, bool poll, int index)
{
	struct bk_queue_table *t = b ? (poll ? &b->core.poll_queues : &b->core.queues) : NULL;

	return (union bk_call_args){ .queue = { t, index } };
}

int blkio_add_queue(struct blkio *b)
{
	const union bk_call_args args = queue_args(b, false, 0);

	return bk_control_call(b, add_call, &args);
}

int blkio_add_poll_queue(struct blkio *b)
{
	const union bk_call_args args = queue_args(b, true, 0);

	return bk_control_call(b, add_call, &args);
}

static int remove_call(struct blkio *b, const union bk_call_args *args)
{
	struct bk_queue_table *t = args->queue.table;
	int ret;

	if (!table_get(t, args->queue.index))
		return bk_err(ENOENT, "no %s has index %d",
			      t == &b->core.poll_queues ? "poll queue" : "queue",
			      args->queue.index);
	ret = bk_end_queue(t->q[args->queue.index]);
	if (ret < 0)
		return ret;
	bk_control_restart(b);
	table_remove(t, args->queue.index);
	return 0;
}

/*
 * Queues come and go on the thread of the call, and a connect() that fails puts all fields back:
 * nobody may look at the tables meanwhile.
 */
static bool tables_change(const struct blkio *b)
{
	bk_call *call = bk_control_running(b);

	return call == connect_call || call == start_call || call == add_call ||
	       call == remove_call;
}

struct blkioq *blkio_get_queue(struct blkio *b, int index)
{
	return b && !tables_change(b) ? table_get(&b->core.queues, index) : NULL;
}

struct blkioq *blkio_get_poll_queue(struct blkio *b, int index)
{
	return b && !tables_change(b) ? table_get(&b->core.poll_queues, index) : NULL;
}

int blkio_remove_queue(struct blkio *b, int index)
{
	const union bk_call_args args = queue_args(b, false, index);

	return bk_control_call(b, remove_call, &args);
}

int blkio_remove_poll_queue(struct blkio *b, int index)
{
	const union bk_call_args args = queue_args(b, true, index);

	return bk_control_call(b, remove_call, &args);
}

int blkio_add_queue_async(struct blkio *b)
{
	const union bk_call_args args = queue_args(b, false, 0);

	return bk_control_start(b, add_call, &args);
}

int blkio_add_poll_queue_async(struct blkio *b)
{
	const union bk_call_args args = queue_args(b, true, 0);

	return bk_control_start(b, add_call, &args);
}

int blkio_remove_queue_async(struct blkio *b, int index)
{
	const union bk_call_args args = queue_args(b, false, index);

	return bk_control_start(b, remove_call, &args);
}

int blkio_remove_poll_queue_async(struct blkio *b, int index)
{
	const union bk_call_args args = queue_args(b, true, index);

	return bk_control_start(b, remove_call, &args);
}
