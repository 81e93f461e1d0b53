/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See hold.h. */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "hold.h"
#include "slow.h"

enum { LEN = 4096, MAX = 64, FREE_BYTE = 0x55, NEVER_MS = 200 };

struct hold {
	struct device *d;
	struct slow *slow; /* tmpfs */
	char *buf;	   /* others */
	unsigned n, ms;
	pthread_t thread;
	bool has_thread, released;
};

static bool offloads(const struct hold *h)
{
	return h->d->target->traits & T_OFFLOADS;
}

struct hold *hold_new(struct setting *s)
{
	struct hold *h = calloc(1, sizeof(*h));

	CHECK(h);
	h->d = s->d;
	if (offloads(h))
		h->slow = slow_new(MAX * LEN);
	else
		h->buf = buffer(MAX * LEN);
	return h;
}

void hold_request(struct hold *h, struct blkioq *q, void *user_data)
{
	uint64_t at = h->n * LEN;

	CHECK(h->n < MAX);
	if (offloads(h)) {
		blkioq_write(q, at, (char *)slow_buffer(h->slow) + at, LEN, user_data, 0);
	} else {
		if (!h->n && h->d->server.pid)
			qsd_stop(&h->d->server);
		blkioq_read(q, at, h->buf + at, LEN, user_data, 0);
	}
	h->n++;
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
}

struct hold *hold_start(struct setting *s, int per_queue)
{
	struct hold *h = hold_new(s);

	setting_start(s);
	for (int i = 0; i < s->nr_queues; i++) {
		for (int n = 0; n < per_queue; n++)
			hold_request(h, setting_queue(s, i), NULL);
	}
	if (h->n && offloads(h))
		slow_await(h->slow);
	return h;
}

void hold_release(struct hold *h)
{
	h->released = true;
	if (offloads(h))
		slow_release(h->slow);
	else if (h->d->server.pid)
		SYS(kill(h->d->server.pid, SIGCONT));
}

static void *release_later(void *arg)
{
	struct hold *h = arg;

	usleep(h->ms * 1000);
	hold_release(h);
	return NULL;
}

unsigned hold_release_after(struct hold *h, unsigned ms)
{
	h->ms = ms;
	CHECK_EQ(pthread_create(&h->thread, NULL, release_later, h), 0);
	h->has_thread = true;
	return h->d->target->traits & T_SLOW ? SLOW_MS / 2 : ms;
}

static void join(struct hold *h)
{
	if (h->has_thread)
		CHECK_EQ(pthread_join(h->thread, NULL), 0);
	h->has_thread = false;
}

/* Memory that a write was waiting for appears only now: nothing of it may be in the file. */
static void check_file(struct hold *h)
{
	static unsigned char got[MAX * LEN];

	if (!h->released)
		slow_fill(h->slow, FREE_BYTE);
	else
		memset(slow_buffer(h->slow), FREE_BYTE, MAX * LEN);
	usleep(NEVER_MS * 1000);
	device_peek(h->d, 0, got, sizeof(got));
	check_all(got, sizeof(got), 0);
}

void hold_check_untouched(struct hold *h)
{
	join(h);
	if (offloads(h)) {
		check_file(h);
		return;
	}
	memset(h->buf, FREE_BYTE, MAX * LEN);
	if (!h->released)
		hold_release(h);
	usleep((h->d->target->traits & T_SLOW ? 2 * SLOW_MS : NEVER_MS) * 1000);
	check_all(h->buf, MAX * LEN, FREE_BYTE);
}

void hold_free(struct hold *h)
{
	join(h);
	if (offloads(h))
		slow_free(h->slow);
	else
		buffer_free(h->buf);
	free(h);
}
