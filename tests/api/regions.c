/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Memory regions: what may be allocated, mapped, unmapped and freed, in which order and by whom. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "test.h"

enum { BLOCK = 4096, LEN = 1 << 20 };

static void allocate(struct device *d)
{
	static const size_t lengths[] = { BLOCK, LEN, 3 * LEN + BLOCK, 64 << 20 };
	struct blkio *b = device_connect(d);
	struct blkio_mem_region r[ARRAY_LEN(lengths)];
	uint64_t align = get_u64(b, "mem-region-alignment");

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct stat st;

		CHECK_OK(blkio_alloc_mem_region(b, &r[i], lengths[i]));
		CHECK_EQ(r[i].len, lengths[i]);
		CHECK_EQ((uintptr_t)r[i].addr % align, 0);
		CHECK_EQ((uintptr_t)r[i].addr % (uintptr_t)get_int(b, "optimal-buf-alignment"), 0);
		CHECK(r[i].fd >= 0);
		CHECK_EQ(fcntl(r[i].fd, F_GETFD), FD_CLOEXEC);
		SYS(fstat(r[i].fd, &st));
		CHECK(st.st_size >= r[i].fd_offset + (off_t)lengths[i]);
		CHECK_EQ(r[i].flags, 0);
		check_all(r[i].addr, lengths[i], 0);
		memset(r[i].addr, 0x5a, lengths[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
		blkio_free_mem_region(b, &r[i]);
	blkio_destroy(&b);
}

/* The fd really is the memory: another mapping of it shows the same bytes. */
static void fd_is_the_memory(struct device *d)
{
	struct blkio *b = device_connect(d);
	struct blkio_mem_region r;
	char *other;

	CHECK_OK(blkio_alloc_mem_region(b, &r, LEN));
	other = mmap(NULL, LEN, PROT_READ, MAP_SHARED, r.fd, r.fd_offset);
	CHECK(other != MAP_FAILED);
	pattern(r.addr, 0, LEN, 1);
	check_pattern(other, 0, LEN, 1);
	/* Whoever gets the descriptor cannot take the memory away. */
	CHECK(ftruncate(r.fd, 0) < 0 && errno == EPERM);
	munmap(other, LEN);
	blkio_free_mem_region(b, &r);
	blkio_destroy(&b);
}

static void bad_lengths(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkio_mem_region r;

	CHECK_ERR(blkio_alloc_mem_region(b, &r, 0), EINVAL, "0");
	CHECK_ERR(blkio_alloc_mem_region(b, &r, SIZE_MAX & ~(size_t)(BLOCK - 1)), ENOMEM);
	CHECK_ERR(blkio_alloc_mem_region(b, &r, (size_t)1 << 62), ENOMEM);
	CHECK_ERR(blkio_alloc_mem_region(b, &r, (size_t)1 << 48), ENOMEM);
	blkio_destroy(&b);
}

/* The memory is that of a file, but SIGXFSZ does not end the program. */
static void small_file_size_limit(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkio_mem_region r;
	struct rlimit before, small;
	sigset_t pending;

	SYS(getrlimit(RLIMIT_FSIZE, &before));
	small = before;
	small.rlim_cur = BLOCK;
	SYS(setrlimit(RLIMIT_FSIZE, &small));
	CHECK_ERR(blkio_alloc_mem_region(b, &r, LEN), ENOMEM, "RLIMIT_FSIZE");
	SYS(setrlimit(RLIMIT_FSIZE, &before));
	SYS(sigpending(&pending));
	CHECK(!sigismember(&pending, SIGXFSZ));
	CHECK_OK(blkio_alloc_mem_region(b, &r, LEN));
	blkio_destroy(&b);
}

static void bad_regions(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkio_mem_region good, bad;

	CHECK_OK(blkio_alloc_mem_region(b, &good, LEN));
	bad = good;
	bad.len = 0;
	CHECK_ERR(blkio_map_mem_region(b, &bad), EINVAL, "0");
	bad = good;
	bad.addr = NULL;
	if (get_bool(b, "needs-mem-regions")) {
		CHECK_ERR(blkio_map_mem_region(b, &bad), EINVAL);
	} else {
		/* programs do it that only discard, and it worked always */
		CHECK_OK(blkio_map_mem_region(b, &bad));
		blkio_unmap_mem_region(b, &bad);
	}
	bad = good;
	bad.len = SIZE_MAX & ~(size_t)(BLOCK - 1);
	CHECK_ERR(blkio_map_mem_region(b, &bad), EINVAL);
	if (get_bool(b, "needs-mem-region-fd")) {
		bad = good;
		bad.fd = -1;
		CHECK_ERR(blkio_map_mem_region(b, &bad), EINVAL, "fd");
	}
	if (get_u64(b, "mem-region-alignment") > 1) {
		bad = good;
		bad.addr = (char *)bad.addr + 1;
		CHECK_ERR(blkio_map_mem_region(b, &bad), EINVAL, "mem-region-alignment");
		bad = good;
		bad.len -= 1;
		CHECK_ERR(blkio_map_mem_region(b, &bad), EINVAL, "mem-region-alignment");
		CHECK_ERR(blkio_alloc_mem_region(b, &bad, LEN + 1), EINVAL, "mem-region-alignment");
	}
	CHECK_OK(blkio_map_mem_region(b, &good));
	blkio_free_mem_region(b, &good);
	blkio_destroy(&b);
}

static void overlaps(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkio_mem_region whole, part;

	CHECK_OK(blkio_alloc_mem_region(b, &whole, LEN));
	CHECK_OK(blkio_map_mem_region(b, &whole));
	CHECK_ERR(blkio_map_mem_region(b, &whole), EINVAL);
	part = whole;
	part.len = BLOCK;
	CHECK_ERR(blkio_map_mem_region(b, &part), EINVAL, "overlap");
	part.addr = (char *)whole.addr + LEN - BLOCK;
	part.fd_offset += LEN - BLOCK;
	CHECK_ERR(blkio_map_mem_region(b, &part), EINVAL, "overlap");
	part = whole;
	part.addr = (char *)whole.addr - BLOCK;
	CHECK_ERR(blkio_map_mem_region(b, &part), EINVAL, "overlap");
	blkio_unmap_mem_region(b, &whole);

	/* neighbours do not overlap, and gaps can be filled */
	for (int i = 0; i < 4; i++) {
		static const int order[] = { 3, 0, 2, 1 };

		part = whole;
		part.len = LEN / 4;
		part.addr = (char *)whole.addr + order[i] * (LEN / 4);
		part.fd_offset += order[i] * (LEN / 4);
		CHECK_OK(blkio_map_mem_region(b, &part));
	}
	CHECK_ERR(blkio_map_mem_region(b, &whole), EINVAL, "overlap");
	blkio_destroy(&b); /* with regions mapped and allocated */
}

static void unknown_regions_are_ignored(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkio_mem_region r, other;
	char *buf = buffer(BLOCK);

	other = (struct blkio_mem_region){ .addr = buf, .len = BLOCK, .fd = -1 };
	blkio_unmap_mem_region(b, &other);
	blkio_free_mem_region(b, &other);
	CHECK_OK(blkio_alloc_mem_region(b, &r, LEN));
	blkio_unmap_mem_region(b, &r);
	CHECK_OK(blkio_map_mem_region(b, &r));

	other = r;
	other.len = BLOCK; /* changed by the caller */
	blkio_unmap_mem_region(b, &other);
	blkio_free_mem_region(b, &other);
	memset(r.addr, 1, LEN);
	CHECK_ERR(blkio_map_mem_region(b, &r), EINVAL); /* still mapped */

	blkio_unmap_mem_region(b, &r);
	blkio_unmap_mem_region(b, &r);
	blkio_free_mem_region(b, &r);
	blkio_free_mem_region(b, &r);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void freed_while_mapped(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkio_mem_region r;

	for (int i = 0; i < 100; i++) {
		CHECK_OK(blkio_alloc_mem_region(b, &r, LEN));
		CHECK_OK(blkio_map_mem_region(b, &r));
		CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, r.addr, LEN, 0), 0);
		blkio_free_mem_region(b, &r);
	}
	blkio_destroy(&b);
}

/* The caller's own memory, and its fd closed right after mapping. */
static void own_memory(struct device *d)
{
	struct blkio *b = device_start(d);
	int fd = (int)SYS(memfd_create("test", MFD_CLOEXEC));
	struct blkio_mem_region r = { .len = LEN, .fd = fd, .fd_offset = LEN };

	SYS(ftruncate(fd, 2 * LEN));
	r.addr = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, LEN);
	CHECK(r.addr != MAP_FAILED);
	CHECK_OK(blkio_map_mem_region(b, &r));
	close(fd);
	CHECK_EQ(io_write(blkio_get_queue(b, 0), 0, r.addr, LEN, 0), 0);
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, r.addr, LEN, 0), 0);
	r.fd = -1; /* not part of a region's identity */
	blkio_unmap_mem_region(b, &r);
	munmap(r.addr, LEN);
	blkio_destroy(&b);
}

/* How many more regions, up to n, can be mapped: the arena may be mapped already. */
static int room_for_regions(struct device *d, struct blkio *b, int n)
{
	uint64_t most = get_u64(b, "max-mem-regions") - !!(d->target->traits & T_REGIONS);

	return most < (uint64_t)n ? (int)most : n;
}

static void a_thousand(struct device *d)
{
	enum { N = 1000, SMALL = 16384 };
	struct blkio *b = device_start(d);
	struct blkio_mem_region r;
	int n = room_for_regions(d, b, N);

	CHECK_OK(blkio_alloc_mem_region(b, &r, (size_t)N * SMALL));
	for (int i = 0; i < n; i++) {
		/* an order that is neither up nor down */
		struct blkio_mem_region part = r;

		part.len = SMALL;
		part.addr = (char *)r.addr + (i * 379 % N) * SMALL;
		part.fd_offset += (i * 379 % N) * SMALL;
		CHECK_OK(blkio_map_mem_region(b, &part));
		CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, part.addr, SMALL, 0), 0);
	}
	for (int i = 0; i < n; i++) {
		struct blkio_mem_region part = r;

		part.len = SMALL;
		part.addr = (char *)r.addr + (i * 379 % N) * SMALL;
		blkio_unmap_mem_region(b, &part);
	}
	CHECK_OK(blkio_map_mem_region(b, &r));
	blkio_free_mem_region(b, &r);
	blkio_destroy(&b);
}

/* ---- While another thread does I/O -------------------------------------------------------- */

struct reader {
	struct blkioq *q;
	struct blkio_mem_region *region;
	bool stop, stores;
	unsigned reads;
};

static void *read_on(void *arg)
{
	struct reader *t = arg;
	char *buf = t->region->addr;

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		CHECK_EQ(io_read(t->q, 2 * BLOCK, buf, 4 * BLOCK, 0), 0);
		if (t->stores)
			check_pattern(buf, 2 * BLOCK, 4 * BLOCK, 9);
		__atomic_add_fetch(&t->reads, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void churn(struct device *d, const char *prop, const char *value)
{
	char *buf = buffer(DEVICE_SIZE);
	struct blkio *b;
	struct blkio_mem_region mine, r[40];
	size_t n;
	struct reader reader = { .region = &mine, .stores = d->target->traits & T_STORES };
	pthread_t thread;

	pattern(buf, 0, DEVICE_SIZE, 9);
	if (reader.stores)
		device_poke(d, 0, buf, DEVICE_SIZE);
	b = device_start_with(d, prop, value);
	reader.q = blkio_get_queue(b, 0);
	CHECK_OK(blkio_alloc_mem_region(b, &mine, LEN));
	CHECK_OK(blkio_map_mem_region(b, &mine));
	n = (size_t)room_for_regions(d, b, ARRAY_LEN(r) + 1) - 1;
	CHECK_EQ(pthread_create(&thread, NULL, read_on, &reader), 0);
	for (int round = 0; round < 15; round++) {
		for (size_t i = 0; i < n; i++) {
			CHECK_OK(blkio_alloc_mem_region(b, &r[i], 16 * BLOCK));
			CHECK_OK(blkio_map_mem_region(b, &r[i]));
		}
		for (size_t i = 0; i < n; i++) {
			if (i % 2)
				blkio_unmap_mem_region(b, &r[i]);
			blkio_free_mem_region(b, &r[i]);
		}
	}
	while (!__atomic_load_n(&reader.reads, __ATOMIC_RELAXED))
		usleep(1000);
	__atomic_store_n(&reader.stop, true, __ATOMIC_RELAXED);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	printf("%u reads meanwhile\n", reader.reads);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void mapped_while_others_do_io(struct device *d)
{
	churn(d, "num-queues", "1");
}

/* Buffers are registered and taken back while the queue uses others. */
static void mapped_while_others_use_registered_buffers(struct device *d)
{
	churn(d, "register-buffers", "true");
}

static const struct test tests[] = {
	{ "allocate", allocate, T_ANY },
	{ "the fd is the memory", fd_is_the_memory, T_ANY },
	{ "bad lengths", bad_lengths, T_ANY },
	{ "small file size limit", small_file_size_limit, T_ANY },
	{ "bad regions", bad_regions, T_ANY },
	{ "overlaps", overlaps, T_ANY },
	{ "unknown regions are ignored", unknown_regions_are_ignored, T_ANY },
	{ "freed while mapped", freed_while_mapped, T_ANY },
	{ "the caller's own memory", own_memory, T_ANY },
	{ "a thousand", a_thousand, T_ANY },
	{ "mapped while another thread does I/O", mapped_while_others_do_io, T_ANY, T_VDUSE },
	{ "the same with register-buffers", mapped_while_others_use_registered_buffers,
	  T_IO_URING },
};
TEST_MAIN(tests)
