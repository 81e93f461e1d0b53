/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One open device for all thread=1 jobs of a process that have the same target, and one queue for
 * each of them: drivers such as vhost-user can open their device only once. Jobs in processes of
 * their own have a target of their own.
 *
 * fio sets all jobs up before it starts the first. Setting up counts, for drivers whose queues must
 * all exist at the start; a queue goes to one job at a time and back when that job ends.
 */
#include "engine.h"

enum { NORMAL, POLL };

/* The queues of one kind: which are taken. Not used for drivers that can add queues at any time. */
struct queue_pool {
	bool *taken;
	int size;
};

struct target {
	struct target *next; /* of the shared ones */
	struct target_options o;
	bool shared;
	int refs;
	int wanted[2]; /* queues, NORMAL and POLL, all jobs together */
	/* while a job is attached */
	struct blkio *b;
	int users;
	bool can_add_queues;
	struct queue_pool pools[2];
};

static struct target *shared_targets;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void bkf_target_lock(void)
{
	pthread_mutex_lock(&lock);
}

void bkf_target_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

/* fio forks jobs while threads of others may hold the lock: the child must find it free. */
static void survive_fork(void)
{
	pthread_atfork(bkf_target_lock, bkf_target_unlock, bkf_target_unlock);
}

/* ---- Targets ------------------------------------------------------------------------------- */

static bool same_string(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

/* What may differ between jobs that share is merged: depth, read_only, sleeps_on_fd. */
static bool same_target(const struct target_options *a, const struct target_options *b)
{
	return same_string(a->driver, b->driver) && same_string(a->path, b->path) &&
	       same_string(a->pre_connect_props, b->pre_connect_props) &&
	       same_string(a->pre_start_props, b->pre_start_props) &&
	       a->num_entries == b->num_entries && a->queue_size == b->queue_size &&
	       a->direct == b->direct && a->sq_poll == b->sq_poll;
}

static struct target *find_shared(struct target_options *o)
{
	for (struct target *t = shared_targets; t; t = t->next) {
		if (!same_target(&t->o, o))
			continue;
		t->o.depth = max(t->o.depth, o->depth);
		t->o.read_only &= o->read_only;
		t->o.sleeps_on_fd |= o->sleeps_on_fd;
		bkf_target_options_free(o);
		return t;
	}
	return NULL;
}

static struct target *new_target(const struct target_options *o, bool share)
{
	struct target *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->o = *o;
	t->shared = share;
	if (share) {
		t->next = shared_targets;
		shared_targets = t;
	}
	return t;
}

struct target *bkf_target_get(struct target_options *o, bool share, int queues, int poll_queues)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct target *t;

	pthread_once(&once, survive_fork);
	bkf_target_lock();
	t = share ? find_shared(o) : NULL;
	if (!t)
		t = new_target(o, share);
	if (t) {
		t->refs++;
		t->wanted[NORMAL] += queues;
		t->wanted[POLL] += poll_queues;
	}
	bkf_target_unlock();
	return t;
}

static void unlink_shared(struct target *t)
{
	struct target **link = &shared_targets;

	while (*link && *link != t)
		link = &(*link)->next;
	if (*link)
		*link = t->next;
}

void bkf_target_put(struct target *t)
{
	bkf_target_lock();
	if (--t->refs == 0) {
		unlink_shared(t);
		bkf_target_options_free(&t->o);
		free(t);
	}
	bkf_target_unlock();
}

const struct target_options *bkf_target_options(const struct target *t)
{
	return &t->o;
}

/* ---- The device ---------------------------------------------------------------------------- */

static int make_pool(struct queue_pool *pool, int size)
{
	pool->size = size;
	pool->taken = calloc(max(size, 1), sizeof(*pool->taken));
	return pool->taken ? 0 : -ENOMEM;
}

static void drop_pools(struct target *t)
{
	for (int kind = NORMAL; kind <= POLL; kind++) {
		free(t->pools[kind].taken);
		t->pools[kind] = (struct queue_pool){ 0 };
	}
}

/* As many queues as jobs want, or as there can be: jobs that run one after the other share. */
static int start_with_all_queues(struct target *t, struct blkio *b, struct thread_data *td)
{
	int limit = min(bkf_get_number(b, "max-queues", INT_MAX), (uint64_t)INT_MAX);
	int poll_queues = min(t->wanted[POLL], t->wanted[NORMAL] ? limit - 1 : limit);
	int queues = min(t->wanted[NORMAL], limit - poll_queues);

	if (make_pool(&t->pools[NORMAL], queues) || make_pool(&t->pools[POLL], poll_queues)) {
		drop_pools(t);
		return bkf_fail(td, -ENOMEM, "no memory for %d queues", queues + poll_queues);
	}
	return bkf_target_start(b, queues, poll_queues, td);
}

static struct blkio *open_target(struct target *t, struct thread_data *td)
{
	struct blkio *b = bkf_target_connect(&t->o, td);
	int ret;

	if (!b)
		return NULL;
	t->can_add_queues = bkf_get_bool(b, "can-add-queues", false);
	ret = t->can_add_queues ? bkf_target_start(b, 0, 0, td) : start_with_all_queues(t, b, td);
	if (ret) {
		drop_pools(t);
		blkio_destroy(&b);
	}
	return b;
}

struct blkio *bkf_target_attach(struct target *t, struct thread_data *td)
{
	struct blkio *b;

	bkf_target_lock();
	if (!t->b)
		t->b = open_target(t, td);
	b = t->b;
	if (b)
		t->users++;
	bkf_target_unlock();
	return b;
}

void bkf_target_detach(struct target *t)
{
	bkf_target_lock();
	if (--t->users == 0) {
		drop_pools(t);
		blkio_destroy(&t->b);
	}
	bkf_target_unlock();
}

/* ---- Queues -------------------------------------------------------------------------------- */

static int take_from_pool(struct target *t, bool poll, struct thread_data *td)
{
	struct queue_pool *pool = &t->pools[poll ? POLL : NORMAL];

	for (int i = 0; i < pool->size; i++)
		if (!pool->taken[i]) {
			pool->taken[i] = true;
			return i;
		}
	return bkf_fail(td, -EBUSY,
			"all %d %squeues of %s are in use (max-queues is %d): run fewer thread=1 "
			"jobs on it at a time, and leave create_serialize=1",
			pool->size, poll ? "poll " : "", t->o.path ? t->o.path : t->o.driver,
			(int)bkf_get_number(t->b, "max-queues", 0));
}

static int add_queue(struct target *t, bool poll, struct thread_data *td)
{
	int index = poll ? blkio_add_poll_queue(t->b) : blkio_add_queue(t->b);

	if (index < 0)
		return bkf_fail_call(td, index,
				     poll ? "blkio_add_poll_queue (hipri)" : "blkio_add_queue");
	return index;
}

int bkf_target_take_queue(struct target *t, struct queue_slot *slot, bool poll,
			  struct thread_data *td)
{
	int index;

	bkf_target_lock();
	index = t->can_add_queues ? add_queue(t, poll, td) : take_from_pool(t, poll, td);
	if (index >= 0)
		*slot = (struct queue_slot){
			.q =
			    poll ? blkio_get_poll_queue(t->b, index) : blkio_get_queue(t->b, index),
			.index = index,
			.poll = poll,
		};
	bkf_target_unlock();
	return index < 0 ? index : 0;
}

void bkf_target_return_queue(struct target *t, struct queue_slot *slot)
{
	if (!slot->q)
		return;
	bkf_target_lock();
	if (!t->can_add_queues)
		t->pools[slot->poll ? POLL : NORMAL].taken[slot->index] = slot->abandoned;
	else if (slot->poll)
		blkio_remove_poll_queue(t->b, slot->index);
	else
		blkio_remove_queue(t->b, slot->index);
	bkf_target_unlock();
	slot->q = NULL;
}
