/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* NBD URIs: what they name, and what is refused by name. */
#include "../lib/test.h"
#include "nbd/nbd.h"

static const struct uri {
	const char *uri, *path, *host;
	int port;
	const char *export;
} good[] = {
	{ "nbd://host", NULL, "host", 10809, "" },
	{ "nbd://host/", NULL, "host", 10809, "" },
	{ "nbd://host:10810/disk", NULL, "host", 10810, "disk" },
	{ "nbd:///disk", NULL, "localhost", 10809, "disk" },
	{ "nbd://[::1]/a/b", NULL, "::1", 10809, "a/b" },
	{ "nbd://[fe80::1]:1/%2fslash%20", NULL, "fe80::1", 1, "/slash " },
	{ "nbd+unix:///?socket=/run/nbd.sock", "/run/nbd.sock", NULL, 0, "" },
	{ "nbd+unix:///disk?socket=a%26b", "a&b", NULL, 0, "disk" },
	{ "nbd+unix://?socket=x", "x", NULL, 0, "" },
};

static void names(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		const struct uri *u = &good[i];
		struct nbd_target t;

		printf("%s\n", u->uri);
		CHECK_OK(nbd_parse_uri(u->uri, &t));
		CHECK_STR(t.export, u->export);
		CHECK(!t.address.path == !u->path && !t.address.host == !u->host);
		if (u->path)
			CHECK_STR(t.address.path, u->path);
		if (u->host)
			CHECK_STR(t.address.host, u->host);
		CHECK_EQ(t.address.port, u->port);
		nbd_target_free(&t);
	}
}

static void with_tls(struct device *d)
{
	struct nbd_target t;

	(void)d;
	CHECK_OK(nbd_parse_uri("nbds://a%20b@host:1/disk?tls-psk-file=%2Fkeys&tls-hostname=h"
			       "&tls-verify-peer=0&tls-certificates=d",
			       &t));
	CHECK(t.needs_tls);
	CHECK_STR(t.username, "a b");
	CHECK_STR(t.address.host, "host");
	CHECK_EQ(t.address.port, 1);
	CHECK_STR(t.export, "disk");
	CHECK_STR(t.psk_file, "/keys");
	CHECK_STR(t.hostname, "h");
	CHECK_STR(t.verify, "0");
	CHECK_STR(t.certificates, "d");
	nbd_target_free(&t);
	CHECK_OK(nbd_parse_uri("nbds+unix://user@/?socket=s", &t));
	CHECK(t.needs_tls && !t.certificates && !t.psk_file && !t.hostname && !t.verify);
	CHECK_STR(t.username, "user");
	CHECK_STR(t.address.path, "s");
	nbd_target_free(&t);
	CHECK_OK(nbd_parse_uri("nbd://host/", &t));
	CHECK(!t.needs_tls);
	nbd_target_free(&t);
}

static const struct refusal {
	const char *uri;
	int errnum;
	const char *word;
} bad[] = {
	{ "nbds+vsock://2/", EINVAL, "nbds+unix" },
	{ "nbd://user@host/", EINVAL, "TLS" },
	{ "nbds://@host/", EINVAL, "user" },
	{ "nbds://a%00b@host/", EINVAL, "user" },
	{ "nbds+unix://user@host/?socket=x", EINVAL, "host" },
	{ "nbd://host/?tls-certificates=/etc/pki", EINVAL, "tls-certificates" },
	{ "nbd+unix:///?socket=x&tls-psk-file=y", EINVAL, "tls-psk-file" },
	{ "nbds://host/?tls-psk-file=", EINVAL, "tls-psk-file" },
	{ "nbds://host/?tls-psk-file=a&tls-psk-file=b", EINVAL, "tls-psk-file" },
	{ "nbds+unix:///?socket=a&socket=b", EINVAL, "socket" },
	{ "nbd+vsock://2/", EINVAL, "nbd+unix" },
	{ "http://host/", EINVAL, "nbd://" },
	{ "host:10809", EINVAL, "nbd://" },
	{ "nbd://host:0/", EINVAL, "port" },
	{ "nbd://host:65536/", EINVAL, "port" },
	{ "nbd://host:+1/", EINVAL, "port" },
	{ "nbd://host:1x/", EINVAL, "port" },
	{ "nbd://host:18446744073709551617/", EINVAL, "port" },
	{ "nbd://[::1/", EINVAL, "address" },
	{ "nbd://[::1]x/", EINVAL, "address" },
	{ "nbd://host/%", EINVAL, "%XX" },
	{ "nbd://host/%4", EINVAL, "%XX" },
	{ "nbd://host/%zz", EINVAL, "%XX" },
	{ "nbd://host/a%00b", EINVAL, "%XX" },
	{ "nbd://host/?socket=x", EINVAL, "socket" },
	{ "nbd://host/?a=b", EINVAL, "\"a\"" },
	{ "nbd+unix:///disk", EINVAL, "socket" },
	{ "nbd+unix:///disk?socket=", EINVAL, "socket" },
	{ "nbd+unix:///disk?socket=%0", EINVAL, "%XX" },
	{ "nbd+unix://host/disk?socket=x", EINVAL, "host" },
};

static void refusals(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct nbd_target t;

		printf("%s\n", bad[i].uri);
		CHECK_ERR(nbd_parse_uri(bad[i].uri, &t), bad[i].errnum, bad[i].word);
		CHECK(!t.memory);
	}
}

static const struct test tests[] = {
	{ "what they name", names },
	{ "with TLS", with_tls },
	{ "what is refused", refusals },
};
TEST_MAIN(tests)
