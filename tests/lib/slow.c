/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Requests that complete when the test says so. */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "slow.h"
#include "test.h"

struct slow {
	int fd;
	void *buf;
	size_t len;
	pthread_t thread;
	unsigned delay_ms;
	bool has_thread, released;
};

struct slow *slow_new(size_t len)
{
	struct slow *s = calloc(1, sizeof(*s));
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	CHECK(s);
	s->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (s->fd < 0)
		SKIP("userfaultfd: %s (needs root)", strerror(errno));
	SYS(ioctl(s->fd, UFFDIO_API, &api));
	s->len = len;
	s->buf = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(s->buf != MAP_FAILED);
	reg.range.start = (uintptr_t)s->buf;
	reg.range.len = len;
	SYS(ioctl(s->fd, UFFDIO_REGISTER, &reg));
	return s;
}

void *slow_buffer(struct slow *s)
{
	return s->buf;
}

void slow_await(struct slow *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };

	while (poll(&p, 1, -1) < 0)
		CHECK_EQ(errno, EINTR);
	CHECK_EQ(p.revents, POLLIN);
}

void slow_release(struct slow *s)
{
	struct uffdio_range range = { (uintptr_t)s->buf, s->len };

	SYS(ioctl(s->fd, UFFDIO_UNREGISTER, &range)); /* wakes who waits; faults are ordinary now */
	s->released = true;
}

void slow_fill(struct slow *s, unsigned char byte)
{
	char *bytes = malloc(s->len);
	struct uffdio_copy copy = {
		.dst = (uintptr_t)s->buf,
		.src = (uintptr_t)bytes,
		.len = s->len,
	};

	CHECK(bytes);
	memset(bytes, byte, s->len);
	SYS(ioctl(s->fd, UFFDIO_COPY, &copy));
	free(bytes);
}

static void *release_later(void *arg)
{
	struct slow *s = arg;

	usleep(s->delay_ms * 1000);
	slow_release(s);
	return NULL;
}

void slow_release_after(struct slow *s, unsigned ms)
{
	s->delay_ms = ms;
	CHECK_EQ(pthread_create(&s->thread, NULL, release_later, s), 0);
	s->has_thread = true;
}

void slow_free(struct slow *s)
{
	if (s->has_thread)
		CHECK_EQ(pthread_join(s->thread, NULL), 0);
	else if (!s->released)
		slow_release(s);
	close(s->fd);
	munmap(s->buf, s->len);
	free(s);
}
