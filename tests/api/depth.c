/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Any number of requests over a ring of any size: each comes back once, with its own data. */
#include "io.h"
#include "test.h"

enum { BLOCK = 4096, BLOCKS = DEVICE_SIZE / BLOCK, MANY = 10000 };

/* Queue MANY reads of all blocks, then collect them in portions of at most max. */
static void flood(struct blkioq *q, const char *pool, int max)
{
	struct blkio_completion *c = calloc((size_t)max, sizeof(*c));
	unsigned char *seen = calloc(MANY, 1);
	int done = 0;

	for (int i = 0; i < MANY; i++)
		blkioq_read(q, (uint64_t)(i % BLOCKS) * BLOCK, (char *)pool + i % BLOCKS * BLOCK,
			    BLOCK, seen + i, 0);
	while (done < MANY) {
		int left = MANY - done;
		int n = blkioq_do_io(q, c, left < max ? left : max, max, NULL);

		CHECK_OK(n);
		CHECK(n > 0);
		for (int i = 0; i < n; i++) {
			CHECK_EQ(c[i].ret, 0);
			CHECK_EQ(++*(unsigned char *)c[i].user_data, 1);
		}
		done += n;
	}
	CHECK_EQ(done, MANY);
	CHECK_EQ(blkioq_do_io(q, c, 0, max, NULL), 0);
	free(seen);
	free(c);
}

static void with_entries(struct device *d, const char *entries)
{
	char *pool = buffer(DEVICE_SIZE);
	struct blkio *b;

	pattern(pool, 0, DEVICE_SIZE, 1);
	if (d->target->traits & T_STORES)
		device_poke(d, 0, pool, DEVICE_SIZE);
	b = entries ? device_start_with(d, "num-entries", entries) : device_start(d);
	memset(pool, 0xee, DEVICE_SIZE);
	flood(blkio_get_queue(b, 0), pool, 1000);
	if (d->target->traits & T_STORES)
		check_pattern(pool, 0, DEVICE_SIZE, 1);
	flood(blkio_get_queue(b, 0), pool, MANY);
	flood(blkio_get_queue(b, 0), pool, 7);
	buffer_free(pool);
	blkio_destroy(&b);
}

static void default_ring(struct device *d)
{
	with_entries(d, NULL);
}

static void two_entries(struct device *d)
{
	with_entries(d, "2");
}

static void one_entry(struct device *d)
{
	with_entries(d, "1");
}

static void odd_entries(struct device *d)
{
	with_entries(d, "100");
}

static void most_entries(struct device *d)
{
	with_entries(d, "32768");
}

/* Only submit, never collect, for a while: completions must not overflow anything. */
static void submit_without_collecting(struct device *d)
{
	struct blkio *b = device_start_narrow(d, 4);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_completion *c = calloc(MANY, sizeof(*c));
	char *buf = buffer(BLOCK);

	for (int i = 0; i < MANY; i++) {
		blkioq_read(q, 0, buf, BLOCK, NULL, 0);
		CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	}
	CHECK_EQ(blkioq_do_io(q, c, MANY, MANY, NULL), MANY);
	for (int i = 0; i < MANY; i++)
		CHECK_EQ(c[i].ret, 0);
	buffer_free(buf);
	free(c);
	blkio_destroy(&b);
}

static uint32_t random_below(uint32_t *state, uint32_t n)
{
	*state = *state * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)*state * n >> 32);
}

/* Random reads, writes, zeroes and flushes of random blocks, checked against a model. */
static void random_mix(struct device *d)
{
	enum { ROUNDS = 60, BATCH = 100 };
	struct blkio *b = device_start_narrow(d, 16);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *model = calloc(1, DEVICE_SIZE), *bufs = buffer(BATCH * BLOCK);
	struct blkio_completion c[BATCH];
	uint32_t seed = 12345;

	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint32_t first = random_below(&seed, BLOCKS - BATCH);

		/* every block at most once per round: requests in flight are not ordered */
		for (uint32_t i = 0; i < BATCH; i++) {
			uint64_t at = (uint64_t)(first + i) * BLOCK;
			char *buf = bufs + i * BLOCK;
			uint32_t kind = random_below(&seed, 8);

			if (kind < 4) {
				pattern(buf, at, BLOCK, round * BATCH + i);
				memcpy(model + at, buf, BLOCK);
				blkioq_write(q, at, buf, BLOCK, NULL, kind ? 0 : BLKIO_REQ_FUA);
			} else if (kind < 6) {
				blkioq_read(q, at, buf, BLOCK, buf, 0);
			} else if (kind < 7) {
				memset(model + at, 0, BLOCK);
				blkioq_write_zeroes(q, at, BLOCK, NULL, 0);
			} else {
				blkioq_flush(q, NULL, 0);
			}
		}
		CHECK_EQ(blkioq_do_io(q, c, BATCH, BATCH, NULL), BATCH);
		for (int i = 0; i < BATCH; i++) {
			char *buf = c[i].user_data;

			CHECK_EQ(c[i].ret, 0);
			if (buf)
				CHECK_MEM(buf, model + (first + (buf - bufs) / BLOCK) * BLOCK,
					  BLOCK);
		}
	}
	buffer_free(bufs);
	bufs = buffer(DEVICE_SIZE);
	CHECK_EQ(io_read(q, 0, bufs, DEVICE_SIZE, 0), 0);
	CHECK_MEM(bufs, model, DEVICE_SIZE);
	buffer_free(bufs);
	free(model);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "10000 requests, default ring", default_ring, T_ANY, 0, 40 },
	{ "10000 requests, ring of 2", two_entries, T_IO_URING, 0, 40 },
	{ "10000 requests, ring of 1", one_entry, T_IO_URING, 0, 40 },
	{ "10000 requests, ring of 100", odd_entries, T_IO_URING, 0, 40 },
	{ "10000 requests, ring of 32768", most_entries, T_IO_URING, 0, 40 },
	{ "submit without collecting", submit_without_collecting, T_KERNEL, 0, 40 },
	{ "random mix against a model", random_mix, T_KERNEL },
};
TEST_MAIN(tests)
