/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* UTF-8 validation: every encoded code point is valid, and every other short sequence is not. */
#include "fake.h"

/* RFC 3629, the other way round: from code point to bytes. */
static void encode(uint32_t c, char *out)
{
	if (c < 0x80) {
		*out++ = (char)c;
	} else if (c < 0x800) {
		*out++ = (char)(0xc0 | c >> 6);
		*out++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*out++ = (char)(0xe0 | c >> 12);
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
		*out++ = (char)(0x80 | (c & 0x3f));
	} else {
		*out++ = (char)(0xf0 | c >> 18);
		*out++ = (char)(0x80 | (c >> 12 & 0x3f));
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
		*out++ = (char)(0x80 | (c & 0x3f));
	}
	*out = '\0';
}

static bool is_scalar(uint32_t c)
{
	return c && c < 0x110000 && !(c >= 0xd800 && c < 0xe000);
}

static void every_code_point(struct device *d)
{
	char text[8];

	(void)d;
	for (uint32_t c = 1; c < 0x200000; c++) {
		encode(c, text);
		if (bk_is_utf8(text) != is_scalar(c))
			FAIL("U+%04X is taken for %svalid", c, is_scalar(c) ? "in" : "");
	}
}

/* Of all strings of up to three bytes, as many are valid as there are ways to combine scalars. */
static void every_short_string(struct device *d)
{
	const unsigned one = 127, two = 0x800 - 0x80, three = 0x10000 - 0x800 - 0x800;
	unsigned valid = 0;
	char text[4] = "";

	(void)d;
	for (unsigned n = 1; n < 1u << 24; n++) {
		text[0] = (char)n;
		text[1] = (char)(n >> 8);
		text[2] = (char)(n >> 16);
		if ((n > 0xff && !text[0]) || (n > 0xffff && !text[1]))
			continue; /* ends earlier: seen already */
		valid += bk_is_utf8(text);
	}
	CHECK_EQ(valid, one + (one * one + two) + (one * one * one + 2 * one * two + three));
}

static const struct test tests[] = {
	{ "every code point", every_code_point },
	{ "every short string", every_short_string },
};
TEST_MAIN(tests)
