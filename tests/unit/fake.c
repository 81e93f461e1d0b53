/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A driver in this process, for tests of the core. */
#include "fake.h"
#include "sys.h"

enum { RING_MAX = 4096 };

struct fake fake;

struct fake_queue {
	struct blkioq q;
	/* requests in flight, oldest first, with the results they will have */
	struct bk_req *r[RING_MAX];
	int64_t res[RING_MAX];
	unsigned n;
};

static void called(char what)
{
	size_t len = strlen(fake.calls);

	CHECK(len + 1 < FAKE_CALLS);
	fake.calls[len] = what;
}

/* ---- Control ------------------------------------------------------------------------------ */

static void fake_init(struct blkio *b)
{
	called('i');
	b->lim.max_queues = fake.limits.max_queues;
	b->lim.max_mem_regions = fake.limits.max_mem_regions;
}

static int fake_connect_device(struct blkio *b)
{
	called('c');
	b->lim = fake.limits; /* before the error: drivers find out as they go */
	return fake.connect_error ? bk_err(fake.connect_error, "fake connect error") : 0;
}

static int fake_start_device(struct blkio *b)
{
	called('s');
	if (fake.start_error || fake.failing_queue >= 0)
		b->lim.max_segments = FAKE_STARTED_SEGMENTS;
	if (fake.start_error)
		return bk_err(fake.start_error, "fake start error");
	free(fake.memory);
	fake.memory = NULL;
	if (b->own.len) {
		fake.memory = aligned_alloc(4096, b->own.len);
		CHECK(fake.memory);
		memset(fake.memory, 0, b->own.len);
		b->own.addr = b->own.iova = (uintptr_t)fake.memory;
	}
	return 0;
}

static void fake_close(struct blkio *b)
{
	(void)b;
	called('x');
	free(fake.memory);
	fake.memory = NULL;
}

static int fake_capacity(struct blkio *b, uint64_t *bytes)
{
	(void)b;
	*bytes = 1 << 20;
	return 0;
}

static int fake_map(struct blkio *b, struct bk_region *region, int fd, int64_t fd_offset)
{
	(void)b, (void)region, (void)fd, (void)fd_offset;
	called('m');
	if (fake.while_mapping)
		fake.while_mapping(b);
	return fake.map_error ? bk_err(fake.map_error, "fake map error") : 0;
}

static void fake_unmap(struct blkio *b, const struct bk_region *region)
{
	(void)b, (void)region;
	called('u');
	if (fake.while_mapping)
		fake.while_mapping(b);
}

static int fake_queue_init(struct blkio *b, struct blkioq *q)
{
	(void)b;
	called(q->is_poll ? 'P' : 'q');
	if (q->index == fake.failing_queue)
		return bk_err(EIO, "fake queue error");
	return 0;
}

static struct fake_queue *to_fake(struct blkioq *q)
{
	return container_of(q, struct fake_queue, q);
}

static void finish_first(struct fake_queue *q)
{
	struct bk_req *r = q->r[0];
	int64_t res = q->res[0];

	q->n--;
	memmove(q->r, q->r + 1, q->n * sizeof(q->r[0]));
	memmove(q->res, q->res + 1, q->n * sizeof(q->res[0]));
	bk_complete(&q->q, r, res);
}

static enum bk_drained fake_drain(struct blkio *b, struct blkioq *bq, bool cancel)
{
	struct fake_queue *q = to_fake(bq);

	(void)b;
	fake.drains++;
	usleep(fake.drain_takes_us);
	while (fake.drain_finishes && q->n)
		finish_first(q);
	if (cancel && !fake.cancelled) {
		fake.cancelled = true;
		fake.cancelled_at = clock_ns();
	}
	if (fake.drain == BK_BUSY && fake.busy_for) {
		fake.busy_for--;
		return BK_BUSY;
	}
	return fake.drain == BK_BUSY ? BK_QUIET : fake.drain;
}

static void fake_queue_exit(struct blkio *b, struct blkioq *q)
{
	(void)b, (void)q;
	called('e');
}

/* ---- Requests ----------------------------------------------------------------------------- */

static int64_t result_of(struct bk_req *r)
{
	struct fake_op op = { r->op,	 r->start, r->len,
			      r->iovcnt, r->flags, r->iovcnt > 0 ? r->iov[0].iov_base : NULL };
	bool transfers = r->op == BK_READ || r->op == BK_WRITE;

	CHECK(fake.nr_ops < FAKE_LOG);
	fake.log[fake.nr_ops] = op;
	return fake.result ? fake.result(&op, r, fake.nr_ops++)
			   : (fake.nr_ops++, transfers ? (int64_t)r->len : 0);
}

static void fake_submit(struct blkioq *bq, struct bk_req *r)
{
	struct fake_queue *q = to_fake(bq);

	if (q->n >= fake.ring_size) {
		bk_full(bq, r);
		return;
	}
	q->res[q->n] = result_of(r);
	q->r[q->n++] = r;
}

static int fake_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	struct fake_queue *q = to_fake(bq);
	unsigned finish = fake.finish_per_enter ?: RING_MAX;
	int ret = -fake.enter_error;

	(void)w;
	fake.enters++;
	if (wait_nr) {
		CHECK(q->n > 0); /* waiting for nothing would be for ever */
		fake.max_wait_nr = wait_nr > fake.max_wait_nr ? wait_nr : fake.max_wait_nr;
		fake.min_wait_nr = wait_nr < fake.min_wait_nr ? wait_nr : fake.min_wait_nr;
	}
	if (!fake.error_stays)
		fake.enter_error = 0;
	while (finish-- && q->n)
		finish_first(q);
	return ret;
}

static struct bk_driver driver = {
	.name = "fake",
	.device_size = sizeof(struct blkio),
	.queue_size = sizeof(struct fake_queue),
	.limits_from = BK_CONNECTED,
	.topology_from = BK_CREATED,
	.init = fake_init,
	.connect = fake_connect_device,
	.start = fake_start_device,
	.close = fake_close,
	.capacity = fake_capacity,
	.map = fake_map,
	.unmap = fake_unmap,
	.queue_init = fake_queue_init,
	.drain = fake_drain,
	.queue_exit = fake_queue_exit,
	.submit = fake_submit,
	.enter = fake_enter,
};

const struct bk_driver *bk_find_driver(const char *name)
{
	driver.can_add_queues = fake.can_add_queues;
	return strcmp(name, driver.name) ? NULL : &driver;
}

const struct bk_driver *bk_driver_at(size_t index)
{
	return index ? NULL : &driver;
}

/* ---- For tests ---------------------------------------------------------------------------- */

void fake_reset(void)
{
	fake = (struct fake){
		.can_add_queues = true,
		.ring_size = RING_MAX,
		.failing_queue = -1,
		.min_wait_nr = UINT32_MAX,
		.limits = {
			.ops = BK_OPS_BLOCK,
			.request_alignment = 1,
			.optimal_io_alignment = 1,
			.buf_alignment = 1,
			.optimal_buf_alignment = 1,
			.discard_alignment = 1,
			.mem_region_alignment = 1,
			.max_segments = 1024,
			.end = 1 << 20,
			.max_queues = 64,
			.max_mem_regions = UINT64_MAX,
			.takes_fua_write = true,
			.takes_fua_write_zeroes = true,
			.supports_poll_queues = true,
		},
	};
}

struct blkio *fake_connect(void)
{
	struct blkio *b;

	CHECK_OK(blkio_create("fake", &b));
	CHECK_OK(blkio_connect(b));
	return b;
}

struct blkio *fake_start(void)
{
	struct blkio *b = fake_connect();

	CHECK_OK(blkio_start(b));
	return b;
}

void fake_check(unsigned i, enum bk_op op, uint64_t start, uint64_t len)
{
	CHECK(i < fake.nr_ops);
	CHECK_EQ(fake.log[i].op, op);
	CHECK_EQ(fake.log[i].start, start);
	CHECK_EQ(fake.log[i].len, len);
}
