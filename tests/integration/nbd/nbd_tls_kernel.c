/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * NBD over the kernel's TLS: servers of the distribution, and one that sends what is not data.
 * Where the kernel has no TLS, all of it is skipped; the test VM's kernel has.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "server.h"
#include "sys.h"
#include "test.h"
#include "tls_server.h"
#include "ways.h"

enum { BLOCK = 4096, N = 200, MANY = 3 << 20, PATIENT = 120000 };

#define KEYS NBD_DIR "/keys.psk"
static const char *const nbdkit[] = {
	"nbdkit",	   "-f",   "-i",     "127.0.0.1", "-p", NBD_PORT, "--tls=require",
	"--tls-psk=" KEYS, "file", NBD_FILE, NULL
};
static const char *const qemu_nbd[] = {
	"qemu-nbd",    "-f",	 "raw",	     "-t",
	"-e",	       "8",	 "-b",	     "127.0.0.1",
	"-p",	       NBD_PORT, "--object", "tls-creds-psk,id=t,endpoint=server,dir=" NBD_DIR,
	"--tls-creds", "t",	 NBD_FILE,   NULL
};
static const char *const qsd[] = { "qemu-storage-daemon",
				   "--object",
				   "tls-creds-psk,id=t,endpoint=server,dir=" NBD_DIR,
				   "--blockdev",
				   "driver=file,node-name=d,filename=" NBD_FILE,
				   "--nbd-server",
				   "addr.type=inet,addr.host=127.0.0.1,addr.port=" NBD_PORT
				   ",tls-creds=t",
				   "--export",
				   "type=nbd,id=e,node-name=d,writable=on,name=",
				   NULL };

/* ---- Instances ---------------------------------------------------------------------------- */

static void write_keys(void)
{
	char path[4200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/keys.psk", test_dir());
	f = fopen(path, "we");
	CHECK(f);
	fprintf(f, "%s:%s\n", TLS_SERVER_USER, TLS_SERVER_KEY);
	CHECK_EQ(fclose(f), 0);
}

static struct blkio *create(int port, int reconnect_ms)
{
	char path[4200];
	struct blkio *b;

	snprintf(path, sizeof(path), "%s/keys.psk", test_dir());
	CHECK_OK(blkio_create("nbd", &b));
	CHECK_OK(blkio_set_str(b, "host", "127.0.0.1"));
	CHECK_OK(blkio_set_int(b, "port", port));
	CHECK_OK(blkio_set_str(b, "tls", "require"));
	CHECK_OK(blkio_set_str(b, "tls-psk-file", path));
	CHECK_OK(blkio_set_str(b, "tls-username", TLS_SERVER_USER));
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", reconnect_ms));
	CHECK_OK(blkio_set_bool(b, "auto-read-only", true));
	CHECK_OK(blkio_set_int(b, "connect-timeout", PATIENT));
	return b;
}

static void need_kernel_tls(void)
{
	if (access("/proc/net/tls_stat", F_OK))
		SKIP("this kernel has no TLS: module \"tls\" is not loaded");
}

static void check_by(struct blkio *b, const char *want)
{
	char *value;

	CHECK_OK(blkio_get_str(b, "tls-by", &value));
	CHECK_STR(value, want);
	free(value);
}

/* Connected, once it serves. */
static struct blkio *begin(struct nbd_server *s, const char *const *argv, int reconnect_ms)
{
	struct blkio *b;
	int status;

	need_kernel_tls();
	nbd_server_init(s, argv);
	write_keys();
	nbd_server_spawn(s);
	for (;;) {
		int ret;

		b = create(atoi(s->port), reconnect_ms);
		ret = blkio_connect(b);
		if (ret == -ENOTSUP)
			SKIP("%s", blkio_get_error_msg());
		if (!ret)
			break;
		CHECK_EQ(ret, -ECONNREFUSED);
		blkio_destroy(&b);
		if (waitpid(s->pid, &status, WNOHANG) == s->pid)
			SKIP("%s ended with status %#x", s->argv[0], status);
		usleep(10000);
	}
	check_by(b, "kernel");
	return b;
}

/* ---- Servers ------------------------------------------------------------------------------ */

static void queue_all(struct blkioq *q, bool write, char *buf, unsigned char *seen)
{
	memset(seen, 0, N);
	for (int i = 0; i < N; i++) {
		if (write)
			blkioq_write(q, (uint64_t)i * BLOCK, buf + i * BLOCK, BLOCK, seen + i, 0);
		else
			blkioq_read(q, (uint64_t)i * BLOCK, buf + i * BLOCK, BLOCK, seen + i, 0);
	}
}

static void many_small(struct blkioq *q, enum wait wait, char *buf, uint32_t seed)
{
	unsigned char seen[N];

	pattern(buf, 0, N * BLOCK, seed);
	queue_all(q, true, buf, seen);
	collect_each(q, wait, N, 0);
	memset(buf, 0xee, N * BLOCK);
	queue_all(q, false, buf, seen);
	collect_each(q, wait, N, 0);
	check_pattern(buf, 0, N * BLOCK, seed);
}

static void one_big(struct blkioq *q, char *buf, uint32_t seed)
{
	pattern(buf, 0, MANY, seed);
	CHECK_EQ(io_write(q, BLOCK, buf, MANY, 0), 0);
	memset(buf, 0xee, MANY);
	CHECK_EQ(io_read(q, BLOCK, buf, MANY, 0), 0);
	check_pattern(buf, 0, MANY, seed);
}

static void use(struct blkio *b, enum wait wait, char *buf)
{
	struct blkioq *q = start_by(b, wait);

	check_by(b, "kernel");
	many_small(q, wait, buf, wait);
	if (wait != WAIT_EVENT)
		one_big(q, buf, wait);
	blkio_destroy(&b);
}

static void serves(struct device *d)
{
	char *buf = buffer(MANY);
	struct nbd_server s;

	(void)d;
	use(begin(&s, test_data(), 0), WAIT_BLOCK, buf);
	for (enum wait wait = WAIT_EVENT; wait < NR_WAITS; wait++) {
		struct blkio *b = create(atoi(s.port), 0);

		CHECK_OK(blkio_connect(b));
		use(b, wait, buf);
	}
	nbd_server_kill(&s);
	buffer_free(buf);
}

/* The thread does it if told to. */
static void told_not_to(struct device *d)
{
	char *buf = buffer(MANY);
	struct nbd_server s;
	struct blkio *b;

	(void)d;
	b = begin(&s, nbdkit, 0);
	blkio_destroy(&b);
	b = create(atoi(s.port), 0);
	CHECK_OK(blkio_set_bool(b, "tls-kernel", false));
	CHECK_OK(blkio_connect(b));
	check_by(b, "thread");
	one_big(start_by(b, WAIT_BLOCK), buf, 1);
	blkio_destroy(&b);
	nbd_server_kill(&s);
	buffer_free(buf);
}

static void restarted(struct device *d)
{
	char *buf = buffer(N * BLOCK);
	unsigned char seen[N];
	struct nbd_server s;

	(void)d;
	for (enum wait wait = 0; wait < NR_WAITS; wait += 2) {
		struct blkio *b = begin(&s, nbdkit, PATIENT);
		struct blkioq *q = start_by(b, wait);

		for (int round = 0; round < 2; round++) {
			pattern(buf, 0, N * BLOCK, round);
			queue_all(q, true, buf, seen);
			CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
			nbd_server_kill(&s);
			nbd_server_spawn(&s);
			collect_each(q, wait, N, 0);
			memset(buf, 0xee, N * BLOCK);
			queue_all(q, false, buf, seen);
			collect_each(q, wait, N, 0);
			check_pattern(buf, 0, N * BLOCK, round);
		}
		blkio_destroy(&b);
		nbd_server_kill(&s);
	}
	buffer_free(buf);
}

/* The requests with that memory fail, and no other. */
static void bad_memory(struct device *d)
{
	char *bad = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *buf = buffer(MANY);
	struct nbd_server s;
	struct blkio *b = begin(&s, nbdkit, 0);
	struct blkioq *q = start_by(b, WAIT_BLOCK);

	(void)d;
	CHECK(bad != MAP_FAILED);
	one_big(q, buf, 3);
	CHECK_EQ(io_read(q, 0, bad, BLOCK, 0), -EFAULT);
	CHECK_EQ(io_write(q, 0, bad, BLOCK, 0), -EFAULT);
	CHECK_EQ(io_read(q, 0, bad, 1 << 20, 0), -EFAULT);
	CHECK_EQ(io_write(q, 0, bad, 1 << 20, 0), -EFAULT);
	one_big(q, buf, 4);
	blkio_destroy(&b);
	nbd_server_kill(&s);
	munmap(bad, 1 << 20);
	buffer_free(buf);
}

/* ---- What is not data --------------------------------------------------------------------- */

/* A pre-shared key goes with SHA-256, which AES-256-GCM has only in TLS 1.2. */
#define AES    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+ECDHE-PSK:+PSK"
#define CHACHA "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305:+ECDHE-PSK:+PSK"
#define OLD    "NORMAL:-VERS-ALL:+VERS-TLS1.2:+ECDHE-PSK:+PSK"

static const struct scene {
	const char *priorities;
	enum tls_server_act act;
	int reconnect_ms;
	const char *by;
	int want; /* of the second read */
	const char *says;
} scenes[] = {
	{ CHACHA, TLS_SERVER_NOTHING, 0, "kernel", 0, NULL },
	{ OLD, TLS_SERVER_NOTHING, 0, "kernel", 0, NULL },
	{ OLD ":-CIPHER-ALL:+AES-256-GCM", TLS_SERVER_NOTHING, 0, "kernel", 0, NULL },
	{ OLD ":-CIPHER-ALL:+AES-128-GCM", TLS_SERVER_NOTHING, 0, "kernel", 0, NULL },
	{ OLD ":-CIPHER-ALL:+AES-128-CBC", TLS_SERVER_NOTHING, 0, "thread", 0, NULL },
	{ AES, TLS_SERVER_NOTHING, PATIENT, "kernel", 0, NULL },
	{ AES, TLS_SERVER_NOTHING, 0, "thread", 0, NULL },
	{ AES, TLS_SERVER_CHANGES_KEYS, 0, "thread", 0, NULL },
	{ AES, TLS_SERVER_CHANGES_KEYS, PATIENT, "kernel", 0, NULL },
	{ CHACHA, TLS_SERVER_CHANGES_KEYS, 0, "kernel", -ENOTCONN, "changed its TLS keys" },
	{ CHACHA, TLS_SERVER_SENDS_TICKET, 0, "kernel", 0, NULL },
	{ CHACHA, TLS_SERVER_SAYS_BYE, 0, "kernel", -ENOTCONN, "closed the connection" },
	{ CHACHA, TLS_SERVER_SAYS_BYE, PATIENT, "kernel", 0, NULL },
	{ CHACHA, TLS_SERVER_SENDS_ALERT, 0, "kernel", -ENOTCONN, "TLS error" },
	{ CHACHA, TLS_SERVER_SENDS_ALERT, PATIENT, "kernel", 0, NULL },
};

static int read_one(struct blkioq *q, uint64_t start, char *buf, const char *says)
{
	struct blkio_completion c;

	memset(buf, 0xee, BLOCK);
	blkioq_read(q, start, buf, BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
	if (c.ret)
		CHECK(says && c.error_msg && strstr(c.error_msg, says));
	else
		check_pattern(buf, start, BLOCK, TLS_SERVER_SEED);
	return c.ret;
}

static void not_data(struct device *d)
{
	const struct scene *scene = test_data();
	struct tls_server s = { .priorities = scene->priorities, .act = scene->act };
	char *buf = buffer(BLOCK);
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	need_kernel_tls();
	write_keys();
	tls_server_start(&s);
	b = create(s.port, scene->reconnect_ms);
	CHECK_OK(blkio_connect(b));
	check_by(b, scene->by);
	q = start_by(b, WAIT_BLOCK);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(read_one(q, (uint64_t)i * BLOCK, buf, scene->says), i ? scene->want : 0);
	CHECK_EQ(tls_server_connections(&s) > 1,
		 scene->reconnect_ms && scene->act != TLS_SERVER_NOTHING);
	blkio_destroy(&b);
	tls_server_stop(&s);
	buffer_free(buf);
}

#define NOT_DATA(i)                                                                                \
	{                                                                                          \
		"not data " #i, not_data, .data = &scenes[i], .timeout = 120                       \
	}

static const struct test tls_kernel_tests[] = {
	{ "nbdkit", serves, .data = nbdkit, .timeout = 120 },
	{ "qemu-nbd", serves, .data = qemu_nbd, .timeout = 120 },
	{ "qemu-storage-daemon", serves, .data = qsd, .timeout = 120 },
	{ "told not to", told_not_to, .timeout = 120 },
	{ "restarted", restarted, .timeout = 120 },
	{ "bad memory", bad_memory, .timeout = 120 },
	NOT_DATA(0),
	NOT_DATA(1),
	NOT_DATA(2),
	NOT_DATA(3),
	NOT_DATA(4),
	NOT_DATA(5),
	NOT_DATA(6),
	NOT_DATA(7),
	NOT_DATA(8),
	NOT_DATA(9),
	NOT_DATA(10),
	NOT_DATA(11),
	NOT_DATA(12),
	NOT_DATA(13),
	NOT_DATA(14),
};
TEST_MAIN(tls_kernel_tests)
