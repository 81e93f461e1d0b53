/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The handshake: fixed newstyle, one export. All of it has one deadline.
 *
 * TLS comes before all else that is asked for, so that nothing that was said before counts: an
 * export, or its limits, that somebody else has put in. Each answer is read to its end and no
 * further, so what follows the server's agreement is for the TLS handshake, which fails unless it
 * belongs there.
 */
#include "nbd/nbd.h"

#define INFOS_MAX 32 /* before the server comes to the point */

struct talk {
	int sock;
	const struct bk_deadline *deadline;
	const char *step;   /* for messages */
	uint32_t type, len; /* of the last reply */
	uint8_t data[NBD_OPTION_DATA_MAX];
};

/* ---- Bytes -------------------------------------------------------------------------------- */

static int explain(const struct talk *t, int ret)
{
	if (ret >= 0)
		return 0;
	if (ret == -ECONNRESET)
		return bk_err(ECONNRESET, "%s: the NBD server closed the connection", t->step);
	bk_wait_err(t->deadline, ret, t->step, "answer of the NBD server");
	return ret;
}

static int get(struct talk *t, void *buf, size_t len)
{
	return explain(t, net_recv(t->sock, buf, len, t->deadline));
}

static int put(struct talk *t, const void *buf, size_t len)
{
	return explain(t, net_send(t->sock, buf, len, t->deadline));
}

/* ---- Options ------------------------------------------------------------------------------ */

static const char *step_of(enum nbd_option option)
{
	switch (option) {
	case NBD_OPT_EXPORT_NAME:
		return "NBD_OPT_EXPORT_NAME";
	case NBD_OPT_EXTENDED_HEADERS:
		return "NBD_OPT_EXTENDED_HEADERS";
	case NBD_OPT_STRUCTURED_REPLY:
		return "NBD_OPT_STRUCTURED_REPLY";
	default:
		return "NBD_OPT_GO";
	}
}

static int send_option(struct talk *t, enum nbd_option option, const void *data, size_t len)
{
	uint8_t message[NBD_OPTION_LEN + NBD_ASK_MAX];

	t->step = step_of(option);
	nbd_build_option(message, option, len);
	if (len)
		memcpy(message + NBD_OPTION_LEN, data, len);
	return put(t, message, NBD_OPTION_LEN + len);
}

static int get_reply(struct talk *t, enum nbd_option option)
{
	uint8_t header[NBD_OPTION_REPLY_LEN];
	int ret = get(t, header, sizeof(header));

	if (!ret)
		ret = nbd_parse_option_reply(header, option, &t->type, &t->len);
	return ret < 0 ? ret : get(t, t->data, t->len);
}

static int wrong_type(const struct talk *t, enum nbd_option option)
{
	return bk_err(EPROTO, "the NBD server's reply to option %d has type %u", option, t->type);
}

/* An option without data that the server may lack. 1 or 0: whether it agrees; or bk_err(). */
static int ask(struct talk *t, enum nbd_option option)
{
	int ret = send_option(t, option, NULL, 0);

	if (!ret)
		ret = get_reply(t, option);
	if (ret < 0)
		return ret;
	if (t->type == NBD_REP_ACK)
		return 1;
	if (t->type & NBD_REP_ERROR)
		return 0;
	return wrong_type(t, option);
}

/* ---- TLS ---------------------------------------------------------------------------------- */

/* From here on, the talk is over TLS; or else the server lacks it and need not have it. */
static int start_tls(struct talk *t, struct nbd_connection *c, const struct nbd_wish *wish)
{
	int data, ret;

	if (wish->tls == NBD_TLS_OFF)
		return 0;
	ret = ask(t, NBD_OPT_STARTTLS);
	if (!ret && wish->tls == NBD_TLS_REQUIRE)
		return bk_err(ENOTSUP, "the NBD server does not support TLS, which property "
				       "\"tls\" or the URI requires");
	if (ret <= 0)
		return ret;
	if (t->len)
		return bk_err(EPROTO, "the NBD server's agreement to TLS has data");
	ret = net_tls_start(wish->keys, c->sock, t->deadline, &c->tls, &data);
	if (ret < 0)
		return ret;
	c->is_kernel_tls = !c->tls;
	if (c->is_kernel_tls)
		return 0;
	c->below = c->sock;
	c->sock = data;
	t->sock = data;
	return 0;
}

/* ---- Replies ------------------------------------------------------------------------------ */

/* The best of those to ask for. */
static int choose_mode(struct talk *t, unsigned modes, struct nbd_export *e)
{
	static const struct {
		enum nbd_mode mode;
		enum nbd_option option;
	} better[] = { { NBD_LONG, NBD_OPT_EXTENDED_HEADERS },
		       { NBD_STRUCTURED, NBD_OPT_STRUCTURED_REPLY } };

	e->mode = NBD_SIMPLE;
	for (size_t i = 0; i < ARRAY_SIZE(better); i++) {
		int ret = modes & NBD_MODE(better[i].mode) ? ask(t, better[i].option) : 0;

		if (ret > 0)
			e->mode = better[i].mode;
		if (ret)
			return ret < 0 ? ret : 0;
	}
	return 0;
}

/* Block status, if the server has it; why it has not does not matter. */
static int choose_context(struct talk *t, const char *name, struct nbd_export *e)
{
	const enum nbd_option option = NBD_OPT_SET_META_CONTEXT;
	uint8_t data[NBD_ASK_MAX];
	int ret;

	if (e->mode == NBD_SIMPLE)
		return 0;
	ret = send_option(t, option, data, nbd_build_context(data, name));
	for (;;) {
		if (!ret)
			ret = get_reply(t, option);
		if (ret < 0 || t->type == NBD_REP_ACK)
			return ret;
		if (t->type & NBD_REP_ERROR) {
			e->has_context = false;
			return 0;
		}
		/* The second one is an error: it comes to an end. */
		ret = t->type == NBD_REP_META_CONTEXT ? nbd_parse_context(t->data, t->len, e)
						      : wrong_type(t, option);
	}
}

/* ---- The export --------------------------------------------------------------------------- */

/* What comes before NBD_OPT_GO is a server that closes the connection if it has no such export. */
static int go_the_old_way(struct talk *t, const char *name, bool no_zeroes, struct nbd_export *e)
{
	uint8_t answer[10 + 124];
	int ret = send_option(t, NBD_OPT_EXPORT_NAME, name, strlen(name));

	if (ret < 0)
		return ret;
	ret = net_recv(t->sock, answer, no_zeroes ? 10 : sizeof(answer), t->deadline);
	if (ret == -ECONNRESET)
		return bk_err(ENOENT,
			      "the NBD server has no export named \"%s\", or denies access "
			      "to it",
			      name);
	e->size = nbd_get64(answer);
	e->flags = nbd_get16(answer + 8);
	return explain(t, ret);
}

/* 1: once more; 0; or bk_err(). */
static int take_go_reply(struct talk *t, const char *name, struct nbd_export *e, bool *has_export)
{
	int ret;

	switch ((int)t->type) {
	case NBD_REP_INFO:
		ret = nbd_parse_info(t->data, t->len, e, has_export);
		return ret < 0 ? ret : 1;
	case NBD_REP_ACK:
		return *has_export
			   ? 0
			   : bk_err(EPROTO, "the NBD server did not describe export \"%s\"", name);
	}
	if (t->type & NBD_REP_ERROR)
		return nbd_refused(name, t->type, t->data, t->len);
	return wrong_type(t, NBD_OPT_GO);
}

static int go(struct talk *t, const char *name, bool no_zeroes, struct nbd_export *e)
{
	uint8_t data[NBD_ASK_MAX];
	bool has_export = false;
	int ret = send_option(t, NBD_OPT_GO, data, nbd_build_go(data, name));

	for (int i = 0; !ret && i < INFOS_MAX; i++) {
		ret = get_reply(t, NBD_OPT_GO);
		if (ret < 0)
			return ret;
		if ((int)t->type == NBD_REP_ERR_UNSUP)
			return go_the_old_way(t, name, no_zeroes, e);
		ret = take_go_reply(t, name, e, &has_export);
		if (ret <= 0)
			return ret;
		ret = 0;
	}
	return ret < 0 ? ret
		       : bk_err(EPROTO,
				"the NBD server does not come to an end describing "
				"export \"%s\"",
				name);
}

/* What comes before options. 0 with the flags that both sides know, or bk_err(). */
static int greet(struct talk *t, uint16_t *flags)
{
	uint8_t greeting[NBD_GREETING_LEN], answer[4];
	int ret = get(t, greeting, sizeof(greeting));

	if (!ret)
		ret = nbd_parse_greeting(greeting, flags);
	if (ret < 0)
		return ret;
	*flags &= NBD_HANDSHAKE_FIXED_NEWSTYLE | NBD_HANDSHAKE_NO_ZEROES;
	nbd_put32(answer, *flags);
	return put(t, answer, sizeof(answer));
}

int nbd_negotiate(struct nbd_connection *c, const struct nbd_wish *wish,
		  const struct bk_deadline *deadline, struct nbd_export *e)
{
	struct talk t = { .sock = c->sock, .deadline = deadline, .step = "NBD handshake" };
	uint16_t flags = 0;
	int ret;

	*e = (struct nbd_export){ 0 };
	if (strlen(wish->export) > NBD_NAME_MAX)
		return bk_err(EINVAL, "the name of an export must be at most %d bytes long",
			      NBD_NAME_MAX);
	ret = greet(&t, &flags);
	if (!ret)
		ret = start_tls(&t, c, wish);
	if (!ret)
		ret = choose_mode(&t, wish->modes, e);
	if (!ret)
		ret = choose_context(&t, wish->export, e);
	if (!ret)
		ret = go(&t, wish->export, flags & NBD_HANDSHAKE_NO_ZEROES, e);
	return ret < 0 ? ret : nbd_check_export(e);
}

/* ---- The list of exports ------------------------------------------------------------------ */

static int get_list(struct talk *t, struct bk_exports *x)
{
	int ret = send_option(t, NBD_OPT_LIST, NULL, 0);

	/* There are not too many: bk_export_add(). */
	while (!ret) {
		ret = get_reply(t, NBD_OPT_LIST);
		if (ret < 0 || t->type == NBD_REP_ACK)
			return ret;
		if (t->type & NBD_REP_ERROR)
			return nbd_list_refused(t->type, t->data, t->len);
		ret = t->type == NBD_REP_SERVER ? nbd_parse_server(t->data, t->len, x)
						: wrong_type(t, NBD_OPT_LIST);
	}
	return ret;
}

/* 1: the next one; 0: the server has no such option; or bk_err(). */
static int get_size(struct talk *t, struct blkio_export *to)
{
	struct nbd_export e = { 0 };
	uint8_t data[NBD_ASK_MAX];
	bool has_export = false;
	int ret = send_option(t, NBD_OPT_INFO, data, nbd_build_go(data, to->name));

	for (int i = 0; !ret && i < INFOS_MAX; i++) {
		ret = get_reply(t, NBD_OPT_INFO);
		if (ret < 0)
			return ret;
		if (t->type & NBD_REP_ERROR)
			return (int)t->type != NBD_REP_ERR_UNSUP;
		if (t->type == NBD_REP_ACK) {
			to->size = has_export ? e.size : UINT64_MAX;
			return 1;
		}
		ret = t->type == NBD_REP_INFO ? nbd_parse_info(t->data, t->len, &e, &has_export)
					      : wrong_type(t, NBD_OPT_INFO);
	}
	return ret < 0 ? ret : wrong_type(t, NBD_OPT_INFO);
}

int nbd_list_exports(struct nbd_connection *c, const struct nbd_wish *wish,
		     const struct bk_deadline *deadline, struct bk_exports *x)
{
	struct talk t = { .sock = c->sock, .deadline = deadline, .step = "NBD list of exports" };
	uint16_t flags = 0;
	int ret = greet(&t, &flags), more = 1;

	if (!ret)
		ret = start_tls(&t, c, wish);
	if (!ret)
		ret = get_list(&t, x);
	for (int i = 0; !ret && more > 0 && i < x->n; i++)
		more = get_size(&t, &x->e[i]);
	if (!ret && more >= 0)
		send_option(&t, NBD_OPT_ABORT, NULL, 0);
	return ret < 0 ? ret : more < 0 ? more : 0;
}
