/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * nvme-io_uring: NVMe commands through the kernel, past its block layer, on the generic node of a
 * namespace. This file has the requests; nvme_io_uring_dev.c opens the device, nvme_cmd.c knows
 * NVMe, uring/ has the rings.
 */
#include <stdlib.h>

#include "nvme/nvme_io_uring.h"

#define REPORT_LEN (64U << 10) /* 1023 zones */
#define PAGE_LEN   4096U       /* at least, and a power of two: the kernel's pages */

/* The buffer of a zone report. A queue keeps them: few reports are in flight together. */
struct report {
	struct report *next; /* of the queue's */
	bool busy;
	uint8_t data[REPORT_LEN];
};

struct nvme_iou_queue {
	struct uring_queue u;
	const struct nvme_iou_dev *d;
	struct report *reports;
	/*
	 * Before Linux 6.15 a command that uses a registered buffer counts as having all the pages
	 * up to the buffer's end: it may have too many, and is prepared as one of many segments.
	 */
	bool counts_to_end;
	struct nvme_iou_entry templates[2]; /* of plain reads and writes, by op */
};

static inline struct nvme_iou_queue *to_queue(struct blkioq *q)
{
	return container_of(q, struct nvme_iou_queue, u.q);
}

/* ---- Submission --------------------------------------------------------------------------- */

/* Does v end in the last page of the buffer that was found last? */
static inline bool ends_with_buffer(const struct nvme_iou_queue *q, const struct iovec *v)
{
	const struct bk_region *buffer = &q->u.buffers.hit;
	uintptr_t last = (uintptr_t)v->iov_base + v->iov_len - 1;

	return ((buffer->addr + buffer->len - 1) ^ last) < PAGE_LEN;
}

static inline void set_buffer(const struct nvme_iou_queue *q, const struct iovec *v, int index,
			      struct io_uring_sqe *sqe)
{
	if (!q->counts_to_end || ends_with_buffer(q, v)) {
		sqe->uring_cmd_flags = IORING_URING_CMD_FIXED;
		sqe->buf_index = index;
	}
}

static __attribute__((noinline)) void find_buffer(struct nvme_iou_queue *q, const struct iovec *v,
						  struct io_uring_sqe *sqe)
{
	int index = uring_buffers_find_slow(&q->u, v->iov_base, v->iov_len);

	if (index >= 0)
		set_buffer(q, v, index, sqe);
}

static inline void use_buffer(struct nvme_iou_queue *q, const struct iovec *v,
			      struct io_uring_sqe *sqe)
{
	if (likely(uring_buffers_hit(&q->u, v->iov_base, v->iov_len)))
		set_buffer(q, v, q->u.buffers.hit.slot, sqe);
	else
		find_buffer(q, v, sqe);
}

static inline void set_segment(struct nvme_iou_queue *q, const struct iovec *v,
			       struct io_uring_sqe *sqe)
{
	nvme_iou_set_data(nvme_iou_cmd(sqe), v->iov_base, v->iov_len);
	nvme_iou_set_metadata(q->d, nvme_iou_cmd(sqe), v->iov_len >> q->d->ns.block_shift);
	if (q->u.use_buffers)
		use_buffer(q, v, sqe);
}

/*
 * The kernel takes a NULL buffer for none at all and lets the device write where it likes. (Within
 * several segments it finds out by itself.)
 */
static inline bool has_buffer(const struct bk_req *r)
{
	return r->op > BK_WRITE || r->iovcnt != 1 || r->iov->iov_base;
}

static cold_path void refuse_null(struct blkioq *bq, struct bk_req *r)
{
	bk_fail(bq, r, EFAULT, "the buffer is NULL");
}

static void set_segments(struct nvme_iou_queue *q, struct bk_req *r, struct io_uring_sqe *sqe)
{
	if (r->iovcnt == 1) {
		set_segment(q, r->iov, sqe);
		return;
	}
	sqe->cmd_op = NVME_URING_CMD_IO_VEC;
	nvme_iou_set_data(nvme_iou_cmd(sqe), r->iov, r->iovcnt);
	nvme_iou_set_metadata(q->d, nvme_iou_cmd(sqe), r->len >> q->d->ns.block_shift);
}

static struct report *get_report(struct nvme_iou_queue *q)
{
	struct report *rep = q->reports;

	while (rep && rep->busy)
		rep = rep->next;
	if (!rep) {
		rep = malloc(sizeof(*rep));
		if (!rep)
			return NULL;
		rep->next = q->reports;
		q->reports = rep;
	}
	rep->busy = true;
	return rep;
}

/*
 * One command of a report. A longer one takes several; meanwhile start, zones and nr_zones are
 * about the rest, and len is how many zones there are so far.
 */
static void submit_report(struct nvme_iou_queue *q, struct bk_req *r)
{
	uint64_t max = min_u64(REPORT_LEN, q->d->u.b.lim.max_transfer) & ~3U;
	uint32_t len = min_u64(max, nvme_report_len(min_u64(r->nr_zones, max)));
	struct io_uring_sqe *sqe;
	struct nvme_cmd *cmd;
	struct report *rep;

	if (!r->nr_zones) {
		bk_complete(&q->u.q, r, r->len);
		return;
	}
	rep = get_report(q);
	if (!rep) {
		bk_fail(&q->u.q, r, ENOMEM, "out of memory");
		return;
	}
	sqe = uring_get_sqe(&q->u.ring, true);
	if (!sqe) {
		rep->busy = false;
		bk_full(&q->u.q, r);
		return;
	}
	r->priv[0] = (uintptr_t)rep;
	r->priv[1] = len;
	cmd = nvme_iou_prep(sqe, q->u.fd, q->u.sqe_flags, r);
	nvme_prep_report(&q->d->ns, r->start, len, cmd);
	nvme_iou_set_data(cmd, rep->data, len);
}

static void submit_command(struct nvme_iou_queue *q, struct bk_req *r)
{
	struct nvme_dsm_range *range = (void *)r->priv;
	struct io_uring_sqe *sqe = uring_get_sqe(&q->u.ring, true);
	struct nvme_cmd *cmd;

	_Static_assert(sizeof(*range) <= sizeof(r->priv), "the device reads it from there");
	if (!sqe) {
		bk_full(&q->u.q, r);
		return;
	}
	cmd = nvme_iou_prep(sqe, q->u.fd, q->u.sqe_flags, r);
	nvme_prep(&q->d->ns, r, cmd);
	if (r->op <= BK_WRITE) {
		set_segments(q, r, sqe);
	} else if (r->op == BK_DISCARD) {
		*range = nvme_discard_range(&q->d->ns, r);
		nvme_iou_set_data(cmd, range, sizeof(*range));
	}
}

static cold_path void submit_special(struct nvme_iou_queue *q, struct bk_req *r)
{
	const uint32_t with_data = BK_OPS_RW | BK_OP_BIT(BK_DISCARD);

	if (r->op == BK_ZONE_REPORT) {
		submit_report(q, r);
	} else if (!has_buffer(r)) {
		refuse_null(&q->u.q, r);
	} else if (q->u.q.is_poll && !(with_data & BK_OP_BIT(r->op))) {
		/*
		 * io_uring polls for what has data. With the rest, kernels up to 6.5 may follow a
		 * pointer to a function as if it were one to what shall be polled.
		 */
		bk_fail(&q->u.q, r, ENOTSUP,
			"poll queues of nvme-io_uring take no flush, write zeroes or zone "
			"management requests");
	} else if (r->start & ((1ULL << q->d->ns.block_shift) - 1)) {
		/* The core checks what has a length. */
		bk_fail(&q->u.q, r, EINVAL,
			"the offset of the zone is not a multiple of property "
			"request-alignment");
	} else {
		submit_command(q, r);
	}
}

static void nvme_iou_submit(struct blkioq *bq, struct bk_req *r)
{
	struct nvme_iou_queue *q = to_queue(bq);
	struct io_uring_sqe *sqe;

	if (unlikely(r->special)) {
		submit_special(q, r);
		return;
	}
	if (unlikely(!r->one.iov_base)) {
		refuse_null(bq, r);
		return;
	}
	sqe = uring_get_sqe(&q->u.ring, true);
	if (unlikely(!sqe)) {
		bk_full(bq, r);
		return;
	}
	*(struct nvme_iou_entry *)sqe = q->templates[r->op];
	sqe->user_data = (uintptr_t)r;
	nvme_set_blocks(&q->d->ns, r->start, r->len, nvme_iou_cmd(sqe));
	set_segment(q, &r->one, sqe);
}

/* ---- Completion --------------------------------------------------------------------------- */

static void report_came(struct nvme_iou_queue *q, struct bk_req *r)
{
	const struct nvme_ns *ns = &q->d->ns;
	struct report *rep = (struct report *)(uintptr_t)r->priv[0];
	uint32_t asked =
	    (r->priv[1] - nvme_report_len(0)) / (nvme_report_len(1) - nvme_report_len(0));
	const char *msg;
	int n = nvme_parse_report(ns, rep->data, r->priv[1], r->zones, r->nr_zones, &msg);

	rep->busy = false;
	if (n < 0) {
		bk_fail(&q->u.q, r, -n, msg);
		return;
	}
	r->len += n;
	r->nr_zones -= n;
	r->zones += n;
	if ((uint32_t)n == asked && r->nr_zones) {
		r->start = r->zones[-1].start + r->zones[-1].len;
		if (r->start >> ns->block_shift < ns->nr_blocks) {
			bk_retry(&q->u.q, r);
			return;
		}
	}
	bk_complete(&q->u.q, r, r->len);
}

/* Doing it twice is as good as once; not so with zones, which have a write pointer. */
static bool is_repeatable(const struct nvme_iou_queue *q, const struct bk_req *r)
{
	return r->op == BK_READ || r->op == BK_ZONE_REPORT || !q->d->ns.zones.zoned;
}

static void kernel_failed(struct nvme_iou_queue *q, struct bk_req *r, int err)
{
	struct blkioq *bq = &q->u.q;

	switch (err) {
	case EAGAIN: /* no more tags for polled requests */
		bk_retry_transient(bq, r, -err);
		break;
	case EINTR: /* a reset of the controller, or its removal: then the next try says so */
		if (is_repeatable(q, r))
			bk_retry_transient(bq, r, -EIO);
		else
			bk_fail(bq, r, EIO,
				"the controller was reset: the command may or may not "
				"have been executed");
		break;
	case EINVAL:
		bk_fail(bq, r, EINVAL, "the kernel refuses the command");
		break;
	case EACCES:
	case EPERM:
		bk_fail(bq, r, err,
			"the kernel refuses NVMe commands: they need CAP_SYS_ADMIN, or "
			"from Linux 6.2 on a device node open for writing");
		break;
	case ENODEV:
	case ENXIO:
		bk_fail(bq, r, err, "the NVMe device is gone");
		break;
	default:
		bk_complete(bq, r, -err);
	}
}

static cold_path void complete_other(struct blkioq *bq, struct bk_req *r, int res)
{
	struct nvme_iou_queue *q = to_queue(bq);
	const char *msg;
	int err;

	if (r->op == BK_ZONE_REPORT && !res) {
		report_came(q, r);
		return;
	}
	if (r->op == BK_ZONE_REPORT)
		((struct report *)(uintptr_t)r->priv[0])->busy = false;
	if (res < 0) {
		kernel_failed(q, r, -res);
	} else if (res > 0) {
		err = nvme_status(res, &msg);
		bk_fail(bq, r, err, msg);
	} else {
		bk_complete(bq, r, r->op <= BK_WRITE ? r->len : 0);
	}
}

static inline bool complete_fast(struct blkioq *bq, struct bk_req *r, int res)
{
	return likely(!res && r->op <= BK_WRITE) && bk_complete_fast(bq, r, r->len);
}

static inline void reap(struct uring_queue *q, unsigned n)
{
	uring_reap(q, n, true, complete_fast, complete_other);
}

static int nvme_iou_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	return uring_queue_enter(&to_queue(bq)->u, wait_nr, w, reap);
}

/* ---- Queues ------------------------------------------------------------------------------- */

static int nvme_iou_queue_init(struct blkio *b, struct blkioq *bq)
{
	struct nvme_iou_queue *q = to_queue(bq);
	int ret = uring_queue_init(b, bq, true);

	if (ret < 0)
		return ret;
	q->d = to_nvme_iou_dev(b);
	q->counts_to_end = !(q->u.ring.features & IORING_FEAT_NO_IOWAIT);
	for (int op = BK_READ; op <= BK_WRITE; op++) {
		struct nvme_cmd *cmd =
		    nvme_iou_prep(&q->templates[op].sqe, q->u.fd, q->u.sqe_flags, NULL);

		nvme_prep(&q->d->ns, &(struct bk_req){ .op = op }, cmd);
	}
	return 0;
}

static void nvme_iou_queue_exit(struct blkio *b, struct blkioq *bq)
{
	struct nvme_iou_queue *q = to_queue(bq);

	uring_queue_exit(b, bq);
	while (q->reports) {
		struct report *rep = q->reports;

		q->reports = rep->next;
		free(rep);
	}
}

/* ---- Driver ------------------------------------------------------------------------------- */

static void nvme_iou_init(struct blkio *b)
{
	uring_dev_init(b);
	b->lim.supports_fua_natively = true;
}

#define ZONES(member) offsetof(struct nvme_iou_dev, ns.zones.member)

static const struct bk_prop nvme_iou_props[] = {
	{ "path",
	  "The NVMe namespace: its generic node (/dev/ngXnY), or its block device (/dev/nvmeXnY) "
	  "in place of that.",
	  BK_STR, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct uring_dev, path) },
	URING_DEV_PROPS,
	{ "zoned",
	  "Whether the namespace has zones: 0 not, 2 host-managed. As all properties about zones, "
	  "0 or false before blkio_connect().",
	  BK_INT, BK_GET_ALWAYS, BK_SET_NEVER, ZONES(zoned) },
	{ "max-open-zones", "How many zones can be open at a time; 0 if unlimited.", BK_INT,
	  BK_GET_ALWAYS, BK_SET_NEVER, ZONES(max_open) },
	{ "max-active-zones", "How many zones can be open or closed at a time; 0 if unlimited.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_NEVER, ZONES(max_active) },
	{ "zone-size", "The distance between zones in bytes.", BK_UINT64, BK_GET_ALWAYS,
	  BK_SET_NEVER, ZONES(size) },
	{ "nr-zones", "The number of zones.", BK_UINT64, BK_GET_ALWAYS, BK_SET_NEVER, ZONES(nr) },
	{ "append-support", "Whether the device has the zone append command.", BK_BOOL,
	  BK_GET_ALWAYS, BK_SET_NEVER, ZONES(append) },
	{ "zone-append-max-bytes", "The largest zone append in bytes.", BK_UINT64, BK_GET_ALWAYS,
	  BK_SET_NEVER, ZONES(append_max) },
	{ 0 },
};

const struct bk_driver bk_driver_nvme_io_uring = {
	.name = "nvme-io_uring",
	.device_size = sizeof(struct nvme_iou_dev),
	.queue_size = sizeof(struct nvme_iou_queue),
	.props = nvme_iou_props,
	.limits_from = BK_CONNECTED,
	.topology_from = BK_CREATED,
	.can_add_queues = true,
	.init = nvme_iou_init,
	.connect = nvme_iou_connect,
	.start = uring_dev_start,
	.close = nvme_iou_close,
	.capacity = nvme_iou_capacity,
	.queue_init = nvme_iou_queue_init,
	.queue_exit = nvme_iou_queue_exit,
	.submit = nvme_iou_submit,
	.enter = nvme_iou_enter,
	.notify = uring_queue_notify,
};
