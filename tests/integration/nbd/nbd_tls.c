/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * NBD over TLS, with the servers that there are: certificates and pre-shared keys that are right
 * and wrong, and servers without TLS.
 */
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"
#include "tls_case.h"

enum { BLOCK = 4096 };

static const char *const good[] = TLS_GOOD;
static const char *const offers[] = TLS_NBDKIT("--tls=on", "--tls-certificates=" NBD_DIR "/good");
static const char *const elsewhere[] =
    TLS_NBDKIT("--tls=require", "--tls-certificates=" NBD_DIR "/elsewhere");
static const char *const expired[] =
    TLS_NBDKIT("--tls=require", "--tls-certificates=" NBD_DIR "/expired");
static const char *const forged[] =
    TLS_NBDKIT("--tls=require", "--tls-certificates=" NBD_DIR "/forged");
static const char *const strict[] =
    TLS_NBDKIT("--tls=require", "--tls-verify-peer", "--tls-certificates=" NBD_DIR "/good");
static const char *const psk[] = TLS_NBDKIT("--tls=require", "--tls-psk=" NBD_DIR "/keys.psk");
static const char *const plain[] = TLS_NBDKIT("--tls=off");
static const char *const qemu_nbd[] = {
	"qemu-nbd",    "-f",
	"raw",	       "-t",
	"-e",	       "8",
	"-b",	       "127.0.0.1",
	"-p",	       NBD_PORT,
	"--object",    "tls-creds-x509,id=t,endpoint=server,verify-peer=no,dir=" NBD_DIR "/good",
	"--tls-creds", "t",
	NBD_FILE,      NULL
};
static const char *const unix_socket[] = { "nbdkit",
					   "-f",
					   "-U",
					   NBD_SOCKET,
					   "--tls=require",
					   "--tls-certificates=" NBD_DIR "/elsewhere",
					   "file",
					   NBD_FILE,
					   NULL };

/* ---- What works --------------------------------------------------------------------------- */

static void check_string(struct blkio *b, const char *name, const char *want)
{
	char *value;

	CHECK_OK(blkio_get_str(b, name, &value));
	CHECK_STR(value, want);
	free(value);
}

/* The kernel's TLS is for TCP, and this file is there once it is loaded. */
static void check_who_encrypts(struct blkio *b)
{
	bool has_kernel = !access("/proc/net/tls_stat", F_OK), may;
	char *path;

	CHECK_OK(blkio_get_bool(b, "tls-kernel", &may));
	CHECK_OK(blkio_get_str(b, "path", &path));
	check_string(b, "tls-by", has_kernel && may && !*path ? "kernel" : "thread");
	free(path);
}

static void serves_requests(struct blkio *b)
{
	bool several = get_int(b, "max-queues") > 1;

	CHECK_OK(blkio_set_int(b, "num-poll-queues", several));
	CHECK_OK(blkio_start(b));
	tls_write_and_read(blkio_get_queue(b, 0), 1);
	if (several)
		tls_write_and_read(blkio_get_poll_queue(b, 0), 2);
	blkio_destroy(&b);
}

/* The server takes nothing but TLS: what gets through is that. */
static void works(struct blkio *b)
{
	CHECK_OK(tls_connect(b));
	check_who_encrypts(b);
	serves_requests(b);
}

static void serves(struct device *d)
{
	struct nbd_server s;
	struct blkio *b;

	(void)d;
	tls_prepare(&s, test_data());
	nbd_server_spawn(&s);
	works(tls_create(&s, "require", "trusting"));
	works(tls_create(&s, "allow", "trusting"));
	b = tls_create(&s, "require", "trusting");
	CHECK_OK(blkio_set_bool(b, "tls-kernel", false));
	works(b);
	nbd_server_kill(&s);
}

static void pre_shared_key(struct device *d)
{
	static const struct {
		const char *file, *username;
		int errnum;
		const char *message;
	} wrong[] = { { "wrong.psk", "qemu", ECONNRESET, "key" },
		      { "keys.psk", "alice", ENOENT, "alice" },
		      { "keys.psk", "", EINVAL, "tls-username" },
		      { "bad.psk", "qemu", EINVAL, "bad.psk" },
		      { "none.psk", "qemu", ENOENT, "none.psk" } };
	struct nbd_server s;
	struct blkio *b;

	(void)d;
	tls_prepare(&s, psk);
	nbd_server_spawn(&s);
	b = tls_create(&s, "require", NULL);
	CHECK_OK(blkio_set_str(b, "tls-psk-file", tls_in_dir("keys.psk")));
	CHECK_OK(blkio_set_str(b, "tls-username", "qemu"));
	works(b);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		b = tls_create(&s, "require", NULL);
		CHECK_OK(blkio_set_str(b, "tls-psk-file", tls_in_dir(wrong[i].file)));
		CHECK_OK(blkio_set_str(b, "tls-username", wrong[i].username));
		CHECK_ERR(blkio_connect(b), wrong[i].errnum, wrong[i].message);
		blkio_destroy(&b);
	}
	/* A server with a certificate, whoever issued it, has not shown that it knows the key. */
	nbd_server_kill(&s);
	s.argv = good;
	nbd_server_spawn(&s);
	b = tls_create(&s, "require", NULL);
	CHECK_OK(blkio_set_str(b, "tls-psk-file", tls_in_dir("keys.psk")));
	CHECK_OK(blkio_set_str(b, "tls-username", "qemu"));
	CHECK(tls_connect(b) < 0);
	blkio_destroy(&b);
	nbd_server_kill(&s);
}

static void own_certificate(struct device *d)
{
	struct nbd_server s;
	struct blkio *b;
	char *buf = buffer(BLOCK);

	(void)d;
	tls_prepare(&s, strict);
	nbd_server_spawn(&s);
	works(tls_create(&s, "require", "client"));
	/* With TLS 1.3, a client is done before the server has seen that it has no certificate. */
	b = tls_create(&s, "require", "trusting");
	CHECK(blkio_connect(b) < 0 || blkio_start(b) < 0 ||
	      io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0) < 0);
	blkio_destroy(&b);
	nbd_server_kill(&s);
	buffer_free(buf);
}

static void names(struct device *d)
{
	struct nbd_server s;
	struct blkio *b;

	(void)d;
	tls_prepare(&s, good);
	nbd_server_spawn(&s);
	b = tls_create(&s, "require", "trusting");
	CHECK_OK(blkio_set_str(b, "host", "127.0.0.1"));
	works(b);
	b = tls_create(&s, "require", "trusting");
	CHECK_OK(blkio_set_str(b, "tls-hostname", "elsewhere.example"));
	CHECK_ERR(blkio_connect(b), EACCES, "certificate", "name");
	blkio_destroy(&b);
	nbd_server_kill(&s);
	s.argv = elsewhere;
	nbd_server_spawn(&s);
	b = tls_create(&s, "require", "trusting");
	CHECK_EQ(tls_connect(b), -EACCES);
	CHECK_OK(blkio_set_str(b, "tls-hostname", "elsewhere.example"));
	works(b);
	nbd_server_kill(&s);
}

static void over_unix_socket(struct device *d)
{
	struct nbd_server s;
	struct blkio *b;

	(void)d;
	tls_prepare(&s, unix_socket);
	nbd_server_spawn(&s);
	works(tls_create(&s, "require", "trusting"));
	/* Any of this machine's authorities would do, for any name. */
	b = tls_create(&s, "require", NULL);
	CHECK_ERR(blkio_connect(b), EINVAL, "tls-hostname");
	CHECK_OK(blkio_set_str(b, "tls-hostname", "elsewhere.example"));
	CHECK_ERR(blkio_connect(b), EACCES, "certificate");
	tls_trust(b, "trusting");
	CHECK_OK(blkio_set_str(b, "tls-hostname", "localhost"));
	CHECK_ERR(blkio_connect(b), EACCES, "certificate");
	blkio_destroy(&b);
	nbd_server_kill(&s);
}

static void by_uri(struct device *d)
{
	static const struct {
		const char *format; /* of port and folder */
		int errnum;	    /* 0: it works */
	} uris[] = {
		{ "nbds://localhost:%s/?tls-certificates=%s", 0 },
		{ "nbds://localhost:%s/?tls-certificates=%s&tls-hostname=elsewhere", EACCES },
		{ "nbds://localhost:%s/?tls-verify-peer=false", 0 },
		{ "nbds://localhost:%s/", EACCES },
		{ "nbd://localhost:%s/", EACCES },
		{ "nbds://localhost:%s/?tls-certificates=%s&tls-psk-file=x", EINVAL },
		{ "nbds://localhost:%s/?tls-verify-peer=perhaps", EINVAL },
	};
	struct nbd_server s;

	(void)d;
	tls_prepare(&s, good);
	nbd_server_spawn(&s);
	for (size_t i = 0; i < ARRAY_LEN(uris); i++) {
		char uri[9000];
		struct blkio *b;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(uri, sizeof(uri), uris[i].format, s.port, tls_in_dir("trusting"));
#pragma GCC diagnostic pop
		CHECK_OK(blkio_create("nbd", &b));
		CHECK_OK(blkio_set_str(b, "uri", uri));
		if (uris[i].errnum)
			CHECK_EQ(tls_connect(b), -uris[i].errnum);
		else
			works(b);
		if (uris[i].errnum)
			blkio_destroy(&b);
	}
	nbd_server_kill(&s);
}

/* ---- What does not ------------------------------------------------------------------------ */

static void refuses(struct device *d)
{
	static const struct {
		const char *const *argv;
		const char *tls, *folder;
		int errnum;
		const char *message;
	} cases[] = {
		{ forged, "require", "trusting", EACCES, "certificate" },
		{ expired, "require", "trusting", EACCES, "expired" },
		{ good, "require", "none", ENOENT, "none" },
		{ good, "require", "nobody", ENOENT, "ca-cert.pem" },
		{ good, "require", NULL, EACCES, "certificate" },
		{ good, "off", NULL, EACCES, "TLS" },
		{ plain, "require", "trusting", ENOTSUP, "does not support TLS" },
		/* What is allowed and there is verified all the same. */
		{ forged, "allow", "trusting", EACCES, "certificate" },
	};
	struct nbd_server s;

	(void)d;
	tls_prepare(&s, good);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct blkio *b = tls_create(&s, cases[i].tls, cases[i].folder);

		s.argv = cases[i].argv;
		nbd_server_spawn(&s);
		if (cases[i].errnum != ENOENT)
			CHECK_EQ(tls_connect(b), -cases[i].errnum);
		CHECK_ERR(blkio_connect(b), cases[i].errnum, cases[i].message);
		blkio_destroy(&b);
		nbd_server_kill(&s);
	}
}

static void allow_falls_back(struct device *d)
{
	struct nbd_server s;
	struct blkio *b;

	(void)d;
	tls_prepare(&s, plain);
	nbd_server_spawn(&s);
	b = tls_create(&s, "allow", "trusting");
	CHECK_OK(tls_connect(b));
	check_string(b, "tls-by", "");
	serves_requests(b);
	nbd_server_kill(&s);
}

static void verifies_nothing_if_told(struct device *d)
{
	struct nbd_server s;
	struct blkio *b;

	(void)d;
	tls_prepare(&s, forged);
	nbd_server_spawn(&s);
	b = tls_create(&s, "require", NULL);
	CHECK_OK(blkio_set_bool(b, "tls-verify-peer", false));
	works(b);
	nbd_server_kill(&s);
}

static void bad_properties(struct device *d)
{
	static const char *const names[] = { "tls-certificates", "tls-psk-file", "tls-username",
					     "tls-hostname" };
	struct blkio *b;

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		CHECK_OK(blkio_create("nbd", &b));
		CHECK_OK(blkio_set_str(b, "path", "/nonexistent/socket"));
		CHECK_OK(blkio_set_str(b, names[i], "x"));
		/* Nobody is to believe that it is safe. */
		CHECK_ERR(blkio_connect(b), EINVAL, names[i], "tls");
		blkio_destroy(&b);
	}
	CHECK_OK(blkio_create("nbd", &b));
	CHECK_ERR(blkio_set_str(b, "tls", "maybe"), EINVAL, "tls", "maybe");
	CHECK_OK(blkio_set_str(b, "tls", "allow"));
	CHECK_OK(blkio_set_str(b, "uri", "nbds://localhost/"));
	CHECK_ERR(blkio_connect(b), EINVAL, "uri", "allow");
	blkio_destroy(&b);
}

#define SERVES(name, server)                                                                       \
	{                                                                                          \
		name, serves, .data = server                                                       \
	}
static const struct test tests[] = {
	SERVES("nbdkit", good),
	SERVES("nbdkit, optional", offers),
	SERVES("qemu-nbd", qemu_nbd),
	{ "pre-shared key", pre_shared_key },
	{ "own certificate", own_certificate },
	{ "names", names },
	{ "over a Unix socket", over_unix_socket },
	{ "by URI", by_uri },
	{ "refuses", refuses, .timeout = 60 },
	{ "allow falls back", allow_falls_back },
	{ "verifies nothing if told", verifies_nothing_if_told },
	{ "bad properties", bad_properties },
};
TEST_MAIN(tests)
