/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests in flight: each has a slot from submit() until its command is completed. What the kernel
 * has in flight on a lost connection ends once the socket is shut down, whatever the target does;
 * only then are its requests complete.
 */
#include <stdlib.h>

#include "nvme_tcp/nvme_tcp.h"

void nvme_tcp_slots_exit(struct nvme_tcp_queue *q)
{
	free(q->table.slot);
	free(q->items);
	free(q->free);
	free(q->headers);
	free(q->pages);
}

int nvme_tcp_slots_init(struct nvme_tcp_queue *q, unsigned n)
{
	bool has_zones = q->ns->zones.zoned;

	q->table.slot = calloc(n, sizeof(*q->table.slot));
	q->items = calloc(n, sizeof(*q->items));
	q->free = calloc(n, sizeof(*q->free));
	q->headers = calloc(n, NVME_TCP_HEADER_ROOM);
	q->pages = has_zones ? calloc(n, NVME_TCP_PAGE) : NULL;
	if (!q->table.slot || !q->items || !q->free || !q->headers || (has_zones && !q->pages)) {
		nvme_tcp_slots_exit(q);
		return bk_err(ENOMEM, "out of memory");
	}
	q->table.n = n;
	for (unsigned i = n; i-- > 0;) {
		q->table.slot[i].cid = i;
		q->free[q->nr_free++] = i;
	}
	return 0;
}

/* ---- The end of a request ----------------------------------------------------------------- */

/* It is in the slot's page. */
static int take_report(struct nvme_tcp_queue *q, const struct nvme_tcp_slot *slot, struct bk_req *r)
{
	struct blkio_zone zones[NVME_TCP_PAGE / sizeof(struct nvme_zns_desc)];

	return nvme_report_came(q->ns, r, slot->own.iov_base, slot->len, zones, &r->error_msg);
}

static void complete(struct nvme_tcp_queue *q, struct bk_req *r, int64_t res)
{
	q->finished++;
	bk_complete(&q->q, r, res);
}

static void finish_failed(struct nvme_tcp_queue *q, struct bk_req *r, int error, unsigned status)
{
	const unsigned code = status & (NVME_SCT_MASK << NVME_SCT_SHIFT | NVME_SC_MASK);

	/* nvmet says so of all that is behind the end of a file. */
	if (code == NVME_SC_CAP_EXCEEDED && r->op == BK_READ)
		status = NVME_SC_LBA_RANGE;
	if (!error)
		error = nvme_status(status, &r->error_msg);
	/* The data was garbled on its way, or the target had to give up for a moment. */
	if (error == EILSEQ || code == NVME_SC_TRAN_TPORT_ERROR || code == NVME_SC_CMD_INTERRUPTED)
		bk_retry_transient(&q->q, r, -error);
	else
		complete(q, r, -error);
}

/* What else there is to do for a request that succeeded: 0, 1 if it has to be submitted again, or
 * -errno. */
static int finish_well(struct nvme_tcp_queue *q, const struct nvme_tcp_slot *slot, struct bk_req *r)
{
	uint64_t result = nvme_tcp_item_of(q, slot)->result;

	if (r->op == BK_ZONE_APPEND)
		return nvme_append_came(q->ns, r, result, &r->error_msg);
	return r->op == BK_ZONE_REPORT ? take_report(q, slot, r) : 0;
}

/* The controller did not carry out the command, and its path may be usable again later. */
static bool is_path_away(unsigned status)
{
	const unsigned path = NVME_SCT_PATH << NVME_SCT_SHIFT;
	unsigned code = status & (NVME_SCT_MASK << NVME_SCT_SHIFT | NVME_SC_MASK);

	return code == (path | NVME_SC_ANA_INACCESSIBLE) || code == (path | NVME_SC_ANA_TRANSITION);
}

cold_path void nvme_tcp_finish_other(struct nvme_tcp_queue *q, struct nvme_tcp_slot *slot)
{
	unsigned status = nvme_tcp_item_of(q, slot)->status;
	bool counts = bk_has_segments(slot->r) || slot->r->op == BK_ZONE_REPORT;
	struct bk_req *r = slot->r;
	int error = slot->error, ret;

	/* All requests are in the same namespace: what follows would fare no better. */
	if (!error && is_path_away(status) && nvme_tcp_link_returns(q)) {
		nvme_tcp_lose(q, ENOTCONN, "the path to the NVMe namespace is inaccessible");
		return;
	}
	nvme_tcp_release(q, slot);
	if (error || status) {
		finish_failed(q, r, error, status);
		return;
	}
	ret = finish_well(q, slot, r);
	if (ret > 0)
		bk_retry(&q->q, r);
	else
		complete(q, r, ret < 0 ? ret : counts ? (int64_t)r->len : 0);
}

/* ---- The end of the connection ------------------------------------------------------------ */

void nvme_tcp_lose(struct nvme_tcp_queue *q, int error, const char *why)
{
	if (!q->lost) {
		q->lost = why;
		q->lost_error = error;
	}
	q->is_calm = false;
	net_stream_cut(&q->s);
}

static void forget_unsent(struct nvme_tcp_queue *q)
{
	bk_list_init(&q->unsent);
	q->table.sent = q->to_send;
	q->sends_data = q->scatters;
	q->careful = 0;
	q->asked = 0;
	q->out.head = q->out.tail = 0;
	q->copied = q->to_send;
}

void nvme_tcp_fail_all(struct nvme_tcp_queue *q)
{
	for (unsigned i = 0; i < q->table.n; i++) {
		struct nvme_tcp_slot *slot = &q->table.slot[i];
		struct bk_req *r = slot->r;

		if (!r)
			continue;
		if (!slot->error || slot->error == EILSEQ)
			r->error_msg = q->lost;
		if (!slot->error || slot->error == EILSEQ)
			slot->error = q->lost_error;
		nvme_tcp_finish(q, slot);
	}
	forget_unsent(q);
}

/* Zones remember each write: the same once more fails, or does not do the same. */
static bool may_be_repeated(const struct nvme_tcp_queue *q, const struct bk_req *r)
{
	return !q->ns->zones.zoned || r->op == BK_READ || r->op == BK_FLUSH ||
	       r->op == BK_ZONE_REPORT;
}

void nvme_tcp_retry_all(struct nvme_tcp_queue *q)
{
	/* The core puts each before those that it has. */
	for (unsigned i = q->table.n; i-- > 0;) {
		struct nvme_tcp_slot *slot = &q->table.slot[i];
		struct bk_req *r = slot->r;
		bool is_unknown;

		if (!r)
			continue;
		if (slot->error && slot->error != EILSEQ) {
			nvme_tcp_finish(q, slot);
			continue;
		}
		is_unknown =
		    nvme_tcp_is_unknown(q, slot) || is_path_away(nvme_tcp_item_of(q, slot)->status);
		if (!is_unknown && !may_be_repeated(q, r)) {
			slot->error = ENOTCONN;
			r->error_msg = "the connection was lost, and whether the zone has changed "
				       "is not known: report it";
			nvme_tcp_finish(q, slot);
			continue;
		}
		nvme_tcp_release(q, slot);
		comeback_retry(&q->q, r, !is_unknown);
	}
	forget_unsent(q);
}
