/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A device without an IOMMU, through the driver that TEST_DRIVER names: only for those who ask for
 * it and may, with memory that is contiguous and stays where it is. What else a device must do, and
 * what else the environment says: device.c.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"

#define PAGE	  4096u
#define HUGE_PAGE (2u << 20)

static struct blkio *create(bool allow)
{
	struct blkio *b;

	CHECK_OK(blkio_create(getenv("TEST_DRIVER"), &b));
	CHECK_OK(blkio_set_str(b, "path", getenv("TEST_PATH")));
	if (getenv("TEST_NSID"))
		CHECK_OK(blkio_set_str(b, "nsid", getenv("TEST_NSID")));
	CHECK_OK(blkio_set_bool(b, "allow-no-iommu", allow));
	return b;
}

static struct blkio *start(void)
{
	struct blkio *b = create(true);

	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	return b;
}

static void lose_capability(unsigned cap)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	SYS(syscall(SYS_capget, &header, data));
	data[CAP_TO_INDEX(cap)].effective &= ~CAP_TO_MASK(cap);
	SYS(syscall(SYS_capset, &header, data));
}

static void write_file(const char *path, const char *text)
{
	int fd = (int)SYS(open(path, O_WRONLY | O_CLOEXEC));

	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* Where the page at p is; 0: nowhere. */
static uint64_t physical(const void *p)
{
	int fd = (int)SYS(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	uint64_t entry;

	CHECK_EQ(pread(fd, &entry, sizeof(entry), (uintptr_t)p / PAGE * sizeof(entry)),
		 sizeof(entry));
	close(fd);
	return entry >> 63 ? (entry & ((1ULL << 55) - 1)) * PAGE : 0;
}

/* ---- Who may ------------------------------------------------------------------------------ */

static void not_asked_for(struct device *d)
{
	struct blkio *b = create(false);

	(void)d;
	CHECK(!get_bool(b, "allow-no-iommu"));
	CHECK_ERR(blkio_connect(b), ENODEV, "not behind an IOMMU", "allow-no-iommu",
		  getenv("TEST_PATH"));
	CHECK_OK(blkio_set_bool(b, "allow-no-iommu", true));
	CHECK_OK(blkio_connect(b));
	CHECK_ERR(blkio_set_bool(b, "allow-no-iommu", false), EBUSY);
	blkio_destroy(&b);
}

static void without_raw_io(struct device *d)
{
	struct blkio *b = create(true);

	(void)d;
	lose_capability(CAP_SYS_RAWIO);
	CHECK_ERR(blkio_connect(b), EPERM, "/dev/vfio/noiommu-");
	blkio_destroy(&b);
}

static void without_physical_addresses(struct device *d)
{
	struct blkio *b = create(true);

	(void)d;
	CHECK_OK(blkio_connect(b));
	lose_capability(CAP_SYS_ADMIN);
	CHECK_ERR(blkio_start(b), EPERM, "CAP_SYS_ADMIN");
	blkio_destroy(&b);
}

static void without_io_uring(struct device *d)
{
	struct blkio *b = create(true);

	(void)d;
	CHECK_OK(blkio_connect(b));
	forbid_syscall(SYS_io_uring_setup, EPERM);
	CHECK_ERR(blkio_start(b), EPERM, "io_uring");
	blkio_destroy(&b);
}

/* ---- Memory ------------------------------------------------------------------------------- */

static void not_contiguous(struct device *d)
{
	int fd = (int)SYS(memfd_create("twice", MFD_CLOEXEC));
	struct blkio *b = start();
	struct blkio_mem_region r = { .len = 2 * PAGE, .fd = -1 };
	char *mem = buffer(2 * PAGE);

	(void)d;
	/* The same page, twice. */
	SYS(ftruncate(fd, PAGE));
	for (int i = 0; i < 2; i++)
		CHECK(mmap(mem + i * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			   0) != MAP_FAILED);
	r.addr = mem;
	CHECK_ERR(blkio_map_mem_region(b, &r), EINVAL,
		  "contiguous in physical memory for 4096 bytes");
	/* One page cannot but be. */
	r.len = PAGE;
	CHECK_OK(blkio_map_mem_region(b, &r));
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, mem, PAGE, 0), 0);
	blkio_destroy(&b);
	for (int i = 0; i < 2; i++)
		CHECK(mmap(mem + i * PAGE, PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
	free(mem);
	close(fd);
}

static void no_huge_pages(struct device *d)
{
	struct blkio *b = start();
	struct blkio_mem_region r;

	(void)d;
	write_file("/proc/sys/vm/nr_hugepages", "0");
	CHECK_ERR(blkio_alloc_mem_region(b, &r, PAGE), ENOMEM, "nr_hugepages");
	write_file("/proc/sys/vm/nr_hugepages", "128");
	CHECK_OK(blkio_alloc_mem_region(b, &r, PAGE));
	CHECK_OK(blkio_map_mem_region(b, &r));
	blkio_destroy(&b);
}

/* The kernel gathers free memory by moving what it may. */
static void stays_where_it_is(struct device *d)
{
	enum { N = 64 };
	struct blkio *b = start();
	struct blkioq *q = blkio_get_queue(b, 0);
	char *mem = buffer(2 * N * PAGE);
	uint64_t at[N];
	int moved = 0;

	(void)d;
	memset(mem, 1, 2 * N * PAGE);
	for (int i = 0; i < N; i++) {
		struct blkio_mem_region r = { .addr = mem + 2 * i * PAGE, .len = PAGE, .fd = -1 };

		CHECK_OK(blkio_map_mem_region(b, &r));
		at[i] = physical(r.addr);
		CHECK(at[i]);
	}
	for (int i = 0; i < 20; i++)
		write_file("/proc/sys/vm/compact_memory", "1");
	for (int i = 0; i < N; i++) {
		char *page = mem + 2 * i * PAGE;

		moved += physical(page) != at[i];
		pattern(page, i * PAGE, PAGE, 7);
		CHECK_EQ(io_write(q, i * PAGE, page, PAGE, 0), 0);
		memset(page, 0, PAGE);
		CHECK_EQ(io_read(q, i * PAGE, page, PAGE, 0), 0);
		check_pattern(page, i * PAGE, PAGE, 7);
	}
	CHECK_EQ(moved, 0);
	blkio_destroy(&b);
	free(mem);
}

/* ---- The end ------------------------------------------------------------------------------ */

static void read_for_ever(int ready)
{
	struct blkio *b = start();
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_mem_region r;
	struct blkio_completion c;

	CHECK_OK(blkio_alloc_mem_region(b, &r, HUGE_PAGE));
	CHECK_OK(blkio_map_mem_region(b, &r));
	for (unsigned i = 0; i < 32; i++)
		blkioq_read(q, i * 65536, (char *)r.addr + i * 65536, 65536, NULL, 0);
	for (unsigned i = 0;; i++) {
		CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
		CHECK_EQ(c.ret, 0);
		blkioq_read(q, i % 32 * 65536, (char *)r.addr + i % 32 * 65536, 65536, NULL, 0);
		if (i == 100)
			SYS(write(ready, "", 1));
	}
}

/* A process that is killed in mid-I/O leaves the memory of others alone: here, all that is free. */
static void killed(struct device *d)
{
	size_t len = 64u << 20;
	int pipe_fds[2], status;
	char *mem, byte;
	pid_t child;

	(void)d;
	if (!getenv("TEST_KILL"))
		SKIP("now and then it freezes the guest: docs/differences.md, allow-no-iommu");
	for (int round = 0; round < 3; round++) {
		SYS(pipe(pipe_fds));
		child = (pid_t)SYS(fork());
		if (!child)
			read_for_ever(pipe_fds[1]);
		close(pipe_fds[1]);
		CHECK_EQ(read(pipe_fds[0], &byte, 1), 1);
		SYS(kill(child, SIGKILL));
		/* Takes over what the child lets go, while it does. */
		mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		CHECK(mem != MAP_FAILED);
		CHECK_EQ(waitpid(child, &status, 0), child);
		CHECK(WIFSIGNALED(status));
		usleep(100 * 1000);
		check_all(mem, len, 0);
		munmap(mem, len);
		close(pipe_fds[0]);
	}
}

static const struct test tests[] = {
	{ "refused to who does not ask for it", not_asked_for },
	{ "refused without CAP_SYS_RAWIO", without_raw_io },
	{ "refused without CAP_SYS_ADMIN", without_physical_addresses },
	{ "refused where memory cannot be held", without_io_uring },
	{ "memory that is not contiguous", not_contiguous },
	{ "no huge pages", no_huge_pages },
	{ "memory stays where it is", stays_where_it_is },
	{ "a process is killed", killed, .timeout = 60 },
};

TEST_MAIN(tests)
