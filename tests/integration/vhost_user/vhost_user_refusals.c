/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Servers that refuse what nothing depends on, or drop it: the device goes on without. */
#include <poll.h>
#include <unistd.h>

#include "io.h"
#include "proxy.h"
#include "sys.h"
#include "test.h"
#include "ways.h"

enum { BLOCK = 4096, ROUNDS = 50 };

enum {
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_CALL = 13,
	GET_CONFIG = 24,
	PROTOCOL_MEM_SLOTS = 15
};

static struct blkio *connect_to(struct device *d, struct vu_proxy *p)
{
	struct blkio *b;

	p->fd_to_add = -1;
	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", vu_proxy_start(p, d->path)));
	CHECK_OK(blkio_connect(b));
	return b;
}

static void collect_one(struct blkioq *q, enum wait wait)
{
	struct blkio_completion c;
	int n;

	do {
		n = collect_by(q, wait, &c, 1, 10);
	} while (!n); /* an event too many */
	CHECK_EQ(n, 1);
	CHECK_EQ(c.ret, 0);
}

static void reads_and_writes(struct blkio *b, struct blkioq *q, enum wait wait)
{
	struct blkio_mem_region r;

	CHECK_OK(blkio_alloc_mem_region(b, &r, 2 * BLOCK));
	CHECK_OK(blkio_map_mem_region(b, &r));
	for (int i = 0; i < ROUNDS; i++) {
		char *out = r.addr, *in = out + BLOCK;

		pattern(out, 0, BLOCK, i);
		blkioq_write(q, (uint64_t)i * BLOCK, out, BLOCK, NULL, 0);
		collect_one(q, wait);
		blkioq_read(q, (uint64_t)i * BLOCK, in, BLOCK, NULL, 0);
		collect_one(q, wait);
		check_pattern(in, 0, BLOCK, i);
	}
	blkio_unmap_mem_region(b, &r);
	blkio_free_mem_region(b, &r);
}

/* ---- The backend channel ------------------------------------------------------------------ */

static bool close_channel(struct vu_proxy *p, const struct vu_message *m, struct vu_fds *fds)
{
	if (m->request != SET_BACKEND_REQ_FD)
		return true;
	close(fds->fd[0]);
	vu_proxy_acknowledge(p, m, 0);
	return false;
}

static bool refuse_channel(struct vu_proxy *p, const struct vu_message *m, struct vu_fds *fds)
{
	if (m->request != SET_BACKEND_REQ_FD)
		return true;
	close(fds->fd[0]);
	vu_proxy_acknowledge(p, m, 1);
	return false;
}

static void without_channel(struct device *d,
			    bool (*intercept)(struct vu_proxy *, const struct vu_message *,
					      struct vu_fds *))
{
	for (enum wait wait = 0; wait < NR_WAITS; wait++) {
		struct vu_proxy p = { .intercept = intercept };
		struct blkio *b = connect_to(d, &p);
		struct blkioq *q = start_by(b, wait);

		reads_and_writes(b, q, wait);
		blkio_destroy(&b);
		vu_proxy_stop(&p);
	}
}

static void channel_closed_at_once(struct device *d)
{
	without_channel(d, close_channel);
}

static void channel_refused(struct device *d)
{
	without_channel(d, refuse_channel);
}

/* In mid-I/O: what is in flight, and all that follows, completes. */
static void channel_closed_later(struct device *d)
{
	struct vu_proxy p = { .intercept = vu_proxy_keep_channel };
	struct blkio *b = connect_to(d, &p);
	struct blkioq *q;
	char *buf;

	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	buf = buffer(BLOCK);
	reads_and_writes(b, q, WAIT_BLOCK);
	blkioq_read(q, 0, buf, BLOCK, buf, 0);
	CHECK_EQ(blkioq_do_io(q, NULL, 0, 0, NULL), 0);
	SYS(write(p.channel, "a message that is cut off", 10));
	close(p.channel);
	CHECK_EQ(io_finish(q, buf), 0);
	usleep(100000); /* in which nothing must happen */
	reads_and_writes(b, q, WAIT_BLOCK);
	CHECK(get_u64(b, "capacity") == DEVICE_SIZE);
	blkio_destroy(&b);
	vu_proxy_stop(&p);
}

/* ---- Messages ----------------------------------------------------------------------------- */

static bool bad_owner;

static bool watch_owner(struct vu_proxy *p, const struct vu_message *m, struct vu_fds *fds)
{
	(void)fds;
	if (m->request != SET_OWNER)
		return true;
	/* By the protocol it has no payload, and nothing depends on the answer. */
	bad_owner = m->size || (m->flags & 8);
	vu_proxy_acknowledge(p, m, 1);
	return false;
}

static void owner(struct device *d)
{
	struct vu_proxy p = { .intercept = watch_owner };
	struct blkio *b;

	bad_owner = true;
	b = connect_to(d, &p);
	CHECK(!bad_owner);
	CHECK_OK(blkio_start(b));
	reads_and_writes(b, blkio_get_queue(b, 0), WAIT_BLOCK);
	blkio_destroy(&b);
	vu_proxy_stop(&p);
}

static bool refusing;

static bool refuse_config(struct vu_proxy *p, struct vu_message *m)
{
	(void)p;
	if (__atomic_load_n(&refusing, __ATOMIC_RELAXED))
		m->size = 0;
	return true;
}

static bool refuse(struct vu_proxy *p, struct vu_message *m)
{
	const uint64_t no = 1;

	(void)p;
	if (__atomic_load_n(&refusing, __ATOMIC_RELAXED))
		memcpy(m->payload, &no, sizeof(no));
	return true;
}

static void set_refusing(bool on)
{
	__atomic_store_n(&refusing, on, __ATOMIC_RELAXED);
}

/* The configuration cannot be read for a while. */
static void configuration(struct device *d)
{
	struct vu_proxy p = { .spoil = refuse_config, .spoil_request = GET_CONFIG };
	struct blkio *b;
	uint64_t bytes;

	set_refusing(false);
	b = connect_to(d, &p);
	CHECK_OK(blkio_start(b));
	set_refusing(true);
	CHECK_ERR(blkio_get_uint64(b, "capacity", &bytes), EIO, "GET_CONFIG", "refused");
	reads_and_writes(b, blkio_get_queue(b, 0), WAIT_BLOCK);
	set_refusing(false);
	CHECK_EQ(get_u64(b, "capacity"), DEVICE_SIZE);
	blkio_destroy(&b);
	vu_proxy_stop(&p);
}

static bool refuse_first_table(struct vu_proxy *p, struct vu_message *m)
{
	bool now = __atomic_exchange_n(&refusing, false, __ATOMIC_RELAXED);
	const uint64_t no = 1;

	(void)p;
	if (now)
		memcpy(m->payload, &no, sizeof(no));
	return true;
}

/* A region too many: queues go on with the memory that there was, and later another is taken. */
static void memory_table(struct device *d)
{
	struct vu_proxy p = { .hidden_protocol = 1ull << PROTOCOL_MEM_SLOTS,
			      .spoil = refuse_first_table,
			      .spoil_request = SET_MEM_TABLE };
	struct blkio_mem_region first, second;
	struct blkio *b;
	struct blkioq *q;

	set_refusing(false);
	b = connect_to(d, &p);
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	CHECK_OK(blkio_alloc_mem_region(b, &first, BLOCK));
	CHECK_OK(blkio_map_mem_region(b, &first));
	CHECK_OK(blkio_alloc_mem_region(b, &second, BLOCK));
	set_refusing(true);
	CHECK_ERR(blkio_map_mem_region(b, &second), EIO, "SET_MEM_TABLE", "refused");
	CHECK_EQ(io_write(q, 0, first.addr, BLOCK, 0), 0);
	CHECK_IO_ERR(io_write(q, 0, second.addr, BLOCK, 0), EINVAL, "mapped");
	CHECK_OK(blkio_map_mem_region(b, &second));
	CHECK_EQ(io_write(q, 0, second.addr, BLOCK, 0), 0);
	reads_and_writes(b, q, WAIT_BLOCK);
	blkio_destroy(&b);
	vu_proxy_stop(&p);
}

/* Without its descriptor the application would never hear of a completion: that is the end. */
static void completion_fd(struct device *d)
{
	struct vu_proxy p = { .spoil = refuse, .spoil_request = SET_VRING_CALL };
	struct blkio_completion c;
	struct blkio *b;
	struct blkioq *q;
	char *buf;

	set_refusing(false);
	b = connect_to(d, &p);
	CHECK_OK(blkio_start(b));
	q = blkio_get_queue(b, 0);
	buf = buffer(BLOCK);
	set_refusing(true);
	blkioq_set_completion_fd_enabled(q, true);
	blkioq_read(q, 0, buf, BLOCK, NULL, 0);
	CHECK_EQ(blkioq_do_io(q, &c, 0, 0, NULL), 0);
	CHECK(readable(blkioq_get_completion_fd(q), 10000));
	CHECK_EQ(blkioq_do_io(q, &c, 1, 1, NULL), 1);
	CHECK_EQ(c.ret, -EIO);
	CHECK(c.error_msg && strstr(c.error_msg, "refused"));
	blkio_destroy(&b);
	vu_proxy_stop(&p);
}

static const struct test tests[] = {
	{ "the channel is closed at once", channel_closed_at_once, T_VHOST_USER },
	{ "the channel is closed later", channel_closed_later, T_VHOST_USER },
	{ "the channel is refused", channel_refused, T_VHOST_USER },
	{ "SET_OWNER is refused", owner, T_VHOST_USER },
	{ "GET_CONFIG is refused", configuration, T_VHOST_USER },
	{ "SET_MEM_TABLE is refused", memory_table, T_VHOST_USER },
	{ "SET_VRING_CALL is refused", completion_fd, T_VHOST_USER },
};
TEST_MAIN(tests)
