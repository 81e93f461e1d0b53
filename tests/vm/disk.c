/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The disk under test, seen through the kernel's eyes. */
#include <fcntl.h>
#include <unistd.h>

#include "../lib/io.h"
#include "../lib/test.h"
#include "disk.h"

#define TRACING "/sys/kernel/tracing/"

const char *disk_path(void)
{
	const char *path = getenv("TEST_DISK");

	if (!path)
		SKIP("TEST_DISK does not name a disk; tests/vm/meson.build shows how to run this");
	return path;
}

const char *disk_name(void)
{
	return strrchr(disk_path(), '/') + 1;
}

static FILE *open_file(const char *path, const char *mode)
{
	FILE *f = fopen(path, mode);

	if (!f)
		FAIL("%s: %s", path, strerror(errno));
	return f;
}

static void write_file(const char *path, const char *text)
{
	FILE *f = open_file(path, "we");

	CHECK(fputs(text, f) >= 0);
	if (fclose(f))
		FAIL("%s refuses \"%s\": %s", path, text, strerror(errno));
}

/* ---- sysfs -------------------------------------------------------------------------------- */

uint64_t disk_queue(const char *attribute)
{
	char path[256], text[64];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/queue/%s", disk_name(), attribute);
	f = open_file(path, "re");
	CHECK(fgets(text, sizeof(text), f));
	fclose(f);
	return strcmp(text, "write back\n") == 0 ? 1 : strtoull(text, NULL, 10);
}

uint64_t disk_count(enum disk_counter which)
{
	unsigned long long value;
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/stat", disk_name());
	f = open_file(path, "re");
	for (int i = 0; i <= (int)which; i++)
		CHECK_EQ(fscanf(f, "%llu", &value), 1);
	fclose(f);
	return value;
}

/* ---- Interrupts --------------------------------------------------------------------------- */

/* The counts of a line of /proc/interrupts, one per CPU, after its "30:". */
static uint64_t sum_counts(const char *line)
{
	const char *p = strchr(line, ':') + 1;
	uint64_t sum = 0;
	char *end;

	for (;;) {
		unsigned long long n = strtoull(p, &end, 10);

		if (end == p || (*end != ' ' && *end != '\n'))
			return sum; /* the controller's name may begin with digits */
		sum += n;
		p = end;
	}
}

uint64_t disk_interrupts(void)
{
	FILE *f = open_file("/proc/interrupts", "re");
	char controller[32], line[512];
	unsigned found = 0;
	uint64_t sum = 0;
	int number;

	CHECK_EQ(sscanf(disk_name(), "nvme%dn", &number), 1);
	snprintf(controller, sizeof(controller), " nvme%dq", number);
	while (fgets(line, sizeof(line), f)) {
		const char *queue = strstr(line, controller);

		/* q0 is the admin queue. */
		if (queue && strcmp(queue + strlen(controller), "0\n") != 0) {
			sum += sum_counts(line);
			found++;
		}
	}
	fclose(f);
	CHECK(found > 0);
	return sum;
}

/* ---- Traces ------------------------------------------------------------------------------- */

void trace_start(void)
{
	write_file(TRACING "trace", "");
	write_file(TRACING "events/block/block_rq_issue/enable", "1");
	write_file(TRACING "tracing_on", "1");
}

/* "... block_rq_issue: 259,0 WFS 4096 () 0 + 8 [name]": W, then F for FUA (before W: a flush). */
bool trace_has_fua_write(void)
{
	FILE *f;
	char line[512];
	bool found = false;

	write_file(TRACING "events/block/block_rq_issue/enable", "0");
	f = open_file(TRACING "trace", "re");
	while (!found && fgets(line, sizeof(line), f)) {
		const char *event = strstr(line, "block_rq_issue: ");
		char flags[16];

		found = event && sscanf(event, "block_rq_issue: %*u,%*u %15s", flags) == 1 &&
			strstr(flags, "WF");
	}
	fclose(f);
	return found;
}

/* ---- The disk ----------------------------------------------------------------------------- */

void disk_peek(uint64_t start, void *buf, size_t len)
{
	int fd = (int)SYS(open(disk_path(), O_RDONLY | O_DIRECT | O_CLOEXEC));

	CHECK_EQ(pread(fd, buf, len, (off_t)start), len);
	close(fd);
}

struct blkioq *disk_fill(struct blkio *b, void *buf, size_t len)
{
	struct blkioq *q = blkio_get_queue(b, 0);

	pattern(buf, 0, len, 1);
	CHECK_EQ(io_write(q, 0, buf, len, 0), 0);
	memset(buf, 0xee, len);
	return q;
}

struct blkio *disk_connect(void)
{
	const char *uri = getenv("TEST_URI");
	struct blkio *b;

	CHECK_OK(blkio_create(uri ? "nvme-tcp" : "io_uring", &b));
	CHECK_OK(blkio_set_str(b, uri ? "uri" : "path", uri ?: disk_path()));
	if (!uri)
		CHECK_OK(blkio_set_bool(b, "direct", true));
	CHECK_OK(blkio_connect(b));
	return b;
}

struct blkio *disk_start(int poll_queues)
{
	struct blkio *b = disk_connect();

	CHECK_OK(blkio_set_int(b, "num-poll-queues", poll_queues));
	CHECK_OK(blkio_start(b));
	return b;
}
