/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Which drivers there are, and which properties they have: the registry and the property tables as
 * programs see them. Needs no instance and no device.
 */
#include "core.h"

const char *blkio_get_driver_name(int index)
{
	const struct bk_driver *drv = index < 0 ? NULL : bk_driver_at(index);

	return drv ? drv->name : NULL;
}

const char *blkio_get_file_driver(void)
{
	const struct bk_driver *drv;

	for (size_t i = 0; (drv = bk_driver_at(i)); i++) {
		if (drv->opens_files && (!drv->is_permitted || drv->is_permitted()))
			return drv->name;
	}
	return NULL; /* never: one needs no permission */
}

static bool is_hidden(const struct bk_driver *drv, const struct bk_prop *common)
{
	for (const struct bk_prop *p = drv->props; p && p->name; p++) {
		if (!strcmp(p->name, common->name))
			return true;
	}
	return false;
}

/* The driver's own first, then the common ones that it does not hide. */
static const struct bk_prop *prop_at(const struct bk_driver *drv, int index)
{
	const struct bk_prop *p;

	for (p = drv->props; p && p->name; p++) {
		if (index-- == 0)
			return p;
	}
	for (p = bk_common_props; p->name; p++) {
		if (!is_hidden(drv, p) && index-- == 0)
			return p;
	}
	return NULL;
}

static uint32_t readable_states(const struct bk_driver *drv, const struct bk_prop *p)
{
	const uint32_t all = BLKIO_STATE_CREATED | BLKIO_STATE_CONNECTED | BLKIO_STATE_STARTED;

	return all & ~((1U << bk_prop_readable_from(drv, p)) - 1);
}

static uint32_t writable_states(const struct bk_prop *p)
{
	static const uint32_t states[] = {
		[BK_SET_NEVER] = 0,
		[BK_SET_CREATED] = BLKIO_STATE_CREATED,
		[BK_SET_CONNECTED] = BLKIO_STATE_CONNECTED,
	};

	return states[p->writable];
}

_Static_assert(BLKIO_STATE_CREATED == 1 << BK_CREATED &&
		   BLKIO_STATE_CONNECTED == 1 << BK_CONNECTED &&
		   BLKIO_STATE_STARTED == 1 << BK_STARTED && BLKIO_TYPE_BOOL == (int)BK_BOOL &&
		   BLKIO_TYPE_INT == (int)BK_INT && BLKIO_TYPE_UINT64 == (int)BK_UINT64 &&
		   BLKIO_TYPE_STR == (int)BK_STR,
	       "public and internal names of the same things");

int blkio_get_property_info(const char *driver, int index, struct blkio_property_info *info,
			    size_t size)
{
	struct blkio_property_info found;
	const struct bk_driver *drv;
	const struct bk_prop *p;

	if (!info)
		return bk_err(EINVAL, "info must not be NULL");
	memset(info, 0, size);
	if (!driver)
		return bk_err(EINVAL, "driver name must not be NULL");
	if (index < 0)
		return bk_err(EINVAL, "index must not be negative, got %d", index);
	drv = bk_find_driver(driver);
	if (!drv)
		return bk_err(ENODEV, "unknown driver \"%s\"", bk_is_utf8(driver) ? driver : "?");
	p = prop_at(drv, index);
	if (!p)
		return bk_err(ENOENT, "driver %s has no property with index %d", driver, index);

	found = (struct blkio_property_info){
		.name = p->name,
		.doc = p->doc,
		.type = p->type,
		.readable = readable_states(drv, p),
		.writable = writable_states(p),
	};
	memcpy(info, &found, min_u64(size, sizeof(found)));
	return 0;
}
