/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Zone requests on devices without zones: each completes with ENOTSUP, none touches anything. */
#include "io.h"
#include "test.h"

static void not_supported(struct device *d)
{
	static void (*const one[])(struct blkioq *, uint64_t, void *,
				   uint32_t) = { blkioq_open_zone, blkioq_close_zone,
						 blkioq_finish_zone, blkioq_reset_zone };
	static void (*const all[])(struct blkioq *, void *,
				   uint32_t) = { blkioq_open_all_zones, blkioq_close_all_zones,
						 blkioq_finish_all_zones, blkioq_reset_all_zones };
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_zone zones[2];
	uint64_t written_at = 5;
	int cookie;

	memset(zones, 0xee, sizeof(zones));
	blkioq_report_zones(q, 0, zones, 2, &cookie, 0);
	CHECK_IO_ERR(io_finish(q, &cookie), ENOTSUP, "support");
	check_all(zones, sizeof(zones), 0xee);
	blkioq_report_zones(q, 0, NULL, 2, &cookie, 0);
	CHECK(io_finish(q, &cookie) < 0);
	blkioq_zone_append(q, 0, zones, 4096, &written_at, &cookie, BLKIO_REQ_FUA);
	CHECK_IO_ERR(io_finish(q, &cookie), ENOTSUP, "support");
	blkioq_zone_append(q, 1, NULL, 0, NULL, &cookie, 0);
	CHECK_EQ(io_finish(q, &cookie), -ENOTSUP);
	blkioq_zone_append(q, 0, zones, 4096, &written_at, &cookie, BLKIO_REQ_NO_UNMAP);
	CHECK_IO_ERR(io_finish(q, &cookie), EINVAL, "NO_UNMAP");
	CHECK_EQ(written_at, 5);
	for (size_t i = 0; i < ARRAY_LEN(one); i++) {
		one[i](q, 0, &cookie, 0);
		CHECK_EQ(io_finish(q, &cookie), -ENOTSUP);
		all[i](q, &cookie, 0);
		CHECK_EQ(io_finish(q, &cookie), -ENOTSUP);
	}
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "not supported", not_supported, T_ANY },
};
TEST_MAIN(tests)
