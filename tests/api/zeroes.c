/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Write zeroes and discard: what reads back, what stays allocated, which flags are allowed. */
#include "io.h"
#include "test.h"

enum { BLOCK = 4096, AREA = 1 << 20 };

/* A device full of pattern, started. */
static struct blkio *start_filled(struct device *d, char *buf)
{
	struct blkio *b;

	pattern(buf, 0, DEVICE_SIZE, 1);
	if (d->target->traits & T_STORES)
		device_poke(d, 0, buf, DEVICE_SIZE);
	b = device_start(d);
	return b;
}

static void check_hole(struct blkioq *q, char *buf, size_t hole_start, size_t hole_len)
{
	memset(buf, 0xee, DEVICE_SIZE);
	CHECK_EQ(io_read(q, 0, buf, DEVICE_SIZE, 0), 0);
	check_pattern(buf, 0, hole_start, 1);
	check_all(buf + hole_start, hole_len, 0);
	check_pattern(buf + hole_start + hole_len, hole_start + hole_len,
		      DEVICE_SIZE - hole_start - hole_len, 1);
}

static void write_zeroes(struct device *d)
{
	static const uint32_t flags[] = {
		0,
		BLKIO_REQ_NO_UNMAP,
		BLKIO_REQ_FUA,
		BLKIO_REQ_FUA | BLKIO_REQ_NO_UNMAP,
	};
	char *buf = buffer(DEVICE_SIZE);

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		struct blkio *b = start_filled(d, buf);
		struct blkioq *q = blkio_get_queue(b, 0);

		CHECK_EQ(io_zeroes(q, BLOCK, AREA, flags[i]), 0);
		check_hole(q, buf, BLOCK, AREA);
		blkio_destroy(&b);
	}
	buffer_free(buf);
}

/* The device does it itself or says that it cannot; both are fine, other errors are not. */
static void without_fallback(struct device *d)
{
	char *buf = buffer(DEVICE_SIZE);
	struct blkio *b = start_filled(d, buf);
	struct blkioq *q = blkio_get_queue(b, 0);
	int ret = io_zeroes(q, BLOCK, AREA, BLKIO_REQ_NO_FALLBACK);

	if (ret) {
		CHECK_EQ(ret, -ENOTSUP);
		check_hole(q, buf, 0, 0);
	} else {
		check_hole(q, buf, BLOCK, AREA);
	}
	ret = io_zeroes(q, BLOCK, AREA, BLKIO_REQ_NO_FALLBACK | BLKIO_REQ_NO_UNMAP);
	CHECK(ret == 0 || ret == -ENOTSUP);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void allocation(struct device *d)
{
	char *buf = buffer(DEVICE_SIZE);
	struct blkio *b = start_filled(d, buf);
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t full = device_allocated(d);

	CHECK(full >= DEVICE_SIZE);
	CHECK_EQ(io_zeroes(q, 0, AREA, BLKIO_REQ_NO_UNMAP), 0);
	CHECK_EQ(io_flush(q, 0), 0);
	CHECK(device_allocated(d) >= DEVICE_SIZE);
	CHECK_EQ(io_zeroes(q, AREA, AREA, 0), 0);
	CHECK_EQ(io_flush(q, 0), 0);
	CHECK(device_allocated(d) <= full - AREA);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void discard(struct device *d)
{
	char *buf = buffer(DEVICE_SIZE);
	struct blkio *b = start_filled(d, buf);
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t full = device_allocated(d);

	CHECK_EQ(io_discard(q, 2 * AREA, AREA, 0), 0);
	CHECK(device_allocated(d) <= full - AREA);
	memset(buf, 0xee, DEVICE_SIZE);
	CHECK_EQ(io_read(q, 0, buf, DEVICE_SIZE, 0), 0);
	check_pattern(buf, 0, 2 * AREA, 1);
	check_pattern(buf + 3 * AREA, 3 * AREA, AREA, 1);
	CHECK_EQ(get_u64(b, "capacity"), DEVICE_SIZE);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* "request-alignment" 1 means just that, whatever the blocks below: also up to an odd end. */
static void any_bytes(struct device *d)
{
	static const struct {
		size_t start, len;
	} cases[] = { { 1, 1 },
		      { 511, 2 },
		      { 1000, BLOCK },
		      { BLOCK - 1, BLOCK + 2 },
		      { BLOCK, 100 },
		      { 777, AREA },
		      { BLOCK + 3, 509 },
		      { AREA + 1, 512 },
		      { DEVICE_SIZE - 5000, 5000 } };
	static const uint32_t flags[] = { 0, BLKIO_REQ_NO_UNMAP, BLKIO_REQ_FUA };
	char *buf = buffer(DEVICE_SIZE);

	for (size_t i = 0; i < ARRAY_LEN(cases) * ARRAY_LEN(flags); i++) {
		size_t start = cases[i / ARRAY_LEN(flags)].start;
		size_t len = cases[i / ARRAY_LEN(flags)].len;
		struct blkio *b = start_filled(d, buf);
		struct blkioq *q = blkio_get_queue(b, 0);

		if (io_zeroes(q, start, len, flags[i % ARRAY_LEN(flags)]))
			FAIL("%zu zeroes at %zu: %s", len, start, io_msg());
		check_hole(q, buf, start, len);
		blkio_destroy(&b);
		device_peek(d, 0, buf, DEVICE_SIZE);
		check_pattern(buf, 0, start, 1);
		check_all(buf + start, len, 0);
		check_pattern(buf + start + len, start + len, DEVICE_SIZE - start - len, 1);
	}
	buffer_free(buf);
}

/* What a discard covers in part keeps its data on a block device. */
static void discard_any_bytes(struct device *d)
{
	char *buf = buffer(DEVICE_SIZE);
	struct blkio *b = start_filled(d, buf);
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t full = device_allocated(d);

	CHECK_EQ(io_discard(q, 1, 1, 0), 0);
	CHECK_EQ(io_discard(q, BLOCK - 1, 2, 0), 0);
	CHECK_EQ(io_discard(q, AREA - 1, AREA + 2, 0), 0);
	CHECK(device_allocated(d) <= full - AREA);
	CHECK_EQ(io_read(q, 0, buf, DEVICE_SIZE, 0), 0);
	check_pattern(buf, 0, 1, 1);
	check_pattern(buf + BLOCK + 1, BLOCK + 1, AREA - 1 - BLOCK - 1, 1);
	check_all(buf + AREA, AREA, 0);
	check_pattern(buf + 2 * AREA + 1, 2 * AREA + 1, DEVICE_SIZE - 2 * AREA - 1, 1);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* Part of a block is for zero buffers only. */
static void odd_without_fallback(struct device *d)
{
	char *buf = buffer(DEVICE_SIZE);
	struct blkio *b = start_filled(d, buf);
	struct blkioq *q = blkio_get_queue(b, 0);

	CHECK_IO_ERR(io_zeroes(q, 1, AREA, BLKIO_REQ_NO_FALLBACK), ENOTSUP, "NO_FALLBACK");
	check_hole(q, buf, 0, 0);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void empty_ranges(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);

	CHECK_IO_ERR(io_zeroes(q, 0, 0, 0), EINVAL, "");
	CHECK_IO_ERR(io_discard(q, 0, 0, 0), EINVAL, "");
	blkio_destroy(&b);
}

static void past_the_end(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	static const uint64_t far[] = { DEVICE_SIZE, 1ull << 40, INT64_MAX & ~4095ll,
					UINT64_MAX & ~4095ull };

	for (size_t i = 0; i < ARRAY_LEN(far); i++) {
		CHECK(io_zeroes(q, far[i], BLOCK, 0) < 0);
		CHECK(io_discard(q, far[i], BLOCK, 0) < 0);
	}
	/* Linux cuts ranges that begin on a block device off at its end; others may refuse them. */
	CHECK_IO_ERR(io_zeroes(q, BLOCK, UINT64_MAX & ~4095ull, 0), EINVAL, "");
	CHECK_IO_ERR(io_discard(q, BLOCK, UINT64_MAX & ~4095ull, 0), EINVAL, "");
	CHECK_EQ(get_u64(b, "capacity"), DEVICE_SIZE);
	blkio_destroy(&b);
}

/* On files write zeroes keeps the size, as punching a hole does. */
static void files_keep_their_size(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);

	CHECK_EQ(io_zeroes(q, DEVICE_SIZE - BLOCK, 2 * BLOCK, 0), 0);
	CHECK_EQ(get_u64(b, "capacity"), DEVICE_SIZE);
	blkio_destroy(&b);
}

static void many_in_flight(struct device *d)
{
	enum { N = 200 };
	char *buf = buffer(DEVICE_SIZE);
	struct blkio *b = start_filled(d, buf);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_completion c[N];

	for (uint64_t i = 0; i < N; i++) {
		if (i % 2)
			blkioq_discard(q, i * BLOCK, BLOCK, NULL, 0);
		else
			blkioq_write_zeroes(q, i * BLOCK, BLOCK, NULL, i % 4 ? BLKIO_REQ_FUA : 0);
	}
	CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
	for (int i = 0; i < N; i++)
		CHECK_EQ(c[i].ret, 0);
	if (d->target->traits & T_STORES) {
		CHECK_EQ(io_read(q, 0, buf, DEVICE_SIZE, 0), 0);
		for (size_t i = 0; i < N; i += 2)
			check_all(buf + i * BLOCK, BLOCK, 0);
		check_pattern(buf + N * BLOCK, N * BLOCK, DEVICE_SIZE - N * BLOCK, 1);
	}
	buffer_free(buf);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "write zeroes, every flag", write_zeroes, T_STORES },
	{ "write zeroes without fallback", without_fallback, T_STORES },
	{ "NO_UNMAP keeps space, plain gives it back", allocation, T_DISCARDS },
	{ "discard", discard, T_DISCARDS },
	{ "write zeroes to any bytes", any_bytes, T_STORES, T_ALIGNED | T_VIRTIO | T_BLOCKS, 60 },
	{ "discard any bytes", discard_any_bytes, T_DISCARDS, T_ALIGNED | T_VIRTIO | T_BLOCKS },
	{ "part of a block without fallback", odd_without_fallback, T_BLOCK, T_ALIGNED },
	{ "empty ranges", empty_ranges, T_ANY },
	{ "past the end", past_the_end, T_ANY, T_FILE },
	{ "files keep their size", files_keep_their_size, T_FILE },
	{ "many in flight", many_in_flight, T_ANY },
};
TEST_MAIN(tests)
