/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * virtio-blk queues: from requests to buffers.
 *
 * A request in flight has a slot, by the id of its chain: header, status and the table of the usual
 * three descriptors. The tables are written once; a plain request changes one descriptor of its
 * table. Requests with several segments take a larger table from a pool.
 */
#include "virtio/virtio_blk.h"

#define SECTOR_SHIFT 9
/* One operation moves so much at most (a chain is below 4 GiB); the core asks for the rest. */
#define TRANSFER_MAX (1U << 30)
/* Header, range and status. Devices exist that count what they read as written, too. */
#define OVERHEAD_MAX 33

_Static_assert(BK_READ == VIRTIO_BLK_T_IN && BK_WRITE == VIRTIO_BLK_T_OUT, "op is the type");

static inline void set_header(struct virtio_slot *s, uint32_t type, uint64_t start)
{
	/* ioprio stays 0 */
	VIRTQ_STORE(s->hdr.type, htole32(type));
	VIRTQ_STORE(s->hdr.sector, htole64(start >> SECTOR_SHIFT));
	VIRTQ_STORE(s->status, VIRTIO_STATUS_UNSET);
}

static inline void set_inflight(struct virtio_queue *q, uint16_t id, struct bk_req *r,
				uint32_t bytes)
{
	q->inflight[id] = (struct virtio_inflight){
		.req = r,
		.result = bytes,
		.most_used = bytes + OVERHEAD_MAX,
	};
}

/* ---- Submission: all but plain reads and writes ------------------------------------------- */

struct bufs {
	struct virtq_buf buf[VIRTIO_SEGMENTS_MAX + 2];
	unsigned n;
};

static void add_buf(struct bufs *l, uint64_t iova, uint32_t len, bool device_writes)
{
	l->buf[l->n++] = (struct virtq_buf){ iova, len, device_writes };
}

/* A segment, in buffers that the device takes, for as many as a request may have; the bytes. */
static uint64_t add_segment(const struct bk_limits *lim, struct bufs *l, uint64_t iova,
			    uint64_t len, bool device_writes)
{
	uint64_t most = lim->max_segment_len ? (uint64_t)lim->max_segment_len : TRANSFER_MAX;
	uint64_t done = 0;

	/* One is the header. */
	while (done < len && l->n <= (unsigned)lim->max_segments) {
		uint32_t n = min_u64(len - done, most);

		add_buf(l, iova + done, n, device_writes);
		done += n;
	}
	return done;
}

static void cut(struct bufs *l, uint32_t bytes)
{
	while (bytes) {
		struct virtq_buf *last = &l->buf[l->n - 1];
		uint32_t n = min_u64(last->len, bytes);

		last->len -= n;
		bytes -= n;
		if (!last->len)
			l->n--;
	}
}

/* What the device takes at once of r, in whole blocks; the number of bytes or -errno. */
static int64_t add_segments(struct virtio_queue *q, struct bk_req *r, struct bufs *l)
{
	const struct bk_limits *lim = &q->v->b.lim;
	uint64_t most = min_u64(r->len, TRANSFER_MAX), total = 0, odd;

	for (int i = 0; total < most && l->n <= (unsigned)lim->max_segments; i++) {
		const struct iovec *v = &r->iov[i];
		const struct bk_region *region;

		if (!v->iov_len)
			continue;
		region = bk_region_find(&q->q, v->iov_base, v->iov_len);
		if (!region) {
			r->error_msg = "a buffer is not in a mapped memory region";
			return -EINVAL;
		}
		total += add_segment(lim, l, region->iova + ((uintptr_t)v->iov_base - region->addr),
				     min_u64(v->iov_len, most - total), r->op == BK_READ);
	}
	odd = total % (unsigned)lim->request_alignment;
	cut(l, odd);
	if (total > odd)
		return (int64_t)(total - odd);
	r->error_msg = "a block spans more segments than property max-segments allows";
	return -EINVAL;
}

static void set_range(struct virtio_slot *s, const struct bk_req *r)
{
	bool unmap = r->op == BK_WRITE_ZEROES && !(r->flags & BLKIO_REQ_NO_UNMAP);

	s->range = (struct virtio_blk_discard_write_zeroes){
		.sector = htole64(r->start >> SECTOR_SHIFT),
		.num_sectors = htole32(r->len >> SECTOR_SHIFT),
		.flags = htole32(unmap ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0),
	};
}

static uint32_t type_of(const struct bk_req *r)
{
	static const uint8_t types[] = {
		[BK_READ] = VIRTIO_BLK_T_IN,
		[BK_WRITE] = VIRTIO_BLK_T_OUT,
		[BK_WRITE_ZEROES] = VIRTIO_BLK_T_WRITE_ZEROES,
		[BK_DISCARD] = VIRTIO_BLK_T_DISCARD,
		[BK_FLUSH] = 4, /* VIRTIO_BLK_T_FLUSH */
	};

	return types[r->op];
}

static void add_list(struct virtio_queue *q, uint16_t id, const struct bufs *l)
{
	struct virtio_slot *s = &q->slots[id];
	uint32_t len = l->n * sizeof(struct vring_desc);
	unsigned table;

	q->table_of[id] = VIRTIO_NO_TABLE;
	if (q->direct) {
		virtq_add_chain(&q->vq, l->buf, l->n);
		return;
	}
	if (l->n <= ARRAY_SIZE(s->table)) {
		virtq_write_table(&q->vq, s->table, l->buf, l->n);
		virtq_add_indirect(
		    &q->vq, virtio_slot_iova(q, id) + offsetof(struct virtio_slot, table), len);
		return;
	}
	table = q->free_tables[--q->nr_free_tables];
	q->table_of[id] = table;
	virtq_write_table(&q->vq, q->tables + table * q->table_size, l->buf, l->n);
	virtq_add_indirect(&q->vq, q->tables_iova + table * q->table_size, len);
}

static bool list_fits(const struct virtio_queue *q, const struct bufs *l)
{
	if (q->direct)
		return virtq_has_room(&q->vq, l->n);
	return virtq_has_room(&q->vq, 1) && (l->n <= 3 || q->nr_free_tables);
}

/* Only where it is known that id is the next one: what it points to is not in flight. */
static cold_path void submit_slow(struct virtio_queue *q, struct bk_req *r)
{
	uint16_t id = virtq_next_id(&q->vq);
	struct virtio_slot *s = &q->slots[id];
	uint64_t iova = virtio_slot_iova(q, id);
	int64_t bytes = 0;
	struct bufs l;

	if (r->op == BK_FLUSH && !virtio_has(q->v, VIRTIO_BLK_F_FLUSH)) {
		bk_complete(&q->q, r, 0); /* there is no cache to flush */
		return;
	}
	l.n = 0;
	add_buf(&l, iova, sizeof(s->hdr), false);
	if (bk_is_rw(r))
		bytes = add_segments(q, r, &l);
	else if (r->op != BK_FLUSH)
		add_buf(&l, iova + offsetof(struct virtio_slot, range), sizeof(s->range), false);
	if (bytes < 0) {
		bk_complete(&q->q, r, bytes);
		return;
	}
	add_buf(&l, iova + offsetof(struct virtio_slot, status), 1, true);
	if (!list_fits(q, &l)) {
		bk_full(&q->q, r);
		return;
	}

	set_header(s, type_of(r), bk_is_rw(r) ? r->start : 0);
	if (r->op == BK_DISCARD || r->op == BK_WRITE_ZEROES)
		set_range(s, r);
	set_inflight(q, id, r, bytes);
	add_list(q, id, &l);
}

/* ---- Submission --------------------------------------------------------------------------- */

void virtio_blk_submit(struct blkioq *bq, struct bk_req *r)
{
	struct virtio_queue *q = to_virtio_queue(bq);
	const struct iovec *v = &r->one;
	const struct bk_region *region = NULL;
	struct virtio_slot *s;
	uint16_t id;

	if (likely(!r->special && !q->direct && v->iov_len <= TRANSFER_MAX))
		region = bk_region_find(bq, v->iov_base, v->iov_len);
	if (unlikely(!region)) {
		submit_slow(q, r);
		return;
	}
	if (unlikely(!virtq_has_room(&q->vq, 1))) {
		bk_full(bq, r);
		return;
	}
	id = virtq_next_id(&q->vq);
	s = &q->slots[id];
	set_header(s, r->op, r->start);
	virtq_write_desc(&s->table[1], region->iova + ((uintptr_t)v->iov_base - region->addr),
			 (r->op == BK_READ ? q->read_tail : q->write_tail) |
			     htole64((uint32_t)v->iov_len));
	set_inflight(q, id, r, v->iov_len);
	virtq_add_indirect(&q->vq, virtio_slot_iova(q, id) + offsetof(struct virtio_slot, table),
			   sizeof(s->table));
}
