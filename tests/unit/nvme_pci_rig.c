/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See nvme_pci_rig.h. */
#include "nvme_pci_rig.h"

#include "test.h"

struct rig start_queues(int queues, int poll_queues)
{
	struct rig r;

	CHECK_OK(blkio_create("fake-nvme", &r.b));
	CHECK_OK(blkio_connect(r.b));
	CHECK_OK(blkio_set_int(r.b, "queue-size", RING));
	CHECK_OK(blkio_set_int(r.b, "num-queues", queues));
	CHECK_OK(blkio_set_int(r.b, "num-poll-queues", poll_queues));
	CHECK_OK(blkio_start(r.b));
	r.q = queues ? blkio_get_queue(r.b, 0) : blkio_get_poll_queue(r.b, 0);
	CHECK_OK(blkio_alloc_mem_region(r.b, &r.region, PAGES * LEN));
	CHECK_OK(blkio_map_mem_region(r.b, &r.region));
	r.buf = r.region.addr;
	return r;
}

struct rig start(void)
{
	device_reset();
	return start_queues(1, 0);
}

void submit(struct blkioq *q)
{
	CHECK_OK(blkioq_do_io(q, NULL, 0, 0, NULL));
}

struct nvme_cmd expect(unsigned opcode, uint64_t block, unsigned blocks)
{
	struct nvme_cmd c;

	CHECK(device_pop(1, &c));
	CHECK_EQ(c.opcode, opcode);
	CHECK_EQ(c.nsid, 3);
	CHECK_EQ(c.cdw10 | (uint64_t)c.cdw11 << 32, block);
	CHECK_EQ(c.cdw12 & 0xffff, blocks - 1);
	return c;
}

void expect_none(void)
{
	struct nvme_cmd c;

	CHECK(!device_pop(1, &c));
}

void finish(struct rig *r, const struct nvme_cmd *c, unsigned status, int want)
{
	struct blkio_completion done;

	device_complete(1, c, status);
	CHECK_EQ(blkioq_do_io(r->q, &done, 1, 1, NULL), 1);
	CHECK_EQ(done.ret, want);
}
