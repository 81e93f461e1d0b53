/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See nvme_tcp_pdu.h. */
#include "nvme_tcp/nvme_tcp_pdu.h"

#include "nvme_tcp/crc32c.h"

enum { COMMON_LEN = 8 };

/* What begins each PDU. */
struct common {
	uint8_t type, flags, hlen, pdo;
	uint32_t plen;
};

static struct common get_common(const uint8_t *p)
{
	return (struct common){ p[0], p[1], p[2], p[3], nvme_tcp_get32(p + 4) };
}

/* ---- The beginning of a connection -------------------------------------------------------- */

static const struct nvme_tcp_wire no_digests = { 0 };

void nvme_tcp_build_icreq(uint8_t *p, bool header_digest, bool data_digest)
{
	memset(p, 0, NVME_TCP_IC_LEN);
	nvme_tcp_begin(&no_digests, p, NVME_TCP_ICREQ, NVME_TCP_IC_LEN, 0, NVME_TCP_IC_LEN);
	p[11] = header_digest | data_digest << 1;
}

static uint8_t aligned(unsigned len, unsigned align)
{
	return (len + align - 1) / align * align;
}

bool nvme_tcp_parse_icresp(const uint8_t *p, bool header_digest, bool data_digest,
			   struct nvme_tcp_wire *w, const char **why)
{
	const struct common c = get_common(p);
	unsigned digest = header_digest ? NVME_TCP_DIGEST_LEN : 0;
	unsigned align = (p[10] + 1) * 4;

	*why = NULL;
	if (c.type == NVME_TCP_C2H_TERM)
		*why = "it refuses the connection (C2HTermReq)";
	else if (c.type != NVME_TCP_ICRESP || c.hlen != NVME_TCP_IC_LEN ||
		 c.plen != NVME_TCP_IC_LEN)
		*why = "the answer to ICReq is not an ICResp PDU: is this an NVMe/TCP port?";
	else if (nvme_tcp_get16(p + 8))
		*why = "its version of the PDU format is not 0";
	else if (p[10] > 31)
		*why = "ICResp asks for an impossible data alignment";
	else if (nvme_tcp_get32(p + 12) < NVME_TCP_MAX_DATA_MIN)
		*why = "ICResp permits less than 4096 bytes of data in a PDU";
	else if ((p[11] & 1) != header_digest || (p[11] >> 1 & 1) != data_digest)
		*why = "it does not agree to the digests that property \"digests\" asks for";
	if (*why)
		return false;
	*w = (struct nvme_tcp_wire){
		.header_digest = header_digest,
		.data_digest = data_digest,
		.capsule_len = NVME_TCP_CAPSULE_LEN + digest,
		.capsule_data_at = aligned(NVME_TCP_CAPSULE_LEN + digest, align),
		.h2c_data_at = aligned(NVME_TCP_SHORT_LEN + digest, align),
		.max_data = nvme_tcp_get32(p + 12),
	};
	return true;
}

/* ---- What the controller sends ------------------------------------------------------------ */

static int broken(const char **why, const char *text)
{
	*why = text;
	return NVME_TCP_BROKEN;
}

/* The one that a command identifier names; NULL: it is not in flight. */
static struct nvme_tcp_slot *find(const struct nvme_tcp_table *t, uint16_t cid)
{
	unsigned index = cid & (NVME_TCP_SLOTS_MAX - 1);
	struct nvme_tcp_slot *slot = t->slot + index;

	return index < t->n && slot->in_flight && slot->cid == cid ? slot : NULL;
}

static const char *reason(uint16_t status)
{
	static const char *const texts[] = {
		[1] = "the controller ended the connection: invalid PDU header field",
		[2] = "the controller ended the connection: PDU sequence error",
		[3] = "the controller ended the connection: header digest error",
		[4] = "the controller ended the connection: data transfer out of range",
		[5] = "the controller ended the connection: data transfer limit exceeded",
		[6] = "the controller ended the connection: unsupported parameter",
	};

	return status && status < ARRAY_SIZE(texts) ? texts[status]
						    : "the controller ended the connection";
}

static int take_response(const struct nvme_tcp_table *t, const uint8_t *p,
			 struct nvme_tcp_event *ev, const char **why)
{
	struct nvme_tcp_slot *slot = find(t, nvme_tcp_get16(p + 20));

	if (!slot)
		return broken(why, "the controller completed a command that is not in flight");
	if (nvme_tcp_sends(t, slot))
		return NVME_TCP_EARLY;
	ev->kind = NVME_TCP_DONE;
	ev->slot = slot;
	ev->status = nvme_tcp_get16(p + 22) >> 1;
	ev->result = nvme_tcp_get64(p + 8);
	if (!ev->status && slot->way != NVME_TCP_NO_DATA && slot->so_far != slot->len)
		return broken(why, "the controller completed a command without all of its data");
	return 0;
}

static int take_r2t(const struct nvme_tcp_table *t, const uint8_t *p, struct nvme_tcp_event *ev,
		    const char **why)
{
	struct nvme_tcp_slot *slot = find(t, nvme_tcp_get16(p + 8));
	uint32_t at = nvme_tcp_get32(p + 12), len = nvme_tcp_get32(p + 16);

	if (!slot || slot->way != NVME_TCP_OUT)
		return broken(why, "the controller asked for data that no command has");
	if (nvme_tcp_sends(t, slot))
		return NVME_TCP_EARLY;
	if (!len || at != slot->so_far || len > slot->len - at)
		return broken(why, "the controller asked for data outside the command");
	slot->ttag = nvme_tcp_get16(p + 10);
	slot->so_far += len;
	slot->to_ask = len;
	ev->kind = NVME_TCP_ASKS;
	ev->slot = slot;
	return 0;
}

static int take_data(const struct nvme_tcp_table *t, const uint8_t *p, const struct common *c,
		     struct nvme_tcp_event *ev, const char **why)
{
	struct nvme_tcp_slot *slot = find(t, nvme_tcp_get16(p + 8));
	uint32_t at = nvme_tcp_get32(p + 12), len = nvme_tcp_get32(p + 16);

	if (!slot || slot->way != NVME_TCP_IN)
		return broken(why, "the controller sent data for which there is no command");
	if (nvme_tcp_sends(t, slot))
		return NVME_TCP_EARLY;
	if (!len || at != slot->so_far || len > slot->len - at || slot->is_last)
		return broken(why, "the controller sent data outside the command");
	if (c->plen != c->pdo + (uint64_t)len + nvme_tcp_trailer_len(&t->wire, len))
		return broken(why, "the controller sent a PDU whose lengths do not fit together");
	slot->so_far += len;
	slot->is_last = c->flags & NVME_TCP_LAST;
	ev->kind = NVME_TCP_DATA;
	ev->slot = slot;
	ev->at = at;
	ev->len = len;
	ev->is_done = c->flags & NVME_TCP_SUCCESS;
	if (ev->is_done && (!slot->is_last || slot->so_far != slot->len))
		return broken(why, "the controller completed a command without all of its data");
	return 0;
}

/* Of a known type, its digest verified. */
static int take(const struct nvme_tcp_table *t, const uint8_t *p, const struct common *c,
		struct nvme_tcp_event *ev, const char **why)
{
	*ev = (struct nvme_tcp_event){ 0 };
	switch (c->type) {
	case NVME_TCP_CAPSULE_RESP:
		return take_response(t, p, ev, why);
	case NVME_TCP_R2T:
		return take_r2t(t, p, ev, why);
	default:
		return take_data(t, p, c, ev, why);
	}
}

/* What can be said by the common header alone. */
static const char *check_common(const struct nvme_tcp_wire *w, const struct common *c)
{
	bool has_data = c->type == NVME_TCP_C2H_DATA;
	unsigned len = nvme_tcp_data_header_len(w);

	if (!has_data && c->type != NVME_TCP_CAPSULE_RESP && c->type != NVME_TCP_R2T)
		return "the controller sent a PDU of a type that it must not send";
	if (c->hlen != NVME_TCP_SHORT_LEN)
		return "the controller sent a PDU with a header of the wrong length";
	if (!(c->flags & NVME_TCP_HDGST) == w->header_digest ||
	    (has_data && !(c->flags & NVME_TCP_DDGST) == w->data_digest))
		return "the controller sent a PDU without the digests that it had agreed to, or "
		       "with others";
	if (has_data ? c->pdo != len : c->plen != len)
		return "the controller sent a PDU whose lengths do not fit together";
	return NULL;
}

int nvme_tcp_next(const struct nvme_tcp_table *t, const uint8_t *p, size_t n,
		  struct nvme_tcp_event *ev, const char **why)
{
	size_t len = nvme_tcp_data_header_len(&t->wire);
	struct common c;
	int ret;

	if (n < COMMON_LEN)
		return 0;
	c = get_common(p);
	if (c.type == NVME_TCP_C2H_TERM) {
		if (n < NVME_TCP_SHORT_LEN)
			return 0;
		*ev = (struct nvme_tcp_event){ .kind = NVME_TCP_TERMINATED };
		*why = reason(nvme_tcp_get16(p + 8));
		return NVME_TCP_SHORT_LEN;
	}
	*why = check_common(&t->wire, &c);
	if (*why)
		return NVME_TCP_BROKEN;
	if (n < len)
		return 0;
	if (t->wire.header_digest &&
	    crc32c(0, p, NVME_TCP_SHORT_LEN) != nvme_tcp_get32(p + NVME_TCP_SHORT_LEN))
		return NVME_TCP_CORRUPT;
	ret = take(t, p, &c, ev, why);
	return ret < 0 ? ret : (int)len;
}

/* ---- What we send ------------------------------------------------------------------------- */

void nvme_tcp_add_digest(uint8_t *p, size_t hlen)
{
	nvme_tcp_put32(p + hlen, crc32c(0, p, hlen));
}

unsigned nvme_tcp_build_data(const struct nvme_tcp_wire *w, uint8_t *p,
			     const struct nvme_tcp_slot *slot, uint32_t at, uint32_t len,
			     bool is_last)
{
	uint32_t flags = is_last ? NVME_TCP_LAST << 8 : 0;

	memset(p, 0, w->h2c_data_at);
	nvme_tcp_begin(w, p, NVME_TCP_H2C_DATA | flags, NVME_TCP_SHORT_LEN, w->h2c_data_at,
		       w->h2c_data_at + len + nvme_tcp_trailer_len(w, len));
	nvme_tcp_put16(p + 8, slot->cid);
	nvme_tcp_put16(p + 10, slot->ttag);
	nvme_tcp_put32(p + 12, at);
	nvme_tcp_put32(p + 16, len);
	if (w->header_digest)
		nvme_tcp_add_digest(p, NVME_TCP_SHORT_LEN);
	return w->h2c_data_at;
}

void nvme_tcp_build_term(uint8_t *p)
{
	memset(p, 0, NVME_TCP_SHORT_LEN);
	nvme_tcp_begin(&no_digests, p, NVME_TCP_H2C_TERM, NVME_TCP_SHORT_LEN, 0,
		       NVME_TCP_SHORT_LEN);
	nvme_tcp_put16(p + 8, 1); /* invalid PDU header field */
}
