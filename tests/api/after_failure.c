/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Calls that fail leave an instance as it was: afterwards it is like one where nothing failed. */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "io.h"
#include "test.h"

/* ---- Every property ----------------------------------------------------------------------- */

/* All values, one a line; those that differ between instances by nature are left out. */
static char *dump(const char *driver, struct blkio *b)
{
	struct blkio_property_info info;
	size_t len;
	char *text, *value;
	FILE *f = open_memstream(&text, &len);

	CHECK(f);
	for (int i = 0; !blkio_get_property_info(driver, i, &info, sizeof(info)); i++) {
		int ret = blkio_get_str(b, info.name, &value);

		if (strcmp(info.name, "fd") && strcmp(info.name, "path"))
			fprintf(f, "%s: %d %s\n", info.name, ret, ret ? "" : value);
		free(value);
	}
	fclose(f);
	return text;
}

static void check_same(struct device *d, struct blkio *got, struct blkio *want)
{
	char *a = dump(d->driver, got), *b = dump(d->driver, want);

	CHECK_STR(a, b);
	free(a);
	free(b);
}

/* ---- Failures ----------------------------------------------------------------------------- */

enum { PATHS = 9 };

/* Things that are there, and are no device. */
static void make_wrong_paths(char path[PATHS][256])
{
	const char *const given[] = { "/",	  "/dev/null", "/proc/self/comm",
				      "/nowhere", "/dev/zero", "/proc/self/maps" };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t n = ARRAY_LEN(given);
	int sock;

	for (size_t i = 0; i < n; i++)
		strcpy(path[i], given[i]);
	snprintf(path[n], 256, "%s/fifo", test_dir());
	unlink(path[n]);
	SYS(mkfifo(path[n], 0600));
	snprintf(path[++n], 256, "%s/socket", test_dir());
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", path[n]);
	unlink(path[n]);
	sock = (int)SYS(socket(AF_UNIX, SOCK_STREAM, 0));
	SYS(bind(sock, (struct sockaddr *)&addr, sizeof(addr)));
	close(sock); /* nobody listens */
	snprintf(path[++n], 256, "%s/file", test_dir());
	close((int)SYS(open(path[n], O_CREAT | O_RDWR | O_CLOEXEC, 0600)));
}

/* What io_uring takes as a descriptor, it connects to. */
static bool is_regular(int fd)
{
	struct stat st;

	SYS(fstat(fd, &st));
	return S_ISREG(st.st_mode);
}

static void fail_with_fd(struct device *d, struct blkio *b, const char *path)
{
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return;
	if (!((d->target->traits & T_KERNEL) && is_regular(fd)) && !blkio_set_int(b, "fd", fd)) {
		if (!blkio_connect(b))
			FAIL("a descriptor of %s can be connected to", path);
		CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
		CHECK_OK(blkio_set_int(b, "fd", -1));
	}
	close(fd);
}

/* An instance that has failed to connect in every way. */
static struct blkio *create_and_fail(struct device *d, char wrong[PATHS][256], bool direct,
				     bool read_only)
{
	struct blkio *b;

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_bool(b, "auto-read-only", read_only));
	if (d->target->traits & T_KERNEL)
		CHECK_OK(blkio_set_bool(b, "direct", direct));
	for (int i = 0; i < PATHS; i++) {
		/* An empty file is a device like any other to io_uring. */
		if (i == PATHS - 1 && (d->target->traits & T_KERNEL))
			continue;
		CHECK_OK(blkio_set_str(b, "path", wrong[i]));
		if (!blkio_connect(b))
			FAIL("%s can be connected to", wrong[i]);
		CHECK_OK(blkio_set_str(b, "path", ""));
		fail_with_fd(d, b, wrong[i]);
	}
	return b;
}

static void connect_failed(struct device *d)
{
	static char wrong[PATHS][256];
	bool direct = d->target->traits & T_DIRECT;

	make_wrong_paths(wrong);
	for (int read_only = 0; read_only < 2; read_only++) {
		struct blkio *fresh = device_create(d),
			     *b = create_and_fail(d, wrong, true, read_only);

		if (d->target->traits & T_KERNEL)
			CHECK_OK(blkio_set_bool(b, "direct", direct));
		CHECK_OK(blkio_set_bool(fresh, "auto-read-only", read_only));
		check_same(d, b, fresh);
		CHECK_OK(blkio_connect(fresh));
		if (d->target->traits & T_EXCLUSIVE) {
			char *want = dump(d->driver, fresh), *got;

			blkio_destroy(&fresh);
			CHECK_OK(blkio_set_str(b, "path", d->path));
			CHECK_OK(blkio_connect(b));
			got = dump(d->driver, b);
			CHECK_STR(got, want);
			free(got);
			free(want);
		} else {
			CHECK_OK(blkio_set_str(b, "path", d->path));
			CHECK_OK(blkio_connect(b));
			check_same(d, b, fresh);
		}
		blkio_destroy(&fresh);
		blkio_destroy(&b);
	}
}

/* Descriptors run out in the midst of a start; with some more it succeeds, and all is the same. */
static void start_failed(struct device *d)
{
	struct blkio *b = device_connect(d);
	char *connected = dump(d->driver, b), *after;
	int first = (int)SYS(dup(STDIN_FILENO));
	struct rlimit most;

	close(first);
	SYS(getrlimit(RLIMIT_NOFILE, &most));
	CHECK_OK(blkio_set_int(b, "num-queues", 3));
	for (unsigned n = 0;; n++) {
		struct rlimit limit = { (rlim_t)first + n, most.rlim_max };
		int ret, queues;

		SYS(setrlimit(RLIMIT_NOFILE, &limit));
		ret = blkio_start(b);
		if (!ret)
			break;
		CHECK_EQ(ret, -EMFILE);
		queues = get_int(b, "num-queues");
		CHECK_OK(blkio_set_int(b, "num-queues", 1));
		after = dump(d->driver, b);
		CHECK_STR(after, connected);
		free(after);
		CHECK_OK(blkio_set_int(b, "num-queues", queues));
		CHECK(n < 64);
	}
	free(connected);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "a failed connect leaves nothing behind", connect_failed, T_PATH },
	{ "a failed start leaves nothing behind", start_failed, T_PATH, 0, 60 },
};
TEST_MAIN(tests)
