/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * nvme-io_uring on namespaces that few disks have: more zones than one report holds (/dev/ng0n5),
 * metadata in a buffer of its own (/dev/ng0n6), protection information (/dev/ng0n7 and 8).
 * tests/vm/nvme/meson.build adds them.
 */
#include "ns.h"
#include "protection.h"

#define BLOCK 4096u
#define AREA  (256u << 10)

static struct blkio *start(const char *node)
{
	struct blkio *b;

	CHECK_OK(blkio_create("nvme-io_uring", &b));
	CHECK_OK(blkio_set_str(b, "path", node));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	return b;
}

static int report(struct blkioq *q, uint64_t offset, struct blkio_zone *z, uint32_t n)
{
	memset(z, 0xee, n * sizeof(*z));
	blkioq_report_zones(q, offset, z, n, z, 0);
	return io_finish(q, z);
}

/* One report holds 1023 zones: 4096 take five commands. */
static void many_zones(struct device *d)
{
	struct blkio *b = start("/dev/ng0n5");
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t size = get_u64(b, "zone-size");
	uint32_t n = get_u64(b, "nr-zones"),
		 wanted[] = { 1, 1022, 1023, 1024, 2046, 2047, n, n + 9 };
	struct blkio_zone *z = calloc(n + 9, sizeof(*z));

	(void)d;
	CHECK_EQ(size, 64 << 10);
	CHECK_EQ(n, 4096);
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		uint32_t got = report(q, 0, z, wanted[i]);

		CHECK_EQ(got, wanted[i] < n ? wanted[i] : n);
		for (uint32_t k = 0; k < got; k++)
			CHECK_EQ(z[k].start, k * size);
		check_all(&z[got], (wanted[i] - got) * sizeof(*z), 0xee);
	}
	CHECK_EQ(report(q, (n - 1023) * size, z, 2000), 1023);
	CHECK_EQ(z[1022].start, (n - 1) * size);
	CHECK_EQ(report(q, (n - 1024) * size + 5, z, 2000), 1024);
	CHECK_EQ(z[1023].start, (n - 1) * size);
	free(z);
	blkio_destroy(&b);
}

static void metadata(struct device *d)
{
	static const char *const names[] = { "single-issuer", "register-buffers" };
	char *buf = buffer(AREA);

	(void)d;
	for (unsigned bits = 0; bits < 4; bits++) {
		struct blkio *b;
		struct blkioq *q;
		uint64_t end;

		CHECK_OK(blkio_create("nvme-io_uring", &b));
		CHECK_OK(blkio_set_str(b, "path", "/dev/ng0n6"));
		CHECK_OK(blkio_connect(b));
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			CHECK_OK(blkio_set_bool(b, names[i], bits >> i & 1));
		CHECK_OK(blkio_start(b));
		q = blkio_get_queue(b, 0);
		end = get_u64(b, "capacity");
		CHECK_EQ(get_int(b, "request-alignment"), 512);

		pattern(buf, 0, AREA, bits);
		CHECK_EQ(io_write(q, end - AREA, buf, AREA, 0), 0);
		memset(buf, 0xee, AREA);
		CHECK_EQ(io_read(q, end - AREA, buf, AREA, 0), 0);
		check_pattern(buf, 0, AREA, bits);
		CHECK_EQ(io_readv(q, end - AREA,
				  (struct iovec[]){ { buf + BLOCK, BLOCK }, { buf, BLOCK } }, 2, 0),
			 0);
		check_pattern(buf + BLOCK, 0, BLOCK, bits);
		CHECK_EQ(io_zeroes(q, end - AREA, BLOCK, 0), 0);
		CHECK_EQ(io_discard(q, end - BLOCK, BLOCK, 0), 0);
		CHECK_EQ(io_flush(q, 0), 0);
		CHECK_EQ(io_read(q, end - AREA, buf, BLOCK, 0), 0);
		check_all(buf, BLOCK, 0);
		blkio_destroy(&b);
	}
	free(buf);
}

/* The controller inserts and checks it, so requests need nothing; on each kind of queue. */
static void protected(struct device *d)
{
	char *buf = buffer(2 << 20);
	struct blkio *b = start("/dev/ng0n7");

	(void)d;
	check_protection(b, "/dev/ng0n7", 1, buf);
	blkio_destroy(&b);
	b = start("/dev/ng0n8");
	check_protection(b, "/dev/ng0n8", 3, buf);
	blkio_destroy(&b);
	free(buf);
}

/* What has to be transferred with the data is refused by name: /dev/ng0n4, of the profile. */
static void refused(struct device *d)
{
	struct blkio *b;

	(void)d;
	CHECK_OK(blkio_create("nvme-io_uring", &b));
	CHECK_OK(blkio_set_str(b, "path", "/dev/ng0n4"));
	CHECK_ERR(blkio_connect(b), EINVAL, "512 + 8", "metadata within the data");
	CHECK_OK(blkio_set_str(b, "path", "/dev/ng0n9"));
	CHECK_ERR(blkio_connect(b), EINVAL, "protection information of type 1 and 16 bytes");
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "many zones", many_zones },
	{ "metadata in a buffer of its own", metadata },
	{ "protection information", protected },
	{ "refused formats", refused },
};
TEST_MAIN(tests)
