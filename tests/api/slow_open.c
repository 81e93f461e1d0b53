/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A file whose open() waits until its file system answers, which nothing can cancel: a FUSE server
 * in this process, which speaks the kernel's protocol. Asynchronous calls do not hold their caller.
 */
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"

enum { BLOCK = 4096, SIZE = 1 << 20, INODE = 2, NEVER_MS = 200 };

/* ---- The file system: one file, "disk", full of zeroes -------------------------------------- */

static struct fs {
	int fd; /* /dev/fuse */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool may_open;
	unsigned waiting; /* for may_open */
	char dir[4200];
} fs = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

struct request {
	struct fuse_in_header header;
	char body[FUSE_MIN_READ_BUFFER + BLOCK];
};

static void reply(const struct fuse_in_header *in, int error, const void *data, size_t len)
{
	static const char zeroes[SIZE];
	struct fuse_out_header out = { (uint32_t)(sizeof(out) + len), -error, in->unique };
	struct iovec iov[2] = { { &out, sizeof(out) },
				{ (void *)(uintptr_t)(data ?: zeroes), len } };

	/* The kernel no longer wants the answer to a request that was interrupted. */
	CHECK(writev(fs.fd, iov, 2) == (ssize_t)out.len || errno == ENOENT);
}

static struct fuse_attr attr_of(uint64_t node)
{
	bool is_file = node == INODE;

	return (struct fuse_attr){ .ino = node,
				   .size = is_file ? SIZE : 0,
				   .mode = is_file ? S_IFREG | 0600 : S_IFDIR | 0700,
				   .nlink = 1,
				   .blksize = BLOCK };
}

/* In a thread of its own: the file system goes on. */
static void *open_later(void *arg)
{
	const struct fuse_open_out out = { .open_flags = 0 };
	struct fuse_in_header *in = arg;

	pthread_mutex_lock(&fs.lock);
	fs.waiting++;
	pthread_cond_broadcast(&fs.changed);
	while (!fs.may_open)
		pthread_cond_wait(&fs.changed, &fs.lock);
	pthread_mutex_unlock(&fs.lock);
	reply(in, 0, &out, sizeof(out));
	free(in);
	return NULL;
}

static void start_opening(const struct fuse_in_header *in)
{
	struct fuse_in_header *copy = malloc(sizeof(*copy));
	pthread_t thread;

	CHECK(copy);
	*copy = *in;
	CHECK_EQ(pthread_create(&thread, NULL, open_later, copy), 0);
	CHECK_EQ(pthread_detach(thread), 0);
}

static void answer(struct request *r)
{
	const struct fuse_init_in *init = (void *)r->body;
	const struct fuse_init_out version = { .major = FUSE_KERNEL_VERSION,
					       .minor = init->minor,
					       .max_write = BLOCK };
	const struct fuse_entry_out entry = { .nodeid = INODE, .attr = attr_of(INODE) };
	const struct fuse_attr_out attr = { .attr = attr_of(r->header.nodeid) };

	switch (r->header.opcode) {
	case FUSE_INIT:
		return reply(&r->header, 0, &version, sizeof(version));
	case FUSE_LOOKUP:
		if (strcmp(r->body, "disk") != 0)
			return reply(&r->header, ENOENT, NULL, 0);
		return reply(&r->header, 0, &entry, sizeof(entry));
	case FUSE_GETATTR:
		return reply(&r->header, 0, &attr, sizeof(attr));
	case FUSE_OPEN:
		return start_opening(&r->header);
	case FUSE_READ:
		return reply(&r->header, 0, NULL, ((struct fuse_read_in *)(void *)r->body)->size);
	case FUSE_RELEASE:
	case FUSE_FLUSH:
		return reply(&r->header, 0, NULL, 0);
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	default:
		return reply(&r->header, ENOSYS, NULL, 0);
	}
}

static void *serve(void *arg)
{
	static struct request r;

	(void)arg;
	while (read(fs.fd, &r, sizeof(r)) > 0)
		answer(&r);
	return NULL; /* it is unmounted */
}

/* Seen by this process alone, and gone with it. */
static void fs_mount(void)
{
	char options[100];

	fs.fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fs.fd < 0)
		SKIP("/dev/fuse: %s", strerror(errno));
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		SKIP("no mount namespace: %s", strerror(errno));
	snprintf(fs.dir, sizeof(fs.dir), "%s/fuse", test_dir());
	SYS(mkdir(fs.dir, 0700));
	snprintf(options, sizeof(options), "fd=%d,rootmode=40700,user_id=%d,group_id=%d", fs.fd,
		 getuid(), getgid());
	if (mount("test", fs.dir, "fuse", MS_NOSUID | MS_NODEV, options) < 0)
		SKIP("cannot mount a FUSE file system: %s", strerror(errno));
	CHECK_EQ(pthread_create(&fs.thread, NULL, serve, NULL), 0);
}

static void fs_unmount(void)
{
	SYS(umount2(fs.dir, MNT_DETACH));
	CHECK_EQ(pthread_join(fs.thread, NULL), 0);
	close(fs.fd);
}

static void let_open(bool may)
{
	pthread_mutex_lock(&fs.lock);
	fs.may_open = may;
	fs.waiting = 0;
	pthread_cond_broadcast(&fs.changed);
	pthread_mutex_unlock(&fs.lock);
}

static void await_open(void)
{
	pthread_mutex_lock(&fs.lock);
	while (!fs.waiting)
		pthread_cond_wait(&fs.changed, &fs.lock);
	pthread_mutex_unlock(&fs.lock);
}

/* ---- Cases -------------------------------------------------------------------------------- */

static struct blkio *create(void)
{
	const char *driver = test_data();
	char path[4300];
	struct blkio *b;

	snprintf(path, sizeof(path), "%s/disk", fs.dir);
	CHECK_OK(blkio_create(driver, &b));
	CHECK_OK(blkio_set_bool(b, "read-only", true));
	CHECK_OK(blkio_set_str(b, "path", path));
	return b;
}

static void use_another_instance(void)
{
	struct blkio *b;

	CHECK_OK(blkio_create("null", &b));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	for (int i = 0; i < 100; i++)
		CHECK_EQ(io_flush(blkio_get_queue(b, 0), 0), 0);
	blkio_destroy(&b);
}

/* Once open() hangs; it goes on hanging when it is cancelled, as blkio.h says. */
static struct blkio *hang(void)
{
	struct blkio *b = create();

	let_open(false);
	CHECK_OK(blkio_connect_async(b));
	await_open();
	use_another_instance();
	blkio_cancel(b);
	CHECK(!readable(blkio_get_control_fd(b), NEVER_MS));
	CHECK_ERR(blkio_control_result(b), EINPROGRESS);
	return b;
}

static void collected(struct device *d)
{
	char *buf = buffer(BLOCK);
	struct blkio *b;

	(void)d;
	fs_mount();
	b = hang();
	let_open(true);
	CHECK(readable(blkio_get_control_fd(b), LATE_MS));
	CHECK_OK(blkio_control_result(b));
	CHECK_OK(blkio_start(b));
	memset(buf, 0xee, BLOCK);
	CHECK_EQ(io_read(blkio_get_queue(b, 0), SIZE - BLOCK, buf, BLOCK, 0), 0);
	check_all(buf, BLOCK, 0);
	blkio_destroy(&b);
	buffer_free(buf);
	fs_unmount();
}

static void destroyed(struct device *d)
{
	unsigned fds = count_fds(), threads;
	struct blkio *b;
	int fd;

	(void)d;
	fs_mount();
	b = hang();
	threads = count_threads() - 2; /* the one that opens, and the file system's for it */
	CHECK_OK(blkio_destroy_async(&b, &fd));
	use_another_instance();
	CHECK(!readable(fd, NEVER_MS));
	let_open(true);
	CHECK(readable(fd, LATE_MS));
	close(fd);
	while (count_threads() > threads)
		usleep(1000);
	fs_unmount();
	await_fds(fds);
}

static const struct test tests[] = {
	{ "io_uring, collected", collected, .data = "io_uring" },
	{ "io_uring, destroyed", destroyed, .data = "io_uring" },
	{ "posix, collected", collected, .data = "posix" },
	{ "posix, destroyed", destroyed, .data = "posix" },
};
TEST_MAIN(tests)
