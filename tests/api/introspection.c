/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the library says of its drivers and their properties is what the accessors then do. */
#include "test.h"

static const uint32_t state_bits[] = { BLKIO_STATE_CREATED, BLKIO_STATE_CONNECTED,
				       BLKIO_STATE_STARTED };

static void drivers(struct device *d)
{
	bool has_null = false;
	int n = 0;

	(void)d;
	for (const char *name; (name = blkio_get_driver_name(n)); n++) {
		struct blkio *b;

		CHECK_OK(blkio_create(name, &b));
		blkio_destroy(&b);
		has_null |= !strcmp(name, "null");
		for (int i = 0; i < n; i++)
			CHECK(strcmp(blkio_get_driver_name(i), name));
	}
	CHECK(has_null && n >= 6);
	CHECK(!blkio_get_driver_name(-1));
	CHECK(!blkio_get_driver_name(n + 1));
	CHECK(!blkio_get_driver_name(INT32_MAX));
}

static void misuse(struct device *d)
{
	struct blkio_property_info info = { .name = "left" };

	(void)d;
	CHECK_ERR(blkio_get_property_info("null", 0, NULL, 0), EINVAL, "info");
	CHECK_ERR(blkio_get_property_info(NULL, 0, &info, sizeof(info)), EINVAL, "driver");
	CHECK(!info.name);
	CHECK_ERR(blkio_get_property_info("null", -1, &info, sizeof(info)), EINVAL, "-1");
	CHECK_ERR(blkio_get_property_info("nul", 0, &info, sizeof(info)), ENODEV, "\"nul\"");
	CHECK_ERR(blkio_get_property_info("\xff", 0, &info, sizeof(info)), ENODEV);
	CHECK_ERR(blkio_get_property_info("null", 1000, &info, sizeof(info)), ENOENT, "1000");
	CHECK(!info.name && !info.type && !info.readable && !info.writable);
}

/* Programs compiled with a header that has fewer or more members. */
static void other_sizes(struct device *d)
{
	struct {
		struct blkio_property_info info;
		char rest[32];
	} big;
	char none[32] = { 0 };
	struct blkio_property_info info;

	(void)d;
	memset(&big, 0xff, sizeof(big));
	CHECK_OK(blkio_get_property_info("null", 0, &big.info, sizeof(big)));
	CHECK_STR(big.info.name, "capacity");
	CHECK_EQ(big.info.type, BLKIO_TYPE_UINT64);
	CHECK_MEM(big.rest, none, sizeof(none));

	memset(&info, 0xff, sizeof(info));
	CHECK_OK(blkio_get_property_info("null", 0, &info, sizeof(info.name)));
	CHECK_STR(info.name, "capacity");
	CHECK_EQ(info.type, UINT32_MAX); /* not the library's to write */
	CHECK_OK(blkio_get_property_info("null", 0, &info, 0));
}

/* ---- In agreement with the accessors ------------------------------------------------------ */

static int get_typed(struct blkio *b, const char *name, uint32_t type)
{
	uint64_t u;
	char *s;
	bool v;
	int i, ret;

	switch (type) {
	case BLKIO_TYPE_BOOL:
		return blkio_get_bool(b, name, &v);
	case BLKIO_TYPE_INT:
		return blkio_get_int(b, name, &i);
	case BLKIO_TYPE_UINT64:
		return blkio_get_uint64(b, name, &u);
	}
	CHECK_EQ(type, BLKIO_TYPE_STR);
	ret = blkio_get_str(b, name, &s);
	free(s);
	return ret;
}

static void check_access(struct blkio *b, const struct blkio_property_info *info, uint32_t state)
{
	static const char *const samples[] = { "true", "1", "1", "x" };
	int got = get_typed(b, info->name, info->type);
	char *value = NULL;
	int set;

	printf("%s in state %u\n", info->name, state);
	CHECK_EQ(got, info->readable & state ? 0 : -ENODEV);
	if (!got)
		CHECK_OK(blkio_get_str(b, info->name, &value));
	set = blkio_set_str(b, info->name, value ?: samples[info->type]);
	free(value);
	if (info->writable & state)
		CHECK(set == 0 || set == -EINVAL);
	else if (!info->writable)
		CHECK_EQ(set, -EACCES);
	else
		CHECK_EQ(set, info->writable < state ? -EBUSY : -ENODEV);
}

static void check_driver(struct blkio *b, const char *driver, uint32_t state)
{
	struct blkio_property_info info;
	int n = 0;

	for (; !blkio_get_property_info(driver, n, &info, sizeof(info)); n++) {
		size_t len = strlen(info.doc);

		CHECK(len > 10 && info.doc[len - 1] == '.');
		CHECK(info.readable & BLKIO_STATE_STARTED);
		CHECK_EQ(info.reserved_, 0);
		check_access(b, &info, state);
		for (int i = 0; i < n; i++) {
			struct blkio_property_info other;

			CHECK_OK(blkio_get_property_info(driver, i, &other, sizeof(other)));
			CHECK(strcmp(other.name, info.name));
		}
	}
	CHECK(n > 25);
}

/* "128 by default" and "true by default": so it is. */
static void check_default(struct blkio *b, const struct blkio_property_info *info)
{
	const char *end = strstr(info->doc, " by default"), *from = end;
	char *value;

	while (from && from > info->doc && from[-1] != ' ')
		from--;
	if (!from || (strspn(from, "0123456789") != (size_t)(end - from) &&
		      strncmp(from, "true by", 7) && strncmp(from, "false by", 8)))
		return;
	printf("%s: %s\n", info->name, info->doc);
	CHECK_OK(blkio_get_str(b, info->name, &value));
	CHECK(strlen(value) == (size_t)(end - from) && !strncmp(value, from, end - from));
	free(value);
}

static void defaults(struct device *d)
{
	struct blkio_property_info info;
	const char *name;
	int checked = 0;

	(void)d;
	for (int i = 0; (name = blkio_get_driver_name(i)); i++) {
		struct blkio *b;

		CHECK_OK(blkio_create(name, &b));
		for (int n = 0; !blkio_get_property_info(name, n, &info, sizeof(info)); n++) {
			check_default(b, &info);
			checked += !!strstr(info.doc, " by default");
		}
		blkio_destroy(&b);
	}
	CHECK(checked > 20);
}

static void every_driver_created(struct device *d)
{
	const char *name;

	(void)d;
	for (int i = 0; (name = blkio_get_driver_name(i)); i++) {
		struct blkio *b;

		CHECK_OK(blkio_create(name, &b));
		check_driver(b, name, BLKIO_STATE_CREATED);
		blkio_destroy(&b);
	}
}

static void every_state(struct device *d)
{
	struct blkio *(*const make[])(struct device *) = { device_create, device_connect,
							   device_start };

	for (size_t i = 0; i < ARRAY_LEN(make); i++) {
		struct blkio *b = make[i](d);

		check_driver(b, d->driver, state_bits[i]);
		blkio_destroy(&b);
	}
}

/* Only some have servers that could, and NVMe controllers: tests/integration, tests/vm/nvme/pci.c
 */
static void exports(struct device *d)
{
	struct blkio_export *list = (void *)8;
	struct blkio *b = device_create(d);

	CHECK_ERR(blkio_list_exports(NULL, &list), EINVAL, "NULL");
	CHECK(!list);
	CHECK_ERR(blkio_list_exports(b, NULL), EINVAL, "exports");
	if (d->target->traits & (T_NBD | T_NVME_TCP)) {
		CHECK_EQ(blkio_list_exports(b, &list), 1);
		CHECK(list->size == DEVICE_SIZE);
		free(list);
		CHECK_OK(blkio_connect(b));
		CHECK_EQ(blkio_list_exports(b, &list), 1);
		free(list);
	} else if (strcmp(d->driver, "nvme-vfio-pci")) {
		CHECK_ERR(blkio_list_exports(b, &list), ENOTSUP, d->driver);
		CHECK(!list);
	}
	blkio_destroy(&b);
}

static const struct test tests[] = {
	{ "drivers", drivers, 0 },
	{ "misuse", misuse, 0 },
	{ "structures of another size", other_sizes, 0 },
	{ "defaults are what the text says", defaults, 0 },
	{ "every driver, created", every_driver_created, 0 },
	{ "every state", every_state, T_ANY },
	{ "list of exports", exports, T_ANY },
};
TEST_MAIN(tests)
