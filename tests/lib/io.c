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
