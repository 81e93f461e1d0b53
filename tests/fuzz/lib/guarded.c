/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See guarded.h. */
#include "guarded.h"

enum { REQUESTS = 8, GUARD = 64, SEGMENTS = 4, BLOCK_MAX = 4096 };
enum { GUARD_BYTE = 0xa5, DONE_BYTE = 0xee };

struct request {
	bool in_flight;
	size_t len; /* of the buffer; what is behind it is guarded */
	struct iovec iov[SEGMENTS];
	struct blkio_extent *extents; /* of a block status request, in memory; else NULL */
	uint64_t start, asked;	      /* its range */
	_Alignas(8) uint8_t memory[GUARD + GUARDED_ROOM + BLOCK_MAX + GUARD];
};

static struct request requests[REQUESTS];
static struct fuzz_input *input;
static unsigned block;

void guarded_begin(struct fuzz_input *in, unsigned block_size)
{
	input = in;
	block = block_size;
	for (int i = 0; i < REQUESTS; i++) {
		requests[i].in_flight = false;
		requests[i].len = 0;
		requests[i].extents = NULL;
	}
}

static void guard(struct request *r)
{
	memset(r->memory, GUARD_BYTE, GUARD);
	memset(r->memory + GUARD + r->len, GUARD_BYTE, GUARD);
}

static void must_be(const uint8_t *p, size_t len, uint8_t byte)
{
	for (size_t i = 0; i < len; i++)
		MUST(p[i] == byte);
}

static void check(const struct request *r)
{
	if (!r->len)
		return;
	must_be(r->memory, GUARD, GUARD_BYTE);
	must_be(r->memory + GUARD + r->len, GUARD, GUARD_BYTE);
	if (!r->in_flight)
		must_be(r->memory + GUARD, r->len, DONE_BYTE);
}

static int cut_into_segments(struct request *r)
{
	size_t at = 0;
	int n = 0;

	while (n < SEGMENTS - 1 && at < r->len && (fuzz_u8(input) & 1)) {
		size_t len = fuzz_u16(input) % (r->len - at + 1);

		r->iov[n++] = (struct iovec){ r->memory + GUARD + at, len };
		at += len;
	}
	r->iov[n++] = (struct iovec){ r->memory + GUARD + at, r->len - at };
	return n;
}

/* The extents go where data would go, as many as fit in. */
static void ask_status(struct blkioq *q, struct request *r, uint64_t start)
{
	r->extents = (struct blkio_extent *)(r->memory + GUARD);
	r->start = start;
	r->asked = GUARDED_SIZE - start;
	blkioq_block_status(q, start, r->asked, r->extents, r->len / sizeof(*r->extents), r, 0);
}

/* What was promised of them. */
static void check_extents(const struct request *r, int n)
{
	uint64_t at = r->start, left = r->asked;

	MUST((size_t)n <= r->len / sizeof(*r->extents));
	for (int i = 0; i < n; i++) {
		const struct blkio_extent *x = &r->extents[i];

		MUST(x->start == at && x->len && x->len <= left && x->flags <= 3);
		MUST(!i || x->flags != x[-1].flags);
		at += x->len;
		left -= x->len;
	}
}

void guarded_submit(struct blkioq *q)
{
	uint8_t what = fuzz_u8(input);
	struct request *r = &requests[what % REQUESTS];
	uint64_t start = fuzz_u16(input) & ~(block - 1);
	int n;

	if (r->in_flight)
		return;
	check(r);
	r->in_flight = true;
	r->len = 1 + (what & 0x80 ? fuzz_u32(input) % GUARDED_ROOM : fuzz_u16(input) % 4096);
	r->len = (r->len + block - 1) & ~((size_t)block - 1);
	guard(r);
	n = cut_into_segments(r);
	switch (what >> 3 & 7) {
	case 0:
		blkioq_writev(q, start, r->iov, n, r, 0);
		break;
	case 1:
		blkioq_write_zeroes(q, start, r->len, r, what & 0x40 ? BLKIO_REQ_NO_FALLBACK : 0);
		break;
	case 2:
		blkioq_discard(q, start, r->len, r, 0);
		break;
	case 3:
		blkioq_flush(q, r, 0);
		break;
	case 4:
		ask_status(q, r, start);
		break;
	default:
		blkioq_readv(q, start, r->iov, n, r, 0);
	}
}

void guarded_collect(struct blkioq *q, unsigned min)
{
	struct blkio_completion c[REQUESTS];
	int n = blkioq_do_io(q, c, min, REQUESTS, NULL);

	MUST(n >= (int)min);
	for (int i = 0; i < n; i++) {
		struct request *r = c[i].user_data;

		MUST(r->in_flight && (c[i].ret <= 0 || r->extents));
		if (c[i].ret > 0)
			check_extents(r, c[i].ret);
		r->extents = NULL;
		r->in_flight = false;
		memset(r->memory + GUARD, DONE_BYTE, r->len);
	}
}

unsigned guarded_in_flight(void)
{
	unsigned n = 0;

	for (int i = 0; i < REQUESTS; i++)
		n += requests[i].in_flight;
	return n;
}

void guarded_end(void)
{
	for (int i = 0; i < REQUESTS; i++) {
		/* Of those that went with the instance, nobody knows what was read. */
		if (!requests[i].in_flight)
			check(&requests[i]);
	}
}
