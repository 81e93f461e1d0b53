/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The controller: one for the instance, with which the target associates the admin queue and all
 * I/O queues. Without its admin queue there is no controller; a queue that returns then makes
 * another one, of the same subsystem.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/socket.h"
#include "nvme/nvme_same.h"
#include "nvme_tcp/nvme_tcp.h"

#define ADMIN_ENTRIES	 32
#define SHUTDOWN_SECONDS 2
#define TRANSFER_MAX	 (4U << 20) /* some controllers allocate memory for all of it */

const char nvme_tcp_changed[] =
    "the NVMe namespace was removed, formatted with another block size, "
    "or replaced: create a new instance";

/* ---- Sessions ----------------------------------------------------------------------------- */

static int begin(struct nvme_tcp_session *s, const struct bk_deadline *deadline)
{
	const struct nvme_tcp_caller c = nvme_tcp_caller(&s->admin, deadline);
	const struct nvme_fabrics_queue q = {
		.cntlid = NVME_FABRICS_ANY_CNTLID,
		.entries = ADMIN_ENTRIES,
		.keep_alive_ms = s->keep_alive_ms,
	};
	int ret = nvme_fabrics_connect(&c.f, &s->names, &q, &s->cntlid);

	if (!ret)
		ret = nvme_fabrics_enable(&c.f, deadline, &s->ctrl);
	if (!ret)
		ret = nvme_fabrics_identify(&c.a, &s->ctrl);
	if (!ret && s->ctrl.events && !s->ctrl.is_discovery)
		ret = nvme_fabrics_enable_events(&c.f, s->ctrl.events);
	return ret;
}

static int open_once(struct nvme_tcp_session *s, const struct bk_deadline *deadline)
{
	int ret = nvme_tcp_channel_open(&s->admin, &s->wish, deadline);

	if (ret < 0)
		return ret;
	ret = begin(s, deadline);
	if (ret < 0) {
		s->admin.is_lost = true;
		nvme_tcp_channel_close(&s->admin);
	}
	return ret;
}

int nvme_tcp_session_open(struct nvme_tcp_session *s, const struct bk_deadline *deadline)
{
	const struct bk_err_msg before = bk_err_save();
	int ret = open_once(s, deadline);

	/* nvmet goes on as if there had been no data in the capsule: it takes a new connection. */
	if (ret == -EMSGSIZE && !s->wish.no_capsule_data) {
		bk_err_restore(&before);
		s->wish.no_capsule_data = true;
		ret = open_once(s, deadline);
	}
	return ret;
}

void nvme_tcp_session_close(struct nvme_tcp_session *s, const struct bk_deadline *deadline)
{
	struct bk_deadline soon = *deadline;
	const struct nvme_tcp_caller c = nvme_tcp_caller(&s->admin, &soon);
	const struct bk_err_msg why = bk_err_save();

	if (s->admin.sock >= 0 && !s->admin.is_lost) {
		soon.at = min_u64(soon.at, deadline_in(SHUTDOWN_SECONDS * NSEC_PER_SEC));
		nvme_fabrics_shut_down(&c.f);
	}
	nvme_tcp_channel_close(&s->admin);
	bk_err_restore(&why);
}

/* ---- The instance's ----------------------------------------------------------------------- */

/* Another thread may be at it, for as long as its own deadline lets it. */
static int lock_by(struct nvme_tcp_dev *d, const struct bk_deadline *deadline)
{
	struct bk_pauses pauses = { *deadline, 100000, 10 * NSEC_PER_MSEC };
	int ret = 0;

	while (!ret && pthread_mutex_trylock(&d->lock))
		ret = bk_pause(&pauses);
	return ret < 0 ? bk_wait_err(deadline, ret, "admin command", "admin queue") : 0;
}

void nvme_tcp_lose_controller(struct nvme_tcp_dev *d, const char *why)
{
	d->s.admin.is_lost = true;
	__atomic_store_n(&d->cut_why, why, __ATOMIC_RELEASE);
	pthread_mutex_lock(&d->queues_lock);
	for (struct nvme_tcp_queue *q = d->queues; q; q = q->next) {
		if (q->association == d->association)
			shutdown(q->cut_fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&d->queues_lock);
}

int nvme_tcp_await_event(struct nvme_tcp_dev *d, const struct bk_deadline *deadline)
{
	const struct nvme_cmd c = { .opcode = nvme_admin_async_event };

	return nvme_tcp_channel_send(&d->s.admin, NVME_TCP_AWAIT_EVENT, &c,
				     &(struct nvme_tcp_data){ 0 }, deadline);
}

int nvme_tcp_look_at_namespace(struct nvme_tcp_dev *d, const struct bk_deadline *deadline)
{
	const struct nvme_tcp_caller c = nvme_tcp_caller(&d->s.admin, deadline);
	uint64_t bytes;
	int ret = nvme_capacity(&c.a, &d->ns, &bytes);

	if (!ret)
		__atomic_store_n(&d->size, bytes, __ATOMIC_RELAXED);
	return ret;
}

int nvme_tcp_identify(const struct nvme_admin *a, uint32_t nsid, struct nvme_ns *ns,
		      struct bk_limits *l)
{
	char name[32];
	int ret;

	snprintf(name, sizeof(name), "namespace %u", nsid);
	ret = nvme_identify(a, nsid, name, ns, l);
	if (!ret)
		nvme_limit_transfer(ns, l, TRANSFER_MAX);
	return ret;
}

/* The controller says when it changes: nothing is asked, and nobody waits. */
int nvme_tcp_capacity(struct blkio *b, uint64_t *bytes)
{
	*bytes = __atomic_load_n(&nvme_tcp_dev_of(b)->size, __ATOMIC_RELAXED);
	return 0;
}

/* ---- Queues ------------------------------------------------------------------------------- */

/* Does the controller answer, and is it well? If not, time is left for another one. */
static bool is_well(struct nvme_tcp_dev *d, const struct bk_deadline *deadline)
{
	struct bk_deadline soon = *deadline;
	const struct nvme_tcp_caller c = nvme_tcp_caller(&d->s.admin, &soon);

	if (soon.at != INT64_MAX)
		soon.at -= (soon.at - now_ns()) / 2;
	return !d->s.admin.is_lost && !nvme_fabrics_check(&c.f);
}

/*
 * A target that was started again may have a controller with the number of the lost one, and it may
 * have another namespace. Whoever listens there now, the lost target's connection had ended before.
 */
static int check_connected(const struct nvme_tcp_dev *d)
{
	if (!d->s.admin.is_lost && !socket_events(d->s.admin.sock, POLLRDHUP))
		return 0;
	return bk_err(ENOTCONN,
		      "the connection to the NVMe/TCP target's controller was lost: create a new "
		      "instance, or set property \"reconnect-timeout\"");
}

/* Requests are checked, and queues are set up, for what the lost controller said of itself. */
static const char *ctrl_changes(const struct nvme_fabrics_ctrl *was,
				const struct nvme_fabrics_ctrl *now)
{
	return now->capsule_data < was->capsule_data || now->queue_entries < was->queue_entries
		   ? "the NVMe/TCP target's new controller has lower limits: create a new instance"
		   : NULL;
}

static const char *ns_changes(const struct nvme_tcp_dev *d, const struct nvme_ns *ns,
			      const struct bk_limits *l)
{
	const struct nvme_view was = { &d->ns, &d->b.lim, d->size >> d->ns.block_shift };
	const struct nvme_view now = { ns, l, ns->nr_blocks };

	return nvme_changes(&was, &now);
}

/* Identify the namespace once more. 0 or bk_err(); and *changed, if it is not what it was. */
static int check_namespace(struct nvme_tcp_dev *d, const struct bk_deadline *deadline,
			   const char **changed)
{
	const struct nvme_tcp_caller c = nvme_tcp_caller(&d->s.admin, deadline);
	struct nvme_ns *ns = malloc(sizeof(*ns));
	struct bk_limits l = { 0 };
	int ret;

	if (!ns)
		return bk_err(ENOMEM, "out of memory");
	ret = nvme_tcp_identify(&c.a, d->ns.nsid, ns, &l);
	l.read_only = l.read_only && !d->b.read_only;
	if (!ret)
		*changed = ns_changes(d, ns, &l);
	else if (ret == -ENODEV || ret == -EINVAL || ret == -ENOTSUP)
		*changed = nvme_tcp_changed;
	if (!ret && !*changed)
		__atomic_store_n(&d->size, ns->nr_blocks << ns->block_shift, __ATOMIC_RELAXED);
	free(ns);
	return ret;
}

/* Ask for it, and check that it is as good as the lost one. */
static int begin_another(struct nvme_tcp_dev *d, const struct bk_deadline *deadline,
			 const char **changed)
{
	const struct nvme_tcp_caller c = nvme_tcp_caller(&d->s.admin, deadline);
	const struct nvme_fabrics_ctrl was = d->s.ctrl;
	int ret = nvme_tcp_session_open(&d->s, deadline);
	const struct nvme_fabrics_ctrl now = d->s.ctrl;
	unsigned queues;

	d->s.ctrl = was;
	if (ret < 0)
		return ret;
	d->association++;
	*changed = ctrl_changes(&was, &now);
	if (!*changed)
		ret = check_namespace(d, deadline, changed);
	if (*changed)
		return bk_err(ENODEV, "%s", *changed);
	if (!ret)
		ret = nvme_fabrics_count_queues(&c.f, NVME_TCP_QUEUES_MAX, &queues);
	if (!ret)
		ret = nvme_tcp_await_event(d, deadline);
	return ret;
}

/* In place of the one that is lost. d->lock is held. */
static int another_controller(struct nvme_tcp_dev *d, const struct bk_deadline *deadline,
			      const char **changed)
{
	int ret;

	nvme_tcp_lose_controller(d, NULL);
	nvme_tcp_channel_close(&d->s.admin);
	ret = begin_another(d, deadline, changed);
	if (ret < 0)
		d->s.admin.is_lost = true;
	d->asked_at = now_ns();
	watcher_wake(&d->watcher);
	return ret;
}

/* A queue of that ID that has just ended may not have ended there. */
static bool may_pass(int ret)
{
	return ret == -EBUSY;
}

static int connect_queue(struct nvme_tcp_dev *d, const struct nvme_fabrics_queue *fq,
			 const struct bk_deadline *deadline, struct nvme_tcp_channel *ch)
{
	const struct nvme_tcp_caller c = nvme_tcp_caller(ch, deadline);
	uint16_t cntlid;
	int ret = nvme_tcp_channel_open(ch, &d->s.wish, deadline);

	if (ret < 0)
		return ret;
	ret = nvme_fabrics_connect(&c.f, &d->s.names, fq, &cntlid);
	if (ret < 0)
		nvme_tcp_channel_close(ch);
	return ret;
}

static int open_queue(struct nvme_tcp_dev *d, unsigned qid, const struct bk_deadline *deadline,
		      struct nvme_tcp_channel *ch)
{
	const struct nvme_fabrics_queue fq = {
		.qid = qid,
		.cntlid = d->s.cntlid,
		.entries = nvme_tcp_slots(d) + 1,
	};
	struct bk_pauses pauses = { *deadline, NSEC_PER_MSEC, 100 * NSEC_PER_MSEC };
	int ret;

	do {
		ret = connect_queue(d, &fq, deadline, ch);
	} while (may_pass(ret) && !bk_pause(&pauses));
	return ret;
}

int nvme_tcp_open_queue(struct nvme_tcp_dev *d, unsigned qid, bool reconnect,
			const struct bk_deadline *deadline, struct nvme_tcp_channel *ch,
			unsigned *association, const char **changed)
{
	int ret = lock_by(d, deadline);

	*changed = NULL;
	if (ret < 0)
		return ret;
	if (!reconnect)
		ret = check_connected(d);
	else if (!is_well(d, deadline))
		ret = another_controller(d, deadline, changed);
	if (!ret)
		ret = open_queue(d, qid, deadline, ch);
	*association = d->association;
	pthread_mutex_unlock(&d->lock);
	return ret;
}
