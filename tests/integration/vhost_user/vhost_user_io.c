/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * virtio-blk-vhost-user against qemu-storage-daemon, beyond what the API tests ask of every driver:
 * ring sizes, segments, regions, servers that can less.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io.h"
#include "proxy.h"
#include "test.h"

enum { BLOCK = 4096, BLOCKS = DEVICE_SIZE / BLOCK };

/* ---- Rings -------------------------------------------------------------------------------- */

/* n reads of all blocks; each comes back once, with its data. */
static void flood(struct blkioq *q, char *pool, int n)
{
	struct blkio_completion *c = calloc((size_t)n, sizeof(*c));
	unsigned char *seen = calloc((size_t)n, 1);

	memset(pool, 0xee, DEVICE_SIZE);
	for (int i = 0; i < n; i++)
		blkioq_read(q, (uint64_t)(i % BLOCKS) * BLOCK, pool + i % BLOCKS * BLOCK, BLOCK,
			    seen + i, 0);
	CHECK_EQ(blkioq_do_io(q, c, n, n, NULL), n);
	for (int i = 0; i < n; i++) {
		CHECK_EQ(c[i].ret, 0);
		CHECK_EQ(++*(unsigned char *)c[i].user_data, 1);
	}
	check_pattern(pool, 0, BLOCK * (size_t)(n < BLOCKS ? n : BLOCKS), 1);
	free(seen);
	free(c);
}

static void ring_sizes(struct device *d)
{
	static const char *const sizes[] = { "2", "4", "8", "64", "1024", "32768" };
	char *pool = buffer(DEVICE_SIZE);

	pattern(pool, 0, DEVICE_SIZE, 1);
	device_poke(d, 0, pool, DEVICE_SIZE);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct blkio *b = device_start_with(d, "queue-size", sizes[i]);

		printf("queue-size %s\n", sizes[i]);
		flood(blkio_get_queue(b, 0), pool, 1000);
		flood(blkio_get_queue(b, 0), pool, 5000);
		blkio_destroy(&b);
	}
}

static void bad_ring_sizes(struct device *d)
{
	static const int bad[] = { 0, -1, 1, 3, 100, 255, 65536, INT32_MAX, INT32_MIN };
	struct blkio *b = device_connect(d);
	char text[16];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(text, sizeof(text), "%d", bad[i]);
		CHECK_ERR(blkio_set_int(b, "queue-size", bad[i]), EINVAL, "queue-size", text);
		CHECK_EQ(get_int(b, "queue-size"), 256);
	}
	CHECK_OK(blkio_set_int(b, "queue-size", 16));
	CHECK_EQ(get_int(b, "max-segments"), 14);
	blkio_destroy(&b);
}

/* ---- Waiting ------------------------------------------------------------------------------ */

/* One at a time, and with a timeout that may be over before the window of poll-max-ns is. */
static void read_in_turn(struct blkioq *q, char *pool)
{
	struct timespec ts;
	struct blkio_completion c;

	for (int i = 0; i < 2 * BLOCKS; i++) {
		int n = 0;

		blkioq_read(q, (uint64_t)(i % BLOCKS) * BLOCK, pool, BLOCK, NULL, 0);
		while (n == 0) {
			ts = (struct timespec){ 0, i % 2 ? 1000 : 999999999 };
			n = blkioq_do_io(q, &c, 1, 1, &ts);
			if (n == -ETIME)
				n = 0;
		}
		CHECK_EQ(n, 1);
		CHECK_EQ(c.ret, 0);
		check_pattern(pool, (uint64_t)(i % BLOCKS) * BLOCK, BLOCK, 1);
	}
}

static void spinning_first(struct device *d)
{
	static const char *const most[] = { "1", "20000", "10000000" };
	char *pool = buffer(DEVICE_SIZE);

	pattern(pool, 0, DEVICE_SIZE, 1);
	device_poke(d, 0, pool, DEVICE_SIZE);
	for (size_t i = 0; i < ARRAY_LEN(most); i++) {
		struct blkio *b = device_start_with(d, "poll-max-ns", most[i]);

		CHECK_EQ(get_int(b, "poll-max-ns"), atoi(most[i]));
		CHECK_ERR(blkio_set_int(b, "poll-max-ns", 0), EBUSY, "poll-max-ns");
		read_in_turn(blkio_get_queue(b, 0), pool);
		flood(blkio_get_queue(b, 0), pool, 1000);
		blkioq_set_completion_fd_enabled(blkio_get_queue(b, 0), true);
		read_in_turn(blkio_get_queue(b, 0), pool);
		blkio_destroy(&b);
	}
}

/* ---- Segments ----------------------------------------------------------------------------- */

/* 1 MiB in as many segments as there may be, many at once: more than there are large tables. */
static void vectored_megabytes(struct device *d)
{
	enum { MIB = 1 << 20, N = 600 };
	struct blkio *b = device_start_with(d, "queue-size", "512");
	struct blkioq *q = blkio_get_queue(b, 0);
	int most = get_int(b, "max-segments"), n = 0;
	size_t seg = MIB / 64;
	char *buf = buffer(DEVICE_SIZE);
	struct iovec iov[4][64];
	struct blkio_completion c[N];

	CHECK(most >= 64);
	pattern(buf, 0, DEVICE_SIZE, 7);
	for (int m = 0; m < 4; m++) {
		for (int k = 0; k < 64; k++) /* backwards, so that order matters */
			iov[m][63 - k] =
			    (struct iovec){ buf + m * MIB + (size_t)(63 - k) * seg, seg };
		blkioq_writev(q, (uint64_t)m * MIB, iov[m], 64, NULL, 0);
	}
	CHECK_EQ(blkioq_do_io(q, c, 4, 4, NULL), 4);
	for (; n < N; n++)
		blkioq_readv(q, (uint64_t)(n % 4) * MIB, iov[n % 4], 64, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, c, N, N, NULL), N);
	for (int i = 0; i < N; i++)
		CHECK_EQ(c[i].ret, 0);
	check_pattern(buf, 0, DEVICE_SIZE, 7);
	memset(buf, 0, DEVICE_SIZE);
	device_peek(d, 0, buf, DEVICE_SIZE);
	check_pattern(buf, 0, DEVICE_SIZE, 7);
	buffer_free(buf);
	blkio_destroy(&b);
}

/* Beyond what one operation moves, and beyond 31 bits: continued, not cut off. */
static void gigabytes(struct device *d)
{
	const size_t len = (5ull << 29) + BLOCK; /* 2.5 GiB */
	struct blkio *b;
	struct blkio_mem_region r = { .len = len };
	struct iovec iov[3];

	qsd_kill(&d->server);
	qsd_restart(&d->server, "driver=null-co,size=8589934592,read-zeroes=off", "writable=on");
	b = device_start(d);
	r.fd = (int)SYS(memfd_create("gigabytes", MFD_CLOEXEC));
	SYS(ftruncate(r.fd, (off_t)len));
	r.addr = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, r.fd, 0);
	CHECK(r.addr != MAP_FAILED);
	CHECK_OK(blkio_map_mem_region(b, &r));
	close(r.fd);
	CHECK_EQ(io_write(blkio_get_queue(b, 0), 0, r.addr, len, 0), 0);
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 4096, r.addr, len, 0), 0);
	iov[0] = (struct iovec){ r.addr, 512 };
	iov[1] = (struct iovec){ r.addr, len };
	iov[2] = (struct iovec){ r.addr, len - 512 };
	CHECK_EQ(io_readv(blkio_get_queue(b, 0), 0, iov, 3, 0), 0);
	munmap(r.addr, len);
	blkio_destroy(&b);
}

/* ---- Regions ------------------------------------------------------------------------------ */

static void regions_up_to_the_slots(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	int room = (int)get_u64(b, "max-mem-regions") - 1; /* the arena */
	int n = room + 2;
	struct blkio_mem_region *r = calloc((size_t)n, sizeof(*r));

	CHECK(room > 3 && r);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < n; i++)
			CHECK_OK(blkio_alloc_mem_region(b, &r[i], 16 * BLOCK));
		for (int i = 0; i < n; i++) {
			if (i >= room) {
				CHECK_ERR(blkio_map_mem_region(b, &r[i]), ENOSPC,
					  "max-mem-regions");
				CHECK_IO_ERR(io_read(q, 0, r[i].addr, BLOCK, 0), EINVAL, "region");
				continue;
			}
			CHECK_OK(blkio_map_mem_region(b, &r[i]));
			CHECK_EQ(io_read(q, 0, r[i].addr, 16 * BLOCK, 0), 0);
		}
		blkio_unmap_mem_region(b, &r[3]);
		CHECK_IO_ERR(io_read(q, 0, r[3].addr, BLOCK, 0), EINVAL, "region");
		CHECK_OK(blkio_map_mem_region(b, &r[n - 1]));
		CHECK_EQ(io_read(q, 0, r[n - 1].addr, 16 * BLOCK, 0), 0);
		for (int i = 0; i < n; i++)
			blkio_free_mem_region(b, &r[i]);
	}
	free(r);
	blkio_destroy(&b);
}

static void buffers_outside(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	struct blkio_mem_region whole, half[2];
	char *p, on_stack[512];
	struct iovec iov[2];

	CHECK_OK(blkio_alloc_mem_region(b, &whole, 2 * BLOCK));
	half[0] = half[1] = whole;
	half[0].len = half[1].len = BLOCK;
	half[1].addr = p = (char *)whole.addr + BLOCK;
	half[1].fd_offset += BLOCK;
	CHECK_OK(blkio_map_mem_region(b, &half[0]));
	CHECK_OK(blkio_map_mem_region(b, &half[1]));
	CHECK_IO_ERR(io_read(q, 0, on_stack, 512, 0), EINVAL, "region");
	CHECK_IO_ERR(io_write(q, 0, NULL, 512, 0), EINVAL, "region");
	CHECK_IO_ERR(io_read(q, 0, p - 512, 1024, 0), EINVAL, "region"); /* across */
	CHECK_IO_ERR(io_read(q, 0, p + BLOCK - 512, 1024, 0), EINVAL, "region");
	iov[0] = (struct iovec){ p - 512, 512 };
	iov[1] = (struct iovec){ on_stack, 512 };
	CHECK_IO_ERR(io_readv(q, 0, iov, 2, 0), EINVAL, "region");
	iov[1].iov_base = p;
	CHECK_EQ(io_readv(q, 0, iov, 2, 0), 0);
	blkio_destroy(&b);
}

/* ---- Kinds of queue ----------------------------------------------------------------------- */

struct user {
	pthread_t thread;
	struct blkioq *q;
	uint64_t start;
};

static void *use(void *arg)
{
	enum { DEPTH = 16, ROUNDS = 200 };
	struct user *u = arg;
	struct blkio_completion c[DEPTH];
	char *buf = buffer(DEPTH * 512);

	for (uint32_t round = 0; round < ROUNDS; round++) {
		pattern(buf, u->start, DEPTH * 512, round);
		for (uint64_t i = 0; i < DEPTH; i++)
			blkioq_write(u->q, u->start + i * 512, buf + i * 512, 512, u, 0);
		CHECK_EQ(blkioq_do_io(u->q, c, DEPTH, DEPTH, NULL), DEPTH);
		memset(buf, 0xee, DEPTH * 512);
		for (uint64_t i = 0; i < DEPTH; i++)
			blkioq_read(u->q, u->start + i * 512, buf + i * 512, 512, u, 0);
		CHECK_EQ(blkioq_do_io(u->q, c, DEPTH, DEPTH, NULL), DEPTH);
		check_pattern(buf, u->start, DEPTH * 512, round);
	}
	return NULL;
}

static void queues_of_both_kinds(struct device *d)
{
	enum { N = 2 };
	struct blkio *b = device_connect(d);
	struct user u[2 * N];

	CHECK_OK(blkio_set_int(b, "num-queues", N));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", N));
	CHECK_OK(blkio_start(b));
	for (int i = 0; i < 2 * N; i++) {
		u[i].q = i < N ? blkio_get_queue(b, i) : blkio_get_poll_queue(b, i - N);
		u[i].start = (uint64_t)i << 20;
		CHECK_EQ(pthread_create(&u[i].thread, NULL, use, &u[i]), 0);
	}
	for (int i = 0; i < 2 * N; i++)
		CHECK_EQ(pthread_join(u[i].thread, NULL), 0);
	blkio_destroy(&b);
}

/* ---- Servers ------------------------------------------------------------------------------ */

static void read_only_export(struct device *d)
{
	struct blkio *b;
	char blockdev[4200], *buf = buffer(BLOCK);

	snprintf(blockdev, sizeof(blockdev), "driver=file,read-only=on,filename=%s", d->backing);
	qsd_kill(&d->server);
	qsd_restart(&d->server, blockdev, "writable=off");
	b = device_connect(d);
	CHECK_ERR(blkio_start(b), EROFS, "read-only");
	blkio_destroy(&b);
	b = device_start_with(d, "read-only", "true");
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
	CHECK_EQ(io_write(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), -EBADF);
	blkio_destroy(&b);
	b = device_create(d);
	CHECK_OK(blkio_set_bool(b, "auto-read-only", true));
	CHECK_OK(blkio_connect(b));
	CHECK(get_bool(b, "read-only"));
	CHECK_OK(blkio_start(b));
	blkio_destroy(&b);
}

static void blocks_of_4096(struct device *d)
{
	struct blkio *b;
	char *buf = buffer(2 * BLOCK);

	qsd_kill(&d->server);
	qsd_restart(&d->server, "driver=null-co,size=1048576,read-zeroes=on",
		    "writable=on,logical-block-size=4096");
	b = device_start(d);
	CHECK_EQ(get_int(b, "request-alignment"), 4096);
	CHECK_IO_ERR(io_read(blkio_get_queue(b, 0), 512, buf, BLOCK, 0), EINVAL, "alignment");
	CHECK_EQ(io_read(blkio_get_queue(b, 0), BLOCK, buf, 2 * BLOCK, 0), 0);
	blkio_destroy(&b);
}

/* What the server finds wrong comes back as the request's error. */
static void errors_of_the_device(struct device *d)
{
	struct blkio *b;
	char *buf = buffer(BLOCK), blockdev[4500];

	qsd_kill(&d->server);
	snprintf(blockdev, sizeof(blockdev),
		 "driver=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename=%s,"
		 "file.inject-error.0.event=read_aio,file.inject-error.0.errno=5,"
		 "file.inject-error.0.sector=8,file.inject-error.0.once=off",
		 d->backing);
	qsd_restart(&d->server, blockdev, "writable=on");
	b = device_start(d);
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
	CHECK_EQ(io_read(blkio_get_queue(b, 0), BLOCK, buf, BLOCK, 0), -EIO);
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 2 * BLOCK, buf, BLOCK, 0), 0);
	blkio_destroy(&b);
}

static void resize(struct device *d, unsigned size)
{
	char command[200];

	snprintf(command, sizeof(command),
		 "{\"execute\": \"block_resize\", \"arguments\": {\"node-name\": \"d\", "
		 "\"size\": %u}}",
		 size);
	qsd_command(&d->server, command);
}

/* The server's disk grows and shrinks while it is in use. */
static void resized(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(BLOCK);

	for (int round = 0; round < 3; round++) {
		CHECK_EQ(io_read(q, DEVICE_SIZE, buf, BLOCK, 0), -EIO);
		resize(d, 2 * DEVICE_SIZE);
		if (get_u64(b, "capacity") == DEVICE_SIZE)
			SKIP("this qemu-storage-daemon does not tell clients of a new size; that "
			     "of Debian 13 does, and is tested in the suite diff");
		CHECK_EQ(get_u64(b, "capacity"), 2 * DEVICE_SIZE);
		pattern(buf, DEVICE_SIZE, BLOCK, 1);
		CHECK_EQ(io_write(q, DEVICE_SIZE, buf, BLOCK, 0), 0);
		memset(buf, 0, BLOCK);
		CHECK_EQ(io_read(q, DEVICE_SIZE, buf, BLOCK, 0), 0);
		check_pattern(buf, DEVICE_SIZE, BLOCK, 1);
		resize(d, DEVICE_SIZE);
		CHECK_EQ(get_u64(b, "capacity"), DEVICE_SIZE);
	}
	blkio_destroy(&b);
}

#define BIT(n) (1ull << (n))
enum { F_FLUSH = 9, F_MQ = 12, F_DISCARD, F_WRITE_ZEROES, F_INDIRECT = 28, F_EVENT_IDX };
enum { P_MQ = 0, P_REPLY_ACK = 3, P_BACKEND_REQ = 5, P_MEM_SLOTS = 15 };

static struct blkio *start_behind(struct device *d, struct vu_proxy *p, const char *queue_size)
{
	struct blkio *b;

	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", vu_proxy_start(p, d->path)));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_set_str(b, "queue-size", queue_size));
	CHECK_OK(blkio_start(b));
	return b;
}

/* Every feature alone, and all of them, taken away. */
static void servers_that_can_less(struct device *d)
{
	static const struct {
		const char *what;
		uint64_t features, protocol;
	} less[] = {
		{ "indirect", BIT(F_INDIRECT), 0 },
		{ "event index", BIT(F_EVENT_IDX), 0 },
		{ "flush", BIT(F_FLUSH), 0 },
		{ "discard, write zeroes", BIT(F_DISCARD) | BIT(F_WRITE_ZEROES), 0 },
		{ "several queues", BIT(F_MQ), BIT(P_MQ) },
		{ "acknowledgements", 0, BIT(P_REPLY_ACK) },
		{ "memory slots", 0, BIT(P_MEM_SLOTS) },
		{ "backend channel", 0, BIT(P_BACKEND_REQ) },
		{ "anything",
		  BIT(F_INDIRECT) | BIT(F_EVENT_IDX) | BIT(F_FLUSH) | BIT(F_MQ) | BIT(F_DISCARD) |
		      BIT(F_WRITE_ZEROES),
		  BIT(P_MQ) | BIT(P_REPLY_ACK) | BIT(P_MEM_SLOTS) | BIT(P_BACKEND_REQ) },
	};
	char *pool = buffer(DEVICE_SIZE);

	for (size_t i = 0; i < ARRAY_LEN(less); i++) {
		struct vu_proxy p = { .hidden_features = less[i].features,
				      .hidden_protocol = less[i].protocol };
		static const char *const sizes[] = { "4", "16", "256" };

		for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
			struct blkio *b = start_behind(d, &p, sizes[k]);
			struct blkioq *q = blkio_get_queue(b, 0);
			struct iovec iov[2] = { { pool, BLOCK }, { pool + BLOCK, BLOCK } };

			printf("without %s, queue-size %s\n", less[i].what, sizes[k]);
			pattern(pool, 0, DEVICE_SIZE, 1);
			CHECK_EQ(io_write(q, 0, pool, DEVICE_SIZE, BLKIO_REQ_FUA), 0);
			flood(q, pool, 1000);
			CHECK_EQ(io_readv(q, 0, iov, 2, 0), 0);
			CHECK_EQ(io_zeroes(q, 0, 2 * BLOCK, 0), 0);
			CHECK_EQ(io_readv(q, 0, iov, 2, 0), 0);
			check_all(pool, 2 * BLOCK, 0);
			CHECK_EQ(io_flush(q, 0), 0);
			blkio_destroy(&b);
			vu_proxy_stop(&p);
		}
	}
}

/* Without memory slots, the whole table is sent each time. */
static void memory_table(struct device *d)
{
	struct vu_proxy p = { .hidden_protocol = BIT(P_MEM_SLOTS) };
	struct blkio *b = start_behind(d, &p, "16");
	struct blkio_mem_region r[7];
	int room = (int)get_u64(b, "max-mem-regions") - 1;

	CHECK_EQ(room, 6);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 7; i++)
			CHECK_OK(blkio_alloc_mem_region(b, &r[i], BLOCK));
		for (int i = 0; i < room; i++) {
			CHECK_OK(blkio_map_mem_region(b, &r[i]));
			CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, r[i].addr, BLOCK, 0), 0);
		}
		CHECK_ERR(blkio_map_mem_region(b, &r[6]), ENOSPC);
		blkio_unmap_mem_region(b, &r[0]);
		CHECK_OK(blkio_map_mem_region(b, &r[6]));
		for (int i = 1; i < 7; i++)
			CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, r[i].addr, BLOCK, 0), 0);
		for (int i = 0; i < 7; i++)
			blkio_free_mem_region(b, &r[i]);
	}
	blkio_destroy(&b);
	vu_proxy_stop(&p);
}

static const struct test tests[] = {
	{ "ring sizes", ring_sizes, T_VHOST_USER, 0, 60 },
	{ "bad ring sizes", bad_ring_sizes, T_VHOST_USER },
	{ "spinning before it sleeps", spinning_first, T_VHOST_USER, 0, 60 },
	{ "vectored requests of 1 MiB", vectored_megabytes, T_VHOST_USER, 0, 60 },
	{ "gigabytes", gigabytes, T_VHOST_USER },
	{ "regions up to the server's slots", regions_up_to_the_slots, T_VHOST_USER },
	{ "buffers outside of regions", buffers_outside, T_VHOST_USER },
	{ "queues of both kinds", queues_of_both_kinds, T_VHOST_USER, 0, 60 },
	{ "read-only export", read_only_export, T_VHOST_USER },
	{ "blocks of 4096 bytes", blocks_of_4096, T_VHOST_USER },
	{ "errors of the device", errors_of_the_device, T_VHOST_USER },
	{ "resized", resized, T_VHOST_USER },
	{ "servers that can less", servers_that_can_less, T_VHOST_USER, 0, 120 },
	{ "memory table", memory_table, T_VHOST_USER },
};
TEST_MAIN(tests)
