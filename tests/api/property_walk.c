/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Every property in every state: what each getter and setter gives, by type and by string. The
 * expected values are in property_rows.c, and those that depend on the device here.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "property_rows.h"
#include "test.h"

static enum driver_bit driver_of(const struct device *d)
{
	if (d->target->traits & T_VHOST_USER)
		return VHOST;
	if (d->target->traits & T_NBD)
		return NBD;
	if (d->target->traits & T_ISCSI)
		return ISCSI;
	if (d->target->traits & T_NVME_TCP)
		return NVME_TCP;
	if (d->target->traits & T_IO_URING)
		return URING;
	return d->target->traits & T_KERNEL ? POSIX : NULL_DRV;
}

static struct blkio *in_state(struct device *d, enum state state)
{
	struct blkio *(*const make[])(struct device *) = { device_create, device_connect,
							   device_start };

	return make[state](d);
}

/* ---- Values that depend on the device ----------------------------------------------------- */

/* A number below /sys/dev/block/MAJ:MIN/, of the target's block device. */
static long long sysfs(const struct device *d, const char *attribute)
{
	struct stat st;
	char path[256], text[64] = "";
	FILE *f;

	SYS(stat(d->path, &st));
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(st.st_rdev),
		 minor(st.st_rdev), attribute);
	f = fopen(path, "re");
	if (!f || !fgets(text, sizeof(text), f))
		FAIL("%s cannot be read", path);
	fclose(f);
	return atoll(text);
}

/* 0 where the file system does not say. Buffers: lengths of segments need what requests do. */
static unsigned dio_alignment(const struct device *d, bool of_memory)
{
	struct statx st;

	SYS(statx(AT_FDCWD, d->path, 0, STATX_DIOALIGN, &st));
	if (!(st.stx_mask & STATX_DIOALIGN))
		return 0;
	return of_memory && st.stx_dio_mem_align > st.stx_dio_offset_align
		   ? st.stx_dio_mem_align
		   : st.stx_dio_offset_align;
}

static long long alignment(const struct device *d, bool of_memory)
{
	unsigned align = 1;

	if (!(d->target->traits & T_DIRECT))
		return 1;
	align = dio_alignment(d, of_memory);
	return align ? align : d->target->block_size;
}

static bool is_power_of_2(long long n)
{
	return n > 0 && !(n & (n - 1));
}

/* What the property must be on this device; -1 after checking what it was, where that is enough. */
static long long expect_device(struct device *d, struct blkio *b, const char *name)
{
	bool block = d->target->traits & T_BLOCK, null = driver_of(d) == NULL_DRV;

	if (!strcmp(name, "can-grow"))
		return !!(d->target->traits & T_FILE);
	if (!strcmp(name, "direct"))
		return !!(d->target->traits & T_DIRECT);
	if (!strcmp(name, "supports-fua-natively"))
		return null ? 1 : block ? sysfs(d, "queue/fua") : get_bool(b, name);
	if (!strcmp(name, "supports-poll-queues"))
		return block ? sysfs(d, "queue/io_poll") : 0;
	if (!strcmp(name, "request-alignment"))
		return null ? 1 : alignment(d, false);
	if (!strcmp(name, "buf-alignment") || !strcmp(name, "mem-region-alignment"))
		return null ? 1 : alignment(d, true);
	if (!strcmp(name, "discard-alignment-offset"))
		return block ? sysfs(d, "discard_alignment") : 0;
	if (!strcmp(name, "discard-alignment"))
		return null    ? 1
		       : block ? sysfs(d, "queue/discard_granularity")
			       : alignment(d, false);
	if (!strcmp(name, "optimal-io-size"))
		return block ? sysfs(d, "queue/optimal_io_size") : 0;
	if (!strcmp(name, "optimal-io-alignment")) {
		if (block)
			return sysfs(d, "queue/physical_block_size");
		CHECK(is_power_of_2(get_int(b, name)));
		return get_int(b, name);
	}
	if (!strcmp(name, "max-mem-regions")) {
		/* the server's slots, but for one: QEMU 7.2 has 32, QEMU 10 has 509 */
		CHECK(get_u64(b, name) >= 31);
		return (long long)get_u64(b, name);
	}
	if (!strcmp(name, "fd")) {
		CHECK(fcntl(get_int(b, name), F_GETFD) == FD_CLOEXEC);
		return get_int(b, name);
	}
	if (!strcmp(name, "max-write-zeroes-len") || !strcmp(name, "max-discard-len")) {
		/* 32 bits, or, with extended headers, any length: QEMU 8.2 */
		CHECK(!get_u64(b, name) || get_u64(b, name) == 0xffff0000);
		return (long long)get_u64(b, name);
	}
	if (!strncmp(name, "atomic-write-unit-", strlen("atomic-write-unit-"))) {
		/* few devices can */
		uint64_t unit = get_u64(b, name);

		CHECK((unit & (unit - 1)) == 0 && (!unit || get_bool(b, "direct")));
		return (long long)unit;
	}
	if (!strcmp(name, "vring-features")) {
		CHECK(get_u64(b, name) >> 32 & 1); /* VIRTIO_F_VERSION_1 */
		return (long long)get_u64(b, name);
	}
	FAIL("no expectation for \"%s\"", name);
}

static const char *initiator_name(void)
{
	static char name[128];
	char host[65] = "";

	SYS(gethostname(host, sizeof(host) - 1));
	snprintf(name, sizeof(name), "iqn.2021-01.io.gitlab.libblkio:%s", host);
	return name;
}

static const char *expected(struct device *d, struct blkio *b, const struct property_row *row,
			    enum state state)
{
	static char text[32];
	long long value;

	if (strcmp(row->get[state], "@"))
		return row->get[state];
	if (!strcmp(row->name, "driver"))
		return d->driver;
	if (!strcmp(row->name, "path") || !strcmp(row->name, "uri"))
		return d->path;
	if (!strcmp(row->name, "initiator-name"))
		return initiator_name();
	if (!strcmp(row->name, "digests"))
		return d->has_digests ? "both" : "";
	value = expect_device(d, b, row->name);
	if (!strcmp(row->type, "bool"))
		return value ? "true" : "false";
	snprintf(text, sizeof(text), "%lld", value);
	return text;
}

/* ---- Getting ------------------------------------------------------------------------------ */

struct values {
	bool b;
	int i;
	uint64_t u;
};

static const char *const types[] = { "bool", "int", "uint64" };

static int get_as(struct blkio *b, const char *name, const char *type, struct values *v)
{
	if (!strcmp(type, "bool"))
		return blkio_get_bool(b, name, &v->b);
	if (!strcmp(type, "int"))
		return blkio_get_int(b, name, &v->i);
	return blkio_get_uint64(b, name, &v->u);
}

static void check_gets(struct device *d, struct blkio *b, const struct property_row *row,
		       enum state state)
{
	const char *want = expected(d, b, row, state);
	bool too_early = !strcmp(want, "-ENODEV");
	char *text;

	printf("get %s in state %d\n", row->name, state);
	if (too_early) {
		CHECK_ERR(blkio_get_str(b, row->name, &text), ENODEV, row->name);
		CHECK(!text);
	} else {
		CHECK_OK(blkio_get_str(b, row->name, &text));
		CHECK_STR(text, want);
		free(text);
	}
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct values v = { true, 77, 77 };

		if (strcmp(types[i], row->type)) {
			CHECK_ERR(get_as(b, row->name, types[i], &v), ENOTTY, row->name);
		} else if (too_early) {
			CHECK_ERR(get_as(b, row->name, types[i], &v), ENODEV, row->name);
		} else {
			CHECK_OK(get_as(b, row->name, types[i], &v));
			if (i == 0)
				CHECK_EQ(v.b, !strcmp(want, "true"));
			else if (i == 1)
				CHECK_EQ(v.i, atoi(want));
			else
				CHECK(v.u == strtoull(want, NULL, 10));
			continue;
		}
		CHECK(i == 0 ? !v.b : i == 1 ? !v.i : !v.u);
	}
}

/* ---- Setting ------------------------------------------------------------------------------ */

static int set_as(struct blkio *b, const char *name, const char *type, const char *value)
{
	if (!strcmp(type, "bool"))
		return blkio_set_bool(b, name, !strcmp(value, "true"));
	if (!strcmp(type, "int"))
		return blkio_set_int(b, name, atoi(value));
	if (!strcmp(type, "uint64"))
		return blkio_set_uint64(b, name, strtoull(value, NULL, 10));
	return blkio_set_str(b, name, value);
}

static void reads_back(struct blkio *b, const struct property_row *row, const char *want)
{
	char *text;

	CHECK_OK(blkio_get_str(b, row->name, &text));
	CHECK_STR(text, want);
	free(text);
}

static void check_sets(struct blkio *b, const struct property_row *row, enum state state)
{
	static const char *const garbage[] = { "maybe", "x1", "-x" };
	bool is_str = !strcmp(row->type, "str");

	printf("set %s in state %d\n", row->name, state);
	for (size_t i = 0; i < ARRAY_LEN(garbage) && !is_str; i++)
		CHECK_ERR(blkio_set_str(b, row->name, garbage[i]), EINVAL, row->name, garbage[i]);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strcmp(types[i], row->type))
			CHECK_ERR(set_as(b, row->name, types[i], "1"), ENOTTY, row->name);
	}
	if (row->set[state] == W) {
		CHECK_OK(set_as(b, row->name, row->type, row->sample));
		reads_back(b, row, row->sample);
		CHECK_OK(blkio_set_str(b, row->name, row->sample));
		reads_back(b, row, row->sample);
	} else {
		CHECK_ERR(set_as(b, row->name, row->type, row->sample), row->set[state], row->name);
		CHECK_ERR(blkio_set_str(b, row->name, row->sample), row->set[state], row->name);
	}
}

static void walk(struct device *d)
{
	for (enum state state = CREATED; state < NR_STATES; state++) {
		for (size_t i = 0; i < nr_property_rows; i++) {
			struct blkio *b;

			if (!(property_rows[i].drivers & driver_of(d)))
				continue;
			b = in_state(d, state);
			check_gets(d, b, &property_rows[i], state);
			check_sets(b, &property_rows[i], state);
			if (property_rows[i].set[state] != W)
				check_gets(d, b, &property_rows[i], state); /* unchanged */
			blkio_destroy(&b);
		}
	}
}

static bool has(enum driver_bit driver, const char *name)
{
	for (size_t i = 0; i < nr_property_rows; i++) {
		if (!strcmp(property_rows[i].name, name) && property_rows[i].drivers & driver)
			return true;
	}
	return false;
}

/* What belongs to other drivers is unknown here. */
static void absent(struct device *d)
{
	static const char *const names[] = { "zoned", "zone-size" };

	for (enum state state = CREATED; state < NR_STATES; state++) {
		struct blkio *b = in_state(d, state);
		char *text;

		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			if (!has(driver_of(d), names[i]))
				CHECK_ERR(blkio_get_str(b, names[i], &text), ENOENT, names[i]);
		}
		for (size_t i = 0; i < nr_property_rows; i++) {
			if (!has(driver_of(d), property_rows[i].name))
				CHECK_ERR(blkio_get_str(b, property_rows[i].name, &text), ENOENT);
		}
		blkio_destroy(&b);
	}
}

/* The table has every property that the library says there is. */
static void complete(struct device *d)
{
	struct blkio_property_info info;
	int n = 0;

	for (; !blkio_get_property_info(d->driver, n, &info, sizeof(info)); n++) {
		if (!has(driver_of(d), info.name))
			FAIL("no row for \"%s\"", info.name);
	}
	for (size_t i = 0; i < nr_property_rows; i++)
		n -= !!(property_rows[i].drivers & driver_of(d));
	CHECK_EQ(n, 0);
}

static void null_capacity(struct device *d)
{
	struct blkio *b;

	(void)d;
	CHECK_OK(blkio_create("null", &b));
	CHECK_EQ(get_u64(b, "capacity"), 1ull << 40);
	CHECK_OK(blkio_set_uint64(b, "capacity", 0));
	CHECK_OK(blkio_connect(b));
	CHECK_EQ(get_u64(b, "capacity"), 0);
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "walk", walk, T_ANY },
	{ "properties of other drivers", absent, T_ANY },
	{ "complete", complete, T_ANY },
	{ "capacity of null", null_capacity, 0 },
};
TEST_MAIN(tests)
