/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Memory of virtio-blk queues, shared and private. Shared, of each queue in this order: the ring, a
 * slot per chain, larger tables for some.
 */
#include <stdlib.h>

#include "virtio/virtio_blk.h"

#define TABLES_MAX 256U

/* The parts of a queue's memory. */
struct queue_layout {
	struct virtq_config config;
	struct virtq_layout ring;
	size_t slots, tables, table_size, len;
	unsigned nr_tables;
};

static struct queue_layout layout_of(const struct virtio_blk *v)
{
	struct queue_layout l = {
		.config = {
			.size = v->queue_size,
			.packed = virtio_has(v, VIRTIO_F_RING_PACKED),
			.event_idx = virtio_has(v, VIRTIO_RING_F_EVENT_IDX),
			.indirect = virtio_has(v, VIRTIO_RING_F_INDIRECT_DESC),
		},
	};

	l.ring = virtq_layout(&l.config);
	l.slots = l.ring.len;
	l.tables = l.slots + l.config.size * sizeof(struct virtio_slot);
	if (l.config.indirect && v->b.lim.max_segments > 1) {
		l.table_size = (v->b.lim.max_segments + 2) * sizeof(struct vring_desc);
		l.nr_tables = min_u64(l.config.size, TABLES_MAX);
	}
	l.len = round_up(l.tables + l.nr_tables * l.table_size, page_size());
	return l;
}

/* ---- Memory of all queues ----------------------------------------------------------------- */

int virtio_blk_map(struct blkio *b, struct bk_region *region, int fd, int64_t fd_offset)
{
	struct virtio_blk *v = container_of(b, struct virtio_blk, b);

	return v->transport->map(v, region, fd, fd_offset);
}

void virtio_blk_unmap(struct blkio *b, const struct bk_region *region)
{
	struct virtio_blk *v = container_of(b, struct virtio_blk, b);

	v->transport->unmap(v, region);
}

size_t virtio_queue_memory(const struct virtio_blk *v)
{
	return layout_of(v).len;
}

/* One region for what the core needs, which comes first, and for all queues: devices have few. */
int virtio_alloc_memory(struct virtio_blk *v)
{
	size_t queues = v->b.num_queues + v->b.num_poll_queues;
	size_t len = v->b.own.len + virtio_queue_memory(v) * queues;
	int ret = queue_memory_alloc(&v->b, &v->memory, len, virtio_blk_map);

	if (ret < 0)
		return ret;
	v->b.own.addr = v->memory->region.addr;
	v->b.own.iova = v->memory->region.iova;
	return 0;
}

void virtio_free_memory(struct virtio_blk *v)
{
	queue_memory_free(&v->b, &v->memory, virtio_blk_unmap);
}

/* ---- A guest's rings ---------------------------------------------------------------------- */

int virtio_alloc_guests(struct virtio_blk *v)
{
	/* Also of a start that failed further on. */
	virtio_free_guests(v);
	if (!v->b.num_vrings)
		return 0;
	v->guests = calloc(v->b.num_vrings, sizeof(*v->guests));
	return v->guests ? 0 : bk_err(ENOMEM, "out of memory");
}

void virtio_free_guests(struct virtio_blk *v)
{
	free(v->guests);
	v->guests = NULL;
}

/* ---- Memory of a queue -------------------------------------------------------------------- */

void virtio_write_table(struct virtio_queue *q, uint16_t id)
{
	const struct virtq_buf bufs[3] = {
		{ virtio_slot_iova(q, id), sizeof(struct virtio_blk_outhdr), false },
		{ 0, 0, false },
		{ virtio_slot_iova(q, id) + offsetof(struct virtio_slot, status), 1, true },
	};

	virtq_write_table(&q->vq, q->slots[id].table, bufs, 3);
}

static void write_tables(struct virtio_queue *q)
{
	for (unsigned id = 0; id < q->vq.size; id++)
		virtio_write_table(q, id);
}

static int init_private(struct virtio_queue *q, const struct queue_layout *l, char *mem)
{
	q->inflight = calloc(l->config.size, sizeof(*q->inflight));
	q->table_of = calloc(l->config.size, sizeof(*q->table_of));
	q->losses = calloc(l->config.size, sizeof(*q->losses));
	q->free_tables = calloc(l->nr_tables + 1, sizeof(*q->free_tables));
	if (!q->inflight || !q->table_of || !q->losses || !q->free_tables ||
	    virtq_init(&q->vq, &l->config, mem) < 0) {
		free(q->inflight);
		free(q->table_of);
		free(q->losses);
		free(q->free_tables);
		return bk_err(ENOMEM, "out of memory");
	}
	for (q->nr_free_tables = 0; q->nr_free_tables < l->nr_tables; q->nr_free_tables++)
		q->free_tables[q->nr_free_tables] = q->nr_free_tables;
	return 0;
}

void virtio_queue_free(struct virtio_queue *q)
{
	virtq_exit(&q->vq);
	free(q->inflight);
	free(q->table_of);
	free(q->losses);
	free(q->free_tables);
}

static void init_pointers(struct virtio_queue *q, const struct queue_layout *l, char *mem,
			  uint64_t iova)
{
	q->slots = (void *)(mem + l->slots);
	q->slots_iova = iova + l->slots;
	q->tables = mem + l->tables;
	q->tables_iova = iova + l->tables;
	q->table_size = l->table_size;
	q->direct = !l->config.indirect;
	q->read_tail = virtq_desc_tail(&q->vq, 0, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 2);
	q->write_tail = virtq_desc_tail(&q->vq, 0, VRING_DESC_F_NEXT, 2);
	if (l->config.packed) { /* whose tables have no links */
		q->read_tail = virtq_desc_tail(&q->vq, 0, VRING_DESC_F_WRITE, 0);
		q->write_tail = 0;
	}
	q->vring.size = l->config.size;
	q->vring.desc = mem;
	q->vring.driver = mem + l->ring.driver;
	q->vring.device = mem + l->ring.device;
	q->vring.desc_iova = iova;
	q->vring.driver_iova = iova + l->ring.driver;
	q->vring.device_iova = iova + l->ring.device;
	write_tables(q);
}

int virtio_queue_alloc(struct virtio_queue *q)
{
	const struct virtio_blk *v = q->v;
	struct queue_layout l = layout_of(v);
	size_t offset = v->b.own.len + q->vring.index * l.len;
	char *mem = (char *)v->memory->region.addr + offset;
	int ret = init_private(q, &l, mem);

	if (!ret)
		init_pointers(q, &l, mem, v->memory->region.iova + offset);
	return ret;
}

void virtio_queue_renew(struct virtio_queue *q)
{
	struct queue_layout l = layout_of(q->v);

	virtq_reset(&q->vq, &l.config, q->vring.desc);
	write_tables(q);
}
