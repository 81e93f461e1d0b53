/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * NVMe queues in our memory: from requests to commands and back, doorbells, sleep and spin.
 *
 * A request in flight has a command identifier, and with it a page that the controller can access:
 * for lists, ranges and zone reports. Of a plain request, it has the PRP list only.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "nvme/nvme_pci.h"

/* In bk_req.priv, of requests that are not plain. */
enum { BYTES, COPIED }; /* what to complete with; data that is in the page of the command */

/* ---- Submission: all but plain reads and writes ------------------------------------------- */

static inline uint64_t list_iova(const struct nvme_pci_queue *q, uint16_t cid)
{
	return q->lists_iova + (uint64_t)cid * sizeof(struct nvme_list);
}

/* The addresses of the request's first bytes, max at most; returns how many, or -errno. */
static int64_t find_runs(struct nvme_pci_queue *q, struct bk_req *r, uint64_t max,
			 struct nvme_run *runs, unsigned *n)
{
	uint64_t bytes = 0;

	*n = 0;
	for (int i = 0; i < r->iovcnt && bytes < max; i++) {
		uint64_t len = min_u64(r->iov[i].iov_len, max - bytes), iova;
		const struct bk_region *region;

		if (!len)
			continue;
		region = bk_region_find(&q->q, r->iov[i].iov_base, r->iov[i].iov_len);
		if (!region) {
			r->error_msg = "a buffer is not in a mapped memory region";
			return -EINVAL;
		}
		iova = region->iova + ((uintptr_t)r->iov[i].iov_base - region->addr);
		if (*n && runs[*n - 1].iova + runs[*n - 1].len == iova)
			runs[*n - 1].len += len;
		else if (*n < NVME_RUNS_MAX)
			runs[(*n)++] = (struct nvme_run){ iova, len };
		else
			break;
		bytes += len;
	}
	return (int64_t)bytes;
}

/* Between the page of the command and the segments; 0 or -EFAULT. */
static int copy(struct bk_req *r, uint8_t *data, uint64_t len, bool to_caller)
{
	int ret = 0;

	for (int i = 0; len && !ret; i++) {
		uint64_t n = min_u64(r->iov[i].iov_len, len);

		ret = to_caller ? bk_copy_to_caller(r->iov[i].iov_base, data, n)
				: bk_copy_from_caller(data, r->iov[i].iov_base, n);
		data += n;
		len -= n;
	}
	if (ret < 0)
		r->error_msg = "a buffer is not accessible";
	return ret;
}

/* A block in segments that no PRP list can describe goes through the page of the command. */
static int64_t copy_blocks(struct nvme_pci_queue *q, struct bk_req *r, uint16_t cid,
			   struct nvme_cmd *c)
{
	uint64_t block = 1ULL << q->d->ns.block_shift;
	uint64_t bytes = min_u64(r->len, NVME_PAGE) & ~(block - 1);
	int ret;

	if (!bytes) {
		r->error_msg = "a block spans segments that do not begin and end on pages, which "
			       "this controller cannot do: set property bounce-buffers";
		return -EINVAL;
	}
	ret = r->op == BK_READ ? 0 : copy(r, q->lists[cid].data, bytes, false);
	r->priv[COPIED] = true;
	c->dptr[0] = list_iova(q, cid);
	return ret < 0 ? ret : (int64_t)bytes;
}

/* Point the command at what can be done at once, in whole blocks; the bytes, or -errno. */
static int64_t set_data(struct nvme_pci_queue *q, struct bk_req *r, uint16_t cid,
			struct nvme_cmd *c)
{
	uint64_t block_mask = ~((1ULL << q->d->ns.block_shift) - 1), fit;
	struct nvme_run runs[NVME_RUNS_MAX];
	unsigned n;
	int64_t bytes = find_runs(q, r, min_u64(r->len, q->d->b.lim.max_transfer), runs, &n);

	if (bytes < 0)
		return bytes;
	fit = nvme_prp_fit(runs, n);
	if (fit < (uint64_t)bytes && q->d->ns.sgl && ((uint64_t)bytes & block_mask)) {
		bytes &= (int64_t)block_mask;
		nvme_sgl_fill(c, runs, bytes, &q->lists[cid], list_iova(q, cid));
		return bytes;
	}
	if (!(fit & block_mask))
		return copy_blocks(q, r, cid, c);
	fit = min_u64(fit, bytes) & block_mask;
	nvme_prp_fill(c, runs, fit, &q->lists[cid], list_iova(q, cid));
	return (int64_t)fit;
}

/* Of what is not a read or write; 0 or -errno. */
static int prepare_other(struct nvme_pci_queue *q, struct bk_req *r, uint16_t cid,
			 struct nvme_cmd *c)
{
	struct nvme_dsm_range range;

	r->error_msg = nvme_request_error(&q->d->ns, r);
	if (r->error_msg)
		return -EINVAL;
	nvme_prep(&q->d->ns, r, c);
	if (r->op == BK_DISCARD) {
		range = nvme_discard_range(&q->d->ns, r);
		memcpy(q->lists[cid].data, &range, sizeof(range));
		c->dptr[0] = list_iova(q, cid);
	} else if (r->op == BK_ZONE_REPORT) {
		r->priv[BYTES] = nvme_report_next(r, min_u64(NVME_PAGE, q->d->b.lim.max_transfer));
		nvme_prep_report(&q->d->ns, r->start, r->priv[BYTES], c);
		c->dptr[0] = list_iova(q, cid);
	}
	return 0;
}

/* Of a read or write: as much as can be done at once; the bytes, or -errno. */
static int64_t prepare_rw(struct nvme_pci_queue *q, struct bk_req *r, uint16_t cid,
			  struct nvme_cmd *c)
{
	struct bk_req part = { .op = r->op, .start = r->start, .flags = r->flags };
	struct nvme_cmd data = { 0 };
	int64_t bytes;

	r->priv[COPIED] = false;
	bytes = set_data(q, r, cid, &data);
	if (bytes < 0)
		return bytes;
	if (bytes < (int64_t)r->len && bk_must_be_whole(r)) {
		r->error_msg =
		    "the request must be done as a whole, and the segments are more than "
		    "one command can describe";
		return -EINVAL;
	}
	r->priv[BYTES] = part.len = bytes;
	nvme_prep(&q->d->ns, &part, c);
	c->flags = data.flags;
	memcpy(c->dptr, data.dptr, sizeof(c->dptr));
	c->mptr = q->templates[r->op == BK_READ ? BK_READ : BK_WRITE].mptr;
	return bytes;
}

static inline void push(struct nvme_pci_queue *q, struct bk_req *r, uint16_t cid)
{
	q->inflight[cid] = r;
	q->nr_free--;
	nvme_ring_push(&q->ring);
}

static cold_path void submit_slow(struct nvme_pci_queue *q, struct bk_req *r)
{
	uint16_t cid = q->free_cids[q->nr_free - 1];
	struct nvme_cmd c;
	int64_t ret;

	if (r->op == BK_ZONE_REPORT && !r->nr_zones) {
		bk_complete(&q->q, r, r->len);
		return;
	}
	/* Of a plain request in an unmapped region, this finds out why it is here. */
	r->special = true;
	ret = bk_has_segments(r) ? prepare_rw(q, r, cid, &c) : prepare_other(q, r, cid, &c);
	if (ret < 0) {
		bk_complete(&q->q, r, ret);
		return;
	}
	c.cid = cid;
	*nvme_ring_entry(&q->ring) = c;
	push(q, r, cid);
}

/* ---- Submission --------------------------------------------------------------------------- */

void nvme_pci_submit(struct blkioq *bq, struct bk_req *r)
{
	struct nvme_pci_queue *q = to_nvme_pci_queue(bq);
	const struct bk_region *region = NULL;
	struct nvme_cmd *c;
	uint16_t cid;

	if (unlikely(!q->nr_free)) {
		bk_full(bq, r);
		return;
	}
	if (likely(!r->special))
		region = bk_region_find(bq, r->one.iov_base, r->one.iov_len);
	if (unlikely(!region)) {
		submit_slow(q, r);
		return;
	}
	cid = q->free_cids[q->nr_free - 1];
	c = nvme_ring_entry(&q->ring);
	*c = q->templates[r->op];
	c->cid = cid;
	nvme_set_blocks(&q->d->ns, r->start, r->len, c);
	nvme_prp_set(c, region->iova + ((uintptr_t)r->one.iov_base - region->addr), r->len,
		     &q->lists[cid], list_iova(q, cid));
	push(q, r, cid);
}

/* The same on a namespace with protection information: no request is plain. */
void nvme_pci_submit_protected(struct blkioq *bq, struct bk_req *r)
{
	struct nvme_pci_queue *q = to_nvme_pci_queue(bq);

	if (q->nr_free)
		submit_slow(q, r);
	else
		bk_full(bq, r);
}

/* ---- Completion --------------------------------------------------------------------------- */

static void report_came(struct nvme_pci_queue *q, struct bk_req *r, uint16_t cid)
{
	struct blkio_zone zones[NVME_PAGE / sizeof(struct nvme_zns_desc)];
	uint64_t report[NVME_PAGE / sizeof(uint64_t)]; /* what is checked stays as it is */
	const char *msg;
	int ret;

	memcpy(report, q->lists[cid].data, sizeof(report));
	ret = nvme_report_came(&q->d->ns, r, report, r->priv[BYTES], zones, &msg);
	if (ret < 0)
		bk_fail(&q->q, r, -ret, msg);
	else if (ret)
		bk_retry(&q->q, r);
	else
		bk_complete(&q->q, r, r->len);
}

/* All but plain requests that did what they should. */
static cold_path void finish_special(struct nvme_pci_queue *q, struct bk_req *r, uint16_t cid,
				     unsigned status, uint64_t result)
{
	const char *msg;
	int ret = 0;

	if (status) {
		ret = nvme_status(status, &msg);
		bk_fail(&q->q, r, ret, msg);
	} else if (r->op == BK_ZONE_REPORT) {
		report_came(q, r, cid);
	} else if (!bk_has_segments(r)) {
		bk_complete(&q->q, r, 0);
	} else if (r->op == BK_ZONE_APPEND && nvme_append_came(&q->d->ns, r, result, &msg) < 0) {
		bk_fail(&q->q, r, EIO, msg);
	} else {
		if (r->priv[COPIED] && r->op == BK_READ)
			ret = copy(r, q->lists[cid].data, r->priv[BYTES], true);
		bk_complete(&q->q, r, ret < 0 ? ret : (int64_t)r->priv[BYTES]);
	}
}

static cold_path void broke_rules(struct nvme_pci_queue *q)
{
	nvme_pci_fail(q->d, "the NVMe controller completed a command that it was not sent");
}

static force_inline void reap_ring(struct nvme_pci_queue *q, const bool shadow)
{
	struct nvme_completion c;
	bool any = false;

	while (nvme_ring_get(&q->ring, &c)) {
		struct bk_req *r;

		any = true;
		if (unlikely(!c.valid || c.cid >= q->ring.size - 1 || !q->inflight[c.cid])) {
			broke_rules(q);
			return;
		}
		r = q->inflight[c.cid];
		q->inflight[c.cid] = NULL;
		q->free_cids[q->nr_free++] = c.cid;
		if (likely(!c.status && !r->special))
			bk_complete(&q->q, r, r->len);
		else
			finish_special(q, r, c.cid, c.status, c.result);
	}
	if (any)
		nvme_ring_release(&q->ring, shadow);
}

/* What becomes of a request that is taken back. */
typedef void fate(struct blkioq *q, struct bk_req *r);

static void fail(struct blkioq *bq, struct bk_req *r)
{
	bk_fail(bq, r, EIO, nvme_pci_failure(to_nvme_pci_queue(bq)->d));
}

static void take_back(struct nvme_pci_queue *q, fate *end_of)
{
	for (unsigned cid = 0; cid < q->ring.size - 1; cid++) {
		struct bk_req *r = q->inflight[cid];

		if (!r)
			continue;
		q->inflight[cid] = NULL;
		q->free_cids[q->nr_free++] = cid;
		end_of(&q->q, r);
	}
}

void nvme_pci_cancel_unshown(struct nvme_pci_queue *q)
{
	q->ring.tail = q->ring.told_tail;
	take_back(q, bk_cancel);
}

static cold_path void fail_all(struct nvme_pci_queue *q)
{
	q->lost |= !q->dead && nvme_pci_in_flight(q);
	q->dead = true;
	take_back(q, fail);
}

static force_inline void reap(struct nvme_pci_queue *q, const bool shadow)
{
	if (likely(!q->dead))
		reap_ring(q, shadow);
	if (unlikely(nvme_pci_failure(q->d)))
		fail_all(q);
}

void nvme_pci_reap(struct nvme_pci_queue *q)
{
	if (q->ring.cq_doorbell.shadow)
		reap(q, true);
	else
		reap(q, false);
}

/* ---- Sleep, spin -------------------------------------------------------------------------- */

/* What a thread looks for: n finished requests, or the end of the controller. */
struct look {
	const struct nvme_pci_queue *q;
	unsigned n;
};

static bool has_come(const void *arg)
{
	const struct look *l = arg;

	return nvme_ring_has(&l->q->ring, l->n) || nvme_pci_failure(l->q->d);
}

/*
 * The queue's own eventfd blocks, and only this thread reads it: where nothing else ends the sleep,
 * one system call is enough.
 */
static int sleep_for(const void *arg, const struct bk_wait *w)
{
	const struct look *l = arg;
	const struct nvme_pci_queue *q = l->q;
	bool own = q->call_fd == q->own_call_fd;
	uint64_t count;
	int ret;

	/* It is set before the fd is signalled, so one of the two will be seen. */
	if (nvme_pci_failure(q->d))
		return 0;
	if (!own || (w && (w->timeout || w->sigmask))) {
		ret = wait_readable(q->call_fd, w);
		if (ret < 0)
			return ret;
	}
	/*
	 * The ring is looked at next. Where the application listens too, a signal with cause is
	 * left for it to see.
	 */
	if (q->q.notify_on && nvme_ring_has(&q->ring, l->n))
		return 0;
	if (read(q->call_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return errno == EINTR ? -EINTR
				      : bk_err(errno, "cannot wait: read of an eventfd: %m");
	return 0;
}

static cold_path int wait_for(struct nvme_pci_queue *q, unsigned n, const struct bk_wait *w)
{
	const struct look l = { q, n };

	return wait_or_sleep(q->q.is_poll, &q->window, has_come, sleep_for, &l, w);
}

static force_inline int enter(struct nvme_pci_queue *q, unsigned wait_nr, const struct bk_wait *w,
			      const bool shadow)
{
	int ret = 0;

	nvme_ring_show(&q->ring, shadow);
	wait_nr = min_u64(wait_nr, nvme_pci_in_flight(q));
	if (wait_nr && !nvme_ring_has(&q->ring, wait_nr))
		ret = wait_for(q, wait_nr, w);
	reap(q, shadow);
	return ret;
}

int nvme_pci_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	return enter(to_nvme_pci_queue(bq), wait_nr, w, false);
}

int nvme_pci_enter_shadow(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	return enter(to_nvme_pci_queue(bq), wait_nr, w, true);
}

/*
 * From the first time on the controller signals the completion fd, also while nobody asked for it:
 * a vector changes its eventfd in a system call that takes long, and a signal too many does no
 * harm.
 */
static cold_path void use_completion_fd(struct nvme_pci_queue *q)
{
	struct nvme_pci_dev *d = q->d;

	pthread_mutex_lock(&d->wake_lock);
	q->call_fd = q->q.completion_fd;
	pthread_mutex_unlock(&d->wake_lock);
	if (nvme_pci_connect_interrupt(q, q->call_fd) < 0)
		nvme_pci_fail(d, "the completion fd cannot be connected to an interrupt");
}

void nvme_pci_notify(struct blkioq *bq, bool on)
{
	struct nvme_pci_queue *q = to_nvme_pci_queue(bq);

	if (!on)
		return;
	if (q->call_fd != bq->completion_fd)
		use_completion_fd(q);
	if (nvme_ring_has(&q->ring, 1) || nvme_pci_failure(q->d))
		eventfd_write(bq->completion_fd, 1);
}
