/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See nvme_fabrics.h. */
#include "nvme/nvme_fabrics.h"

#include <ctype.h>
#include <endian.h>
#include <stdio.h>

#define FABRICS	   0x7f /* the opcode of all fabrics commands; the type is in the NSID's place */
#define READY_UNIT (500 * NSEC_PER_MSEC) /* of CAP.TO */

enum { PROPERTY_SET = 0, CONNECT = 1, PROPERTY_GET = 4 };

/* ---- Properties --------------------------------------------------------------------------- */

static int get_property(const struct nvme_fabrics *f, unsigned offset, bool is_long,
			uint64_t *value)
{
	const struct nvme_cmd c = {
		.opcode = FABRICS,
		.nsid = PROPERTY_GET,
		.cdw10 = is_long,
		.cdw11 = offset,
	};
	int ret = f->command(f, &c, NULL, 0, value);

	if (!is_long)
		*value = (uint32_t)*value;
	return nvme_status_err(ret, "cannot read a property of the controller");
}

static int set_property(const struct nvme_fabrics *f, unsigned offset, uint32_t value)
{
	const struct nvme_cmd c = {
		.opcode = FABRICS,
		.nsid = PROPERTY_SET,
		.cdw11 = offset,
		.cdw12 = value,
	};
	uint64_t result;

	return nvme_status_err(f->command(f, &c, NULL, 0, &result),
			       "cannot set a property of the controller");
}

/* ---- Connect ------------------------------------------------------------------------------ */

#define IN_DATA(field) (1U << 16 | offsetof(struct nvmf_connect_data, field))

/* Connect Invalid Parameters: the result says which one. */
static int invalid_parameter(const struct nvme_fabrics_names *names,
			     const struct nvme_fabrics_queue *q, uint32_t where)
{
	switch (where & 0x1ffff) {
	case IN_DATA(subsysnqn):
		return bk_err(ENOENT, "the target has no subsystem \"%s\" (property \"subnqn\")",
			      names->subnqn);
	case IN_DATA(hostnqn):
		return bk_err(EACCES, "the target refuses host \"%s\" (property \"hostnqn\")",
			      names->hostnqn);
	case IN_DATA(hostid):
		return bk_err(EACCES, "the target refuses property \"hostid\"");
	case IN_DATA(cntlid):
		return bk_err(ENODEV, "the target has no controller %u any more", q->cntlid);
	}
	return bk_err(EINVAL,
		      "the target refuses queue %u with %u entries: an invalid parameter of "
		      "Connect at %s byte %u",
		      q->qid, q->entries, where >> 16 & 1 ? "data" : "command", where & 0xffff);
}

static int connect_error(const struct nvme_fabrics_names *names, const struct nvme_fabrics_queue *q,
			 int status, uint64_t result)
{
	if (status <= 0)
		return status;
	switch (status & (NVME_SCT_MASK << NVME_SCT_SHIFT | NVME_SC_MASK)) {
	case NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT | NVME_SC_CONNECT_INVALID_PARAM:
		return invalid_parameter(names, q, (uint32_t)result);
	case NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT | NVME_SC_CONNECT_INVALID_HOST:
		return bk_err(EACCES,
			      "subsystem \"%s\" does not allow host \"%s\" (property \"hostnqn\")",
			      names->subnqn, names->hostnqn);
	case NVME_SC_SGL_INVALID_OFFSET:
		return bk_err(EMSGSIZE,
			      "the target has no room for data in the capsule of Connect");
	case NVME_SC_CMD_SEQ_ERROR:
		return bk_err(EBUSY, "queue %u of the controller is still in use", q->qid);
	case NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT | NVME_SC_CONNECT_CTRL_BUSY:
		return bk_err(EBUSY, "the target has no free controller for subsystem \"%s\"",
			      names->subnqn);
	}
	return nvme_status_err(status, "the target refuses to connect");
}

static void copy_nqn(char *to, const char *nqn)
{
	memcpy(to, nqn, min_u64(strlen(nqn), NVME_NQN_LENGTH - 1));
}

int nvme_fabrics_connect(const struct nvme_fabrics *f, const struct nvme_fabrics_names *names,
			 const struct nvme_fabrics_queue *q, uint16_t *cntlid)
{
	const uint32_t no_flow_control = 1 << 18; /* of the submission queue */
	const uint32_t needs_authentication = 3 << 17;
	const struct nvme_cmd c = {
		.opcode = FABRICS,
		.nsid = CONNECT,
		.cdw10 = (uint32_t)q->qid << 16, /* record format 0 */
		.cdw11 = (q->entries - 1) | (q->qid ? no_flow_control : 0),
		.cdw12 = q->keep_alive_ms,
	};
	struct nvmf_connect_data data = { .cntlid = htole16(q->cntlid) };
	uint64_t result = 0;
	int ret;

	memcpy(data.hostid, names->hostid, sizeof(data.hostid));
	copy_nqn(data.subsysnqn, names->subnqn);
	copy_nqn(data.hostnqn, names->hostnqn);
	ret = f->command(f, &c, &data, sizeof(data), &result);
	if (ret)
		return connect_error(names, q, ret, result);
	if (result & needs_authentication)
		return bk_err(ENOTSUP,
			      "subsystem \"%s\" requires authentication (DH-HMAC-CHAP), which is "
			      "not supported",
			      names->subnqn);
	*cntlid = (uint16_t)result;
	return 0;
}

/* ---- Names -------------------------------------------------------------------------------- */

int nvme_fabrics_check_nqn(const char *property, const char *nqn)
{
	if (strlen(nqn) > NVMF_NQN_SIZE || strncmp(nqn, "nqn.", 4) != 0)
		return bk_err(EINVAL,
			      "property \"%s\" must be an NQN, \"nqn.YYYY-MM.DOMAIN:NAME\" of %d "
			      "bytes at most, got \"%s\"",
			      property, NVMF_NQN_SIZE, nqn);
	return 0;
}

bool nvme_fabrics_parse_uuid(const char *text, uint8_t *uuid)
{
	unsigned n = 0;

	if (strlen(text) != NVME_FABRICS_UUID_LEN)
		return false;
	for (unsigned i = 0; i < NVME_FABRICS_UUID_LEN; i++) {
		bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (is_dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
			return false;
		if (is_dash)
			continue;
		if (!isxdigit((unsigned char)text[i + 1]))
			return false;
		sscanf(text + i++, "%2hhx", &uuid[n++]);
	}
	return true;
}

void nvme_fabrics_print_uuid(const uint8_t *uuid, char *text)
{
	for (unsigned i = 0; i < 16; i++) {
		text += sprintf(text, "%02x", uuid[i]);
		if (i == 3 || i == 5 || i == 7 || i == 9)
			*text++ = '-';
	}
	*text = '\0';
}

/* ---- The controller ----------------------------------------------------------------------- */

static int await_ready(const struct nvme_fabrics *f, const struct bk_deadline *deadline,
		       uint64_t cap)
{
	int64_t limit = deadline_in((NVME_CAP_TO(cap) + 1) * READY_UNIT);
	struct bk_pauses pauses = { *deadline, NSEC_PER_MSEC, 100 * NSEC_PER_MSEC };
	uint64_t status;
	int ret;

	pauses.deadline.at = min_u64(pauses.deadline.at, limit);
	for (;;) {
		ret = get_property(f, NVME_REG_CSTS, false, &status);
		if (ret < 0)
			return ret;
		if (NVME_CSTS_CFS(status))
			return bk_err(EIO, "enable: the controller reported a fatal error");
		if (NVME_CSTS_RDY(status))
			return 0;
		ret = bk_pause(&pauses);
		if (ret < 0)
			return bk_wait_err(deadline, ret, "enable", "controller");
	}
}

int nvme_fabrics_enable(const struct nvme_fabrics *f, const struct bk_deadline *deadline,
			struct nvme_fabrics_ctrl *ctrl)
{
	uint32_t cc;
	int ret = get_property(f, NVME_REG_CAP, true, &ctrl->cap);

	if (ret < 0)
		return ret;
	if (!NVME_CAP_MQES(ctrl->cap))
		return bk_err(EPROTO, "the controller reports impossible capabilities: %#llx (CAP)",
			      (unsigned long long)ctrl->cap);
	ctrl->queue_entries = NVME_CAP_MQES(ctrl->cap) + 1;
	cc = NVME_CC_ENTRY_SIZES | 1U << NVME_CC_EN_SHIFT;
	if (NVME_CAP_CSS(ctrl->cap) & NVME_CAP_CSS_CSI)
		cc |= NVME_CC_CSS_CSI << NVME_CC_CSS_SHIFT;
	ret = set_property(f, NVME_REG_CC, cc);
	return ret < 0 ? ret : await_ready(f, deadline, ctrl->cap);
}

/* Set Features (Base, 5.27) */
static int set_feature(const struct nvme_fabrics *f, unsigned id, uint32_t value, uint64_t *result)
{
	const struct nvme_cmd c = {
		.opcode = nvme_admin_set_features,
		.cdw10 = id,
		.cdw11 = value,
	};

	return f->command(f, &c, NULL, 0, result);
}

int nvme_fabrics_check(const struct nvme_fabrics *f)
{
	uint64_t status;
	int ret = get_property(f, NVME_REG_CSTS, false, &status);

	if (!ret && (NVME_CSTS_CFS(status) || !NVME_CSTS_RDY(status)))
		ret = bk_err(EIO, "the controller is not ready, or reported a fatal error");
	return ret;
}

int nvme_fabrics_enable_events(const struct nvme_fabrics *f, uint32_t events)
{
	uint64_t result;

	return nvme_status_err(set_feature(f, NVME_FEAT_FID_ASYNC_EVENT, events, &result),
			       "cannot ask for events");
}

int nvme_fabrics_shut_down(const struct nvme_fabrics *f)
{
	return set_property(f, NVME_REG_CC,
			    NVME_CC_ENTRY_SIZES | 1U << NVME_CC_EN_SHIFT |
				NVME_CC_SHN_NORMAL << NVME_CC_SHN_SHIFT);
}

int nvme_fabrics_identify(const struct nvme_admin *a, struct nvme_fabrics_ctrl *ctrl)
{
	const struct nvme_cmd c = {
		.opcode = nvme_admin_identify,
		.cdw10 = NVME_IDENTIFY_CNS_CTRL,
	};
	struct nvme_id_ctrl id = { 0 };
	uint64_t capsule;
	int ret =
	    nvme_status_err(a->read(a, &c, &id, sizeof(id)), "cannot identify the controller");

	if (ret < 0)
		return ret;
	ctrl->events = le32toh(id.oaes) & (NVME_CTRL_OAES_NA | NVME_CTRL_OAES_ANA);
	ctrl->is_discovery = id.cntrltype == NVME_CTRL_CNTRLTYPE_DISCOVERY;
	capsule = le32toh(id.ioccsz) * 16ULL;
	ctrl->capsule_data = capsule > sizeof(c) ? min_u64(capsule - sizeof(c), INT_MAX) : 0;
	if (le16toh(id.icdoff))
		return bk_err(ENOTSUP,
			      "the controller wants data at an offset in capsules (ICDOFF %u), "
			      "which is not supported",
			      le16toh(id.icdoff));
	return 0;
}

int nvme_fabrics_count_queues(const struct nvme_fabrics *f, unsigned max, unsigned *n)
{
	uint64_t given = 0;
	int ret = set_feature(f, NVME_FEAT_FID_NUM_QUEUES, (max - 1) | (max - 1) << 16, &given);

	*n = nvme_given_queues((uint32_t)given, max);
	return nvme_status_err(ret, "cannot set the number of queues");
}

/* ---- Discovery ---------------------------------------------------------------------------- */

#define LOG_UNIT 1024 /* bytes: the header of the log, and each record */

static int read_log(const struct nvme_admin *a, uint64_t at, void *data)
{
	const struct nvme_cmd c = {
		.opcode = nvme_admin_get_log_page,
		.cdw10 = NVME_LOG_LID_DISCOVER | (LOG_UNIT / 4 - 1) << 16,
		.cdw12 = (uint32_t)at,
		.cdw13 = at >> 32,
	};

	return nvme_status_err(a->read(a, &c, data, LOG_UNIT), "cannot read the discovery log");
}

/* A field of fixed size, padded with spaces or zeroes. */
static int text_len(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	while (len && text[len - 1] == ' ')
		len--;
	return (int)len;
}

static int add_record(struct bk_exports *x, const struct nvmf_disc_log_entry *e)
{
	bool is_referral = e->subtype == NVME_NQN_DISC || e->subtype == NVME_NQN_CURR;
	char text[sizeof(e->traddr) + sizeof(e->trsvcid) + 64];

	if (e->trtype != NVMF_TRTYPE_TCP)
		return 0;
	snprintf(text, sizeof(text), "%s at %.*s port %.*s",
		 is_referral ? "discovery service" : "subsystem",
		 text_len(e->traddr, sizeof(e->traddr)), e->traddr,
		 text_len(e->trsvcid, sizeof(e->trsvcid)), e->trsvcid);
	return bk_export_add(x, e->subnqn, text_len(e->subnqn, sizeof(e->subnqn)), text,
			     strlen(text));
}

int nvme_fabrics_discover(const struct nvme_admin *a, struct bk_exports *x)
{
	union {
		uint8_t raw[LOG_UNIT];
		struct nvmf_discovery_log header;
		struct nvmf_disc_log_entry record;
	} log;
	uint64_t n;
	int ret = read_log(a, 0, &log);

	if (ret < 0)
		return ret;
	if (le16toh(log.header.recfmt))
		return bk_err(EPROTO, "the discovery log has an unknown format, %u",
			      le16toh(log.header.recfmt));
	n = le64toh(log.header.numrec);
	for (uint64_t i = 1; !ret && i <= n; i++) {
		ret = read_log(a, i * LOG_UNIT, &log);
		if (!ret)
			ret = add_record(x, &log.record);
	}
	return ret;
}
