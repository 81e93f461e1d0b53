/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The NBD handshake with a server that has said everything in advance: what the driver makes of
 * it, and that it says what it should.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/test.h"
#include "nbd/nbd.h"
#include "nbd_script.h"

#define SIZE (1ull << 30)

static void describe(uint64_t size, unsigned flags)
{
	reply(NBD_OPT_GO, NBD_REP_INFO, 12);
	put(NBD_INFO_EXPORT, 2);
	put(size, 8);
	put(flags, 2);
}

static void blocks(uint32_t min, uint32_t preferred, uint32_t max)
{
	reply(NBD_OPT_GO, NBD_REP_INFO, 14);
	put(NBD_INFO_BLOCK_SIZE, 2);
	put(min, 4);
	put(preferred, 4);
	put(max, 4);
}

static struct nbd_export e;
static uint8_t said[8192];
static ssize_t nr_said;

/* Negotiate with the script, after which the server has closed the connection. */
static int negotiate(bool structured)
{
	struct nbd_connection c = NBD_NO_CONNECTION;
	const struct nbd_wish wish = {
		.export = "disk",
		.modes = structured ? NBD_MODE(NBD_STRUCTURED) | NBD_MODE(NBD_LONG) : 0,
	};
	int pair[2], ret;

	SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	CHECK_EQ(send(pair[1], script, used, 0), used);
	SYS(shutdown(pair[1], SHUT_WR));
	c.sock = pair[0];
	ret = nbd_negotiate(&c, &wish,
			    &(struct bk_deadline){ deadline_in(10 * NSEC_PER_SEC), -1, 0 }, &e);
	shutdown(pair[0], SHUT_WR);
	nr_said = recv(pair[1], said, sizeof(said), MSG_DONTWAIT);
	close(pair[0]);
	close(pair[1]);
	return ret;
}

static void good(struct device *d)
{
	static const uint8_t go[] = { 0,   0, 0,   3,	'I', 'H', 'A', 'V', 'E', 'O', 'P',
				      'T', 0, 0,   0,	7,   0,	  0,   0,   12,	 0,   0,
				      0,   4, 'd', 'i', 's', 'k', 0,   1,   0,	 3 };

	(void)d;
	greet(3);
	blocks(512, 4096, 65536 + 511);
	describe(SIZE + 100, 0x1234);
	reply(NBD_OPT_GO, NBD_REP_ACK, 0);
	CHECK_OK(negotiate(false));
	CHECK_EQ(nr_said, sizeof(go));
	CHECK_MEM(said, go, sizeof(go));
	CHECK_EQ(e.mode, NBD_SIMPLE);
	CHECK(e.size == SIZE && e.flags == (0x1234 & NBD_FLAGS_USED));
	CHECK(e.min_block == 512 && e.preferred_block == 4096 && e.max_transfer == 65536);
}

static void without_blocks(struct device *d)
{
	(void)d;
	for (int i = 0; i < 2; i++) {
		greet(3);
		describe(SIZE + i, 1);
		reply(NBD_OPT_GO, NBD_REP_ACK, 0);
		CHECK_OK(negotiate(false));
		CHECK_EQ(e.min_block, i ? 1 : 512);
		CHECK(e.size == SIZE + i && e.max_transfer == 32 << 20);
	}
}

static void modes(struct device *d)
{
	(void)d;
	for (enum nbd_mode mode = NBD_SIMPLE; mode <= NBD_LONG; mode++) {
		greet(3);
		reply(NBD_OPT_EXTENDED_HEADERS,
		      mode == NBD_LONG ? NBD_REP_ACK : (uint32_t)NBD_REP_ERR_UNSUP, 0);
		if (mode != NBD_LONG) {
			reply(NBD_OPT_STRUCTURED_REPLY,
			      mode ? NBD_REP_ACK : (uint32_t)NBD_REP_ERR_POLICY, 3);
			put(0, 3);
		}
		if (mode != NBD_SIMPLE)
			reply(NBD_OPT_SET_META_CONTEXT, NBD_REP_ERR_UNSUP, 0);
		describe(SIZE, 1);
		reply(NBD_OPT_GO, NBD_REP_ACK, 0);
		CHECK_OK(negotiate(true));
		CHECK_EQ(e.mode, mode);
		CHECK(!e.has_context);
	}
}

/* ---- The context of block status ---------------------------------------------------------- */

static void greet_structured(void)
{
	greet(3);
	reply(NBD_OPT_EXTENDED_HEADERS, NBD_REP_ERR_UNSUP, 0);
	reply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK, 0);
}

static void offer(const char *name)
{
	reply(NBD_OPT_SET_META_CONTEXT, NBD_REP_META_CONTEXT, 4 + strlen(name));
	put(0x01020304, 4);
	memcpy(script + used, name, strlen(name));
	used += strlen(name);
}

static void go(void)
{
	describe(SIZE, 1);
	reply(NBD_OPT_GO, NBD_REP_ACK, 0);
}

static void context(struct device *d)
{
	/* the name of the export, one query: its length, "base:allocation" */
	static const char asked[] = "\0\0\0\4disk\0\0\0\1\0\0\0\017base:allocation";

	(void)d;
	greet_structured();
	offer("base:allocation");
	reply(NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK, 0);
	go();
	CHECK_OK(negotiate(true));
	CHECK(e.has_context && e.context == 0x01020304);
	/* the client's flags, two options without data, the header of this one */
	CHECK_MEM(said + 4 + 3 * NBD_OPTION_LEN, asked, sizeof(asked) - 1);

	greet_structured();
	reply(NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK, 0);
	go();
	CHECK_OK(negotiate(true));
	CHECK(!e.has_context);

	greet_structured();
	offer("base:allocation");
	reply(NBD_OPT_SET_META_CONTEXT, NBD_REP_ERR_POLICY, 0);
	go();
	CHECK_OK(negotiate(true));
	CHECK(!e.has_context);
}

static const char *const other_contexts[] = { "", "base:allocatio", "base:allocation2",
					      "base:allocatioN", "qemu:allocation-depth" };

static void wrong_contexts(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(other_contexts); i++) {
		greet_structured();
		offer(other_contexts[i]);
		CHECK_ERR(negotiate(true), EPROTO, "base:allocation");
	}
	for (unsigned len = 0; len < 4; len++) {
		greet_structured();
		reply(NBD_OPT_SET_META_CONTEXT, NBD_REP_META_CONTEXT, len);
		put(0, len);
		CHECK_ERR(negotiate(true), EPROTO, "base:allocation");
	}
	greet_structured();
	offer("base:allocation");
	offer("base:allocation");
	CHECK_ERR(negotiate(true), EPROTO, "twice");
	greet_structured();
	reply(NBD_OPT_SET_META_CONTEXT, NBD_REP_INFO, 0);
	CHECK_ERR(negotiate(true), EPROTO, "option 10 has type 3");
	greet_structured();
	reply(NBD_OPT_SET_META_CONTEXT, NBD_REP_META_CONTEXT, UINT32_MAX);
	CHECK_ERR(negotiate(true), EPROTO, "4294967295");
	greet_structured();
	reply(NBD_OPT_GO, NBD_REP_ACK, 0);
	CHECK_ERR(negotiate(true), EPROTO, "option 7 instead of 10");
}

/* ---- Older servers ------------------------------------------------------------------------ */

static void old_way(struct device *d)
{
	(void)d;
	for (int no_zeroes = 0; no_zeroes < 2; no_zeroes++) {
		greet(no_zeroes ? 3 : 1);
		reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, 0);
		put(SIZE, 8);
		put(5, 2);
		used += no_zeroes ? 0 : 124;
		CHECK_OK(negotiate(false));
		CHECK(e.size == SIZE && e.flags == (5 & NBD_FLAGS_USED));
	}
	greet(3);
	reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, 0);
	CHECK_ERR(negotiate(false), ENOENT, "disk");
}

static const struct refusal {
	uint32_t type;
	int errnum;
	const char *word;
} refusals[] = {
	{ NBD_REP_ERR_UNKNOWN, ENOENT, "\"disk\"" },
	{ NBD_REP_ERR_TLS_REQD, EACCES, "TLS" },
	{ NBD_REP_ERR_POLICY, EACCES, "denies" },
	{ NBD_REP_ERR_SHUTDOWN, ECONNREFUSED, "shutting down" },
	{ NBD_REP_ERROR | 77, EPROTO, "0x8000004d" },
	{ NBD_REP_ACK, EPROTO, "did not describe" },
	{ 2, EPROTO, "type 2" },
};

static void refused(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		greet(3);
		reply(NBD_OPT_GO, refusals[i].type, 3);
		put(0x1b5b41, 3); /* must not reach a terminal */
		CHECK_ERR(negotiate(false), refusals[i].errnum, refusals[i].word);
		CHECK(!strchr(blkio_get_error_msg(), 0x1b));
	}
}

/* ---- Lies --------------------------------------------------------------------------------- */

static void other_servers(struct device *d)
{
	(void)d;
	greet(0);
	CHECK_ERR(negotiate(true), ENOTSUP, "newstyle");
	greet(3);
	memset(script, 'x', 8);
	CHECK_ERR(negotiate(true), EPROTO, "NBD");
	used = 0;
	put(NBD_MAGIC, 8);
	put(NBD_OLD_STYLE_MAGIC, 8);
	put(0, 2);
	CHECK_ERR(negotiate(true), ENOTSUP, "old-style");
}

static void silence(struct device *d)
{
	struct nbd_connection c = NBD_NO_CONNECTION;
	int pair[2];

	(void)d;
	SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	c.sock = pair[0];
	CHECK_ERR(nbd_negotiate(&c, &(struct nbd_wish){ .export = "" },
				&(struct bk_deadline){ deadline_in(20000000), -1, 20 }, &e),
		  ETIMEDOUT, "NBD handshake", "within 20 ms");
	close(pair[0]);
	close(pair[1]);
}

/* Cut off anywhere. */
static void cut(struct device *d)
{
	size_t all;

	(void)d;
	greet(3);
	blocks(1, 4096, 1 << 20);
	describe(SIZE, 1);
	reply(NBD_OPT_GO, NBD_REP_ACK, 0);
	all = used;
	for (used = 0; used < all; used++)
		CHECK_ERR(negotiate(false), ECONNRESET, "closed");
}

static void wrong_replies(struct device *d)
{
	(void)d;
	greet(3);
	reply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK, 0);
	CHECK_ERR(negotiate(true), EPROTO, "option 8 instead of 11");
	greet(3);
	reply(NBD_OPT_EXTENDED_HEADERS, 17, 0);
	CHECK_ERR(negotiate(true), EPROTO, "type 17");
	greet(3);
	put(0, 20);
	CHECK_ERR(negotiate(true), EPROTO, "not valid");
	greet(3);
	reply(NBD_OPT_GO, NBD_REP_INFO, UINT32_MAX);
	CHECK_ERR(negotiate(false), EPROTO, "4294967295");
	greet(3);
	reply(NBD_OPT_GO, NBD_REP_INFO, NBD_OPTION_DATA_MAX + 1);
	CHECK_ERR(negotiate(false), EPROTO, "8197");
	for (unsigned len = 0; len < 20; len++) {
		greet(3);
		reply(NBD_OPT_GO, NBD_REP_INFO, len);
		used += len;
		if (len == 12)
			reply(NBD_OPT_GO, NBD_REP_ERR_POLICY, 0);
		memset(script + 38, 0, len);
		CHECK_ERR(negotiate(false), len == 12 ? EACCES : EPROTO);
	}
	greet(3);
	for (int i = 0; i < 100; i++) {
		reply(NBD_OPT_GO, NBD_REP_INFO, 2);
		put(77, 2);
	}
	CHECK_ERR(negotiate(false), EPROTO, "does not come to an end");
}

static const uint32_t bad_blocks[][3] = {
	{ 0, 4096, 65536 },	   { 3, 4096, 65536 },	    { 1 << 17, 1 << 17, 1 << 20 },
	{ 512, 256, 65536 },	   { 512, 0, 65536 },	    { 512, 3000, 65536 },
	{ 512, 1u << 31, 65536 },  { 4096, 4096, 0 },	    { 4096, 4096, 4095 },
	{ 1u << 31, 1u << 31, 0 }, { UINT32_MAX, 512, 512 }
};

static void limits(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(bad_blocks); i++) {
		greet(3);
		blocks(bad_blocks[i][0], bad_blocks[i][1], bad_blocks[i][2]);
		describe(SIZE, 1);
		reply(NBD_OPT_GO, NBD_REP_ACK, 0);
		CHECK_ERR(negotiate(false), EPROTO, "block size");
	}
	greet(3);
	describe(1ull << 63, 1);
	reply(NBD_OPT_GO, NBD_REP_ACK, 0);
	CHECK_ERR(negotiate(false), EPROTO, "2^63");
	greet(3);
	blocks(1, 4096, UINT32_MAX);
	describe(INT64_MAX, 1);
	reply(NBD_OPT_GO, NBD_REP_ACK, 0);
	CHECK_OK(negotiate(false));
	CHECK_EQ(e.max_transfer, 1 << 30);
}

static const struct test tests[] = {
	{ "good", good },
	{ "block sizes unknown", without_blocks },
	{ "forms of replies", modes },
	{ "context of block status", context },
	{ "wrong contexts", wrong_contexts },
	{ "before NBD_OPT_GO", old_way },
	{ "refused", refused },
	{ "other servers", other_servers },
	{ "silence", silence },
	{ "cut off", cut },
	{ "wrong replies", wrong_replies },
	{ "limits", limits },
};
TEST_MAIN(tests)
