/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See nbd_rig.h. */
#include "nbd_rig.h"

#include "test.h"

static struct bk_req reqs[3];
struct nbd_slot slots[4];
static struct nbd_gaps slot_gaps[4];
struct nbd_table table = { .mask = 3, .slot = slots, .context = CONTEXT };
uint8_t bytes[64];
size_t used;

void begin(enum nbd_mode mode)
{
	memset(slot_gaps, 0xee, sizeof(slot_gaps));
	reqs[0] = (struct bk_req){ .op = BK_READ, .start = START, .len = LEN };
	reqs[1] = (struct bk_req){ .op = BK_FLUSH };
	slots[0] = (struct nbd_slot){ .kind = NBD_FREE, .gaps = &slot_gaps[0] };
	slots[1] = (struct nbd_slot){ .r = &reqs[0], .cookie = COOKIE, .gaps = &slot_gaps[1] };
	slots[2] = (struct nbd_slot){
		.r = &reqs[1], .cookie = COOKIE + 1, .kind = NBD_OTHER, .gaps = &slot_gaps[2]
	};
	reqs[2] = (struct bk_req){ .op = BK_BLOCK_STATUS, .start = START, .len = LEN };
	slots[3] = (struct nbd_slot){
		.r = &reqs[2], .cookie = STATUS, .kind = NBD_OTHER, .gaps = &slot_gaps[3]
	};
	table.mode = mode;
	table.whole_read = htobe64(nbd_whole_read_begin(mode));
	used = 0;
}

void put(uint64_t value, size_t size)
{
	for (size_t i = size; i-- > 0;)
		bytes[used++] = value >> 8 * i & 0xff;
}

void put_cookie(uint64_t cookie)
{
	memcpy(bytes + used, &cookie, sizeof(cookie));
	used += sizeof(cookie);
}

void put_simple(uint32_t error, uint64_t cookie)
{
	used = 0;
	put(NBD_SIMPLE_REPLY_MAGIC, 4);
	put(error, 4);
	put_cookie(cookie);
}

void put_chunk(unsigned flags, unsigned type, uint64_t cookie, uint64_t len)
{
	used = 0;
	put(table.mode == NBD_LONG ? NBD_LONG_CHUNK_MAGIC : NBD_CHUNK_MAGIC, 4);
	put(flags, 2);
	put(type, 2);
	put_cookie(cookie);
	if (table.mode == NBD_LONG) {
		put(START, 8);
		put(len, 8);
	} else {
		put(len, 4);
	}
}

struct nbd_event ev;
const char *why;

int next(size_t n)
{
	why = NULL;
	ev = (struct nbd_event){ 0 };
	return nbd_next_reply(&table, bytes, n, &ev, &why);
}

void takes(enum nbd_event_kind kind, uint64_t at, uint64_t len, bool last)
{
	for (size_t n = 0; n < used; n++)
		CHECK_EQ(next(n), 0);
	CHECK_EQ(next(used), used);
	CHECK_EQ(ev.kind, kind);
	CHECK_EQ(ev.at, at);
	CHECK_EQ(ev.len, len);
	CHECK_EQ(ev.is_last, last);
}

void breaks(const char *word)
{
	CHECK_EQ(next(sizeof(bytes)), NBD_BROKEN);
	CHECK(why);
	if (!strstr(why, word))
		FAIL("\"%s\" does not contain \"%s\"", why, word);
}
