/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A deliberate delay before every read, for the gate's test of itself (selftest.py). It is linked
 * to the objects of a library with --wrap=blkioq_read, which turns the engine's calls to come
 * through here; the library's own source knows nothing of it. -DDELAY_NS=N says how long.
 */
#include <stdint.h>
#include <time.h>

#include "blkio.h"

enum { FEW = 32, MANY = 160, CALLS = 20000, TRIALS = 15 };

void __real_blkioq_read(struct blkioq *q, uint64_t start, void *buf, size_t len, void *user_data,
			uint32_t flags);
void __wrap_blkioq_read(struct blkioq *q, uint64_t start, void *buf, size_t len, void *user_data,
			uint32_t flags);

static uint64_t delay_turns;

static void spin(uint64_t turns)
{
	while (turns--)
		__asm__ volatile("" ::: "memory");
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/*
 * The time of one spin() of about so many turns, in picoseconds. The number varies, as the way to
 * here does in the library: a loop that always ends after as many turns is predicted to.
 */
static uint64_t cost_ps(uint64_t turns)
{
	int64_t fastest = INT64_MAX;

	for (int i = 0; i < TRIALS; i++) {
		int64_t begin = now_ns(), elapsed;
		uint32_t random = 1;

		for (int call = 0; call < CALLS; call++) {
			random = random * 1664525 + 1013904223;
			spin(turns - 4 + (random >> 29));
		}
		elapsed = now_ns() - begin;
		if (elapsed < fastest)
			fastest = elapsed;
	}
	return (uint64_t)fastest * 1000 / CALLS;
}

/* In turns of the loop, not with a clock: reading one takes half of the delays wanted. */
__attribute__((constructor)) static void calibrate(void)
{
	uint64_t few = cost_ps(FEW), many = cost_ps(MANY), wanted = DELAY_NS * 1000ULL;
	uint64_t turn = many > few ? (many - few) / (MANY - FEW) : 1;
	uint64_t entry = few > FEW * turn ? few - FEW * turn : 0; /* whatever the turns */

	delay_turns = wanted > entry && turn ? (wanted - entry) / turn : 0;
}

void __wrap_blkioq_read(struct blkioq *q, uint64_t start, void *buf, size_t len, void *user_data,
			uint32_t flags)
{
	spin(delay_turns);
	__real_blkioq_read(q, start, buf, len, user_data, flags);
}
