/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See nvme_same.h. */
#include "nvme/nvme_same.h"

#define NOT_WHAT_IT_WAS "the NVMe namespace is not what it was: create a new instance: "

/* An ID that was known must be known and the same. Zeroes: not known. */
static bool is_another_id(const uint8_t *was, const uint8_t *now, size_t len)
{
	bool was_known = false;

	for (size_t i = 0; i < len; i++)
		was_known |= was[i] != 0;
	return was_known && memcmp(was, now, len) != 0;
}

static bool is_another(const struct nvme_ids *was, const struct nvme_ids *now)
{
	return is_another_id(was->uuid, now->uuid, sizeof(was->uuid)) ||
	       is_another_id(was->nguid, now->nguid, sizeof(was->nguid)) ||
	       is_another_id(was->eui64, now->eui64, sizeof(was->eui64));
}

static bool has_other_blocks(const struct nvme_ns *was, const struct nvme_ns *now)
{
	return now->block_shift != was->block_shift || now->metadata_size != was->metadata_size ||
	       now->pi != was->pi;
}

static bool has_other_zones(const struct nvme_zones *was, const struct nvme_zones *now)
{
	return now->zoned != was->zoned || now->size != was->size;
}

static bool has_other_operations(const struct nvme_view *was, const struct nvme_view *now)
{
	return (was->l->ops & ~now->l->ops) || (was->ns->deac && !now->ns->deac) ||
	       (now->l->flush_needed && !was->l->flush_needed);
}

static bool has_lower_limits(const struct bk_limits *was, const struct bk_limits *now)
{
	return now->max_transfer < was->max_transfer || now->max_append < was->max_append ||
	       now->max_write_zeroes_len < was->max_write_zeroes_len ||
	       now->max_discard_len < was->max_discard_len;
}

const char *nvme_changes(const struct nvme_view *was, const struct nvme_view *now)
{
	if (is_another(&was->ns->ids, &now->ns->ids))
		return NOT_WHAT_IT_WAS "its UUID, NGUID or EUI-64 is another one";
	if (has_other_blocks(was->ns, now->ns))
		return NOT_WHAT_IT_WAS "it has another block size";
	if (has_other_zones(&was->ns->zones, &now->ns->zones))
		return NOT_WHAT_IT_WAS "it has other zones";
	if (now->nr_blocks < was->nr_blocks)
		return NOT_WHAT_IT_WAS "it is smaller";
	if (now->l->read_only && !was->l->read_only)
		return NOT_WHAT_IT_WAS "it is write-protected";
	if (has_other_operations(was, now))
		return NOT_WHAT_IT_WAS "it supports other operations";
	if (has_lower_limits(was->l, now->l))
		return NOT_WHAT_IT_WAS "it has lower limits";
	return NULL;
}
