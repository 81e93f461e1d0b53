/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The binary interface of libblkio 1.5, as compiled into the programs that use it. Never built into
 * anything: that it compiles is the test (header.py).
 */
#include "blkio.h"

#define SIZE(type, size)	  _Static_assert(sizeof(type) == (size), "size of " #type)
#define FIELD(type, member, at)	  _Static_assert(offsetof(type, member) == (at), #type "." #member)
#define VALUE(constant, expected) _Static_assert((constant) == (expected), #constant)

SIZE(struct blkio_mem_region, 40);
FIELD(struct blkio_mem_region, addr, 0);
FIELD(struct blkio_mem_region, len, 8);
FIELD(struct blkio_mem_region, iova, 16);
FIELD(struct blkio_mem_region, fd_offset, 24);
FIELD(struct blkio_mem_region, fd, 32);
FIELD(struct blkio_mem_region, flags, 36);

SIZE(struct blkio_completion, 32);
FIELD(struct blkio_completion, user_data, 0);
FIELD(struct blkio_completion, error_msg, 8);
FIELD(struct blkio_completion, ret, 16);
FIELD(struct blkio_completion, reserved_, 20);

SIZE(struct blkio_zone, 64);
FIELD(struct blkio_zone, start, 0);
FIELD(struct blkio_zone, len, 8);
FIELD(struct blkio_zone, capacity, 16);
FIELD(struct blkio_zone, write_pointer, 24);
FIELD(struct blkio_zone, zone_type, 32);
FIELD(struct blkio_zone, zone_state, 33);
FIELD(struct blkio_zone, reset, 34);
FIELD(struct blkio_zone, reserved_, 35);

/* Ours alone, and as final. */
FIELD(struct blkio_property_info, name, 0);
FIELD(struct blkio_property_info, doc, 8);
FIELD(struct blkio_property_info, type, 16);
FIELD(struct blkio_property_info, readable, 20);
FIELD(struct blkio_property_info, writable, 24);
SIZE(struct blkio_vring, 64);
FIELD(struct blkio_vring, desc, 8);
FIELD(struct blkio_vring, base, 32);
FIELD(struct blkio_vring, kick_fd, 36);
FIELD(struct blkio_vring, reserved_, 48);
SIZE(struct blkio_export, 40);
FIELD(struct blkio_export, name, 0);
FIELD(struct blkio_export, description, 8);
FIELD(struct blkio_export, size, 16);
SIZE(struct blkio_extent, 32);
FIELD(struct blkio_extent, start, 0);
FIELD(struct blkio_extent, len, 8);
FIELD(struct blkio_extent, flags, 16);
FIELD(struct blkio_extent, reserved_, 20);
VALUE(BLKIO_EXTENT_ALLOCATED, 1);
VALUE(BLKIO_EXTENT_ZERO, 2);
VALUE(BLKIO_TYPE_BOOL, 0);
VALUE(BLKIO_TYPE_INT, 1);
VALUE(BLKIO_TYPE_UINT64, 2);
VALUE(BLKIO_TYPE_STR, 3);
VALUE(BLKIO_STATE_CREATED, 1);
VALUE(BLKIO_STATE_CONNECTED, 2);
VALUE(BLKIO_STATE_STARTED, 4);

VALUE(BLKIO_REQ_FUA, 1);
VALUE(BLKIO_REQ_NO_UNMAP, 2);
VALUE(BLKIO_REQ_NO_FALLBACK, 4);
VALUE(BLKIO_ZONE_TYPE_CONVENTIONAL, 1);
VALUE(BLKIO_ZONE_TYPE_SEQWRITE_REQ, 2);
VALUE(BLKIO_ZONE_TYPE_SEQWRITE_PREF, 3);
VALUE(BLKIO_ZONE_STATE_EMPTY, 1);
VALUE(BLKIO_ZONE_STATE_IMP_OPEN, 2);
VALUE(BLKIO_ZONE_STATE_EXP_OPEN, 3);
VALUE(BLKIO_ZONE_STATE_CLOSED, 4);
VALUE(BLKIO_ZONE_STATE_READONLY, 0xD);
VALUE(BLKIO_ZONE_STATE_FULL, 0xE);
VALUE(BLKIO_ZONE_STATE_OFFLINE, 0xF);

/* Signatures: a pointer of exactly this type must be able to hold the function. */
#define SIGNATURE(ret, name, ...) extern ret (*const check_##name)(__VA_ARGS__)
#define SAME(ret, name, ...)                                                                       \
	SIGNATURE(ret, name, __VA_ARGS__);                                                         \
	ret (*const check_##name)(__VA_ARGS__) = name

SAME(const char *, blkio_get_error_msg, void);
SAME(int, blkio_create, const char *, struct blkio **);
SAME(int, blkio_connect, struct blkio *);
SAME(int, blkio_start, struct blkio *);
SAME(void, blkio_destroy, struct blkio **);
SAME(int, blkio_get_bool, struct blkio *, const char *, bool *);
SAME(int, blkio_get_int, struct blkio *, const char *, int *);
SAME(int, blkio_get_uint64, struct blkio *, const char *, uint64_t *);
SAME(int, blkio_get_str, struct blkio *, const char *, char **);
SAME(int, blkio_set_bool, struct blkio *, const char *, bool);
SAME(int, blkio_set_int, struct blkio *, const char *, int);
SAME(int, blkio_set_uint64, struct blkio *, const char *, uint64_t);
SAME(int, blkio_set_str, struct blkio *, const char *, const char *);
SAME(int, blkio_alloc_mem_region, struct blkio *, struct blkio_mem_region *, size_t);
SAME(void, blkio_free_mem_region, struct blkio *, const struct blkio_mem_region *);
SAME(int, blkio_map_mem_region, struct blkio *, const struct blkio_mem_region *);
SAME(void, blkio_unmap_mem_region, struct blkio *, const struct blkio_mem_region *);
SAME(struct blkioq *, blkio_get_queue, struct blkio *, int);
SAME(struct blkioq *, blkio_get_poll_queue, struct blkio *, int);
SAME(int, blkio_add_queue, struct blkio *);
SAME(int, blkio_add_poll_queue, struct blkio *);
SAME(int, blkio_remove_queue, struct blkio *, int);
SAME(int, blkio_remove_poll_queue, struct blkio *, int);
SAME(int, blkioq_get_completion_fd, struct blkioq *);
SAME(void, blkioq_set_completion_fd_enabled, struct blkioq *, bool);
SAME(void, blkioq_read, struct blkioq *, uint64_t, void *, size_t, void *, uint32_t);
SAME(void, blkioq_write, struct blkioq *, uint64_t, const void *, size_t, void *, uint32_t);
SAME(void, blkioq_readv, struct blkioq *, uint64_t, const struct iovec *, int, void *, uint32_t);
SAME(void, blkioq_writev, struct blkioq *, uint64_t, struct iovec *, int, void *, uint32_t);
SAME(void, blkioq_write_zeroes, struct blkioq *, uint64_t, uint64_t, void *, uint32_t);
SAME(void, blkioq_discard, struct blkioq *, uint64_t, uint64_t, void *, uint32_t);
SAME(void, blkioq_flush, struct blkioq *, void *, uint32_t);
SAME(void, blkioq_report_zones, struct blkioq *, uint64_t, struct blkio_zone *, uint32_t, void *,
     uint32_t);
SAME(void, blkioq_block_status, struct blkioq *, uint64_t, uint64_t, struct blkio_extent *,
     uint32_t, void *, uint32_t);
SAME(void, blkioq_zone_append, struct blkioq *, uint64_t, const void *, size_t, uint64_t *, void *,
     uint32_t);
SAME(void, blkioq_open_zone, struct blkioq *, uint64_t, void *, uint32_t);
SAME(void, blkioq_close_zone, struct blkioq *, uint64_t, void *, uint32_t);
SAME(void, blkioq_finish_zone, struct blkioq *, uint64_t, void *, uint32_t);
SAME(void, blkioq_reset_zone, struct blkioq *, uint64_t, void *, uint32_t);
SAME(void, blkioq_open_all_zones, struct blkioq *, void *, uint32_t);
SAME(void, blkioq_close_all_zones, struct blkioq *, void *, uint32_t);
SAME(void, blkioq_finish_all_zones, struct blkioq *, void *, uint32_t);
SAME(void, blkioq_reset_all_zones, struct blkioq *, void *, uint32_t);
SAME(int, blkioq_do_io, struct blkioq *, struct blkio_completion *, int, int, struct timespec *);
SAME(int, blkioq_do_io_interruptible, struct blkioq *, struct blkio_completion *, int, int,
     struct timespec *, const sigset_t *);
