/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Inside the guest: what a power cut is to find. Usage:
 *	writer write NAME DRIVER PATH        for ever; a line "NAME N" once generation N is durable
 *	writer lose NAME DRIVER PATH         writes without a flush, then "NAME unflushed"; waits
 *	writer verify NAME DRIVER PATH N     generations 1 to N are there
 *	writer lost NAME DRIVER PATH         says how many of those writes are not
 *
 * A generation is 16 blocks that nobody wrote before, all in flight at once: odd ones are followed
 *by a flush, even ones have FUA.
 */
#include <unistd.h>

#include "../../lib/io.h"
#include "../../lib/test.h"

#define BLOCK	   4096u
#define BLOCKS	   16u
#define SPACING	   65536u /* a cluster of the image: each block is one more for it to remember */
#define GENERATION (BLOCKS * SPACING)
#define LEN	   (BLOCKS * BLOCK)

static struct blkio_completion c[BLOCKS];

static struct blkio *b;

static struct blkioq *start(const char *driver, const char *path, char **buf)
{
	struct blkio_mem_region r;

	CHECK_OK(blkio_create(driver, &b));
	CHECK_OK(blkio_set_str(b, "path", path));
	if (!strcmp(driver, "io_uring"))
		CHECK_OK(blkio_set_bool(b, "direct", true));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK_OK(blkio_alloc_mem_region(b, &r, LEN));
	CHECK_OK(blkio_map_mem_region(b, &r));
	*buf = r.addr;
	return blkio_get_queue(b, 0);
}

static void finish(struct blkioq *q, int n)
{
	CHECK_EQ(blkioq_do_io(q, c, n, n, NULL), n);
	for (int i = 0; i < n; i++)
		CHECK_EQ(c[i].ret, 0);
}

static uint64_t place(uint64_t capacity, unsigned generation, unsigned block)
{
	return ((uint64_t)generation * GENERATION + block * SPACING) % capacity;
}

static void write_generation(struct blkioq *q, uint64_t capacity, char *buf, unsigned g,
			     uint32_t flags)
{
	for (unsigned i = 0; i < BLOCKS; i++) {
		uint64_t at = place(capacity, g, i);

		pattern(buf + i * BLOCK, at, BLOCK, g);
		blkioq_write(q, at, buf + i * BLOCK, BLOCK, NULL, flags);
	}
	finish(q, BLOCKS);
}

static unsigned count_good(struct blkioq *q, uint64_t capacity, char *buf, unsigned g)
{
	char *want = buf + BLOCK;
	unsigned good = 0;

	for (unsigned i = 0; i < BLOCKS; i++) {
		uint64_t at = place(capacity, g, i);

		blkioq_read(q, at, buf, BLOCK, NULL, 0);
		finish(q, 1);
		pattern(want, at, BLOCK, g);
		good += !memcmp(buf, want, BLOCK);
	}
	return good;
}

static void say(const char *name, const char *what, unsigned n)
{
	printf("%s %s %u\n", name, what, n);
	fflush(stdout);
}

static void write_for_ever(struct blkioq *q, uint64_t capacity, char *buf, const char *name,
			   bool fua)
{
	for (unsigned g = 1; g * (uint64_t)GENERATION < capacity - GENERATION; g++) {
		bool flush = g % 2 || !fua;

		write_generation(q, capacity, buf, g, flush ? 0 : BLKIO_REQ_FUA);
		if (flush) {
			blkioq_flush(q, NULL, 0);
			finish(q, 1);
		}
		say(name, "durable", g);
	}
	FAIL("the disk is full: it was to lose its power before");
}

int main(int argc, char **argv)
{
	struct blkioq *q;
	uint64_t capacity;
	char *buf;

	if (argc < 5)
		FAIL("usage: writer write|lose|verify|lost NAME DRIVER PATH [N]");
	q = start(argv[3], argv[4], &buf);
	capacity = get_u64(b, "capacity");
	if (!strcmp(argv[1], "write")) {
		write_for_ever(q, capacity, buf, argv[2], !get_bool(b, "supports-fua-natively"));
	} else if (!strcmp(argv[1], "lose")) {
		write_generation(q, capacity, buf, 1, 0);
		say(argv[2], "unflushed", BLOCKS);
		pause();
	} else if (!strcmp(argv[1], "lost")) {
		say(argv[2], "lost", BLOCKS - count_good(q, capacity, buf, 1));
	} else {
		unsigned last = strtoul(argv[5], NULL, 0);

		for (unsigned g = 1; g <= last; g++) {
			unsigned n = count_good(q, capacity, buf, g);
			if (n != BLOCKS)
				FAIL("%s: generation %u: %u", argv[2], g, n);
		}
		say(argv[2], "verified", last);
	}
	return 0;
}
