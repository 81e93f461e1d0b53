/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The nbd driver and the servers that there are: all operations, limits, errors, bad buffers, and
 * the death of a server under load. tests/api has qemu-storage-daemon.
 */
#include <signal.h>
#include <sys/mman.h>

#include "io.h"
#include "server.h"
#include "sys.h"
#include "test.h"

enum { SIZE = NBD_SERVER_SIZE, KIB = 1024 };

#define QEMU_NBD 8 /* among kinds */

/* A server, and what is special about it. */
static const struct kind {
	const char *name;
	const char *argv[NBD_SERVER_ARGS];
	const char *export;
	bool read_only, fails;
	bool once;		     /* it ends with its first connection */
	bool no_status, no_holes;    /* block status: not at all; all is data */
	int max_transfer, alignment; /* 0: do not look */
} kinds[] = {
	{ .name = "nbdkit", .argv = { "nbdkit", "-f", "-U", NBD_SOCKET, "memory", "4M" } },
	{ .name = "nbdkit, simple replies",
	  .argv = { "nbdkit", "-f", "--no-sr", "-U", NBD_SOCKET, "memory", "4M" },
	  .no_status = true },
	{ .name = "nbdkit, tight limits",
	  .argv = { "nbdkit", "-f", "-U", NBD_SOCKET, "--filter=blocksize-policy", "memory", "4M",
		    "blocksize-minimum=512", "blocksize-maximum=65536",
		    "blocksize-error-policy=error" },
	  .max_transfer = 65536,
	  .alignment = 512 },
	{ .name = "nbdkit, no zeroes",
	  .argv = { "nbdkit", "-f", "-U", NBD_SOCKET, "--filter=nozero", "memory", "4M" } },
	{ .name = "nbdkit, no extents",
	  .argv = { "nbdkit", "-f", "-U", NBD_SOCKET, "--filter=noextents", "memory", "4M" },
	  .no_holes = true },
	{ .name = "nbdkit, slow and out of order",
	  .argv = { "nbdkit", "-f", "-U", NBD_SOCKET, "--filter=delay", "memory", "4M",
		    "rdelay=1ms" } },
	{ .name = "nbdkit, read-only",
	  .argv = { "nbdkit", "-f", "-r", "-U", NBD_SOCKET, "memory", "4M" },
	  .read_only = true },
	{ .name = "nbdkit, errors",
	  .argv = { "nbdkit", "-f", "-U", NBD_SOCKET, "--filter=error", "memory", "4M",
		    "error=ENOSPC", "error-rate=100%" },
	  .fails = true },
	{ .name = "qemu-nbd",
	  .argv = { "qemu-nbd", "-f", "raw", "-t", "-e", "4", "-k", NBD_SOCKET, "--discard=unmap",
		    NBD_FILE } },
	{ .name = "qemu-nbd, TCP",
	  .argv = { "qemu-nbd", "-f", "raw", "-t", "-b", "127.0.0.1", "-p", NBD_PORT, NBD_FILE } },
	{ .name = "nbd-server",
	  .argv = { "nbd-server", "-d", "-C", NBD_CONFIG },
	  .export = "disk",
	  .once = true,
	  .no_status = true },
};

/* A connected instance. */
static struct blkio *prepare(struct nbd_server *s, const struct kind *kind)
{
	nbd_server_init(s, kind->argv);
	s->export = kind->export;
	return nbd_server_start(s);
}

/* ---- All operations ----------------------------------------------------------------------- */

/* In pieces as large as the server takes. */
static void write_all(struct blkio *b, struct blkioq *q, char *buf)
{
	size_t max = (size_t)get_int(b, "max-transfer");

	for (size_t at = 0, n; at < SIZE; at += n) {
		n = SIZE - at < max ? SIZE - at : max;
		CHECK_EQ(io_write(q, at, buf + at, n, at ? 0 : BLKIO_REQ_FUA), 0);
	}
}

static void read_all(struct blkio *b, struct blkioq *q, char *buf)
{
	size_t max = (size_t)get_int(b, "max-transfer");

	memset(buf, 0xee, SIZE);
	for (size_t at = 0, n; at < SIZE; at += n) {
		n = SIZE - at < max ? SIZE - at : max;
		CHECK_EQ(io_read(q, at, buf + at, n, 0), 0);
	}
}

static void operations(struct blkio *b, struct blkioq *q)
{
	char *buf = buffer(SIZE);
	struct iovec iov[3] = { { buf + 8 * KIB, 512 }, { buf, 0 }, { buf, 1536 } };
	int ret;

	pattern(buf, 0, SIZE, 3);
	write_all(b, q, buf);
	read_all(b, q, buf);
	check_pattern(buf, 0, SIZE, 3);
	memset(buf, 0, 16 * KIB);
	CHECK_EQ(io_readv(q, 512, iov, 3, 0), 0);
	check_pattern(buf + 8 * KIB, 512, 512, 3);
	check_pattern(buf, 1024, 1536, 3);
	CHECK_EQ(io_zeroes(q, 4096, 64 * KIB, 0), 0);
	CHECK_EQ(io_zeroes(q, 1 << 20, 64 * KIB, BLKIO_REQ_NO_UNMAP), 0);
	ret = io_zeroes(q, 2 << 20, 64 * KIB, BLKIO_REQ_NO_FALLBACK);
	CHECK(!ret || ret == -ENOTSUP);
	ret = io_discard(q, 3 << 20, 64 * KIB, 0);
	CHECK(!ret || ret == -ENOTSUP);
	CHECK_EQ(io_flush(q, 0), 0);
	read_all(b, q, buf);
	check_pattern(buf, 0, 4096, 3);
	check_all(buf + 4096, 64 * KIB, 0);
	check_pattern(buf + 4096 + 64 * KIB, 4096 + 64 * KIB, 1 << 19, 3);
	check_all(buf + (1 << 20), 64 * KIB, 0);
	buffer_free(buf);
}

/* A hundred reads of all sizes at once, whose replies come in any order. */
static void many_at_once(struct blkioq *q, size_t align, size_t max)
{
	enum { N = 100, MOST = 160 * KIB };
	static struct blkio_completion c[N];
	static size_t len[N];
	char *buf = buffer(SIZE);

	pattern(buf, 0, 1 << 20, 9);
	for (size_t at = 0; at < 1 << 20; at += 64 * KIB)
		CHECK_EQ(io_write(q, at, buf + at, 64 * KIB, 0), 0);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N; i++) {
			len[i] = ((size_t)i * 7919 * (round + 1) % (i % 10 ? 6000 : MOST) + align) &
				 ~(align - 1);
			len[i] = len[i] < max ? len[i] : max;
			memset(buf + (size_t)i % 20 * MOST, 0xee, 1);
			if (i % 20 == 0 && i)
				CHECK_EQ(blkioq_do_io(q, c, 20, 20, NULL), 20);
			blkioq_read(q, (size_t)i * 4096, buf + (size_t)i % 20 * MOST, len[i], NULL,
				    0);
		}
		CHECK_EQ(blkioq_do_io(q, c, 20, 20, NULL), 20);
		for (int i = 0; i < 20; i++) {
			CHECK_EQ(c[i].ret, 0);
			check_pattern(buf + (size_t)i * MOST, (size_t)(80 + i) * 4096, len[80 + i],
				      9);
		}
	}
	buffer_free(buf);
}

/* The same among many small reads, whose data comes all at once. */
static void bad_small_buffers(struct blkioq *q, char *good, char *bad)
{
	enum { LEN = 512, N = 32 };
	struct blkio_completion c[N];

	for (int step = 1; step < 5; step++) {
		for (int i = 0; i < N; i++)
			blkioq_read(q, (size_t)i * LEN, i % step ? good + (size_t)i * LEN : bad,
				    LEN, (void *)(intptr_t)i, 0);
		CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
		for (int i = 0; i < N; i++) {
			intptr_t at = (intptr_t)c[i].user_data;

			CHECK_EQ(c[i].ret, at % step ? 0 : -EFAULT);
			if (at % step)
				check_pattern(good + at * LEN, (size_t)at * LEN, LEN, 4);
		}
		memset(good, 0, (size_t)N * LEN);
	}
}

/* Each bad buffer fails alone: before, between and behind good ones. */
static void bad_buffers(struct blkioq *q)
{
	enum { LEN = 64 * KIB, PAGE = 4096 };
	struct blkio_completion c[3];
	char *good = buffer(2 * LEN), *bad;

	bad = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(bad != MAP_FAILED);
	SYS(mprotect(bad + LEN - PAGE, PAGE, PROT_NONE));
	for (int i = 0; i < 3; i++) {
		pattern(good, 0, LEN, 4);
		CHECK_EQ(io_write(q, 0, good, LEN, 0), 0);
		CHECK_EQ(io_read(q, 0, bad, LEN, 0), -EFAULT);
		CHECK_EQ(io_read(q, 0, bad + LEN - PAGE, 512, 0), -EFAULT);
		CHECK_EQ(io_write(q, 0, bad + LEN - PAGE, 512, 0), -EFAULT);
		CHECK_EQ(io_read(q, 0, NULL, 512, 0), -EFAULT);
		blkioq_read(q, 0, good, LEN, (void *)0, 0);
		blkioq_read(q, 0, bad, LEN, (void *)1, 0);
		blkioq_read(q, 0, good + LEN, LEN, (void *)2, 0);
		CHECK_EQ(blkioq_do_io(q, c, 3, 3, NULL), 3);
		for (int k = 0; k < 3; k++)
			CHECK_EQ(c[k].ret, c[k].user_data == (void *)1 ? -EFAULT : 0);
		check_pattern(good, 0, LEN, 4);
		check_pattern(good + LEN, 0, LEN, 4);
		blkioq_write(q, LEN, good, LEN, (void *)0, 0);
		blkioq_write(q, 1 << 20, bad, LEN, (void *)1, 0);
		blkioq_write(q, 2 * LEN, good, LEN, (void *)2, 0);
		CHECK_EQ(blkioq_do_io(q, c, 3, 3, NULL), 3);
		for (int k = 0; k < 3; k++)
			CHECK_EQ(c[k].ret, c[k].user_data == (void *)1 ? -EFAULT : 0);
		CHECK_EQ(io_read(q, 2 * LEN, good + LEN, LEN, 0), 0);
		check_pattern(good + LEN, 0, LEN, 4);
		bad_small_buffers(q, good, bad + LEN - PAGE);
	}
	SYS(munmap(bad, LEN));
	buffer_free(good);
}

/* Nothing has been written so far. */
static void block_status(struct blkioq *q, const struct kind *kind)
{
	struct blkio_extent e[2];
	int cookie, ret;

	blkioq_block_status(q, 0, SIZE, e, 2, &cookie, 0);
	ret = io_finish(q, &cookie);
	CHECK_EQ(ret, kind->no_status ? -ENOTSUP : kind->fails ? -ENOSPC : 1);
	if (ret < 0)
		return;
	CHECK(e->start == 0 && e->len == SIZE);
	CHECK_EQ(!(e->flags & BLKIO_EXTENT_ZERO), kind->no_holes);
}

/* Some servers serve one client at a time. */
static void exports(const struct nbd_server *s)
{
	struct blkio *b = nbd_server_create(s);
	struct blkio_export *list;

	CHECK_EQ(blkio_list_exports(b, &list), 1);
	CHECK_STR(list->name, "");
	CHECK(list->size == SIZE);
	free(list);
	CHECK_OK(blkio_connect(b));
	blkio_destroy(&b);
}

static void serves(struct device *d)
{
	const struct kind *kind = test_data();
	struct nbd_server s;
	struct blkio *b;
	struct blkioq *q;
	char *buf;

	(void)d;
	b = prepare(&s, kind);
	CHECK(get_u64(b, "capacity") == SIZE);
	CHECK_EQ(get_bool(b, "read-only"), kind->read_only);
	if (kind->max_transfer)
		CHECK_EQ(get_int(b, "max-transfer"), kind->max_transfer);
	if (kind->alignment)
		CHECK_EQ(get_int(b, "request-alignment"), kind->alignment);
	CHECK_OK(blkio_set_int(b, "num-poll-queues", !kind->once && get_int(b, "max-queues") > 1));
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	buf = buffer(4096);
	block_status(q, kind);
	if (kind->fails) {
		for (int i = 0; i < 20; i++) {
			CHECK_EQ(io_read(q, 0, buf, 4096, 0), -ENOSPC);
			CHECK_EQ(io_write(q, 0, buf, 4096, 0), -ENOSPC);
		}
	} else if (kind->read_only) {
		CHECK_EQ(io_read(q, 0, buf, 4096, 0), 0);
		CHECK_EQ(io_write(q, 0, buf, 4096, 0), -EBADF);
	} else {
		operations(b, q);
		if (blkio_get_poll_queue(b, 0))
			operations(b, blkio_get_poll_queue(b, 0));
		many_at_once(q, (size_t)get_int(b, "request-alignment"),
			     (size_t)get_int(b, "max-transfer"));
		bad_buffers(q);
	}
	buffer_free(buf);
	blkio_destroy(&b);
	if (!kind->once)
		exports(&s);
	nbd_server_kill(&s);
}

/* ---- Death -------------------------------------------------------------------------------- */

/* Whatever is in flight then completes, once each; and all that comes later fails. */
static void dies(struct device *d)
{
	enum { N = 64, LEN = 8 * KIB };
	static struct blkio_completion c[N];
	char *buf = buffer(N * LEN);
	struct blkio *b;
	struct nbd_server s;

	(void)d;
	b = prepare(&s, &kinds[0]);
	for (int round = 0; round < 20; round++) {
		unsigned seen[N] = { 0 };
		struct blkioq *q;

		CHECK_OK(blkio_start(b));
		q = blkio_get_queue(b, 0);
		for (int i = 0; i < N; i++) {
			if (i & 1)
				blkioq_write(q, (size_t)i * LEN, buf + (size_t)i * LEN, LEN,
					     &seen[i], 0);
			else
				blkioq_read(q, (size_t)i * LEN, buf + (size_t)i * LEN, LEN,
					    &seen[i], 0);
			if (i == round)
				CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
			if (i == 2 * round)
				kill(s.pid, SIGKILL);
		}
		CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
		for (int i = 0; i < N; i++) {
			CHECK(!c[i].ret || (c[i].ret == -ENOTCONN && c[i].error_msg));
			CHECK_EQ((*(unsigned *)c[i].user_data)++, 0);
		}
		CHECK_EQ(io_read(q, 0, buf, LEN, 0), -ENOTCONN);
		CHECK_EQ(io_flush(q, 0), -ENOTCONN);
		blkio_destroy(&b);
		nbd_server_kill(&s);
		b = nbd_server_start(&s);
	}
	blkio_destroy(&b);
	nbd_server_kill(&s);
	buffer_free(buf);
}

static void unknown_export(struct device *d)
{
	struct nbd_server s;
	struct blkio *b;

	(void)d;
	b = prepare(&s, &kinds[QEMU_NBD]);
	blkio_destroy(&b);
	b = nbd_server_create(&s);
	CHECK_OK(blkio_set_str(b, "export", "nowhere"));
	CHECK_ERR(blkio_connect(b), ENOENT, "nowhere");
	CHECK_OK(blkio_set_str(b, "export", ""));
	CHECK_OK(blkio_connect(b));
	blkio_destroy(&b);
	nbd_server_kill(&s);
}

#define SERVES(i, name)                                                                            \
	{                                                                                          \
		name, serves, .data = &kinds[i], .timeout = 60                                     \
	}

static const struct test tests[] = {
	SERVES(0, "nbdkit"),
	SERVES(1, "nbdkit, simple replies"),
	SERVES(2, "nbdkit, tight limits"),
	SERVES(3, "nbdkit, no zeroes"),
	SERVES(4, "nbdkit, no extents"),
	SERVES(5, "nbdkit, slow and out of order"),
	SERVES(6, "nbdkit, read-only"),
	SERVES(7, "nbdkit, errors"),
	SERVES(8, "qemu-nbd"),
	SERVES(9, "qemu-nbd, TCP"),
	SERVES(10, "nbd-server"),
	{ "a server dies", dies, .timeout = 60 },
	{ "an unknown export", unknown_export },
};
TEST_MAIN(tests)
