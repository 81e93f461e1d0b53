/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See inject.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inject.h"

enum { VARIANTS = 3 };

/* The library's threads are counted, too. */
static bool armed;
static long calls, wanted, allocations;
static unsigned wanted_variant;
static const char *failed;
static int failed_errno;

void inject_prepare(long nr, unsigned variant)
{
	calls = 0;
	wanted = nr;
	wanted_variant = variant;
	failed = NULL;
	failed_errno = 0;
}

void inject_arm(bool on)
{
	__atomic_store_n(&armed, on, __ATOMIC_SEQ_CST);
}

long inject_calls(void)
{
	return __atomic_load_n(&calls, __ATOMIC_SEQ_CST);
}

const char *inject_failed(int *errnum)
{
	*errnum = failed_errno;
	return failed;
}

long inject_allocations(void)
{
	return __atomic_load_n(&allocations, __ATOMIC_SEQ_CST);
}

/* Is it this call's turn? Then errno is set. */
static bool fails(const char *name, const int errnums[VARIANTS])
{
	if (!__atomic_load_n(&armed, __ATOMIC_SEQ_CST) ||
	    __atomic_fetch_add(&calls, 1, __ATOMIC_SEQ_CST) != wanted || !errnums[wanted_variant])
		return false;
	failed = name;
	errno = failed_errno = errnums[wanted_variant];
	return true;
}

static void *counted(void *p)
{
	__atomic_fetch_add(&allocations, p != NULL, __ATOMIC_SEQ_CST);
	return p;
}

/* ---- Memory ------------------------------------------------------------------------------- */

#define ERRNUMS(...) ((const int[VARIANTS]){ __VA_ARGS__ })

/* What returns memory: real or NULL. */
#define WRAP_ALLOC(name, params, args)                                                             \
	void *__real_##name params;                                                                \
	void *__wrap_##name params;                                                                \
	void *__wrap_##name params                                                                 \
	{                                                                                          \
		return fails(#name, ERRNUMS(ENOMEM)) ? NULL : counted(__real_##name args);         \
	}

WRAP_ALLOC(malloc, (size_t size), (size))
WRAP_ALLOC(calloc, (size_t n, size_t size), (n, size))
WRAP_ALLOC(aligned_alloc, (size_t align, size_t size), (align, size))
WRAP_ALLOC(strdup, (const char *s), (s))

void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __real_free(void *p);
void __wrap_free(void *p);
char *__real_realpath(const char *path, char *resolved);
char *__wrap_realpath(const char *path, char *resolved);
int __wrap_asprintf(char **s, const char *fmt, ...);

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	void *bigger;

	if (fails("reallocarray", ERRNUMS(ENOMEM)))
		return NULL;
	bigger = __real_reallocarray(p, n, size);
	return p ? bigger : counted(bigger);
}

void *__wrap_realloc(void *p, size_t size)
{
	void *bigger;

	if (fails("realloc", ERRNUMS(ENOMEM)))
		return NULL;
	bigger = __real_realloc(p, size);
	return p ? bigger : counted(bigger);
}

void __wrap_free(void *p)
{
	__atomic_fetch_sub(&allocations, p != NULL, __ATOMIC_SEQ_CST);
	__real_free(p);
}

char *__wrap_realpath(const char *path, char *resolved)
{
	char *p =
	    fails("realpath", ERRNUMS(ENOMEM, EACCES)) ? NULL : __real_realpath(path, resolved);

	return resolved ? p : counted(p);
}

int __wrap_asprintf(char **s, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (fails("asprintf", ERRNUMS(ENOMEM)))
		return -1;
	va_start(ap, fmt);
	n = vasprintf(s, fmt, ap);
	va_end(ap);
	if (n >= 0)
		counted(*s);
	return n;
}

/* ---- System calls --------------------------------------------------------------------------- */

#define WRAP(type, failure, name, params, args, ...)                                               \
	type __real_##name params;                                                                 \
	type __wrap_##name params;                                                                 \
	type __wrap_##name params                                                                  \
	{                                                                                          \
		return fails(#name, ERRNUMS(__VA_ARGS__)) ? failure : __real_##name args;          \
	}

WRAP(void *, MAP_FAILED, mmap64, (void *p, size_t n, int prot, int flags, int fd, off_t at),
     (p, n, prot, flags, fd, at), ENOMEM, EAGAIN)
WRAP(int, -1, memfd_create, (const char *name, unsigned flags), (name, flags), EMFILE, ENOMEM)
WRAP(int, -1, ftruncate64, (int fd, off_t len), (fd, len), ENOSPC, EINTR)
WRAP(int, -1, fstat64, (int fd, struct stat *st), (fd, st), EIO)
WRAP(int, -1, stat64, (const char *path, struct stat *st), (path, st), EIO)
WRAP(int, -1, fstatfs64, (int fd, struct statfs *fs), (fd, fs), EIO)
WRAP(int, -1, statx, (int fd, const char *p, int flags, unsigned mask, struct statx *s),
     (fd, p, flags, mask, s), ENOSYS, ENOMEM)
WRAP(int, -1, madvise, (void *p, size_t n, int advice), (p, n, advice), EINVAL)
WRAP(int, -1, eventfd, (unsigned n, int flags), (n, flags), EMFILE, ENFILE, ENOMEM)
WRAP(int, -1, socket, (int domain, int type, int protocol), (domain, type, protocol), EMFILE,
     ENOBUFS)
WRAP(int, -1, socketpair, (int domain, int type, int protocol, int fds[2]),
     (domain, type, protocol, fds), EMFILE, ENFILE)
WRAP(int, -1, connect, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len),
     ECONNREFUSED, EAGAIN, EINTR)
WRAP(int, -1, setsockopt, (int fd, int level, int name, const void *val, socklen_t len),
     (fd, level, name, val, len), ENOMEM)
WRAP(int, -1, getsockopt, (int fd, int level, int name, void *val, socklen_t *len),
     (fd, level, name, val, len), ENOBUFS)
WRAP(ssize_t, -1, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags), ENOBUFS,
     EPIPE, EINTR)
WRAP(ssize_t, -1, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags), ENOMEM,
     ECONNRESET, EINTR)
WRAP(ssize_t, -1, recv, (int fd, void *buf, size_t n, int flags), (fd, buf, n, flags), ENOMEM,
     ECONNRESET, EINTR)
WRAP(int, -1, poll, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms), ENOMEM, EINTR)
WRAP(int, -1, ppoll,
     (struct pollfd * fds, nfds_t n, const struct timespec *ts, const sigset_t *mask),
     (fds, n, ts, mask), ENOMEM, EINTR)
WRAP(FILE *, NULL, fopen64, (const char *path, const char *mode), (path, mode), EMFILE, ENOMEM)

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *arg);

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *arg)
{
	return fails("pthread_create", ERRNUMS(EAGAIN)) ? EAGAIN
							: __real_pthread_create(t, a, run, arg);
}

/* Those with arguments that not all calls have: absent ones are harmless to pass on. */
#define WRAP_OPEN(name, params, args, type, last, ...)                                             \
	int __real_##name params;                                                                  \
	int __wrap_##name params;                                                                  \
	int __wrap_##name params                                                                   \
	{                                                                                          \
		va_list ap;                                                                        \
		type arg;                                                                          \
                                                                                                   \
		if (fails(#name, ERRNUMS(__VA_ARGS__)))                                            \
			return -1;                                                                 \
		va_start(ap, last);                                                                \
		arg = va_arg(ap, type);                                                            \
		va_end(ap);                                                                        \
		return __real_##name args;                                                         \
	}

WRAP_OPEN(open64, (const char *path, int flags, ...), (path, flags, arg), unsigned, flags, EMFILE,
	  EINTR, ENOMEM)
WRAP_OPEN(fcntl64, (int fd, int command, ...), (fd, command, arg), void *, command, EPERM)
WRAP_OPEN(ioctl, (int fd, unsigned long request, ...), (fd, request, arg), void *, request, EIO,
	  ENOTTY)

long __real_syscall(long nr, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f);

long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	if (nr == SYS_io_uring_setup && fails("io_uring_setup", ERRNUMS(ENOMEM, EMFILE, EPERM)))
		return -1;
	if (nr == SYS_io_uring_register &&
	    fails("io_uring_register", ERRNUMS(ENOMEM, EPERM, EBUSY)))
		return -1;
	return __real_syscall(nr, a, b, c, d, e, f);
}
