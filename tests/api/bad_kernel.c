/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A kernel that forbids io_uring (seccomp, containers, sysctl, old): a clear error, nothing leaked.
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"

static void without_setup(struct device *d, int errnum)
{
	struct blkio *b;
	int ret;

	forbid_syscall(SYS_io_uring_setup, errnum);
	b = device_create(d);
	test_forget_error();
	ret = blkio_connect(b);
	if (!ret)
		ret = blkio_start(b);
	test_err(__FILE__, __LINE__, "connect and start", ret, errnum, "io_uring", NULL);
	blkio_destroy(&b);
}

static void setup_gives_eperm(struct device *d)
{
	without_setup(d, EPERM);
}

static void setup_gives_enosys(struct device *d)
{
	without_setup(d, ENOSYS);
}

/* Registration is an optimisation and a probe: everything works without it. */
static void without_register(struct device *d)
{
	struct blkio *b;
	char *buf = buffer(4096);

	forbid_syscall(SYS_io_uring_register, EPERM);
	b = device_start_with(d, "register-buffers", "true");
	for (int i = 0; i < 100; i++)
		CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, 4096, 0), 0);
	CHECK_EQ(io_flush(blkio_get_queue(b, 0), 0), 0);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* The ring is there, then the system call goes away: do_io says so and loses nothing it knows of.
 */
static void without_enter(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_completion c;
	char *buf = buffer(4096);

	forbid_syscall(SYS_io_uring_enter, EPERM);
	blkioq_read(q, 0, buf, 4096, NULL, 0);
	CHECK_ERR(blkioq_do_io(q, &c, 1, 1, NULL), EPERM, "io_uring");
	CHECK_ERR(blkioq_do_io(q, &c, 1, 1, NULL), EPERM, "io_uring");
	blkio_destroy(&b);
	buffer_free(buf);
}

static const struct test tests[] = {
	{ "io_uring_setup gives EPERM", setup_gives_eperm, T_IO_URING, T_DIRECT },
	{ "io_uring_setup gives ENOSYS", setup_gives_enosys, T_IO_URING, T_DIRECT },
	{ "io_uring_register forbidden", without_register, T_IO_URING, T_DIRECT },
	{ "io_uring_enter forbidden", without_enter, T_IO_URING, T_DIRECT },
};
TEST_MAIN(tests)
