/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is sent over a connection (NVMe/TCP Transport, 3.6): protocol data units (PDUs), built,
 * taken apart, checked. Pure: bytes in memory and the table of commands in flight.
 *
 * We ask for data without padding (HPDA 0), and for one R2T at a time for a command. So data comes
 * in order, as all controllers send it, and is refused if it does not.
 */
#ifndef BK_NVME_TCP_PDU_H
#define BK_NVME_TCP_PDU_H

#include <endian.h>
#include <string.h>

#include "nvme/nvme_cmd.h"

enum nvme_tcp_type {
	NVME_TCP_ICREQ = 0,
	NVME_TCP_ICRESP = 1,
	NVME_TCP_H2C_TERM = 2,
	NVME_TCP_C2H_TERM = 3,
	NVME_TCP_CAPSULE_CMD = 4,
	NVME_TCP_CAPSULE_RESP = 5,
	NVME_TCP_H2C_DATA = 6,
	NVME_TCP_C2H_DATA = 7,
	NVME_TCP_R2T = 9,
};

/* Flags of the common header. */
enum {
	NVME_TCP_HDGST = 1 << 0,
	NVME_TCP_DDGST = 1 << 1,
	NVME_TCP_LAST = 1 << 2,
	NVME_TCP_SUCCESS = 1 << 3,
};

enum {
	NVME_TCP_IC_LEN = 128,
	NVME_TCP_CAPSULE_LEN = 72, /* CapsuleCmd without data */
	NVME_TCP_SHORT_LEN = 24,   /* all others */
	NVME_TCP_DIGEST_LEN = 4,
	NVME_TCP_HEADER_ROOM = 128,   /* no header that we send is longer, padding included */
	NVME_TCP_MAX_DATA_MIN = 4096, /* what each controller takes in one H2CData */
	/* In a capsule of the admin queue, and of any fabrics command. */
	NVME_TCP_ADMIN_DATA_MAX = 8192,
};

/* How the PDUs of a connection look: both sides have agreed on it. */
struct nvme_tcp_wire {
	bool header_digest, data_digest;
	uint8_t capsule_len; /* CapsuleCmd without data, but with the digest */
	/* where data begins behind what we send: CapsuleCmd, H2CData */
	uint8_t capsule_data_at, h2c_data_at;
	uint32_t max_data; /* bytes in one H2CData */
};

static inline uint16_t nvme_tcp_get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t nvme_tcp_get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t nvme_tcp_get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline void nvme_tcp_put16(uint8_t *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void nvme_tcp_put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

/* ---- The beginning of a connection -------------------------------------------------------- */

/* Which digests to ask for. p: NVME_TCP_IC_LEN bytes. */
void nvme_tcp_build_icreq(uint8_t *p, bool header_digest, bool data_digest);

/*
 * The answer, NVME_TCP_IC_LEN bytes. On success fills in *w; false: *why says what is wrong. The
 * controller must have agreed to the digests that were asked for.
 */
bool nvme_tcp_parse_icresp(const uint8_t *p, bool header_digest, bool data_digest,
			   struct nvme_tcp_wire *w, const char **why);

/* ---- Commands in flight ------------------------------------------------------------------- */

/* Where a command's data goes, if it does not go in its capsule. */
enum nvme_tcp_way { NVME_TCP_NO_DATA, NVME_TCP_IN, NVME_TCP_OUT };

#define NVME_TCP_INDEX_BITS 12
#define NVME_TCP_SLOTS_MAX  (1U << NVME_TCP_INDEX_BITS)

struct nvme_tcp_slot {
	struct bk_req *r; /* of an I/O queue */
	uint16_t cid;	  /* the index in the lowest bits, and how often the slot was used */
	bool in_flight;
	uint8_t way;
	bool is_last;	 /* IN: the controller said that no more data comes */
	bool pads;	 /* what it sends is not the caller's data */
	uint16_t ttag;	 /* OUT: of the R2T */
	int error;	 /* errno value with which the request will end; 0: none so far */
	uint32_t len;	 /* of the data */
	uint32_t so_far; /* IN: that has come; OUT: that the controller has asked for */
	uint32_t to_ask; /* OUT: of that, what is not on its way so far */
	uint64_t end;	 /* of what was to be sent last, in all that is sent */
	/* the data, also if it is in the capsule */
	const struct iovec *iov;
	int iovcnt;
	struct iovec own; /* of commands whose data is not the caller's */
};

struct nvme_tcp_table {
	struct nvme_tcp_wire wire;
	unsigned n;
	struct nvme_tcp_slot *slot;
	uint64_t sent; /* bytes, ever */
};

/* Is there something to be sent, or has it not been noticed so far that it was? */
static inline bool nvme_tcp_sends(const struct nvme_tcp_table *t, const struct nvme_tcp_slot *slot)
{
	return slot->end > t->sent || slot->to_ask;
}

/* ---- What the controller sends ------------------------------------------------------------ */

enum nvme_tcp_kind {
	NVME_TCP_DATA,	     /* len bytes follow, which belong at offset at; then the digest */
	NVME_TCP_ASKS,	     /* the slot has more to send: to_ask bytes */
	NVME_TCP_DONE,	     /* with this status and result */
	NVME_TCP_TERMINATED, /* the controller ends the connection; why, says *why */
};

struct nvme_tcp_event {
	enum nvme_tcp_kind kind;
	struct nvme_tcp_slot *slot;
	uint32_t at, len;
	bool is_done; /* NVME_TCP_DATA: and then the command is done, without an error */
	uint16_t status;
	uint64_t result;
};

/*
 * Take a header from the n bytes at p, and note in its slot what it says. Returns its length,
 * digest included; 0 when there are not enough bytes, of which NVME_TCP_HEADER_MAX are always
 * enough; or NVME_TCP_EARLY: it is about a command that has something to send still, as far as we
 * know; or NVME_TCP_BROKEN: *why says what is wrong with it; or NVME_TCP_CORRUPT: its digest is.
 */
enum {
	NVME_TCP_HEADER_MAX = NVME_TCP_SHORT_LEN + NVME_TCP_DIGEST_LEN,
	NVME_TCP_BROKEN = -1,
	NVME_TCP_EARLY = -2,
	NVME_TCP_CORRUPT = -3,
};
int nvme_tcp_next(const struct nvme_tcp_table *t, const uint8_t *p, size_t n,
		  struct nvme_tcp_event *ev, const char **why);

/* Bytes of the header of data from the controller. */
static inline size_t nvme_tcp_data_header_len(const struct nvme_tcp_wire *w)
{
	return NVME_TCP_SHORT_LEN + (w->header_digest ? NVME_TCP_DIGEST_LEN : 0);
}

/*
 * For the PDU that nearly all are, at less cost than nvme_tcp_next(), where there are no digests:
 * do the NVME_TCP_SHORT_LEN bytes at p begin all data of this slot, which has none so far? *done:
 * and is the command done with it? If not, they may be anything.
 */
static inline bool nvme_tcp_is_whole(const struct nvme_tcp_table *t,
				     const struct nvme_tcp_slot *slot, const uint8_t *p, bool *done)
{
	uint64_t begin = nvme_tcp_get64(p), flags = begin >> 8 & 0xff;
	uint64_t want = NVME_TCP_C2H_DATA | (uint64_t)NVME_TCP_SHORT_LEN << 16 |
			(uint64_t)NVME_TCP_SHORT_LEN << 24 |
			(uint64_t)(NVME_TCP_SHORT_LEN + slot->len) << 32;

	*done = flags == (NVME_TCP_LAST | NVME_TCP_SUCCESS);
	/* The second half: data offset 0, and the length. */
	return (begin & ~0xff00ULL) == want && (*done || flags == NVME_TCP_LAST) &&
	       slot->way == NVME_TCP_IN && !slot->so_far && !slot->is_last && !slot->error &&
	       nvme_tcp_get16(p + 8) == slot->cid && !nvme_tcp_sends(t, slot) &&
	       nvme_tcp_get32(p + 12) == 0 && nvme_tcp_get32(p + 16) == slot->len;
}

/* ---- What we send ------------------------------------------------------------------------- */

/* Bytes behind len bytes of data. */
static inline unsigned nvme_tcp_trailer_len(const struct nvme_tcp_wire *w, uint64_t len)
{
	return w->data_digest && len ? NVME_TCP_DIGEST_LEN : 0;
}

/* Where a command's data is: len bytes, 0 if it has none. */
static inline void nvme_tcp_point(struct nvme_cmd *c, uint32_t len, bool in_capsule)
{
	const uint8_t sgl = 1 << 6, offset = 0x01, transport = 0x5a; /* Base, 4.1.2.1 */

	c->flags = sgl;
	c->dptr[0] = 0;
	c->dptr[1] = len | (uint64_t)(in_capsule ? offset : transport) << 56;
}

/* The common header. data_at: 0 without data; what is left of flags is about digests. */
static inline void nvme_tcp_begin(const struct nvme_tcp_wire *w, uint8_t *p, uint32_t type_flags,
				  uint32_t hlen, uint32_t data_at, uint32_t plen)
{
	if (w->header_digest)
		type_flags |= NVME_TCP_HDGST << 8;
	if (w->data_digest && data_at)
		type_flags |= NVME_TCP_DDGST << 8;
	nvme_tcp_put32(p, type_flags | hlen << 16 | data_at << 24);
	nvme_tcp_put32(p + 4, plen);
}

void nvme_tcp_add_digest(uint8_t *p, size_t hlen);

/* p: NVME_TCP_HEADER_ROOM zeroed bytes. data_len: in the capsule. Returns the bytes before data. */
static inline unsigned nvme_tcp_build_capsule(const struct nvme_tcp_wire *w, uint8_t *p,
					      const struct nvme_cmd *c, uint32_t data_len)
{
	unsigned at = data_len ? w->capsule_data_at : 0, len = data_len ? at : w->capsule_len;

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the command is to become little-endian here"
#endif
	nvme_tcp_begin(w, p, NVME_TCP_CAPSULE_CMD, NVME_TCP_CAPSULE_LEN, at,
		       len + data_len + nvme_tcp_trailer_len(w, data_len));
	memcpy(p + 8, c, sizeof(*c));
	if (unlikely(w->header_digest))
		nvme_tcp_add_digest(p, NVME_TCP_CAPSULE_LEN);
	return len;
}

/* The same for H2CData: bytes [at, at + len) of a command's data. */
unsigned nvme_tcp_build_data(const struct nvme_tcp_wire *w, uint8_t *p,
			     const struct nvme_tcp_slot *slot, uint32_t at, uint32_t len,
			     bool is_last);

/* The controller broke the rules: NVME_TCP_SHORT_LEN bytes that say so. */
void nvme_tcp_build_term(uint8_t *p);

#endif
