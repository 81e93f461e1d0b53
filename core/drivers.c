/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The registry: the list that the build makes from drivers/meson.build. */
#include "core.h"

#define DRIVER(name) extern const struct bk_driver bk_driver_##name;
#include "driver_list.h"
#undef DRIVER

static const struct bk_driver *const drivers[] = {
#define DRIVER(name) &bk_driver_##name,
#include "driver_list.h"
#undef DRIVER
};

const struct bk_driver *bk_find_driver(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
		if (!strcmp(drivers[i]->name, name))
			return drivers[i];
	}
	return NULL;
}

const struct bk_driver *bk_driver_at(size_t index)
{
	return index < ARRAY_SIZE(drivers) ? drivers[index] : NULL;
}
