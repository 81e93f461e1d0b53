/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reads and writes: what was written, and nothing else, is where it was written. */
#include "io.h"
#include "test.h"

enum { BLOCK = 4096 };

static void write_then_read(struct device *d)
{
	static const size_t lengths[] = { BLOCK, 2 * BLOCK, 64 << 10, 1 << 20, 3 * BLOCK };
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(DEVICE_SIZE);
	uint64_t start = 0;

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		pattern(buf, start, lengths[i], 1);
		CHECK_EQ(io_write(q, start, buf, lengths[i], 0), 0);
		start += lengths[i];
	}
	memset(buf, 0xee, DEVICE_SIZE);
	CHECK_EQ(io_read(q, 0, buf, DEVICE_SIZE, 0), 0);
	check_pattern(buf, 0, start, 1);
	check_all(buf + start, DEVICE_SIZE - start, 0);
	CHECK_EQ(io_flush(q, 0), 0);
	memset(buf, 0xee, DEVICE_SIZE);
	device_peek(d, 0, buf, DEVICE_SIZE);
	check_pattern(buf, 0, start, 1);
	check_all(buf + start, DEVICE_SIZE - start, 0);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void read_sees_the_medium(struct device *d)
{
	char *buf = buffer(1 << 20);
	struct blkio *b;

	pattern(buf, BLOCK, 1 << 20, 2);
	device_poke(d, BLOCK, buf, 1 << 20);
	b = device_start_with(d, "read-only", "true");
	memset(buf, 0xee, 1 << 20);
	CHECK_EQ(io_read(blkio_get_queue(b, 0), BLOCK, buf, 1 << 20, 0), 0);
	check_pattern(buf, BLOCK, 1 << 20, 2);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* The smallest request the device takes, next to others that must not change. */
static void smallest_request(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	size_t len = (size_t)get_int(b, "request-alignment");
	char *buf = buffer(3 * BLOCK);

	CHECK(len >= 1 && len <= BLOCK);
	pattern(buf, 0, 3 * BLOCK, 3);
	CHECK_EQ(io_write(q, 0, buf, 3 * BLOCK, 0), 0);
	pattern(buf, BLOCK + len, len, 4);
	CHECK_EQ(io_write(q, BLOCK + len, buf, len, 0), 0);
	memset(buf, 0xee, 3 * BLOCK);
	CHECK_EQ(io_read(q, 0, buf, 3 * BLOCK, 0), 0);
	check_pattern(buf, 0, BLOCK + len, 3);
	check_pattern(buf + BLOCK + len, BLOCK + len, len, 4);
	check_pattern(buf + BLOCK + 2 * len, BLOCK + 2 * len, 2 * BLOCK - 2 * len, 3);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* The properties are promises: what keeps to them works, on every kind of queue. */
static void properties_hold(struct device *d)
{
	static const char *const kinds[][2] = {
		{ "num-queues", "1" },
		{ "register-buffers", "true" },
		{ "bounce-buffers", "4" },
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct blkio *b;
		struct blkio_mem_region r;

		if (!strcmp(kinds[i][0], "register-buffers") && !(d->target->traits & T_IO_URING))
			continue;
		b = device_start_with(d, kinds[i][0], kinds[i][1]);
		CHECK_OK(blkio_alloc_mem_region(b, &r, ALIGNED_LEN));
		CHECK_OK(blkio_map_mem_region(b, &r));
		check_limits(b, blkio_get_queue(b, 0), r.addr);
		blkio_destroy(&b);
	}
}

/* Buffered targets take any address and length. */
static void unaligned(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(3 * BLOCK);

	CHECK_EQ(get_int(b, "buf-alignment"), 1);
	pattern(buf + 1, 777, 5001, 5);
	CHECK_EQ(io_write(q, 777, buf + 1, 5001, 0), 0);
	memset(buf, 0xee, 3 * BLOCK);
	CHECK_EQ(io_read(q, 777, buf + 3, 5001, 0), 0);
	check_pattern(buf + 3, 777, 5001, 5);
	check_all(buf, 3, 0xee);
	check_all(buf + 3 + 5001, 3 * BLOCK - 5004, 0xee);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* n segments of seg bytes over buf, in reverse order of memory so that order matters. */
static struct iovec *segments(char *buf, int n, size_t seg)
{
	struct iovec *iov = calloc((size_t)n, sizeof(*iov));

	CHECK(iov);
	for (int i = 0; i < n; i++)
		iov[i] = (struct iovec){ buf + (size_t)(n - 1 - i) * seg, seg };
	return iov;
}

static void vectored(struct device *d)
{
	static const int counts[] = { 1, 2, 3, 7, 16, 64, 255, 1024 };
	struct blkio *b = device_start(d);
	int most = d->target->traits & T_VIRTIO ? 1024 : get_int(b, "max-segments");
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(DEVICE_SIZE);

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		int n = counts[i] < most ? counts[i] : most;
		size_t seg = BLOCK * (n < 4 ? 5 : 1);
		struct iovec *iov = segments(buf, n, seg);

		for (int k = 0; k < n; k++)
			pattern(iov[k].iov_base, (uint64_t)k * seg, seg, 10 + (uint32_t)i);
		CHECK_EQ(io_writev(q, 0, iov, n, 0), 0);
		memset(buf, 0xee, (size_t)n * seg);
		CHECK_EQ(io_readv(q, 0, iov, n, 0), 0);
		for (int k = 0; k < n; k++)
			check_pattern(iov[k].iov_base, (uint64_t)k * seg, seg, 10 + (uint32_t)i);
		CHECK_EQ(io_read(q, 0, buf, (size_t)n * seg, 0), 0);
		check_pattern(buf, 0, (size_t)n * seg, 10 + (uint32_t)i);
		free(iov);
	}
	buffer_free(buf);
	blkio_destroy(&b);
}

static void too_many_segments(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	int n = get_int(b, "max-segments") + 1;
	char *buf = buffer(BLOCK);
	struct iovec *iov = calloc((size_t)n, sizeof(*iov));

	for (int i = 0; i < n; i++)
		iov[i] = (struct iovec){ buf, BLOCK };
	CHECK_IO_ERR(io_readv(q, 0, iov, n, 0), EINVAL, "segments");
	CHECK_IO_ERR(io_writev(q, 0, iov, n, 0), EINVAL, "segments");
	free(iov);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void odd_iovecs(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(2 * BLOCK);
	struct iovec iov[3] = { { buf, BLOCK }, { buf, 0 }, { buf + BLOCK, BLOCK } };
	struct iovec huge[2] = { { buf, (size_t)-4096 }, { buf, 8192 } };

	pattern(buf, 0, 2 * BLOCK, 30);
	CHECK_EQ(io_writev(q, 0, iov, 3, 0), 0); /* an empty segment in the middle */
	memset(buf, 0xee, 2 * BLOCK);
	CHECK_EQ(io_read(q, 0, buf, 2 * BLOCK, 0), 0);
	check_pattern(buf, 0, 2 * BLOCK, 30);
	CHECK_EQ(io_readv(q, 0, iov, -1, 0), -EINVAL);
	CHECK_EQ(io_writev(q, 0, iov, INT32_MIN, 0), -EINVAL);
	CHECK_EQ(io_readv(q, 0, NULL, 1, 0), -EINVAL);
	CHECK_EQ(io_writev(q, 0, NULL, 3, 0), -EINVAL);
	CHECK_EQ(io_readv(q, 0, huge, 2, 0), -EINVAL); /* the sum overflows */
	buffer_free(buf);
	blkio_destroy(&b);
}

/* The iovec array may be on a stack that is gone only once the request has completed: not before.
 */
static void many_vectored_in_flight(struct device *d)
{
	enum { N = 64, SEGS = 8 };
	struct blkio *b = device_start_narrow(d, 4);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_completion c[N];
	char *buf = buffer(N * SEGS * BLOCK);
	struct iovec *iov[N];

	for (int i = 0; i < N; i++) {
		iov[i] = segments(buf + i * SEGS * BLOCK, SEGS, 512);
		for (int k = 0; k < SEGS; k++)
			pattern(iov[i][k].iov_base, (uint64_t)i * BLOCK + (uint64_t)k * 512, 512,
				40);
		blkioq_writev(q, (uint64_t)i * BLOCK, iov[i], SEGS, iov[i], 0);
	}
	CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
	for (int i = 0; i < N; i++) {
		CHECK_EQ(c[i].ret, 0);
		free(c[i].user_data);
	}
	CHECK_EQ(io_read(q, 0, buf, N * BLOCK, 0), 0);
	check_pattern(buf, 0, N * BLOCK, 40);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void writes_with_fua(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(2 * BLOCK);
	struct iovec iov[2] = { { buf, BLOCK }, { buf + BLOCK, BLOCK } };

	pattern(buf, 0, 2 * BLOCK, 50);
	CHECK_EQ(io_write(q, 0, buf, 2 * BLOCK, BLKIO_REQ_FUA), 0);
	CHECK_EQ(io_writev(q, 2 * BLOCK, iov, 2, BLKIO_REQ_FUA), 0);
	CHECK_EQ(io_zeroes(q, 8 * BLOCK, BLOCK, BLKIO_REQ_FUA), 0);
	if (d->target->traits & T_STORES) {
		device_peek(d, 0, buf, 2 * BLOCK);
		check_pattern(buf, 0, 2 * BLOCK, 50);
		device_peek(d, 2 * BLOCK, buf, 2 * BLOCK);
		check_pattern(buf, 0, 2 * BLOCK, 50);
	}
	buffer_free(buf);
	blkio_destroy(&b);
}

static void flush_with_writes_around(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_completion c[24];
	char *buf = buffer(BLOCK);

	for (int i = 0; i < 24; i++) {
		if (i % 3 == 2)
			blkioq_flush(q, NULL, 0);
		else
			blkioq_write(q, (uint64_t)i * BLOCK, buf, BLOCK, NULL, 0);
	}
	CHECK_EQ(blkioq_do_io(q, c, 24, 24, NULL), 24);
	for (int i = 0; i < 24; i++)
		CHECK_EQ(c[i].ret, 0);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* Flushes that the block device has been sent, by the kernel's count. */
static long flushes(struct device *d)
{
	char path[128], line[512] = "";
	long count = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/class/block/%s/stat", strrchr(d->path, '/') + 1);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		SKIP("%s: %s", path, strerror(errno));
	fclose(f);
	if (sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %ld",
		   &count) != 1)
		SKIP("this kernel does not count flushes");
	return count;
}

/* Durability cannot be seen from inside, but that the device was told can. */
static void flushes_reach_the_device(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(BLOCK);
	long before;

	CHECK(get_bool(b, "flush-needed"));
	CHECK_EQ(io_write(q, 0, buf, BLOCK, 0), 0);
	before = flushes(d);
	CHECK_EQ(io_write(q, 0, buf, BLOCK, 0), 0);
	CHECK_EQ(flushes(d), before);
	CHECK_EQ(io_write(q, 0, buf, BLOCK, BLKIO_REQ_FUA), 0);
	CHECK(flushes(d) > before);
	before = flushes(d);
	CHECK_EQ(io_flush(q, 0), 0);
	CHECK(flushes(d) > before);
	before = flushes(d);
	CHECK_EQ(io_zeroes(q, 0, BLOCK, BLKIO_REQ_FUA), 0);
	CHECK(flushes(d) > before);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* Memory from blkio_alloc_mem_region() is what a portable application uses. */
static void through_a_region(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_mem_region region;
	char *buf;

	CHECK_OK(blkio_alloc_mem_region(b, &region, 1 << 20));
	CHECK_OK(blkio_map_mem_region(b, &region));
	buf = region.addr;
	check_all(buf, region.len, 0);
	pattern(buf, 0, 1 << 20, 60);
	CHECK_EQ(io_write(q, 0, buf, 1 << 20, 0), 0);
	memset(buf, 0xee, 1 << 20);
	CHECK_EQ(io_read(q, 0, buf, 1 << 20, 0), 0);
	check_pattern(buf, 0, 1 << 20, 60);
	blkio_unmap_mem_region(b, &region);
	blkio_free_mem_region(b, &region);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "write then read", write_then_read, T_STORES },
	{ "read sees the medium", read_sees_the_medium, T_STORES },
	{ "smallest request", smallest_request, T_STORES },
	{ "what keeps to the properties works", properties_hold, T_STORES },
	{ "unaligned buffers and lengths", unaligned, T_STORES,
	  T_DIRECT | T_ALIGNED | T_VIRTIO | T_BLOCKS },
	{ "vectored, up to max-segments, virtio beyond", vectored, T_STORES },
	{ "too many segments", too_many_segments, T_ANY, T_REGIONS },
	{ "odd iovecs", odd_iovecs, T_STORES },
	{ "many vectored requests in flight", many_vectored_in_flight, T_STORES | T_KERNEL,
	  T_DIRECT },
	{ "FUA writes", writes_with_fua, T_ANY },
	{ "FUA and flush reach the device", flushes_reach_the_device, T_BLOCK | T_KERNEL },
	{ "flush with writes around", flush_with_writes_around, T_ANY },
	{ "through a memory region", through_a_region, T_STORES },
};
TEST_MAIN(tests)
