/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The memory of a virtio-blk queue, shared and private; how a queue begins and ends. Shared, in
 * this order: the ring, a slot per chain, larger tables for some.
 */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio/virtio_blk.h"

#define PAGE	     4096
#define TABLES_MAX   256U
#define EXIT_SECONDS 5

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
	l.len = round_up(l.tables + l.nr_tables * l.table_size, PAGE);
	return l;
}

size_t virtio_queue_memory(const struct virtio_blk *v)
{
	return layout_of(v).len;
}

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
	q->free_tables = calloc(l->nr_tables + 1, sizeof(*q->free_tables));
	if (!q->inflight || !q->table_of || !q->free_tables ||
	    virtq_init(&q->vq, &l->config, mem) < 0) {
		free(q->inflight);
		free(q->table_of);
		free(q->free_tables);
		return bk_err(ENOMEM, "out of memory");
	}
	for (q->nr_free_tables = 0; q->nr_free_tables < l->nr_tables; q->nr_free_tables++)
		q->free_tables[q->nr_free_tables] = q->nr_free_tables;
	return 0;
}

static void free_private(struct virtio_queue *q)
{
	virtq_exit(&q->vq);
	free(q->inflight);
	free(q->table_of);
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

void virtio_queue_renew(struct virtio_queue *q)
{
	struct queue_layout l = layout_of(q->v);

	virtq_reset(&q->vq, &l.config, q->vring.desc);
	write_tables(q);
}

static void publish_queue(struct virtio_queue *q, struct virtio_queue *value)
{
	pthread_mutex_lock(&q->v->wake_lock);
	q->v->queues[q->vring.index] = value;
	pthread_mutex_unlock(&q->v->wake_lock);
}

int virtio_blk_queue_init(struct blkio *b, struct blkioq *bq)
{
	struct virtio_blk *v = container_of(b, struct virtio_blk, b);
	struct virtio_queue *q = to_virtio_queue(bq);
	struct queue_layout l = layout_of(v);
	unsigned index = bq->index + (bq->is_poll ? b->num_queues : 0);
	char *mem = (char *)v->mem->region.addr + index * l.len;
	uint64_t iova = v->mem->region.iova + index * l.len;
	int ret;

	q->v = v;
	q->seen = q->vring.known = v->changes;
	q->vring.index = index;
	ret = init_private(q, &l, mem);
	if (ret < 0)
		return ret;
	init_pointers(q, &l, mem, iova);
	q->own_call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (q->own_call_fd < 0) {
		ret = bk_err(errno, "cannot create queue %d: eventfd: %m", bq->index);
		goto free_queue;
	}
	q->vring.call_fd = q->own_call_fd;
	if (!bq->is_poll && !v->transport->attend)
		q->vring.call_fd = bq->completion_fd;
	ret = v->transport->queue_start(v, q);
	if (ret < 0)
		goto close_call_fd;
	publish_queue(q, q);
	return 0;

close_call_fd:
	close(q->own_call_fd);
free_queue:
	free_private(q);
	return ret;
}

/* Let the device finish, for a while; what it returns goes nowhere. */
static void drain(struct virtio_queue *q)
{
	int64_t deadline = now_ns() + EXIT_SECONDS * NSEC_PER_SEC;
	const struct timespec pause = { .tv_nsec = 100000 };
	uint32_t len;
	uint16_t id;

	if (virtq_publish(&q->vq))
		virtio_kick(q);
	while (q->vq.inflight && !virtio_failure(q->v)) {
		int ret = virtq_get(&q->vq, &id, &len);

		if (virtio_changed(q))
			virtio_queue_act(q);

		if (ret < 0)
			virtio_fail(q->v, "the device broke the rules of the virtqueue");
		else if (!ret && now_ns() > deadline)
			virtio_fail(q->v, "the device does not finish its requests");
		else if (!ret)
			nanosleep(&pause, NULL);
	}
}

void virtio_blk_queue_exit(struct blkio *b, struct blkioq *bq)
{
	struct virtio_blk *v = container_of(b, struct virtio_blk, b);
	struct virtio_queue *q = to_virtio_queue(bq);

	if (!q->dead)
		drain(q);
	/* First, so that queue_stop() need only wait for a watching thread that knows it still. */
	publish_queue(q, NULL);
	v->transport->queue_stop(v, q);
	close(q->own_call_fd);
	free_private(q);
}
