/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See model.h. */
#include "model.h"

#include <errno.h>

void model_init(struct model *m, bool stores)
{
	*m = (struct model){ .stores = stores, .num_queues = 1 };
	memset(m->known, 1, sizeof(m->known)); /* the file is empty: zeroes */
}

/* ---- Prediction --------------------------------------------------------------------------- */

static uint32_t allowed_flags(enum model_op op)
{
	if (op == ZEROES)
		return BLKIO_REQ_FUA | BLKIO_REQ_NO_UNMAP | BLKIO_REQ_NO_FALLBACK;
	return op == WRITE ? BLKIO_REQ_FUA : 0;
}

int model_predict(const struct model *m, const struct model_request *r, uint32_t flags)
{
	if (flags & ~allowed_flags(r->op))
		return -EINVAL;
	if (r->op == FLUSH)
		return 0;
	if (r->op == ZONE)
		return -ENOTSUP;
	if (r->len > m->end || r->start > m->end - r->len)
		return -EINVAL;
	if (!r->len && (r->op == ZEROES || r->op == DISCARD))
		return -EINVAL;
	if (r->op != READ && m->read_only)
		return -EBADF;
	return r->start >= MODEL_SPACE && m->stores && r->len ? MODEL_ANY : 0;
}

static bool touches_data(const struct model_request *r)
{
	return r->op <= DISCARD && r->len && r->start < MODEL_SPACE;
}

bool model_conflicts(const struct model *m, const struct model_request *r)
{
	for (unsigned i = 0; i < MODEL_REQUESTS; i++) {
		const struct model_request *o = &m->requests[i];

		if (o->in_flight && touches_data(o) && touches_data(r) &&
		    (o->op != READ || r->op != READ) && r->start < o->start + o->len &&
		    o->start < r->start + r->len)
			return true;
	}
	return false;
}

/* ---- Data --------------------------------------------------------------------------------- */

void model_submitted(struct model *m, struct model_request *r, unsigned queue)
{
	r->in_flight = true;
	r->queue = queue;
	m->outstanding[queue]++;
}

/* Copies the request's segments out of, or into, the bytes at `flat`. */
static void gather(const struct model_request *r, uint8_t *flat)
{
	for (unsigned i = 0; i < 4; i++) {
		memcpy(flat, r->iov[i].iov_base, r->iov[i].iov_len);
		flat += r->iov[i].iov_len;
	}
}

static void check_data(const struct model *m, const struct model_request *r)
{
	uint8_t flat[MODEL_LEN];

	gather(r, flat);
	for (uint64_t i = 0; i < r->len; i++)
		MUST(!m->known[r->start + i] || flat[i] == m->data[r->start + i]);
}

static void update(struct model *m, const struct model_request *r, bool done)
{
	if (!touches_data(r) || r->op == READ)
		return;
	memset(&m->known[r->start], done && r->op != DISCARD, r->len);
	if (r->op == WRITE)
		gather(r, &m->data[r->start]);
	else
		memset(&m->data[r->start], 0, r->len);
}

void model_completed(struct model *m, struct model_request *r, const struct blkio_completion *c)
{
	static const uint8_t zeroes[sizeof(c->reserved_)];

	MUST(r->in_flight);
	MUST(!memcmp(c->reserved_, zeroes, sizeof(zeroes)));
	if (r->want == MODEL_ANY ? c->ret > 0
				 : c->ret != r->want && !(r->may_lack && c->ret == -ENOTSUP)) {
		fprintf(stderr, "operation %d at %#llx, %llu bytes: %d (%s), not %d\n", (int)r->op,
			(unsigned long long)r->start, (unsigned long long)r->len, c->ret,
			c->error_msg ? c->error_msg : "no message", r->want);
		abort();
	}
	MUST(c->ret || !c->error_msg);
	if (!c->ret && m->stores && r->want == 0) {
		if (r->op == READ)
			check_data(m, r);
		update(m, r, true);
	}
	r->in_flight = false;
	m->outstanding[r->queue]--;
}

void model_queue_gone(struct model *m, unsigned queue)
{
	for (unsigned i = 0; i < MODEL_REQUESTS; i++) {
		struct model_request *r = &m->requests[i];

		if (!r->in_flight || r->queue != queue)
			continue;
		r->in_flight = false;
		if (r->want == 0)
			update(m, r, false);
	}
	m->queue[queue] = false;
	m->outstanding[queue] = 0;
}
