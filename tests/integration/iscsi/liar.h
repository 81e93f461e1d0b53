/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An iSCSI target in a thread, for one connection, which is right in all but the lie that it is
 * told: that is its answer to each read and write, and to the login if it has a text.
 */
#ifndef TEST_LIAR_H
#define TEST_LIAR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "blkio.h"

enum { HEADER = 48, BLOCK = 512, LEN = 64 << 10, BIG = 16 << 20, DISK = 32 << 20 };
enum { SCSI_REQUEST = 1, LOGIN_REQUEST = 3, DATA_OUT = 5, LOGOUT_REQUEST = 6 };
enum {
	NOP_IN = 0x20,
	SCSI_RESPONSE = 0x21,
	LOGIN_RESPONSE = 0x23,
	DATA_IN = 0x25,
	R2T = 0x31,
	ASYNC = 0x32,
	REJECT = 0x3f
};
enum { FINAL = 0x80, UNDERFLOW = 2, OVERFLOW = 4, HAS_STATUS = 1 };
enum { CHECK_CONDITION = 2 };

struct target_side {
	int listener, sock, port;
	pthread_t thread;
	uint32_t stat_sn, cmd_sn;
	/* the request that is being answered */
	uint8_t request[HEADER];
	uint8_t data[LEN];
	size_t data_len;
	const struct lie *lie;
};

/* What it answers a read or write with. */
struct lie {
	const char *name;
	void (*tell)(struct target_side *t);
	int error;	  /* of the request; 0: none */
	bool to_write;	  /* told to a write instead of a read */
	const char *text; /* of the login's answer, in place of the truth */
	size_t text_len;
	bool login_goes_on; /* for ever */
	bool in_login;	    /* told in answer to the login, */
	bool at_once;	    /* or to the first command after it */
};

/* Of a write, the data that came in answer to R2Ts. */
extern uint8_t got[BIG];

/* Start it on a free port; stop it after the initiator has gone. */
void liar_start(struct target_side *t, const struct lie *lie);
void liar_stop(struct target_side *t);
/* An instance for it, which does not reconnect; skips in a build without the driver. */
struct blkio *liar_create(struct target_side *t);

/* ---- For lies ----------------------------------------------------------------------------- */

/* Numbers, as the protocol has them. */
void put(uint8_t *b, uint64_t value, int bytes);
uint32_t get(const uint8_t *b, int bytes);

/* What the initiator sends next, into t->request and t->data. False: it is gone. */
bool take_request(struct target_side *t);
/* The data of a write, until all len bytes are there, as far as it does not come at once. */
void take_data(struct target_side *t, size_t len);

/* A header that answers the request, to change at will; then say it, with len bytes of data. */
void begin(struct target_side *t, uint8_t *h, unsigned opcode, unsigned flags);
/* False: the initiator is gone. */
bool say(struct target_side *t, uint8_t *h, const void *data, size_t len);

/* Whole answers. give: data of a read; ask: for data of a write. */
void respond(struct target_side *t, unsigned status, unsigned flags, uint32_t residual,
	     const void *sense, size_t len);
void good(struct target_side *t);
void give(struct target_side *t, const void *data, size_t len, uint32_t offset, unsigned flags);
void give_all(struct target_side *t, const void *data, size_t len);
bool ask(struct target_side *t, uint32_t offset, uint32_t len);

/* The header, as many times as fit the connection, until the initiator is gone. */
void flood(struct target_side *t, uint8_t *h);

#endif
