/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The logical unit: what it is, asked once for each session. A session that takes the place of
 * another must find the same unit.
 */
#include "iscsi/iscsi_dev.h"

#define NOT_WHAT_IT_WAS "the logical unit is not what it was at blkio_connect(): "
#define PAGE_ID		0x83
#define CAPACITY_LEN	32
#define CACHING_LEN	252

/* 0 with *len bytes of s->data: none, if the target does not have it; or bk_err(). */
static int ask(struct iscsi_session *s, const struct iscsi_cdb *cdb, size_t *len,
	       const struct bk_deadline *deadline)
{
	struct iscsi_verdict verdict;
	int ret = iscsi_session_command(s, cdb, len, deadline, &verdict);

	if (!ret && verdict.then == ISCSI_FAIL)
		*len = 0;
	return ret;
}

/* For what there must be. */
static int demand(struct iscsi_session *s, const struct iscsi_cdb *cdb, size_t *len,
		  const struct bk_deadline *deadline, const char *what)
{
	struct iscsi_verdict verdict;
	int ret = iscsi_session_command(s, cdb, len, deadline, &verdict);

	if (!ret && verdict.then == ISCSI_FAIL)
		return bk_err(verdict.error, "the logical unit does not report its %s: %s", what,
			      verdict.text);
	return ret;
}

static int read_kind(struct iscsi_session *s, const struct bk_deadline *deadline)
{
	const struct iscsi_cdb cdb = iscsi_cdb_inquiry(ISCSI_PAGE_NONE, ISCSI_ID_MAX);
	size_t len = ISCSI_ID_MAX;
	int ret = demand(s, &cdb, &len, deadline, "type");

	return ret < 0 ? ret : iscsi_parse_inquiry(s->data, len);
}

static int read_capacity(struct iscsi_session *s, const struct bk_deadline *deadline,
			 struct iscsi_unit *u)
{
	const struct iscsi_cdb cdb = iscsi_cdb_capacity(CAPACITY_LEN);
	size_t len = CAPACITY_LEN;
	int ret = demand(s, &cdb, &len, deadline, "capacity");

	return ret < 0 ? ret : iscsi_parse_capacity(s->data, len, u);
}

static int read_caching(struct iscsi_session *s, const struct bk_deadline *deadline,
			struct iscsi_unit *u)
{
	const struct iscsi_cdb cdb = iscsi_cdb_caching(CACHING_LEN);
	size_t len = CACHING_LEN;
	int ret = ask(s, &cdb, &len, deadline);

	/* Nothing is known of a cache: there may be one. */
	u->has_cache = true;
	if (!ret)
		iscsi_parse_caching(s->data, len, u);
	return ret;
}

static void take_id(const uint8_t *data, size_t len, struct iscsi_lun *lun)
{
	if (len < 4 || data[1] != PAGE_ID)
		return;
	lun->id_len = min_u64(min_u64(data[2] << 8 | data[3], len - 4), ISCSI_ID_MAX);
	memcpy(lun->id, data + 4, lun->id_len);
}

static int read_page(struct iscsi_session *s, uint8_t page, const struct bk_deadline *deadline,
		     struct iscsi_lun *lun)
{
	const struct iscsi_cdb cdb = iscsi_cdb_inquiry(page, ISCSI_DATA_MAX);
	size_t len = ISCSI_DATA_MAX;
	int ret = ask(s, &cdb, &len, deadline);

	if (ret < 0)
		return ret;
	if (page == ISCSI_PAGE_LIMITS)
		iscsi_parse_limits(s->data, len, &lun->unit);
	else if (page == ISCSI_PAGE_THIN)
		iscsi_parse_thin(s->data, len, &lun->unit);
	else
		take_id(s->data, len, lun);
	return 0;
}

/* Some targets stop at a page that they do not have: ask for those that they say they have. */
static int read_pages(struct iscsi_session *s, const struct bk_deadline *deadline,
		      struct iscsi_lun *lun)
{
	static const uint8_t pages[] = { PAGE_ID, ISCSI_PAGE_LIMITS, ISCSI_PAGE_THIN };
	const struct iscsi_cdb cdb = iscsi_cdb_inquiry(ISCSI_PAGE_PAGES, ISCSI_ID_MAX);
	bool has[ARRAY_SIZE(pages)];
	size_t len = ISCSI_ID_MAX;
	int ret = ask(s, &cdb, &len, deadline);

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		has[i] = iscsi_has_page(s->data, len, pages[i]);
	for (size_t i = 0; i < ARRAY_SIZE(pages) && !ret; i++) {
		if (has[i])
			ret = read_page(s, pages[i], deadline, lun);
	}
	return ret;
}

static int read_lun(struct iscsi_session *s, const struct bk_deadline *deadline,
		    struct iscsi_lun *lun)
{
	int ret = read_kind(s, deadline);

	*lun = (struct iscsi_lun){ 0 };
	if (!ret)
		ret = read_capacity(s, deadline, &lun->unit);
	if (!ret)
		ret = read_pages(s, deadline, lun);
	if (!ret)
		ret = read_caching(s, deadline, &lun->unit);
	return ret;
}

/* 0 is without limit. */
static bool is_less(uint64_t limit, uint64_t was)
{
	return limit && (!was || limit < was);
}

/* Static text: what is no longer as it was; NULL: nothing. Its size may differ. */
static const char *changes(const struct iscsi_lun *lun_was, const struct iscsi_lun *lun)
{
	const struct iscsi_unit *was = &lun_was->unit, *u = &lun->unit;

	if (lun->id_len != lun_was->id_len || memcmp(lun->id, lun_was->id, lun->id_len))
		return NOT_WHAT_IT_WAS "it is another one";
	if (u->block_size != was->block_size)
		return NOT_WHAT_IT_WAS "it has another block size";
	if (u->read_only && !was->read_only)
		return NOT_WHAT_IT_WAS "it is read-only";
	if (u->has_cache > was->has_cache || u->takes_fua < was->takes_fua ||
	    u->unmap < was->unmap || u->write_same_unmap < was->write_same_unmap ||
	    u->reads_zeroes < was->reads_zeroes || u->thin != was->thin)
		return NOT_WHAT_IT_WAS "it supports other operations";
	if (is_less(u->max_transfer, was->max_transfer) || is_less(u->max_unmap, was->max_unmap) ||
	    is_less(u->max_write_same, was->max_write_same))
		return NOT_WHAT_IT_WAS "it has lower limits";
	return NULL;
}

/* ---- Sessions ----------------------------------------------------------------------------- */

int iscsi_open_unit(const struct iscsi_wish *w, const struct iscsi_isid *isid,
		    const struct bk_deadline *deadline, struct iscsi_session **session,
		    struct iscsi_lun *lun)
{
	int ret = iscsi_session_open(w, isid, deadline, session);

	if (ret < 0)
		return ret;
	ret = read_lun(*session, deadline, lun);
	if (ret < 0) {
		struct bk_err_msg message = bk_err_save();

		iscsi_session_close(*session);
		*session = NULL;
		bk_err_restore(&message);
	}
	return ret;
}

int iscsi_another_session(struct iscsi_dev *d, const struct iscsi_isid *isid,
			  const struct bk_deadline *deadline, struct iscsi_session **session,
			  const char **changed)
{
	struct iscsi_lun lun;
	int ret = iscsi_open_unit(&d->wish, isid, deadline, session, &lun);

	*changed = NULL;
	if (ret < 0)
		return ret;
	*changed = changes(&d->lun, &lun);
	if (*changed) {
		iscsi_session_close(*session);
		*session = NULL;
		return bk_err(ENODEV, "%s", *changed);
	}
	__atomic_store_n(&d->size, lun.unit.blocks * lun.unit.block_size, __ATOMIC_RELAXED);
	return 0;
}
