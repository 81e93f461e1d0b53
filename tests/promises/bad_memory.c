/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A buffer at an address that cannot be read or written is EFAULT, whoever would copy: the kernel,
 * or the library, as past the end of a file or through bounce buffers.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "matrix.h"

enum { PAGE = 4096, LEN = 4 * PAGE, LONG = 5 * 131072 };

/* Where mmap(NULL) of another thread does not come: a hole stays one. */
#define ALONE ((void *)0x10000000)

static char *map_at(void *at, size_t len, int prot)
{
	int fixed = at ? MAP_FIXED_NOREPLACE : 0;
	void *p = mmap(at, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static char *map_pages(size_t len, int prot)
{
	return map_at(NULL, len, prot);
}

/* Good up to the last page, which can be used as last says. */
static char *pages_that_end(size_t len, int last)
{
	char *p = map_at(last < 0 ? ALONE : NULL, len, PROT_READ | PROT_WRITE);

	if (last < 0)
		SYS(munmap(p + len - PAGE, PAGE));
	else
		SYS(mprotect(p + len - PAGE, PAGE, last));
	return p;
}

/* ---- Past the end of a file --------------------------------------------------------------- */

static void check_past_end(struct blkioq *q, uint64_t start, int prot)
{
	char *bad = pages_that_end(LEN, prot), *good = map_pages(LEN, PROT_READ | PROT_WRITE);
	struct iovec iov[] = { { good, PAGE }, { NULL, 0 }, { bad + LEN - PAGE, PAGE } };

	memset(good, 0xee, LEN);
	CHECK_EQ(io_read(q, start, bad, LEN, 0), -EFAULT);
	CHECK_EQ(io_read(q, start, bad + LEN - PAGE, PAGE, 0), -EFAULT);
	CHECK_EQ(io_readv(q, start, iov, 3, 0), -EFAULT);
	CHECK_EQ(io_read(q, start, good, LEN, 0), 0);
	check_all(good, LEN, 0);
	SYS(munmap(bad, LEN));
	SYS(munmap(good, LEN));
}

static void past_end(struct setting *s)
{
	struct blkioq *q;

	setting_start(s);
	q = setting_queue(s, 0);
	/* Within the file, the kernel says it; past its end, and across it, so do we. */
	for (uint64_t start = DEVICE_SIZE - 2 * PAGE; start <= DEVICE_SIZE; start += PAGE) {
		check_past_end(q, start, PROT_READ);
		check_past_end(q, start, PROT_NONE);
		check_past_end(q, start, -1);
	}
	CHECK_EQ(io_read(q, DEVICE_SIZE, NULL, PAGE, 0), -EFAULT);
	blkio_destroy(&s->b);
}

/* ---- Bounce buffers ----------------------------------------------------------------------- */

static void check_bounced(struct blkioq *q, size_t len, int prot)
{
	char *bad = pages_that_end(len, prot);
	struct iovec iov[] = { { bad + 1, PAGE - 1 }, { bad + len - PAGE - 1, PAGE + 1 } };

	CHECK_EQ(io_read(q, 0, bad, len, 0), -EFAULT);
	CHECK_EQ(io_readv(q, 0, iov, 2, 0), -EFAULT);
	if (!(prot & PROT_READ) || prot < 0) {
		CHECK_EQ(io_write(q, 0, bad, len, 0), -EFAULT);
		CHECK_EQ(io_writev(q, 0, iov, 2, 0), -EFAULT);
	}
	SYS(munmap(bad, len));
	/* Over the end of all addresses. */
	CHECK_EQ(io_read(q, 0, (void *)(UINTPTR_MAX - PAGE), 2 * PAGE, 0), -EFAULT);
	CHECK_EQ(io_write(q, 0, (void *)(UINTPTR_MAX - PAGE), 2 * PAGE, 0), -EFAULT);
}

/* Not a multiple of what devices want, but for those that want nothing. */
static void check_odd_pages(struct blkioq *q)
{
	char *p = map_pages(LONG + PAGE, PROT_READ | PROT_WRITE), *odd = p + 1;

	pattern(odd, 0, LONG, 7);
	CHECK_EQ(io_write(q, 0, odd, LONG, 0), 0);
	memset(odd, 0, LONG);
	CHECK_EQ(io_read(q, 0, odd, LONG, 0), 0);
	check_pattern(odd, 0, LONG, 7);
	SYS(munmap(p, LONG + PAGE));
}

static void bounced(struct setting *s)
{
	struct blkioq *q;

	setting_start(s);
	q = setting_queue(s, 0);
	/* More often than there are buffers: all come back. */
	for (int i = 0; i < 5; i++) {
		check_bounced(q, LEN, PROT_READ);
		check_bounced(q, LEN, PROT_NONE);
		check_bounced(q, LONG, PROT_READ);
		check_bounced(q, LONG, -1);
	}
	check_odd_pages(q);
	blkio_destroy(&s->b);
}

/* A sandbox may forbid what the library asks with. */
static void *use_sandboxed(void *arg)
{
	struct setting *s = arg;
	struct blkioq *q = setting_queue(s, 0);
	char *p;

	forbid_syscall(SYS_rt_sigprocmask, EPERM);
	check_odd_pages(q);
	if (s->d->target->traits & T_FILE) {
		p = map_pages(LEN, PROT_READ | PROT_WRITE);
		memset(p, 0xee, LEN);
		CHECK_EQ(io_read(q, DEVICE_SIZE, p, LEN, 0), 0);
		check_all(p, LEN, 0);
		SYS(munmap(p, LEN));
	}
	return NULL;
}

/* In a thread, which alone is bound by its filter: the leak checker needs what that forbids. */
static void sandboxed(struct setting *s)
{
	pthread_t thread;

	setting_start(s);
	CHECK_EQ(pthread_create(&thread, NULL, use_sandboxed, s), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	blkio_destroy(&s->b);
}

static const struct promise bad_memory_promises[] = {
	{ "bad memory is EFAULT past the end of a file", past_end, T_FILE, 0,
	  ALL_KINDS & ~KIND(POLL) & ~KIND(SPINNING), CONDITION(QUIET) },
	{ "bad memory is EFAULT with bounce buffers", bounced, T_STORES, 0, KIND(BOUNCED),
	  CONDITION(QUIET) },
	{ "good memory is good in a sandbox", sandboxed, T_STORES, 0, KIND(BOUNCED),
	  CONDITION(QUIET) },
};
PROMISES(bad_memory_promises)
