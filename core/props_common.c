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

static int get_capacity(struct blkio *b, union bk_val *val)
{
	return b->drv->capacity(b, &val->u);
}

/* Who has bounce buffers may use any memory. */
static int get_needs_mem_regions(struct blkio *b, union bk_val *val)
{
	val->b = b->lim.needs_mem_regions && !b->bounce_buffers;
	return 0;
}

static int check_bounce_buffers(struct blkio *b, const struct bk_prop *p, const union bk_val *val)
{
	(void)b;
	if (val->i < 0 || val->i > BOUNCE_BUFFERS_MAX)
		return bk_err(EINVAL, "property \"%s\" must be from 0 to %d, got %d", p->name,
			      BOUNCE_BUFFERS_MAX, val->i);
	return 0;
}

static int check_bounce_buffer_size(struct blkio *b, const struct bk_prop *p,
				    const union bk_val *val)
{
	(void)b;
	if (val->i < BOUNCE_BUFFER_SIZE_MIN || val->i > BOUNCE_BUFFER_SIZE_MAX)
		return bk_err(EINVAL, "property \"%s\" must be from %d to %d bytes, got %d",
			      p->name, BOUNCE_BUFFER_SIZE_MIN, BOUNCE_BUFFER_SIZE_MAX, val->i);
	return 0;
}

static int check_not_negative(struct blkio *b, const struct bk_prop *p, const union bk_val *val)
{
	(void)b;
	if (val->i < 0)
		return bk_err(EINVAL, "property \"%s\" must not be negative, got %d", p->name,
			      val->i);
	return 0;
}

const struct bk_prop bk_common_props[] = {
	{ "can-add-queues", "Whether blkio_add_queue() works on a started instance.", BK_BOOL,
	  BK_GET_ALWAYS, BK_SET_NEVER, .get = get_can_add_queues },
	{ "driver", "The driver's name, as given to blkio_create().", BK_STR, BK_GET_ALWAYS,
	  BK_SET_NEVER, .get = get_driver },
	{ "read-only", "Refuse requests that are not reads or flushes, with EBADF.", BK_BOOL,
	  BK_GET_ALWAYS, BK_SET_CREATED, FIELD(read_only) },
	{ "auto-read-only",
	  "Connect to what cannot be written as if read-only had been set, and "
	  "let read-only tell.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_CREATED, FIELD(auto_read_only) },

	{ "capacity", "The size of the device in bytes, asked anew each time.", BK_UINT64,
	  BK_GET_CONNECTED, BK_SET_NEVER, .get = get_capacity },
	{ "max-queues", "The largest number of queues, poll queues included.", BK_INT,
	  BK_GET_TOPOLOGY, BK_SET_NEVER, LIMIT(max_queues) },
	{ "num-queues", "How many queues blkio_start() makes; 1 by default.", BK_INT, BK_GET_ALWAYS,
	  BK_SET_CONNECTED, FIELD(num_queues), .check = check_not_negative },
	{ "num-poll-queues", "How many poll queues blkio_start() makes; 0 by default.", BK_INT,
	  BK_GET_ALWAYS, BK_SET_CONNECTED, FIELD(num_poll_queues), .check = check_not_negative },
	{ "supports-poll-queues", "Whether this device can have poll queues.", BK_BOOL,
	  BK_GET_ALWAYS, BK_SET_NEVER, LIMIT(supports_poll_queues) },

	{ "max-mem-regions", "The largest number of mapped memory regions.", BK_UINT64,
	  BK_GET_TOPOLOGY, BK_SET_NEVER, LIMIT(max_mem_regions) },
	{ "may-pin-mem-regions",
	  "Whether mapped pages may be pinned, so that "
	  "madvise(MADV_DONTNEED) has no effect on them.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_NEVER, LIMIT(may_pin_mem_regions) },
	{ "mem-region-alignment",
	  "What the address and length of memory regions must be a "
	  "multiple of, in bytes.",
	  BK_UINT64, BK_GET_LIMIT, BK_SET_NEVER, LIMIT(mem_region_alignment) },
	{ "needs-mem-regions",
	  "Whether buffers must lie in mapped memory regions; false with "
	  "bounce-buffers.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_NEVER, .get = get_needs_mem_regions },
	{ "needs-mem-region-fd", "Whether memory regions must have a file descriptor.", BK_BOOL,
	  BK_GET_ALWAYS, BK_SET_NEVER, LIMIT(needs_mem_region_fd) },

	{ "bounce-buffers",
	  "How many buffers each queue has for requests whose own buffers the device cannot use, "
	  "as they are not mapped or not aligned; 0, the default, for none. Where regions are "
	  "needed, those of a queue are one more.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CONNECTED, FIELD(bounce_buffers),
	  .check = check_bounce_buffers },
	{ "bounce-buffer-size",
	  "The size of a bounce buffer in bytes, 131072 by default; longer "
	  "requests are done in pieces.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CONNECTED, FIELD(bounce_buffer_size),
	  .check = check_bounce_buffer_size },

	{ "optimal-io-alignment",
	  "The alignment of start and length in bytes at which requests "
	  "are fastest.",
	  BK_INT, BK_GET_LIMIT, BK_SET_NEVER, LIMIT(optimal_io_alignment) },
	{ "optimal-io-size",
	  "The request length in bytes at which throughput is highest; 0 if "
	  "unknown.",
	  BK_INT, BK_GET_LIMIT, BK_SET_NEVER, LIMIT(optimal_io_size) },
	{ "request-alignment",
	  "What the start and length of every request must be a multiple "
	  "of, in bytes.",
	  BK_INT, BK_GET_LIMIT, BK_SET_NEVER, LIMIT(request_alignment) },
	{ "flush-needed", "Whether written data needs a flush to be on stable storage.", BK_BOOL,
	  BK_GET_ALWAYS, BK_SET_NEVER, LIMIT(flush_needed) },

	{ "buf-alignment",
	  "What the addresses of buffers and the lengths of their segments must "
	  "be a multiple of, in bytes.",
	  BK_INT, BK_GET_LIMIT, BK_SET_NEVER, LIMIT(buf_alignment) },
	{ "can-grow",
	  "Whether writes past the end extend the device and reads there give "
	  "zeroes.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_NEVER, LIMIT(can_grow) },
	{ "max-segments", "The largest iovcnt of a request.", BK_INT, BK_GET_LIMIT, BK_SET_NEVER,
	  LIMIT(max_segments) },
	{ "max-segment-len", "The largest segment of a request in bytes; 0 if unlimited.", BK_INT,
	  BK_GET_LIMIT, BK_SET_NEVER, LIMIT(max_segment_len) },
	{ "max-transfer", "The largest read or write in bytes; 0 if unlimited.", BK_INT,
	  BK_GET_LIMIT, BK_SET_NEVER, LIMIT(max_transfer) },
	{ "optimal-buf-alignment",
	  "The alignment of buffers in bytes at which requests are "
	  "fastest.",
	  BK_INT, BK_GET_LIMIT, BK_SET_NEVER, LIMIT(optimal_buf_alignment) },
	{ "supports-fua-natively",
	  "Whether the device itself honours BLKIO_REQ_FUA on writes; "
	  "else a flush follows them.",
	  BK_BOOL, BK_GET_ALWAYS, BK_SET_NEVER, LIMIT(supports_fua_natively) },

	{ "max-write-zeroes-len", "The largest write-zeroes request in bytes; 0 if unlimited.",
	  BK_UINT64, BK_GET_LIMIT, BK_SET_NEVER, LIMIT(max_write_zeroes_len) },
	{ "discard-alignment",
	  "What the start (less discard-alignment-offset) and length of "
	  "discards should be a multiple of, in bytes.",
	  BK_INT, BK_GET_LIMIT, BK_SET_NEVER, LIMIT(discard_alignment) },
	{ "discard-alignment-offset", "The offset in bytes of the first aligned discard.", BK_INT,
	  BK_GET_LIMIT, BK_SET_NEVER, LIMIT(discard_alignment_offset) },
	{ "max-discard-len", "The largest discard in bytes; 0 if unlimited.", BK_UINT64,
	  BK_GET_LIMIT, BK_SET_NEVER, LIMIT(max_discard_len) },
	{ 0 },
};
