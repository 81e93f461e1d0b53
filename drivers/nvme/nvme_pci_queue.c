/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How an NVMe queue begins, drains and ends. The memory of all queues, in this order: what the core
 * needs, metadata, and of each queue: submission queue, completion queue, a page per command.
 */
#include <stdlib.h>
#include <sys/eventfd.h>

#include "nvme/nvme_pci.h"

/* ---- Memory of all queues ----------------------------------------------------------------- */

struct layout {
	size_t metadata, queues; /* where they begin */
	size_t metadata_len;	 /* of each of the two buffers */
	size_t cq, lists, len;	 /* within a queue's part */
};

static size_t pages(size_t len)
{
	return round_up(len, NVME_PAGE);
}

static struct layout layout_of(const struct nvme_pci_dev *d)
{
	uint64_t blocks = (uint64_t)d->b.lim.max_transfer >> d->ns.block_shift;
	struct layout l = { .metadata = pages(d->b.own.len) };

	l.metadata_len = pages(blocks * d->ns.metadata_size);
	l.queues = l.metadata + 2 * l.metadata_len;
	l.cq = pages(d->queue_size * sizeof(struct nvme_cmd));
	l.lists = l.cq + pages(d->queue_size * sizeof(struct nvme_cqe));
	l.len = l.lists + d->queue_size * sizeof(struct nvme_list);
	return l;
}

/* One region: without an IOMMU, a huge page each. */
int nvme_pci_alloc_memory(struct nvme_pci_dev *d)
{
	size_t n = d->b.num_queues + d->b.num_poll_queues;
	const struct layout l = layout_of(d);
	int ret = queue_memory_alloc(&d->b, &d->memory, l.queues + n * l.len, d->map);
	const struct bk_region *r;

	if (ret < 0)
		return ret;
	r = &d->memory->region;
	d->b.own.addr = r->addr;
	d->b.own.iova = r->iova;
	d->metadata_zeroes = r->iova + l.metadata;
	d->metadata_sink = d->metadata_zeroes + l.metadata_len;
	return 0;
}

void nvme_pci_free_memory(struct nvme_pci_dev *d)
{
	queue_memory_free(&d->b, &d->memory, d->unmap);
}

/* ---- Beginning ---------------------------------------------------------------------------- */

/* Where the queue's part is; zeroed, for an earlier blkio_start() may have failed. */
static struct nvme_ring_place place_ring(struct nvme_pci_queue *q)
{
	const struct layout l = layout_of(q->d);
	const struct bk_region *r = &q->d->memory->region;
	size_t at = l.queues + (q->id - 1) * l.len;
	char *mem = (char *)r->addr + at;

	memset(mem, 0, l.lists);
	q->lists = (void *)(mem + l.lists);
	q->lists_iova = r->iova + at + l.lists;
	return (struct nvme_ring_place){
		.sq = mem,
		.cq = mem + l.cq,
		.sq_iova = r->iova + at,
		.cq_iova = r->iova + at + l.cq,
	};
}

static int init_private(struct nvme_pci_queue *q)
{
	unsigned n = q->d->queue_size - 1; /* a full ring has one entry free */

	q->inflight = calloc(n, sizeof(*q->inflight));
	q->free_cids = calloc(n, sizeof(*q->free_cids));
	if (!q->inflight || !q->free_cids) {
		free(q->inflight);
		free(q->free_cids);
		return bk_err(ENOMEM, "out of memory");
	}
	while (q->nr_free < n) {
		q->free_cids[q->nr_free] = n - 1 - q->nr_free;
		q->nr_free++;
	}
	for (int op = BK_READ; op <= BK_WRITE; op++) {
		nvme_prep(&q->d->ns, &(struct bk_req){ .op = op }, &q->templates[op]);
		if (q->d->ns.metadata_size)
			q->templates[op].mptr =
			    op == BK_READ ? q->d->metadata_sink : q->d->metadata_zeroes;
	}
	if (q->d->ns.pi)
		q->q.submit = nvme_pci_submit_protected;
	return 0;
}

static void free_private(struct nvme_pci_queue *q)
{
	free(q->inflight);
	free(q->free_cids);
}

static void publish_queue(struct nvme_pci_queue *q, struct nvme_pci_queue *value)
{
	pthread_mutex_lock(&q->d->wake_lock);
	q->d->queues[q->id - 1] = value;
	pthread_mutex_unlock(&q->d->wake_lock);
}

static int start_ring(struct nvme_pci_queue *q)
{
	struct nvme_ring_place p = place_ring(q);
	int ret = nvme_pci_connect_interrupt(q, q->call_fd);

	if (ret < 0)
		return ret;
	nvme_ring_init(&q->ring, q->d, q->id, q->d->queue_size, &p);
	return nvme_pci_create_queue(q->d, q->id, q->ring.size, &p, q->vector);
}

int nvme_pci_queue_init(struct blkio *b, struct blkioq *bq)
{
	struct nvme_pci_queue *q = to_nvme_pci_queue(bq);
	int ret;

	q->d = to_nvme_pci_dev(b);
	q->id = 1 + bq->index + (bq->is_poll ? b->num_queues : 0);
	q->vector = bq->is_poll ? -1 : (int)nvme_pci_vector(q->d, q->id);
	ret = init_private(q);
	if (ret < 0)
		return ret;
	q->own_call_fd = eventfd(0, EFD_CLOEXEC);
	if (q->own_call_fd < 0) {
		ret = bk_err(errno, "cannot create queue %d: eventfd: %m", bq->index);
		goto free_private;
	}
	q->call_fd = q->own_call_fd;
	q->window.max_ns = b->poll_max_ns;
	if (q->d->use_shadows)
		bq->enter = nvme_pci_enter_shadow;
	ret = start_ring(q);
	if (ret < 0)
		goto close_call_fd;
	publish_queue(q, q);
	return 0;

close_call_fd:
	close(q->own_call_fd);
free_private:
	free_private(q);
	return ret;
}

/* ---- Draining and ending ------------------------------------------------------------------ */

/* Commands that were submitted, but not shown to the controller. */
static unsigned nr_unshown(const struct nvme_ring *r)
{
	return r->tail >= r->told_tail ? r->tail - r->told_tail : r->tail + r->size - r->told_tail;
}

static bool has_shown(const struct nvme_pci_queue *q)
{
	return nvme_pci_in_flight(q) > nr_unshown(&q->ring);
}

/* Give up a controller that is gone, or that has had its time; but not for one of many queues. */
static void give_up(struct nvme_pci_queue *q, bool cancel)
{
	if (!q->d->b.ending || nvme_pci_failure(q->d))
		return;
	if (cancel || nvme_pci_has_let_go(q->d) == BK_QUIET)
		nvme_pci_fail(q->d, "the device did not complete its requests in time");
}

enum bk_drained nvme_pci_drain(struct blkio *b, struct blkioq *bq, bool cancel)
{
	struct nvme_pci_queue *q = to_nvme_pci_queue(bq);

	(void)b;
	nvme_pci_reap(q);
	if (!q->dead && has_shown(q)) {
		give_up(q, cancel);
		nvme_pci_reap(q);
	}
	if (q->dead)
		return q->lost ? nvme_pci_has_let_go(q->d) : BK_QUIET;
	if (has_shown(q))
		return BK_BUSY;
	nvme_pci_cancel_unshown(q);
	return BK_QUIET;
}

void nvme_pci_queue_exit(struct blkio *b, struct blkioq *bq)
{
	struct nvme_pci_queue *q = to_nvme_pci_queue(bq);

	(void)b;
	publish_queue(q, NULL);
	nvme_pci_delete_queue(q->d, q->id);
	nvme_pci_connect_interrupt(q, -1);
	close(q->own_call_fd);
	free_private(q);
}
