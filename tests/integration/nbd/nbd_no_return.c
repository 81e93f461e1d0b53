/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * NBD servers that die and do not come back, or as another, with property "reconnect-timeout":
 * requests fail in time, and nothing outlasts its instance.
 */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "io.h"
#include "lasting.h"
#include "test.h"

/* ---- No return ---------------------------------------------------------------------------- */

static void fails_in_time(struct blkioq *q, enum wait wait, const char *message)
{
	char *buf = buffer(BLOCK);
	int64_t start = clock_ns();
	unsigned char seen[N];

	lasting_read_many(q, buf, seen);
	collect_each(q, wait, N, -ENOTCONN);
	CHECK(ms_since(start) >= 400 && ms_since(start) < 500 + LATE_MS);
	CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 0), ENOTCONN, message);
	buffer_free(buf);
}

static void does_not_return(struct device *d)
{
	(void)d;
	for (enum wait wait = 0; wait < NR_WAITS; wait++) {
		struct nbd_server s;
		struct blkioq *q;
		struct blkio *b = lasting_begin_by(&s, lasting_nbdkit, 500, wait, &q);

		nbd_server_kill(&s);
		fails_in_time(q, wait, "did not come back in time");
		lasting_end(&s, b);
	}
}

/* In the server's place: connections are accepted by the kernel, and nobody says anything. */
static int listen_silently(const struct nbd_server *s)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = (int)SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

	unlink(s->socket);
	strcpy(addr.sun_path, s->socket);
	SYS(bind(sock, (struct sockaddr *)&addr, sizeof(addr)));
	SYS(listen(sock, 5));
	return sock;
}

static void silent_successor(struct device *d)
{
	char *buf = buffer(BLOCK);

	(void)d;
	for (int destroy = 0; destroy < 2; destroy++) {
		struct nbd_server s;
		struct blkioq *q;
		struct blkio *b =
		    lasting_begin_by(&s, lasting_nbdkit, destroy ? PATIENT : 500, WAIT_BLOCK, &q);
		int64_t start;
		int sock;

		nbd_server_kill(&s);
		sock = listen_silently(&s);
		if (!destroy)
			fails_in_time(q, WAIT_BLOCK, "did not come back in time");
		blkioq_read(q, 0, buf, BLOCK, NULL, 0);
		blkioq_do_io(q, NULL, 0, 0, NULL);
		usleep(100000);
		start = clock_ns();
		blkio_destroy(&b);
		CHECK(ms_since(start) < LATE_MS);
		close(sock);
	}
	buffer_free(buf);
}

static void destroyed_meanwhile(struct device *d)
{
	char *buf = buffer(BLOCK);

	(void)d;
	for (int round = 0; round < 8; round++) {
		struct timespec ts = { 1, 0 };
		struct blkio_completion c;
		struct nbd_server s;
		struct blkioq *q;
		struct blkio *b = lasting_begin_by(&s, lasting_nbdkit, 60000,
						   round & 1 ? WAIT_POLL_QUEUE : WAIT_BLOCK, &q);
		int64_t start;

		CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
		nbd_server_kill(&s);
		blkioq_read(q, 0, buf, BLOCK, NULL, 0);
		if (round & 2)
			CHECK_EQ(blkioq_do_io(q, &c, 0, 1, NULL), 0);
		/* It may have come back, unless somebody looks. */
		if (round & 4) {
			nbd_server_spawn(&s);
			usleep(100000);
		}
		start = clock_ns();
		if (!(round & 1)) {
			CHECK_OK(blkio_drain(b, &ts));
			CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
			CHECK(c.ret == -ENOTCONN || c.ret == -ECANCELED);
		}
		blkio_destroy(&b);
		CHECK(ms_since(start) < LATE_MS);
		nbd_server_kill(&s);
	}
	buffer_free(buf);
}

/* ---- Another export ----------------------------------------------------------------------- */

static void returns_as_another(struct device *d)
{
	static const char *const sized[] = { "nbdkit",
					     "-f",
					     "-U",
					     NBD_SOCKET,
					     "--filter=blocksize-policy",
					     "memory",
					     "4M",
					     "blocksize-minimum=4096",
					     "blocksize-maximum=65536",
					     NULL };
	static const char *const read_only[] = { "nbdkit",   "-f",     "-r", "-U",
						 NBD_SOCKET, "memory", "4M", NULL };
	static const char *const unstructured[] = { "nbdkit",	"-f",	  "--no-sr", "-U",
						    NBD_SOCKET, "memory", "4M",	     NULL };
	static const char *const plain[] = {
		"nbdkit", "-f", "-U", NBD_SOCKET, "memory", "4M", NULL
	};
	static const struct {
		const char *const *argv;
		const char *message;
	} others[] = { { sized, "block sizes" },
		       { read_only, "read-only" },
		       { unstructured, "operations" } };
	char *buf = buffer(BLOCK);
	uint64_t capacity;

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct nbd_server s;
		struct blkioq *q;
		struct blkio *b = lasting_begin_by(&s, plain, PATIENT, WAIT_BLOCK, &q);

		nbd_server_kill(&s);
		s.argv = others[i].argv;
		nbd_server_spawn(&s);
		CHECK_IO_ERR(io_write(q, 0, buf, BLOCK, 0), ENODEV, others[i].message);
		CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 0), ENODEV, others[i].message);
		CHECK_ERR(blkio_get_uint64(b, "capacity", &capacity), ENODEV, others[i].message);
		CHECK_ERR(blkio_add_queue(b), ENODEV, others[i].message);
		lasting_end(&s, b);
	}
	buffer_free(buf);
}

static void returns_with_another_size(struct device *d)
{
	static const char *const small[] = {
		"nbdkit", "-f", "-U", NBD_SOCKET, "--filter=delay", "memory", "2M", "rdelay=0", NULL
	};
	static const char *const large[] = {
		"nbdkit", "-f", "-U", NBD_SOCKET, "--filter=delay", "memory", "8M", "rdelay=0", NULL
	};
	char *buf = buffer(BLOCK);
	struct nbd_server s;
	struct blkioq *q;
	struct blkio *b = lasting_begin_by(&s, lasting_quick, PATIENT, WAIT_BLOCK, &q);

	(void)d;
	CHECK_EQ(io_read(q, NBD_SERVER_SIZE, buf, BLOCK, 0), -EINVAL);
	nbd_server_kill(&s);
	s.argv = large;
	nbd_server_spawn(&s);
	CHECK_EQ(io_read(q, NBD_SERVER_SIZE, buf, BLOCK, 0), 0);
	CHECK_EQ(get_u64(b, "capacity"), 2 * NBD_SERVER_SIZE);
	nbd_server_kill(&s);
	s.argv = small;
	nbd_server_spawn(&s);
	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	CHECK_EQ(get_u64(b, "capacity"), NBD_SERVER_SIZE / 2);
	CHECK_EQ(io_read(q, NBD_SERVER_SIZE / 2, buf, BLOCK, 0), -EINVAL);
	CHECK_EQ(io_write(q, NBD_SERVER_SIZE / 2, buf, BLOCK, 0), -ENOSPC);
	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	lasting_end(&s, b);
	buffer_free(buf);
}

/* Nobody has said anything of blocks: that the size is odd does not make them other ones. */
static void returns_with_an_odd_size(struct device *d)
{
	static const char *const odd[] = {
		"nbdkit", "-f",	     "-U",	 NBD_SOCKET, "--filter=delay",
		"memory", "4194307", "rdelay=0", NULL
	};
	char *buf = buffer(BLOCK);
	struct nbd_server s;
	struct blkioq *q;
	struct blkio *b = lasting_begin_by(&s, lasting_quick, PATIENT, WAIT_BLOCK, &q);

	(void)d;
	nbd_server_kill(&s);
	s.argv = odd;
	nbd_server_spawn(&s);
	CHECK_EQ(io_read(q, NBD_SERVER_SIZE - BLOCK, buf, BLOCK, 0), 0);
	CHECK_EQ(get_u64(b, "capacity"), NBD_SERVER_SIZE);
	lasting_end(&s, b);
	buffer_free(buf);
}

/* It no longer offers to fill its cache, for which nobody has asked. */
static void returns_with_less_of_no_use(struct device *d)
{
	static const char *const uncached[] = {
		"nbdkit",	  "-f",	    "-U", NBD_SOCKET, "--filter=nocache",
		"--filter=delay", "memory", "4M", "rdelay=0", NULL
	};
	char *buf = buffer(BLOCK);
	struct nbd_server s;
	struct blkioq *q;
	struct blkio *b = lasting_begin_by(&s, lasting_quick, PATIENT, WAIT_BLOCK, &q);

	(void)d;
	nbd_server_kill(&s);
	s.argv = uncached;
	nbd_server_spawn(&s);
	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	lasting_end(&s, b);
	buffer_free(buf);
}

/* ---- A queue that is added ---------------------------------------------------------------- */

/* Without "reconnect-timeout": the library checks where requests end. */
static struct blkio *begin_and_replace(struct nbd_server *s, const char *const *argv)
{
	struct blkio *b = lasting_begin(s, lasting_quick, 0);

	lasting_start(b, WAIT_BLOCK, 1);
	nbd_server_kill(s);
	s->argv = argv;
	nbd_server_spawn(s);
	return b;
}

/* It takes a moment until the server listens. */
static int add_queue(struct blkio *b)
{
	int ret;

	while ((ret = blkio_add_queue(b)) == -ENOENT || ret == -ECONNREFUSED)
		usleep(10000);
	return ret;
}

static void added_with_another_size(struct device *d)
{
	static const char *const large[] = {
		"nbdkit", "-f", "-U", NBD_SOCKET, "--filter=delay", "memory", "8M", "rdelay=0", NULL
	};
	static const char *const small[] = {
		"nbdkit", "-f",	 "-U",	     NBD_SOCKET, "--filter=delay",
		"memory", "512", "rdelay=0", NULL
	};
	char *buf = buffer(BLOCK);
	struct nbd_server s;
	struct blkio *b = begin_and_replace(&s, large);

	(void)d;
	CHECK_EQ(add_queue(b), 1);
	CHECK_EQ(get_u64(b, "capacity"), 2 * NBD_SERVER_SIZE);
	CHECK_EQ(io_read(blkio_get_queue(b, 1), NBD_SERVER_SIZE, buf, BLOCK, 0), 0);
	CHECK_EQ(io_read(blkio_get_queue(b, 1), 2 * NBD_SERVER_SIZE, buf, BLOCK, 0), -EINVAL);
	lasting_end(&s, b);
	b = begin_and_replace(&s, small);
	CHECK_EQ(add_queue(b), 1);
	CHECK_EQ(get_u64(b, "capacity"), 512);
	CHECK_EQ(io_read(blkio_get_queue(b, 1), 0, buf, 512, 0), 0);
	CHECK_IO_ERR(io_read(blkio_get_queue(b, 1), 512, buf, 512, 0), EINVAL, "capacity");
	CHECK_IO_ERR(io_read(blkio_get_queue(b, 1), 0, buf, 1024, 0), EINVAL, "capacity");
	lasting_end(&s, b);
	buffer_free(buf);
}

/* What it finds counts for the whole instance. */
static void added_to_another(struct device *d)
{
	static const char *const read_only[] = { "nbdkit", "-f",       "-r",
						 "-U",	   NBD_SOCKET, "--filter=delay",
						 "memory", "4M",       "rdelay=0",
						 NULL };
	char *buf = buffer(BLOCK);
	struct nbd_server s;
	struct blkio *b = begin_and_replace(&s, read_only);
	uint64_t capacity;

	(void)d;
	CHECK_EQ(add_queue(b), -ENODEV);
	CHECK_IO_ERR(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), ENODEV, "read-only");
	CHECK_ERR(blkio_get_uint64(b, "capacity", &capacity), ENODEV, "read-only");
	lasting_end(&s, b);
	buffer_free(buf);
}

static void bad_values(struct device *d)
{
	struct blkio *b;
	int pair[2];

	(void)d;
	SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	CHECK_OK(blkio_create("nbd", &b));
	CHECK_EQ(get_int(b, "reconnect-timeout"), 0);
	CHECK_ERR(blkio_set_int(b, "reconnect-timeout", -1), EINVAL, "reconnect-timeout", "-1");
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", 1000));
	CHECK_OK(blkio_set_int(b, "fd", pair[0]));
	CHECK_ERR(blkio_connect(b), EINVAL, "reconnect-timeout", "path");
	blkio_destroy(&b);
	close(pair[0]);
	close(pair[1]);
}

static const struct test tests[] = {
	{ "does not return", does_not_return, .timeout = 60 },
	{ "silent successor", silent_successor, .timeout = 60 },
	{ "destroyed meanwhile", destroyed_meanwhile, .timeout = 60 },
	{ "returns as another", returns_as_another, .timeout = 60 },
	{ "returns with another size", returns_with_another_size },
	{ "returns with an odd size", returns_with_an_odd_size },
	{ "returns with less of no use", returns_with_less_of_no_use },
	{ "a queue that finds another size", added_with_another_size },
	{ "a queue that finds another export", added_to_another },
	{ "bad values", bad_values },
};
TEST_MAIN(tests)
