/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A virtio-blk or NVMe device of the test VM, through the driver that TEST_DRIVER names: what needs
 * a real device, IOMMU or a second process and so is not in the API tests. TEST_PATH names the
 * device; TEST_NSID: of an NVMe controller, the namespace.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"

#define MIB ((size_t)1 << 20)

static const char *env(const char *name)
{
	const char *value = getenv(name);

	if (!value || !*value)
		FAIL("set %s", name);
	return value;
}

static struct blkio *create(const char *path)
{
	struct blkio *b;

	CHECK_OK(blkio_create(env("TEST_DRIVER"), &b));
	CHECK_OK(blkio_set_str(b, "path", path));
	if (getenv("TEST_NSID"))
		CHECK_OK(blkio_set_str(b, "nsid", getenv("TEST_NSID")));
	if (getenv("TEST_NO_IOMMU"))
		CHECK_OK(blkio_set_bool(b, "allow-no-iommu", true));
	return b;
}

static struct blkio *start(int queues, int poll_queues)
{
	struct blkio *b = create(env("TEST_PATH"));

	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_set_int(b, "num-queues", queues));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", poll_queues));
	CHECK_OK(blkio_start(b));
	return b;
}

static struct blkio_mem_region map(struct blkio *b, size_t len)
{
	struct blkio_mem_region r;

	CHECK_OK(blkio_alloc_mem_region(b, &r, len));
	CHECK_OK(blkio_map_mem_region(b, &r));
	return r;
}

/* ---- Memory ------------------------------------------------------------------------------- */

/* Write from one region and read into the next, all around. */
static void many_regions(struct device *d)
{
	enum { N = 64 };
	struct blkio *b = start(1, 0);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_mem_region r[N];

	(void)d;
	for (int i = 0; i < N; i++)
		r[i] = map(b, (1 + i % 3) * 64 * 1024);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < N; i++) {
			char *to = (char *)r[(i + 1) % N].addr + 8192;

			pattern((char *)r[i].addr + 4096, i * 4096, 4096, 1 + round);
			CHECK_EQ(io_write(q, i * 4096, (char *)r[i].addr + 4096, 4096, 0), 0);
			CHECK_EQ(io_read(q, i * 4096, to, 4096, 0), 0);
			check_pattern(to, i * 4096, 4096, 1 + round);
		}
		/* Every other one goes and comes back as another. */
		for (int i = 0; i < N && !round; i += 2) {
			blkio_free_mem_region(b, &r[i]);
			r[i] = map(b, 128 * 1024);
		}
	}
	blkio_destroy(&b);
}

/* Up to the limit, which here is the kernel's, and not beyond. */
static void as_many_regions_as_may_be(struct device *d)
{
	struct blkio *b = start(1, 0);
	uint64_t most = get_u64(b, "max-mem-regions");
	struct blkio_mem_region r;

	(void)d;
	if (most > 1000)
		SKIP("max-mem-regions is %llu", (unsigned long long)most);
	for (uint64_t i = 0; i < most; i++)
		r = map(b, 4096);
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, r.addr, 4096, 0), 0);
	blkio_unmap_mem_region(b, &r);
	CHECK_OK(blkio_map_mem_region(b, &r));
	CHECK_OK(blkio_alloc_mem_region(b, &r, 4096));
	CHECK_ERR(blkio_map_mem_region(b, &r), ENOSPC, "max-mem-regions");
	blkio_destroy(&b);
}

/* At its first and last page, and across what an IOMMU maps at a time. */
static void large_region(struct device *d)
{
	size_t len = strtoull(env("TEST_LARGE_REGION"), NULL, 0) * MIB, at;
	struct blkio *b = start(1, 0);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_mem_region r = map(b, len);
	char *mem = r.addr;

	(void)d;
	for (at = 0; at <= len - MIB; at += len / 8 - 4096) {
		pattern(mem + at, at % (64 * MIB), 4096, 3);
		CHECK_EQ(io_write(q, at % (64 * MIB), mem + at, 4096, 0), 0);
		memset(mem + at, 0, 4096);
		CHECK_EQ(io_read(q, at % (64 * MIB), mem + at, 4096, 0), 0);
		check_pattern(mem + at, at % (64 * MIB), 4096, 3);
	}
	pattern(mem + len - 4096, 0, 4096, 4);
	CHECK_EQ(io_write(q, 0, mem + len - 4096, 4096, 0), 0);
	CHECK_EQ(io_read(q, 0, mem, 4096, 0), 0);
	check_pattern(mem, 0, 4096, 4);
	blkio_unmap_mem_region(b, &r);
	CHECK_IO_ERR(io_read(q, 0, mem, 4096, 0), EINVAL, "not in a mapped memory region");
	blkio_destroy(&b);
}

/* Memory of which no two pages that follow one another do so in physical memory, but for chance. */
static struct blkio_mem_region scattered(size_t len)
{
	struct blkio_mem_region r = { .len = len };

	r.fd = (int)SYS(memfd_create("scattered", MFD_CLOEXEC));
	SYS(ftruncate(r.fd, (off_t)len));
	r.addr = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd, 0);
	CHECK(r.addr != MAP_FAILED);
	for (size_t odd = 0; odd < 2; odd++) {
		for (size_t at = odd * 4096; at < len; at += 8192)
			memset((char *)r.addr + at, 0x55, 4096);
	}
	return r;
}

/* TEST_PIECES: the device can have this many mappings of physically contiguous memory. */
static void scattered_memory(struct device *d)
{
	const char *limit = getenv("TEST_PIECES");
	size_t len = (limit ? strtoul(limit, NULL, 0) : 4096) * 4096;
	struct blkio *b = start(1, 0);
	struct blkio_mem_region r, few = scattered(len / 4), many = scattered(2 * len);
	char *mem = few.addr;

	(void)d;
	if (getenv("TEST_NO_IOMMU"))
		SKIP("without an IOMMU, memory must be contiguous");
	for (int i = 0; i < 3; i++) {
		if (limit)
			CHECK_ERR(blkio_map_mem_region(b, &many), EFAULT, "ulimit -l",
				  "max_iotlb_entries");
		else
			CHECK_OK(blkio_map_mem_region(b, &many));
		/* Nothing is left of what failed. */
		CHECK_OK(blkio_map_mem_region(b, &few));
		for (size_t at = 0; at < len / 4; at += len / 16) {
			pattern(mem + at, at, 4096, 30 + i);
			CHECK_EQ(io_write(blkio_get_queue(b, 0), at, mem + at, 4096, 0), 0);
			memset(mem + at, 0, 4096);
			CHECK_EQ(io_read(blkio_get_queue(b, 0), at, mem + at, 4096, 0), 0);
			check_pattern(mem + at, at, 4096, 30 + i);
		}
		blkio_unmap_mem_region(b, &few);
		if (!limit)
			blkio_unmap_mem_region(b, &many);
	}
	r = map(b, 65536);
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, r.addr, 4096, 0), 0);
	blkio_destroy(&b);
	munmap(few.addr, few.len);
	munmap(many.addr, many.len);
	close(few.fd);
	close(many.fd);
}

static void *map_and_unmap(void *arg)
{
	struct blkio *b = arg;

	for (int i = 0; i < 100; i++) {
		struct blkio_mem_region r = map(b, (1 + i % 7) * 256 * 1024);

		blkio_free_mem_region(b, &r);
	}
	return NULL;
}

static void mapping_during_io(struct device *d)
{
	struct blkio *b = start(1, 0);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_mem_region r = map(b, MIB);
	char *mem = r.addr;
	pthread_t thread;

	(void)d;
	/* libvduse, which serves it, drops all mappings of requests in flight at every change. */
	if (getenv("TEST_KEEPS_NO_MAPPINGS"))
		SKIP("a VDUSE server cannot serve requests while mappings change");
	CHECK_EQ(pthread_create(&thread, NULL, map_and_unmap, b), 0);
	for (int i = 0; i < 400; i++) {
		uint64_t at = (uint64_t)(i % 16) * 4096;

		pattern(mem, at, 4096, 5 + i);
		CHECK_EQ(io_write(q, at, mem, 4096, 0), 0);
		CHECK_EQ(io_read(q, at, mem + 8192, 4096, 0), 0);
		check_pattern(mem + 8192, at, 4096, 5 + i);
	}
	CHECK_EQ(pthread_join(thread, NULL), 0);
	blkio_destroy(&b);
}

/* ---- Beginning and end -------------------------------------------------------------------- */

/* Interrupts, kicks and addresses are set up again each time. */
static void again_and_again(struct device *d)
{
	(void)d;
	for (int i = 0; i < 10; i++) {
		struct blkio *b = start(i % 2 == 0, i % 2);
		struct blkioq *q = i % 2 ? blkio_get_poll_queue(b, 0) : blkio_get_queue(b, 0);
		struct blkio_mem_region r = map(b, 65536);

		pattern(r.addr, 0, 65536, 10 + i);
		for (size_t at = 0; at < 65536; at += 4096)
			CHECK_EQ(io_write(q, at, (char *)r.addr + at, 4096, 0), 0);
		memset(r.addr, 0, 65536);
		for (size_t at = 0; at < 65536; at += 4096)
			CHECK_EQ(io_read(q, at, (char *)r.addr + at, 4096, 0), 0);
		check_pattern(r.addr, 0, 65536, 10 + i);
		blkio_destroy(&b);
	}
}

static void destroyed_with_requests_in_flight(struct device *d)
{
	(void)d;
	for (int i = 0; i < 5; i++) {
		struct blkio *b = start(1, 0);
		struct blkioq *q = blkio_get_queue(b, 0);
		struct blkio_mem_region r = map(b, MIB);

		for (size_t at = 0; at < MIB; at += 4096)
			blkioq_read(q, at, (char *)r.addr + at, 4096, NULL, 0);
		CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
		blkio_destroy(&b);
	}
}

/* The device was told of queues already: it is reset, and told again. */
static void failed_start_then_another(struct device *d)
{
	struct blkio *b = create(env("TEST_PATH"));
	struct blkio_mem_region r;
	int fds[256], n = 0;

	(void)d;
	CHECK_OK(blkio_connect(b));
	allow_more_fds(4); /* for the memory of queues, the config fd, ... but not for all */
	CHECK_ERR(blkio_start(b), EMFILE);
	while ((fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	CHECK_ERR(blkio_start(b), EMFILE);
	while (n)
		close(fds[--n]);
	allow_more_fds(20);
	CHECK_OK(blkio_start(b));
	r = map(b, 4096);
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, r.addr, 4096, 0), 0);
	blkio_destroy(&b);
}

/* ---- Who may, and who may not ------------------------------------------------------------- */

static void two_processes(struct device *d)
{
	struct blkio *b = start(1, 0), *second = create(env("TEST_PATH"));

	(void)d;
	CHECK_ERR(blkio_connect(second), EBUSY, "is in use", "fuser");
	blkio_destroy(&b);
	CHECK_OK(blkio_connect(second));
	blkio_destroy(&second);
}

static void connect_fails(const char *path, int errnum, const char *text)
{
	struct blkio *b = create(path);

	CHECK_ERR(blkio_connect(b), errnum, text);
	blkio_destroy(&b);
}

static void wrong_paths(struct device *d)
{
	char fifo[4200], file[4200];
	bool pci = strstr(env("TEST_DRIVER"), "pci");
	int strange = pci ? EINVAL : ENOTTY;

	(void)d;
	snprintf(fifo, sizeof(fifo), "%s/fifo", test_dir());
	snprintf(file, sizeof(file), "%s/file", test_dir());
	SYS(mkfifo(fifo, 0600));
	SYS(mknod(file, S_IFREG | 0600, 0));
	connect_fails("/nowhere", ENOENT, "/nowhere");
	connect_fails("/dev/null", strange, "/dev/null");
	connect_fails(fifo, strange, "fifo");
	connect_fails(file, strange, "file");
	connect_fails("/sys/bus/pci/devices", pci ? EINVAL : EISDIR, "/sys/bus/pci/devices");
	if (pci) {
		connect_fails("0000:ff:1f.7", ENOENT, "0000:ff:1f.7");
		connect_fails("ff:1f.8", EINVAL, "ff:1f.8");
		connect_fails("0000:00:00.0", ENODEV, "not to vfio-pci");
		if (!getenv("VM_VFIO_NVME"))
			return;
		if (getenv("TEST_NSID"))
			connect_fails(env("VM_VFIO_VIRTIO_BLK"), ENODEV, "not an NVMe controller");
		else
			connect_fails(env("VM_VFIO_NVME"), ENODEV, "not a virtio block device");
	}
}

/* Only vhost-vdpa has it, but not of a PCI device, which cannot say how far it is with a ring. */
static void queue_passthrough(struct device *d)
{
	bool vdpa = !strcmp(env("TEST_DRIVER"), "virtio-blk-vhost-vdpa");
	struct blkio *b = create(env("TEST_PATH"));
	struct blkio_vring v = { .size = 16 };
	uint64_t features;
	char config[8];

	(void)d;
	CHECK_OK(blkio_connect(b));
	if (vdpa && !getenv("VM_VFIO_VIRTIO_BLK")) {
		CHECK_OK(blkio_get_vring_features(b, &features));
		blkio_destroy(&b);
		return;
	}
	CHECK_ERR(blkio_get_vring_features(b, &features), ENOTSUP, vdpa ? "ring" : "driver");
	CHECK_EQ(features, 0);
	if (vdpa) {
		CHECK_OK(blkio_set_int(b, "num-vrings", 1));
		CHECK_ERR(blkio_start(b), ENOTSUP, "ring");
		CHECK_OK(blkio_set_int(b, "num-vrings", 0));
		CHECK_OK(blkio_start(b));
	} else {
		CHECK_ERR(blkio_set_int(b, "num-vrings", 1), ENOENT);
		CHECK_OK(blkio_start(b));
		CHECK_ERR(blkio_get_device_config(b, config, sizeof(config)), ENOTSUP, "driver");
		CHECK_ERR(blkio_start_vring(b, 0, &v), ENOTSUP, "driver");
		CHECK_ERR(blkio_stop_vring(b, 0, &v), ENOTSUP, "driver");
	}
	blkio_destroy(&b);
}

static void no_permission(struct device *d)
{
	(void)d;
	drop_privileges();
	connect_fails(env("TEST_PATH"), EACCES, "ermission denied");
}

static const struct test tests[] = {
	{ "64 memory regions", many_regions, .timeout = 60 },
	{ "as many regions as there may be", as_many_regions_as_may_be, .timeout = 60 },
	{ "a large memory region", large_region, .timeout = 120 },
	{ "scattered memory", scattered_memory, .timeout = 60 },
	{ "mapping and unmapping during I/O", mapping_during_io, .timeout = 60 },
	{ "started again and again", again_and_again, .timeout = 60 },
	{ "destroyed with requests in flight", destroyed_with_requests_in_flight, .timeout = 60 },
	{ "a failed start, then another", failed_start_then_another },
	{ "two processes", two_processes },
	{ "wrong paths", wrong_paths },
	{ "queue passthrough", queue_passthrough },
	{ "no permission", no_permission },
};

TEST_MAIN(tests)
