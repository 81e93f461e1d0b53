/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See traffic.h: the application's side. */
#include "traffic.h"

#include <errno.h>

enum { BUFFERS = 256 << 10, POLL_QUEUE = 2 };

/* ---- Queues ------------------------------------------------------------------------------- */

/* 0 and 1 are plain, 2 and 3 poll queues; NULL when there are fewer. */
static struct blkioq *queue(struct traffic *t, unsigned i)
{
	return i < POLL_QUEUE ? blkio_get_queue(t->b, i)
			      : blkio_get_poll_queue(t->b, i - POLL_QUEUE);
}

static void took(struct traffic *t, unsigned i, const struct blkio_completion *c)
{
	struct traffic_request *r = c->user_data;

	MUST(r >= t->requests && r < t->requests + TRAFFIC_REQUESTS);
	MUST(r->queue == (int)i);
	MUST(c->ret <= 0);
	MUST(!c->error_msg || c->error_msg[0]);
	r->queue = -1;
	t->outstanding[i]--;
}

static void do_io(struct traffic *t, unsigned i, unsigned min, bool interruptible)
{
	struct timespec timeout = { .tv_nsec = 1000000 };
	struct blkio_completion c[TRAFFIC_REQUESTS];
	struct blkioq *q = queue(t, i);
	int n;

	if (interruptible && i < POLL_QUEUE)
		n = blkioq_do_io_interruptible(q, c, min, TRAFFIC_REQUESTS, &timeout, NULL);
	else
		n = blkioq_do_io(q, c, min, TRAFFIC_REQUESTS, &timeout);
	MUST(n >= 0 ? (unsigned)n >= min && (unsigned)n <= t->outstanding[i] : n == -ETIME);
	for (int k = 0; k < n; k++)
		took(t, i, &c[k]);
}

/* ---- Requests ----------------------------------------------------------------------------- */

static struct traffic_request *free_request(struct traffic *t)
{
	for (unsigned i = 0; i < TRAFFIC_REQUESTS; i++)
		if (t->requests[i].queue < 0)
			return &t->requests[i];
	return NULL;
}

/* Mostly aligned and mapped; sometimes beyond the region. */
static void *some_buffer(struct traffic *t)
{
	uint16_t at = fuzz_u16(t->in);

	if (t->bounces)
		return (char *)t->region.addr + at;
	return (char *)t->region.addr + (at & 0x8000 ? (uint64_t)at << 3 : (uint64_t)(at << 9));
}

static uint64_t some_len(struct traffic *t)
{
	uint8_t n = fuzz_u8(t->in);

	if (t->bounces)
		return (uint64_t)n << 9;
	return n < 0xf0 ? (uint64_t)n << 9 : (uint64_t)1 << (n & 0xf) << (fuzz_u8(t->in) & 31);
}

static uint64_t some_start(struct traffic *t)
{
	uint8_t n = fuzz_u8(t->in);

	return n < 0xf0 ? (uint64_t)n << 12 : fuzz_u64(t->in);
}

static int some_segments(struct traffic *t, struct iovec *iov)
{
	int n = fuzz_u8(t->in) & 7;

	for (int i = 0; i < n; i++) {
		iov[i].iov_base = some_buffer(t);
		iov[i].iov_len = some_len(t);
	}
	return n;
}

static void submit(struct traffic *t, unsigned i, unsigned kind)
{
	struct traffic_request *r = free_request(t);
	struct blkioq *q = queue(t, i);
	uint64_t start = some_start(t);
	struct iovec *iov;
	uint32_t flags;
	int n;

	if (!r)
		return;
	iov = t->iov[r - t->requests];
	n = kind == 2 || kind == 3 ? some_segments(t, iov) : 0;
	flags = fuzz_u8(t->in);
	flags = flags < 0xc0 ? flags >> 6 : flags & 15;
	r->queue = (int)i;
	t->outstanding[i]++;
	switch (kind) {
	case 0:
		blkioq_read(q, start, some_buffer(t), some_len(t), r, 0);
		break;
	case 1:
		blkioq_write(q, start, some_buffer(t), some_len(t), r, flags);
		break;
	case 2:
		blkioq_readv(q, start, iov, n, r, 0);
		break;
	case 3:
		blkioq_writev(q, start, iov, n, r, flags);
		break;
	case 4:
		blkioq_write_zeroes(q, start, some_len(t), r, flags);
		break;
	case 5:
		blkioq_discard(q, start, some_len(t), r, 0);
		break;
	default:
		blkioq_flush(q, r, 0);
	}
}

/* ---- Turns -------------------------------------------------------------------------------- */

static void map_more(struct traffic *t)
{
	struct blkio_mem_region r;

	if (blkio_alloc_mem_region(t->b, &r, 1 << 20))
		return;
	if (!blkio_map_mem_region(t->b, &r))
		blkio_unmap_mem_region(t->b, &r);
	blkio_free_mem_region(t->b, &r);
}

static void ask(struct traffic *t)
{
	uint64_t capacity;

	if (!blkio_get_uint64(t->b, "capacity", &capacity))
		MUST(capacity <= INT64_MAX);
}

bool traffic_device_turn(struct traffic *t)
{
	return t->b && fuzz_has(t->in) && t->device->turn(t);
}

static void turn(struct traffic *t)
{
	uint8_t op = fuzz_u8(t->in);
	unsigned i = op >> 6;

	if (!queue(t, i))
		i = blkio_get_queue(t->b, 0) ? 0 : POLL_QUEUE;
	op &= 0x1f;
	if (op < 14)
		submit(t, i, op % 7);
	else if (op < 18)
		do_io(t, i, 0, false);
	else if (op < 22)
		do_io(t, i, fuzz_u8(t->in) % (t->outstanding[i] + 1), op == 18);
	else if (op < 29)
		traffic_device_turn(t);
	else if (op == 29)
		blkioq_set_completion_fd_enabled(queue(t, i), fuzz_u8(t->in) & 1);
	else if (op == 30)
		map_more(t);
	else if (t->more && fuzz_u8(t->in) & 1)
		t->more(t);
	else
		ask(t);
}

/* Once the device is given up, every request there is completes at once. */
static void finish(struct traffic *t)
{
	for (unsigned i = 0; i < TRAFFIC_QUEUES; i++) {
		if (!queue(t, i))
			continue;
		do_io(t, i, t->outstanding[i], false);
		if (t->device->is_given_up(t->b))
			do_io(t, i, t->outstanding[i], false);
		if (t->device->is_given_up(t->b))
			MUST(!t->outstanding[i]);
	}
}

void traffic_run(struct traffic *t, struct blkio *b, struct fuzz_input *in)
{
	uint8_t shape = fuzz_u8(in);

	t->in = in;
	t->b = b;
	for (unsigned i = 0; i < TRAFFIC_REQUESTS; i++)
		t->requests[i].queue = -1;
	for (unsigned i = 0; i < TRAFFIC_QUEUES; i++)
		t->used[i].wrap = true;
	blkio_set_int(b, "queue-size", 1 << (shape & 7));
	blkio_set_int(b, "num-queues", 2 - (shape >> 3 & 1));
	blkio_set_int(b, "num-poll-queues", shape >> 4 & 1);
	if (shape >> 5 & 1)
		blkio_set_int(b, "bounce-buffers", 1 + (shape >> 6));
	if (blkio_start(b)) {
		blkio_set_int(b, "num-queues", 1);
		blkio_set_int(b, "num-poll-queues", 0);
		blkio_set_int(b, "queue-size", 16);
		if (blkio_start(b))
			return;
	}
	if (blkio_alloc_mem_region(b, &t->region, BUFFERS))
		return;
	t->bounces = shape >> 5 & 1;
	if (!t->bounces)
		blkio_map_mem_region(b, &t->region);
	while (fuzz_has(in))
		turn(t);
	finish(t);
}
