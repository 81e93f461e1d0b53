/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * nvme-io_uring on a zoned namespace: the zone API, and what a device with zones refuses. Those
 * that do not ask for QEMU's own words run on nvme-tcp as well.
 */
#include <sys/mman.h>

#include "append.h"
#include "ns.h"

#define BLOCK	 4096u
#define SIZE	 (4u << 20)
#define NR	 64u
#define MAX_OPEN 8

/* ---- Requests ----------------------------------------------------------------------------- */

typedef void one_zone_fn(struct blkioq *q, uint64_t offset, void *user_data, uint32_t flags);
typedef void all_zones_fn(struct blkioq *q, void *user_data, uint32_t flags);

static int one(struct blkioq *q, one_zone_fn *op, uint64_t offset)
{
	op(q, offset, &offset, 0);
	return io_finish(q, &offset);
}

static int all(struct blkioq *q, all_zones_fn *op)
{
	op(q, &op, 0);
	return io_finish(q, &op);
}

static int report(struct blkioq *q, uint64_t offset, struct blkio_zone *z, uint32_t n)
{
	memset(z, 0xee, n * sizeof(*z));
	blkioq_report_zones(q, offset, z, n, z, 0);
	return io_finish(q, z);
}

static struct blkio_zone zone(struct blkioq *q, unsigned i)
{
	struct blkio_zone z;

	CHECK_EQ(report(q, (uint64_t)i * SIZE, &z, 1), 1);
	return z;
}

static int state(struct blkioq *q, unsigned i)
{
	return zone(q, i).zone_state;
}

/* All zones empty. */
static struct blkioq *start(struct blkio **b)
{
	struct blkioq *q;

	*b = ns_start();
	q = blkio_get_queue(*b, 0);
	CHECK_EQ(all(q, blkioq_reset_all_zones), 0);
	return q;
}

/* ---- Reports ------------------------------------------------------------------------------ */

static void properties(struct device *d)
{
	struct blkio *b;

	(void)d;
	b = ns_create();
	CHECK_EQ(get_int(b, "zoned"), 0);
	CHECK_EQ(get_u64(b, "zone-size"), 0);
	blkio_destroy(&b);
	b = ns_connect();
	CHECK_EQ(get_int(b, "zoned"), 2);
	CHECK_EQ(get_u64(b, "zone-size"), SIZE);
	CHECK_EQ(get_u64(b, "zone-size"), disk_queue("chunk_sectors") * 512);
	CHECK_EQ(get_u64(b, "nr-zones"), disk_queue("nr_zones"));
	CHECK_EQ(get_int(b, "max-open-zones"), disk_queue("max_open_zones"));
	CHECK_EQ(get_int(b, "max-active-zones"), disk_queue("max_active_zones"));
	CHECK_EQ(get_int(b, "max-open-zones"), MAX_OPEN);
	CHECK(get_bool(b, "append-support"));
	CHECK_EQ(get_u64(b, "zone-append-max-bytes"), (disk_queue("max_segments") - 1) * 4096);
	blkio_destroy(&b);
}

static void reports(struct device *d)
{
	static struct blkio_zone z[2 * NR];
	struct blkio *b;
	struct blkioq *q = start(&b);

	(void)d;
	CHECK_EQ(report(q, 0, z, 2 * NR), NR);
	for (unsigned i = 0; i < NR; i++) {
		const struct blkio_zone want = {
			.start = (uint64_t)i * SIZE,
			.len = SIZE,
			.capacity = SIZE,
			.write_pointer = (uint64_t)i * SIZE,
			.zone_type = BLKIO_ZONE_TYPE_SEQWRITE_REQ,
			.zone_state = BLKIO_ZONE_STATE_EMPTY,
		};

		CHECK_MEM(&z[i], &want, sizeof(want));
	}
	check_all(&z[NR], NR * sizeof(*z), 0xee);

	CHECK_EQ(report(q, 0, z, 0), 0);
	CHECK_EQ(report(q, 5 * SIZE + SIZE / 2 + 100, z, 3), 3); /* rounds down */
	CHECK_EQ(z[0].start, 5 * SIZE);
	CHECK_EQ(z[2].start, 7 * SIZE);
	CHECK_EQ(report(q, (NR - 1) * (uint64_t)SIZE, z, 3), 1);
	CHECK_EQ(z[0].start, (NR - 1) * (uint64_t)SIZE);
	CHECK_IO_ERR(report(q, NR * (uint64_t)SIZE, z, 1), EINVAL, "LBA out of range");
	CHECK_IO_ERR(report(q, UINT64_MAX, z, 1), EINVAL, "");
	blkio_destroy(&b);
}

static void reports_to_bad_memory(struct device *d)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct blkio_zone *z = (void *)(page + 4096 - 3 * sizeof(*z));
	struct blkio *b;
	struct blkioq *q = start(&b);

	(void)d;
	CHECK(page != MAP_FAILED);
	SYS(mprotect(page + 4096, 4096, PROT_READ));
	for (int i = 0; i < 40; i++) {
		blkioq_report_zones(q, 0, z, NR, z, 0);
		CHECK_IO_ERR(io_finish(q, z), EFAULT, "zones");
		CHECK_EQ(report(q, 0, z, 3), 3);
	}
	SYS(munmap(page, 8192));
	blkio_destroy(&b);
}

/* Several at once, behind each other, each with a buffer of its own. */
static void reports_in_flight(struct device *d)
{
	enum { N = 40 };
	static struct blkio_zone z[N][NR];
	struct blkio_completion c[N];
	struct blkio *b;
	struct blkioq *q = start(&b);

	(void)d;
	for (unsigned i = 0; i < N; i++)
		blkioq_report_zones(q, (uint64_t)i * SIZE, z[i], NR, z[i], 0);
	CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
	for (unsigned i = 0; i < N; i++) {
		unsigned n = (struct blkio_zone(*)[NR])c[i].user_data - z;

		CHECK_EQ(c[i].ret, NR - n);
		CHECK_EQ(z[n][0].start, (uint64_t)n * SIZE);
		CHECK_EQ(z[n][NR - n - 1].start, (NR - 1) * (uint64_t)SIZE);
	}
	/* Some are left in flight, and their memory must go with the queue. */
	for (unsigned i = 0; i < N; i++)
		blkioq_report_zones(q, 0, z[i], NR, z[i], 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	blkio_destroy(&b);
}

/* ---- Writing ------------------------------------------------------------------------------ */

static void writing(struct device *d)
{
	char *buf = buffer(SIZE);
	struct blkio *b;
	struct blkioq *q = start(&b);
	struct blkio_zone z;

	(void)d;
	pattern(buf, SIZE, 3 * BLOCK, 1);
	CHECK_EQ(io_write(q, SIZE, buf, 2 * BLOCK, 0), 0);
	CHECK_EQ(io_write(q, SIZE + 2 * BLOCK, buf + 2 * BLOCK, BLOCK, BLKIO_REQ_FUA), 0);
	z = zone(q, 1);
	CHECK_EQ(z.zone_state, BLKIO_ZONE_STATE_IMP_OPEN);
	CHECK_EQ(z.write_pointer, SIZE + 3 * BLOCK);
	memset(buf, 0xee, SIZE);
	CHECK_EQ(io_read(q, SIZE, buf, 4 * BLOCK, 0), 0);
	check_pattern(buf, SIZE, 3 * BLOCK, 1);
	/* Behind nvmet is a null_blk, which has 0xff there. */
	if (!getenv("TEST_URI"))
		check_all(buf + 3 * BLOCK, BLOCK, 0);
	disk_peek(SIZE, buf, 3 * BLOCK);
	check_pattern(buf, SIZE, 3 * BLOCK, 1);

	/* Writing zeroes writes. */
	CHECK_EQ(io_zeroes(q, SIZE + 3 * BLOCK, BLOCK, 0), 0);
	CHECK_EQ(zone(q, 1).write_pointer, SIZE + 4 * BLOCK);
	free(buf);
	blkio_destroy(&b);
}

/* A request of several commands: the zone takes them one after the other. */
static void fill(struct blkioq *q, unsigned i, char *buf)
{
	pattern(buf, i * SIZE, SIZE, i);
	CHECK_EQ(io_write(q, (uint64_t)i * SIZE, buf, SIZE, 0), 0);
	memset(buf, 0, SIZE);
	CHECK_EQ(io_read(q, (uint64_t)i * SIZE, buf, SIZE, 0), 0);
	check_pattern(buf, i * SIZE, SIZE, i);
}

/* What the device itself refuses, in its words. */
static void refused_writes(struct device *d)
{
	char *buf = buffer(SIZE);
	struct blkio *b;
	struct blkioq *q = start(&b);

	(void)d;
	CHECK_IO_ERR(io_write(q, BLOCK, buf, BLOCK, 0), EINVAL, "write pointer");
	CHECK_EQ(state(q, 0), BLKIO_ZONE_STATE_EMPTY);
	CHECK_EQ(io_write(q, 0, buf, BLOCK, 0), 0);
	CHECK_IO_ERR(io_write(q, 0, buf, BLOCK, 0), EINVAL, "write pointer");
	CHECK_IO_ERR(io_write(q, SIZE - BLOCK, buf, 2 * BLOCK, 0), EINVAL, "");

	fill(q, 2, buf);
	CHECK_EQ(state(q, 2), BLKIO_ZONE_STATE_FULL);
	CHECK_EQ(zone(q, 2).write_pointer, 3 * SIZE);
	CHECK_IO_ERR(io_write(q, 2 * SIZE, buf, BLOCK, 0), ENOSPC, "full");
	CHECK_IO_ERR(io_zeroes(q, 2 * SIZE, BLOCK, BLKIO_REQ_NO_FALLBACK), ENOSPC, "full");
	CHECK_EQ(io_read(q, 2 * SIZE, buf, BLOCK, 0), 0);
	free(buf);
	blkio_destroy(&b);
}

/* ---- Management --------------------------------------------------------------------------- */

static void transitions(struct device *d)
{
	char *buf = buffer(BLOCK);
	struct blkio *b;
	struct blkioq *q = start(&b);

	(void)d;
	CHECK_EQ(one(q, blkioq_open_zone, SIZE), 0);
	CHECK_EQ(state(q, 1), BLKIO_ZONE_STATE_EXP_OPEN);
	CHECK_EQ(io_write(q, SIZE, buf, BLOCK, 0), 0);
	CHECK_EQ(state(q, 1), BLKIO_ZONE_STATE_EXP_OPEN);
	CHECK_EQ(one(q, blkioq_close_zone, SIZE), 0);
	CHECK_EQ(state(q, 1), BLKIO_ZONE_STATE_CLOSED);
	CHECK_EQ(zone(q, 1).write_pointer, SIZE + BLOCK);
	CHECK_EQ(one(q, blkioq_finish_zone, SIZE), 0);
	CHECK_EQ(state(q, 1), BLKIO_ZONE_STATE_FULL);
	CHECK_EQ(one(q, blkioq_reset_zone, SIZE), 0);
	CHECK_EQ(state(q, 1), BLKIO_ZONE_STATE_EMPTY);
	CHECK_EQ(zone(q, 1).write_pointer, SIZE);
	CHECK_EQ(state(q, 0), BLKIO_ZONE_STATE_EMPTY);
	CHECK_EQ(state(q, 2), BLKIO_ZONE_STATE_EMPTY);
	free(buf);
	blkio_destroy(&b);
}

static void invalid_transitions(struct device *d)
{
	struct blkio *b;
	struct blkioq *q = start(&b);
	one_zone_fn *const ops[] = { blkioq_open_zone, blkioq_close_zone, blkioq_finish_zone,
				     blkioq_reset_zone };

	(void)d;
	CHECK_IO_ERR(one(q, blkioq_close_zone, 0), EINVAL, "transition");
	CHECK_EQ(one(q, blkioq_finish_zone, 0), 0);
	CHECK_IO_ERR(one(q, blkioq_open_zone, 0), EINVAL, "transition");
	CHECK_IO_ERR(one(q, blkioq_close_zone, 0), EINVAL, "transition");
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		CHECK_IO_ERR(one(q, ops[i], NR * (uint64_t)SIZE), EINVAL, "LBA out of range");
		CHECK_IO_ERR(one(q, ops[i], SIZE + BLOCK), EINVAL, "invalid field");
		CHECK_IO_ERR(one(q, ops[i], SIZE + 100), EINVAL, "request-alignment");
	}
	blkio_destroy(&b);
}

static unsigned count(struct blkioq *q, int wanted)
{
	struct blkio_zone z[NR];
	unsigned n = 0;

	CHECK_EQ(report(q, 0, z, NR), NR);
	for (unsigned i = 0; i < NR; i++)
		n += z[i].zone_state == wanted;
	return n;
}

static void all_zones(struct device *d)
{
	char *buf = buffer(BLOCK);
	struct blkio *b;
	struct blkioq *q = start(&b);

	(void)d;
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(io_write(q, (uint64_t)i * SIZE, buf, BLOCK, 0), 0);
	CHECK_EQ(count(q, BLKIO_ZONE_STATE_IMP_OPEN), 3);
	CHECK_EQ(all(q, blkioq_close_all_zones), 0);
	CHECK_EQ(count(q, BLKIO_ZONE_STATE_CLOSED), 3);
	CHECK_EQ(all(q, blkioq_open_all_zones), 0); /* those that are closed */
	CHECK_EQ(count(q, BLKIO_ZONE_STATE_EXP_OPEN), 3);
	CHECK_EQ(all(q, blkioq_finish_all_zones), 0); /* those that are open */
	CHECK_EQ(count(q, BLKIO_ZONE_STATE_FULL), 3);
	CHECK_EQ(all(q, blkioq_reset_all_zones), 0);
	CHECK_EQ(count(q, BLKIO_ZONE_STATE_EMPTY), NR);
	free(buf);
	blkio_destroy(&b);
}

static void too_many_open(struct device *d)
{
	struct blkio *b;
	struct blkioq *q = start(&b);

	(void)d;
	for (unsigned i = 0; i < MAX_OPEN; i++)
		CHECK_EQ(one(q, blkioq_open_zone, (uint64_t)i * SIZE), 0);
	CHECK_IO_ERR(one(q, blkioq_open_zone, MAX_OPEN * (uint64_t)SIZE), EOVERFLOW,
		     "too many active");
	CHECK_EQ(one(q, blkioq_reset_zone, 0), 0);
	CHECK_EQ(one(q, blkioq_open_zone, MAX_OPEN * (uint64_t)SIZE), 0);
	CHECK_EQ(all(q, blkioq_reset_all_zones), 0);
	blkio_destroy(&b);
}

static void read_only(struct device *d)
{
	struct blkio_zone z;
	struct blkio *b;
	struct blkioq *q;

	(void)d;
	b = ns_create();
	CHECK_OK(blkio_set_bool(b, "read-only", true));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	CHECK_EQ(report(q, 0, &z, 1), 1);
	CHECK_IO_ERR(one(q, blkioq_open_zone, 0), EBADF, "read-only");
	CHECK_IO_ERR(append(q, 0, &z, BLOCK, &z.start, 0), EBADF, "read-only");
	CHECK_IO_ERR(all(q, blkioq_reset_all_zones), EBADF, "read-only");
	blkio_destroy(&b);
}

static void appends(struct device *d)
{
	char *buf = buffer(1 << 20);
	struct blkio *b;
	struct blkioq *q = start(&b);
	uint64_t at;

	(void)d;
	commands_start();
	CHECK_EQ(append(q, SIZE, buf, 2 * BLOCK, &at, 0), 0);
	CHECK_EQ(at, SIZE);
	CHECK_EQ(append(q, SIZE, buf, BLOCK, &at, BLKIO_REQ_FUA), 0);
	CHECK_EQ(at, SIZE + 2 * BLOCK);
	CHECK_EQ(zone(q, 1).write_pointer, SIZE + 3 * BLOCK);
	CHECK_EQ(commands_count("zone_append"), 2);
	append_refusals(b, 2 * SIZE, buf);
	free(buf);
	blkio_destroy(&b);
}

static void several_writers(struct device *d)
{
	static const char *const ways[] = { NULL, "register-buffers", "sq-poll" };

	(void)d;
	for (size_t i = 0; i < (getenv("TEST_URI") ? 1 : ARRAY_LEN(ways)); i++) {
		struct blkio *b = ns_connect();

		if (ways[i])
			CHECK_OK(blkio_set_bool(b, ways[i], true));
		CHECK_OK(blkio_set_int(b, "num-queues", 3));
		CHECK_OK(blkio_set_int(b, "num-poll-queues", 1));
		CHECK_OK(blkio_start(b));
		CHECK_EQ(all(blkio_get_queue(b, 0), blkioq_reset_all_zones), 0);
		append_from_all_queues(b, 5 * SIZE, SIZE);
		CHECK_EQ(zone(blkio_get_queue(b, 0), 5).zone_state, BLKIO_ZONE_STATE_FULL);
		blkio_destroy(&b);
	}
}

static void poll_queue(struct device *d)
{
	struct blkio *b = ns_connect();
	char *buf = buffer(BLOCK);
	struct blkio_zone z[NR];
	struct blkioq *q;
	uint64_t before;

	(void)d;
	CHECK_OK(blkio_set_int(b, "num-poll-queues", 1));
	CHECK_OK(blkio_start(b));
	CHECK_EQ(all(blkio_get_queue(b, 0), blkioq_reset_all_zones), 0);
	q = blkio_get_poll_queue(b, 0);
	before = disk_interrupts();
	pattern(buf, 0, BLOCK, 9);
	CHECK_EQ(io_write(q, 0, buf, BLOCK, 0), 0);
	CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
	check_pattern(buf, 0, BLOCK, 9);
	CHECK_EQ(report(q, 0, z, NR), NR);
	CHECK_EQ(z[0].zone_state, BLKIO_ZONE_STATE_IMP_OPEN);
	CHECK_EQ(disk_interrupts(), before);
	CHECK_IO_ERR(one(q, blkioq_reset_zone, 0), ENOTSUP, "poll queue");
	free(buf);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "properties", properties },
	{ "reports", reports },
	{ "reports in flight", reports_in_flight },
	{ "reports to bad memory", reports_to_bad_memory },
	{ "writing", writing },
	{ "refused writes", refused_writes },
	{ "transitions", transitions },
	{ "invalid transitions", invalid_transitions },
	{ "all zones", all_zones },
	{ "too many open", too_many_open },
	{ "read-only", read_only },
	{ "appends", appends },
	{ "several writers append to a zone", several_writers },
	{ "poll queue", poll_queue },
};
TEST_MAIN(tests)
