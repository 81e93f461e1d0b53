/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One request at a time, and buffers whose every byte tells where it belongs. */
#include "io.h"
#include "arena.h"
#include "test.h"

static __thread const char *last_msg = "";

const char *io_msg(void)
{
	return last_msg;
}

int io_finish(struct blkioq *q, void *user_data)
{
	static const uint8_t zeroes[12];
	struct blkio_completion c[2];

	memset(c, 0xa5, sizeof(c));
	CHECK_EQ(blkioq_do_io(q, c, 1, 2, NULL), 1);
	CHECK(c[0].user_data == user_data);
	CHECK_MEM(c[0].reserved_, zeroes, sizeof(zeroes));
	CHECK(c[0].ret < 0 || !c[0].error_msg);
	CHECK_EQ(blkioq_do_io(q, c + 1, 0, 1, NULL), 0);
	last_msg = c[0].error_msg ? c[0].error_msg : "";
	return c[0].ret;
}

int io_read(struct blkioq *q, uint64_t start, void *buf, size_t len, uint32_t flags)
{
	blkioq_read(q, start, buf, len, &start, flags);
	return io_finish(q, &start);
}

int io_write(struct blkioq *q, uint64_t start, const void *buf, size_t len, uint32_t flags)
{
	blkioq_write(q, start, buf, len, &start, flags);
	return io_finish(q, &start);
}

int io_readv(struct blkioq *q, uint64_t start, const struct iovec *iov, int n, uint32_t flags)
{
	blkioq_readv(q, start, iov, n, &start, flags);
	return io_finish(q, &start);
}

int io_writev(struct blkioq *q, uint64_t start, struct iovec *iov, int n, uint32_t flags)
{
	blkioq_writev(q, start, iov, n, &start, flags);
	return io_finish(q, &start);
}

int io_zeroes(struct blkioq *q, uint64_t start, uint64_t len, uint32_t flags)
{
	blkioq_write_zeroes(q, start, len, &start, flags);
	return io_finish(q, &start);
}

int io_discard(struct blkioq *q, uint64_t start, uint64_t len, uint32_t flags)
{
	blkioq_discard(q, start, len, &start, flags);
	return io_finish(q, &start);
}

int io_flush(struct blkioq *q, uint32_t flags)
{
	int cookie;

	blkioq_flush(q, &cookie, flags);
	return io_finish(q, &cookie);
}

void *buffer(size_t len)
{
	void *buf = arena_alloc(len);

	if (!buf)
		buf = aligned_alloc(4096, (len + 4095) & ~(size_t)4095);
	CHECK(buf);
	return buf;
}

void buffer_free(void *buf)
{
	if (!arena_owns(buf))
		free(buf);
}

/* Any mixing function does; a word must not equal its neighbours, nor itself under another seed. */
static uint8_t byte_at(uint64_t position, uint32_t seed)
{
	uint64_t h = (position / 8 + 1) * 0x9e3779b97f4a7c15ull ^ (uint64_t)seed << 32;

	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9ull;
	h ^= h >> 32;
	return (uint8_t)(h >> position % 8 * 8);
}

void pattern(void *buf, uint64_t start, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = byte_at(start + i, seed);
}

void check_pattern(const void *buf, uint64_t start, size_t len, uint32_t seed)
{
	const uint8_t *got = buf;

	for (size_t i = 0; i < len; i++) {
		if (got[i] != byte_at(start + i, seed))
			FAIL("byte %zu of %zu (at %llu) is 0x%02x, not 0x%02x", i, len,
			     (unsigned long long)(start + i), got[i], byte_at(start + i, seed));
	}
}

void check_all(const void *buf, size_t len, unsigned char byte)
{
	const unsigned char *got = buf;

	for (size_t i = 0; i < len; i++) {
		if (got[i] != byte)
			FAIL("byte %zu of %zu is 0x%02x, not 0x%02x", i, len, got[i], byte);
	}
}

/* ---- Alignments --------------------------------------------------------------------------- */

/* Segments of len bytes, each at another odd multiple of align; returns how many fit in total. */
static int odd_segments(struct iovec *iov, char *buf, size_t align, size_t len, size_t total)
{
	int n = 0;

	for (size_t left = total; left; left -= iov[n++].iov_len)
		iov[n] = (struct iovec){ buf + (size_t)n * 2 * 4096 + (2 * (size_t)n + 1) * align,
					 left < len ? left : len };
	return n;
}

static void check_segments(struct blkioq *q, char *buf, struct iovec *iov, int n)
{
	uint64_t at = 0;

	for (int i = 0; i < n; at += iov[i++].iov_len)
		pattern(iov[i].iov_base, at, iov[i].iov_len, 77);
	if (io_writev(q, 0, iov, n, 0))
		FAIL("a write of %d segments, the first of %zu bytes: %s", n, iov[0].iov_len,
		     io_msg());
	memset(buf, 0xee, ALIGNED_LEN);
	if (io_readv(q, 0, iov, n, 0))
		FAIL("a read of %d segments, the first of %zu bytes: %s", n, iov[0].iov_len,
		     io_msg());
	at = 0;
	for (int i = 0; i < n; at += iov[i++].iov_len)
		check_pattern(iov[i].iov_base, at, iov[i].iov_len, 77);
}

static size_t least(size_t n, int limit)
{
	return limit && (size_t)limit < n ? (size_t)limit : n;
}

/* As much as the limits allow, which may be more than the kernel or the device does at once. */
static void check_lengths(struct blkio *b, struct blkioq *q, char *buf)
{
	size_t align = (size_t)get_int(b, "buf-alignment");
	size_t block = (size_t)get_int(b, "request-alignment");
	size_t most = least(ALIGNED_LEN - align, get_int(b, "max-transfer")), n;
	struct iovec iov[ALIGNED_LEN / 8192];

	/* One buffer. */
	iov[0] = (struct iovec){ buf + align,
				 least(most, get_int(b, "max-segment-len")) & ~(block - 1) };
	check_segments(q, buf, iov, 1);
	/* Many segments, with gaps. */
	n = least((ALIGNED_LEN - block) / (8192 + 2 * align), get_int(b, "max-segments"));
	n = least(n, (int)(most / block));
	check_segments(q, buf, iov, odd_segments(iov, buf, align, block, n * block));
	/* A long segment between short ones. */
	if (n >= 3 && most >= ALIGNED_LEN / 2 && !get_int(b, "max-segment-len")) {
		iov[0] = (struct iovec){ buf + align, block };
		iov[1] = (struct iovec){ buf + 16384, ALIGNED_LEN / 2 - 2 * block };
		iov[2] = (struct iovec){ buf + ALIGNED_LEN - block, block };
		check_segments(q, buf, iov, 3);
	}
}

void check_limits(struct blkio *b, struct blkioq *q, char *buf)
{
	size_t align = (size_t)get_int(b, "buf-alignment"), step = align;
	size_t block = (size_t)get_int(b, "request-alignment");
	int most = get_int(b, "max-segments");
	struct iovec iov[32];
	int n;

	/* One buffer, from the first aligned address on, over several pages. */
	iov[0] = (struct iovec){ buf + align, 8192 > block ? 8192 : 2 * block };
	check_segments(q, buf, iov, 1);
	while (step * 16 < block) /* not too many of them */
		step *= 2;
	for (; most > 16 && step <= block; step *= 2) {
		n = odd_segments(iov, buf, align, step, 16 * step > block ? block : 16 * step);
		check_segments(q, buf, iov, n);
	}
	/* Segments that end within a page. */
	if (most >= 2) {
		n = odd_segments(iov, buf, align, block, 2 * block);
		check_segments(q, buf, iov, n);
	}
	check_lengths(b, q, buf);
}
