/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The bytes of a fuzzer as numbers and choices. Past their end, everything is 0. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fuzz_input {
	const uint8_t *at, *end;
};

/* What must hold whatever the input is: a fuzzer stops here, a replay fails. */
#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #cond);       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static inline bool fuzz_has(const struct fuzz_input *in)
{
	return in->at < in->end;
}

/* The next len bytes; those that are missing are left as they are in out. */
static inline void fuzz_bytes(struct fuzz_input *in, void *out, size_t len)
{
	size_t left = in->end - in->at, n = len < left ? len : left;

	if (n)
		memcpy(out, in->at, n);
	in->at += n;
}

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
	return fuzz_has(in) ? *in->at++ : 0;
}

static inline uint16_t fuzz_u16(struct fuzz_input *in)
{
	uint16_t value = 0;

	fuzz_bytes(in, &value, sizeof(value));
	return value;
}

static inline uint32_t fuzz_u32(struct fuzz_input *in)
{
	uint32_t value = 0;

	fuzz_bytes(in, &value, sizeof(value));
	return value;
}

static inline uint64_t fuzz_u64(struct fuzz_input *in)
{
	uint64_t value = 0;

	fuzz_bytes(in, &value, sizeof(value));
	return value;
}

/* Overwrites up to 15 pieces of memory: most of what a device says is sane, some is not. */
static inline void fuzz_patch(struct fuzz_input *in, void *mem, size_t len)
{
	for (unsigned n = fuzz_u8(in) & 15; n; n--) {
		size_t at = fuzz_u16(in) % len, size = 1 + (fuzz_u8(in) & 7);

		if (size > len - at)
			size = len - at;
		fuzz_bytes(in, (char *)mem + at, size);
	}
}

#endif
