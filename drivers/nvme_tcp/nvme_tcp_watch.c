/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The thread that listens to the admin queue. It keeps the controller alive, which expires when it
 * is not asked from time to time, and takes in events: the namespace has another size, or is gone.
 */
#include <sys/eventfd.h>

#include "nvme_tcp/nvme_tcp.h"

#define TURN_SECONDS 10

#define EVENT_TYPE(result) ((result)&7)
#define EVENT_INFO(result) ((result) >> 8 & 0xff)
#define EVENT_PAGE(result) ((result) >> 16 & 0xff)

static void lose(struct nvme_tcp_dev *d)
{
	bk_debug("instance %p: the controller is lost: %s", (void *)&d->b, blkio_get_error_msg());
	nvme_tcp_lose_controller(d, NULL);
}

/* ---- Events ------------------------------------------------------------------------------- */

/* Without that, the controller sends no more events of this type. */
static void read_page(struct nvme_tcp_dev *d, unsigned page, const struct bk_deadline *deadline)
{
	const struct nvme_tcp_caller caller = nvme_tcp_caller(&d->s.admin, deadline);
	uint8_t data[4096];
	const struct nvme_cmd c = {
		.opcode = nvme_admin_get_log_page,
		.nsid = NVME_NSID_ALL,
		.cdw10 = page | (sizeof(data) / 4 - 1) << 16,
	};

	caller.a.read(&caller.a, &c, data, sizeof(data));
}

static void take_event(struct nvme_tcp_dev *d, const struct nvme_tcp_answer *a,
		       const struct bk_deadline *deadline)
{
	/* There will be no others. */
	if (a->status)
		return;
	read_page(d, EVENT_PAGE(a->result), deadline);
	if (EVENT_TYPE(a->result) == NVME_AER_NOTICE &&
	    EVENT_INFO(a->result) == NVME_AER_NOTICE_NS_CHANGED &&
	    nvme_tcp_look_at_namespace(d, deadline) == -ENODEV)
		bk_set_gone(&d->b, nvme_tcp_changed);
	if (!d->s.admin.is_lost)
		nvme_tcp_await_event(d, deadline);
}

/* ---- Keep alive --------------------------------------------------------------------------- */

/* Milliseconds until there is something to do; -1: never. */
static int next_turn(const struct nvme_tcp_dev *d)
{
	int64_t ms;

	if (!d->keep_alive_timeout || d->s.admin.is_lost)
		return -1;
	ms = d->s.admin.slots[NVME_TCP_KEEP_ALIVE].in_flight ? d->keep_alive_timeout
							     : d->keep_alive_timeout / 2;
	ms -= (now_ns() - d->asked_at) / NSEC_PER_MSEC;
	return ms < 1 ? 1 : (int)ms;
}

static void keep_alive(struct nvme_tcp_dev *d, const struct bk_deadline *deadline)
{
	const struct nvme_cmd c = { .opcode = nvme_admin_keep_alive };
	int64_t passed = (now_ns() - d->asked_at) / NSEC_PER_MSEC;

	if (d->s.admin.slots[NVME_TCP_KEEP_ALIVE].in_flight) {
		if (passed >= d->keep_alive_timeout)
			nvme_tcp_lose_controller(d,
						 "the NVMe/TCP target did not answer a keep-alive "
						 "in time (property \"keep-alive-timeout\")");
		return;
	}
	if (passed < d->keep_alive_timeout / 2)
		return;
	d->asked_at = now_ns();
	if (nvme_tcp_channel_send(&d->s.admin, NVME_TCP_KEEP_ALIVE, &c,
				  &(struct nvme_tcp_data){ 0 }, deadline) < 0)
		lose(d);
}

/* ---- The thread --------------------------------------------------------------------------- */

static void hear(struct nvme_tcp_dev *d, const struct bk_deadline *deadline)
{
	struct nvme_tcp_answer *event = &d->s.admin.answers[NVME_TCP_AWAIT_EVENT];

	if (nvme_tcp_channel_receive(&d->s.admin, deadline) < 0) {
		lose(d);
		return;
	}
	if (event->is_there) {
		const struct nvme_tcp_answer a = *event;

		event->is_there = false;
		take_event(d, &a, deadline);
	}
	if (d->s.admin.is_lost)
		lose(d);
}

/* A call may have taken in already what was there. */
static bool has_come(const struct nvme_tcp_channel *ch)
{
	char byte;

	return recv(ch->sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

/*
 * How long the thread may hear what has begun to come. Who wakes it must not cut that off, but for
 * the end: what it was woken for, it sees next.
 */
static struct bk_deadline begin_turn(struct nvme_tcp_dev *d)
{
	struct bk_deadline deadline = bk_deadline(&d->b);
	eventfd_t count;

	if (!watcher_ends(&d->watcher))
		eventfd_read(d->watcher.wake_fd, &count);
	deadline.at = min_u64(deadline.at, deadline_in(TURN_SECONDS * NSEC_PER_SEC));
	deadline.cancel_fd = d->watcher.wake_fd;
	return deadline;
}

static void *run(void *arg)
{
	struct nvme_tcp_dev *d = arg;
	struct pollfd fds[2];

	for (;;) {
		struct bk_deadline deadline;
		int ms;

		pthread_mutex_lock(&d->lock);
		fds[0] = (struct pollfd){ d->s.admin.is_lost ? -1 : d->s.admin.sock, POLLIN, 0 };
		ms = next_turn(d);
		pthread_mutex_unlock(&d->lock);
		if (!watcher_sleep(&d->watcher, fds, 1, ms))
			return NULL;
		pthread_mutex_lock(&d->lock);
		deadline = begin_turn(d);
		if (!d->s.admin.is_lost && has_come(&d->s.admin))
			hear(d, &deadline);
		if (d->keep_alive_timeout && !d->s.admin.is_lost)
			keep_alive(d, &deadline);
		pthread_mutex_unlock(&d->lock);
	}
}

int nvme_tcp_watch_start(struct nvme_tcp_dev *d)
{
	return watcher_start(&d->watcher, "controller", run, d);
}
