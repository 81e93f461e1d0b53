/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Lifecycle of instances and their queues. Runs on control paths only. */
#include <stdlib.h>

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
	b->num_queues = 1;
	b->bounce_buffer_size = BOUNCE_BUFFER_SIZE_DEFAULT;
	ret = bk_mem_init(b);
	if (ret < 0) {
		free(b);
		return ret;
	}
	if (drv->init)
		drv->init(b);
	*bp = b;
	return 0;
}

/* What opening for writing fails with where opening for reading may not. */
static bool may_be_read_only(int error)
{
	return error == -EROFS || error == -EACCES || error == -EPERM || error == -EBADF;
}

static int connect_device(struct blkio *b)
{
	int ret = b->drv->connect(b);

	if (!b->auto_read_only || b->read_only)
		return ret;
	if (may_be_read_only(ret)) {
		b->read_only = true;
		ret = b->drv->connect(b);
		b->read_only = !ret;
	} else if (!ret) {
		b->read_only = b->lim.read_only;
	}
	return ret;
}

int blkio_connect(struct blkio *b)
{
	int ret;

	if (!b)
		return bk_err(EINVAL, "b must not be NULL");
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

	ret = bk_queue_new(b, index, t == &b->poll_queues, &t->q[index]);
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

static int create_queues(struct blkio *b)
{
	int ret = 0;

	for (int i = 0; i < b->num_queues && ret >= 0; i++)
		ret = table_add(b, &b->queues);
	for (int i = 0; i < b->num_poll_queues && ret >= 0; i++)
		ret = table_add(b, &b->poll_queues);
	if (ret >= 0 && b->drv->run)
		ret = b->drv->run(b);
	if (ret < 0) {
		table_free(&b->queues);
		table_free(&b->poll_queues);
		return ret;
	}
	return 0;
}

int blkio_start(struct blkio *b)
{
	int ret;

	if (!b)
		return bk_err(EINVAL, "b must not be NULL");
	if (b->state == BK_STARTED)
		return 0;
	if (b->state == BK_CREATED)
		return bk_err(ENODEV, "cannot start: the instance is not connected yet");

	ret = check_queue_counts(b);
	if (ret < 0)
		return ret;
	if (b->drv->start) {
		ret = b->drv->start(b);
		if (ret < 0)
			return ret;
	}
	ret = create_queues(b);
	if (ret < 0)
		return ret;
	b->state = BK_STARTED;
	return 0;
}

void blkio_destroy(struct blkio **bp)
{
	struct blkio *b;

	if (!bp || !*bp)
		return;
	b = *bp;
	*bp = NULL;
	table_free(&b->queues);
	table_free(&b->poll_queues);
	bk_mem_exit(b);
	if (b->drv->close)
		b->drv->close(b);
	bk_free_props(b);
	free(b);
}

/* ---- Queues ------------------------------------------------------------------------------- */

struct blkioq *blkio_get_queue(struct blkio *b, int index)
{
	return b ? table_get(&b->queues, index) : NULL;
}

struct blkioq *blkio_get_poll_queue(struct blkio *b, int index)
{
	return b ? table_get(&b->poll_queues, index) : NULL;
}

static int add_queue(struct blkio *b, struct bk_queue_table *t)
{
	if (!b->drv->can_add_queues)
		return bk_err(ENOTSUP,
			      "driver %s cannot add queues after start; set num-queues "
			      "before it",
			      b->drv->name);
	if (b->state != BK_STARTED)
		return bk_err(EBUSY, "cannot add a queue: the instance is not started");
	if (table_count(&b->queues) + table_count(&b->poll_queues) >= b->lim.max_queues)
		return bk_err(ENOSPC, "cannot add a queue: max-queues is %d", b->lim.max_queues);
	return table_add(b, t);
}

int blkio_add_queue(struct blkio *b)
{
	if (!b)
		return bk_err(EINVAL, "b must not be NULL");
	return add_queue(b, &b->queues);
}

int blkio_add_poll_queue(struct blkio *b)
{
	if (!b)
		return bk_err(EINVAL, "b must not be NULL");
	if (b->state == BK_STARTED && !b->lim.supports_poll_queues)
		return bk_err(ENOTSUP, "this device does not support poll queues");
	return add_queue(b, &b->poll_queues);
}

static int remove_queue(struct bk_queue_table *t, int index, const char *kind)
{
	if (!table_get(t, index))
		return bk_err(ENOENT, "there is no %s with index %d", kind, index);
	table_remove(t, index);
	return 0;
}

int blkio_remove_queue(struct blkio *b, int index)
{
	if (!b)
		return bk_err(EINVAL, "b must not be NULL");
	return remove_queue(&b->queues, index, "queue");
}

int blkio_remove_poll_queue(struct blkio *b, int index)
{
	if (!b)
		return bk_err(EINVAL, "b must not be NULL");
	return remove_queue(&b->poll_queues, index, "poll queue");
}
