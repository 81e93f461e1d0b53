/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A PCI device that is driven by us is taken away in mid-I/O: by name it is refused, by force all
 * requests end with an error, and the instance ends. Usage: TEST_DRIVER=... TEST_PATH=ADDRESS
 * unplug VFIO-BIND
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "blkio.h"
#include "test.h"

#define LEN   (1u << 20)
#define BLOCK 4096u

static void *take_away(void *arg)
{
	const char *path = getenv("TEST_PATH");
	int fd;

	(void)arg;
	usleep(200 * 1000);
	/* Returns once the instance is destroyed. */
	fd = (int)SYS(open("/sys/bus/pci/drivers/vfio-pci/unbind", O_WRONLY | O_CLOEXEC));
	CHECK_EQ(write(fd, path, strlen(path)), strlen(path));
	close(fd);
	return NULL;
}

/* Read until something fails; returns what completions said. */
static int read_until_failure(struct blkioq *q, char *mem, const char **msg)
{
	struct timespec limit = { .tv_sec = 20 };
	struct blkio_completion c;

	for (size_t at = 0; at < LEN; at += BLOCK)
		blkioq_read(q, at, mem + at, BLOCK, mem + at, 0);
	for (;;) {
		CHECK_EQ(blkioq_do_io(q, &c, 1, 1, &limit), 1);
		if (c.ret)
			break;
		blkioq_read(q, (char *)c.user_data - mem, c.user_data, BLOCK, c.user_data, 0);
	}
	*msg = c.error_msg;
	/* All others end, too. */
	for (size_t left = LEN / BLOCK - 1; left; left--)
		CHECK_EQ(blkioq_do_io(q, &c, 1, 1, &limit), 1);
	return c.ret;
}

static void is_refused(const char *bind, const char *words)
{
	char command[4200];

	snprintf(command, sizeof(command), "%s unbind %s 2>&1 | grep -q '%s'", bind,
		 getenv("TEST_PATH"), words);
	CHECK_EQ(system(command), 0);
}

/* Close the group's node, which the kernel keeps open for the device. False: there is none. */
static bool close_group(void)
{
	char link[64], path[64];

	for (int fd = 3; fd < 64; fd++) {
		unsigned group;
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, path, sizeof(path) - 1);
		path[n < 0 ? 0 : n] = '\0';
		if (sscanf(path, "/dev/vfio/%u", &group) == 1) {
			int null = (int)SYS(open("/dev/null", O_RDWR | O_CLOEXEC));

			SYS(dup2(null, fd));
			close(null);
			return true;
		}
	}
	return false;
}

int main(int argc, char **argv)
{
	struct blkio_mem_region r;
	struct blkio_completion c;
	const char *msg = NULL;
	pthread_t thread;
	struct blkio *b;
	struct blkioq *q;

	if (argc != 2)
		FAIL("usage: unplug VFIO-BIND");
	CHECK_OK(blkio_create(getenv("TEST_DRIVER"), &b));
	CHECK_OK(blkio_set_str(b, "path", getenv("TEST_PATH")));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK_OK(blkio_alloc_mem_region(b, &r, LEN));
	CHECK_OK(blkio_map_mem_region(b, &r));
	q = blkio_get_queue(b, 0);

	is_refused(argv[1], "driven by vm_virtio_unplu");
	if (close_group())
		is_refused(argv[1], "driven by a program that has its group");

	CHECK_EQ(pthread_create(&thread, NULL, take_away, NULL), 0);
	CHECK_EQ(read_until_failure(q, r.addr, &msg), -EIO);
	if (!msg || !strstr(msg, "removed or unbound"))
		FAIL("the message is \"%s\"", msg ? msg : "(none)");
	/* And so does whatever comes. */
	blkioq_read(q, 0, r.addr, BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
	CHECK_EQ(c.ret, -EIO);
	blkio_destroy(&b);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	return 0;
}
