/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a namespace may be like after its controller was replaced. */
#include "nvme/nvme_same.h"
#include "../lib/test.h"

static struct nvme_ns was_ns, ns;
static struct bk_limits was_l, l;

static const char *changes(void)
{
	const struct nvme_view was = { &was_ns, &was_l, 1000 }, now = { &ns, &l, ns.nr_blocks };

	return nvme_changes(&was, &now);
}

static void begin(void)
{
	was_ns = (struct nvme_ns){ .nsid = 1, .block_shift = 12, .deac = true, .nr_blocks = 900 };
	memset(was_ns.ids.uuid, 1, sizeof(was_ns.ids.uuid));
	was_l = (struct bk_limits){
		.ops = BK_OPS_RW | BK_OP_BIT(BK_FLUSH),
		.max_transfer = 1 << 20,
		.max_write_zeroes_len = 1 << 20,
		.max_discard_len = 1 << 20,
	};
	ns = was_ns;
	ns.nr_blocks = 1000;
	l = was_l;
}

static void same(struct device *d)
{
	(void)d;
	begin();
	CHECK(!changes());
	ns.nr_blocks = 5000;
	l.ops |= BK_OP_BIT(BK_DISCARD);
	l.max_transfer *= 2;
	was_l.flush_needed = was_l.read_only = true;
	memset(ns.ids.nguid, 2, sizeof(ns.ids.nguid));
	CHECK(!changes());
}

#define CHECK_CHANGES(change, text)                                                                \
	do {                                                                                       \
		begin();                                                                           \
		change;                                                                            \
		CHECK(changes() && strstr(changes(), text));                                       \
	} while (0)

static void others(struct device *d)
{
	(void)d;
	CHECK_CHANGES(ns.ids.uuid[15] = 2, "UUID");
	CHECK_CHANGES(ns.ids = (struct nvme_ids){ 0 }, "UUID");
	CHECK_CHANGES(was_ns.ids.nguid[15] = 1, "NGUID");
	CHECK_CHANGES(was_ns.ids.eui64[7] = 1, "EUI-64");
	CHECK_CHANGES(ns.block_shift = 9, "block size");
	CHECK_CHANGES(ns.metadata_size = 8, "block size");
	CHECK_CHANGES(ns.pi = 1, "block size");
	CHECK_CHANGES(ns.zones.zoned = 2, "zones");
	CHECK_CHANGES(ns.zones.size = 1 << 20, "zones");
	CHECK_CHANGES(ns.nr_blocks = 999, "smaller");
	CHECK_CHANGES(l.read_only = true, "write-protected");
	CHECK_CHANGES(l.ops &= ~BK_OP_BIT(BK_FLUSH), "operations");
	CHECK_CHANGES(ns.deac = false, "operations");
	CHECK_CHANGES(l.flush_needed = true, "operations");
	CHECK_CHANGES(l.max_transfer--, "limits");
	CHECK_CHANGES(l.max_write_zeroes_len--, "limits");
	CHECK_CHANGES(l.max_discard_len--, "limits");
	CHECK_CHANGES(was_l.max_append = 1, "limits");
}

static const struct test tests[] = {
	{ "the same, or better", same },
	{ "others", others },
};
TEST_MAIN(tests)
