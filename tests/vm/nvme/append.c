/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See append.h. */
#include "append.h"

#include <pthread.h>

enum { WRITERS_MAX = 8, DEPTH = 4 };

int append(struct blkioq *q, uint64_t zone, const void *buf, size_t len, uint64_t *written_at,
	   uint32_t flags)
{
	blkioq_zone_append(q, zone, buf, len, written_at, written_at, flags);
	return io_finish(q, written_at);
}

/* ---- Several writers ---------------------------------------------------------------------- */

/* Each request is of blocks that say who wrote them, and which of its requests. */
struct request {
	uint64_t *buf; /* len bytes */
	uint64_t written_at;
	uint32_t nr;
};

struct writer {
	pthread_t thread;
	struct blkioq *q;
	uint64_t zone, id, len, *written_at; /* by number of the request */
	uint32_t nr;			     /* requests to make */
	struct request requests[DEPTH];
};

static void begin(struct writer *w, struct request *r, uint32_t nr)
{
	for (uint64_t i = 0; i < w->len / sizeof(*r->buf); i++)
		r->buf[i] = w->id << 32 | nr;
	r->nr = nr;
	r->written_at = UINT64_MAX;
	blkioq_zone_append(w->q, w->zone, r->buf, w->len, &r->written_at, r,
			   nr % 8 ? 0 : BLKIO_REQ_FUA);
}

static void *write_all(void *arg)
{
	struct writer *w = arg;
	uint32_t begun = 0, done = 0;
	struct blkio_completion c;

	while (begun < DEPTH && begun < w->nr) {
		begin(w, &w->requests[begun], begun);
		begun++;
	}
	while (done < w->nr) {
		struct request *r;

		CHECK_EQ(blkioq_do_io(w->q, &c, 1, 1, NULL), 1);
		if (c.ret)
			FAIL("an append failed: %d, %s", c.ret, c.error_msg);
		r = c.user_data;
		w->written_at[r->nr] = r->written_at;
		done++;
		if (begun < w->nr)
			begin(w, r, begun++);
	}
	return NULL;
}

/* What the zone has where a request said that it is. */
static void check_writer(struct writer *w, const uint64_t *data, uint64_t size, bool *taken)
{
	for (uint32_t nr = 0; nr < w->nr; nr++) {
		uint64_t at = w->written_at[nr] - w->zone;
		const uint64_t *is = data + at / sizeof(*data);

		CHECK(at <= size - w->len && at % w->len == 0);
		CHECK(!taken[at / w->len]);
		taken[at / w->len] = true;
		for (uint64_t i = 0; i < w->len / sizeof(*is); i++)
			CHECK_EQ(is[i], w->id << 32 | nr);
	}
}

void append_from_all_queues(struct blkio *b, uint64_t zone, uint64_t size)
{
	static struct writer writers[WRITERS_MAX];
	uint64_t len = get_int(b, "request-alignment"), total = 0;
	struct blkio_mem_region region;
	unsigned n = 0;
	bool *taken;
	char *mem;

	len = len < 4096 ? 4096 : len;
	taken = calloc(size / len, sizeof(*taken));
	CHECK_OK(blkio_alloc_mem_region(b, &region, size + WRITERS_MAX * DEPTH * len));
	CHECK_OK(blkio_map_mem_region(b, &region));
	mem = (char *)region.addr + size;
	for (int poll = 0; poll < 2; poll++) {
		int queues = get_int(b, poll ? "num-poll-queues" : "num-queues");

		for (int i = 0; i < queues; i++)
			writers[n++].q = poll ? blkio_get_poll_queue(b, i) : blkio_get_queue(b, i);
	}
	CHECK(n > 1 && n <= WRITERS_MAX);
	for (unsigned i = 0; i < n; i++) {
		struct writer *w = &writers[i];

		w->zone = zone;
		w->id = i + 1;
		w->len = len;
		w->nr = size / len / n + (i < size / len % n);
		w->written_at = calloc(w->nr, sizeof(*w->written_at));
		for (unsigned k = 0; k < DEPTH; k++, mem += len)
			w->requests[k].buf = (uint64_t *)mem;
		total += w->nr;
	}
	CHECK_EQ(total, size / len);
	for (unsigned i = 0; i < n; i++)
		CHECK_EQ(pthread_create(&writers[i].thread, NULL, write_all, &writers[i]), 0);
	for (unsigned i = 0; i < n; i++)
		CHECK_EQ(pthread_join(writers[i].thread, NULL), 0);
	CHECK_EQ(io_read(writers[0].q, zone, region.addr, size, 0), 0);
	for (unsigned i = 0; i < n; i++) {
		check_writer(&writers[i], region.addr, size, taken);
		free(writers[i].written_at);
	}
	free(taken);
	blkio_free_mem_region(b, &region);
}

/* ---- What is refused ---------------------------------------------------------------------- */

void append_refusals(struct blkio *b, uint64_t zone, char *buf)
{
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t max = get_u64(b, "zone-append-max-bytes"), at = 5;
	int block = get_int(b, "request-alignment");

	CHECK(get_bool(b, "append-support"));
	CHECK_IO_ERR(append(q, zone, buf, max + block, &at, 0), EINVAL, "zone-append-max-bytes");
	CHECK_IO_ERR(append(q, zone, buf, 0, &at, 0), EINVAL, "length is 0");
	CHECK_IO_ERR(append(q, zone, buf, block / 2, &at, 0), EINVAL, "request-alignment");
	CHECK_IO_ERR(append(q, zone + 1, buf, block, &at, 0), EINVAL, "request-alignment");
	CHECK_IO_ERR(append(q, zone + block, buf, block, &at, 0), EINVAL, "invalid field");
	CHECK_IO_ERR(append(q, get_u64(b, "capacity"), buf, block, &at, 0), EINVAL, "capacity");
	CHECK_IO_ERR(append(q, zone, buf, block, &at, BLKIO_REQ_NO_FALLBACK), EINVAL, "FALLBACK");
	blkioq_zone_append(q, zone, buf, block, NULL, buf, 0);
	CHECK_IO_ERR(io_finish(q, buf), EINVAL, "written_at is NULL");
	CHECK(append(q, zone, NULL, block, &at, 0) < 0);
	CHECK_EQ(at, 5);
	/* The longest, and none behind the last block. */
	CHECK_EQ(append(q, zone, buf, max, &at, BLKIO_REQ_FUA), 0);
	CHECK_EQ(at, zone);
	CHECK_EQ(append(q, zone, buf, block, &at, 0), 0);
	CHECK_EQ(at, zone + max);
	blkioq_finish_zone(q, zone, buf, 0);
	CHECK_EQ(io_finish(q, buf), 0);
	at = 5;
	CHECK_IO_ERR(append(q, zone, buf, block, &at, 0), ENOSPC, "full");
	CHECK_EQ(at, 5);
}

/* ---- Atomic writes ------------------------------------------------------------------------ */

void check_atomic(struct blkio *b, char *buf)
{
	struct blkioq *q = blkio_get_queue(b, 0);
	size_t block = (size_t)get_int(b, "request-alignment");
	struct iovec halves[2] = { { buf + block, block / 2 }, { buf + 2 * block, block / 2 } };
	struct iovec whole[2] = { { buf, block }, { buf + 2 * block, block } };

	CHECK_EQ(get_u64(b, "atomic-write-unit-min"), block);
	CHECK_EQ(get_u64(b, "atomic-write-unit-max"), block);
	CHECK_EQ(get_u64(b, "atomic-write-boundary"), 0);
	CHECK_IO_ERR(io_write(q, 0, buf, 2 * block, BLKIO_REQ_ATOMIC), EINVAL,
		     "atomic-write-unit-max");
	CHECK_IO_ERR(io_writev(q, 0, whole, 2, BLKIO_REQ_ATOMIC | BLKIO_REQ_FUA), EINVAL,
		     "atomic-write-unit-max");
	pattern(buf, 5 * block, block, 4);
	CHECK_EQ(io_write(q, 5 * block, buf, block, BLKIO_REQ_ATOMIC), 0);
	CHECK_EQ(io_write(q, 5 * block, buf, block, BLKIO_REQ_ATOMIC | BLKIO_REQ_FUA), 0);
	memset(buf, 0, block);
	CHECK_EQ(io_read(q, 5 * block, buf, block, 0), 0);
	check_pattern(buf, 5 * block, block, 4);
	pattern(halves[0].iov_base, 6 * block, block / 2, 5);
	pattern(halves[1].iov_base, 6 * block + block / 2, block / 2, 5);
	CHECK_EQ(io_writev(q, 6 * block, halves, 2, BLKIO_REQ_ATOMIC), 0);
	CHECK_EQ(io_read(q, 6 * block, buf, block, 0), 0);
	check_pattern(buf, 6 * block, block, 5);
}
