/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See guest.h. */
#include <endian.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "test.h"

/* What lies where in its memory. */
enum { DESC = 0x1000, AVAIL = 0x3000, USED = 0x4000, HEADERS = 0x6000, TABLES = 0x8000 };
enum { BUFFERS = 0x10000 };
enum { RING = 256, SECTOR = 512, STATUS_UNSET = 0xff };

struct header {
	struct virtio_blk_outhdr out;
	uint8_t status;
	uint8_t padding[15];
};

uint64_t guest_address(const struct guest *g, size_t offset)
{
	return g->ram.iova + offset;
}

void *guest_memory(const struct guest *g, size_t offset)
{
	return (char *)g->ram.addr + offset;
}

static size_t buffer_at(unsigned slot)
{
	return BUFFERS + (size_t)slot * GUEST_BLOCK;
}

void *guest_buffer(const struct guest *g, unsigned slot)
{
	return guest_memory(g, buffer_at(slot));
}

uint16_t *guest_event(const struct guest *g)
{
	return (void *)&g->used->ring[g->size];
}

static struct header *header_of(const struct guest *g, unsigned slot)
{
	return (struct header *)guest_memory(g, HEADERS) + slot;
}

void guest_init(struct guest *g, uint64_t address)
{
	*g = (struct guest){ .event_idx = true, .size = RING };
	g->ram = (struct blkio_mem_region){ .len = GUEST_LEN,
					    .iova = address,
					    .flags = BLKIO_MEM_GUEST };
	g->ram.fd = (int)SYS(memfd_create("guest", MFD_CLOEXEC));
	SYS(ftruncate(g->ram.fd, GUEST_LEN));
	g->ram.addr = mmap(NULL, GUEST_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, g->ram.fd, 0);
	CHECK(g->ram.addr != MAP_FAILED);
	g->kick = (int)SYS(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	g->call = (int)SYS(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	g->err = (int)SYS(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	g->desc = guest_memory(g, DESC);
	g->avail = guest_memory(g, AVAIL);
	g->used = guest_memory(g, USED);
}

void guest_pack(struct guest *g)
{
	g->packed = true;
	g->ring = guest_memory(g, DESC);
	g->base = 0x80008000;
}

void guest_exit(struct guest *g)
{
	munmap(g->ram.addr, g->ram.len);
	close(g->ram.fd);
	close(g->kick);
	close(g->call);
	close(g->err);
}

/* ---- The emulator's part ------------------------------------------------------------------ */

void guest_map(struct guest *g, struct blkio *b)
{
	CHECK_OK(blkio_map_mem_region(b, &g->ram));
}

struct blkio_vring guest_vring(const struct guest *g)
{
	return (struct blkio_vring){
		.size = g->size,
		.desc = guest_address(g, DESC),
		.driver = guest_address(g, AVAIL),
		.device = guest_address(g, USED),
		.base = g->base,
		.kick_fd = g->kick,
		.call_fd = g->call,
		.err_fd = g->err,
	};
}

void guest_start(struct guest *g, struct blkio *b, int index)
{
	const struct blkio_vring v = guest_vring(g);

	CHECK_OK(blkio_start_vring(b, index, &v));
}

int guest_try_stop(struct guest *g, struct blkio *b, int index)
{
	struct blkio_vring state = { 0 };
	int ret = blkio_stop_vring(b, index, &state);

	if (ret < 0)
		return ret;
	CHECK_EQ(state.size, g->size);
	CHECK(state.desc == guest_address(g, DESC) && state.device == guest_address(g, USED));
	CHECK_EQ(state.kick_fd, -1);
	g->base = state.base;
	return ret;
}

void guest_stop(struct guest *g, struct blkio *b, int index)
{
	CHECK_OK(guest_try_stop(g, b, index));
	/* All that it took is completed. */
	if (g->packed)
		CHECK_EQ(g->base >> 16, g->base & 0xffff);
	else
		CHECK_EQ(g->base, le16toh(__atomic_load_n(&g->used->idx, __ATOMIC_ACQUIRE)));
}

/* ---- Requests ----------------------------------------------------------------------------- */

static uint64_t address_of(const struct guest *g, const void *p)
{
	return guest_address(g, (size_t)((const char *)p - (const char *)g->ram.addr));
}

/* Header, data, status: as descriptors i to i + 2 of a table, with links or without. */
static void describe(struct guest *g, unsigned slot, struct vring_desc *table, unsigned i)
{
	struct header *h = header_of(g, slot);
	uint32_t type = le32toh(h->out.type);
	bool data = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_OUT;
	const struct {
		const void *at;
		uint32_t len, flags;
	} part[3] = {
		{ &h->out, sizeof(h->out), 0 },
		{ guest_buffer(g, slot), data ? GUEST_BLOCK : 0,
		  type == VIRTIO_BLK_T_IN ? VRING_DESC_F_WRITE : 0 },
		{ &h->status, 1, VRING_DESC_F_WRITE },
	};

	for (unsigned p = 0; p < 3; p++) {
		bool links = p < 2 && !g->packed;

		if (!part[p].len)
			continue;
		table[i] = (struct vring_desc){
			htole64(address_of(g, part[p].at)),
			htole32(part[p].len),
			htole16(part[p].flags | (links ? VRING_DESC_F_NEXT : 0)),
			htole16(links ? i + 1 : 0),
		};
		i++;
	}
}

/* Whether the ring has been gone round an even number of times. */
static bool wrap_of(const struct guest *g, uint16_t index)
{
	return !(index / g->size % 2);
}

/* Packed descriptors are laid out as others, but for the last two members, which tables have not.
 */
static void publish_packed(struct guest *g, unsigned slot)
{
	struct vring_desc *table = (struct vring_desc *)guest_memory(g, TABLES) + 3 * slot;
	struct vring_packed_desc *d = &g->ring[g->added % g->size];
	unsigned flag = wrap_of(g, g->added) ? VRING_PACKED_DESC_F_AVAIL : VRING_PACKED_DESC_F_USED;
	uint32_t type = le32toh(header_of(g, slot)->out.type);
	bool data = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_OUT;

	describe(g, slot, table, 0);
	for (unsigned i = 0; i < 3; i++) /* struct vring_packed_desc: id, then flags */
		table[i] = (struct vring_desc){ table[i].addr, table[i].len, 0, table[i].flags };
	d->addr = htole64(address_of(g, table));
	d->len = htole32((data ? 3 : 2) * sizeof(*table));
	d->id = htole16(slot);
	__atomic_store_n(&d->flags, htole16(VRING_DESC_F_INDIRECT | 1u << flag), __ATOMIC_RELEASE);
	g->added++;
}

static void publish_split(struct guest *g, unsigned slot)
{
	describe(g, slot, g->desc, 3 * slot);
	g->avail->ring[g->added++ % g->size] = htole16(3 * slot);
	__atomic_store_n(&g->avail->idx, htole16(g->added), __ATOMIC_RELEASE);
}

void guest_add(struct guest *g, unsigned slot, uint32_t type, uint64_t start)
{
	struct header *h = header_of(g, slot);

	CHECK(!g->busy[slot]);
	g->busy[slot] = true;
	h->out =
	    (struct virtio_blk_outhdr){ .type = htole32(type), .sector = htole64(start / SECTOR) };
	h->status = STATUS_UNSET;
	if (g->packed)
		publish_packed(g, slot);
	else
		publish_split(g, slot);
}

void guest_kick(struct guest *g)
{
	SYS(eventfd_write(g->kick, 1));
}

static void take(struct guest *g, unsigned slot)
{
	CHECK(slot < GUEST_SLOTS);
	CHECK(g->busy[slot]); /* or it was completed twice */
	CHECK_EQ(header_of(g, slot)->status, VIRTIO_BLK_S_OK);
	g->busy[slot] = false;
	__atomic_add_fetch(&g->completed, 1, __ATOMIC_RELAXED);
}

static bool has_used(const struct guest *g)
{
	const struct vring_packed_desc *d = &g->ring[g->seen % g->size];
	uint16_t flags;

	if (!g->packed)
		return g->seen != le16toh(__atomic_load_n(&g->used->idx, __ATOMIC_SEQ_CST));
	flags = le16toh(__atomic_load_n(&d->flags, __ATOMIC_SEQ_CST));
	return (flags >> VRING_PACKED_DESC_F_AVAIL & 1) == wrap_of(g, g->seen) &&
	       (flags >> VRING_PACKED_DESC_F_USED & 1) == wrap_of(g, g->seen);
}

/* The slot of the next used request. */
static unsigned used_slot(struct guest *g)
{
	unsigned i = g->seen++ % g->size, id;

	if (g->packed)
		return le16toh(g->ring[i].id);
	id = le32toh(g->used->ring[i].id);
	CHECK_EQ(id % 3, 0);
	return id / 3;
}

unsigned guest_reap(struct guest *g, void (*done)(struct guest *g, unsigned slot))
{
	unsigned n = 0;

	for (; guest_in_flight(g) && has_used(g); n++) {
		unsigned slot = used_slot(g);

		take(g, slot);
		if (done)
			done(g, slot);
	}
	return n;
}

bool guest_sleep(struct guest *g, int ms)
{
	struct pollfd p = { .fd = g->call, .events = POLLIN };
	eventfd_t count;

	/* The event index: signal the next one. A packed ring says nothing: signal all. */
	if (!g->packed)
		__atomic_store_n(&g->avail->ring[g->size], htole16(g->seen), __ATOMIC_SEQ_CST);
	if (has_used(g))
		return true;
	if (SYS(poll(&p, 1, ms)) == 0)
		return false;
	SYS(eventfd_read(g->call, &count));
	return true;
}

unsigned guest_in_flight(const struct guest *g)
{
	return (uint16_t)(g->added - g->seen);
}

void guest_drain(struct guest *g, void (*done)(struct guest *g, unsigned slot))
{
	while (guest_in_flight(g)) {
		if (!guest_reap(g, done) && !guest_sleep(g, LATE_MS))
			FAIL("%u requests of the guest were lost", guest_in_flight(g));
	}
}

int guest_status(const struct guest *g, unsigned slot)
{
	return header_of(g, slot)->status;
}

int guest_io(struct guest *g, uint32_t type, uint64_t start)
{
	guest_add(g, 0, type, start);
	guest_kick(g);
	guest_drain(g, NULL);
	return guest_status(g, 0);
}
