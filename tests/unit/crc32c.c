/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* CRC32C, by the processor's instruction and by table. */
#include "nvme_tcp/crc32c.h"
#include "test.h"

static void both(const void *bytes, size_t len, uint32_t want)
{
	CHECK_EQ(crc32c(0, bytes, len), want);
	CHECK_EQ(crc32c_by_table(0, bytes, len), want);
}

/* RFC 3720, appendix B.4, and the check value of the polynomial. */
static void known_digests(struct device *d)
{
	uint8_t bytes[32];

	(void)d;
	both("", 0, 0);
	both("123456789", 9, 0xe3069283);
	memset(bytes, 0, sizeof(bytes));
	both(bytes, sizeof(bytes), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	both(bytes, sizeof(bytes), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	both(bytes, sizeof(bytes), 0x46dd794e);
	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)(31 - i);
	both(bytes, sizeof(bytes), 0x113fdb5c);
}

/* At any address, of any length, in any two pieces. */
static void pieces(struct device *d)
{
	uint8_t bytes[64];

	(void)d;
	for (int i = 0; i < 64; i++)
		bytes[i] = (uint8_t)(i * 37 + 11);
	for (size_t at = 0; at < 8; at++) {
		for (size_t len = 0; at + len <= sizeof(bytes); len++) {
			uint32_t all = crc32c_by_table(0, bytes + at, len);
			size_t cut = len / 3;

			both(bytes + at, len, all);
			CHECK_EQ(crc32c(crc32c(0, bytes + at, cut), bytes + at + cut, len - cut),
				 all);
		}
	}
}
static const struct test tests[] = {
	{ "known digests", known_digests },
	{ "digests in pieces", pieces },
};

TEST_MAIN(tests)
