/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The iscsi driver and targets of the distribution: tgt with logical units of several kinds, with
 * CHAP, with header digests, that become full; istgt. Those that go: iscsi_reconnect.c.
 */
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"
#include "unit.h"
#include "ways.h"

enum { LEN = 64 << 10, SEED = 3 };

/* Set NAME=VALUE properties; ends with NULL. */
static void set_all(struct blkio *b, const char *const *properties)
{
	for (; *properties; properties += 2)
		CHECK_OK(blkio_set_str(b, properties[0], properties[1]));
}

/* ---- Data --------------------------------------------------------------------------------- */

/* Odd segments, in any number that fits. */
static void check_vectored(struct blkioq *q, char *buf)
{
	struct iovec iov[64];

	for (int i = 0; i < 63; i++)
		iov[i] = (struct iovec){ buf + i * 1021, 1021 };
	iov[63] = (struct iovec){ buf + 63 * 1021, LEN - 63 * 1021 };
	pattern(buf, LEN, LEN, SEED);
	CHECK_EQ(io_writev(q, LEN, iov, 64, 0), 0);
	memset(buf, 0xee, LEN);
	CHECK_EQ(io_readv(q, LEN, iov, 64, 0), 0);
	check_pattern(buf, LEN, LEN, SEED);
}

static void check_io(struct blkio *b)
{
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(LEN);
	int block = get_int(b, "request-alignment");

	check_vectored(q, buf);
	pattern(buf, 0, LEN, SEED);
	CHECK_EQ(io_write(q, 0, buf, LEN, BLKIO_REQ_FUA), 0);
	CHECK_EQ(io_flush(q, 0), 0);
	CHECK_EQ(io_zeroes(q, block, block, 0), 0);
	CHECK_EQ(io_zeroes(q, 3 * block, block, BLKIO_REQ_NO_UNMAP), 0);
	memset(buf, 0xee, LEN);
	unit_peek(0, buf, LEN);
	check_pattern(buf, 0, block, SEED);
	check_all(buf + block, block, 0);
	check_pattern(buf + 2 * block, 2 * block, block, SEED);
	check_all(buf + 3 * block, block, 0);
	check_pattern(buf + 4 * block, 4 * block, LEN - 4 * block, SEED);
	CHECK_EQ(io_read(q, UNIT_SIZE - block, buf, block, 0), 0);
	CHECK(io_read(q, UNIT_SIZE, buf, block, 0) < 0);
	CHECK(io_read(q, UNIT_SIZE - block, buf, 2 * block, 0) < 0);
	CHECK_EQ(io_read(q, 0, buf, block, 0), 0);
	buffer_free(buf);
}

static void check_and_end(struct blkio *b)
{
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK_EQ(get_u64(b, "capacity"), UNIT_SIZE);
	check_io(b);
	blkio_destroy(&b);
}

static void blocks(struct device *d)
{
	static const unsigned sizes[] = { 512, 4096 };

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct tgt t = { .block_size = sizes[i] };
		struct blkio *b;

		unit_start(&t);
		b = unit_create(&t, "");
		CHECK_OK(blkio_connect(b));
		CHECK_EQ(get_int(b, "request-alignment"), sizes[i]);
		blkio_destroy(&b);
		check_and_end(unit_create(&t, ""));
		tgt_kill(&t);
	}
}

static void digests(struct device *d)
{
	struct tgt t = { 0 };
	struct blkio *b;

	(void)d;
	unit_start(&t);
	check_and_end(unit_create(&t, "?header_digest=crc32c"));
	check_and_end(unit_create(&t, "?header_digest=none"));
	b = unit_create(&t, "");
	CHECK_ERR(blkio_set_str(b, "header-digest", "md5"), EINVAL, "md5", "crc32c");
	CHECK_OK(blkio_set_str(b, "header-digest", "crc32c"));
	check_and_end(b);
	b = unit_create(&t, "?header_digest=none");
	CHECK_OK(blkio_set_str(b, "header-digest", "crc32c"));
	CHECK_ERR(blkio_connect(b), EINVAL, "header-digest");
	blkio_destroy(&b);
	tgt_kill(&t);
}

static void thick(struct device *d)
{
	struct tgt t = { .params = "thin_provisioning=0" };
	struct blkio_extent extent;
	struct blkioq *q;
	struct blkio *b;

	(void)d;
	unit_start(&t);
	b = unit_create(&t, "");
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	CHECK_EQ(io_discard(q, 0, LEN, 0), -ENOTSUP);
	blkioq_block_status(q, 0, LEN, &extent, 1, &extent, 0);
	CHECK_EQ(io_finish(q, &extent), -ENOTSUP);
	check_io(b);
	blkio_destroy(&b);
	tgt_kill(&t);
}

static void read_only(struct device *d)
{
	struct tgt t = { .params = "readonly=1" };
	char *buf = buffer(512);
	struct blkio *b;

	(void)d;
	unit_start(&t);
	b = unit_create(&t, "");
	CHECK_ERR(blkio_connect(b), EROFS, "read-only");
	CHECK_OK(blkio_set_bool(b, "auto-read-only", true));
	CHECK_OK(blkio_connect(b));
	CHECK(get_bool(b, "read-only"));
	CHECK_OK(blkio_start(b));
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, 512, 0), 0);
	CHECK_EQ(io_write(blkio_get_queue(b, 0), 0, buf, 512, 0), -EBADF);
	blkio_destroy(&b);
	/* It becomes so while it is in use. */
	CHECK(tgt_admin(&t, "--op update --mode logicalunit --tid 1 --lun 1 --params readonly=0"));
	b = unit_create(&t, "");
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK_EQ(io_write(blkio_get_queue(b, 0), 0, buf, 512, 0), 0);
	CHECK(tgt_admin(&t, "--op update --mode logicalunit --tid 1 --lun 1 --params readonly=1"));
	CHECK_IO_ERR(io_write(blkio_get_queue(b, 0), 0, buf, 512, 0), EROFS, "protected");
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, 512, 0), 0);
	blkio_destroy(&b);
	buffer_free(buf);
	tgt_kill(&t);
}

/* ---- Logging in --------------------------------------------------------------------------- */

static void connect_fails(const struct tgt *t, const char *uri, const char *const *properties,
			  int error, const char *says)
{
	struct blkio *b = unit_create(t, "");

	if (uri)
		CHECK_OK(blkio_set_str(b, "uri", uri));
	set_all(b, properties);
	CHECK_ERR(blkio_connect(b), error, says);
	CHECK(!strstr(blkio_get_error_msg(), "secret"));
	blkio_destroy(&b);
}

#define PROPERTIES(...)                                                                            \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}
#define NOTHING_SET                                                                                \
	(const char *const[])                                                                      \
	{                                                                                          \
		NULL                                                                               \
	}

static void nothing_there(struct device *d)
{
	struct tgt t = { 0 };
	char uri[256];

	(void)d;
	unit_start(&t);
	snprintf(uri, sizeof(uri), "iscsi://127.0.0.1:%d/iqn.2024-01.test:other/1", t.port);
	connect_fails(&t, uri, NOTHING_SET, ENOENT, "iqn.2024-01.test:other");
	snprintf(uri, sizeof(uri), "iscsi://127.0.0.1:%d/" TGT_NAME "/7", t.port);
	connect_fails(&t, uri, NOTHING_SET, ENXIO, "LUN");
	snprintf(uri, sizeof(uri), "iscsi://127.0.0.1:%d/" TGT_NAME "/0", t.port);
	connect_fails(&t, uri, NOTHING_SET, ENOTSUP, "not a disk");
	connect_fails(&t, "iscsi://127.0.0.1:1/" TGT_NAME "/1", NOTHING_SET, ECONNREFUSED,
		      "port 1");
	connect_fails(&t, NULL, PROPERTIES("initiator-name", ""), EINVAL, "initiator-name");
	tgt_kill(&t);
}

static void chap(struct device *d)
{
	struct tgt t = { .user = "me", .password = "secretsecret12" };
	struct blkio *b;

	(void)d;
	unit_start(&t);
	connect_fails(&t, NULL, NOTHING_SET, EACCES, "refuses");
	connect_fails(&t, NULL, PROPERTIES("user", "me", "password", "secretsecret13"), EACCES,
		      "refuses");
	connect_fails(&t, NULL, PROPERTIES("user", "you", "password", "secretsecret12"), EACCES,
		      "refuses");
	connect_fails(&t, NULL, PROPERTIES("user", "me"), EINVAL, "password");
	b = unit_create(&t, "");
	set_all(b, PROPERTIES("user", "me", "password", "secretsecret12"));
	check_and_end(b);
	/* It is asked to authenticate itself, and does not. */
	connect_fails(&t, NULL,
		      PROPERTIES("user", "me", "password", "secretsecret12", "target-user", "you",
				 "target-password", "secretsecret14"),
		      EACCES, "iSCSI target");
	tgt_kill(&t);
}

static void mutual_chap(struct device *d)
{
	struct tgt t = { .user = "me",
			 .password = "secretsecret12",
			 .target_user = "you",
			 .target_password = "secretsecret14" };
	struct blkio *b;
	char uri[256];

	(void)d;
	unit_start(&t);
	connect_fails(&t, NULL,
		      PROPERTIES("user", "me", "password", "secretsecret12", "target-user", "you",
				 "target-password", "secretsecret15"),
		      EACCES, "Authentication");
	connect_fails(&t, NULL, PROPERTIES("target-user", "you", "target-password", "x"), EINVAL,
		      "user");
	snprintf(uri, sizeof(uri),
		 "iscsi://me%%secretsecret12@127.0.0.1:%d/" TGT_NAME
		 "/1?target_user=you&target_password=secretsecret14",
		 t.port);
	b = unit_create(&t, "");
	CHECK_OK(blkio_set_str(b, "uri", uri));
	check_and_end(b);
	tgt_kill(&t);
}

/* ---- Queues ------------------------------------------------------------------------------- */

enum { QUEUES = 3, DEPTH = 300, PIECE = 8 << 10 };

static void collect(struct blkioq *q, unsigned char *seen)
{
	struct blkio_completion c[64];

	for (int left = DEPTH; left;) {
		int n = blkioq_do_io(q, c, 1, 64, NULL);

		CHECK_OK(n);
		for (int i = 0; i < n; i++) {
			CHECK_EQ(c[i].ret, 0);
			CHECK_EQ(++*(unsigned char *)c[i].user_data, 1);
		}
		left -= n;
	}
	memset(seen, 0, DEPTH);
}

/* More requests than the target takes at a time, and than a queue has room for. */
static void several_queues(struct device *d)
{
	struct tgt t = { 0 };
	unsigned char seen[QUEUES + 1][DEPTH] = { 0 };
	char *buf = buffer(DEPTH * PIECE), *back = buffer(DEPTH * PIECE);
	struct blkioq *q[QUEUES + 1];
	struct blkio *b;

	(void)d;
	unit_start(&t);
	b = unit_create(&t, "");
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_set_int(b, "num-queues", QUEUES));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", 1));
	CHECK_OK(blkio_start(b));
	pattern(buf, 0, DEPTH * PIECE, SEED);
	for (int i = 0; i <= QUEUES; i++) {
		q[i] = i < QUEUES ? blkio_get_queue(b, i) : blkio_get_poll_queue(b, 0);
		for (int n = 0; n < DEPTH; n++)
			blkioq_write(q[i], n * PIECE, buf + n * PIECE, PIECE, &seen[i][n], 0);
		CHECK_EQ(blkioq_do_io(q[i], NULL, 0, 0, NULL), 0);
	}
	for (int i = 0; i <= QUEUES; i++)
		collect(q[i], seen[i]);
	for (int i = 0; i <= QUEUES; i++) {
		memset(back, 0xee, DEPTH * PIECE);
		for (int n = 0; n < DEPTH; n++)
			blkioq_read(q[i], n * PIECE, back + n * PIECE, PIECE, &seen[i][n], 0);
		collect(q[i], seen[i]);
		check_pattern(back, 0, DEPTH * PIECE, SEED);
	}
	blkio_destroy(&b);
	buffer_free(buf);
	buffer_free(back);
	tgt_kill(&t);
}

/* ---- No space ----------------------------------------------------------------------------- */

/* A small file system of this case's own. */
static void mount_small(void)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("small", test_dir(), "tmpfs", 0, "size=1m"))
		SKIP("no file system can be mounted: %s", strerror(errno));
}

/* tgt does not say why it cannot write, so that is EIO. What was written stays. */
static void no_space(struct device *d)
{
	struct tgt t = { 0 };
	char *buf = buffer(LEN);
	int written = 0, ret = 0;
	struct blkioq *q;
	struct blkio *b;

	(void)d;
	mount_small();
	unit_start(&t);
	b = unit_create(&t, "");
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	for (; !ret && written < UNIT_SIZE / LEN; written += !ret) {
		pattern(buf, written * LEN, LEN, SEED);
		ret = io_write(q, written * LEN, buf, LEN, 0);
	}
	CHECK(written > 4 && written < UNIT_SIZE / LEN);
	CHECK_EQ(ret, -EIO);
	CHECK_IO_ERR(io_write(q, UNIT_SIZE - LEN, buf, LEN, 0), EIO, "no space");
	for (int i = 0; i < written; i++) {
		CHECK_EQ(io_read(q, i * LEN, buf, LEN, 0), 0);
		check_pattern(buf, i * LEN, LEN, SEED);
	}
	CHECK_EQ(io_discard(q, 0, 4 * LEN, 0), 0);
	CHECK_EQ(io_write(q, 0, buf, LEN, 0), 0);
	blkio_destroy(&b);
	buffer_free(buf);
	tgt_kill(&t);
}

/* ---- istgt -------------------------------------------------------------------------------- */

static const char istgt_config[] =
    "[Global]\nNodeBase \"iqn.2024-01.test\"\nPidFile %1$s/pid\nAuthFile %1$s/auth\n"
    "LogFacility \"local7\"\nTimeout 30\nNopInInterval 20\nDiscoveryAuthMethod None\n"
    "MaxSessions 16\nMaxConnections 4\nFirstBurstLength 65536\nMaxBurstLength 262144\n"
    "MaxRecvDataSegmentLength 65536\nInitialR2T Yes\nImmediateData Yes\n"
    "[UnitControl]\nAuthMethod None\nPortal UC1 127.0.0.1:%2$d\nNetmask 127.0.0.1\n"
    "[PortalGroup1]\nPortal DA1 127.0.0.1:%3$d\n"
    "[InitiatorGroup1]\nInitiatorName \"ALL\"\nNetmask 127.0.0.1\n"
    "[LogicalUnit1]\nTargetName disk\nMapping PortalGroup1 InitiatorGroup1\nAuthMethod None\n"
    "UnitType Disk\nLUN0 Storage %1$s/disk Auto\n";

static pid_t start_istgt(int port)
{
	char config[4096], command[4200];
	FILE *f;
	pid_t pid;

	snprintf(config, sizeof(config), "%s/istgt.conf", test_dir());
	f = fopen(config, "we");
	CHECK(f);
	fprintf(f, istgt_config, test_dir(), free_tcp_port(), port);
	fclose(f);
	snprintf(command, sizeof(command),
		 "touch %s/auth; exec istgt -c %s -D >%s/log 2>&1 </dev/null", test_dir(), config,
		 test_dir());
	fflush(NULL);
	pid = (pid_t)SYS(fork_dependent());
	if (!pid) {
		execlp("sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	return pid;
}

/* Its bursts are shorter than our requests. */
/*
 * libiscsi reads for long at a time, and is made to pause. That takes no descriptors that are not
 * there, and costs no connection.
 */
static void no_descriptors(struct device *d)
{
	enum { READS = 256 };
	struct tgt t = { 0 };
	unsigned char seen[READS] = { 0 };
	char *buf = buffer(UNIT_SIZE);
	struct blkio *b;

	(void)d;
	unit_start(&t);
	b = unit_create(&t, "");
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", 0));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	allow_more_fds(0);
	for (int i = 0; i < READS; i++)
		blkioq_read(blkio_get_queue(b, 0), 0, buf, UNIT_SIZE, &seen[i], 0);
	collect_each(blkio_get_queue(b, 0), WAIT_BLOCK, READS, 0);
	blkio_destroy(&b);
	buffer_free(buf);
	tgt_kill(&t);
}

static void istgt(struct device *d)
{
	char uri[128];
	struct blkio *b;
	int status, port;
	pid_t pid;

	(void)d;
	if (blkio_create("iscsi", &b) < 0)
		SKIP("%s", blkio_get_error_msg());
	unit_make();
	port = free_tcp_port();
	pid = start_istgt(port);
	snprintf(uri, sizeof(uri), "iscsi://127.0.0.1:%d/iqn.2024-01.test:disk/0", port);
	CHECK_OK(blkio_set_str(b, "uri", uri));
	while (blkio_connect(b) < 0) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			SKIP("istgt is not installed, or does not start: status %#x", status);
		usleep(10000);
	}
	CHECK_OK(blkio_start(b));
	check_io(b);
	blkio_destroy(&b);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static const struct test tests[] = {
	{ "blocks of 512 and 4096 bytes", blocks, 0 },
	{ "header digests", digests, 0 },
	{ "a unit that is not thin", thick, 0 },
	{ "a read-only unit", read_only, 0 },
	{ "what is not there", nothing_there, 0 },
	{ "CHAP", chap, 0 },
	{ "CHAP in both directions", mutual_chap, 0 },
	{ "several queues", several_queues, 0 },
	{ "no space left", no_space, 0 },
	{ "no descriptors left", no_descriptors, .timeout = 120 },
	{ "istgt", istgt, 0 },
};
TEST_MAIN(tests)
