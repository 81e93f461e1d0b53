/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A table of requests in flight, and the bytes of a reply, which a test puts together and takes
 * apart. There is no server.
 */
#ifndef UNIT_NBD_RIG_H
#define UNIT_NBD_RIG_H

#include "nbd/nbd_reply.h"

enum { STATUS = 0x70003 };
enum { START = 4096, LEN = 1024, COOKIE = 0x70001, CONTEXT = 0x12345678 };

/* One read of LEN bytes, a flush, and a block status request, in slots 1 to 3 of four. */
extern struct nbd_slot slots[4];
extern struct nbd_table table;
void begin(enum nbd_mode mode);

/* A reply; put_simple() and put_chunk() begin another one. */
extern uint8_t bytes[64];
extern size_t used;
void put(uint64_t value, size_t size);
/* As it was sent: in no byte order. */
void put_cookie(uint64_t cookie);
void put_simple(uint32_t error, uint64_t cookie);
void put_chunk(unsigned flags, unsigned type, uint64_t cookie, uint64_t len);

/* What nbd_next_reply() says of the first n bytes. */
extern struct nbd_event ev;
extern const char *why;
int next(size_t n);
/* All of it makes an event, and nothing less does. */
void takes(enum nbd_event_kind kind, uint64_t at, uint64_t len, bool last);
/* It breaks the rules, and this word says how. */
void breaks(const char *word);

#endif
