/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Latencies, counted in buckets that are at most 1/64 wide: percentiles are off by 1.6 % at most.
 */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_BUCKETS  ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
	uint64_t n, sum, min, max; /* ns */
	uint64_t count[HISTOGRAM_BUCKETS];
};

static inline unsigned histogram_bucket(uint64_t ns)
{
	unsigned shift;

	if (ns < 1U << HISTOGRAM_SUB_BITS)
		return (unsigned)ns;
	shift = 63 - HISTOGRAM_SUB_BITS - (unsigned)__builtin_clzll(ns);
	return (shift << HISTOGRAM_SUB_BITS) + (unsigned)(ns >> shift);
}

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
	h->n++;
	h->sum += ns;
	h->min = ns < h->min || h->n == 1 ? ns : h->min;
	h->max = ns > h->max ? ns : h->max;
	h->count[histogram_bucket(ns)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from);
/* The largest latency that falls into a bucket. */
uint64_t histogram_top(unsigned bucket);
/* The latency that this percentage of all stays at or below; 0 when there are none. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

#endif
