/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Queue passthrough, as far as every driver has something to say: it is refused with a message, or
 * bad arguments are. What works: integration/vhost_user/vhost_user_vring.c.
 */
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <unistd.h>

#include "guest.h"
#include "io.h"
#include "test.h"

#define GUEST_AT (4ULL << 30)

static void null_arguments(struct device *d)
{
	struct blkio *b = device_connect(d);
	struct blkio_vring v = { 0 };
	uint64_t features = 1;
	char buf[8];

	CHECK_ERR(blkio_get_vring_features(NULL, &features), EINVAL, "NULL");
	CHECK_EQ(features, 0);
	CHECK_ERR(blkio_get_vring_features(b, NULL), EINVAL, "features");
	CHECK_ERR(blkio_get_device_config(NULL, buf, sizeof(buf)), EINVAL, "NULL");
	CHECK_ERR(blkio_get_device_config(b, NULL, 8), EINVAL, "buf");
	CHECK_ERR(blkio_start_vring(NULL, 0, &v), EINVAL, "NULL");
	CHECK_ERR(blkio_start_vring(b, 0, NULL), EINVAL, "vring");
	CHECK_ERR(blkio_start_vring_async(b, 0, NULL), EINVAL, "vring");
	CHECK_ERR(blkio_stop_vring(NULL, 0, &v), EINVAL, "NULL");
	CHECK_ERR(blkio_stop_vring_async(NULL, 0, &v), EINVAL, "NULL");
	blkio_destroy(&b);
}

static bool has_vrings(struct blkio *b)
{
	int n;

	return blkio_get_int(b, "num-vrings", &n) == 0;
}

/* In every state. */
static void refused(struct device *d)
{
	struct blkio *b = device_create(d);
	struct blkio_vring v = { .size = 16 };
	uint64_t features;
	char buf[8];

	for (int state = 0; state < 3; state++) {
		int want = has_vrings(b) ? ENODEV : ENOTSUP;

		if (has_vrings(b) && state)
			break;
		CHECK_ERR(blkio_get_vring_features(b, &features), want);
		CHECK_ERR(blkio_get_device_config(b, buf, sizeof(buf)), want);
		CHECK_ERR(blkio_start_vring(b, 0, &v), want);
		CHECK_ERR(blkio_stop_vring(b, 0, &v), want);
		CHECK_OK(state ? blkio_start(b) : blkio_connect(b));
	}
	blkio_destroy(&b);
}

/* ---- Where there are vrings --------------------------------------------------------------- */

static void features_and_config(struct device *d)
{
	struct blkio *b = device_connect(d);
	struct virtio_blk_config c;
	uint64_t features, accepted;
	char huge[1000], tiny[4];

	CHECK_OK(blkio_get_vring_features(b, &features));
	CHECK(features >> VIRTIO_F_VERSION_1 & 1);
	CHECK_EQ(features >> 30 & 1, 0); /* that of vhost-user is not a guest's */
	CHECK_OK(blkio_get_uint64(b, "vring-features", &accepted));
	CHECK(accepted && !(accepted & ~features));
	CHECK_ERR(blkio_set_uint64(b, "vring-features", 1ULL << 63), EINVAL, "0x8000000000000000");
	CHECK_ERR(blkio_set_uint64(b, "vring-features", 1ULL << VIRTIO_BLK_F_FLUSH), EINVAL,
		  "VIRTIO_F_VERSION_1");
	CHECK_OK(blkio_set_uint64(b, "vring-features", 1ULL << VIRTIO_F_VERSION_1));
	CHECK_EQ(get_u64(b, "vring-features"), 1ULL << VIRTIO_F_VERSION_1);

	memset(huge, 0xee, sizeof(huge));
	CHECK_OK(blkio_get_device_config(b, huge, sizeof(huge)));
	memcpy(&c, huge, sizeof(c));
	CHECK_EQ(c.capacity * 512, get_u64(b, "capacity"));
	check_all(huge + 100, sizeof(huge) - 100, 0);
	CHECK_OK(blkio_get_device_config(b, tiny, sizeof(tiny)));
	CHECK_MEM(tiny, huge, sizeof(tiny));
	CHECK_OK(blkio_get_device_config(b, tiny, 0));
	blkio_destroy(&b);
}

static struct blkio *start(struct device *d, struct guest *g)
{
	struct blkio *b = device_connect(d);

	guest_init(g, GUEST_AT);
	CHECK_OK(blkio_set_int(b, "num-vrings", 1));
	CHECK_OK(blkio_start(b));
	guest_map(g, b);
	return b;
}

static void too_early_or_too_many(struct device *d)
{
	struct blkio *b = device_connect(d);
	struct blkio_vring v = { .size = 16 };

	CHECK_ERR(blkio_start_vring(b, 0, &v), EBUSY, "blkio_start()");
	CHECK_ERR(blkio_set_int(b, "num-vrings", -1), EINVAL);
	CHECK_OK(blkio_set_int(b, "num-vrings", 1000));
	CHECK_ERR(blkio_start(b), EINVAL, "num-vrings", "1000");
	CHECK_OK(blkio_set_int(b, "num-vrings", 0));
	CHECK_OK(blkio_start(b));
	CHECK_ERR(blkio_set_int(b, "num-vrings", 1), EBUSY);
	CHECK_ERR(blkio_start_vring(b, 0, &v), EINVAL, "num-vrings");
	CHECK_ERR(blkio_stop_vring(b, 0, &v), EINVAL, "num-vrings");
	blkio_destroy(&b);
}

static void not_eventfds(struct blkio *b, const struct guest *g)
{
	struct blkio_vring v = guest_vring(g);
	int *const fds[] = { &v.kick_fd, &v.call_fd, &v.err_fd };
	static const char *const names[] = { "kick_fd", "call_fd", "err_fd" };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		v = guest_vring(g);
		*fds[i] = g->ram.fd;
		CHECK_ERR(blkio_start_vring(b, 0, &v), EINVAL, names[i], "not an eventfd");
	}
}

static void bad_vrings(struct device *d)
{
	static const struct {
		size_t offset;
		uint64_t value;
		const char *text;
	} bad64[] = {
		{ offsetof(struct blkio_vring, desc), 0, "desc" },
		{ offsetof(struct blkio_vring, desc), GUEST_AT + 8, "desc" },
		{ offsetof(struct blkio_vring, desc), GUEST_AT - 16, "desc" },
		{ offsetof(struct blkio_vring, desc), GUEST_AT + GUEST_LEN - 16, "desc" },
		{ offsetof(struct blkio_vring, desc), UINT64_MAX - 15, "desc" },
		{ offsetof(struct blkio_vring, driver), GUEST_AT + 1, "driver" },
		{ offsetof(struct blkio_vring, driver), GUEST_AT + GUEST_LEN - 6, "driver" },
		{ offsetof(struct blkio_vring, device), GUEST_AT + 2, "device" },
		{ offsetof(struct blkio_vring, device), GUEST_AT + GUEST_LEN - 4, "device" },
	};
	static const uint32_t sizes[] = { 0, 1, 3, 255, 65536, 1u << 31, UINT32_MAX };
	static const int indexes[] = { -1, 1, INT32_MAX, INT32_MIN };
	struct guest g;
	struct blkio *b = start(d, &g);
	struct blkio_vring v;

	for (size_t i = 0; i < ARRAY_LEN(bad64); i++) {
		v = guest_vring(&g);
		memcpy((char *)&v + bad64[i].offset, &bad64[i].value, sizeof(uint64_t));
		CHECK_ERR(blkio_start_vring(b, 0, &v), EINVAL, bad64[i].text);
	}
	v = guest_vring(&g);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		v.size = sizes[i];
		CHECK_ERR(blkio_start_vring(b, 0, &v), EINVAL, "size");
	}
	v = guest_vring(&g);
	for (size_t i = 0; i < ARRAY_LEN(indexes); i++) {
		CHECK_ERR(blkio_start_vring(b, indexes[i], &v), EINVAL, "num-vrings");
		CHECK_ERR(blkio_stop_vring(b, indexes[i], &v), EINVAL, "num-vrings");
	}
	v.flags = 1;
	CHECK_ERR(blkio_start_vring(b, 0, &v), EINVAL, "flags");
	v = guest_vring(&g);
	v.reserved_[1] = 1;
	CHECK_ERR(blkio_start_vring(b, 0, &v), EINVAL, "reserved");
	v = guest_vring(&g);
	v.base = 65536;
	CHECK_ERR(blkio_start_vring(b, 0, &v), EINVAL, "base", "0x10000");
	v = guest_vring(&g);
	v.kick_fd = -1;
	CHECK_ERR(blkio_start_vring(b, 0, &v), EBADF, "kick_fd");
	v = guest_vring(&g);
	v.call_fd = 12345;
	CHECK_ERR(blkio_start_vring(b, 0, &v), EBADF, "call_fd", "12345");
	v = guest_vring(&g);
	v.err_fd = 12345;
	CHECK_ERR(blkio_start_vring(b, 0, &v), EBADF, "err_fd");
	not_eventfds(b, &g);
	CHECK_ERR(blkio_stop_vring(b, 0, &v), ENOENT, "0");
	/* None of that has done any harm. */
	guest_start(&g, b, 0);
	v = guest_vring(&g);
	CHECK_ERR(blkio_start_vring(b, 0, &v), EBUSY, "0");
	CHECK_EQ(guest_io(&g, VIRTIO_BLK_T_IN, 0), VIRTIO_BLK_S_OK);
	blkio_destroy(&b);
	guest_exit(&g);
}

/* A guest's address is what it was given, and belongs to one region; without vrings it is nothing.
 */
static void guest_addresses(struct device *d)
{
	struct blkio_mem_region r;
	struct guest g, other;
	struct blkio *b = start(d, &g);

	guest_init(&other, GUEST_AT + GUEST_LEN - 4096);
	CHECK_ERR(blkio_map_mem_region(b, &other.ram), EINVAL, "0x1001ff000");
	other.ram.iova = UINT64_MAX - 4095;
	CHECK_ERR(blkio_map_mem_region(b, &other.ram), EINVAL, "0xfffffffffffff000");
	other.ram.iova = 0; /* where a PC's memory begins */
	CHECK_OK(blkio_map_mem_region(b, &other.ram));
	other.base = 0;
	guest_start(&other, b, 0);
	CHECK_EQ(guest_io(&other, VIRTIO_BLK_T_IN, 0), VIRTIO_BLK_S_OK);
	guest_stop(&other, b, 0);
	blkio_destroy(&b);

	b = device_start(d);
	r = g.ram; /* the same for both: neither is a guest's address */
	CHECK_OK(blkio_map_mem_region(b, &r));
	other.ram.iova = r.iova;
	CHECK_OK(blkio_map_mem_region(b, &other.ram));
	CHECK_EQ(io_read(blkio_get_queue(b, 0), 0, other.ram.addr, 4096, 0), 0);
	blkio_destroy(&b);
	guest_exit(&g);
	guest_exit(&other);
}

/* The caller may close its descriptors; what it does not close is not used after the stop. */
static void descriptors_are_copied(struct device *d)
{
	struct guest g;
	struct blkio *b = start(d, &g);
	struct blkio_vring v = guest_vring(&g);

	v.kick_fd = dup(g.kick);
	v.call_fd = dup(g.call);
	CHECK_OK(blkio_start_vring(b, 0, &v));
	close(v.kick_fd);
	close(v.call_fd);
	CHECK_EQ(guest_io(&g, VIRTIO_BLK_T_IN, 0), VIRTIO_BLK_S_OK);
	guest_stop(&g, b, 0);
	blkio_destroy(&b);
	guest_exit(&g);
}

static int result(struct blkio *b)
{
	int ret;

	while ((ret = blkio_control_result(b)) == -EINPROGRESS)
		usleep(100);
	return ret;
}

/* The library looks into a ring when it stops, and the device all the time. */
static void memory_in_use(struct device *d)
{
	struct blkio_mem_region r;
	struct guest g;
	struct blkio *b = start(d, &g);
	struct blkio_vring v = guest_vring(&g);

	guest_start(&g, b, 0);
	blkio_unmap_mem_region(b, &g.ram);
	CHECK(strstr(blkio_get_error_msg(), "blkio_stop_vring()"));
	CHECK_OK(blkio_unmap_mem_region_async(b, &g.ram));
	CHECK_ERR(result(b), EBUSY, "blkio_stop_vring()");
	CHECK_EQ(guest_io(&g, VIRTIO_BLK_T_IN, 0), VIRTIO_BLK_S_OK);
	guest_stop(&g, b, 0);
	blkio_unmap_mem_region(b, &g.ram);
	v.base = g.base;
	CHECK_ERR(blkio_start_vring(b, 0, &v), EINVAL, "desc");

	CHECK_OK(blkio_alloc_mem_region(b, &r, GUEST_LEN));
	r.iova = GUEST_AT;
	r.flags = BLKIO_MEM_GUEST;
	CHECK_OK(blkio_map_mem_region(b, &r));
	v.base = 0;
	CHECK_OK(blkio_start_vring(b, 0, &v));
	blkio_free_mem_region(b, &r);
	CHECK(strstr(blkio_get_error_msg(), "blkio_stop_vring()"));
	memset(r.addr, 0, r.len); /* it is still there */
	CHECK_OK(blkio_stop_vring(b, 0, NULL));
	blkio_free_mem_region(b, &r);
	CHECK_ERR(blkio_start_vring(b, 0, &v), EINVAL, "desc");
	blkio_destroy(&b);
	guest_exit(&g);
}

static void by_the_control_fd(struct device *d)
{
	struct guest g;
	struct blkio *b = start(d, &g);
	struct blkio_vring v = guest_vring(&g), state;

	for (int i = 0; i < 3; i++) {
		CHECK_OK(blkio_start_vring_async(b, 0, &v));
		CHECK_OK(result(b));
		CHECK_EQ(guest_io(&g, VIRTIO_BLK_T_IN, 0), VIRTIO_BLK_S_OK);
		CHECK_OK(blkio_stop_vring_async(b, 0, &state));
		CHECK_OK(result(b));
		CHECK_EQ(state.base, i + 1);
		v.base = state.base;
	}
	CHECK_OK(blkio_drain(b, NULL));
	CHECK_ERR(blkio_start_vring(b, 0, &v), ECANCELED, "drained");
	blkio_destroy(&b);
	guest_exit(&g);
}

static const struct test tests[] = {
	{ "arguments that are NULL", null_arguments, T_ANY },
	{ "refused", refused, T_ANY },
	{ "features and configuration", features_and_config, T_VRINGS },
	{ "too early, too many", too_early_or_too_many, T_VRINGS },
	{ "bad vrings", bad_vrings, T_VRINGS },
	{ "guest addresses", guest_addresses, T_VRINGS },
	{ "descriptors are copied", descriptors_are_copied, T_VRINGS },
	{ "memory in use", memory_in_use, T_VRINGS },
	{ "asynchronous", by_the_control_fd, T_VRINGS },
};

TEST_MAIN(tests)
