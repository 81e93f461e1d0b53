/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Queue passthrough with a hostile guest: what a vhost-user server is given, and what the indexes
 * of a ring can do to the library. What the guest can do to the device: api/vring_lies.c.
 */
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"
#include "io.h"
#include "proxy.h"
#include "test.h"

enum { BLOCK = GUEST_BLOCK };
enum {
	SET_MEM_TABLE = 5,
	SET_VRING_ADDR = 9,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	ADD_MEM_REG = 37,
	REM_MEM_REG = 38
};

#define GUEST_AT (4ULL << 30)
#define SECRET	 0x5ec2e7

/* ---- What the server is given ------------------------------------------------------------- */

/* A server that keeps everything that it was given, and looks into all that it has. */
static struct table {
	struct entry {
		uint64_t guest_addr, len, user_addr;
		int fd;
	} entry[64];
	unsigned n;
	bool guests_ring; /* the ring lies in the guest's memory ... */
	bool running;	  /* ... and runs */
	unsigned looks, strange;
	const struct guest *guest;
	bool found_secret; /* ever */
} table;

static uint64_t u64_at(const struct vu_message *m, size_t offset)
{
	uint64_t value;

	memcpy(&value, m->payload + offset, sizeof(value));
	return value;
}

static void add(const struct vu_message *m, size_t offset, int fd)
{
	table.entry[table.n++] = (struct entry){ u64_at(m, offset), u64_at(m, offset + 8),
						 u64_at(m, offset + 16), dup(fd) };
}

static void drop(const struct vu_message *m)
{
	for (unsigned i = 0; i < table.n; i++) {
		if (table.entry[i].user_addr != u64_at(m, 24))
			continue;
		close(table.entry[i].fd);
		table.entry[i] = table.entry[--table.n];
		return;
	}
}

static void set(const struct vu_message *m, const struct vu_fds *fds)
{
	while (table.n)
		close(table.entry[--table.n].fd);
	for (unsigned i = 0; i < fds->n; i++)
		add(m, 8 + 32 * i, fds->fd[i]);
}

static bool holds_secret(const struct entry *e)
{
	static const uint32_t secret[2] = { SECRET, SECRET };
	void *p = mmap(NULL, e->len, PROT_READ, MAP_SHARED, e->fd, 0);
	bool found = p != MAP_FAILED && memmem(p, e->len, secret, sizeof(secret));

	munmap(p, e->len);
	return found;
}

/* All that there is, as long as a guest's ring runs. */
static void look(void)
{
	struct stat st, guests;

	fstat(table.guest->ram.fd, &guests);
	table.looks += table.running;
	for (unsigned i = 0; i < table.n; i++) {
		bool secret = holds_secret(&table.entry[i]);

		fstat(table.entry[i].fd, &st);
		table.found_secret |= secret;
		table.strange += table.running && (secret || st.st_ino != guests.st_ino);
	}
}

static void note_ring(const struct vu_message *m)
{
	uint64_t at = u64_at(m, 8) - (uintptr_t)table.guest->ram.addr;

	if (m->request == SET_VRING_ADDR)
		table.guests_ring = at < GUEST_LEN;
	else
		table.running = m->request == SET_VRING_KICK && table.guests_ring;
}

static bool keep_table(struct vu_proxy *p, const struct vu_message *m, struct vu_fds *fds)
{
	(void)p;
	if (m->request == SET_MEM_TABLE)
		set(m, fds);
	else if (m->request == ADD_MEM_REG)
		add(m, 8, fds->fd[0]);
	else if (m->request == REM_MEM_REG)
		drop(m);
	else if (m->request >= SET_VRING_ADDR && m->request <= SET_VRING_KICK)
		note_ring(m);
	look();
	return true;
}

static void fill_with_secret(char *buf, size_t len)
{
	const uint32_t secret = SECRET;

	for (size_t i = 0; i < len; i += sizeof(secret))
		memcpy(buf + i, &secret, sizeof(secret));
}

/* hidden: of the server's protocol features. */
static void sees_guest_memory_only(struct device *d, uint64_t hidden)
{
	struct vu_proxy p = { .hidden_protocol = hidden, .intercept = keep_table };
	char *own, *bounced = malloc(BLOCK);
	struct blkioq *q;
	struct guest g;
	struct blkio *b;

	guest_init(&g, GUEST_AT);
	table = (struct table){ .guest = &g };
	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", vu_proxy_start(&p, d->path)));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_set_int(b, "num-vrings", 1));
	CHECK_OK(blkio_set_int(b, "bounce-buffers", 4));
	CHECK_OK(blkio_start(b));
	guest_map(&g, b);
	q = blkio_get_queue(b, 0);
	own = buffer(BLOCK);
	for (int i = 0; i < 5; i++) {
		fill_with_secret(own, BLOCK);
		fill_with_secret(bounced, BLOCK);
		CHECK_EQ(io_write(q, 0, own, BLOCK, 0), 0);
		CHECK_EQ(io_write(q, BLOCK, bounced, BLOCK, 0), 0);
		guest_start(&g, b, 0);
		CHECK_EQ(guest_io(&g, VIRTIO_BLK_T_FLUSH, 0), VIRTIO_BLK_S_OK);
		guest_stop(&g, b, 0);
	}
	CHECK_EQ(io_read(q, 0, own, BLOCK, 0), 0);
	blkio_destroy(&b);
	vu_proxy_stop(&p);
	CHECK(table.looks >= 10 && table.found_secret);
	CHECK_EQ(table.strange, 0);
	set(NULL, &(struct vu_fds){ .n = 0 });
	guest_exit(&g);
	free(bounced);
}

static void with_slots(struct device *d)
{
	sees_guest_memory_only(d, 0);
}

static void with_table(struct device *d)
{
	sees_guest_memory_only(d, 1u << 15);
}

/* ---- Lies --------------------------------------------------------------------------------- */

/* What the library reads of a ring decides how long it waits, and about nothing else. */
static void false_indexes(struct device *d)
{
	static const struct {
		uint16_t used, event;
		int ret; /* of the stop */
	} lie[] = {
		{ 1, 2, -ETIMEDOUT }, { 0, 256, -ETIMEDOUT },	{ 0, 257, 0 },
		{ 2, 1, 0 },	      { 65535, 0, -ETIMEDOUT }, { 0, 65535, 0 },
		{ 32768, 0, 0 },      { 40000, 40000, 0 },
	};
	struct blkio *b;
	struct guest g;

	for (size_t i = 0; i < ARRAY_LEN(lie); i++) {
		int ret;

		guest_init(&g, GUEST_AT);
		b = device_create(d);
		CHECK_OK(blkio_set_int(b, "connect-timeout", 300));
		CHECK_OK(blkio_connect(b));
		CHECK_OK(blkio_set_int(b, "num-vrings", 1));
		CHECK_OK(blkio_start(b));
		guest_map(&g, b);
		guest_start(&g, b, 0);
		CHECK_EQ(guest_io(&g, VIRTIO_BLK_T_IN, 0), VIRTIO_BLK_S_OK);
		g.used->idx = lie[i].used;
		*guest_event(&g) = lie[i].event;
		ret = guest_try_stop(&g, b, 0);
		CHECK_EQ(ret, lie[i].ret);
		if (!ret) {
			CHECK_EQ(g.base, 1);
			CHECK_ERR(guest_try_stop(&g, b, 0), ENOENT, "0");
		} else {
			g.used->idx = *guest_event(&g) = 1;
			guest_stop(&g, b, 0);
		}
		blkio_destroy(&b);
		guest_exit(&g);
	}
}

static const struct test tests[] = {
	{ "the server has guest memory only", with_slots, T_VHOST_USER },
	{ "the server has guest memory only, without slots", with_table, T_VHOST_USER },
	{ "false indexes", false_indexes, T_VHOST_USER, .timeout = 60 },
};

TEST_MAIN(tests)
