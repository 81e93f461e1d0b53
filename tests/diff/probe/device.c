/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The device under the probe: instances of it, memory for its requests, its contents. */
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe.h"

struct blkio *device_created(void)
{
	struct blkio *b = NULL;

	MUST(blkio_create(target.driver, &b));
	MUST(blkio_set_str(b, "path", target.path));
	if (target.direct)
		MUST(blkio_set_bool(b, "direct", true));
	return b;
}

struct blkio *device_connected(void)
{
	struct blkio *b = device_created();

	MUST(blkio_connect(b));
	return b;
}

struct blkio *device_started(void)
{
	struct blkio *b = device_connected();

	MUST(blkio_start(b));
	return b;
}

struct blkioq *device_queue(struct blkio **bp)
{
	*bp = device_started();
	return blkio_get_queue(*bp, 0);
}

void *device_buffer(struct blkio *b, size_t len)
{
	struct blkio_mem_region region;
	bool needs_regions = false;
	void *buf;

	len = (len + 4095) & ~(size_t)4095;
	MUST(blkio_get_bool(b, "needs-mem-regions", &needs_regions));
	if (needs_regions) {
		MUST(blkio_alloc_mem_region(b, &region, len));
		MUST(blkio_map_mem_region(b, &region));
		return region.addr;
	}
	buf = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(buf == MAP_FAILED ? -ENOMEM : 0);
	return buf;
}

/* Never 0 nor NEW_BYTE. */
unsigned char device_pattern(uint64_t offset)
{
	return (unsigned char)(1 + (offset / 512 * 7 + offset) % 100);
}

static int open_backing(int flags)
{
	int fd = open(target.backing, flags | O_CLOEXEC);

	if (fd < 0) {
		perror(target.backing);
		exit(1);
	}
	return fd;
}

void device_reset(void)
{
	static unsigned char content[DEVICE_SIZE];
	int fd = open_backing(O_WRONLY);

	if (target.server)
		kill(target.server, SIGCONT);
	for (size_t i = content[0] ? DEVICE_SIZE : 0; i < DEVICE_SIZE; i++)
		content[i] = device_pattern(i);
	if (pwrite(fd, content, sizeof(content), 0) != (ssize_t)sizeof(content) ||
	    (target.kind == FILE_DEVICE && ftruncate(fd, DEVICE_SIZE))) {
		perror(target.backing);
		exit(1);
	}
	close(fd);
}

static const char *data_name(const unsigned char *buf, uint64_t start, size_t len)
{
	bool old = true, new = true, zero = true;

	for (size_t i = 0; i < len; i++) {
		old &= buf[i] == device_pattern(start + i);
		new &= buf[i] == NEW_BYTE;
		zero &= buf[i] == 0;
	}
	return old ? "old" : new ? "new" : zero ? "zeroes" : "mixed";
}

void show_data(const char *what, const unsigned char *buf, uint64_t start, size_t len)
{
	show_text(what, "%s", data_name(buf, start, len));
}

void show_device_data(const char *what, uint64_t start, size_t len)
{
	unsigned char *buf = malloc(len);
	int fd = open_backing(O_RDONLY);
	ssize_t n = buf ? pread(fd, buf, len, (off_t)start) : -1;

	if (n == (ssize_t)len)
		show_data(what, buf, start, len);
	else
		show_text(what, "%zd bytes", n);
	close(fd);
	free(buf);
}
