/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A deliberate delay before every read, for the gate's test of itself (selftest.py). It is linked
 * into a test build of the library with --wrap=blkioq_read, which turns the engine's calls to come
 * through here; the library's own source knows nothing of it. -DDELAY_NS=N says how long.
 */
#include <stdint.h>
#include <time.h>

#include "blkio.h"

enum { TRIAL_TURNS = 1 << 20, TRIALS = 9 };

void __real_blkioq_read(struct blkioq *q, uint64_t start, void *buf, size_t len, void *user_data,
			uint32_t flags) __attribute__((weak)); /* meson links us alone, too */
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

/* In turns of the loop, not with a clock: reading one takes half of the delays wanted. */
__attribute__((constructor)) static void calibrate(void)
{
	int64_t fastest = INT64_MAX;

	for (int i = 0; i < TRIALS; i++) {
		int64_t begin = now_ns(), elapsed;

		spin(TRIAL_TURNS);
		elapsed = now_ns() - begin;
		if (elapsed < fastest)
			fastest = elapsed;
	}
	delay_turns = (uint64_t)DELAY_NS * TRIAL_TURNS / (uint64_t)(fastest > 0 ? fastest : 1);
}

void __wrap_blkioq_read(struct blkioq *q, uint64_t start, void *buf, size_t len, void *user_data,
			uint32_t flags)
{
	spin(delay_turns);
	__real_blkioq_read(q, start, buf, len, user_data, flags);
}
