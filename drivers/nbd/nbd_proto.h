/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The NBD protocol: its numbers, and what builds and takes apart its messages. All of it is pure:
 * bytes in memory, no sockets. Whatever comes from the server is checked here, once.
 *
 * https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
 */
#ifndef BK_NBD_PROTO_H
#define BK_NBD_PROTO_H

#include <endian.h>

#include "driver.h"

/* ---- Numbers ------------------------------------------------------------------------------ */

#define NBD_DEFAULT_PORT 10809

#define NBD_MAGIC	       0x4e42444d41474943ULL /* "NBDMAGIC" */
#define NBD_OPTION_MAGIC       0x49484156454f5054ULL /* "IHAVEOPT" */
#define NBD_OLD_STYLE_MAGIC    0x0000420281861253ULL
#define NBD_OPTION_REPLY_MAGIC 0x0003e889045565a9ULL
#define NBD_REQUEST_MAGIC      0x25609513U
#define NBD_LONG_REQUEST_MAGIC 0x21e41c71U
#define NBD_SIMPLE_REPLY_MAGIC 0x67446698U
#define NBD_CHUNK_MAGIC	       0x668e33efU
#define NBD_LONG_CHUNK_MAGIC   0x6e8a278cU

#define NBD_HANDSHAKE_FIXED_NEWSTYLE (1U << 0)
#define NBD_HANDSHAKE_NO_ZEROES	     (1U << 1)

enum nbd_option {
	NBD_OPT_EXPORT_NAME = 1,
	NBD_OPT_ABORT = 2,
	NBD_OPT_LIST = 3,
	NBD_OPT_STARTTLS = 5,
	NBD_OPT_INFO = 6,
	NBD_OPT_GO = 7,
	NBD_OPT_STRUCTURED_REPLY = 8,
	NBD_OPT_SET_META_CONTEXT = 10,
	NBD_OPT_EXTENDED_HEADERS = 11,
};

#define NBD_REP_ERROR (1U << 31)

enum nbd_option_reply {
	NBD_REP_ACK = 1,
	NBD_REP_SERVER = 2,
	NBD_REP_INFO = 3,
	NBD_REP_META_CONTEXT = 4,
	NBD_REP_ERR_UNSUP = (int)(NBD_REP_ERROR | 1),
	NBD_REP_ERR_POLICY = (int)(NBD_REP_ERROR | 2),
	NBD_REP_ERR_TLS_REQD = (int)(NBD_REP_ERROR | 5),
	NBD_REP_ERR_UNKNOWN = (int)(NBD_REP_ERROR | 6),
	NBD_REP_ERR_SHUTDOWN = (int)(NBD_REP_ERROR | 7),
};

enum { NBD_INFO_EXPORT = 0, NBD_INFO_BLOCK_SIZE = 3 };

/* Transmission flags: what the export can do. */
enum {
	NBD_FLAG_READ_ONLY = 1 << 1,
	NBD_FLAG_SEND_FLUSH = 1 << 2,
	NBD_FLAG_SEND_FUA = 1 << 3,
	NBD_FLAG_SEND_TRIM = 1 << 5,
	NBD_FLAG_SEND_WRITE_ZEROES = 1 << 6,
	NBD_FLAG_SEND_DF = 1 << 7,
	NBD_FLAG_CAN_MULTI_CONN = 1 << 8,
	NBD_FLAG_SEND_FAST_ZERO = 1 << 11,
	NBD_FLAGS_USED = NBD_FLAG_READ_ONLY | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA |
			 NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_DF |
			 NBD_FLAG_CAN_MULTI_CONN | NBD_FLAG_SEND_FAST_ZERO,
};

enum nbd_command {
	NBD_CMD_READ = 0,
	NBD_CMD_WRITE = 1,
	NBD_CMD_DISC = 2,
	NBD_CMD_FLUSH = 3,
	NBD_CMD_TRIM = 4,
	NBD_CMD_WRITE_ZEROES = 6,
	NBD_CMD_BLOCK_STATUS = 7,
};

enum {
	NBD_CMD_FLAG_FUA = 1 << 0,
	NBD_CMD_FLAG_NO_HOLE = 1 << 1,
	NBD_CMD_FLAG_DF = 1 << 2,
	NBD_CMD_FLAG_REQ_ONE = 1 << 3,
	NBD_CMD_FLAG_FAST_ZERO = 1 << 4,
	NBD_CMD_FLAG_PAYLOAD_LEN = 1 << 5,
};

#define NBD_CHUNK_DONE	(1U << 0)
#define NBD_CHUNK_ERROR (1U << 15) /* of a type */

enum nbd_chunk_type {
	NBD_CHUNK_NONE = 0,
	NBD_CHUNK_OFFSET_DATA = 1,
	NBD_CHUNK_OFFSET_HOLE = 2,
	NBD_CHUNK_STATUS = 5,
	NBD_CHUNK_STATUS_LONG = 6,
};

/* The context of block status, and its flags. */
#define NBD_CONTEXT "base:allocation"
enum { NBD_STATE_HOLE = 1 << 0, NBD_STATE_ZERO = 1 << 1 };

/* ---- Limits ------------------------------------------------------------------------------- */

#define NBD_NAME_MAX	    4096		/* bytes of the name of an export */
#define NBD_ASK_MAX	    (NBD_NAME_MAX + 32) /* of the data of an option that we send */
#define NBD_OPTION_DATA_MAX (4 + 2 * 4096)	/* of the server's answer to an option */
#define NBD_BLOCK_MAX	    65536		/* the largest smallest block */
#define NBD_TRANSFER	    (32U << 20)		/* where the server does not say */
#define NBD_TRANSFER_MAX    (1U << 30)		/* whatever it says */
#define NBD_ERROR_TEXT_MAX  4096
#define NBD_ERRORS_MAX	    16 /* reported for one request */
#define NBD_GAPS_MAX	    16 /* of a read whose pieces come out of order */
#define NBD_SLOTS_MAX	    32768
#define NBD_EXTENTS_MAX	    (8U << 20)				/* in one reply */
#define NBD_LEN_MAX	    (UINT32_MAX & ~(NBD_BLOCK_MAX - 1)) /* of a request in 32 bits */

/* A piece of this length never comes in parts, if we say so: the protocol's own number. */
#define NBD_DF_MAX 65536

/* ---- Bytes -------------------------------------------------------------------------------- */

#define NBD_DEFINE_BYTES(bits)                                                                     \
	static inline uint##bits##_t nbd_get##bits(const void *p)                                  \
	{                                                                                          \
		uint##bits##_t v;                                                                  \
                                                                                                   \
		memcpy(&v, p, sizeof(v));                                                          \
		return be##bits##toh(v);                                                           \
	}                                                                                          \
                                                                                                   \
	static inline void nbd_put##bits(void *p, uint##bits##_t v)                                \
	{                                                                                          \
		v = htobe##bits(v);                                                                \
		memcpy(p, &v, sizeof(v));                                                          \
	}

NBD_DEFINE_BYTES(16)
NBD_DEFINE_BYTES(32)
NBD_DEFINE_BYTES(64)

/* ---- Negotiation -------------------------------------------------------------------------- */

/* The form of replies, and with LONG also of requests. */
enum nbd_mode { NBD_SIMPLE, NBD_STRUCTURED, NBD_LONG };
#define NBD_MODE(mode) (1U << (mode))

/* What the server says of an export. */
struct nbd_export {
	uint64_t size; /* bytes */
	uint16_t flags;
	enum nbd_mode mode;
	bool has_blocks; /* the next three are the server's own */
	uint32_t min_block, preferred_block, max_transfer;
	bool has_context; /* block status; then its number */
	uint32_t context;
};

enum { NBD_GREETING_LEN = 18, NBD_OPTION_LEN = 16, NBD_OPTION_REPLY_LEN = 20 };

/* 0 with the handshake flags, or bk_err(). */
int nbd_parse_greeting(const uint8_t p[NBD_GREETING_LEN], uint16_t *flags);

/* The header of an option with len bytes of data. */
void nbd_build_option(uint8_t out[NBD_OPTION_LEN], enum nbd_option option, uint32_t len);

/* What these options ask for. Returns the length; the name has at most NBD_NAME_MAX bytes. */
size_t nbd_build_go(uint8_t out[NBD_ASK_MAX], const char *name);
size_t nbd_build_context(uint8_t out[NBD_ASK_MAX], const char *name);

/* 0 with the type of a reply to this option and the length of its data, or bk_err(). */
int nbd_parse_option_reply(const uint8_t p[NBD_OPTION_REPLY_LEN], enum nbd_option option,
			   uint32_t *type, uint32_t *len);

/* The data of an NBD_REP_INFO: into e; *has_export if it was that. 0 or bk_err(). */
int nbd_parse_info(const uint8_t *p, size_t len, struct nbd_export *e, bool *has_export);

/* The data of an NBD_REP_META_CONTEXT: into e. 0 or bk_err(). */
int nbd_parse_context(const uint8_t *p, size_t len, struct nbd_export *e);

/* The data of an NBD_REP_SERVER: one more for x. 0 or bk_err(). */
int nbd_parse_server(const uint8_t *p, size_t len, struct bk_exports *x);

/* bk_err() of a refusal to list. */
int nbd_list_refused(uint32_t type, const uint8_t *text, size_t len);

/* Once all is known: is it sane? Fills in what the server did not say. 0 or bk_err(). */
int nbd_check_export(struct nbd_export *e);

/* bk_err() of a refusal: its type and the text that came with it. */
int nbd_refused(const char *name, uint32_t type, const uint8_t *text, size_t len);

/* ---- Requests ----------------------------------------------------------------------------- */

enum { NBD_REQUEST_LEN = 28, NBD_LONG_REQUEST_LEN = 32 };

static inline size_t nbd_request_len(enum nbd_mode mode)
{
	return mode == NBD_LONG ? NBD_LONG_REQUEST_LEN : NBD_REQUEST_LEN;
}

struct nbd_request {
	enum nbd_command command;
	uint16_t flags;
	uint64_t cookie, offset, len;
};

/* The first 8 bytes of a request, as they are sent. */
static inline uint64_t nbd_request_begin(enum nbd_mode mode, enum nbd_command command,
					 uint16_t flags)
{
	uint64_t magic = mode == NBD_LONG ? NBD_LONG_REQUEST_MAGIC : NBD_REQUEST_MAGIC;

	return htobe64(magic << 32 | (uint32_t)flags << 16 | command);
}

/* The server echoes it, and it means nothing to it: it has no byte order. */
static inline uint64_t nbd_get_cookie(const uint8_t *p)
{
	uint64_t cookie;

	memcpy(&cookie, p, sizeof(cookie));
	return cookie;
}

/* rq but for its command and flags, which begin says. */
static inline void nbd_build_begun(uint8_t *p, enum nbd_mode mode, uint64_t begin,
				   const struct nbd_request *rq)
{
	memcpy(p, &begin, sizeof(begin));
	memcpy(p + 8, &rq->cookie, sizeof(rq->cookie));
	nbd_put64(p + 16, rq->offset);
	if (mode == NBD_LONG)
		nbd_put64(p + 24, rq->len);
	else
		nbd_put32(p + 24, rq->len);
}

static inline void nbd_build_request(uint8_t *p, enum nbd_mode mode, const struct nbd_request *rq)
{
	nbd_build_begun(p, mode, nbd_request_begin(mode, rq->command, rq->flags), rq);
}

/* The errno value that an error number of the protocol stands for. */
int nbd_errno(uint32_t error);

#endif
