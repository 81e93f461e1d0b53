/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * nvme-io_uring: NVMe commands through the kernel, past its block layer, on the generic node of a
 * namespace. This file has the requests; nvme_io_uring_dev.c opens the device, nvme_cmd.c knows
 * NVMe, uring/ has the rings.
 */
#include <stdlib.h>

#include "nvme/nvme_io_uring.h"

#define REPORT_LEN  (32U << 10) /* 511 zones */
#define REPORTS_MAX 16U		/* of a queue, in flight */

/* In bk_req.priv, of reads and writes that are not plain: what to complete with. */
enum { BYTES };

/* The buffer of a zone report. A queue keeps them: few reports are in flight together. */
struct report {
	struct report *next; /* of the queue's */
	bool busy;
	uint8_t data[REPORT_LEN];
	struct blkio_zone zones[REPORT_LEN / sizeof(struct blkio_zone)];
};

struct nvme_iou_queue {
	struct uring_queue u;
	const struct nvme_iou_dev *d;
	struct report *reports;
	unsigned nr_reports;
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

	return ((buffer->addr + buffer->len - 1) ^ last) < PAGE_SIZE_MIN;
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
static cold_path void refuse_null(struct blkioq *bq, struct bk_req *r)
{
	bk_fail(bq, r, EFAULT, "the buffer is NULL");
}

static void set_segments(struct nvme_iou_queue *q, struct bk_req *r, const struct bk_piece *piece,
			 struct io_uring_sqe *sqe)
{
	if (piece->iovcnt == 1) {
		set_segment(q, &(struct iovec){ r->iov->iov_base, piece->len }, sqe);
		return;
	}
	sqe->cmd_op = NVME_URING_CMD_IO_VEC;
	nvme_iou_set_data(nvme_iou_cmd(sqe), r->iov, piece->iovcnt);
	nvme_iou_set_metadata(q->d, nvme_iou_cmd(sqe), piece->len >> q->d->ns.block_shift);
}

static struct report *find_report(struct nvme_iou_queue *q)
{
	struct report *rep = q->reports;

	while (rep && rep->busy)
		rep = rep->next;
	return rep;
}

static struct report *new_report(struct nvme_iou_queue *q)
{
	struct report *rep = malloc(sizeof(*rep));

	if (!rep)
		return NULL;
	rep->busy = false;
	rep->next = q->reports;
	q->reports = rep;
	q->nr_reports++;
	return rep;
}

/* One command of a report. */
static void submit_report(struct nvme_iou_queue *q, struct bk_req *r)
{
	uint32_t len = nvme_report_next(r, min_u64(REPORT_LEN, q->d->u.b.lim.max_transfer));
	struct io_uring_sqe *sqe;
	struct nvme_cmd *cmd;
	struct report *rep;

	if (!r->nr_zones) {
		bk_complete(&q->u.q, r, r->len);
		return;
	}
	rep = find_report(q);
	if (!rep && q->nr_reports == REPORTS_MAX) {
		bk_full(&q->u.q, r);
		return;
	}
	if (!rep)
		rep = new_report(q);
	if (!rep) {
		bk_fail(&q->u.q, r, ENOMEM, "out of memory");
		return;
	}
	sqe = uring_get_sqe(&q->u.ring, true);
	if (!sqe) {
		bk_full(&q->u.q, r);
		return;
	}
	rep->busy = true;
	r->priv[0] = (uintptr_t)rep;
	r->priv[1] = len;
	cmd = nvme_iou_prep(sqe, q->u.fd, q->u.sqe_flags, r);
	nvme_prep_report(&q->d->ns, r->start, len, cmd);
	nvme_iou_set_data(cmd, rep->data, len);
}

/* The kernel does not split commands: what is too long for one takes several. */
static inline bool fits_command(const struct nvme_iou_queue *q, const struct bk_req *r)
{
	const struct bk_limits *l = &q->d->u.b.lim;

	return r->len <= (uint64_t)l->max_transfer && r->iovcnt <= l->max_segments;
}

static void submit_segments(struct nvme_iou_queue *q, struct bk_req *r)
{
	struct bk_piece piece = { r->iovcnt, r->len };
	const uint64_t len = r->len;
	struct io_uring_sqe *sqe;
	int ret = likely(fits_command(q, r)) ? 0 : bk_first_piece(&q->u.q, r, &piece);

	if (ret < 0) {
		bk_complete(&q->u.q, r, ret);
		return;
	}
	if (piece.iovcnt == 1 && !r->iov->iov_base) {
		refuse_null(&q->u.q, r);
		return;
	}
	sqe = uring_get_sqe(&q->u.ring, true);
	if (!sqe) {
		bk_full(&q->u.q, r);
		return;
	}
	r->priv[BYTES] = piece.len;
	r->len = piece.len;
	nvme_prep(&q->d->ns, r, nvme_iou_prep(sqe, q->u.fd, q->u.sqe_flags, r));
	r->len = len;
	set_segments(q, r, &piece, sqe);
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
	if (r->op == BK_DISCARD) {
		*range = nvme_discard_range(&q->d->ns, r);
		nvme_iou_set_data(cmd, range, sizeof(*range));
	}
}

static cold_path void submit_special(struct nvme_iou_queue *q, struct bk_req *r)
{
	if (bk_has_segments(r)) {
		submit_segments(q, r);
	} else if (r->op == BK_ZONE_REPORT) {
		submit_report(q, r);
	} else if (q->u.q.is_poll && r->op != BK_DISCARD) {
		/*
		 * io_uring polls for what has data. With the rest, kernels up to 6.5 may follow a
		 * pointer to a function as if it were one to what is to be polled.
		 */
		bk_fail(&q->u.q, r, ENOTSUP,
			"poll queues of nvme-io_uring do not support flush, write zeroes and zone "
			"management requests");
	} else {
		const char *msg = nvme_request_error(&q->d->ns, r);

		if (msg)
			bk_fail(&q->u.q, r, EINVAL, msg);
		else
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

/* Of a namespace with protection information: no request is plain. */
static void submit_protected(struct blkioq *bq, struct bk_req *r)
{
	r->special = true;
	submit_special(to_queue(bq), r);
}

/* ---- Completion --------------------------------------------------------------------------- */

static void report_came(struct nvme_iou_queue *q, struct bk_req *r)
{
	struct report *rep = (struct report *)(uintptr_t)r->priv[0];
	const char *msg;
	int ret = nvme_report_came(&q->d->ns, r, rep->data, r->priv[1], rep->zones, &msg);

	rep->busy = false;
	if (ret < 0)
		bk_fail(&q->u.q, r, -ret, msg);
	else if (ret)
		bk_retry(&q->u.q, r);
	else
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
		bk_fail(bq, r, EINVAL, "the kernel rejected the command");
		break;
	case EACCES:
	case EPERM:
		bk_fail(bq, r, err,
			"the kernel refuses NVMe commands: they require CAP_SYS_ADMIN, or since "
			"Linux 6.2 a device node that is open for writing");
		break;
	case ENODEV:
	case ENXIO:
		bk_fail(bq, r, err, "the NVMe device has been removed");
		break;
	default:
		bk_complete(bq, r, -err);
	}
}

static cold_path void complete(struct blkioq *bq, struct bk_req *r, int res)
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
	} else if (r->op == BK_ZONE_APPEND) {
		err = nvme_append_came(&q->d->ns, r, q->u.result, &msg);
		if (err)
			bk_fail(bq, r, -err, msg);
		else
			bk_complete(bq, r, r->len);
	} else {
		bk_complete(bq, r, !bk_is_rw(r) ? 0 : r->special ? r->priv[BYTES] : r->len);
	}
}

static force_inline bool complete_fast(struct blkioq *bq, struct bk_req *r, int res)
{
	return likely(!res && bk_is_rw(r)) && bk_complete_fast(bq, r, r->len);
}

static const struct uring_ops ops = {
	.big = true,
	.complete_fast = complete_fast,
	.complete = complete,
};

static int nvme_iou_enter(struct blkioq *bq, unsigned wait_nr, const struct bk_wait *w)
{
	return uring_queue_enter(&to_queue(bq)->u, wait_nr, w, &ops);
}

static enum bk_drained nvme_iou_drain(struct blkio *b, struct blkioq *bq, bool cancel)
{
	(void)b;
	return uring_queue_drain(&to_queue(bq)->u, cancel, &ops);
}

/* ---- Queues ------------------------------------------------------------------------------- */

static int nvme_iou_queue_init(struct blkio *b, struct blkioq *bq)
{
	struct nvme_iou_queue *q = to_queue(bq);
	uint64_t bytes;
	int ret = nvme_iou_capacity(b, &bytes); /* is it still what connect found? */

	if (ret == -ENODEV)
		return ret;
	ret = uring_queue_init(b, bq, true);
	if (ret < 0)
		return ret;
	q->d = to_nvme_iou_dev(b);
	if (q->d->ns.pi)
		bq->submit = submit_protected;
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
	while (bq->quiet && q->reports) {
		struct report *rep = q->reports;

		q->reports = rep->next;
		free(rep);
	}
}

/* ---- Driver ------------------------------------------------------------------------------- */

static void nvme_iou_init(struct blkio *b)
{
	struct nvme_iou_dev *d = to_nvme_iou_dev(b);

	uring_dev_init(b);
	b->lim.supports_fua_natively = true;
	for (int i = 0; i < NVME_IOU_WATCHED; i++)
		d->watch.fd[i] = -1;
}

static int get_model(struct blkio *b, union bk_val *val)
{
	val->s = to_nvme_iou_dev(b)->ns.product.model;
	return 0;
}

static int get_serial(struct blkio *b, union bk_val *val)
{
	val->s = to_nvme_iou_dev(b)->ns.product.serial;
	return 0;
}

static int get_firmware(struct blkio *b, union bk_val *val)
{
	val->s = to_nvme_iou_dev(b)->ns.product.firmware;
	return 0;
}

static int get_formats(struct blkio *b, union bk_val *val)
{
	val->s = to_nvme_iou_dev(b)->ns.formats;
	return 0;
}

static int get_protection(struct blkio *b, union bk_val *val)
{
	val->i = to_nvme_iou_dev(b)->ns.pi;
	return 0;
}

static const struct bk_prop nvme_iou_props[] = {
	{ "path",
	  "The NVMe namespace to open: its generic node (/dev/ngXnY) or its block device "
	  "(/dev/nvmeXnY).",
	  BK_STR, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct uring_dev, path) },
	URING_DEV_PROPS,
	NVME_MAX_TRANSFER_PROP,
	NVME_PRODUCT_PROPS(get_model, get_serial, get_firmware, get_formats),
	NVME_PROTECTION_PROP(get_protection),
	NVME_ZONE_PROPS(struct nvme_iou_dev, ns.zones),
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
	.run = nvme_iou_run,
	.drain = nvme_iou_drain,
	.queue_exit = nvme_iou_queue_exit,
	.submit = nvme_iou_submit,
	.enter = nvme_iou_enter,
	.notify = uring_queue_notify,
};
