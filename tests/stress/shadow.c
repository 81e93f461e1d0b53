/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See shadow.h. */
#include "shadow.h"
#include "test.h"

void shadow_init(struct shadow *s, uint32_t seed, size_t block, size_t nr)
{
	*s = (struct shadow){
		.seed = seed,
		.block = block,
		.nr = nr,
		.version = calloc(nr, sizeof(*s->version)),
		.busy = calloc(nr, sizeof(*s->busy)),
	};
	CHECK(s->version && s->busy);
}

void shadow_free(struct shadow *s)
{
	free(s->version);
	free(s->busy);
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9ull;
	return h ^ h >> 32;
}

static void fill_block(const struct shadow *s, size_t block, uint32_t version, char *buf)
{
	uint64_t h = mix(mix((uint64_t)s->seed << 32 | version) + block * 0x9e3779b97f4a7c15ull);

	if (version == SHADOW_ZEROES) {
		memset(buf, 0, s->block);
		return;
	}
	for (size_t at = 0; at < s->block; at += sizeof(h)) {
		size_t left = s->block - at;

		h = mix(h + at + 1);
		memcpy(buf + at, &h, left < sizeof(h) ? left : sizeof(h));
	}
}

void shadow_fill(const struct shadow *s, size_t first, size_t n, uint32_t version, void *buf)
{
	for (size_t i = 0; i < n; i++)
		fill_block(s, first + i, version, (char *)buf + i * s->block);
}

static _Noreturn void report(const struct shadow *s, size_t block, const unsigned char *got,
			     const unsigned char *want)
{
	size_t at = 0;

	while (got[at] == want[at])
		at++;
	FAIL("WRONG DATA: block %zu of %zu bytes, byte %zu is 0x%02x, not 0x%02x, as write number "
	     "%u left it; seed %u",
	     block, s->block, at, got[at], want[at], s->version[block], s->seed);
}

size_t shadow_check(const struct shadow *s, size_t first, size_t n, const void *buf)
{
	unsigned char want[4096];
	size_t compared = 0;

	CHECK(s->block <= sizeof(want));
	for (size_t i = first; i < first + n; i++) {
		const unsigned char *got = (const unsigned char *)buf + (i - first) * s->block;

		if (s->version[i] == (uint32_t)SHADOW_ANYTHING)
			continue;
		fill_block(s, i, s->version[i], (char *)want);
		if (memcmp(got, want, s->block))
			report(s, i, got, want);
		compared += s->block;
	}
	return compared;
}

void shadow_set(struct shadow *s, size_t first, size_t n, uint32_t version)
{
	for (size_t i = first; i < first + n; i++)
		s->version[i] = version;
}

void shadow_set_busy(struct shadow *s, size_t first, size_t n, bool busy)
{
	memset(s->busy + first, busy, n);
}
