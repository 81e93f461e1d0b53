/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The io_uring driver's opt-ins (single-issuer, register-buffers, sq-poll), alone and together:
 * whatever of them the kernel grants, every kind of request works, mapped memory or not.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "slow.h"
#include "sys.h"
#include "test.h"

enum { BLOCK = 4096, LEN = 1 << 20 };

static const char *const opt_ins[] = { "single-issuer", "register-buffers", "sq-poll" };

static struct blkio *start_with_combination(struct device *d, unsigned bits)
{
	struct blkio *b = device_connect(d);

	for (size_t i = 0; i < ARRAY_LEN(opt_ins); i++)
		CHECK_OK(blkio_set_bool(b, opt_ins[i], bits >> i & 1));
	CHECK_OK(blkio_start(b));
	return b;
}

static void exercise(struct blkioq *q, char *buf, uint32_t seed)
{
	enum { N = 256 };
	struct blkio_completion c[N];
	struct iovec iov[3] = { { buf, BLOCK },
				{ buf + 3 * BLOCK, BLOCK },
				{ buf + BLOCK, BLOCK } };

	for (uint64_t i = 0; i < N; i++) {
		pattern(buf + i * BLOCK, i * BLOCK, BLOCK, seed);
		blkioq_write(q, i * BLOCK, buf + i * BLOCK, BLOCK, NULL,
			     i % 10 ? 0 : BLKIO_REQ_FUA);
	}
	CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
	for (int i = 0; i < N; i++)
		CHECK_EQ(c[i].ret, 0);
	memset(buf, 0xee, LEN);
	for (uint64_t i = 0; i < N; i++)
		blkioq_read(q, i * BLOCK, buf + i * BLOCK, BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
	check_pattern(buf, 0, LEN, seed);
	CHECK_EQ(io_readv(q, 0, iov, 3, 0), 0);
	check_pattern(buf + 3 * BLOCK, BLOCK, BLOCK, seed);
	CHECK_EQ(io_writev(q, 0, iov, 3, 0), 0);
	CHECK_EQ(io_zeroes(q, BLOCK, BLOCK, 0), 0);
	CHECK_EQ(io_discard(q, 2 * BLOCK, BLOCK, 0), 0);
	CHECK_EQ(io_flush(q, 0), 0);
	CHECK_EQ(io_read(q, BLOCK, buf, BLOCK, 0), 0);
	check_all(buf, BLOCK, 0);
	CHECK_EQ(io_read(q, LEN, buf, 0, 0), 0);
}

static void every_combination(struct device *d)
{
	for (unsigned bits = 0; bits < 1u << ARRAY_LEN(opt_ins); bits++) {
		struct blkio *b = start_with_combination(d, bits);
		struct blkioq *q = blkio_get_queue(b, 0);
		struct blkio_mem_region r;
		char *buf = buffer(LEN);

		exercise(q, buf, bits);
		CHECK_OK(blkio_alloc_mem_region(b, &r, LEN));
		exercise(q, r.addr, bits + 10); /* allocated, not mapped */
		CHECK_OK(blkio_map_mem_region(b, &r));
		exercise(q, r.addr, bits + 20);
		exercise(q, buf, bits + 30);
		blkio_unmap_mem_region(b, &r);
		exercise(q, r.addr, bits + 40);
		blkio_free_mem_region(b, &r);
		buffer_free(buf);
		blkio_destroy(&b);
	}
}

/* Mapping again and again must reuse what registration needs; the new memory is what is read to. */
static void registered_buffers_come_and_go(struct device *d)
{
	struct blkio *b = start_with_combination(d, 1u << 1);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_mem_region r[3];
	char *buf = buffer(LEN);

	pattern(buf, 0, LEN, 1);
	CHECK_EQ(io_write(q, 0, buf, LEN, 0), 0);
	for (int round = 0; round < 60; round++) {
		struct blkio_mem_region *now = &r[round % 3];

		if (round >= 3)
			blkio_free_mem_region(b, now);
		CHECK_OK(blkio_alloc_mem_region(b, now, LEN));
		CHECK_OK(blkio_map_mem_region(b, now));
		CHECK_EQ(io_read(q, 0, now->addr, LEN, 0), 0);
		check_pattern(now->addr, 0, LEN, 1);
		if (round % 7 == 0) {
			CHECK_OK(blkio_add_queue(b)); /* also sees the regions mapped before it */
			CHECK_EQ(io_read(blkio_get_queue(b, 1), BLOCK, now->addr, BLOCK, 0), 0);
			check_pattern(now->addr, BLOCK, BLOCK, 1);
			CHECK_OK(blkio_remove_queue(b, 1));
		}
	}
	buffer_free(buf);
	blkio_destroy(&b);
}

/* A request over the end of a region, or over two neighbouring ones, is just not registered. */
static void across_regions(struct device *d)
{
	struct blkio *b = start_with_combination(d, 1u << 1);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_mem_region whole, half;
	char *mem;

	CHECK_OK(blkio_alloc_mem_region(b, &whole, LEN));
	mem = whole.addr;
	half = whole;
	half.len = LEN / 2;
	CHECK_OK(blkio_map_mem_region(b, &half));
	pattern(mem, 0, LEN, 2);
	CHECK_EQ(io_write(q, 0, mem, LEN, 0), 0); /* half in, half out */
	memset(mem, 0xee, LEN);
	CHECK_EQ(io_read(q, 0, mem, LEN, 0), 0);
	check_pattern(mem, 0, LEN, 2);
	half.addr = mem + LEN / 2;
	half.fd_offset += LEN / 2;
	CHECK_OK(blkio_map_mem_region(b, &half));
	memset(mem, 0xee, LEN);
	CHECK_EQ(io_read(q, LEN / 2 - BLOCK, mem + LEN / 2 - BLOCK, 2 * BLOCK, 0), 0);
	check_pattern(mem + LEN / 2 - BLOCK, LEN / 2 - BLOCK, 2 * BLOCK, 2);
	blkio_destroy(&b);
}

static int direct_flag(const struct device *d)
{
	return d->target->traits & T_DIRECT ? O_DIRECT : 0;
}

static void without_memlock(struct device *d)
{
	const struct rlimit none = { 0, 0 };
	struct blkio *b;
	struct blkio_mem_region r;

	int fd = (int)SYS(open(d->path, O_RDWR | O_CLOEXEC | direct_flag(d)));

	drop_privileges(); /* root is above the limit */
	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_set_bool(b, "register-buffers", true));
	CHECK_OK(blkio_start(b));
	SYS(setrlimit(RLIMIT_MEMLOCK, &none));
	CHECK_OK(blkio_alloc_mem_region(b, &r, LEN));
	CHECK_OK(blkio_map_mem_region(b, &r)); /* not registered, works all the same */
	exercise(blkio_get_queue(b, 0), r.addr, 1);
	blkio_free_mem_region(b, &r);
	blkio_destroy(&b);
}

/* Some kernels count the ring itself: then the error says which limit it was. */
static void ring_without_memlock(struct device *d)
{
	const struct rlimit none = { 0, 0 };
	int fd = (int)SYS(open(d->path, O_RDWR | O_CLOEXEC));
	struct blkio *b;
	int ret;

	drop_privileges();
	SYS(setrlimit(RLIMIT_MEMLOCK, &none));
	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK_OK(blkio_connect(b));
	test_forget_error();
	ret = blkio_start(b);
	if (ret < 0)
		test_err(__FILE__, __LINE__, "start", ret, ENOMEM, "RLIMIT_MEMLOCK", NULL);
	blkio_destroy(&b);
}

/* An instance on fd whose one ring takes about 3 MiB. */
static struct blkio *start_with_large_ring(struct device *d, int fd)
{
	struct blkio *b;

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_set_int(b, "num-entries", 32768));
	CHECK_OK(blkio_start(b));
	return b;
}

/*
 * The kernel gives the memory of a closed ring back when its last request has ended. Until then it
 * may count against the limit, in which there is room for one: the next ring waits for it.
 */
static void ring_memory_comes_late(struct device *d)
{
	const struct rlimit limit = { 4 << 20, 4 << 20 };
	int fd = (int)SYS(open(d->path, O_RDWR | O_CLOEXEC));
	int other_fd = (int)SYS(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	struct slow *memory = slow_new(BLOCK);
	struct blkio *b;
	struct blkioq *q;

	drop_privileges();
	SYS(setrlimit(RLIMIT_MEMLOCK, &limit));
	b = start_with_large_ring(d, fd);
	q = blkio_get_queue(b, 0);
	blkioq_write(q, 0, slow_buffer(memory), BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	blkio_destroy(&b); /* after 5 seconds, with the request still in flight */
	slow_release_after(memory, 300);
	b = start_with_large_ring(d, other_fd);
	blkio_destroy(&b);
	slow_free(memory);
}

/* So does the thread of sq-poll: of this user, there may be one besides the test's own. */
static void sq_poll_thread_ends_late(struct device *d)
{
	int fd = (int)SYS(open(d->path, O_RDWR | O_CLOEXEC | direct_flag(d)));
	struct blkio *b;
	int ret;

	drop_privileges();
	limit_processes(2);
	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_set_bool(b, "sq-poll", true));
	CHECK_OK(blkio_start(b));
	for (int i = 0; i < 20; i++) {
		CHECK_OK(blkio_remove_queue(b, 0));
		CHECK_OK(blkio_add_queue(b));
	}
	test_forget_error();
	ret = blkio_add_queue(b);
	if (ret < 0) /* some kernels do not count them */
		test_err(__FILE__, __LINE__, "add", ret, EAGAIN, "sq-poll", "RLIMIT_NPROC", NULL);
	blkio_destroy(&b);
	limit_processes(RLIM_INFINITY);
}

static void mapping_tells_the_truth_about_pinning(struct device *d)
{
	struct blkio *b = device_connect(d);

	CHECK(!get_bool(b, "may-pin-mem-regions"));
	CHECK_OK(blkio_set_bool(b, "register-buffers", true));
	CHECK(get_bool(b, "may-pin-mem-regions"));
	CHECK_OK(blkio_set_bool(b, "register-buffers", false));
	CHECK(!get_bool(b, "may-pin-mem-regions"));
	blkio_destroy(&b);
}

/* ---- Threads ------------------------------------------------------------------------------ */

struct user {
	pthread_t thread;
	struct blkioq *q;
};

static void *use_queue(void *arg)
{
	struct user *user = arg;
	char *buf = buffer(BLOCK);

	for (int i = 0; i < 100; i++)
		CHECK_EQ(io_read(user->q, 0, buf, BLOCK, 0), 0);
	buffer_free(buf);
	return NULL;
}

/* Each queue used by one thread, which is not the one that started the instance. */
static void single_issuer_in_its_thread(struct device *d)
{
	struct blkio *b = device_connect(d);
	struct user users[3];

	CHECK_OK(blkio_set_bool(b, "single-issuer", true));
	CHECK_OK(blkio_set_int(b, "num-queues", ARRAY_LEN(users)));
	CHECK_OK(blkio_start(b));
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		users[i].q = blkio_get_queue(b, (int)i);
		CHECK_EQ(pthread_create(&users[i].thread, NULL, use_queue, &users[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(users); i++)
		CHECK_EQ(pthread_join(users[i].thread, NULL), 0);
	blkio_destroy(&b);
}

/* The calling thread is not the queue's: an error that says so, or it works. */
static void check_stranger(struct blkioq *q)
{
	struct blkio_completion c;
	char *buf = buffer(BLOCK);
	int ret;

	blkioq_read(q, 0, buf, BLOCK, NULL, 0);
	test_forget_error();
	ret = blkioq_do_io(q, &c, 1, 1, NULL);
	if (ret < 0) {
		CHECK_EQ(ret, -EEXIST);
		CHECK(strstr(blkio_get_error_msg(), "single-issuer"));
	} else {
		CHECK_EQ(ret, 1);
		CHECK_EQ(c.ret, 0);
	}
	buffer_free(buf);
}

/* Breaking the promise: never a hang or a lost request. */
static void single_issuer_misused(struct device *d)
{
	struct blkio *b = start_with_combination(d, 1u << 0);
	struct user user = { .q = blkio_get_queue(b, 0) };

	CHECK_EQ(pthread_create(&user.thread, NULL, use_queue, &user), 0);
	CHECK_EQ(pthread_join(user.thread, NULL), 0);
	check_stranger(user.q);
	blkio_destroy(&b);
}

struct heir {
	struct user own;
	struct blkioq *inherited;
};

static void *use_both(void *arg)
{
	struct heir *h = arg;

	use_queue(&h->own);
	check_stranger(h->inherited);
	return NULL;
}

/* A thread that has ended leaves its place in memory to another one, but not its queue. */
static void single_issuer_that_ended(struct device *d)
{
	struct blkio *b = start_with_combination(d, 1u << 0), *other;
	struct heir h = { .inherited = blkio_get_queue(b, 0) };
	struct user user = { .q = h.inherited };

	CHECK_EQ(pthread_create(&user.thread, NULL, use_queue, &user), 0);
	CHECK_EQ(pthread_join(user.thread, NULL), 0);
	other = start_with_combination(d, 1u << 0);
	h.own.q = blkio_get_queue(other, 0);
	CHECK_EQ(pthread_create(&h.own.thread, NULL, use_both, &h), 0);
	CHECK_EQ(pthread_join(h.own.thread, NULL), 0);
	blkio_destroy(&other);
	blkio_destroy(&b);
}

/* The child makes no call on what is the parent's; if it does, it learns so. */
static void single_issuer_in_the_child(struct device *d)
{
	struct blkio *b = start_with_combination(d, 1u << 0);
	struct heir h = { .inherited = blkio_get_queue(b, 0) };
	pid_t child;
	int status;

	use_queue(&(struct user){ .q = h.inherited });
	child = fork_user();
	if (!child) {
		h.own.q = blkio_get_queue(start_with_combination(d, 1u << 0), 0);
		use_both(&h);
		_exit(0);
	}
	SYS(waitpid(child, &status, 0));
	CHECK_EQ(status, 0);
	use_queue(&(struct user){ .q = h.inherited });
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "every combination", every_combination, T_IO_URING, 0, 40 },
	{ "registered buffers come and go", registered_buffers_come_and_go, T_IO_URING },
	{ "across regions", across_regions, T_IO_URING },
	{ "register-buffers with RLIMIT_MEMLOCK 0", without_memlock, T_IO_URING },
	{ "ring with RLIMIT_MEMLOCK 0", ring_without_memlock, T_IO_URING, T_DIRECT },
	{ "sq-poll thread that ends late", sq_poll_thread_ends_late, T_IO_URING },
	{ "ring memory that is given back late", ring_memory_comes_late, T_IO_URING | T_OFFLOADS },
	{ "may-pin-mem-regions tells the truth", mapping_tells_the_truth_about_pinning,
	  T_IO_URING },
	{ "single-issuer in its own thread", single_issuer_in_its_thread, T_IO_URING },
	{ "single-issuer misused", single_issuer_misused, T_IO_URING },
	{ "single-issuer that has ended", single_issuer_that_ended, T_IO_URING },
	{ "single-issuer in a child process", single_issuer_in_the_child, T_IO_URING },
};
TEST_MAIN(tests)
