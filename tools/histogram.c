/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See histogram.h. */
#include <math.h>

#include "histogram.h"

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	if (!from->n)
		return;
	into->min = !into->n || from->min < into->min ? from->min : into->min;
	into->max = from->max > into->max ? from->max : into->max;
	into->n += from->n;
	into->sum += from->sum;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->count[i] += from->count[i];
}

uint64_t histogram_top(unsigned bucket)
{
	const unsigned subs = 1U << HISTOGRAM_SUB_BITS;
	unsigned shift;

	if (bucket < 2 * subs)
		return bucket;
	shift = bucket / subs - 1;
	return ((uint64_t)(bucket % subs + subs + 1) << shift) - 1;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
	uint64_t rank = (uint64_t)ceil((double)h->n * percent / 100), seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->count[i];
		if (seen && seen >= rank)
			return histogram_top(i) < h->max ? histogram_top(i) : h->max;
	}
	return h->max;
}
