/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The list of an NBD server's exports, by a server that has said everything in advance. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/test.h"
#include "nbd/nbd.h"
#include "nbd_script.h"

#define SIZE (1ull << 30)

static struct bk_exports list;

/* All that has been listed goes again. */
static void forget_list(void)
{
	for (int i = 0; i < list.n; i++) {
		free((char *)list.e[i].name);
		free((char *)list.e[i].description);
	}
	free(list.e);
	list = (struct bk_exports){ 0 };
}

static int ask_list(void)
{
	struct nbd_connection c = NBD_NO_CONNECTION;
	int pair[2], ret;

	forget_list();
	SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	CHECK_EQ(send(pair[1], script, used, 0), used);
	SYS(shutdown(pair[1], SHUT_WR));
	c.sock = pair[0];
	ret = nbd_list_exports(&c, &(struct nbd_wish){ 0 },
			       &(struct bk_deadline){ deadline_in(10 * NSEC_PER_SEC), -1 }, &list);
	close(pair[0]);
	close(pair[1]);
	return ret;
}

static void text(const char *s)
{
	memcpy(script + used, s, strlen(s));
	used += strlen(s);
}

static void server(const char *name, const char *description)
{
	reply(NBD_OPT_LIST, NBD_REP_SERVER, 4 + strlen(name) + strlen(description));
	put(strlen(name), 4);
	text(name);
	text(description);
}

static void listing(struct device *d)
{
	(void)d;
	greet(3);
	server("", "the \033[1mdefault\n");
	server("d\303\244ta/1", "");
	reply(NBD_OPT_LIST, NBD_REP_ACK, 0);
	reply(NBD_OPT_INFO, NBD_REP_INFO, 12);
	put(NBD_INFO_EXPORT, 2);
	put(SIZE, 8);
	put(1, 2);
	reply(NBD_OPT_INFO, NBD_REP_ACK, 0);
	reply(NBD_OPT_INFO, NBD_REP_ERR_POLICY, 0);
	CHECK_OK(ask_list());
	CHECK_EQ(list.n, 2);
	CHECK_STR(list.e[0].name, "");
	CHECK_STR(list.e[0].description, "the ?[1mdefault?");
	CHECK_EQ(list.e[0].size, SIZE);
	CHECK_STR(list.e[1].name, "d\303\244ta/1");
	CHECK_EQ(list.e[1].size, UINT64_MAX);

	/* Nothing; and a server that knows no NBD_OPT_INFO is asked once. */
	greet(3);
	reply(NBD_OPT_LIST, NBD_REP_ACK, 0);
	CHECK_OK(ask_list());
	CHECK_EQ(list.n, 0);
	greet(3);
	server("a", "");
	server("b", "");
	reply(NBD_OPT_LIST, NBD_REP_ACK, 0);
	reply(NBD_OPT_INFO, NBD_REP_ERR_UNSUP, 0);
	CHECK_OK(ask_list());
	CHECK_EQ(list.n, 2);
	forget_list();
}

static const struct refusal {
	uint32_t type;
	int errnum;
	const char *word;
} refusals[] = {
	{ NBD_REP_ERR_UNSUP, ENOTSUP, "does not list" },
	{ NBD_REP_ERR_POLICY, EACCES, "refuses to list" },
	{ NBD_REP_ERR_TLS_REQD, EACCES, "TLS" },
	{ NBD_REP_ERROR | 77, EPROTO, "0x8000004d" },
	{ NBD_REP_INFO, EPROTO, "type 3" },
};

static void no_listing(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		greet(3);
		server("a", "");
		reply(NBD_OPT_LIST, refusals[i].type, 3);
		put(0x1b5b41, 3); /* must not reach a terminal */
		CHECK_ERR(ask_list(), refusals[i].errnum, refusals[i].word);
		CHECK(!strchr(blkio_get_error_msg(), 0x1b));
	}
	greet(3);
	server("a", "");
	CHECK_ERR(ask_list(), ECONNRESET, "closed");
	forget_list();
}

static void wrong_lists(struct device *d)
{
	(void)d;
	for (unsigned len = 0; len < 8; len++) {
		greet(3);
		reply(NBD_OPT_LIST, NBD_REP_SERVER, len);
		put(0xffffffff, 4); /* the length of the name */
		put(0, 4);
		CHECK_ERR(ask_list(), EPROTO, "not valid");
	}
	greet(3);
	reply(NBD_OPT_LIST, NBD_REP_SERVER, 7);
	put(4, 4);
	text("abc");
	CHECK_ERR(ask_list(), EPROTO, "not valid");
	greet(3);
	reply(NBD_OPT_LIST, NBD_REP_SERVER, UINT32_MAX);
	CHECK_ERR(ask_list(), EPROTO, "4294967295");
	greet(3);
	server("\377", "");
	CHECK_ERR(ask_list(), EPROTO, "UTF-8");
	greet(3);
	reply(NBD_OPT_LIST, NBD_REP_SERVER, 7);
	put(3, 4);
	put('a' << 16 | 'b', 3);
	CHECK_ERR(ask_list(), EPROTO, "UTF-8");
	/* Of the size, which nobody has to tell, lies are lies as well. */
	greet(3);
	server("a", "");
	reply(NBD_OPT_LIST, NBD_REP_ACK, 0);
	reply(NBD_OPT_INFO, NBD_REP_SERVER, 0);
	CHECK_ERR(ask_list(), EPROTO, "type 2");
	greet(3);
	server("a", "");
	reply(NBD_OPT_LIST, NBD_REP_ACK, 0);
	for (int i = 0; i < 100; i++) {
		reply(NBD_OPT_INFO, NBD_REP_INFO, 2);
		put(77, 2);
	}
	CHECK_ERR(ask_list(), EPROTO, "option 6");
	forget_list();
}

/* It ends, however long the server goes on: with too many exports, or too much text. */
static void endless_list(struct device *d)
{
	static char name[4000];
	int ret = 0;

	(void)d;
	for (int i = 0; !ret; i++) {
		CHECK(i <= 10000);
		ret = bk_export_add(&list, "a", 1, "", 0);
	}
	CHECK_EQ(ret, -EPROTO);
	CHECK_EQ(list.n, 10000);
	forget_list();
	memset(name, 'a', sizeof(name));
	while (!(ret = bk_export_add(&list, name, sizeof(name), name, sizeof(name))))
		;
	CHECK_EQ(ret, -EPROTO);
	CHECK(list.n < 1000);
	forget_list();
}

static const struct test tests[] = {
	{ "list of exports", listing },
	{ "lists that are refused", no_listing },
	{ "wrong lists", wrong_lists },
	{ "endless list", endless_list },
};
TEST_MAIN(tests)
