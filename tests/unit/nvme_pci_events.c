/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What an NVMe controller and the driver tell each other beside requests: interrupts that several
 * queues share, shadow doorbells, and what the controller reports without being asked.
 */
#include <sys/eventfd.h>

#include "io.h"
#include "nvme_pci_rig.h"
#include "sys.h"
#include "test.h"

/* ---- Interrupts that several queues share ------------------------------------------------- */

/* A queue's own eventfd, then its completion fd, get the signal. */
static void one_request(struct rig *r, unsigned i, bool completion_fd)
{
	struct blkioq *q = blkio_get_queue(r->b, i);
	struct blkio_completion done;
	struct nvme_cmd c;

	blkioq_read(q, 0, r->buf, 512, NULL, 0);
	submit(q);
	CHECK(device_pop(1 + i, &c));
	device_complete(1 + i, &c, 0);
	if (completion_fd)
		CHECK(readable(blkioq_get_completion_fd(q), 60 * 1000));
	CHECK_EQ(blkioq_do_io(q, &done, 1, 1, NULL), 1);
	CHECK_EQ(done.ret, 0);
}

static void with_vectors(unsigned vectors)
{
	unsigned last = vectors - 1, used = DEVICE_QUEUES < last ? DEVICE_QUEUES : last;
	struct rig r;

	printf("%u vectors\n", vectors);
	device_reset();
	device.vectors = vectors;
	device.watched = true;
	r = start_queues(DEVICE_QUEUES, 0);
	for (unsigned i = 1; i <= DEVICE_QUEUES; i++)
		CHECK_EQ(device.ring[i].vector, i < used ? i : used);
	for (unsigned i = 0; i < DEVICE_QUEUES; i++)
		one_request(&r, i, false);
	for (unsigned i = 0; i < DEVICE_QUEUES; i++)
		blkioq_set_completion_fd_enabled(blkio_get_queue(r.b, i), true);
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < DEVICE_QUEUES; i++) {
			eventfd_t count;

			/* Others' completions may have signalled it. */
			eventfd_read(blkioq_get_completion_fd(blkio_get_queue(r.b, i)), &count);
			one_request(&r, i, true);
		}
	blkio_destroy(&r.b);
}

static void shared_vectors(struct device *d)
{
	(void)d;
	for (unsigned vectors = 1; vectors <= DEVICE_QUEUES + 2; vectors++)
		with_vectors(vectors);
}

/* A queue that goes leaves the others their vector. */
static void shared_vector_stays(struct device *d)
{
	struct rig r;

	(void)d;
	device_reset();
	device.vectors = 3;
	r = start_queues(DEVICE_QUEUES, 0);
	CHECK(device.fds[1] >= 0);
	device.fds[2] = 1000; /* somebody's */
	CHECK_OK(blkio_remove_queue(r.b, DEVICE_QUEUES - 1));
	CHECK_EQ(device.fds[2], 1000);
	CHECK_OK(blkio_remove_queue(r.b, 0));
	CHECK_EQ(device.fds[1], -1);
	blkio_destroy(&r.b);
}

/* ---- Shadow doorbells --------------------------------------------------------------------- */

enum { UNTOUCHED = 0x5eed };

static void set_register(unsigned qid, bool completion)
{
	*device_doorbell(qid, completion, DEVICE_REGISTER) = UNTOUCHED;
}

static bool was_rung(unsigned qid, bool completion)
{
	return *device_doorbell(qid, completion, DEVICE_REGISTER) != UNTOUCHED;
}

static struct rig start_with_shadows(void)
{
	struct rig r;

	CHECK_OK(blkio_create("fake-nvme", &r.b));
	CHECK_OK(blkio_connect(r.b));
	CHECK_OK(blkio_set_int(r.b, "queue-size", RING));
	CHECK_OK(blkio_set_bool(r.b, "shadow-doorbells", true));
	CHECK_OK(blkio_start(r.b));
	r.q = blkio_get_queue(r.b, 0);
	CHECK_OK(blkio_alloc_mem_region(r.b, &r.region, PAGES * LEN));
	CHECK_OK(blkio_map_mem_region(r.b, &r.region));
	r.buf = r.region.addr;
	return r;
}

/* n requests, with the controller looking up to `ahead` values from now. */
static void rounds_with(struct rig *r, unsigned n, unsigned ahead, bool rung)
{
	struct blkio_completion done[RING];
	unsigned tail = *device_doorbell(1, false, DEVICE_VALUE);
	unsigned head = *device_doorbell(1, true, DEVICE_VALUE);
	struct nvme_cmd c;

	set_register(1, false);
	set_register(1, true);
	*device_doorbell(1, false, DEVICE_EVENT) = (tail + ahead) % RING;
	*device_doorbell(1, true, DEVICE_EVENT) = (head + ahead) % RING;
	for (unsigned i = 0; i < n; i++)
		blkioq_read(r->q, i * 512, r->buf, 512, NULL, 0);
	submit(r->q);
	CHECK_EQ(*device_doorbell(1, false, DEVICE_VALUE), (tail + n) % RING);
	CHECK_EQ(was_rung(1, false), rung);
	for (unsigned i = 0; i < n; i++) {
		c = expect(2, i, 1);
		device_complete(1, &c, 0);
	}
	CHECK_EQ(blkioq_do_io(r->q, done, n, n, NULL), n);
	CHECK_EQ(*device_doorbell(1, true, DEVICE_VALUE), (head + n) % RING);
	CHECK_EQ(was_rung(1, true), rung);
}

/* A register is written if, and only if, the controller does not look any more. */
static void shadow_doorbells(struct device *d)
{
	struct rig r;

	(void)d;
	device_reset();
	r = start_with_shadows();
	for (unsigned round = 0; round < 3 * RING; round++) {
		rounds_with(&r, 1, 0, true);
		rounds_with(&r, 1, 3, false);
		rounds_with(&r, 1, 1, false);
		rounds_with(&r, 3, 1, true);
		rounds_with(&r, 3, 4, false);
		rounds_with(&r, RING - 2, 0, true);
	}
	blkio_destroy(&r.b);
}

static void no_shadow_doorbells(struct device *d)
{
	struct blkio *b;

	(void)d;
	device_reset();
	device.ctrl.oacs = 0;
	CHECK_OK(blkio_create("fake-nvme", &b));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_set_bool(b, "shadow-doorbells", true));
	CHECK_ERR(blkio_start(b), ENOTSUP, "shadow-doorbells");
	CHECK_OK(blkio_set_bool(b, "shadow-doorbells", false));
	CHECK_OK(blkio_start(b));
	CHECK(!device.shadow[0]);
	blkio_destroy(&b);
}

/* ---- Events ------------------------------------------------------------------------------- */

#define NS_CHANGED (2u | 4u << 16)

static void handle_events(struct rig *r)
{
	nvme_pci_handle_events(to_nvme_pci_dev(r->b));
	device_turn();
}

/* A read of the last block of which the controller knows, or of one behind it. */
static void one_block(struct rig *r, uint64_t block, unsigned status, int want)
{
	struct nvme_cmd c;

	blkioq_read(r->q, block * 512, r->buf, 512, NULL, 0);
	submit(r->q);
	c = expect(2, block, 1);
	finish(r, &c, status, want);
}

/* A discard of that many blocks from the first; not all controllers refuse what is past the end. */
static void discard_up_to(struct rig *r, uint64_t blocks, bool possible)
{
	struct blkio_completion done;
	struct nvme_cmd c;

	blkioq_discard(r->q, 0, blocks * 512, NULL, 0);
	submit(r->q);
	if (possible) {
		CHECK(device_pop(1, &c));
		finish(r, &c, 0, 0);
		return;
	}
	expect_none();
	CHECK_EQ(blkioq_do_io(r->q, &done, 1, 1, NULL), 1);
	CHECK_EQ(done.ret, -EINVAL);
	CHECK_STR(done.error_msg, "the range ends past the capacity");
}

static void namespace_changes(struct device *d)
{
	struct rig r = start();
	uint64_t bytes;

	(void)d;
	device_turn();
	CHECK(device.has_event_request);
	CHECK_EQ(device.event_config, 1 << 8); /* of what there is, only this */
	handle_events(&r);
	CHECK(device.has_event_request && !device.logs_read);

	/* What is past the end is for the controller to refuse. */
	one_block(&r, DEVICE_BLOCKS, 0x80, -EINVAL);

	discard_up_to(&r, DEVICE_BLOCKS, true);
	discard_up_to(&r, DEVICE_BLOCKS + 1, false);

	/* It grew: requests may go as far. */
	device.ns.nsze = 2 * DEVICE_BLOCKS;
	device_event(NS_CHANGED, 0);
	handle_events(&r);
	discard_up_to(&r, 2 * DEVICE_BLOCKS, true);
	CHECK_EQ(device.logs_read, 1 << 4);
	CHECK(device.has_event_request);
	CHECK_OK(blkio_get_uint64(r.b, "capacity", &bytes));
	CHECK_EQ(bytes, 2 * DEVICE_BLOCKS * 512);
	CHECK(!bk_gone(r.b));
	one_block(&r, 2 * DEVICE_BLOCKS - 1, 0, 0);

	/* It shrank. */
	device.ns.nsze = DEVICE_BLOCKS / 2;
	device_event(NS_CHANGED, 0);
	handle_events(&r);
	CHECK_OK(blkio_get_uint64(r.b, "capacity", &bytes));
	CHECK_EQ(bytes, DEVICE_BLOCKS / 2 * 512);
	one_block(&r, DEVICE_BLOCKS - 1, 0x80, -EINVAL);
	one_block(&r, 0, 0, 0);
	discard_up_to(&r, DEVICE_BLOCKS, false);
	discard_up_to(&r, DEVICE_BLOCKS / 2, true);

	/* A control call takes the answer in; the thread finds it all the same. */
	device.ns.nsze = 0;
	device_event(NS_CHANGED, 0);
	device.ns.nsze = DEVICE_BLOCKS;
	CHECK_OK(blkio_get_uint64(r.b, "capacity", &bytes));
	device.ns.nsze = 0;
	handle_events(&r);
	CHECK(bk_gone(r.b));
	CHECK_EQ(io_read(r.q, 0, r.buf, 512, 0), -ENODEV);
	CHECK(device.has_event_request);
	blkio_destroy(&r.b);
}

/* Reading its log is all that there is to do. */
static void other_events(struct device *d)
{
	static const uint32_t events[] = { 1u | 2u << 16, 1u << 8 | 1u << 16, 7u, 2u | 1u << 8 };
	struct rig r = start();

	(void)d;
	device_turn();
	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		device.logs_read = 0;
		device_event(events[i], 0);
		handle_events(&r);
		CHECK_EQ(device.logs_read, 1u << (events[i] >> 16));
		CHECK(device.has_event_request);
		CHECK(!bk_gone(r.b) && !nvme_pci_failure(device.d));
	}
	device_event(3u << 8 | 1u << 16, 0);
	handle_events(&r);
	CHECK_STR(nvme_pci_failure(device.d),
		  "the NVMe controller reported a persistent internal error");
	blkio_destroy(&r.b);
}

/* A controller that refuses to report anything is asked once. */
static void no_events(struct device *d)
{
	struct rig r = start();

	(void)d;
	device_turn();
	device_event(0, 0x105);
	handle_events(&r);
	handle_events(&r);
	CHECK(!device.has_event_request && !nvme_pci_failure(device.d));
	blkio_destroy(&r.b);

	device_reset();
	device.ctrl.oaes = 0;
	r = start_queues(1, 0);
	CHECK_EQ(device.event_config, 0);
	blkio_destroy(&r.b);
}

/* The same event twice: the second is for a command that is not there. */
static void event_comes_twice(struct device *d)
{
	struct rig r = start();
	uint16_t cid;

	(void)d;
	device_turn();
	cid = device.event_cid;
	device_event(NS_CHANGED, 0);
	handle_events(&r);
	CHECK(!nvme_pci_failure(device.d));
	device.event_cid = cid;
	device_event(NS_CHANGED, 0);
	handle_events(&r);
	CHECK_STR(nvme_pci_failure(device.d),
		  "the NVMe controller completed a command that it was not sent");
	CHECK_EQ(io_read(r.q, 0, r.buf, 512, 0), -EIO);
	device_turn();
	blkio_destroy(&r.b);
}

static const struct test tests[] = {
	{ "vectors that queues share", shared_vectors, .timeout = 120 },
	{ "a shared vector stays", shared_vector_stays },
	{ "shadow doorbells", shadow_doorbells },
	{ "a controller without shadow doorbells", no_shadow_doorbells },
	{ "the namespace changes", namespace_changes },
	{ "other events", other_events },
	{ "a controller without events", no_events },
	{ "an event comes twice", event_comes_twice },
};

TEST_MAIN(tests)
