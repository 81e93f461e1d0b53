/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A kernel that forbids io_uring (seccomp, containers, sysctl, old): a clear error, nothing leaked.
 * One that forbids asynchronous I/O, which driver posix uses where it can: nobody notices.
 */
#include <linux/aio_abi.h>
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

/* ---- Asynchronous I/O --------------------------------------------------------------------- */

enum { N = 48, BLOCK = 8192 };

static bool has_context(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	bool found = false;
	char line[512];

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		found |= !!strstr(line, "[aio]");
	fclose(f);
	return found;
}

static void collect_each(struct blkioq *q, int n)
{
	struct blkio_completion c;

	for (; n; n--) {
		CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
		CHECK_EQ(c.ret, 0);
	}
}

/* More than one at a time, which are waited for one by one: no thread of ours does them. */
static void write_and_read(struct blkioq *q, uint32_t seed)
{
	char *buf = buffer(N * BLOCK);
	struct iovec iov[N][2];

	pattern(buf, 0, N * BLOCK, seed);
	for (int i = 0; i < N; i++)
		blkioq_write(q, i * BLOCK, buf + i * BLOCK, BLOCK, NULL, i % 4 ? 0 : BLKIO_REQ_FUA);
	collect_each(q, N);
	memset(buf, 0, N * BLOCK);
	for (int i = 0; i < N; i++) {
		iov[i][0] = (struct iovec){ buf + i * BLOCK, BLOCK / 2 };
		iov[i][1] = (struct iovec){ buf + i * BLOCK + BLOCK / 2, BLOCK / 2 };
		if (i % 2)
			blkioq_readv(q, i * BLOCK, iov[i], 2, NULL, 0);
		else
			blkioq_read(q, i * BLOCK, buf + i * BLOCK, BLOCK, NULL, 0);
	}
	collect_each(q, N);
	check_pattern(buf, 0, N * BLOCK, seed);
	buffer_free(buf);
}

static void with_aio(struct device *d)
{
	aio_context_t context = 0;
	struct blkio *b = device_start(d);

	if (syscall(SYS_io_setup, 1, &context))
		SKIP("io_setup: %m");
	SYS(syscall(SYS_io_destroy, context));
	CHECK(!has_context());
	write_and_read(blkio_get_queue(b, 0), 1);
	CHECK(has_context());
	blkio_destroy(&b);
	CHECK(!has_context());
}

struct forbidden {
	long nr;
	int errnum;
	bool later; /* once the queue uses it */
};

static void without_aio(struct device *d)
{
	const struct forbidden *f = test_data();
	struct blkio *b;

	if (!f->later)
		forbid_syscall(f->nr, f->errnum);
	b = device_start(d);
	write_and_read(blkio_get_queue(b, 0), 1);
	if (f->later)
		forbid_syscall(f->nr, f->errnum);
	write_and_read(blkio_get_queue(b, 0), 2);
	CHECK(f->later || !has_context());
	blkio_destroy(&b);
}

#define WITHOUT_AIO(nr, errnum, ...)                                                               \
	{                                                                                          \
#nr " gives " #errnum, without_aio, T_KERNEL | T_DIRECT, T_IO_URING,               \
		    .data = &(const struct forbidden)                                              \
		{                                                                                  \
			nr, errnum, __VA_ARGS__                                                    \
		}                                                                                  \
	}

static const struct test tests[] = {
	{ "asynchronous I/O", with_aio, T_KERNEL | T_DIRECT, T_IO_URING },
	WITHOUT_AIO(SYS_io_setup, EPERM),
	WITHOUT_AIO(SYS_io_setup, ENOSYS),
	WITHOUT_AIO(SYS_io_setup, EAGAIN),
	WITHOUT_AIO(SYS_io_getevents, EPERM),
	{ "io_submit gives EPERM", without_aio, T_KERNEL | T_DIRECT, T_IO_URING,
	  .data = &(const struct forbidden){ SYS_io_submit, EPERM, true } },
	{ "io_uring_setup gives EPERM", setup_gives_eperm, T_IO_URING, T_DIRECT },
	{ "io_uring_setup gives ENOSYS", setup_gives_enosys, T_IO_URING, T_DIRECT },
	{ "io_uring_register forbidden", without_register, T_IO_URING, T_DIRECT },
	{ "io_uring_enter forbidden", without_enter, T_IO_URING, T_DIRECT },
};
TEST_MAIN(tests)
