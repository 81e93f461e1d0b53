/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the kernel's target does while requests of the nvme-tcp driver are in flight: it resizes a
 * namespace, disables it, and takes a subsystem off its port and puts it back. Each request ends
 * once, and data is where it should be.
 */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "nvmet.h"
#include "ways.h"

#define NVMET	"/sys/kernel/config/nvmet/"
#define MOVES	NVMET "subsystems/" NVMET_NQN "moves"
#define SECONDS 60

enum { N = 64 };

static void write_config(const char *path, const char *text)
{
	int fd = (int)SYS(open(path, O_WRONLY | O_CLOEXEC));

	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* ---- A namespace that changes ------------------------------------------------------------- */

static void resize(struct blkio *b, uint64_t bytes)
{
	SYS(truncate(getenv("NVMET_FILE"), (off_t)bytes));
	write_config(MOVES "/namespaces/1/revalidate_size", "1");
	for (int i = 0; i < SECONDS * 100 && get_u64(b, "capacity") != bytes; i++)
		usleep(10 * 1000);
	CHECK_EQ(get_u64(b, "capacity"), bytes);
}

/* Several times: the target sends no event before the last one's log page was read. */
static void resized(struct device *d)
{
	struct blkio *b = nvmet_start(0, "moves/1");
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(BLOCK);

	(void)d;
	for (int i = 0; i < 3; i++) {
		resize(b, 32 * MIB);
		pattern(buf, 31 * MIB, BLOCK, i);
		CHECK_EQ(io_write(q, 31 * MIB, buf, BLOCK, 0), 0);
		CHECK_EQ(io_read(q, 31 * MIB, buf, BLOCK, 0), 0);
		check_pattern(buf, 31 * MIB, BLOCK, i);
		resize(b, 16 * MIB);
		CHECK_IO_ERR(io_read(q, 31 * MIB, buf, BLOCK, 0), EINVAL, "LBA out of range");
	}
	buffer_free(buf);
	blkio_destroy(&b);
}

/* ---- Under load --------------------------------------------------------------------------- */

struct load {
	struct blkioq *q;
	char *buf;
	unsigned rounds; /* atomic */
	bool over;	 /* atomic */
	pthread_t thread;
	void (*disturb)(int i); /* once for each of "times" */
	int times;
};

static void queue_all(struct load *l, bool writes, unsigned char *seen)
{
	memset(seen, 0, N);
	for (int i = 0; i < N; i++) {
		char *buf = l->buf + i * BLOCK;

		if (writes)
			blkioq_write(l->q, (uint64_t)i * BLOCK, buf, BLOCK, seen + i,
				     i % 8 ? 0 : BLKIO_REQ_FUA);
		else
			blkioq_read(l->q, (uint64_t)i * BLOCK, buf, BLOCK, seen + i, 0);
	}
}

/* Each time when a round is done, and another one is on its way. */
static void *disturb(void *arg)
{
	struct load *l = arg;

	for (int i = 0; i < l->times; i++) {
		unsigned before = __atomic_load_n(&l->rounds, __ATOMIC_ACQUIRE);

		while (__atomic_load_n(&l->rounds, __ATOMIC_ACQUIRE) == before)
			usleep(1000);
		l->disturb(i);
	}
	__atomic_store_n(&l->over, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Write all, read all back, until it was disturbed often enough. */
static void write_and_read(struct load *l, enum wait wait)
{
	unsigned char seen[N];
	uint32_t seed = 0;

	do {
		pattern(l->buf, 0, N * BLOCK, ++seed);
		queue_all(l, true, seen);
		collect_each(l->q, wait, N, 0);
		memset(l->buf, 0xee, N * BLOCK);
		queue_all(l, false, seen);
		collect_each(l->q, wait, N, 0);
		check_pattern(l->buf, 0, N * BLOCK, seed);
		__atomic_fetch_add(&l->rounds, 1, __ATOMIC_RELEASE);
	} while (!__atomic_load_n(&l->over, __ATOMIC_ACQUIRE));
}

/* The second port is the subsystem's alone: without that, nobody listens there. */
static void unlink_and_link(int i)
{
	static const char *const links[] = {
		NVMET "ports/1/subsystems/" NVMET_NQN "moves",
		NVMET "ports/3/subsystems/" NVMET_NQN "moves",
	};

	SYS(unlink(links[i % 2]));
	usleep(i * 1000);
	SYS(symlink(MOVES, links[i % 2]));
}

/* On port 4420 + port. */
static void run_load(enum wait wait, int port, void (*what)(int i))
{
	struct load l = { .buf = buffer(N * BLOCK), .disturb = what, .times = 4 };
	struct blkio *b = nvmet_create(port, "moves/1");

	CHECK_OK(blkio_set_int(b, "reconnect-timeout", SECONDS * 1000));
	CHECK_OK(blkio_connect(b));
	l.q = start_by(b, wait);
	CHECK_EQ(pthread_create(&l.thread, NULL, disturb, &l), 0);
	write_and_read(&l, wait);
	CHECK_EQ(pthread_join(l.thread, NULL), 0);
	blkio_destroy(&b);
	buffer_free(l.buf);
}

static void unlinked_under_load(struct device *d)
{
	(void)d;
	for (enum wait wait = 0; wait < NR_WAITS; wait++)
		run_load(wait, wait % 2 ? 2 : 0, unlink_and_link);
}

static void unlinked_for_good(struct device *d)
{
	struct blkio *b = nvmet_start(2, "moves/1");
	char *buf = buffer(BLOCK);

	(void)d;
	SYS(unlink(NVMET "ports/3/subsystems/" NVMET_NQN "moves"));
	CHECK_IO_ERR(io_write(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), ENOTCONN, "connection");
	CHECK_IO_ERR(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), ENOTCONN, "connection");
	SYS(symlink(MOVES, NVMET "ports/3/subsystems/" NVMET_NQN "moves"));
	blkio_destroy(&b);
	b = nvmet_start(2, "moves/1");
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
	buffer_free(buf);
	blkio_destroy(&b);
}

#define ANA_STATE NVMET "ports/3/ana_groups/1/ana_state"

static void make_inaccessible(int i)
{
	write_config(ANA_STATE, i % 2 ? "change" : "inaccessible");
	usleep(i * 1000);
	write_config(ANA_STATE, "optimized");
}

static void inaccessible_under_load(struct device *d)
{
	(void)d;
	run_load(WAIT_BLOCK, 2, make_inaccessible);
	run_load(WAIT_EVENT, 2, make_inaccessible);
}

static void inaccessible(struct device *d)
{
	struct blkio *b = nvmet_start(2, "moves/1");
	struct blkioq *q = blkio_get_queue(b, 0);
	char *buf = buffer(BLOCK);

	(void)d;
	write_config(ANA_STATE, "inaccessible");
	CHECK_IO_ERR(io_write(q, 0, buf, BLOCK, 0), ENOLINK, "inaccessible");
	write_config(ANA_STATE, "persistent-loss");
	CHECK_IO_ERR(io_write(q, 0, buf, BLOCK, 0), ENOLINK, "lost for good");
	write_config(ANA_STATE, "optimized");
	CHECK_EQ(io_write(q, 0, buf, BLOCK, 0), 0);
	buffer_free(buf);
	blkio_destroy(&b);
}

static void disable(int i)
{
	(void)i;
	write_config(MOVES "/namespaces/1/enable", "0");
}

/*
 * How many of N requests succeeded; each is done once. The others say that the namespace is gone,
 * or, before the target has sent its event, what nvmet says then: an internal path error.
 */
static int collect_all(struct load *l)
{
	struct blkio_completion c[N];
	int n = 0;

	CHECK_EQ(blkioq_do_io(l->q, c, N, N, NULL), N);
	for (int i = 0; i < N; i++) {
		bool *mine = c[i].user_data;

		if (c[i].ret && c[i].ret != -ENODEV && c[i].ret != -EIO)
			FAIL("a request failed: %d, %s", c[i].ret, c[i].error_msg);
		*mine = !c[i].ret;
		n += *mine;
	}
	return n;
}

/* Requests that succeeded are on the namespace when it is back, the others are whole or not. */
static void disabled_under_load(struct device *d)
{
	struct load l = { .buf = buffer(2 * N * BLOCK), .disturb = disable, .times = 1 };
	struct blkio *b = nvmet_start(0, "moves/1");
	uint32_t seed = 0, good[N] = { 0 };
	bool succeeded[N];
	int n;

	(void)d;
	l.q = blkio_get_queue(b, 0);
	CHECK_EQ(pthread_create(&l.thread, NULL, disturb, &l), 0);
	do {
		pattern(l.buf, 0, N * BLOCK, ++seed);
		for (int i = 0; i < N; i++)
			blkioq_write(l.q, (uint64_t)i * BLOCK, l.buf + i * BLOCK, BLOCK,
				     &succeeded[i], 0);
		n = collect_all(&l);
		for (int i = 0; i < N; i++)
			good[i] = succeeded[i] ? seed : good[i];
		__atomic_fetch_add(&l.rounds, 1, __ATOMIC_RELEASE);
	} while (n == N);
	CHECK_EQ(pthread_join(l.thread, NULL), 0);
	while ((n = io_read(l.q, 0, l.buf, BLOCK, 0)) == -EIO)
		usleep(10 * 1000);
	CHECK_EQ(n, -ENODEV);
	blkio_destroy(&b);

	write_config(MOVES "/namespaces/1/enable", "1");
	b = nvmet_start(0, "moves/1");
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, l.buf, N * BLOCK, 0), 0);
	for (int i = 0; i < N; i++) {
		char *is = l.buf + i * BLOCK, *other = l.buf + (N + i) * BLOCK;

		pattern(other, (uint64_t)i * BLOCK, BLOCK, seed);
		if (memcmp(is, other, BLOCK) != 0)
			check_pattern(is, (uint64_t)i * BLOCK, BLOCK, good[i]);
	}
	buffer_free(l.buf);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "resized", resized },
	{ "unlinked under load", unlinked_under_load, .timeout = 60 },
	{ "unlinked for good", unlinked_for_good },
	{ "inaccessible under load", inaccessible_under_load, .timeout = 60 },
	{ "inaccessible", inaccessible },
	{ "disabled under load", disabled_under_load },
};
TEST_MAIN(tests)
