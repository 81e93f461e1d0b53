/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Block status: extents follow one another from the beginning of the range, and data is never said
 * to be a hole or zeroes, whoever asks, on whichever queue. An array that cannot be written is
 * EFAULT, and nothing else suffers.
 */
#include <sys/mman.h>

#include "matrix.h"

enum { PIECE = 64 << 10, DATA = 1 << 20, EXTENTS = 64, PAGE = 4096, SEED = 11 };

static int ask(struct blkioq *q, uint64_t start, struct blkio_extent *x, uint32_t n)
{
	static char cookie;

	blkioq_block_status(q, start, DEVICE_SIZE - start, x, n, &cookie, 0);
	return io_finish(q, &cookie);
}

static bool overlaps(const struct blkio_extent *x, uint64_t start, uint64_t len)
{
	return x->start < start + len && start < x->start + x->len;
}

/* From start on; the data at DATA is data. Returns where they end. */
static uint64_t check_extents(const struct blkio_extent *x, int n, uint64_t start)
{
	uint64_t at = start;

	CHECK(n >= 1 && n <= EXTENTS);
	for (int i = 0; i < n; i++) {
		CHECK_EQ(x[i].start, at);
		CHECK(x[i].len && x[i].len <= DEVICE_SIZE - at);
		if (overlaps(&x[i], DATA, PIECE))
			CHECK_EQ(x[i].flags, BLKIO_EXTENT_ALLOCATED);
		at += x[i].len;
	}
	return at;
}

static void ask_for_all(struct blkioq *q)
{
	struct blkio_extent x[EXTENTS];

	for (uint64_t at = 0; at < DEVICE_SIZE;)
		at = check_extents(x, ask(q, at, x, EXTENTS), at);
	/* One at a time comes to the same. */
	for (uint64_t at = 0; at < DEVICE_SIZE;)
		at = check_extents(x, ask(q, at, x, 1), at);
}

static void write_and_ask(struct setting *s)
{
	pattern(s->data, 0, PIECE, SEED);
	for (int i = 0; i < s->nr_queues; i++) {
		CHECK_EQ(io_write(setting_queue(s, i), DATA, s->data, PIECE, 0), 0);
		ask_for_all(setting_queue(s, i));
	}
}

static void is_true(struct setting *s)
{
	setting_start(s);
	s->data = buffer(PIECE);
	setting_call(s, write_and_ask);
	blkio_destroy(&s->b);
	buffer_free(s->data);
}

/* Whatever the server says, it is read to its end: the next request is answered as ever. */
static void ask_badly(struct setting *s)
{
	static const int protections[] = { PROT_NONE, PROT_READ };
	struct blkioq *q = setting_queue(s, 0);

	for (size_t i = 0; i < ARRAY_LEN(protections); i++) {
		void *bad = mmap(NULL, PAGE, protections[i], MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		CHECK(bad != MAP_FAILED);
		CHECK_EQ(ask(q, 0, bad, EXTENTS), -EFAULT);
		CHECK_EQ(ask(q, 0, bad, 1), -EFAULT);
		SYS(munmap(bad, PAGE));
		write_and_ask(s);
	}
	/* Where nothing is mapped, and, unlike in bad's place, nothing will be. */
	CHECK_EQ(ask(q, 0, (void *)(uintptr_t)PAGE, 1), -EFAULT);
	write_and_ask(s);
}

static void is_efault(struct setting *s)
{
	setting_start(s);
	s->data = buffer(PIECE);
	setting_call(s, ask_badly);
	blkio_destroy(&s->b);
	buffer_free(s->data);
}

#define CONDITIONS                                                                                 \
	(CONDITION(QUIET) | CONDITION(SIGNALS) | CONDITION(OTHER_THREAD) |                         \
	 CONDITION(FAILED_BEFORE) | CONDITION(SEVERAL_QUEUES) | CONDITION(ALL_AT_ONCE))
#define WORST (CONDITION(QUIET) | CONDITION(ALL_AT_ONCE))
/* Nothing is registered or bounced. */
#define RING_KINDS (KIND(PLAIN) | KIND(SINGLE_ISSUER) | KIND(SQ_POLL))
#define ROWS(name, run, conditions)                                                                \
	{ name, run, T_STATUS | T_NBD, 0, KIND(PLAIN) | KIND(POLL), conditions },                  \
	    { name, run, T_STATUS | T_IO_URING, 0, RING_KINDS, conditions },                       \
	{                                                                                          \
		name, run, T_STATUS, T_NBD | T_IO_URING, KIND(PLAIN), conditions                   \
	}

static const struct promise status_promises[] = {
	ROWS("extents say where data is", is_true, CONDITIONS),
	ROWS("an array of extents that cannot be written is EFAULT", is_efault, WORST),
};
PROMISES(status_promises)
