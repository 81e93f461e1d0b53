/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See world.h. The clock is the real one plus all the time that was slept through. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC 1000000000LL
#define MSEC	     1000000LL

/* Loops that sleep until a deadline need no thousand turns to get there. */
#define NAP_MIN (500 * MSEC)

int fuzz_clock_gettime(clockid_t clock, struct timespec *ts);
int fuzz_nanosleep(const struct timespec *ts, struct timespec *left);
int fuzz_sched_yield(void);
int fuzz_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask);
int fuzz_ioctl(int fd, unsigned long request, ...);

struct fuzz_world fuzz_world = { .vfio_fd = -1 };

static _Atomic int64_t skipped;
static pthread_t main_thread;
static int lowest_fd;

static int lowest_free_fd(void)
{
	int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

	close(fd);
	return fd;
}

void fuzz_begin(void)
{
	fuzz_world = (struct fuzz_world){ .vfio_fd = -1 };
	skipped = 0;
	main_thread = pthread_self();
	lowest_fd = lowest_free_fd();
}

bool fuzz_is_main_thread(void)
{
	return pthread_equal(pthread_self(), main_thread);
}

void fuzz_end(void)
{
	fuzz_world = (struct fuzz_world){ .vfio_fd = -1 };
	MUST(lowest_free_fd() == lowest_fd);
}

/* One thread at a time: half a message to one and half to another is no message. */
static bool idle(void)
{
	static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
	bool acted;

	pthread_mutex_lock(&turn);
	acted = fuzz_world.idle && fuzz_world.idle(fuzz_world.arg);
	pthread_mutex_unlock(&turn);
	return acted;
}

static bool has_fd(const struct pollfd *fds, nfds_t n)
{
	for (nfds_t i = 0; i < n; i++)
		if (fds[i].fd >= 0)
			return true;
	return false;
}

int fuzz_clock_gettime(clockid_t clock, struct timespec *ts)
{
	int ret = clock_gettime(clock, ts);
	int64_t ns = ts->tv_sec * NSEC_PER_SEC + ts->tv_nsec + skipped;

	*ts = (struct timespec){ ns / NSEC_PER_SEC, ns % NSEC_PER_SEC };
	return ret;
}

int fuzz_nanosleep(const struct timespec *ts, struct timespec *left)
{
	int64_t ns = ts->tv_sec * NSEC_PER_SEC + ts->tv_nsec;

	(void)left;
	if (!idle())
		skipped += ns > NAP_MIN ? ns : NAP_MIN;
	return 0;
}

int fuzz_sched_yield(void)
{
	if (!idle())
		skipped += MSEC;
	return 0;
}

int fuzz_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	int ready;

	(void)mask;
	/* The watching thread waits for the main thread, whose time must not be skipped for it. */
	if (!has_fd(fds, n) && !fuzz_is_main_thread())
		return sched_yield();
	do
		ready = poll(fds, n, 0);
	while (!ready && idle());
	if (ready)
		return ready;
	MUST(timeout); /* nothing will ever happen */
	skipped += timeout->tv_sec * NSEC_PER_SEC + timeout->tv_nsec;
	return 0;
}

int fuzz_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *data;

	(void)fd;
	va_start(args, request);
	data = va_arg(args, void *);
	va_end(args);
	if (fuzz_world.ioctl)
		return fuzz_world.ioctl(fuzz_world.arg, request, data);
	errno = ENOTTY;
	return -1;
}
