/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * virtio-blk queues: from requests to buffers and back, kick, sleep and spin.
 *
 * A request in flight has a slot, by the id of its chain: header, status and the table of the usual
 * three descriptors. The tables are written once; a plain request changes one descriptor of its
 * table. Requests with several segments take a larger table from a pool.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/comeback.h"
#include "virtio/virtio_blk.h"

#define SECTOR_SHIFT 9
/* One operation moves so much at most (a chain is below 4 GiB); the core asks for the rest. */
#define TRANSFER_MAX (1U << 30)
#define STATUS_UNSET 0xff
/* Header, range and status. Devices exist that count what they read as written, too. */
#define OVERHEAD_MAX 33
#define NO_TABLE     UINT16_MAX
#define TELL_MS	     500 /* for the device to learn of a completion fd */

_Static_assert(BK_READ == VIRTIO_BLK_T_IN && BK_WRITE == VIRTIO_BLK_T_OUT, "op is the type");

static inline void set_header(struct virtio_slot *s, uint32_t type, uint64_t start)
{
	/* ioprio stays 0 */
	VIRTQ_STORE(s->hdr.type, htole32(type));
	VIRTQ_STORE(s->hdr.sector, htole64(start >> SECTOR_SHIFT));
	VIRTQ_STORE(s->status, STATUS_UNSET);
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

	q->table_of[id] = NO_TABLE;
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

/* ---- Completion --------------------------------------------------------------------------- */

static cold_path void finish_odd(struct virtio_queue *q, const struct virtio_inflight *f,
				 uint8_t status, uint32_t written)
{
	if (written > f->most_used)
		bk_fail(&q->q, f->req, EIO,
			"the device reports that it used more bytes than the request has");
	else if (status == VIRTIO_BLK_S_IOERR)
		bk_complete(&q->q, f->req, -EIO);
	else if (status == VIRTIO_BLK_S_UNSUPP)
		bk_complete(&q->q, f->req, -ENOTSUP);
	else if (status == STATUS_UNSET)
		bk_fail(&q->q, f->req, EPROTO, "the device returned the request without a status");
	else
		bk_fail(&q->q, f->req, EPROTO, "the device returned an unknown status");
}

/* Put the table of a request that was not plain back to where, or as, it was. */
static cold_path void put_table(struct virtio_queue *q, uint16_t id)
{
	if (q->direct)
		return;
	if (q->table_of[id] != NO_TABLE)
		q->free_tables[q->nr_free_tables++] = q->table_of[id];
	else
		virtio_write_table(q, id);
}

static void reap_ring(struct virtio_queue *q)
{
	uint32_t written;
	uint16_t id;
	int ret;

	do {
		struct virtio_inflight *f;
		struct bk_req *r;
		uint8_t status;

		ret = virtq_get(&q->vq, &id, &written);
		if (ret <= 0)
			break;
		f = &q->inflight[id];
		r = f->req;
		status = VIRTQ_LOAD(q->slots[id].status);
		if (unlikely(r->special))
			put_table(q, id);
		if (likely(status == VIRTIO_BLK_S_OK && written <= f->most_used))
			bk_complete(&q->q, r, f->result);
		else
			finish_odd(q, f, status, written);
	} while (virtq_may_have_more(&q->vq));
	if (unlikely(ret < 0))
		virtio_fail(q->v, "the device violated the virtqueue protocol");
}

/* ---- Failure and loss of the device ------------------------------------------------------- */

static int enter_after_loss(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w);

/* What becomes of a request that is taken back. */
typedef void fate(struct virtio_queue *q, struct bk_req *r);

static void fail(struct virtio_queue *q, struct bk_req *r)
{
	bk_fail(&q->q, r, q->v->failure_errno, q->v->failure);
}

static void retry(struct virtio_queue *q, struct bk_req *r)
{
	comeback_retry(&q->q, r, q->vring.told_epoch == q->ring_epoch);
}

static void cancel(struct virtio_queue *q, struct bk_req *r)
{
	bk_cancel(&q->q, r);
}

/* Take back what is in flight. */
static void take_back(struct virtio_queue *q, fate *end_of)
{
	for (unsigned id = 0; id < q->vq.size && q->vq.inflight; id++) {
		struct bk_req *r = q->inflight[id].req;

		if (!q->vq.chain[id].len)
			continue;
		if (r->special)
			put_table(q, id);
		virtq_forget(&q->vq, id);
		end_of(q, r);
	}
}

void virtio_queue_cancel(struct virtio_queue *q)
{
	take_back(q, cancel);
}

static void fail_again(struct virtio_queue *q, struct bk_req *r)
{
	bk_retry(&q->q, r);
}

/*
 * The device has a guest's rings. What is left on ours it was not shown: before it gets them again,
 * it is taken back.
 */
static void take_back_if_held(struct virtio_queue *q)
{
	pthread_mutex_lock(&q->v->wake_lock);
	if (q->v->held && q->vq.inflight) {
		take_back(q, fail_again);
		virtio_queue_renew(q);
		q->vring.base = virtio_vring_base(q);
	}
	pthread_mutex_unlock(&q->v->wake_lock);
}

static void act_on_loss(struct virtio_queue *q, unsigned ring_epoch)
{
	virtio_note_progress(q);
	if (q->ring_epoch == ring_epoch) {
		virtio_count_losses(q);
	} else {
		take_back(q, retry);
		virtio_queue_renew(q);
		/* Release: whoever sees it sees the new ring. */
		__atomic_store_n(&q->ring_epoch, ring_epoch, __ATOMIC_RELEASE);
		watcher_wake(&q->v->watcher);
	}
	virtio_expect_progress(q);
	q->q.enter = enter_after_loss;
}

cold_path void virtio_queue_catch_up(struct virtio_queue *q)
{
	unsigned epoch, ring_epoch, losses;

	pthread_mutex_lock(&q->v->wake_lock);
	epoch = q->v->epoch;
	ring_epoch = q->v->ring_epoch;
	losses = q->v->losses;
	pthread_mutex_unlock(&q->v->wake_lock);
	if (virtio_failure(q->v)) {
		/* The ring is not looked at any more: all fails, now and always. */
		q->dead = true;
		q->lost |= q->vq.inflight > 0;
		take_back(q, fail);
		return;
	}
	reap_ring(q);
	q->epoch = epoch;
	take_back_if_held(q);
	if (q->seen_losses != losses)
		act_on_loss(q, ring_epoch);
	q->seen_losses = losses;
	while (q->q.notify_on && virtq_arm(&q->vq, 1))
		reap_ring(q);
}

/* ---- Reaping, sleep, spin ----------------------------------------------------------------- */

static inline void reap(struct virtio_queue *q)
{
	if (likely(!q->dead))
		reap_ring(q);
	/* Whoever sleeps on the completion fd wants a signal for each next one. */
	if (unlikely(q->q.notify_on)) {
		while (!virtio_is_behind(q) && virtq_arm(&q->vq, 1))
			reap_ring(q);
	}
	if (unlikely(virtio_is_behind(q)))
		virtio_queue_catch_up(q);
}

void virtio_queue_reap(struct virtio_queue *q)
{
	reap(q);
}

/* What a thread looks for: n finished requests, or something to act on. */
struct look {
	struct virtio_queue *q;
	unsigned n;
};

static bool has_come(const void *arg)
{
	const struct look *l = arg;

	return virtq_has_used(&l->q->vq, l->n) || virtio_is_behind(l->q);
}

static int sleep_armed(struct virtio_queue *q, unsigned n, const struct bk_wait *w)
{
	uint64_t count;
	int ret;

	if (virtq_arm(&q->vq, n))
		return 0;
	/* It is counted before the fd is signalled, so one of the two will be seen. */
	if (virtio_is_behind(q))
		return 0;
	ret = wait_readable(q->vring.call_fd, w);
	if (ret < 0)
		return ret;
	/*
	 * The ring is looked at next. Where the application listens too, a signal with cause is
	 * left for it to see.
	 */
	if (q->q.notify_on && virtq_has_used(&q->vq, n))
		return 0;
	if (read(q->vring.call_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return bk_err(errno, "cannot wait: read of an eventfd: %m");
	return 0;
}

static int sleep_for(const void *arg, const struct bk_wait *w)
{
	const struct look *l = arg;
	int ret = sleep_armed(l->q, l->n, w);

	virtq_disarm(&l->q->vq);
	return ret;
}

static cold_path int wait_for(struct virtio_queue *q, unsigned n, const struct bk_wait *w)
{
	const struct look l = { q, n };

	return wait_or_sleep(q->q.is_poll, &q->window, has_come, sleep_for, &l, w);
}

int virtio_blk_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	struct virtio_queue *q = to_virtio_queue(bq);
	int ret = 0;

	if (virtq_publish(&q->vq))
		virtio_kick(q);
	wait_nr = min_u64(wait_nr, q->vq.inflight);
	if (wait_nr && !virtq_has_used(&q->vq, wait_nr))
		ret = wait_for(q, wait_nr, w);
	reap(q);
	return ret;
}

/* Until the device has made up for the loss; at other times requests pay nothing. */
static int enter_after_loss(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	struct virtio_queue *q = to_virtio_queue(bq);
	int ret = virtio_blk_enter(bq, wait_nr, w);

	virtio_note_progress(q);
	if (virtio_has_recovered(q))
		bq->enter = virtio_blk_enter;
	return ret;
}

/*
 * From now on the device signals the completion fd, also while nobody asked for it: going back
 * would cost a message each time, and a signal too many does no harm. The watching thread tells the
 * device, and signals the fd for what came meanwhile. It is waited for, since servers exist that
 * change the fd's flags when they get it, but not for long: the server may hang.
 */
static cold_path void use_completion_fd(struct virtio_queue *q)
{
	struct virtio_blk *v = q->v;
	eventfd_t count;
	bool told;

	pthread_mutex_lock(&v->wake_lock);
	q->vring.call_fd = q->q.completion_fd;
	q->vring.call_fd_changed = true;
	watcher_wake(&v->watcher);
	told = virtio_await_watcher(v, &q->vring.call_fd_changed, TELL_MS);
	pthread_mutex_unlock(&v->wake_lock);
	if (told)
		eventfd_read(q->q.completion_fd, &count);
}

void virtio_blk_notify(struct blkioq *bq, bool on)
{
	struct virtio_queue *q = to_virtio_queue(bq);

	if (!on) {
		virtq_disarm(&q->vq);
		return;
	}
	if (q->vring.call_fd != bq->completion_fd)
		use_completion_fd(q);
	if (virtq_arm(&q->vq, 1) || virtio_is_behind(q))
		eventfd_write(bq->completion_fd, 1);
}
