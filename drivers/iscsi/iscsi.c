/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Properties, limits, and which session a queue gets: the first one that of blkio_connect(), each
 * other one its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "iscsi/iscsi_dev.h"

#define CONNECT_TIMEOUT_MS   10000
#define RECONNECT_TIMEOUT_MS 10000
#define TCP_TIMEOUT_MS	     30000
#define QUEUES_MAX	     1024
#define QUEUE_SIZE_DEFAULT   128
#define TRANSFER_MAX	     (32U << 20)
#define BLOCKS_MAX	     UINT32_MAX /* of one command */
#define NAME_MAX_LEN	     223
#define NAME_PREFIX	     "iqn.2021-01.io.gitlab.libblkio:"

/* ---- What to log in to -------------------------------------------------------------------- */

static int take(const char *what, const char *property, const char *from_uri, const char **value)
{
	if (property && *property && from_uri)
		return bk_err(EINVAL,
			      "property \"%s\" and the URI both say it; say it in one place", what);
	*value = from_uri ? from_uri : property && *property ? property : NULL;
	return 0;
}

static int check_chap(const struct iscsi_chap *c, const char *user, const char *password)
{
	if (!c->user && !c->password)
		return 0;
	if (c->user && c->password && *c->user && *c->password)
		return 0;
	return bk_err(EINVAL,
		      "CHAP needs both a name and a password: set properties \"%s\" and "
		      "\"%s\", or say both in the URI",
		      user, password);
}

static int take_chap(const struct iscsi_dev *d, struct iscsi_target *t)
{
	int ret = take("user", d->user, t->chap.user, &t->chap.user);

	if (!ret)
		ret = take("password", d->password, t->chap.password, &t->chap.password);
	if (!ret)
		ret =
		    take("target-user", d->target_user, t->target_chap.user, &t->target_chap.user);
	if (!ret)
		ret = take("target-password", d->target_password, t->target_chap.password,
			   &t->target_chap.password);
	if (!ret)
		ret = check_chap(&t->chap, "user", "password");
	if (!ret)
		ret = check_chap(&t->target_chap, "target-user", "target-password");
	if (!ret && t->target_chap.user && !t->chap.user)
		ret = bk_err(EINVAL, "a target authenticates itself only to who does so, too: set "
				     "properties \"user\" and \"password\"");
	return ret;
}

static int parse_digest(const char *property, const char *value, enum iscsi_header_digest *digest)
{
	*digest = ISCSI_HEADER_DIGEST_NONE_CRC32C;
	if (!value || !*value)
		return 0;
	if (!strcmp(value, "crc32c"))
		*digest = ISCSI_HEADER_DIGEST_CRC32C;
	else if (!strcmp(value, "none"))
		*digest = ISCSI_HEADER_DIGEST_NONE;
	else
		return bk_err(EINVAL, "%s must be \"crc32c\" or \"none\", got \"%s\"", property,
			      value);
	return 0;
}

static const char *initiator_name(const struct iscsi_dev *d)
{
	return d->initiator_name ?: (d->has_own_name ? "" : d->default_name);
}

/* From the first value on, the empty one included, the default no longer counts. */
static int check_initiator_name(struct blkio *b, const struct bk_prop *p, const union bk_val *val)
{
	(void)p, (void)val;
	iscsi_dev_of(b)->has_own_name = true;
	return 0;
}

static int get_initiator_name(struct blkio *b, union bk_val *val)
{
	val->s = initiator_name(iscsi_dev_of(b));
	return 0;
}

static int take_name(const struct iscsi_dev *d, const char **name)
{
	const char *wanted = initiator_name(d);

	if (!*wanted || strlen(wanted) > NAME_MAX_LEN)
		return bk_err(EINVAL,
			      "property \"initiator-name\" must be an iSCSI name of 1 to %d bytes, "
			      "got \"%s\"",
			      NAME_MAX_LEN, wanted);
	*name = wanted;
	return 0;
}

/* The strings of the wish are those of properties, which do not change after that. */
static int make_wish(struct iscsi_dev *d, struct iscsi_wish *w)
{
	const char *digest = NULL;
	int ret;

	if (!d->uri)
		return bk_err(EINVAL, "set property \"uri\" before blkio_connect()");
	ret = iscsi_parse_uri(d->uri, &w->target);
	if (ret < 0)
		return ret;
	ret = take_chap(d, &w->target);
	if (!ret)
		ret = take("header-digest", d->header_digest, w->target.header_digest, &digest);
	if (!ret)
		ret = parse_digest("the header digest", digest, &w->digest);
	if (!ret)
		ret = take_name(d, &w->initiator);
	w->tcp_timeout = d->tcp_timeout;
	if (ret < 0)
		iscsi_target_free(&w->target);
	return ret;
}

/* ---- Limits ------------------------------------------------------------------------------- */

static void set_ops(struct bk_limits *l, const struct iscsi_unit *u)
{
	l->ops = BK_OPS_RW | BK_OP_BIT(BK_FLUSH) | BK_OP_BIT(BK_WRITE_ZEROES);
	if (u->unmap)
		l->ops |= BK_OP_BIT(BK_DISCARD);
	if (u->thin)
		l->ops |= BK_OP_BIT(BK_BLOCK_STATUS);
	l->flush_needed = u->has_cache;
	l->supports_fua_natively = u->takes_fua;
	/* Without a cache, all writes are durable. */
	l->takes_fua_write = u->takes_fua || !u->has_cache;
	l->takes_fua_write_zeroes = !u->has_cache;
	l->read_only = u->read_only;
}

/* In bytes; 0 blocks are no limit but that of the command. */
static uint64_t limit_of(const struct iscsi_unit *u, uint64_t blocks)
{
	return (blocks ? min_u64(blocks, BLOCKS_MAX) : BLOCKS_MAX) * u->block_size;
}

/* An int property in bytes, of a number of blocks; 0 if it is not one. */
static int size_of(const struct iscsi_unit *u, uint64_t blocks)
{
	return blocks <= INT_MAX / u->block_size ? (int)(blocks * u->block_size) : 0;
}

static void set_discard_alignment(struct bk_limits *l, const struct iscsi_unit *u)
{
	int granularity = size_of(u, u->unmap_granularity);

	l->discard_alignment = granularity ? granularity : (int)u->block_size;
	l->discard_alignment_offset =
	    (uint64_t)u->unmap_alignment * u->block_size % l->discard_alignment;
}

void iscsi_set_limits(struct bk_limits *l, const struct iscsi_unit *u)
{
	set_ops(l, u);
	set_discard_alignment(l, u);
	l->request_alignment = u->block_size;
	l->optimal_io_alignment = u->physical_block;
	l->optimal_io_size = size_of(u, u->optimal_transfer);
	l->buf_alignment = 1;
	l->optimal_buf_alignment = 1;
	l->max_segments = ISCSI_SEGMENTS_MAX;
	l->max_transfer = min_u64(limit_of(u, u->max_transfer), TRANSFER_MAX);
	l->max_write_zeroes_len = limit_of(u, u->max_write_same);
	l->max_discard_len = limit_of(u, u->max_unmap);
	l->mem_region_alignment = 1;
	l->max_queues = QUEUES_MAX;
}

static void set_limits(struct iscsi_dev *d)
{
	const struct iscsi_unit *u = &d->lun.unit;
	struct bk_limits *l = &d->b.lim;

	iscsi_set_limits(l, u);
	/* Another session may find another size, and the target checks. */
	l->end = d->comeback.timeout_ms ? INT64_MAX & ~((uint64_t)u->block_size - 1) : d->size;
}

/* ---- Hooks -------------------------------------------------------------------------------- */

static void iscsi_init(struct blkio *b)
{
	struct iscsi_dev *d = iscsi_dev_of(b);

	b->connect_timeout = CONNECT_TIMEOUT_MS;
	strcpy(d->default_name, NAME_PREFIX);
	gethostname(d->default_name + strlen(NAME_PREFIX),
		    sizeof(d->default_name) - sizeof(NAME_PREFIX));
	d->comeback.timeout_ms = RECONNECT_TIMEOUT_MS;
	d->tcp_timeout = TCP_TIMEOUT_MS;
	d->queue_size = QUEUE_SIZE_DEFAULT;
	b->lim.max_mem_regions = UINT64_MAX;
	b->lim.supports_poll_queues = true;
	b->lim.flush_needed = true;
}

static int check_writable(const struct iscsi_dev *d, const struct iscsi_lun *lun)
{
	if (lun->unit.read_only && !d->b.read_only && !d->b.auto_read_only)
		return bk_err(EROFS, "the logical unit is read-only; set property \"read-only\" or "
				     "\"auto-read-only\"");
	return 0;
}

static int connect_first(struct iscsi_dev *d, const struct iscsi_wish *w)
{
	const struct bk_deadline deadline = bk_deadline(&d->b);
	struct iscsi_isid isid;
	int ret = iscsi_isid_choose(&isid);

	if (!ret)
		ret = iscsi_open_unit(w, &isid, &deadline, &d->first, &d->lun);
	if (ret < 0)
		return ret;
	ret = check_writable(d, &d->lun);
	if (!ret) {
		d->zero_block = calloc(1, d->lun.unit.block_size);
		if (!d->zero_block)
			ret = bk_err(ENOMEM, "out of memory");
	}
	if (ret < 0)
		iscsi_session_close(d->first);
	return ret;
}

static int iscsi_connect(struct blkio *b)
{
	struct iscsi_dev *d = iscsi_dev_of(b);
	struct iscsi_wish wish = { 0 };
	int ret = make_wish(d, &wish);

	if (ret < 0)
		return ret;
	ret = iscsi_library_load();
	if (!ret)
		ret = connect_first(d, &wish);
	if (ret < 0) {
		iscsi_target_free(&wish.target);
		return ret;
	}
	d->wish = wish;
	d->size = d->lun.unit.blocks * d->lun.unit.block_size;
	set_limits(d);
	return 0;
}

static void iscsi_close(struct blkio *b)
{
	struct iscsi_dev *d = iscsi_dev_of(b);

	if (d->first)
		iscsi_session_say_goodbye(d->first);
	iscsi_session_close(d->first);
	iscsi_target_free(&d->wish.target);
	free(d->zero_block);
}

static int iscsi_capacity(struct blkio *b, uint64_t *bytes)
{
	*bytes = __atomic_load_n(&iscsi_dev_of(b)->size, __ATOMIC_RELAXED);
	return 0;
}

static void describe_queue(struct iscsi_queue *q, const struct iscsi_dev *d,
			   const struct iscsi_isid *isid)
{
	const struct iscsi_unit *u = &d->lun.unit;

	q->block_bits = (uint8_t)__builtin_ctz(u->block_size);
	q->reads_zeroes = u->reads_zeroes;
	q->write_same_unmap = u->write_same_unmap && u->reads_zeroes;
	q->has_cache = u->has_cache;
	q->zero_block = d->zero_block;
	q->link.isid = *isid;
}

static int iscsi_queue_init(struct blkio *b, struct blkioq *bq)
{
	struct iscsi_dev *d = iscsi_dev_of(b);
	const struct bk_deadline deadline = bk_deadline(b);
	struct iscsi_session *s = d->first;
	struct iscsi_isid isid;
	const char *changed = NULL;
	int ret = 0;

	if (s)
		isid = s->isid;
	else
		ret = iscsi_isid_choose(&isid);
	if (!ret && !s)
		ret = iscsi_another_session(d, &isid, &deadline, &s, &changed);
	if (changed)
		bk_set_gone(b, changed);
	if (ret < 0)
		return ret;
	if (!d->comeback.timeout_ms)
		bk_queue_set_end(bq, d->size);
	describe_queue(iscsi_queue_of(bq), d, &isid);
	ret = iscsi_queue_open(iscsi_queue_of(bq), s, d->queue_size);
	if (!ret)
		d->first = NULL;
	else if (!d->first)
		iscsi_session_close(s);
	return ret;
}

static void iscsi_queue_exit(struct blkio *b, struct blkioq *bq)
{
	(void)b;
	iscsi_queue_close(iscsi_queue_of(bq));
}

/* ---- Driver ------------------------------------------------------------------------------- */

static int check_digest(struct blkio *b, const struct bk_prop *p, const union bk_val *val)
{
	enum iscsi_header_digest digest;

	(void)b;
	return parse_digest(p->name, val->s, &digest);
}

#define STRING(field) BK_STR, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct iscsi_dev, field)

static const struct bk_prop iscsi_props[] = {
	{ "uri",
	  "The target and the logical unit: iscsi://[USER[%PASSWORD]@]HOST[:PORT]/TARGET/LUN, with "
	  "?header_digest=, target_user= and target_password= as parameters.",
	  STRING(uri) },
	{ "initiator-name",
	  "The iSCSI name by which this initiator logs in; "
	  "\"" NAME_PREFIX "HOSTNAME\" by default.",
	  STRING(initiator_name), .get = get_initiator_name, .check = check_initiator_name },
	{ "user", "The name for CHAP, with which this initiator authenticates itself.",
	  STRING(user) },
	{ "password", "The password of user.", STRING(password) },
	{ "target-user", "The name for CHAP, with which the target must authenticate itself, too.",
	  STRING(target_user) },
	{ "target-password", "The password of target-user.", STRING(target_password) },
	{ "header-digest",
	  "Checksums of protocol headers: \"crc32c\" requires them, \"none\" forbids them; if "
	  "empty, the target decides.",
	  STRING(header_digest), .check = check_digest },
	BK_CONNECT_TIMEOUT,
	COMEBACK_TIMEOUT(struct iscsi_dev, comeback),
	{ "tcp-timeout",
	  "How long the target's machine may acknowledge nothing over TCP, in milliseconds, before "
	  "the connection is lost; 30000 by default; 0 if as long as the system permits.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct iscsi_dev, tcp_timeout),
	  .max = INT_MAX },
	{ "queue-size",
	  "The number of requests that a queue has in flight at most, up to 32768; more requests "
	  "than that wait in the library; 128 by default.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CONNECTED, offsetof(struct iscsi_dev, queue_size), .min = 1,
	  .max = ISCSI_SLOTS_MAX },
	{ 0 },
};

const struct bk_driver bk_driver_iscsi = {
	.name = "iscsi",
	.device_size = sizeof(struct iscsi_dev),
	.queue_size = sizeof(struct iscsi_queue),
	.props = iscsi_props,
	.limits_from = BK_CONNECTED,
	.topology_from = BK_CONNECTED,
	.can_add_queues = true,
	.init = iscsi_init,
	.connect = iscsi_connect,
	.close = iscsi_close,
	.capacity = iscsi_capacity,
	.queue_init = iscsi_queue_init,
	.drain = iscsi_drain,
	.queue_exit = iscsi_queue_exit,
	.submit = iscsi_submit,
	.enter = iscsi_enter,
	.notify = iscsi_notify,
};
