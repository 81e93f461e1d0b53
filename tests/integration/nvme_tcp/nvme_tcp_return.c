/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * nvme-tcp and a target that comes back with another namespace than before, or another controller:
 * no request reaches it, unless all that requests rely on is as it was.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "io.h"
#include "served.h"
#include "sys.h"
#include "test.h"

enum { LEN = 8192, RECONNECT_MS = 60000 };

struct scene {
	struct nvme_target was, is; /* what they are like */
	off_t size;		    /* of the file, then; 0: DEVICE_SIZE */
	const char *text;	    /* why the new one is refused; NULL: it is used */
};

static void begin_as(const struct nvme_target *t)
{
	const char *file = target.file;
	int port = target.port;

	target = *t;
	target.file = file;
	target.port = port;
	target_serve();
}

static struct blkio *start(const struct scene *s)
{
	struct blkio *b;

	begin_as(&s->was);
	b = target_host(NULL);
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", RECONNECT_MS));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	return b;
}

static void come_back(const struct scene *s)
{
	nvme_target_kill(&target);
	if (s->size)
		SYS(truncate(target.file, s->size));
	begin_as(&s->is);
}

static void is_used(struct blkio *b, const struct scene *s, char *buf)
{
	uint64_t size;

	CHECK_EQ(io_write(blkio_get_queue(b, 0), 0, buf, LEN, 0), 0);
	CHECK_OK(blkio_get_uint64(b, "capacity", &size));
	CHECK_EQ(size, s->size ?: DEVICE_SIZE);
}

/* Requests in flight and later ones fail, and nothing is written. */
static void is_refused(struct blkio *b, const struct scene *s, char *buf)
{
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t size;

	CHECK_IO_ERR(io_write(q, 0, buf, LEN, 0), ENODEV, s->text);
	CHECK_IO_ERR(io_write(q, 0, buf, LEN, 0), ENODEV, s->text);
	CHECK_ERR(blkio_get_uint64(b, "capacity", &size), ENODEV, s->text);
}

static void comes_back(struct device *d)
{
	const struct scene *s = test_data();
	static char buf[LEN], stored[LEN];
	struct blkio *b = start(s);
	int fd;

	(void)d;
	memset(buf, 'a', LEN);
	CHECK_EQ(io_write(blkio_get_queue(b, 0), 0, buf, LEN, 0), 0);
	come_back(s);
	memset(buf, 'b', LEN);
	if (s->text)
		is_refused(b, s, buf);
	else
		is_used(b, s, buf);
	target_end(b);
	fd = (int)SYS(open(target.file, O_RDONLY | O_CLOEXEC));
	CHECK_EQ(pread(fd, stored, LEN, 0), LEN);
	close(fd);
	CHECK_EQ(stored[0], s->text ? 'a' : 'b');
	CHECK_EQ(stored[LEN - 1], s->text ? 'a' : 'b');
}

/*
 * Without "reconnect-timeout", the instance ends with its controller. The new target has one with
 * the same number, and may have anything behind it.
 */
static void adds_no_queue(struct device *d)
{
	const struct scene s = { .is = { .block_size = 4096 } };
	struct blkio *b;

	(void)d;
	begin_as(&s.was);
	b = target_host(NULL);
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	come_back(&s);
	CHECK_ERR(blkio_add_queue(b), ENOTCONN, "controller", "reconnect-timeout");
	target_end(b);
}

/* With the admin queue of a controller that does not answer, the time is not lost as well. */
static void falls_silent(struct device *d)
{
	const struct nvme_target silent = { .lie = NVME_TARGET_FALLS_SILENT };
	static char buf[LEN];
	struct blkio *b;

	(void)d;
	begin_as(&silent);
	b = target_host(NULL);
	CHECK_OK(blkio_set_int(b, "keep-alive-timeout", 0));
	CHECK_OK(blkio_set_int(b, "reconnect-timeout", 8000));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, LEN, 0), 0);
	target_end(b);
}

#define SCENE(what, ...)                                                                           \
	{                                                                                          \
		what, comes_back, .data = &(const struct scene)                                    \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}

static const struct test tests[] = {
	SCENE("the same", { .uuid = 1, .nguid = 2, .eui64 = 3 },
	      { .uuid = 1, .nguid = 2, .eui64 = 3 }),
	SCENE("without any ID", { 0 }, { 0 }),
	SCENE("with an ID that it had not before", { 0 }, { .uuid = 1 }),
	SCENE("larger", { 0 }, { 0 }, 2 * DEVICE_SIZE),
	SCENE("with room for more in capsules", { 0 }, { .capsule_data = 8192 }),
	SCENE("with another UUID", { .uuid = 1, .nguid = 2 }, { .uuid = 3, .nguid = 2 }, 0, "UUID"),
	SCENE("with another NGUID", { .nguid = 1 }, { .nguid = 2 }, 0, "NGUID"),
	SCENE("with another EUI-64", { .eui64 = 1 }, { .eui64 = 2 }, 0, "EUI-64"),
	SCENE("without its UUID", { .uuid = 1 }, { 0 }, 0, "UUID"),
	SCENE("smaller", { 0 }, { 0 }, DEVICE_SIZE / 2, "smaller"),
	SCENE("with other blocks", { 0 }, { .block_size = 4096 }, 0, "block size"),
	SCENE("write-protected", { 0 }, { .read_only = true }, 0, "write-protected"),
	{ "without reconnecting", adds_no_queue },
	{ "an admin queue that falls silent", falls_silent, .timeout = 60 },
	SCENE("with less room in capsules", { .capsule_data = 8192 }, { 0 }, 0, "lower limits"),
};
TEST_MAIN(tests)
