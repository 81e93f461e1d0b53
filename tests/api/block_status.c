/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Block status: the extents keep to the rules of blkio.h, whatever is asked; and they say where the
 * holes are.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io.h"
#include "sys.h"
#include "test.h"

enum { EXTENTS = 600, PIECE = 64 << 10, ALL = DEVICE_SIZE };
#define MIB (1u << 20)

static struct blkio_extent extents[EXTENTS];
static int cookie;

static int status(struct blkioq *q, uint64_t start, uint64_t len, uint32_t n)
{
	blkioq_block_status(q, start, len, extents, n, &cookie, 0);
	return io_finish(q, &cookie);
}

/* What every answer must be. Returns where the last one ends. */
static uint64_t check_rules(struct blkio *b, uint64_t start, uint64_t len, int n, uint32_t max)
{
	uint64_t align = (uint64_t)get_int(b, "request-alignment"), at = start;

	CHECK(n >= 1 && (uint32_t)n <= max);
	for (int i = 0; i < n; i++) {
		const struct blkio_extent *e = &extents[i];

		CHECK_EQ(e->start, at);
		CHECK(e->len && e->len <= start + len - at);
		CHECK_EQ(e->len % align, 0);
		CHECK(!(e->flags & ~(BLKIO_EXTENT_ALLOCATED | BLKIO_EXTENT_ZERO)));
		CHECK(!i || e->flags != e[-1].flags);
		check_all(e->reserved_, sizeof(e->reserved_), 0);
		at += e->len;
	}
	return at;
}

/* Ask until all of the range is known, for so many at a time; data[i]: is this block not zero? */
static void walk(struct blkio *b, uint64_t start, uint64_t len, uint32_t max, char *data)
{
	struct blkioq *q = blkio_get_queue(b, 0) ?: blkio_get_poll_queue(b, 0);

	for (uint64_t at = start, end = start + len; at < end;) {
		int n = status(q, at, end - at, max);
		uint64_t to = check_rules(b, at, end - at, n, max);

		for (int i = 0; i < n; i++) {
			for (uint64_t k = extents[i].start; k < extents[i].start + extents[i].len;
			     k += 512)
				data[k / 512] = !(extents[i].flags & BLKIO_EXTENT_ZERO);
		}
		at = to;
	}
}

/* Skips where the file system itself knows nothing of holes. */
static void need_holes(struct device *d)
{
	int fd = (int)SYS(open(d->storage, O_RDONLY | O_CLOEXEC));

	if (lseek(fd, 0, SEEK_DATA) == 0)
		SKIP("the file system of %s does not report holes", d->storage);
	close(fd);
}

static void poke(struct device *d, uint64_t start, size_t len)
{
	char *buf = buffer(len);

	memset(buf, 0x77, len);
	device_poke(d, start, buf, len);
	buffer_free(buf);
}

/* Two pieces of data, among nothing. The file system may have its reasons to allocate some more. */
static void check_walk(const char *data)
{
	unsigned n = 0;

	for (uint64_t at = 0; at < ALL; at += 512) {
		bool is_data =
		    (at >= MIB && at < MIB + PIECE) || (at >= 3 * MIB && at < 3 * MIB + PIECE);

		CHECK(data[at / 512] || !is_data);
		n += data[at / 512];
	}
	CHECK(n * 512 < MIB);
}

static void holes(struct device *d)
{
	static char data[ALL / 512];
	struct blkio *b;

	need_holes(d);
	poke(d, MIB, PIECE);
	poke(d, 3 * MIB, PIECE);
	b = device_start(d);
	for (uint32_t max = 1; max < 8; max++) {
		memset(data, 9, sizeof(data));
		walk(b, 0, ALL, max, data);
		check_walk(data);
	}
	/* From within a hole, and to within data. */
	memset(data, 1, sizeof(data));
	walk(b, MIB / 2, MIB / 2 + PIECE / 2, 3, data);
	CHECK(data[MIB / 512 - 1] == 0 && data[MIB / 512] == 1);
	blkio_destroy(&b);
}

static void in_poll_queue(struct device *d)
{
	static char data[ALL / 512];
	struct blkio *b = device_connect(d);

	need_holes(d);
	poke(d, MIB, PIECE);
	poke(d, 3 * MIB, PIECE);
	CHECK_OK(blkio_set_int(b, "num-queues", 0));
	CHECK_OK(blkio_set_int(b, "num-poll-queues", 1));
	CHECK_OK(blkio_start(b));
	walk(b, 0, ALL, 2, data);
	check_walk(data);
	blkio_destroy(&b);
}

/* More extents than the library looks at in one go; what is behind those asked for is left alone.
 */
static void many(struct device *d)
{
	enum { STEP = 16 << 10 };
	char *buf = buffer(ALL);
	struct blkio *b;
	int n;

	need_holes(d);
	b = device_start(d);
	memset(buf, 0x55, STEP / 2);
	for (uint64_t at = 0; at < ALL; at += STEP)
		CHECK_EQ(io_write(blkio_get_queue(b, 0), at, buf, STEP / 2, 0), 0);
	CHECK_EQ(io_flush(blkio_get_queue(b, 0), 0), 0);
	memset(extents, 0xee, sizeof(extents));
	n = status(blkio_get_queue(b, 0), 0, ALL, 200);
	check_rules(b, 0, ALL, n, 200);
	check_all(extents + 200, sizeof(extents) - 200 * sizeof(*extents), 0xee);
	/* It may be one extent: ext4 fills small holes where it writes back. */
	n = status(blkio_get_queue(b, 0), 0, ALL, EXTENTS);
	CHECK_EQ(check_rules(b, 0, ALL, n, EXTENTS), ALL);
	if (d->target->traits & T_OFFLOADS)
		CHECK_EQ(n, ALL / STEP * 2);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void past_the_end(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t far = 1ull << 40;
	int n;

	poke(d, ALL - PIECE, PIECE);
	n = status(q, ALL - PIECE, far, EXTENTS);
	CHECK_EQ(check_rules(b, ALL - PIECE, far, n, EXTENTS), ALL - PIECE + far);
	CHECK_EQ(n, 2);
	CHECK(extents[0].flags == BLKIO_EXTENT_ALLOCATED && extents[0].len == PIECE);
	CHECK_EQ(extents[1].flags, BLKIO_EXTENT_ZERO);
	n = status(q, far, MIB, EXTENTS);
	CHECK(n == 1 && extents[0].flags == BLKIO_EXTENT_ZERO && extents[0].len == MIB);
	blkio_destroy(&b);
}

/* The last block of data is not whole, so all of it is data. */
static void odd_end(struct device *d)
{
	uint64_t align, odd = MIB + 100;
	struct blkio *b = device_start(d);
	int n;

	align = (uint64_t)get_int(b, "request-alignment");
	poke(d, MIB, 100);
	SYS(truncate(d->backing, (off_t)odd));
	n = status(blkio_get_queue(b, 0), MIB, MIB, EXTENTS);
	CHECK_EQ(check_rules(b, MIB, MIB, n, EXTENTS), 2 * MIB);
	CHECK(n == 2 && extents[0].flags == BLKIO_EXTENT_ALLOCATED);
	CHECK_EQ(extents[0].len, align < 100 ? 100 : align);
	blkio_destroy(&b);
}

/* ---- Requests ----------------------------------------------------------------------------- */

static void none(struct device *d)
{
	struct blkio *b = device_start(d);

	memset(extents, 0xee, sizeof(extents));
	CHECK_IO_ERR(status(blkio_get_queue(b, 0), 0, MIB, 1), ENOTSUP, "support");
	check_all(extents, sizeof(extents), 0xee);
	blkio_destroy(&b);
}

static void bad_requests(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t align = (uint64_t)get_int(b, "request-alignment");
	void *nowhere = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	blkioq_block_status(NULL, 0, 1, NULL, 0, NULL, 0);
	CHECK_EQ(status(q, 0, 0, 1), 0);
	CHECK_IO_ERR(status(q, 0, align, 0), EINVAL, "nr_extents");
	blkioq_block_status(q, 0, align, NULL, 1, &cookie, 0);
	CHECK_IO_ERR(io_finish(q, &cookie), EINVAL, "extents");
	blkioq_block_status(q, 0, align, extents, 1, &cookie, BLKIO_REQ_FUA);
	CHECK_IO_ERR(io_finish(q, &cookie), EINVAL, "BLKIO_REQ_FUA");
	blkioq_block_status(q, 0, align, extents, 1, &cookie, 1u << 31);
	CHECK_IO_ERR(io_finish(q, &cookie), EINVAL, "unknown");
	CHECK_IO_ERR(status(q, UINT64_MAX - align + 1, align, 1), EINVAL, "past");
	CHECK_IO_ERR(status(q, 0, UINT64_MAX - align + 1, 1), EINVAL, "past");
	if (align > 1) {
		CHECK_IO_ERR(status(q, 1, align, 1), EINVAL, "request-alignment");
		CHECK_IO_ERR(status(q, 0, align + 1, 1), EINVAL, "request-alignment");
	}
	blkioq_block_status(q, 0, ALL, nowhere, 8, &cookie, 0);
	CHECK_IO_ERR(io_finish(q, &cookie), EFAULT, "array");
	blkioq_block_status(q, 0, ALL, (void *)8, UINT32_MAX, &cookie, 0);
	CHECK_IO_ERR(io_finish(q, &cookie), EFAULT, "array");
	CHECK(status(q, 0, ALL, 1) == 1);
	SYS(munmap(nowhere, 4096));
	blkio_destroy(&b);
}

/* Among reads, more than there is room for. */
static void among_others(struct device *d)
{
	enum { N = 300 };
	static struct blkio_extent each[N][2];
	struct blkio_completion c[2 * N];
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(N * 4096);

	for (size_t i = 0; i < N; i++) {
		blkioq_block_status(q, i * 4096, ALL - i * 4096, each[i], 2, each[i], 0);
		blkioq_read(q, i * 4096, buf + i * 4096, 4096, NULL, 0);
	}
	CHECK_EQ(blkioq_do_io(q, c, 2 * N, 2 * N, NULL), 2 * N);
	for (size_t i = 0; i < 2 * N; i++) {
		const struct blkio_extent *e = c[i].user_data;

		CHECK(e ? c[i].ret >= 1 && c[i].ret <= 2 && e->len : !c[i].ret);
	}
	for (size_t i = 0; i < N; i++)
		CHECK_EQ(each[i]->start, i * 4096);
	buffer_free(buf);
	blkio_destroy(&b);
}

/*
 * The completion fd tells of each, also when nothing else happens. (What ends in a thread reaches
 * the fd by another way than what a device completes.)
 */
static void by_completion_fd(struct device *d)
{
	bool may_be_single = d->target->traits & T_IO_URING;

	for (int single = 0; single <= may_be_single; single++) {
		struct blkio *b =
		    single ? device_start_with(d, "single-issuer", "true") : device_start(d);
		struct blkioq *q = blkio_get_queue(b, 0);
		struct blkio_completion c;
		uint64_t events;

		blkioq_set_completion_fd_enabled(q, true);
		for (int i = 0; i < 300; i++) {
			struct pollfd fd = { blkioq_get_completion_fd(q), POLLIN, 0 };
			int n;

			blkioq_block_status(q, 0, ALL, extents, EXTENTS, NULL, 0);
			while (!(n = blkioq_do_io(q, &c, 0, 1, NULL))) {
				SYS(poll(&fd, 1, -1));
				SYS(read(fd.fd, &events, sizeof(events)));
			}
			CHECK(n == 1 && c.ret >= 1);
		}
		blkio_destroy(&b);
	}
}

/* Nobody waits for those of a queue that ends. */
static void not_collected(struct device *d)
{
	struct blkio *b = device_start(d);
	struct blkioq *q = blkio_get_queue(b, 0);

	for (int i = 0; i < 20; i++) {
		blkioq_block_status(q, 0, ALL, extents + i, 1, NULL, 0);
		CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	}
	blkio_destroy(&b);
	b = device_start(d);
	q = blkio_get_queue(b, 0);
	for (int i = 0; i < 20; i++)
		blkioq_block_status(q, 0, ALL, extents + i, 1, NULL, 0);
	CHECK_OK(blkio_drain(b, NULL));
	blkio_destroy(&b);
}

/* ---- Given descriptors -------------------------------------------------------------------- */

/* The position is the application's. */
static void given(struct device *d)
{
	static const int modes[] = { O_RDONLY, O_RDWR, O_WRONLY };
	int direct = d->target->traits & T_DIRECT ? O_DIRECT : 0;

	poke(d, MIB, PIECE);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		int fd = (int)SYS(open(d->path, modes[i] | direct | O_CLOEXEC));
		int twin = (int)SYS(dup(fd));
		struct blkio *b;

		CHECK_EQ(SYS(lseek(twin, 777, SEEK_SET)), 777);
		CHECK_OK(blkio_create(d->driver, &b));
		CHECK_OK(blkio_set_int(b, "fd", fd));
		CHECK_OK(blkio_connect(b));
		CHECK_OK(blkio_start(b));
		if (modes[i] == O_WRONLY)
			CHECK_IO_ERR(status(blkio_get_queue(b, 0), 0, ALL, 4), EBADF, "O_WRONLY");
		else
			CHECK(status(blkio_get_queue(b, 0), 0, ALL, 4) >= 1);
		CHECK_EQ(SYS(lseek(twin, 0, SEEK_CUR)), 777);
		blkio_destroy(&b);
		CHECK_EQ(SYS(lseek(twin, 0, SEEK_CUR)), 777);
		close(twin);
	}
}

/* A file that only another user may open. */
static void given_without_permission(struct device *d)
{
	int fd = (int)SYS(open(d->path, O_RDWR | O_CLOEXEC));
	struct blkio *b;

	drop_privileges();
	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", fd));
	CHECK_OK(blkio_connect(b));
	need_ring(blkio_start(b));
	CHECK_IO_ERR(status(blkio_get_queue(b, 0), 0, ALL, 4), ENOTSUP, "opened again");
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "holes and data", holes, T_STATUS },
	{ "in a poll queue", in_poll_queue, T_STATUS | T_NBD },
	{ "many extents", many, T_STATUS },
	{ "past the end of a file", past_the_end, T_STATUS | T_FILE },
	{ "a file that ends within a block", odd_end, T_STATUS | T_FILE },
	{ "not supported", none, T_ANY, T_STATUS },
	{ "bad requests", bad_requests, T_STATUS },
	{ "among other requests", among_others, T_STATUS },
	{ "by completion fd", by_completion_fd, T_STATUS },
	{ "not collected", not_collected, T_STATUS },
	{ "the position of a given fd", given, T_STATUS | T_FILE },
	{ "a given fd that cannot be opened again", given_without_permission, T_STATUS | T_FILE,
	  T_DIRECT },
};
TEST_MAIN(tests)
