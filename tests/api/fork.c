/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * fork() while a control call runs: the call goes on in the parent, the child can use instances of
 * its own, and what it inherits keeps nothing from ending.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"

enum { BLOCK = 4096 };

static void use_own_instance(void)
{
	struct blkio *b;
	int fd;

	CHECK_OK(blkio_create("null", &b));
	CHECK_OK(blkio_connect_async(b));
	CHECK(readable(blkio_get_control_fd(b), LATE_MS));
	CHECK_OK(blkio_control_result(b));
	CHECK_OK(blkio_start(b));
	CHECK_EQ(io_flush(blkio_get_queue(b, 0), 0), 0);
	CHECK_OK(blkio_destroy_async(&b, &fd));
	CHECK(readable(fd, LATE_MS));
}

static pid_t fork_child(bool uses_library)
{
	pid_t pid;

	fflush(NULL);
	pid = uses_library ? fork_user() : (pid_t)SYS(fork());
	if (pid)
		return pid;
	if (uses_library)
		use_own_instance();
	else
		pause();
	_exit(EXIT_SUCCESS);
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void child_uses_library(struct device *d)
{
	struct blkio *b;
	int status;
	pid_t pid;

	b = device_create(d);
	CHECK_OK(blkio_set_int(b, "connect-timeout", 0));
	qsd_stop(&d->server);
	CHECK_OK(blkio_connect_async(b));
	pid = fork_child(true);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_ERR(blkio_control_result(b), EINPROGRESS);
	blkio_cancel(b);
	CHECK(readable(blkio_get_control_fd(b), LATE_MS));
	CHECK_ERR(blkio_control_result(b), ECANCELED, "blkio_cancel()");
	kill(d->server.pid, SIGCONT);
	CHECK_OK(blkio_connect(b));
	blkio_destroy(&b);
}

/* The child has both ends of what tells of the end. */
static void child_inherits_end(struct device *d)
{
	unsigned fds = count_fds();
	struct blkio *b = device_create(d);
	pid_t pid;
	int fd;

	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK_OK(blkio_destroy_async(&b, &fd));
	pid = fork_child(false);
	CHECK(readable(fd, LATE_MS));
	close(fd);
	end_child(pid);
	await_fds(fds);
}

/* And the connection: servers that take one client must see that the parent has gone. */
static void child_inherits_connection(struct device *d)
{
	struct blkio *b = device_start(d);
	pid_t pid = fork_child(false);

	blkio_destroy(&b);
	b = device_start(d);
	blkio_destroy(&b);
	end_child(pid);
}

static const struct test tests[] = {
	{ "the child uses the library", child_uses_library, T_SERVER },
	{ "the child inherits the end", child_inherits_end, T_SERVER },
	{ "the child inherits the connection", child_inherits_connection, T_SERVER, 0, 40 },
};
TEST_MAIN(tests)
