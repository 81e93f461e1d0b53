/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Queue passthrough with a hostile guest, on every driver that has it: it reaches its own memory
 * and nothing else, and what it writes into its ring makes the server or the device fail, or the
 * guest itself, but not the library.
 */
#include <linux/virtio_blk.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "guest.h"
#include "io.h"
#include "test.h"

enum { BLOCK = GUEST_BLOCK, ELSEWHERE = 64 * BLOCK, LIMIT_MS = 300 };

#define GUEST_AT (4ULL << 30)
#define SECRET	 0x5ec2e7

/* ---- Where the library's own ring and buffers are ----------------------------------------- */

static uint64_t our_ring; /* as the device knows it */

static uint64_t own_memory(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long from, found = 0;
	char line[512];

	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "memfd:libblkio") && sscanf(line, "%lx-", &from) == 1)
			found = from;
	}
	fclose(f);
	CHECK(found);
	return found;
}

/*
 * A vhost-user server knows it by our address. A vDPA device has it where the upper half of its
 * addresses begins, or behind that, as far from a large page as it is here.
 */
enum { GUESSES = 2 };

static uint64_t guess(const struct device *d, int n)
{
	const uint64_t upper = 1ULL << 63, large = 2 << 20;

	if (d->target->traits & T_VHOST_USER)
		return own_memory();
	return n ? upper + own_memory() % large : upper;
}

static void fill_with_secret(char *buf, size_t len)
{
	const uint32_t secret = SECRET;

	for (size_t i = 0; i < len; i += sizeof(secret))
		memcpy(buf + i, &secret, sizeof(secret));
}

/* ---- Lies --------------------------------------------------------------------------------- */

/* Each spoils a read of slot 0, before the device looks at the ring. */
static void names_our_ring(struct guest *g)
{
	g->desc[1].addr = our_ring;
}

static void reads_our_ring(struct guest *g)
{
	g->desc[1].addr = our_ring;
	g->desc[1].flags = VRING_DESC_F_NEXT;
	((struct virtio_blk_outhdr *)guest_memory(g, g->desc[0].addr - g->ram.iova))->type = 1;
}

static void names_our_ring_in_a_table(struct guest *g)
{
	struct vring_desc *table_of = guest_buffer(g, 8);

	memcpy(table_of, g->desc, 3 * sizeof(*table_of));
	table_of[1].addr = our_ring;
	g->desc[0] =
	    (struct vring_desc){ guest_address(g, (size_t)((char *)table_of - (char *)g->ram.addr)),
				 3 * sizeof(*table_of), VRING_DESC_F_INDIRECT, 0 };
}

static void has_a_table_in_our_ring(struct guest *g)
{
	g->desc[0] = (struct vring_desc){ our_ring, 48, VRING_DESC_F_INDIRECT, 0 };
}

static void names_its_memory_as_we_do(struct guest *g)
{
	g->desc[1].addr = (uintptr_t)guest_buffer(g, 0);
}

static void names_nothing(struct guest *g)
{
	g->desc[1].addr = 0;
}

static void ends_outside(struct guest *g)
{
	g->desc[1].addr = guest_address(g, GUEST_LEN - 512);
}

static void wraps_around(struct guest *g)
{
	g->desc[1].addr = UINT64_MAX - 511;
}

static void loops(struct guest *g)
{
	g->desc[1].next = 0;
}

static void leaves_the_table(struct guest *g)
{
	g->desc[1].next = 60000;
}

static void has_a_strange_head(struct guest *g)
{
	g->avail->ring[0] = 50000;
}

static void jumps(struct guest *g)
{
	g->avail->idx = 30000;
}

static const struct lie {
	const char *name;
	void (*tell)(struct guest *g);
	bool about_us;
	bool may_succeed;
} lies[] = {
	{ "a buffer in our ring", names_our_ring, true },
	{ "data from our ring", reads_our_ring, true },
	{ "a table with our ring", names_our_ring_in_a_table, true },
	{ "a table in our ring", has_a_table_in_our_ring, true },
	{ "our address of its memory", names_its_memory_as_we_do },
	{ "address 0", names_nothing },
	{ "a buffer that ends outside", ends_outside },
	{ "an address that wraps around", wraps_around },
	{ "a loop", loops },
	{ "a link outside", leaves_the_table },
	{ "a head outside", has_a_strange_head },
	{ "an index that jumps", jumps, .may_succeed = true },
};

/* ---- Telling them ------------------------------------------------------------------------- */

/*
 * A vhost-user server closes the connection, or fails the request. A vDPA device may also just not
 * complete it: it has a while in which it must not do what it was asked.
 */
static void await_failure(const struct device *d, struct guest *g)
{
	bool certain = d->target->traits & T_VHOST_USER;
	struct pollfd p[] = { { .fd = g->err, .events = POLLIN },
			      { .fd = g->call, .events = POLLIN } };
	eventfd_t count;

	while (!g->used->idx) {
		int n = (int)SYS(poll(p, 2, certain ? 10000 : LIMIT_MS));

		CHECK(n || !certain);
		if (!n || p[0].revents)
			return;
		SYS(eventfd_read(g->call, &count));
	}
}

/* The result of a stop, which is cancelled if it goes on waiting for what the guest spoiled. */
static int try_stop(struct blkio *b)
{
	struct blkio_vring state;
	int ret;

	CHECK_OK(blkio_stop_vring_async(b, 0, &state));
	for (int ms = 0; (ret = blkio_control_result(b)) == -EINPROGRESS; ms++) {
		if (ms == LIMIT_MS)
			blkio_cancel(b);
		usleep(1000);
	}
	return ret;
}

/* Everything can be stopped: by a guest that repents, or because its server has gone. */
static int stop(struct guest *g, struct blkio *b)
{
	struct blkio_vring state;
	int ret = try_stop(b);

	CHECK(!ret || ret == -ECANCELED || ret == -EIO);
	if (ret == -EIO)
		CHECK_ERR(blkio_stop_vring(b, 0, &state), EIO, "closed the connection");
	if (ret != -ECANCELED)
		return ret;
	__atomic_store_n(&g->used->idx, g->avail->idx, __ATOMIC_RELEASE);
	return blkio_stop_vring(b, 0, &state);
}

static struct blkio *start(struct device *d, struct guest *g)
{
	struct blkio *b = device_connect(d);

	CHECK_OK(blkio_set_int(b, "num-vrings", 1));
	CHECK_OK(blkio_set_int(b, "bounce-buffers", 4));
	CHECK_OK(blkio_start(b));
	guest_map(g, b);
	return b;
}

/* Nothing of ours was written to the device, whose queue goes on. */
static void check_untouched(struct blkio *b)
{
	char *buf = buffer(BLOCK);

	CHECK_EQ(io_read(blkio_get_queue(b, 0), ELSEWHERE, buf, BLOCK, 0), 0);
	check_all(buf, BLOCK, 0);
	fill_with_secret(buf, BLOCK);
	CHECK_EQ(io_write(blkio_get_queue(b, 0), BLOCK, buf, BLOCK, 0), 0);
}

static void tell(struct device *d, const struct lie *lie, int n)
{
	struct guest g;
	struct blkio *b;
	char *buf;
	int ret;

	printf("%s\n", lie->name);
	guest_init(&g, GUEST_AT);
	b = start(d, &g);
	our_ring = guess(d, n);
	buf = buffer(BLOCK);
	fill_with_secret(buf, BLOCK);
	CHECK_EQ(io_write(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
	guest_add(&g, 0, VIRTIO_BLK_T_IN, ELSEWHERE);
	lie->tell(&g);
	guest_start(&g, b, 0);
	guest_kick(&g);
	await_failure(d, &g);
	ret = stop(&g, b);
	CHECK(!ret || ret == -EIO);
	CHECK(guest_status(&g, 0) != VIRTIO_BLK_S_OK || lie->may_succeed);
	check_all(guest_buffer(&g, 0), BLOCK, 0);
	if (!ret)
		check_untouched(b);
	blkio_destroy(&b);
	device_peek(d, ELSEWHERE, buf = malloc(BLOCK), BLOCK);
	check_all(buf, BLOCK, 0);
	free(buf);
	guest_exit(&g);
}

static void lying_guests(struct device *d)
{
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		for (int n = 0; n < (lies[i].about_us ? GUESSES : 1); n++)
			tell(d, &lies[i], n);
	}
}

static const struct test tests[] = {
	{ "lying guests", lying_guests, T_VRINGS, .timeout = 60 },
};

TEST_MAIN(tests)
