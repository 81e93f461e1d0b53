/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* created -> connected -> started -> destroyed, every detour on the way, and what may be retried.
 */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "io.h"
#include "test.h"

static void destroy_in_every_state(struct device *d)
{
	struct blkio *(*const make[])(struct device *) = { device_create, device_connect,
							   device_start };

	for (size_t i = 0; i < ARRAY_LEN(make); i++) {
		struct blkio *b = make[i](d);

		blkio_destroy(&b);
		CHECK(!b);
		blkio_destroy(&b);
	}
}

static void repeated_calls(struct device *d)
{
	struct blkio *b = device_create(d);

	CHECK_ERR(blkio_start(b), ENODEV, "connect");
	CHECK_OK(blkio_connect(b));
	CHECK_EQ(blkio_connect(b), 0);
	CHECK_EQ(blkio_start(b), 0);
	CHECK_EQ(blkio_start(b), 0);
	CHECK_ERR(blkio_connect(b), EBUSY, "started");
	blkio_destroy(&b);
}

static void calls_before_start(struct device *d)
{
	struct blkio *b = device_create(d);
	int too_early = d->target->traits & T_ADD_QUEUES ? EBUSY : ENOTSUP;

	for (int connected = 0; connected < 2; connected++) {
		CHECK(!blkio_get_queue(b, 0));
		CHECK(!blkio_get_poll_queue(b, 0));
		CHECK_ERR(blkio_add_queue(b), too_early);
		CHECK_ERR(blkio_remove_queue(b, 0), ENOENT, "0");
		CHECK_ERR(blkio_remove_poll_queue(b, 0), ENOENT, "0");
		CHECK_OK(blkio_connect(b));
	}
	blkio_destroy(&b);
}

static void regions_before_start(struct device *d)
{
	struct blkio *b = device_create(d);
	struct blkio_mem_region region = { .fd = -1 };

	CHECK_ERR(blkio_alloc_mem_region(b, &region, 1 << 20), ENODEV, "connect");
	CHECK_ERR(blkio_map_mem_region(b, &region), ENODEV, "start");
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_alloc_mem_region(b, &region, 1 << 20));
	CHECK_ERR(blkio_map_mem_region(b, &region), EBUSY, "start");
	CHECK_OK(blkio_start(b));
	CHECK_OK(blkio_map_mem_region(b, &region));
	blkio_free_mem_region(b, &region);
	blkio_destroy(&b);
}

static void connect_after_correction(struct device *d)
{
	struct blkio *b = device_create(d);
	struct blkioq *q;

	CHECK_OK(blkio_set_str(b, "path", "/nonexistent/device"));
	CHECK_ERR(blkio_connect(b), ENOENT, "/nonexistent/device");
	CHECK_ERR(blkio_start(b), ENODEV);
	CHECK_OK(blkio_set_str(b, "path", ""));
	CHECK_ERR(blkio_connect(b), EINVAL, "path");
	CHECK_OK(blkio_set_str(b, "path", d->path));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	CHECK(q);
	CHECK_EQ(io_flush(q, 0), 0);
	blkio_destroy(&b);
}

static void start_after_correction(struct device *d)
{
	struct blkio *b = device_connect(d);

	CHECK_OK(blkio_set_int(b, "num-entries", 32769));
	CHECK_ERR(blkio_start(b), EINVAL, "num-entries", "32769");
	CHECK(!blkio_get_queue(b, 0));
	CHECK_ERR(blkio_start(b), EINVAL, "num-entries", "32769");
	CHECK_OK(blkio_set_int(b, "num-entries", 64));
	CHECK_OK(blkio_start(b));
	CHECK_EQ(io_flush(blkio_get_queue(b, 0), 0), 0);
	blkio_destroy(&b);
}

static void path_or_fd(struct device *d)
{
	struct blkio *b;
	int fd = (int)SYS(open(d->path, O_RDWR | O_CLOEXEC));

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_ERR(blkio_connect(b), EINVAL, "path", "fd");
	CHECK_OK(blkio_set_str(b, "path", d->path));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK_ERR(blkio_connect(b), EINVAL, "path", "fd");
	CHECK_OK(blkio_set_int(b, "fd", -1));
	CHECK_OK(blkio_connect(b));
	blkio_destroy(&b);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC); /* never ours, so still open */
	close(fd);
}

/* The library owns the descriptor from a successful connect on, and only then. */
static void fd_ownership(struct device *d)
{
	struct blkio *b;
	int fd = (int)SYS(open(d->path, O_RDWR | O_CLOEXEC));

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	blkio_destroy(&b);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK_OK(blkio_connect(b));
	CHECK_EQ(get_int(b, "fd"), fd);
	CHECK_OK(blkio_start(b));
	CHECK_EQ(io_flush(blkio_get_queue(b, 0), 0), 0);
	blkio_destroy(&b);
	CHECK_EQ(fcntl(fd, F_GETFD), -1);
}

static void fd_of_failed_connect(struct device *d)
{
	struct blkio *b;
	int fd = (int)SYS(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK(blkio_connect(b) < 0);
	blkio_destroy(&b);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}

/* Nothing that the library opens may survive an execve of the application. */
static void everything_is_cloexec(struct device *d)
{
	enum { MOST = 256 };
	struct blkio_mem_region region;
	bool was_open[MOST];
	struct blkio *b;

	for (int fd = 0; fd < MOST; fd++)
		was_open[fd] = fcntl(fd, F_GETFD) >= 0;
	b = device_start(d);
	CHECK_OK(blkio_alloc_mem_region(b, &region, 1 << 20));
	CHECK_OK(blkio_map_mem_region(b, &region));
	for (int fd = 0; fd < MOST; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (!was_open[fd] && flags >= 0 && !(flags & FD_CLOEXEC))
			FAIL("descriptor %d lacks FD_CLOEXEC", fd);
	}
	blkio_free_mem_region(b, &region);
	blkio_destroy(&b);
}

static void many_instances(struct device *d)
{
	struct blkio *b[16];

	for (size_t i = 0; i < ARRAY_LEN(b); i++)
		b[i] = device_start(d);
	for (size_t i = 0; i < ARRAY_LEN(b); i++)
		CHECK_EQ(io_flush(blkio_get_queue(b[i], 0), 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(b); i += 2)
		blkio_destroy(&b[i]);
	for (size_t i = 1; i < ARRAY_LEN(b); i += 2) {
		CHECK_EQ(io_flush(blkio_get_queue(b[i], 0), 0), 0);
		blkio_destroy(&b[i]);
	}
}

/* Requests never waited for: destroy waits, and their buffers are free to go. */
static void destroy_with_requests_in_flight(struct device *d)
{
	enum { N = 300, LEN = 4096 };
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(N * LEN);

	for (int i = 0; i < N; i++)
		blkioq_read(q, (uint64_t)i * LEN, buf + i * LEN, LEN, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	blkio_destroy(&b);
	buffer_free(buf);

	b = device_start(d);
	blkioq_flush(blkio_get_queue(b, 0), NULL, 0); /* not even submitted */
	blkio_destroy(&b);
}

/* ---- Error messages ----------------------------------------------------------------------- */

static void *message_in_new_thread(void *unused)
{
	struct blkio *b;

	(void)unused;
	CHECK_STR(blkio_get_error_msg(), "");
	CHECK_EQ(blkio_create("another-thread", &b), -ENOENT);
	return NULL;
}

static void messages_are_per_thread(struct device *d)
{
	struct blkio *b;
	pthread_t thread;
	char *before;

	(void)d;
	CHECK_STR(blkio_get_error_msg(), "");
	CHECK_EQ(blkio_create("this-thread", &b), -ENOENT);
	before = strdup(blkio_get_error_msg());
	CHECK(strstr(before, "this-thread"));
	CHECK_EQ(pthread_create(&thread, NULL, message_in_new_thread, NULL), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_STR(blkio_get_error_msg(), before);
	free(before);
}

static void messages_survive_success(struct device *d)
{
	struct blkio *b = device_create(d);
	char *before;

	CHECK_EQ(blkio_set_int(b, "no-such-property", 1), -ENOENT);
	before = strdup(blkio_get_error_msg());
	CHECK(strstr(before, "no-such-property"));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK_STR(blkio_get_error_msg(), before);
	blkio_destroy(&b);
	CHECK_STR(blkio_get_error_msg(), before);
	free(before);
}

static const struct test tests[] = {
	{ "destroy in every state", destroy_in_every_state, T_ANY },
	{ "repeated calls", repeated_calls, T_ANY },
	{ "calls before start", calls_before_start, T_ANY },
	{ "regions before start", regions_before_start, T_ANY },
	{ "connect after a correction", connect_after_correction, T_PATH },
	{ "start after a correction", start_after_correction, T_IO_URING },
	{ "path or fd, not both, not none", path_or_fd, T_KERNEL, T_DIRECT },
	{ "fd ownership", fd_ownership, T_KERNEL, T_DIRECT },
	{ "fd of a failed connect stays the caller's", fd_of_failed_connect, T_KERNEL, T_DIRECT },
	{ "every descriptor is close-on-exec", everything_is_cloexec, T_ANY },
	{ "many instances", many_instances, T_ANY, T_EXCLUSIVE },
	{ "destroy with requests in flight", destroy_with_requests_in_flight, T_ANY },
	{ "messages are per thread", messages_are_per_thread, 0 },
	{ "messages survive success", messages_survive_success, T_ANY },
};
TEST_MAIN(tests)
