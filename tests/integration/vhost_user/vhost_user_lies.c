/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Servers that lie, and paths and descriptors that lead to no server. */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io.h"
#include "proxy.h"
#include "sys.h"
#include "test.h"

enum { BLOCK = 4096 };

/* ---- Lying -------------------------------------------------------------------------------- */

static bool wrong_request(struct vu_proxy *p, struct vu_message *m)
{
	(void)p;
	m->request++;
	return true;
}

static bool wrong_version(struct vu_proxy *p, struct vu_message *m)
{
	(void)p;
	m->flags ^= 3;
	return true;
}

static bool no_reply_flag(struct vu_proxy *p, struct vu_message *m)
{
	(void)p;
	m->flags &= ~4u;
	return true;
}

static bool too_short(struct vu_proxy *p, struct vu_message *m)
{
	(void)p;
	m->size--;
	return true;
}

static bool too_long(struct vu_proxy *p, struct vu_message *m)
{
	(void)p;
	memset(m->payload + m->size, 0xff, sizeof(m->payload) - m->size);
	m->size = sizeof(m->payload);
	return true;
}

static bool empty(struct vu_proxy *p, struct vu_message *m)
{
	(void)p;
	m->size = 0;
	return true;
}

static bool unchanged(struct vu_proxy *p, struct vu_message *m)
{
	(void)p, (void)m;
	return true;
}

static bool hung_up(struct vu_proxy *p, struct vu_message *m)
{
	(void)m;
	shutdown(p->client, SHUT_RDWR);
	return false;
}

/* The device cannot be used, the descriptor stays the caller's, nothing leaks. */
static void refuse_answer(struct device *d, uint32_t request,
			  bool (*spoil)(struct vu_proxy *, struct vu_message *), int fd_to_add)
{
	struct vu_proxy p = { .spoil = spoil, .spoil_request = request, .fd_to_add = fd_to_add };
	int fd = vu_proxy_start(&p, d->path), ret;
	struct blkio *b;
	bool connected;

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	test_forget_error();
	ret = blkio_connect(b);
	connected = !ret;
	if (connected)
		ret = blkio_start(b);
	if (ret != -EPROTO && ret != -ECONNRESET && ret != -EIO)
		FAIL("request %u gave %d, \"%s\"", request, ret, blkio_get_error_msg());
	CHECK(strstr(blkio_get_error_msg(), "server"));
	blkio_destroy(&b);
	CHECK_EQ(fcntl(fd, F_GETFD), connected ? -1 : FD_CLOEXEC);
	if (!connected)
		close(fd);
	vu_proxy_stop(&p);
}

static void bad_answers(struct device *d)
{
	/* GET_FEATURES, SET_FEATURES, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_CONFIG,
	 * GET_MAX_MEM_SLOTS, ADD_MEM_REG, SET_VRING_KICK, SET_VRING_ENABLE */
	static const uint32_t requests[] = { 1, 2, 15, 17, 24, 36, 37, 12, 18 };
	static bool (*const ways[])(struct vu_proxy *, struct vu_message *) = {
		wrong_request, wrong_version, no_reply_flag, too_short, too_long, empty, hung_up
	};
	unsigned fds = count_fds();

	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		for (size_t k = 0; k < ARRAY_LEN(ways); k++) {
			printf("request %u, way %zu\n", requests[i], k);
			refuse_answer(d, requests[i], ways[k], -1);
			CHECK_EQ(count_fds(), fds);
		}
		refuse_answer(d, requests[i], unchanged, STDIN_FILENO);
		CHECK_EQ(count_fds(), fds);
	}
}

static void poison_config(struct vu_message *m, size_t offset, uint64_t value, size_t len)
{
	memcpy(m->payload + 12 + offset, &value, len);
}

static const struct {
	size_t offset;
	uint64_t value;
	size_t len;
} poisons[] = {
	{ 0, UINT64_MAX, 8 },  { 0, 1ull << 55, 8 },  { 0, 0, 8 },    { 8, 1, 4 },
	{ 8, UINT32_MAX, 4 },  { 8, 511, 4 },	      { 12, 0, 4 },   { 12, UINT32_MAX, 4 },
	{ 20, 0, 4 },	       { 20, 1, 4 },	      { 20, 513, 4 }, { 20, 1u << 31, 4 },
	{ 20, UINT32_MAX, 4 }, { 24, 255, 1 },	      { 24, 31, 1 },  { 28, UINT32_MAX, 4 },
	{ 34, 0, 2 },	       { 34, UINT16_MAX, 2 }, { 36, 0, 4 },   { 36, UINT32_MAX, 4 },
	{ 44, UINT32_MAX, 4 }, { 44, 0, 4 },	      { 48, 0, 4 },   { 48, UINT32_MAX, 4 },
	{ 8, UINT64_MAX, 8 },
};

static size_t poison;

static bool poisoned(struct vu_proxy *p, struct vu_message *m)
{
	(void)p;
	poison_config(m, poisons[poison].offset, poisons[poison].value, poisons[poison].len);
	return true;
}

/* Refused, or every property still makes sense and requests still work. */
static void bad_config(struct device *d)
{
	static const char *const positive[] = { "max-queues",	 "request-alignment",
						"max-segments",	 "optimal-io-alignment",
						"buf-alignment", "discard-alignment" };
	static const char *const not_negative[] = { "max-transfer", "max-segment-len",
						    "optimal-io-size" };
	char *buf = buffer(BLOCK);

	for (poison = 0; poison < ARRAY_LEN(poisons); poison++) {
		struct vu_proxy p = { .spoil = poisoned, .spoil_request = 24, .fd_to_add = -1 };
		int fd = vu_proxy_start(&p, d->path);
		struct blkio *b;

		printf("config at %zu: %llu\n", poisons[poison].offset,
		       (unsigned long long)poisons[poison].value);
		CHECK_OK(blkio_create(d->driver, &b));
		CHECK_OK(blkio_set_int(b, "fd", fd));
		if (blkio_connect(b) < 0) {
			CHECK(blkio_get_error_msg()[0]);
			close(fd);
		} else {
			for (size_t i = 0; i < ARRAY_LEN(positive); i++)
				CHECK(get_int(b, positive[i]) > 0);
			for (size_t i = 0; i < ARRAY_LEN(not_negative); i++)
				CHECK(get_int(b, not_negative[i]) >= 0);
			CHECK(get_u64(b, "capacity") <= INT64_MAX);
			CHECK(get_int(b, "max-queues") <= 5);
			CHECK_OK(blkio_start(b));
			CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
			CHECK_EQ(io_discard(blkio_get_queue(b, 0), 0, BLOCK, 0), 0);
		}
		blkio_destroy(&b);
		vu_proxy_stop(&p);
	}
}

/* ---- Paths and descriptors ---------------------------------------------------------------- */

static void refuses_path(struct device *d, const char *path, int errnum)
{
	struct blkio *b;

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_str(b, "path", path));
	CHECK_ERR(blkio_connect(b), errnum, path);
	blkio_destroy(&b);
}

static void bad_paths(struct device *d)
{
	char path[300];

	refuses_path(d, "/nonexistent/socket", ENOENT);
	refuses_path(d, d->backing, ECONNREFUSED);
	refuses_path(d, "/dev/null", ECONNREFUSED);
	refuses_path(d, "/", ECONNREFUSED);
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	refuses_path(d, path, ENAMETOOLONG);
	qsd_kill(&d->server);
	refuses_path(d, d->path, ECONNREFUSED);
}

static void refuses_fd(struct device *d, int fd, int errnum)
{
	struct blkio *b;

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK_ERR(blkio_connect(b), errnum, "fd");
	CHECK_EQ(fcntl(fd, F_GETFD), errnum == EBADF ? -1 : FD_CLOEXEC);
	CHECK_OK(blkio_set_str(b, "path", d->path));
	CHECK_ERR(blkio_connect(b), EINVAL, "path", "fd");
	CHECK_OK(blkio_set_int(b, "fd", -1));
	CHECK_OK(blkio_connect(b));
	blkio_destroy(&b);
	if (errnum != EBADF)
		close(fd);
}

static void bad_descriptors(struct device *d)
{
	refuses_fd(d, (int)SYS(open("/dev/null", O_RDWR | O_CLOEXEC)), ENOTSOCK);
	refuses_fd(d, (int)SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), EINVAL);
	refuses_fd(d, (int)SYS(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)), EINVAL);
	refuses_fd(d, 1000, EBADF);
}

static void not_connected_socket(struct device *d)
{
	int fd = (int)SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	struct blkio *b;

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK(blkio_connect(b) < 0);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	blkio_destroy(&b);
	close(fd);
}

static const struct test tests[] = {
	{ "bad answers", bad_answers, T_VHOST_USER, 0, 60 },
	{ "bad configuration", bad_config, T_VHOST_USER, 0, 60 },
	{ "bad paths", bad_paths, T_VHOST_USER },
	{ "bad descriptors", bad_descriptors, T_VHOST_USER },
	{ "socket that is not connected", not_connected_socket, T_VHOST_USER },
};
TEST_MAIN(tests)
