/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Fuzzer: names and values of properties, of every driver, as strings and by type. What is set is
 * what is read; what is no number is refused, by the standard library's judgement.
 */
#include <errno.h>
#include <limits.h>

#include "blkio.h"
#include "fuzz.h"
#include "input.h"

static const char *const drivers[] = {
	"nbd",
	"null",
	"io_uring",
	"nvme-io_uring",
	"virtio-blk-vhost-user",
	"virtio-blk-vhost-vdpa",
	"virtio-blk-vfio-pci",
};

static const char *const names[] = {
	"num-queues",
	"read-only",
	"capacity",
	"path",
	"fd",
	"queue-size",
	"max-queues",
	"driver",
	"direct",
	"num-entries",
	"max-segments",
	"can-add-queues",
	"buf-alignment",
	"max-mem-regions",
	"",
	"no-such-property",
};

/* Up to 255 bytes, as a string of their very length. */
static char *some_string(struct fuzz_input *in)
{
	size_t len = fuzz_u8(in), left = in->end - in->at;
	char *s;

	len = len < left ? len : left;
	s = calloc(1, len + 1);
	MUST(s);
	fuzz_bytes(in, s, len);
	return s;
}

/* An optional sign and digits, within the limits. */
static bool is_number(const char *s, bool is_signed)
{
	const char *digits = s + (*s == '+' || (is_signed && *s == '-'));

	if (!*digits)
		return false;
	for (const char *d = digits; *d; d++)
		if (*d < '0' || *d > '9')
			return false;
	errno = 0;
	if (is_signed) {
		long long value = strtoll(s, NULL, 10);

		return !errno && value >= INT_MIN && value <= INT_MAX;
	}
	strtoull(s, NULL, 10);
	return !errno;
}

static bool is_expected(int ret)
{
	return ret == 0 || ret == -EINVAL || ret == -EACCES || ret == -ENODEV || ret == -EBUSY;
}

static void check_number(struct blkio *b, const char *name, const char *value, int ret,
			 bool is_signed)
{
	char *now;

	MUST(is_expected(ret));
	if (!is_number(value, is_signed)) {
		MUST(ret == -EINVAL);
		return;
	}
	if (ret)
		return;
	MUST(!blkio_get_str(b, name, &now));
	MUST(strtoull(now, NULL, 10) == strtoull(value, NULL, 10));
	free(now);
}

/* The type of a property is that whose accessor does not say -ENOTTY. */
static void check_set(struct blkio *b, const char *name, const char *value)
{
	int ret = blkio_set_str(b, name, value), number;
	uint64_t large;
	bool flag;
	char *now;

	MUST(ret == 0 || blkio_get_error_msg()[0]);
	if (blkio_get_int(b, name, &number) == -ENOENT) {
		MUST(ret == -ENOENT && blkio_set_bool(b, name, true) == -ENOENT);
		return;
	}
	if (blkio_get_int(b, name, &number) != -ENOTTY) {
		check_number(b, name, value, ret, true);
	} else if (blkio_get_uint64(b, name, &large) != -ENOTTY) {
		check_number(b, name, value, ret, false);
	} else if (blkio_get_bool(b, name, &flag) != -ENOTTY) {
		MUST(!strcmp(value, "true") || !strcmp(value, "false") ? is_expected(ret)
								       : ret == -EINVAL);
		if (!ret)
			MUST(!blkio_get_bool(b, name, &flag) && flag == (value[0] == 't'));
	} else if (!ret) {
		MUST(!blkio_get_str(b, name, &now) && !strcmp(now, value));
		free(now);
	}
}

static void check_typed(struct blkio *b, const char *name, struct fuzz_input *in)
{
	uint64_t value = fuzz_u64(in), large;
	int number;
	bool flag;

	if (!blkio_set_int(b, name, (int)value))
		MUST(!blkio_get_int(b, name, &number) && number == (int)value);
	if (!blkio_set_uint64(b, name, value))
		MUST(!blkio_get_uint64(b, name, &large) && large == value);
	if (!blkio_set_bool(b, name, value & 1))
		MUST(!blkio_get_bool(b, name, &flag) && flag == (value & 1));
	if (blkio_get_int(b, name, &number))
		MUST(number == 0);
	if (blkio_get_uint64(b, name, &large))
		MUST(large == 0);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, data + len };
	uint8_t kind = fuzz_u8(&in);
	struct blkio *b;

	MUST(!blkio_create(drivers[kind % (sizeof(drivers) / sizeof(drivers[0]))], &b));
	if (kind >= 0x80)
		blkio_connect(b); /* null is connected then, the others have no device */
	while (fuzz_has(&in)) {
		uint8_t which = fuzz_u8(&in);
		char *own = which >= 0x80 ? some_string(&in) : NULL;
		const char *name = own ? own : names[which % (sizeof(names) / sizeof(names[0]))];
		char *value = some_string(&in);

		check_set(b, name, value);
		if (which & 0x40)
			check_typed(b, name, &in);
		free(own);
		free(value);
	}
	blkio_destroy(&b);
}
