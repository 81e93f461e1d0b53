/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Property "register-buffers": mapped memory regions as registered buffers, which the kernel pins
 * once instead of for each direct request.
 *
 * Each ring has its own table, which only its own thread may change. So mapping a region touches no
 * ring: a queue that meets a changed region table brings its own up to date when it is next
 * entered, after it has submitted what there is: pinning takes long. Until then requests go
 * without. What the kernel refuses to register (memlock limit, file-backed memory, over 1 GiB) is
 * simply not in it.
 */
#include <stdlib.h>
#include <sys/uio.h>

#include "uring/dev.h"

#define SLOTS_MAX      1024
#define BUFFER_LEN_MAX (1ULL << 30)

void uring_buffers_init(struct uring_queue *q)
{
	struct uring_buffers *bufs = &q->buffers;
	struct io_uring_rsrc_register reg = {
		.nr = SLOTS_MAX, .flags = IORING_RSRC_REGISTER_SPARSE, /* Linux 5.19 */
	};

	bufs->id = calloc(SLOTS_MAX, sizeof(*bufs->id));
	if (bufs->id && uring_register(&q->ring, IORING_REGISTER_BUFFERS2, &reg, sizeof(reg)) >= 0)
		bufs->n = SLOTS_MAX;
}

void uring_buffers_exit(struct uring_queue *q)
{
	free(q->buffers.id);
}

/* An empty iovec takes the slot's buffer away. */
static bool update_slot(struct uring_queue *q, unsigned slot, const struct bk_region *r)
{
	struct iovec iov = { r ? (void *)r->addr : NULL, r ? r->len : 0 };
	__u64 tag = 0;
	struct io_uring_rsrc_update2 up = {
		.offset = slot,
		.data = (uintptr_t)&iov,
		.tags = (uintptr_t)&tag,
		.nr = 1,
	};

	return uring_register(&q->ring, IORING_REGISTER_BUFFERS_UPDATE, &up, sizeof(up)) == 1;
}

static void set_slot(struct uring_queue *q, unsigned slot, const struct bk_region *r)
{
	uint64_t *id = &q->buffers.id[slot];

	if (r && r->len <= BUFFER_LEN_MAX && update_slot(q, slot, r)) {
		*id = r->id;
		return;
	}
	if (*id)
		update_slot(q, slot, NULL);
	*id = 0;
}

/* Register these, and nothing else. There may be more than fit. */
static void set_slots(struct uring_queue *q, const struct bk_region *regions, size_t n)
{
	const struct bk_region *wanted[SLOTS_MAX] = { 0 };
	struct uring_buffers *bufs = &q->buffers;

	for (size_t i = 0; i < n && i < bufs->n; i++) {
		if (regions[i].slot < bufs->n)
			wanted[regions[i].slot] = &regions[i];
	}
	for (unsigned i = 0; i < bufs->n; i++) {
		if ((wanted[i] ? wanted[i]->id : 0) != bufs->id[i])
			set_slot(q, i, wanted[i]);
	}
}

/* While the table is being changed, its mirror is one that matches no generation: 0. */
void uring_buffers_update(struct uring_queue *q)
{
	struct uring_buffers *bufs = &q->buffers;
	uint64_t generation = bk_region_generation(q->q.b);
	struct bk_region *regions = calloc(bufs->n, sizeof(*regions));

	bufs->behind = false;
	uring_speed_up(&q->ring);
	if (!regions)
		return;
	set_slots(q, regions, bk_region_snapshot(q->q.b, regions, bufs->n));
	free(regions);
	bufs->hit = (struct bk_region){ 0 };
	/* Read before the snapshot: a change in between is seen as one more. */
	bufs->generation = generation & 1 ? 0 : generation;
}

int uring_buffers_find_slow(struct uring_queue *q, const void *addr, size_t len)
{
	struct uring_buffers *bufs = &q->buffers;
	const struct bk_region *r;

	if (!bufs->n)
		return -1;
	if (bufs->generation != bk_region_generation(q->q.b)) {
		bufs->behind = true;
		uring_slow_down(&q->ring);
	}
	r = bk_region_find(&q->q, addr, len);
	if (!r || r->slot >= bufs->n)
		return -1;
	/* It may have been refused, or the region may be newer than the mirror. */
	if (bufs->id[r->slot] != r->id)
		return -1;
	bufs->hit = *r;
	return r->slot;
}
