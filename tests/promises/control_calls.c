/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See control_calls.h. */
#include "control_calls.h"

#include <stddef.h>

struct blkio_mem_region control_regions[2];
struct guest control_guest;

static int do_connect(struct blkio *b)
{
	return blkio_connect(b);
}

static int do_start(struct blkio *b)
{
	return blkio_start(b);
}

static int do_map(struct blkio *b)
{
	return blkio_map_mem_region(b, &control_regions[0]);
}

static int map_async(struct blkio *b)
{
	return blkio_map_mem_region_async(b, &control_regions[0]);
}

static int do_unmap(struct blkio *b)
{
	blkio_unmap_mem_region(b, &control_regions[1]);
	return 0;
}

static int unmap_async(struct blkio *b)
{
	return blkio_unmap_mem_region_async(b, &control_regions[1]);
}

static int do_free(struct blkio *b)
{
	blkio_free_mem_region(b, &control_regions[1]);
	return 0;
}

static int do_add(struct blkio *b)
{
	return blkio_add_queue(b);
}

static int do_remove(struct blkio *b)
{
	return blkio_remove_queue(b, 1);
}

static int remove_async(struct blkio *b)
{
	return blkio_remove_queue_async(b, 1);
}

static int do_add_poll(struct blkio *b)
{
	return blkio_add_poll_queue(b);
}

static int do_remove_poll(struct blkio *b)
{
	return blkio_remove_poll_queue(b, 0);
}

static int remove_poll_async(struct blkio *b)
{
	return blkio_remove_poll_queue_async(b, 0);
}

static int get_capacity(struct blkio *b)
{
	uint64_t value;

	return blkio_get_uint64(b, "capacity", &value);
}

static int do_drain(struct blkio *b)
{
	return blkio_drain(b, NULL);
}

int control_start_vring(struct blkio *b)
{
	const struct blkio_vring v = guest_vring(&control_guest);

	return blkio_start_vring(b, 0, &v);
}

static int start_vring_async(struct blkio *b)
{
	const struct blkio_vring v = guest_vring(&control_guest);

	return blkio_start_vring_async(b, 0, &v);
}

static int do_stop_vring(struct blkio *b)
{
	return blkio_stop_vring(b, 0, NULL);
}

static int stop_vring_async(struct blkio *b)
{
	return blkio_stop_vring_async(b, 0, NULL);
}

static int get_config(struct blkio *b)
{
	char config[8];

	return blkio_get_device_config(b, config, sizeof(config));
}

const struct call call_connects = { CREATED, do_connect, blkio_connect_async, FAILS, FAILS };
const struct call call_starts = { CONNECTED, do_start, blkio_start_async, FAILS, FAILS };
const struct call call_maps = { STARTED, do_map, map_async, FAILS, NOTHING };
const struct call call_unmaps = { STARTED, do_unmap, unmap_async, ASKS, NOTHING };
const struct call call_frees = { STARTED, do_free, NULL, ASKS, NOTHING };
const struct call call_adds = { STARTED, do_add, blkio_add_queue_async, NOTHING, FAILS };
const struct call call_adds_poll = { STARTED, do_add_poll, blkio_add_poll_queue_async, NOTHING,
				     FAILS };
const struct call call_removes_poll = { STARTED, do_remove_poll, remove_poll_async, ASKS, NOTHING };
const struct call call_removes = { STARTED, do_remove, remove_async, ASKS, NOTHING };
const struct call call_starts_vring = { STARTED, control_start_vring, start_vring_async, FAILS,
					NOTHING };
const struct call call_stops_vring = { RUNNING, do_stop_vring, stop_vring_async, FAILS, NOTHING };
const struct call call_gets_config = { CONNECTED, get_config, NULL, FAILS, NOTHING };
const struct call call_asks_capacity = { STARTED, get_capacity, NULL, FAILS, NOTHING };
const struct call call_drains = { STARTED, do_drain, NULL, NOTHING, NOTHING };
