/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The properties that every driver has. Most are the fields of struct bk_limits. */
#include "core.h"

#define FIELD(member) offsetof(struct blkio, member)
#define LIMIT(member) offsetof(struct blkio, lim.member)

#define BOUNCE_BUFFERS_MAX     65536
#define BOUNCE_BUFFER_SIZE_MIN 512
#define BOUNCE_BUFFER_SIZE_MAX (1 << 30)

static int get_can_add_queues(struct blkio *b, union bk_val *val)
{
	val->b = b->drv->can_add_queues;
	return 0;
}

static int get_driver(struct blkio *b, union bk_val *val)
{
	val->s = b->drv->name;
	return 0;
}

static int capacity_call(struct blkio *b, const union bk_call_args *args)
{
	int ret = bk_check_gone(b);

	return ret < 0 ? ret : b->drv->capacity(b, args->bytes);
}

static int get_capacity(struct blkio *b, union bk_val *val)
{
	return bk_control_call(b, capacity_call, &(union bk_call_args){ .bytes = &val->u });
}

/* With bounce buffers, requests may use any memory. */
static int get_needs_mem_regions(struct blkio *b, union bk_val *val)
{
	val->b = b->lim.needs_mem_regions && !b->bounce_buffers;
	return 0;
}

const struct bk_prop bk_common_props[] = {
	{ "can-add-queues", "Whether blkio_add_queue() works on a started instance.", BK_BOOL,
	  BK_GET_ALWAYS, BK_SET_NEVER, .get = get_can_add_queues },
	{ "driver", "The driver's name, as given to blkio_create().", BK_STR, BK_GET_ALWAYS,
	  BK_SET_NEVER, .get = get_driver },
	{ "read-only",
	  "Fail all requests other than reads and flushes with EBADF. If fd is a file that was "
	  "opened only for reading, this reads as true after blkio_connect(); with io_uring and "
	  "fd, only the mode of fd counts.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CREATED, FIELD(read_only) },
	{ "auto-read-only",
	  "If the device cannot be written, connect as if read-only were set; read-only then reads "
	  "as true.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CREATED, FIELD(auto_read_only) },

	{ "capacity", "The size of the device in bytes, read from the device each time.", BK_UINT64,
	  BK_GET_CONNECTED, BK_SET_NEVER, .get = get_capacity },
	{ "max-queues", "The largest number of queues, poll queues included.", BK_INT,
	  BK_GET_TOPOLOGY, BK_SET_NEVER, LIMIT(max_queues) },
	{ "num-queues", "The number of queues that blkio_start() creates; 1 by default.", BK_INT,
	  BK_GET_ALWAYS, BK_SET_CONNECTED, FIELD(num_queues), .max = INT_MAX },
	{ "num-poll-queues", "The number of poll queues that blkio_start() creates; 0 by default.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CONNECTED, FIELD(num_poll_queues), .max = INT_MAX },
	{ "supports-poll-queues", "Whether this device can have poll queues.", BK_BOOL,
	  BK_GET_ALWAYS, BK_SET_NEVER, LIMIT(supports_poll_queues) },

	{ "max-mem-regions", "The largest number of mapped memory regions.", BK_UINT64,
	  BK_GET_TOPOLOGY, BK_SET_NEVER, LIMIT(max_mem_regions) },
	{ "may-pin-mem-regions",
	  "Whether mapped pages may be pinned; madvise(MADV_DONTNEED) has no effect on pinned "
	  "pages.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_NEVER, LIMIT(may_pin_mem_regions) },
	{ "mem-region-alignment",
	  "The address and length of a memory region must be multiples of this many bytes.",
	  BK_UINT64, BK_GET_LIMIT, BK_SET_NEVER, LIMIT(mem_region_alignment) },
	{ "needs-mem-regions",
	  "Whether buffers must lie in mapped memory regions; false with "
	  "bounce-buffers.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_NEVER, .get = get_needs_mem_regions },
	{ "needs-mem-region-fd", "Whether memory regions must have a file descriptor.", BK_BOOL,
	  BK_GET_ALWAYS, BK_SET_NEVER, LIMIT(needs_mem_region_fd) },

	{ "bounce-buffers",
	  "The number of bounce buffers per queue, for requests whose own buffers the device "
	  "cannot use because they are not mapped or not aligned; 0, the default, disables them. "
	  "They are allocated with the queue.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CONNECTED, FIELD(bounce_buffers),
	  .max = BOUNCE_BUFFERS_MAX },
	{ "bounce-buffer-size",
	  "The size of each bounce buffer in bytes; 131072 by default. Longer requests are split.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CONNECTED, FIELD(bounce_buffer_size),
	  .min = BOUNCE_BUFFER_SIZE_MIN, .max = BOUNCE_BUFFER_SIZE_MAX },

	{ "optimal-io-alignment",
	  "The alignment of start and length in bytes that gives the best performance.", BK_INT,
	  BK_GET_LIMIT, BK_SET_NEVER, LIMIT(optimal_io_alignment) },
	{ "optimal-io-size",
	  "The request length in bytes that gives the highest throughput; 0 if unknown.", BK_INT,
	  BK_GET_LIMIT, BK_SET_NEVER, LIMIT(optimal_io_size) },
	{ "request-alignment",
	  "The start and length of every request must be multiples of this many bytes.", BK_INT,
	  BK_GET_LIMIT, BK_SET_NEVER, LIMIT(request_alignment) },
	{ "flush-needed", "Whether written data reaches stable storage only after a flush.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_NEVER, LIMIT(flush_needed) },

	{ "buf-alignment",
	  "The address of every buffer and the length of each of its segments must be multiples of "
	  "this many bytes.",
	  BK_INT, BK_GET_LIMIT, BK_SET_NEVER, LIMIT(buf_alignment) },
	{ "can-grow",
	  "Whether writes past the end extend the device, and reads past the end return zeroes.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_NEVER, LIMIT(can_grow) },
	{ "max-segments", "The largest iovcnt of a request.", BK_INT, BK_GET_LIMIT, BK_SET_NEVER,
	  LIMIT(max_segments) },
	{ "max-segment-len", "The largest segment of a request in bytes; 0 if unlimited.", BK_INT,
	  BK_GET_LIMIT, BK_SET_NEVER, LIMIT(max_segment_len) },
	{ "max-transfer", "The largest read or write in bytes; 0 if unlimited.", BK_INT,
	  BK_GET_LIMIT, BK_SET_NEVER, LIMIT(max_transfer) },
	{ "optimal-buf-alignment",
	  "The alignment of buffers in bytes that gives the best performance.", BK_INT,
	  BK_GET_LIMIT, BK_SET_NEVER, LIMIT(optimal_buf_alignment) },
	{ "supports-fua-natively",
	  "Whether the device itself supports BLKIO_REQ_FUA on writes; if not, a flush follows "
	  "each such write.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_NEVER, LIMIT(supports_fua_natively) },

	{ "atomic-write-unit-min",
	  "The shortest write with BLKIO_REQ_ATOMIC in bytes; 0 if the device has none.", BK_UINT64,
	  BK_GET_LIMIT, BK_SET_NEVER, LIMIT(atomic.min) },
	{ "atomic-write-unit-max",
	  "The longest write with BLKIO_REQ_ATOMIC in bytes; 0 if the device has none.", BK_UINT64,
	  BK_GET_LIMIT, BK_SET_NEVER, LIMIT(atomic.max) },
	{ "atomic-write-boundary",
	  "A write with BLKIO_REQ_ATOMIC must not cross a multiple of this many bytes; 0 if it "
	  "may.",
	  BK_UINT64, BK_GET_LIMIT, BK_SET_NEVER, LIMIT(atomic.boundary) },
	{ "atomic-write-boundary-offset",
	  "The offset in bytes that multiples of atomic-write-boundary are counted from.",
	  BK_UINT64, BK_GET_LIMIT, BK_SET_NEVER, LIMIT(atomic.boundary_offset) },

	{ "max-write-zeroes-len", "The largest write-zeroes request in bytes; 0 if unlimited.",
	  BK_UINT64, BK_GET_LIMIT, BK_SET_NEVER, LIMIT(max_write_zeroes_len) },
	{ "discard-alignment",
	  "The start (minus discard-alignment-offset) and the length of a discard should be "
	  "multiples of this many bytes.",
	  BK_INT, BK_GET_LIMIT, BK_SET_NEVER, LIMIT(discard_alignment) },
	{ "discard-alignment-offset", "The offset in bytes of the first aligned discard.", BK_INT,
	  BK_GET_LIMIT, BK_SET_NEVER, LIMIT(discard_alignment_offset) },
	{ "max-discard-len", "The largest discard in bytes; 0 if unlimited.", BK_UINT64,
	  BK_GET_LIMIT, BK_SET_NEVER, LIMIT(max_discard_len) },
	{ 0 },
};
