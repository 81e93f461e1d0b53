/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A server whose configuration changes while the device is in use. Another capacity is fine. Other
 * limits end the instance, as soon as they are noticed: the application keeps to the old ones.
 */
#include <unistd.h>

#include "io.h"
#include "proxy.h"
#include "test.h"

enum { BLOCK = 4096, GET_CONFIG = 24, CONFIG_CHANGE = 2 };

/* Fields of struct virtio_blk_config. */
enum {
	CAPACITY = 0,
	SIZE_MAX_FIELD = 8,
	SEG_MAX = 12,
	BLK_SIZE = 20,
	PHYSICAL_EXP = 24,
	MAX_DISCARD = 36
};

static struct change {
	size_t offset, len;
	uint64_t value;
	bool limits; /* it is about limits */
} const changes[] = {
	{ CAPACITY, 8, DEVICE_SIZE / 512 * 2, false },
	{ SIZE_MAX_FIELD, 4, 65536, true },
	{ SEG_MAX, 4, 3, true },
	{ BLK_SIZE, 4, 4096, true },
	{ PHYSICAL_EXP, 1, 5, true },
	{ MAX_DISCARD, 4, 8, true },
};

static const struct change *current; /* NULL: none yet */

static bool change_config(struct vu_proxy *p, struct vu_message *m)
{
	const struct change *c = __atomic_load_n(&current, __ATOMIC_ACQUIRE);

	(void)p;
	if (c)
		memcpy(m->payload + 12 + c->offset, &c->value, c->len);
	return true;
}

static struct blkio *start(struct device *d, struct vu_proxy *p)
{
	struct blkio *b;

	*p = (struct vu_proxy){ .spoil = change_config,
				.spoil_request = GET_CONFIG,
				.intercept = vu_proxy_keep_channel,
				.fd_to_add = -1,
				.channel = -1 };
	current = NULL;
	CHECK_OK(blkio_create(d->driver, &b));
	CHECK_OK(blkio_set_int(b, "fd", vu_proxy_start(p, d->path)));
	CHECK_OK(blkio_connect(b));
	CHECK_OK(blkio_start(b));
	CHECK(p->channel >= 0);
	return b;
}

static void stop(struct blkio *b, struct vu_proxy *p)
{
	blkio_destroy(&b);
	vu_proxy_stop(p);
	close(p->channel);
}

static void set_current(size_t i)
{
	__atomic_store_n(&current, &changes[i], __ATOMIC_RELEASE);
}

static void check_gone(struct blkio *b, char *buf)
{
	struct blkioq *q = blkio_get_queue(b, 0);
	uint64_t capacity;

	CHECK_IO_ERR(io_read(q, 0, buf, BLOCK, 0), ENODEV, "configuration of the device");
	CHECK_IO_ERR(io_write(q, 0, buf, BLOCK, 0), ENODEV, "configuration of the device");
	CHECK_IO_ERR(io_flush(q, 0), ENODEV, "configuration of the device");
	CHECK_ERR(blkio_get_uint64(b, "capacity", &capacity), ENODEV,
		  "configuration of the device");
}

static void capacity_notices(struct device *d)
{
	char *buf = buffer(BLOCK);

	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		struct vu_proxy p;
		struct blkio *b = start(d, &p);
		uint64_t capacity;

		set_current(i);
		if (changes[i].limits) {
			CHECK_ERR(blkio_get_uint64(b, "capacity", &capacity), ENODEV,
				  "configuration of the device");
			check_gone(b, buf);
		} else {
			CHECK_EQ(get_u64(b, "capacity"), 2 * DEVICE_SIZE);
			CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, buf, BLOCK, 0), 0);
		}
		stop(b, &p);
	}
	buffer_free(buf);
}

/* The server tells of the change, and nobody asks. */
static void message_notices(struct device *d)
{
	static const uint32_t message[3] = { CONFIG_CHANGE, 1, 0 };
	char *buf = buffer(BLOCK);

	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		struct vu_proxy p;
		struct blkio *b = start(d, &p);
		struct blkioq *q = blkio_get_queue(b, 0);
		int ret = 0;

		CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
		set_current(i);
		CHECK_EQ(write(p.channel, message, sizeof(message)), sizeof(message));
		if (changes[i].limits) {
			while (!ret) /* for as long as it takes, up to the deadline of the case */
				ret = io_read(q, 0, buf, BLOCK, 0);
			CHECK_EQ(ret, -ENODEV);
			check_gone(b, buf);
		} else {
			CHECK_EQ(get_u64(b, "capacity"), 2 * DEVICE_SIZE);
			CHECK_EQ(io_read(q, 0, buf, BLOCK, 0), 0);
		}
		stop(b, &p);
	}
	buffer_free(buf);
}

static const struct test tests[] = {
	{ "reading the capacity notices other limits", capacity_notices, T_VHOST_USER },
	{ "the server's message is heard", message_notices, T_VHOST_USER },
};
TEST_MAIN(tests)
