/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Properties, limits, and which connection a queue gets. */
#include <stdio.h>

#include "common/socket.h"
#include "nvme_tcp/nvme_tcp.h"

#define CONNECT_TIMEOUT_MS    10000
#define TCP_TIMEOUT_MS	      30000
#define KEEP_ALIVE_TIMEOUT_MS 10000
#define QUEUE_SIZE_DEFAULT    128
#define QUEUE_SIZE_MAX	      32768
#define SEGMENTS_MAX	      (NET_IOVS - 2) /* the others are for headers */

/* ---- Where to connect --------------------------------------------------------------------- */

static int check_properties(const struct nvme_tcp_dev *d)
{
	if (d->uri && (d->traddr || d->subnqn))
		return bk_err(EINVAL,
			      "properties \"uri\" and \"%s\" are both set; name it in the URI",
			      d->traddr ? "traddr" : "subnqn");
	if (!d->uri && !d->traddr)
		return bk_err(EINVAL, "set property \"uri\" or \"traddr\" before blkio_connect()");
	return 0;
}

/* is_listing: without a subsystem, it is the target's discovery service. */
static int find_target(const struct nvme_tcp_dev *d, bool is_listing, struct nvme_tcp_target *t)
{
	int ret = check_properties(d);

	*t = (struct nvme_tcp_target){
		.address = { .host = d->traddr, .port = d->trsvcid },
		.subnqn = d->subnqn,
		.nsid = d->nsid,
	};
	if (!ret && d->uri) {
		ret = nvme_tcp_parse_uri(d->uri, t);
		if (!ret && !t->nsid)
			t->nsid = d->nsid;
	}
	if (!ret && !t->subnqn && !is_listing)
		ret = bk_err(EINVAL, "set property \"subnqn\": the subsystem's NQN");
	if (!ret && !t->subnqn)
		t->subnqn = NVME_FABRICS_DISCOVERY_NQN;
	if (!ret)
		ret = nvme_fabrics_check_nqn("subnqn", t->subnqn);
	if (ret < 0)
		nvme_tcp_target_free(t);
	return ret;
}

static int parse_digests(const char *value, bool *header, bool *data)
{
	bool both = value && !strcmp(value, "both");

	*header = both || (value && !strcmp(value, "header"));
	*data = both || (value && !strcmp(value, "data"));
	if (!*header && !*data && value && *value && strcmp(value, "none") != 0)
		return bk_err(EINVAL,
			      "property \"digests\" must be \"none\", \"header\", \"data\" or "
			      "\"both\", got \"%s\"",
			      value);
	return 0;
}

/* What to ask for. t stays as long as the session does. */
static int make_session(const struct nvme_tcp_dev *d, const struct nvme_tcp_target *t,
			struct nvme_tcp_session *s)
{
	int ret;

	s->wish.address = &t->address;
	s->wish.tcp_timeout = d->tcp_timeout;
	s->names.subnqn = t->subnqn;
	s->admin.sock = -1;
	s->keep_alive_ms = d->keep_alive_timeout;
	ret = parse_digests(d->digests, &s->wish.header_digest, &s->wish.data_digest);
	return ret < 0 ? ret : nvme_tcp_name_host(d, s);
}

/* ---- Connect ------------------------------------------------------------------------------ */

static void set_limits(struct nvme_tcp_dev *d)
{
	struct bk_limits *l = &d->b.lim;

	/* nvmet pays no attention to it. */
	l->takes_fua_write_zeroes = false;
	l->max_segments = SEGMENTS_MAX;
	l->buf_alignment = 1;
	l->optimal_buf_alignment = 1;
	l->mem_region_alignment = 1;
	d->size = d->ns.nr_blocks << d->ns.block_shift;
}

static int find_namespace(struct nvme_tcp_dev *d, const struct nvme_tcp_caller *c, uint32_t *nsid)
{
	int n = 1;

	*nsid = d->target.nsid;
	if (!*nsid)
		n = nvme_list_namespaces(&c->a, 0, nsid, 1);
	if (n < 0)
		return n;
	return n ? 0
		 : bk_err(ENODEV, "subsystem \"%s\" has no active namespace for this host",
			  d->target.subnqn);
}

static int check_namespace(const struct nvme_tcp_dev *d)
{
	if (d->ns.metadata_size)
		return bk_err(
		    EINVAL,
		    "namespace %u is formatted with %u bytes of metadata per block, which "
		    "NVMe over Fabrics cannot transfer separately",
		    d->ns.nsid, d->ns.metadata_size);
	if (d->b.lim.read_only && !d->b.read_only && !d->b.auto_read_only)
		return bk_err(EROFS,
			      "namespace %u is write-protected; set property \"read-only\" or "
			      "\"auto-read-only\"",
			      d->ns.nsid);
	return 0;
}

static int find_limits(struct nvme_tcp_dev *d, const struct bk_deadline *deadline)
{
	const struct nvme_tcp_caller c = nvme_tcp_caller(&d->s.admin, deadline);
	unsigned queues = 0;
	uint32_t nsid;
	int ret = find_namespace(d, &c, &nsid);

	if (ret < 0)
		return ret;
	ret = nvme_tcp_identify(&c.a, nsid, &d->ns, &d->b.lim);
	if (!ret)
		ret = check_namespace(d);
	if (!ret)
		ret = nvme_fabrics_count_queues(&c.f, NVME_TCP_QUEUES_MAX, &queues);
	if (ret < 0)
		return ret;
	set_limits(d);
	d->b.lim.max_queues = (int)queues;
	return 0;
}

static int nvme_tcp_connect(struct blkio *b)
{
	struct nvme_tcp_dev *d = nvme_tcp_dev_of(b);
	const struct bk_deadline deadline = bk_deadline(b);
	int ret = find_target(d, false, &d->target);

	if (ret < 0)
		return ret;
	ret = make_session(d, &d->target, &d->s);
	if (!ret)
		ret = nvme_tcp_session_open(&d->s, &deadline);
	if (ret < 0)
		goto free_target;
	if (d->s.ctrl.is_discovery)
		ret = bk_err(EINVAL, "\"%s\" is a discovery service, which has no namespaces",
			     d->target.subnqn);
	if (!ret)
		ret = find_limits(d, &deadline);
	if (!ret)
		ret = nvme_tcp_await_event(d, &deadline);
	d->asked_at = now_ns();
	if (!ret)
		ret = nvme_tcp_watch_start(d);
	if (!ret)
		return 0;
	nvme_tcp_session_close(&d->s, &deadline);
free_target:
	nvme_tcp_target_free(&d->target);
	return ret;
}

static void nvme_tcp_close(struct blkio *b)
{
	struct nvme_tcp_dev *d = nvme_tcp_dev_of(b);
	const struct bk_deadline deadline = bk_deadline(b);

	watcher_stop(&d->watcher);
	if (b->state != BK_CREATED)
		nvme_tcp_session_close(&d->s, &deadline);
	nvme_tcp_target_free(&d->target);
	pthread_mutex_destroy(&d->lock);
	pthread_mutex_destroy(&d->queues_lock);
}

/* ---- What there is ------------------------------------------------------------------------ */

static int add_namespace(const struct nvme_admin *a, uint32_t nsid, struct bk_exports *x)
{
	char name[16], text[64];
	uint64_t bytes;
	int len = snprintf(name, sizeof(name), "%u", nsid);
	int ret = nvme_describe(a, nsid, text, sizeof(text), &bytes);

	if (!ret)
		ret = bk_export_add(x, name, len, text, strlen(text));
	if (!ret)
		x->e[x->n - 1].size = bytes;
	return ret;
}

static int list_namespaces(const struct nvme_admin *a, struct bk_exports *x)
{
	uint32_t nsid = 0;
	int n, ret = 0;

	while (!ret && (n = nvme_list_namespaces(a, nsid, &nsid, 1)))
		ret = n < 0 ? n : add_namespace(a, nsid, x);
	return ret;
}

static int list(struct nvme_tcp_session *s, const struct bk_deadline *deadline,
		struct bk_exports *x)
{
	const struct nvme_tcp_caller c = nvme_tcp_caller(&s->admin, deadline);
	bool has_log = !strcmp(s->names.subnqn, NVME_FABRICS_DISCOVERY_NQN);
	int ret = nvme_tcp_session_open(s, deadline);

	if (ret < 0)
		return ret;
	/* Older ones do not say it. */
	has_log |= s->ctrl.is_discovery;
	ret = has_log ? nvme_fabrics_discover(&c.a, x) : list_namespaces(&c.a, x);
	nvme_tcp_session_close(s, deadline);
	return ret;
}

/* In any state: with a controller of its own. */
static int nvme_tcp_list(struct blkio *b, struct bk_exports *x)
{
	const struct nvme_tcp_dev *d = nvme_tcp_dev_of(b);
	const struct bk_deadline deadline = bk_deadline(b);
	struct nvme_tcp_session s = { 0 };
	struct nvme_tcp_target t;
	int ret = find_target(d, true, &t);

	if (ret < 0)
		return ret;
	ret = make_session(d, &t, &s);
	s.keep_alive_ms = 0;
	if (!ret)
		ret = list(&s, &deadline, x);
	nvme_tcp_target_free(&t);
	return ret;
}

/* ---- Queues ------------------------------------------------------------------------------- */

/* The first that is free. The core lets there be no more than lim.max_queues. */
static unsigned take_qid(struct nvme_tcp_dev *d)
{
	unsigned qid = 1;

	while (d->used[qid])
		qid++;
	d->used[qid] = true;
	return qid;
}

static int nvme_tcp_queue_init(struct blkio *b, struct blkioq *bq)
{
	struct nvme_tcp_queue *q = nvme_tcp_queue_of(bq);
	struct nvme_tcp_dev *d = nvme_tcp_dev_of(b);
	const struct bk_deadline deadline = bk_deadline(b);
	struct nvme_tcp_channel ch;
	const char *changed;
	unsigned association;
	int ret;

	q->qid = take_qid(d);
	ret = nvme_tcp_open_queue(d, q->qid, d->comeback.timeout_ms, &deadline, &ch, &association,
				  &changed);
	if (changed)
		bk_set_gone(b, changed);
	if (!ret) {
		ret = nvme_tcp_queue_open(q, &ch, association);
		if (ret < 0)
			nvme_tcp_channel_close(&ch);
	}
	if (ret < 0)
		d->used[q->qid] = false;
	return ret;
}

static void nvme_tcp_queue_exit(struct blkio *b, struct blkioq *bq)
{
	struct nvme_tcp_queue *q = nvme_tcp_queue_of(bq);

	nvme_tcp_queue_close(q);
	nvme_tcp_dev_of(b)->used[q->qid] = false;
}

/* ---- Driver ------------------------------------------------------------------------------- */

static void nvme_tcp_init(struct blkio *b)
{
	struct nvme_tcp_dev *d = nvme_tcp_dev_of(b);

	b->connect_timeout = CONNECT_TIMEOUT_MS;
	d->tcp_timeout = TCP_TIMEOUT_MS;
	d->keep_alive_timeout = KEEP_ALIVE_TIMEOUT_MS;
	d->trsvcid = NVME_TCP_PORT;
	d->queue_size = QUEUE_SIZE_DEFAULT;
	d->s.admin.sock = -1;
	pthread_mutex_init(&d->lock, NULL);
	pthread_mutex_init(&d->queues_lock, NULL);
	b->lim.max_mem_regions = UINT64_MAX;
	b->lim.supports_poll_queues = true;
	b->lim.flush_needed = true;
}

static int check_digests(struct blkio *b, const struct bk_prop *p, const union bk_val *val)
{
	bool header, data;

	(void)b, (void)p;
	return parse_digests(val->s, &header, &data);
}

static int check_nqn(struct blkio *b, const struct bk_prop *p, const union bk_val *val)
{
	(void)b;
	return val->s && *val->s ? nvme_fabrics_check_nqn(p->name, val->s) : 0;
}

static int check_hostid(struct blkio *b, const struct bk_prop *p, const union bk_val *val)
{
	uint8_t uuid[16];

	(void)b;
	if (val->s && *val->s && !nvme_fabrics_parse_uuid(val->s, uuid))
		return bk_err(EINVAL,
			      "property \"%s\" must be a UUID such as "
			      "12345678-1234-1234-1234-123456789abc, got \"%s\"",
			      p->name, val->s);
	return 0;
}

static int get_nsid(struct blkio *b, union bk_val *val)
{
	const struct nvme_tcp_dev *d = nvme_tcp_dev_of(b);

	val->i = b->state == BK_CREATED ? d->nsid : (int)d->ns.nsid;
	return 0;
}

static int get_model(struct blkio *b, union bk_val *val)
{
	val->s = nvme_tcp_dev_of(b)->ns.product.model;
	return 0;
}

static int get_serial(struct blkio *b, union bk_val *val)
{
	val->s = nvme_tcp_dev_of(b)->ns.product.serial;
	return 0;
}

static int get_firmware(struct blkio *b, union bk_val *val)
{
	val->s = nvme_tcp_dev_of(b)->ns.product.firmware;
	return 0;
}

static int get_formats(struct blkio *b, union bk_val *val)
{
	val->s = nvme_tcp_dev_of(b)->ns.formats;
	return 0;
}

static int get_protection(struct blkio *b, union bk_val *val)
{
	val->i = nvme_tcp_dev_of(b)->ns.pi;
	return 0;
}

#define STRING(field) BK_STR, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nvme_tcp_dev, field)
#define NUMBER(field) BK_INT, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(struct nvme_tcp_dev, field)

static const struct bk_prop nvme_tcp_props[] = {
	{ "uri",
	  "The target, the subsystem and the namespace: nvme+tcp://HOST[:PORT]/SUBNQN[/NSID]. In "
	  "place of traddr, trsvcid and subnqn.",
	  STRING(uri) },
	{ "traddr", "The name or address of the host on which the target listens.",
	  STRING(traddr) },
	{ "trsvcid", "The TCP port of traddr; 4420 by default.", NUMBER(trsvcid), .min = 1,
	  .max = 65535 },
	{ "subnqn", "The NQN of the NVM subsystem.", STRING(subnqn), .check = check_nqn },
	{ "nsid",
	  "The ID of the namespace to use; 0 for the first active one, whose ID the property has "
	  "after blkio_connect().",
	  NUMBER(nsid), .max = INT_MAX, .get = get_nsid },
	{ "hostnqn",
	  "The NQN of this host, by which the target decides what it may see; by default that in "
	  "/etc/nvme/hostnqn, or else one with a random UUID.",
	  STRING(hostnqn), .check = check_nqn },
	{ "hostid",
	  "The UUID of this host; by default that in /etc/nvme/hostid or in hostnqn, or else a "
	  "random one.",
	  STRING(hostid), .check = check_hostid },
	{ "digests",
	  "Checksums (CRC32C) of what goes over the network: \"none\", the default; \"header\", of "
	  "headers; \"data\"; or \"both\". The target must agree.",
	  STRING(digests), .check = check_digests },
	{ "keep-alive-timeout",
	  "How long the target waits for a sign of life, in milliseconds, before it ends the "
	  "controller, and how long this host waits for the target's; 10000 by default; 0 if "
	  "neither does. A thread of the library gives the sign.",
	  NUMBER(keep_alive_timeout), .max = INT_MAX },
	BK_CONNECT_TIMEOUT,
	COMEBACK_TIMEOUT(struct nvme_tcp_dev, comeback),
	{ "tcp-timeout",
	  "How long the target's machine may acknowledge nothing over TCP, in milliseconds, before "
	  "the connection is lost; 30000 by default; 0 if as long as the system permits.",
	  NUMBER(tcp_timeout), .max = INT_MAX },
	{ "queue-size",
	  "The number of requests that a queue has in flight at most, up to 32768 if the "
	  "controller permits so many; more requests than that wait in the library; 128 by "
	  "default.",
	  BK_INT, BK_GET_ALWAYS, BK_SET_CONNECTED, offsetof(struct nvme_tcp_dev, queue_size),
	  .min = 1, .max = QUEUE_SIZE_MAX },
	NVME_PRODUCT_PROPS(get_model, get_serial, get_firmware, get_formats),
	NVME_PROTECTION_PROP(get_protection),
	NVME_ZONE_PROPS(struct nvme_tcp_dev, ns.zones),
	{ 0 },
};

const struct bk_driver bk_driver_nvme_tcp = {
	.name = "nvme-tcp",
	.device_size = sizeof(struct nvme_tcp_dev),
	.queue_size = sizeof(struct nvme_tcp_queue),
	.props = nvme_tcp_props,
	.limits_from = BK_CONNECTED,
	.topology_from = BK_CONNECTED,
	.can_add_queues = true,
	.init = nvme_tcp_init,
	.connect = nvme_tcp_connect,
	.close = nvme_tcp_close,
	.capacity = nvme_tcp_capacity,
	.list = nvme_tcp_list,
	.queue_init = nvme_tcp_queue_init,
	.drain = nvme_tcp_drain,
	.queue_exit = nvme_tcp_queue_exit,
	.submit = nvme_tcp_submit,
	.enter = nvme_tcp_enter,
	.notify = nvme_tcp_notify,
};
