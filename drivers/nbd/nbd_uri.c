/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * NBD URIs (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md):
 *
 *	nbd://HOST[:PORT]/EXPORT	nbd+unix:///EXPORT?socket=PATH
 *	nbds://[USER@]HOST[:PORT]/EXPORT	nbds+unix://[USER@]/EXPORT?socket=PATH
 *
 * What asks for something that this driver does not do is refused, so that nobody gets less than
 * he asked for.
 */
#include <stdlib.h>

#include "nbd/nbd.h"
#include "net/uri.h"

void nbd_target_free(struct nbd_target *t)
{
	free(t->memory);
	*t = (struct nbd_target){ 0 };
}

/* ---- Parts -------------------------------------------------------------------------------- */

/* If s begins with prefix, what follows; else NULL. */
static char *after(char *s, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(s, prefix, len) ? NULL : s + len;
}

/* HOST, HOST:PORT or [ADDRESS]:PORT */
static int parse_authority(const char *uri, char *s, struct net_address *a)
{
	const char *problem;

	a->port = NBD_DEFAULT_PORT;
	problem = net_uri_authority(s, a);
	return problem ? bk_err(EINVAL, "property \"uri\" (\"%s\"): %s", uri, problem) : 0;
}

/* Where the value of a parameter goes; NULL: there is no such parameter. */
static const char **find_parameter(const char *name, struct nbd_target *t, bool is_unix)
{
	const struct {
		const char *name;
		const char **value;
		bool valid;
	} parameters[] = {
		{ "socket", &t->address.path, is_unix },
		{ "tls-certificates", &t->certificates, t->needs_tls },
		{ "tls-psk-file", &t->psk_file, t->needs_tls },
		{ "tls-hostname", &t->hostname, t->needs_tls },
		{ "tls-verify-peer", &t->verify, t->needs_tls },
	};

	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
		if (parameters[i].valid && !strcmp(name, parameters[i].name))
			return parameters[i].value;
	}
	return NULL;
}

static int parse_query(const char *uri, char *s, bool is_unix, struct nbd_target *t)
{
	while (s && *s) {
		char *next = net_uri_cut(s, '&'), *value = net_uri_cut(s, '=');
		const char **to = find_parameter(s, t, is_unix);

		if (!to || *to || !value || !*value)
			return bk_err(EINVAL,
				      "property \"uri\" (\"%s\") has parameter \"%s\", which is "
				      "not valid here",
				      uri, s);
		if (!net_uri_decode(value))
			return bk_err(EINVAL, "property \"uri\" (\"%s\"): %%XX is not valid", uri);
		*to = value;
		s = next;
	}
	if (is_unix && !t->address.path)
		return bk_err(EINVAL,
			      "property \"uri\" (\"%s\") needs parameter \"socket\", the path of "
			      "the socket",
			      uri);
	return 0;
}

/* USER@, which TLS uses with a pre-shared key. What follows is in *s then. */
static int parse_user(const char *uri, char **s, struct nbd_target *t)
{
	char *host = net_uri_cut(*s, '@');

	if (!host)
		return 0;
	if (!t->needs_tls)
		return bk_err(EINVAL,
			      "property \"uri\" (\"%s\") names a user, which only TLS can use; "
			      "begin it with \"nbds\"",
			      uri);
	if (!**s || !net_uri_decode(*s))
		return bk_err(EINVAL, "property \"uri\" (\"%s\"): the user is not valid", uri);
	t->username = *s;
	*s = host;
	return 0;
}

static int parse_scheme(const char *uri, struct nbd_target *t, bool *is_unix, char **rest)
{
	static const struct {
		const char *prefix;
		bool is_unix, needs_tls;
	} schemes[] = {
		{ "nbd://", false, false },
		{ "nbd+unix://", true, false },
		{ "nbds://", false, true },
		{ "nbds+unix://", true, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		*rest = after(t->memory, schemes[i].prefix);
		*is_unix = schemes[i].is_unix;
		t->needs_tls = schemes[i].needs_tls;
		if (*rest)
			return 0;
	}
	return bk_err(EINVAL,
		      "property \"uri\" (\"%s\") must begin with \"nbd://\", \"nbds://\", "
		      "\"nbd+unix://\" or \"nbds+unix://\"",
		      uri);
}

static int parse(const char *uri, struct nbd_target *t)
{
	char *authority, *path, *query;
	bool is_unix;
	int ret = parse_scheme(uri, t, &is_unix, &authority);

	if (ret < 0)
		return ret;
	query = net_uri_cut(authority, '?');
	path = net_uri_cut(authority, '/');
	if (path && !net_uri_decode(path))
		return bk_err(EINVAL, "property \"uri\" (\"%s\"): %%XX is not valid", uri);
	t->export = path ? path : authority + strlen(authority);
	ret = parse_user(uri, &authority, t);
	if (ret < 0)
		return ret;
	if (!is_unix)
		ret = parse_authority(uri, authority, &t->address);
	else if (*authority)
		ret = bk_err(EINVAL, "property \"uri\" (\"%s\") must not have a host", uri);
	return ret < 0 ? ret : parse_query(uri, query, is_unix, t);
}

int nbd_parse_uri(const char *uri, struct nbd_target *t)
{
	int ret;

	*t = (struct nbd_target){ .memory = strdup(uri) };
	if (!t->memory)
		return bk_err(ENOMEM, "out of memory");
	ret = parse(uri, t);
	if (ret < 0)
		nbd_target_free(t);
	return ret;
}
