/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fuzzer: an NBD server that lists its exports. It says all in advance, and nothing more, so nobody
 * waits. What must hold: the application gets names, and texts that garble no terminal.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "nbd/nbd.h"
#include "world.h"

enum { EXPORTS_MAX = 15, TEXT_MAX = 63, SAID_MAX = 65536 };

static struct fuzz_input in;
static uint8_t said[SAID_MAX];
static size_t used;

static void put(uint64_t value, size_t size)
{
	for (size_t i = size; i-- > 0;)
		said[used++] = value >> 8 * i & 0xff;
}

static void reply(unsigned option, uint32_t type, uint32_t len)
{
	put(NBD_OPTION_REPLY_MAGIC, 8);
	put(option, 4);
	put(type, 4);
	put(len, 4);
}

/* With any name and description. */
static void offer_export(void)
{
	uint8_t name = fuzz_u8(&in) & TEXT_MAX, text = fuzz_u8(&in) & TEXT_MAX;

	reply(NBD_OPT_LIST, NBD_REP_SERVER, 4 + name + text);
	put(name, 4);
	memset(said + used, 'x', name + text);
	fuzz_bytes(&in, said + used, name + text);
	used += name + text;
}

static void say_size(uint8_t how)
{
	static const uint32_t ends[] = { NBD_REP_ACK, NBD_REP_ACK, NBD_REP_ERR_UNSUP,
					 NBD_REP_ERR_POLICY };

	for (unsigned n = 1 + (how >> 6); n; n--) {
		reply(NBD_OPT_INFO, NBD_REP_INFO, 12);
		put(how & 0x10 ? NBD_INFO_BLOCK_SIZE : NBD_INFO_EXPORT, 2);
		put(fuzz_u64(&in), 8);
		put(0, 2);
	}
	reply(NBD_OPT_INFO, ends[how & 3], 0);
}

/* Mostly as it should be; then some bytes are others, and the end may be missing. */
static void say_all(void)
{
	uint8_t how = fuzz_u8(&in), n = fuzz_u8(&in) & EXPORTS_MAX;

	used = 0;
	put(NBD_MAGIC, 8);
	put(NBD_OPTION_MAGIC, 8);
	put(3, 2);
	for (unsigned i = 0; i < n; i++)
		offer_export();
	reply(NBD_OPT_LIST, how & 1 ? NBD_REP_ERR_POLICY : NBD_REP_ACK, 0);
	for (unsigned i = 0; i < n; i++)
		say_size(fuzz_u8(&in));
	if (how >= 0x80)
		fuzz_patch(&in, said, used);
	if (how >= 0xc0)
		used = fuzz_u16(&in) % (used + 1);
}

static void check(const struct blkio_export *e)
{
	MUST(e->name && e->description);
	for (const char *p = e->description; *p; p++)
		MUST((unsigned char)*p >= ' ' && *p != 0x7f);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct nbd_connection c = NBD_NO_CONNECTION;
	struct bk_exports x = { 0 };
	int pair[2], ret;

	in = (struct fuzz_input){ data, data + len };
	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	say_all();
	MUST(send(pair[1], said, used, MSG_DONTWAIT) == (ssize_t)used);
	shutdown(pair[1], SHUT_WR);
	c.sock = pair[0];
	ret = nbd_list_exports(&c, &(struct nbd_wish){ 0 }, &(struct bk_deadline){ INT64_MAX, -1 },
			       &x);
	for (int i = 0; i < x.n; i++) {
		if (!ret)
			check(&x.e[i]);
		free((char *)x.e[i].name);
		free((char *)x.e[i].description);
	}
	free(x.e);
	close(pair[0]);
	close(pair[1]);
}
