/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * From the identify data of a controller and namespace to limits. Shared by the carriers, which
 * lend their way of sending an admin command. What the device says is checked, not trusted.
 */
#ifndef BK_NVME_IDENT_H
#define BK_NVME_IDENT_H

#include "nvme/nvme_cmd.h"

/* Send an admin command that reads len bytes, and wait: 0, an NVMe status, or bk_err(). */
struct nvme_admin {
	int (*read)(const struct nvme_admin *a, const struct nvme_cmd *c, void *data, uint32_t len);
};

/*
 * Fill in *ns and all of *l that the device decides. name: of the namespace, for messages. A
 * carrier with a limit of its own calls nvme_limit_transfer() next.
 */
int nvme_identify(const struct nvme_admin *a, uint32_t nsid, const char *name, struct nvme_ns *ns,
		  struct bk_limits *l);

/* Transfer at most this many bytes per command. */
void nvme_limit_transfer(struct nvme_ns *ns, struct bk_limits *l, uint64_t bytes);

/*
 * The size of the namespace now, in bytes, which *ns then has, too. -ENODEV: it is not there any
 * more, or has another format than *ns says.
 */
int nvme_capacity(const struct nvme_admin *a, struct nvme_ns *ns, uint64_t *bytes);

/* The size of a namespace in bytes, and its format in words. */
int nvme_describe(const struct nvme_admin *a, uint32_t nsid, char *text, size_t len,
		  uint64_t *bytes);

/*
 * The active namespaces whose ids follow after, up to max of them, in ascending order; how many,
 * or bk_err().
 */
int nvme_list_namespaces(const struct nvme_admin *a, uint32_t after, uint32_t *ids, int max);

/* ---- Rows of a driver's table ------------------------------------------------------------- */

/* clang-format off */
#define NVME_MAX_TRANSFER_PROP									\
	{ "max-transfer",									\
	  "The largest read or write in bytes; 0, unlimited: what one command cannot transfer "	\
	  "takes several, one after the other.",						\
	  BK_INT, BK_GET_LIMIT, BK_SET_NEVER, .get = nvme_get_max_transfer }
/* clang-format on */
int nvme_get_max_transfer(struct blkio *b, union bk_val *val);

/* get_model and so on: BK_STR getters of the driver's. */
/* clang-format off */
#define NVME_PRODUCT_PROPS(get_model, get_serial, get_firmware, get_formats)			\
	{ "model", "The model number of the controller.", BK_STR, BK_GET_CONNECTED,		\
	  BK_SET_NEVER, .get = get_model },							\
	{ "serial", "The serial number of the controller.", BK_STR, BK_GET_CONNECTED,		\
	  BK_SET_NEVER, .get = get_serial },							\
	{ "firmware", "The firmware revision of the controller.", BK_STR, BK_GET_CONNECTED,	\
	  BK_SET_NEVER, .get = get_firmware },							\
	{ "formats",										\
	  "The formats that the namespace can have: bytes of data, and of metadata, per block.",	\
	  BK_STR, BK_GET_CONNECTED, BK_SET_NEVER, .get = get_formats }
/* clang-format on */

/* ns: a struct nvme_ns in the device's struct; get: a BK_INT getter of its pi. */
/* clang-format off */
#define NVME_PROTECTION_PROP(getter)								\
	{ "protection-information",								\
	  "The type of protection information that the controller inserts into blocks written "	\
	  "and checks in blocks read, 1 to 3; 0 if none. A mismatch fails the read with EILSEQ.", \
	  BK_INT, BK_GET_CONNECTED, BK_SET_NEVER, .get = getter }
/* clang-format on */

/* zones: a struct nvme_zones in the device's struct. */
/* clang-format off */
#define NVME_ZONE_PROPS(type, zones)								\
	{ "zoned",										\
	  "Whether the namespace is zoned: 0 for no, 2 for host-managed. Like all properties "	\
	  "about zones, 0 or false before blkio_connect().",						\
	  BK_INT, BK_GET_ALWAYS, BK_SET_NEVER, offsetof(type, zones.zoned) },			\
	{ "max-open-zones",									\
	  "The largest number of zones that can be open at a time; 0 if unlimited.", BK_INT,	\
	  BK_GET_ALWAYS, BK_SET_NEVER, offsetof(type, zones.max_open) },			\
	{ "max-active-zones",									\
	  "The largest number of zones that can be open or closed at a time; 0 if unlimited.",	\
	  BK_INT, BK_GET_ALWAYS, BK_SET_NEVER, offsetof(type, zones.max_active) },		\
	{ "zone-size", "The distance between the starts of adjacent zones in bytes.",		\
	  BK_UINT64, BK_GET_ALWAYS, BK_SET_NEVER, offsetof(type, zones.size) },				\
	{ "nr-zones", "The number of zones.", BK_UINT64, BK_GET_ALWAYS, BK_SET_NEVER,	\
	  offsetof(type, zones.nr) },								\
	{ "append-support", "Whether the device supports the zone append command.", BK_BOOL,	\
	  BK_GET_ALWAYS, BK_SET_NEVER, offsetof(type, zones.append) },				\
	{ "zone-append-max-bytes", "The largest zone append in bytes.", BK_UINT64,		\
	  BK_GET_ALWAYS, BK_SET_NEVER, offsetof(struct blkio, lim.max_append) }
/* clang-format on */

#endif
