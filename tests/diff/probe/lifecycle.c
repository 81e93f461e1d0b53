/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* From created to destroyed, and all that connect() may be given instead of a device. */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "probe.h"

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

void group_lifecycle(void)
{
	STEP("start when created") {
		SHOW(blkio_start(device_created()));
	}
	STEP("connect again") {
		SHOW(blkio_connect(device_connected()));
	}
	STEP("connect when started") {
		SHOW(blkio_connect(device_started()));
	}
	STEP("start again") {
		SHOW(blkio_start(device_started()));
	}
	STEP("failed connect, corrected") {
		struct blkio *b = device_created();

		MUST(blkio_set_str(b, "path", "/nonexistent/path"));
		SHOW(blkio_connect(b));
		SHOW(blkio_set_str(b, "path", target.path));
		SHOW(blkio_connect(b));
		SHOW(blkio_start(b));
	}
	STEP("failed start, corrected") {
		struct blkio *b = device_connected();

		SHOW(blkio_set_int(b, "num-queues", 2000));
		if (target.kind == SERVER_DEVICE) /* the others take that many */
			SHOW(blkio_start(b));
		SHOW(blkio_set_int(b, "num-queues", 1));
		SHOW(blkio_start(b));
		show("queue 0", blkio_get_queue(b, 0) != NULL);
	}
	STEP("destroy when created") {
		struct blkio *b = device_created();

		blkio_destroy(&b);
		show("*bp", b != NULL);
	}
	STEP("destroy when connected") {
		struct blkio *b = device_connected();

		blkio_destroy(&b);
		show("*bp", b != NULL);
	}
	STEP("destroy when started, and once more") {
		struct blkio *b = device_started();

		blkio_destroy(&b);
		show("*bp", b != NULL);
		b = device_started();
		blkio_destroy(&b);
		show("*bp", b != NULL);
	}
}

/* ---- Connect ------------------------------------------------------------------------------ */

static char *scratch_path(const char *name)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", target.scratch, name);
	return path;
}

static void try_path(const char *step, const char *path)
{
	STEP(step) {
		struct blkio *b = NULL;

		MUST(blkio_create(target.driver, &b));
		SHOW(blkio_set_str(b, "path", path));
		SHOW(blkio_connect(b));
	}
}

static void make_socket(bool listening)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(scratch_path("socket")) >= sizeof(addr.sun_path))
		MUST(-ENAMETOOLONG);
	strcpy(addr.sun_path, scratch_path("socket"));
	unlink(addr.sun_path);
	if (bind(sock, (struct sockaddr *)&addr, sizeof(addr)) || (listening && listen(sock, 1)))
		MUST(-errno);
	if (!listening)
		close(sock);
}

static void try_paths(void)
{
	char long_path[200];

	mkdir(scratch_path("folder"), 0700);
	mkfifo(scratch_path("fifo"), 0600);
	memset(long_path, 'a', sizeof(long_path) - 1);
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = '\0';

	try_path("empty path", "");
	try_path("missing path", scratch_path("nothing"));
	try_path("folder", scratch_path("folder"));
	try_path("/dev/null", "/dev/null");
	try_path("fifo", scratch_path("fifo"));
	try_path("path of 199 bytes", long_path);
	try_path("path not UTF-8", "/\xff\xfe");
	try_path("regular file", target.backing);
	STEP("socket that nobody listens on") {
		struct blkio *b = device_created();

		make_socket(false);
		MUST(blkio_set_str(b, "path", scratch_path("socket")));
		SHOW(blkio_connect(b));
	}
}

static void show_flags(struct blkio *b)
{
	static const char *const names[] = { "read-only", "direct" };
	bool value;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		value = false;
		SHOW(blkio_get_bool(b, names[i], &value));
		show(names[i], value);
		SHOW(blkio_set_bool(b, names[i], !value));
	}
}

static void try_fd(const char *step, int flags, bool read_only)
{
	STEP(step) {
		struct blkio *b = NULL;
		int fd = open(target.path, flags), got = -2, twin = dup(fd);
		int before = fcntl(fd, F_GETFL);
		struct blkioq *q;
		void *buf;

		MUST(blkio_create(target.driver, &b));
		SHOW(blkio_set_int(b, "fd", fd));
		SHOW(blkio_set_bool(b, "read-only", read_only));
		SHOW(blkio_connect(b));
		show("fd is open", is_open(fd));
		blkio_get_int(b, "fd", &got);
		show("fd property is the same", got == fd);
		MUST(blkio_start(b));
		show_flags(b);
		q = blkio_get_queue(b, 0);
		buf = aligned_alloc(4096, 4096);
		SHOW_REQUEST(blkioq_read(q, 0, buf, 4096, NULL, 0));
		SHOW_REQUEST(blkioq_read(q, 0, buf, 0, NULL, 0));
		SHOW_REQUEST(blkioq_write(q, 0, buf, 4096, NULL, 0));
		SHOW_REQUEST(blkioq_write(q, 0, buf, 0, NULL, 0));
		SHOW_REQUEST(blkioq_write(q, 0, buf, 4096, NULL, BLKIO_REQ_FUA));
		SHOW_REQUEST(blkioq_write_zeroes(q, 0, 4096, NULL, 0));
		SHOW_REQUEST(blkioq_write_zeroes(q, 0, 4096, NULL, BLKIO_REQ_NO_UNMAP));
		SHOW_REQUEST(blkioq_flush(q, NULL, 0));
		show("file status flags changed", fcntl(twin, F_GETFL) != before);
		blkio_destroy(&b);
		show("fd is open after destroy", is_open(fd));
		show("file status flags changed", fcntl(twin, F_GETFL) != before);
		close(twin);
	}
}

/* Its own flag, whatever the descriptor may do. */
static void try_protected(const char *step, int flags, bool by_fd, bool read_only)
{
	STEP(step) {
		int fd = open(target.path, flags), yes = 1, no = 0;
		struct blkio *b = NULL;
		struct blkioq *q;
		void *buf;

		MUST(ioctl(fd, BLKROSET, &yes));
		MUST(blkio_create(target.driver, &b));
		SHOW(by_fd ? blkio_set_int(b, "fd", fd) : blkio_set_str(b, "path", target.path));
		SHOW(blkio_set_bool(b, "read-only", read_only));
		SHOW(blkio_connect(b));
		show_flags(b);
		SHOW(blkio_start(b));
		q = blkio_get_queue(b, 0);
		buf = aligned_alloc(4096, 4096);
		if (q) {
			SHOW_REQUEST(blkioq_read(q, 0, buf, 4096, NULL, 0));
			SHOW_REQUEST(blkioq_write(q, 0, buf, 4096, NULL, 0));
			SHOW_REQUEST(blkioq_write(q, 0, buf, 4096, NULL, BLKIO_REQ_FUA));
			SHOW_REQUEST(blkioq_write_zeroes(q, 0, 4096, NULL, 0));
			SHOW_REQUEST(blkioq_write_zeroes(q, 0, 4096, NULL, BLKIO_REQ_NO_UNMAP));
			SHOW_REQUEST(blkioq_flush(q, NULL, 0));
		}
		blkio_destroy(&b);
		fd = open(target.path, O_RDONLY);
		MUST(ioctl(fd, BLKROSET, &no));
		close(fd);
	}
}

/* Properties are as they were set, and another connect may do better. */
static void try_again(const char *step, const char *wrong)
{
	STEP(step) {
		struct blkio *b = NULL;
		int fd = open(target.path, O_RDONLY), got = -2;
		uint64_t capacity = 0;

		MUST(blkio_create(target.driver, &b));
		MUST(blkio_set_str(b, "path", wrong));
		MUST(blkio_set_bool(b, "read-only", true));
		MUST(blkio_set_bool(b, "direct", true));
		show("fails", blkio_connect(b) < 0);
		show_flags(b);
		SHOW(blkio_get_uint64(b, "capacity", &capacity));
		SHOW(blkio_start(b));
		SHOW(blkio_set_str(b, "path", ""));
		SHOW(blkio_set_int(b, "fd", fd));
		SHOW(blkio_connect(b));
		SHOW(blkio_get_int(b, "fd", &got));
		show("fd property is the same", got == fd);
		show_flags(b);
		SHOW(blkio_set_int(b, "fd", -1));
		SHOW(blkio_set_str(b, "path", "x"));
		SHOW(blkio_start(b));
		show_flags(b);
		SHOW(blkio_set_int(b, "num-entries", 64));
		SHOW(blkio_set_int(b, "num-queues", 2));
	}
}

static void try_fds(void)
{
	STEP("path") {
		struct blkio *b = device_connected();
		int fd = -1;

		SHOW(blkio_get_int(b, "fd", &fd));
		show("close-on-exec", (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	}
	try_fd("fd", O_RDWR, false);
	try_fd("fd read-only", O_RDONLY, true);
	try_fd("fd that cannot be written", O_RDONLY, false);
	try_fd("fd that cannot be read", O_WRONLY, false);
	try_fd("fd O_PATH", O_PATH, false);
	try_fd("fd O_DIRECT", O_RDWR | O_DIRECT, false);
	try_fd("writable fd, read-only instance", O_RDWR, true);
	try_fd("fd O_DIRECT read-only", O_RDONLY | O_DIRECT, false);
	try_fd("fd O_NONBLOCK", O_RDWR | O_NONBLOCK, false);
	try_fd("fd O_SYNC", O_RDWR | O_SYNC, false);
	try_fd("fd O_APPEND", O_RDWR | O_APPEND, false);
	try_again("failed connect to nothing, then fd", "/nonexistent/path");
	try_again("failed connect to a folder, then fd", target.scratch);
	if (target.kind == BLOCK_DEVICE) {
		try_protected("protected, path", O_RDWR, false, false);
		try_protected("protected, path, read-only", O_RDWR, false, true);
		try_protected("protected, fd", O_RDWR, true, false);
		try_protected("protected, fd for reading", O_RDONLY, true, false);
		try_protected("protected, fd, read-only", O_RDWR, true, true);
	}
	STEP("fd and path") {
		struct blkio *b = device_created();
		int fd = open(target.path, O_RDWR);

		MUST(blkio_set_int(b, "fd", fd));
		SHOW(blkio_connect(b));
		show("fd is open", is_open(fd));
	}
	STEP("fd that is closed") {
		struct blkio *b = NULL;

		MUST(blkio_create(target.driver, &b));
		SHOW(blkio_set_int(b, "fd", 999));
		SHOW(blkio_connect(b));
	}
	STEP("fd below -1") {
		struct blkio *b = NULL;

		MUST(blkio_create(target.driver, &b));
		SHOW(blkio_set_int(b, "fd", -2));
		SHOW(blkio_connect(b));
	}
	STEP("fd of a folder") {
		struct blkio *b = NULL;
		int fd = open(target.scratch, O_RDONLY);

		MUST(blkio_create(target.driver, &b));
		SHOW(blkio_set_int(b, "fd", fd));
		SHOW(blkio_connect(b));
		show("fd is open", is_open(fd));
	}
}

void group_connect(void)
{
	STEP("nothing set") {
		struct blkio *b = NULL;

		MUST(blkio_create(target.driver, &b));
		SHOW(blkio_connect(b));
	}
	try_paths();
	if (target.kind == FILE_DEVICE || target.kind == BLOCK_DEVICE)
		try_fds();
}
