/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Every property in every state: what each getter and setter gives, by type and by string. The
 * table is what existing programs observe; "@" stands for a value that depends on the device and is
 * worked out by expect_device().
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "test.h"

enum state { CREATED, CONNECTED, STARTED, NR_STATES };

enum driver_bit {
	NULL_DRV = 1,
	URING = 2,
	VHOST = 4,
	POSIX = 8,
	NBD = 16,
	ISCSI = 32,
	NVME_TCP = 64,
	KERNEL = URING | POSIX,
	LOCAL = NULL_DRV | KERNEL,
	PATHS = KERNEL | VHOST | NBD, /* opened by "path" */
	NETWORK = NBD | ISCSI | NVME_TCP,
	REAL = PATHS | NETWORK,
	ALL = NULL_DRV | REAL
};

/* Results of setting: W works, the rest are errno values. */
enum { W = 0 };

static const struct row {
	const char *name;
	const char *type; /* bool, int, uint64, str */
	enum driver_bit drivers;
	const char *get[NR_STATES]; /* value, "-ENODEV", or "@" */
	int set[NR_STATES];
	const char *sample; /* a valid value to set */
} rows[] = {
#define RO                                                                                         \
	{                                                                                          \
		EACCES, EACCES, EACCES                                                             \
	}
#define EARLY                                                                                      \
	{                                                                                          \
		W, EBUSY, EBUSY                                                                    \
	}
#define LATE                                                                                       \
	{                                                                                          \
		ENODEV, W, EBUSY                                                                   \
	}
#define SAME(v)                                                                                    \
	{                                                                                          \
		v, v, v                                                                            \
	}
#define LIMIT(v)                                                                                   \
	{                                                                                          \
		"-ENODEV", v, v                                                                    \
	}
	{ "can-add-queues", "bool", LOCAL, SAME("true"), RO, "true" },
	{ "driver", "str", ALL, SAME("@"), RO, "x" },
	{ "read-only", "bool", ALL, SAME("false"), EARLY, "true" },
	{ "auto-read-only", "bool", ALL, SAME("false"), EARLY, "true" },
	{ "bounce-buffers", "int", ALL, SAME("0"), LATE, "16" },
	{ "bounce-buffer-size", "int", ALL, SAME("131072"), LATE, "65536" },
	{ "capacity", "uint64", REAL, LIMIT("4194304"), RO, "1" },
	{ "capacity", "uint64", NULL_DRV, SAME("4194304"), EARLY, "512" },
	{ "max-queues", "int", LOCAL, SAME("2147483647"), RO, "1" },
	{ "num-queues", "int", ALL, SAME("1"), LATE, "5" },
	{ "num-poll-queues", "int", ALL, SAME("0"), LATE, "2" },
	{ "supports-poll-queues", "bool", NULL_DRV, SAME("true"), RO, "true" },
	{ "supports-poll-queues", "bool", URING, { "false", "@", "@" }, RO, "true" },
	{ "supports-poll-queues", "bool", POSIX, SAME("false"), RO, "true" },
	{ "max-mem-regions", "uint64", LOCAL, SAME("18446744073709551615"), RO, "1" },
	{ "may-pin-mem-regions", "bool", LOCAL, SAME("false"), RO, "true" },
	{ "mem-region-alignment", "uint64", LOCAL, LIMIT("@"), RO, "1" },
	{ "needs-mem-regions", "bool", LOCAL, SAME("false"), RO, "true" },
	{ "needs-mem-region-fd", "bool", LOCAL, SAME("false"), RO, "true" },
	{ "optimal-io-alignment", "int", LOCAL, LIMIT("@"), RO, "1" },
	{ "optimal-io-size", "int", LOCAL, LIMIT("@"), RO, "1" },
	{ "request-alignment", "int", LOCAL, LIMIT("@"), RO, "1" },
	{ "flush-needed", "bool", KERNEL, SAME("true"), RO, "true" },
	{ "flush-needed", "bool", NULL_DRV, SAME("false"), RO, "true" },
	{ "buf-alignment", "int", LOCAL, LIMIT("@"), RO, "1" },
	{ "can-grow", "bool", LOCAL, { "false", "@", "@" }, RO, "true" },
	{ "max-segments", "int", LOCAL, LIMIT("1024"), RO, "1" },
	{ "max-segment-len", "int", LOCAL, LIMIT("0"), RO, "1" },
	{ "max-transfer", "int", LOCAL, LIMIT("0"), RO, "1" },
	{ "optimal-buf-alignment", "int", KERNEL, LIMIT("4096"), RO, "1" },
	{ "optimal-buf-alignment", "int", NULL_DRV, LIMIT("1"), RO, "1" },
	{ "supports-fua-natively", "bool", LOCAL, { "false", "@", "@" }, RO, "true" },
	{ "max-write-zeroes-len", "uint64", LOCAL, LIMIT("0"), RO, "1" },
	{ "discard-alignment", "int", LOCAL, LIMIT("@"), RO, "1" },
	{ "discard-alignment-offset", "int", LOCAL, LIMIT("@"), RO, "1" },
	{ "max-discard-len", "uint64", LOCAL, LIMIT("0"), RO, "1" },
	{ "atomic-write-unit-min", "uint64", KERNEL, LIMIT("@"), RO, "1" },
	{ "atomic-write-unit-max", "uint64", KERNEL, LIMIT("@"), RO, "1" },
	{ "atomic-write-unit-min", "uint64", NULL_DRV | NBD | ISCSI, LIMIT("0"), RO, "1" },
	{ "atomic-write-unit-max", "uint64", NULL_DRV | NBD | ISCSI, LIMIT("0"), RO, "1" },
	{ "atomic-write-boundary", "uint64", LOCAL | NETWORK, LIMIT("0"), RO, "1" },
	{ "atomic-write-boundary-offset", "uint64", LOCAL | NETWORK, LIMIT("0"), RO, "1" },
	{ "direct", "bool", KERNEL, SAME("@"), EARLY, "false" },
	{ "fd", "int", KERNEL, { "-1", "@", "@" }, EARLY, "7" },
	{ "path", "str", PATHS, SAME("@"), EARLY, "/else/where" },
	{ "num-threads", "int", POSIX, SAME("32"), LATE, "4" },
	{ "num-entries", "int", URING, SAME("128"), LATE, "256" },
	{ "single-issuer", "bool", URING, SAME("false"), LATE, "true" },
	{ "register-buffers", "bool", URING, SAME("false"), LATE, "true" },
	{ "sq-poll", "bool", URING, SAME("false"), LATE, "true" },
	{ "can-add-queues", "bool", NETWORK, SAME("true"), RO, "true" },
	{ "max-queues", "int", NBD | ISCSI, LIMIT("1024"), RO, "1" },
	{ "supports-poll-queues", "bool", NETWORK, SAME("true"), RO, "true" },
	{ "max-mem-regions", "uint64", NETWORK, LIMIT("18446744073709551615"), RO, "1" },
	{ "may-pin-mem-regions", "bool", NETWORK, SAME("false"), RO, "true" },
	{ "mem-region-alignment", "uint64", NETWORK, LIMIT("1"), RO, "1" },
	{ "needs-mem-regions", "bool", NETWORK, SAME("false"), RO, "true" },
	{ "needs-mem-region-fd", "bool", NETWORK, SAME("false"), RO, "true" },
	{ "optimal-io-alignment", "int", NBD | ISCSI, LIMIT("4096"), RO, "1" },
	{ "optimal-io-size", "int", NETWORK, LIMIT("0"), RO, "1" },
	{ "request-alignment", "int", NBD, LIMIT("1"), RO, "1" },
	{ "flush-needed", "bool", NETWORK, SAME("true"), RO, "true" },
	{ "buf-alignment", "int", NETWORK, LIMIT("1"), RO, "1" },
	{ "can-grow", "bool", NETWORK, SAME("false"), RO, "true" },
	{ "max-segments", "int", NBD, LIMIT("1023"), RO, "1" },
	{ "max-segment-len", "int", NETWORK, LIMIT("0"), RO, "1" },
	{ "max-transfer", "int", NBD | ISCSI, LIMIT("33554432"), RO, "1" },
	{ "optimal-buf-alignment", "int", NETWORK, LIMIT("1"), RO, "1" },
	{ "supports-fua-natively", "bool", NETWORK, { "false", "true", "true" }, RO, "true" },
	{ "max-write-zeroes-len", "uint64", NBD, LIMIT("@"), RO, "1" },
	{ "discard-alignment", "int", NBD, LIMIT("1"), RO, "1" },
	{ "discard-alignment-offset", "int", NETWORK, LIMIT("0"), RO, "1" },
	{ "max-discard-len", "uint64", NBD, LIMIT("@"), RO, "1" },
	{ "fd", "int", NBD, SAME("-1"), EARLY, "7" },
	{ "uri", "str", NBD, SAME(""), EARLY, "nbd://host/" },
	{ "host", "str", NBD, SAME(""), EARLY, "host" },
	{ "port", "int", NBD, SAME("10809"), EARLY, "10810" },
	{ "export", "str", NBD, SAME(""), EARLY, "disk" },
	{ "tls", "str", NBD, SAME(""), EARLY, "off" },
	{ "tls-certificates", "str", NBD, SAME(""), EARLY, "/etc/pki" },
	{ "tls-psk-file", "str", NBD, SAME(""), EARLY, "/etc/keys.psk" },
	{ "tls-username", "str", NBD, SAME(""), EARLY, "user" },
	{ "tls-hostname", "str", NBD, SAME(""), EARLY, "host" },
	{ "tls-verify-peer", "bool", NBD, SAME("true"), EARLY, "false" },
	{ "tls-kernel", "bool", NBD, SAME("true"), EARLY, "false" },
	{ "tls-by", "str", NBD, LIMIT(""), RO, "kernel" },
	{ "structured-replies", "bool", NBD, SAME("true"), EARLY, "false" },
	{ "queue-size", "int", NETWORK, SAME("128"), LATE, "64" },
	{ "request-alignment", "int", ISCSI, LIMIT("512"), RO, "1" },
	{ "max-segments", "int", ISCSI, LIMIT("1024"), RO, "1" },
	{ "max-write-zeroes-len", "uint64", ISCSI, LIMIT("2199023255040"), RO, "1" },
	{ "discard-alignment", "int", ISCSI, LIMIT("512"), RO, "1" },
	{ "max-discard-len", "uint64", ISCSI, LIMIT("2199023255040"), RO, "1" },
	{ "uri", "str", ISCSI, SAME("@"), EARLY, "iscsi://host/iqn.2024-01.test:disk/1" },
	{ "initiator-name", "str", ISCSI, SAME("@"), EARLY, "iqn.2024-01.test:me" },
	{ "user", "str", ISCSI, SAME(""), EARLY, "user" },
	{ "password", "str", ISCSI, SAME(""), EARLY, "secret" },
	{ "target-user", "str", ISCSI, SAME(""), EARLY, "user" },
	{ "target-password", "str", ISCSI, SAME(""), EARLY, "secret" },
	{ "header-digest", "str", ISCSI, SAME(""), EARLY, "crc32c" },
	{ "reconnect-timeout", "int", ISCSI, SAME("10000"), EARLY, "1000" },
	{ "max-queues", "int", NVME_TCP, LIMIT("8"), RO, "1" },
	{ "optimal-io-alignment", "int", NVME_TCP, LIMIT("512"), RO, "1" },
	{ "request-alignment", "int", NVME_TCP, LIMIT("512"), RO, "1" },
	{ "max-segments", "int", NVME_TCP, LIMIT("1022"), RO, "1" },
	{ "max-transfer", "int", NVME_TCP, LIMIT("4194304"), RO, "1" },
	{ "max-write-zeroes-len", "uint64", NVME_TCP, LIMIT("33554432"), RO, "1" },
	{ "discard-alignment", "int", NVME_TCP, LIMIT("512"), RO, "1" },
	{ "max-discard-len", "uint64", NVME_TCP, LIMIT("2199023255040"), RO, "1" },
	{ "uri", "str", NVME_TCP, SAME("@"), EARLY, "nvme+tcp://host/nqn.2024-01.test:disk" },
	{ "traddr", "str", NVME_TCP, SAME(""), EARLY, "host" },
	{ "trsvcid", "int", NVME_TCP, SAME("4420"), EARLY, "8009" },
	{ "subnqn", "str", NVME_TCP, SAME(""), EARLY, "nqn.2024-01.test:disk" },
	{ "nsid", "int", NVME_TCP, { "0", "1", "1" }, EARLY, "2" },
	{ "hostnqn", "str", NVME_TCP, SAME(""), EARLY, "nqn.2024-01.test:host" },
	{ "hostid", "str", NVME_TCP, SAME(""), EARLY, "12345678-1234-1234-1234-123456789abc" },
	{ "digests", "str", NVME_TCP, SAME("@"), EARLY, "header" },
	{ "keep-alive-timeout", "int", NVME_TCP, SAME("10000"), EARLY, "1000" },
	{ "model", "str", NVME_TCP, LIMIT("test target"), RO, "x" },
	{ "serial", "str", NVME_TCP, LIMIT("1"), RO, "x" },
	{ "firmware", "str", NVME_TCP, LIMIT("1"), RO, "x" },
	{ "atomic-write-unit-min", "uint64", NVME_TCP, LIMIT("512"), RO, "1" },
	{ "atomic-write-unit-max", "uint64", NVME_TCP, LIMIT("512"), RO, "1" },
	{ "formats", "str", NVME_TCP, LIMIT("512 (in use)"), RO, "x" },
	{ "protection-information", "int", NVME_TCP, LIMIT("0"), RO, "1" },
	{ "zoned", "int", NVME_TCP, SAME("0"), RO, "2" },
	{ "max-open-zones", "int", NVME_TCP, SAME("0"), RO, "1" },
	{ "max-active-zones", "int", NVME_TCP, SAME("0"), RO, "1" },
	{ "zone-size", "uint64", NVME_TCP, SAME("0"), RO, "1" },
	{ "nr-zones", "uint64", NVME_TCP, SAME("0"), RO, "1" },
	{ "append-support", "bool", NVME_TCP, SAME("false"), RO, "true" },
	{ "zone-append-max-bytes", "uint64", NVME_TCP, SAME("0"), RO, "1" },
	{ "can-add-queues", "bool", VHOST, SAME("false"), RO, "true" },
	{ "max-queues", "int", VHOST, LIMIT("5"), RO, "1" },
	{ "supports-poll-queues", "bool", VHOST, SAME("true"), RO, "true" },
	{ "max-mem-regions", "uint64", VHOST, LIMIT("@"), RO, "1" },
	{ "may-pin-mem-regions", "bool", VHOST, SAME("true"), RO, "true" },
	{ "mem-region-alignment", "uint64", VHOST, SAME("1"), RO, "1" },
	{ "needs-mem-regions", "bool", VHOST, SAME("true"), RO, "true" },
	{ "needs-mem-region-fd", "bool", VHOST, SAME("true"), RO, "true" },
	{ "optimal-io-alignment", "int", VHOST, SAME("512"), RO, "1" },
	{ "optimal-io-size", "int", VHOST, { "0", "512", "512" }, RO, "1" },
	{ "request-alignment", "int", VHOST, SAME("512"), RO, "1" },
	{ "flush-needed", "bool", VHOST, { "true", "false", "false" }, RO, "true" },
	{ "buf-alignment", "int", VHOST, SAME("1"), RO, "1" },
	{ "can-grow", "bool", VHOST, SAME("false"), RO, "true" },
	{ "max-segments", "int", VHOST, { "1", "126", "126" }, RO, "1" },
	{ "max-segment-len", "int", VHOST, SAME("0"), RO, "1" },
	{ "atomic-write-unit-min", "uint64", VHOST, SAME("0"), RO, "1" },
	{ "atomic-write-unit-max", "uint64", VHOST, SAME("0"), RO, "1" },
	{ "atomic-write-boundary", "uint64", VHOST, SAME("0"), RO, "1" },
	{ "atomic-write-boundary-offset", "uint64", VHOST, SAME("0"), RO, "1" },
	{ "max-transfer", "int", VHOST, SAME("0"), RO, "1" },
	{ "optimal-buf-alignment", "int", VHOST, SAME("1"), RO, "1" },
	{ "supports-fua-natively", "bool", VHOST, SAME("false"), RO, "true" },
	{ "max-write-zeroes-len", "uint64", VHOST, { "0", "16777216", "16777216" }, RO, "1" },
	{ "discard-alignment", "int", VHOST, SAME("512"), RO, "1" },
	{ "discard-alignment-offset", "int", VHOST, SAME("0"), RO, "1" },
	{ "max-discard-len", "uint64", VHOST, { "0", "16777216", "16777216" }, RO, "1" },
	{ "fd", "int", VHOST, SAME("-1"), EARLY, "7" },
	{ "connect-timeout", "int", VHOST | NETWORK, SAME("10000"), EARLY, "1000" },
	{ "reconnect-timeout", "int", VHOST | NBD | NVME_TCP, SAME("0"), EARLY, "1000" },
	{ "tcp-timeout", "int", NETWORK, SAME("30000"), EARLY, "1000" },
	{ "queue-size", "int", VHOST, SAME("256"), LATE, "64" },
	{ "max-queue-size", "int", VHOST, SAME("32768"), RO, "64" },
	{ "poll-max-ns", "int", VHOST, SAME("0"), LATE, "50000" },
	{ "num-vrings", "int", VHOST, SAME("0"), LATE, "2" },
	{ "vring-features", "uint64", VHOST, LIMIT("@"), LATE, "4294967296" },
};

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

static const char *expected(struct device *d, struct blkio *b, const struct row *row,
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

static void check_gets(struct device *d, struct blkio *b, const struct row *row, enum state state)
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

static void reads_back(struct blkio *b, const struct row *row, const char *want)
{
	char *text;

	CHECK_OK(blkio_get_str(b, row->name, &text));
	CHECK_STR(text, want);
	free(text);
}

static void check_sets(struct blkio *b, const struct row *row, enum state state)
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
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			struct blkio *b;

			if (!(rows[i].drivers & driver_of(d)))
				continue;
			b = in_state(d, state);
			check_gets(d, b, &rows[i], state);
			check_sets(b, &rows[i], state);
			if (rows[i].set[state] != W)
				check_gets(d, b, &rows[i], state); /* unchanged */
			blkio_destroy(&b);
		}
	}
}

static bool has(enum driver_bit driver, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!strcmp(rows[i].name, name) && rows[i].drivers & driver)
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
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			if (!has(driver_of(d), rows[i].name))
				CHECK_ERR(blkio_get_str(b, rows[i].name, &text), ENOENT);
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
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		n -= !!(rows[i].drivers & driver_of(d));
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
