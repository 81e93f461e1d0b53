/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * null: the reference driver. A device of any capacity that completes every request at once:
 * writes go nowhere, reads leave the buffer as it is. It measures the core and nothing else.
 */
#include <limits.h>

#include "driver.h"

#define NULL_DEFAULT_CAPACITY (1ULL << 40)

struct null_dev {
	struct blkio b;
	uint64_t capacity;
};

static void null_init(struct blkio *b)
{
	struct null_dev *d = container_of(b, struct null_dev, b);

	d->capacity = NULL_DEFAULT_CAPACITY;
	b->lim.max_queues = INT_MAX;
	b->lim.max_mem_regions = UINT64_MAX;
	b->lim.supports_poll_queues = true;
}

static int null_connect(struct blkio *b)
{
	struct null_dev *d = container_of(b, struct null_dev, b);
	struct bk_limits *l = &b->lim;

	l->ops = BK_OPS_BLOCK;
	l->request_alignment = 1;
	l->optimal_io_alignment = 1;
	l->buf_alignment = 1;
	l->optimal_buf_alignment = 1;
	l->discard_alignment = 1;
	l->max_segments = IOV_MAX;
	l->mem_region_alignment = 1;
	l->takes_fua_write = true;
	l->takes_fua_write_zeroes = true;
	l->supports_fua_natively = true;
	l->end = d->capacity;
	return 0;
}

static int null_capacity(struct blkio *b, uint64_t *bytes)
{
	*bytes = container_of(b, struct null_dev, b)->capacity;
	return 0;
}

static int null_check_capacity(struct blkio *b, const struct bk_prop *p, const union bk_val *val)
{
	(void)b;
	if (val->u > INT64_MAX)
		return bk_err(EINVAL, "property \"%s\" must be below 2^63 bytes, got %llu", p->name,
			      (unsigned long long)val->u);
	return 0;
}

static void null_submit(struct blkioq *q, struct bk_req *r)
{
	bk_complete(q, r, r->expect);
}

static int null_enter(struct blkioq *q, unsigned wait_nr, const struct bk_wait *w)
{
	(void)q, (void)wait_nr, (void)w;
	return 0;
}

static const struct bk_prop null_props[] = {
	{ "capacity", "The size of the device in bytes; 1 TiB by default.", BK_UINT64,
	  BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct null_dev, capacity),
	  .check = null_check_capacity },
	{ 0 },
};

const struct bk_driver bk_driver_null = {
	.name = "null",
	.device_size = sizeof(struct null_dev),
	.queue_size = sizeof(struct blkioq),
	.props = null_props,
	.limits_from = BK_CONNECTED,
	.topology_from = BK_CREATED,
	.can_add_queues = true,
	.init = null_init,
	.connect = null_connect,
	.capacity = null_capacity,
	.submit = null_submit,
	.enter = null_enter,
};
