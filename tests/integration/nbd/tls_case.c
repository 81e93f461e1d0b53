/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See tls_case.h. */
#include "tls_case.h"

#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"

const char *tls_in_dir(const char *name)
{
	static char path[8][4200];
	static unsigned n;

	n = (n + 1) % 8;
	snprintf(path[n], sizeof(path[n]), "%s/%s", test_dir(), name);
	return path[n];
}

void tls_need(void)
{
	struct blkio *b;
	int ret;

	CHECK_OK(blkio_create("nbd", &b));
	CHECK_OK(blkio_set_str(b, "path", "/nonexistent/socket"));
	CHECK_OK(blkio_set_str(b, "tls", "require"));
	CHECK_OK(blkio_set_str(b, "tls-hostname", "localhost"));
	ret = blkio_connect(b);
	blkio_destroy(&b);
	if (ret == -ENOTSUP)
		SKIP("%s", blkio_get_error_msg());
}

void tls_prepare(struct nbd_server *s, const char *const *argv)
{
	char command[9000];
	int status;

	tls_need();
	nbd_server_init(s, argv);
	snprintf(command, sizeof(command),
		 "'%s/tests/integration/nbd/certificates.sh' '%s' >'%s/log' 2>&1",
		 getenv("SOURCE_DIR"), test_dir(), test_dir());
	status = system(command);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		SKIP("openssl is not installed");
	CHECK_EQ(status, 0);
}

void tls_trust(struct blkio *b, const char *folder)
{
	CHECK_OK(blkio_set_str(b, "tls-certificates", tls_in_dir(folder)));
}

struct blkio *tls_create(const struct nbd_server *s, const char *tls, const char *folder)
{
	struct blkio *b = nbd_server_create(s);

	CHECK_OK(blkio_set_str(b, "tls", tls));
	if (s->tcp)
		CHECK_OK(blkio_set_str(b, "host", "localhost"));
	if (folder)
		tls_trust(b, folder);
	return b;
}

int tls_connect(struct blkio *b)
{
	int ret;

	for (int i = 0; i < 1000; i++) {
		ret = blkio_connect(b);
		if (ret != -ECONNREFUSED && ret != -ENOENT)
			break;
		usleep(10000);
	}
	return ret;
}

void tls_write_and_read(struct blkioq *q, uint32_t seed)
{
	char *buf = buffer(TLS_MANY);

	pattern(buf, 0, TLS_MANY, seed);
	CHECK_EQ(io_write(q, 0, buf, TLS_MANY, BLKIO_REQ_FUA), 0);
	memset(buf, 0xee, TLS_MANY);
	CHECK_EQ(io_read(q, 0, buf, TLS_MANY, 0), 0);
	check_pattern(buf, 0, TLS_MANY, seed);
	buffer_free(buf);
}
