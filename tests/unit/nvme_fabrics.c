/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fabrics commands, to a controller in the test. */
#include <endian.h>

#include "../lib/test.h"
#include "nvme/nvme_fabrics.h"

/* The controller: what it was sent last, and what it answers. */
static struct {
	struct nvme_cmd cmd;
	struct nvmf_connect_data data;
	uint32_t len;
	int status;
	uint64_t result;
	uint64_t cap;
	uint32_t cc, csts;
	unsigned ready_after; /* looks at CSTS */
	struct nvme_id_ctrl id;
	uint64_t records;
	struct nvmf_disc_log_entry record;
} ctrl;

static int fake_command(const struct nvme_fabrics *f, const struct nvme_cmd *c, const void *data,
			uint32_t len, uint64_t *result)
{
	(void)f;
	ctrl.cmd = *c;
	ctrl.len = len;
	*result = ctrl.result;
	if (len)
		memcpy(&ctrl.data, data, sizeof(ctrl.data));
	if (c->opcode != 0x7f || ctrl.status)
		return ctrl.status;
	if (c->nsid == 0) {
		CHECK_EQ(c->cdw11, 0x14);
		ctrl.cc = c->cdw12;
	} else if (c->nsid == 4 && c->cdw11 == 0) {
		CHECK_EQ(c->cdw10, 1); /* 8 bytes */
		*result = ctrl.cap;
	} else if (c->nsid == 4) {
		CHECK_EQ(c->cdw11, 0x1c);
		CHECK_EQ(c->cdw10, 0);
		if (ctrl.ready_after && !--ctrl.ready_after)
			ctrl.csts |= 1;
		*result =
		    ctrl.csts | 0xffffffff00000000ULL; /* of 4 bytes, the rest may be anything */
	}
	return 0;
}

static int fake_read(const struct nvme_admin *a, const struct nvme_cmd *c, void *data, uint32_t len)
{
	struct nvmf_discovery_log log = { .numrec = htole64(ctrl.records) };
	uint64_t at = c->cdw12 | (uint64_t)c->cdw13 << 32;

	(void)a;
	memset(data, 0, len);
	if (c->opcode == nvme_admin_identify) {
		CHECK_EQ(c->cdw10, 1);
		memcpy(data, &ctrl.id, sizeof(ctrl.id));
		return ctrl.status;
	}
	CHECK_EQ(c->opcode, nvme_admin_get_log_page);
	CHECK_EQ(c->cdw10 & 0xff, 0x70);
	CHECK_EQ((c->cdw10 >> 16) + 1, len / 4);
	CHECK_EQ(len, 1024);
	if (at)
		memcpy(data, &ctrl.record, sizeof(ctrl.record));
	else
		memcpy(data, &log, sizeof(log));
	return ctrl.status;
}

static const struct nvme_fabrics f = { fake_command };
static const struct nvme_admin a = { fake_read };
static const struct nvme_fabrics_names names = {
	.hostid = { 1, 2, 3 },
	.hostnqn = "nqn.2024-01.test:host",
	.subnqn = "nqn.2024-01.test:subsystem",
};
static const struct bk_deadline deadline = { INT64_MAX, -1, 0 };

static void reset(void)
{
	memset(&ctrl, 0, sizeof(ctrl));
	ctrl.cap = 127 | 4ULL << 24 | 1ULL << 37; /* 128 entries, 2 s, the NVM command set */
	ctrl.ready_after = 3;
}

/* ---- Connect ------------------------------------------------------------------------------ */

static const struct nvme_fabrics_queue admin = { .cntlid = 0xffff,
						 .entries = 32,
						 .keep_alive_ms = 5000 };
static const struct nvme_fabrics_queue io = { .qid = 3, .cntlid = 7, .entries = 129 };

static void connect_admin(struct device *d)
{
	uint16_t cntlid = 0;

	(void)d;
	reset();
	ctrl.result = 7;
	CHECK_OK(nvme_fabrics_connect(&f, &names, &admin, &cntlid));
	CHECK_EQ(cntlid, 7);
	CHECK_EQ(ctrl.cmd.opcode, 0x7f);
	CHECK_EQ(ctrl.cmd.nsid, 1);
	CHECK_EQ(ctrl.cmd.cdw10, 0);
	CHECK_EQ(ctrl.cmd.cdw11, 31);
	CHECK_EQ(ctrl.cmd.cdw12, 5000);
	CHECK_EQ(ctrl.len, 1024);
	CHECK_EQ(le16toh(ctrl.data.cntlid), 0xffff);
	CHECK_MEM(ctrl.data.hostid, names.hostid, 16);
	CHECK_STR(ctrl.data.subsysnqn, names.subnqn);
	CHECK_STR(ctrl.data.hostnqn, names.hostnqn);
}

static void connect_io(struct device *d)
{
	uint16_t cntlid;

	(void)d;
	reset();
	CHECK_OK(nvme_fabrics_connect(&f, &names, &io, &cntlid));
	CHECK_EQ(ctrl.cmd.cdw10, 3 << 16);
	CHECK_EQ(ctrl.cmd.cdw11, 128 | 1 << 18); /* without flow control */
	CHECK_EQ(le16toh(ctrl.data.cntlid), 7);
}

static void refused(struct device *d)
{
	static const struct {
		int status;
		uint64_t result;
		int errnum;
		const char *text;
	} cases[] = {
		{ 0x182, 1 << 16 | 256, ENOENT, "no subsystem \"nqn.2024-01.test:subsystem\"" },
		{ 0x182, 1 << 16 | 512, EACCES, "host \"nqn.2024-01.test:host\"" },
		{ 0x182, 1 << 16 | 0, EACCES, "hostid" },
		{ 0x182, 1 << 16 | 16, ENODEV, "no controller 7" },
		{ 0x182, 44, EINVAL, "command byte 44" },
		{ 0x4182, 44, EINVAL, "129 entries" }, /* with Do Not Retry */
		{ 0x184, 0, EACCES, "does not allow host" },
		{ 0x181, 0, EBUSY, "no free controller" },
		{ 0x0c, 0, EBUSY, "queue 3" },
		{ 0x06, 0, EIO, "refuses to connect" },
	};
	uint16_t cntlid;

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		reset();
		ctrl.status = cases[i].status;
		ctrl.result = cases[i].result;
		CHECK_ERR(nvme_fabrics_connect(&f, &names, &io, &cntlid), cases[i].errnum,
			  cases[i].text);
	}
}

static void authentication(struct device *d)
{
	uint16_t cntlid;

	(void)d;
	for (unsigned bit = 17; bit <= 18; bit++) {
		reset();
		ctrl.result = 1ULL << bit | 7;
		CHECK_ERR(nvme_fabrics_connect(&f, &names, &admin, &cntlid), ENOTSUP,
			  "authentication", names.subnqn);
	}
}

/* ---- Enable ------------------------------------------------------------------------------- */

static void enable(struct device *d)
{
	struct nvme_fabrics_ctrl c = { 0 };

	(void)d;
	reset();
	CHECK_OK(nvme_fabrics_enable(&f, &deadline, &c));
	CHECK_EQ(c.queue_entries, 128);
	CHECK_EQ(ctrl.cc, 1 | 6 << 16 | 4 << 20);
	CHECK(!ctrl.ready_after);
	CHECK_OK(nvme_fabrics_check(&f));
	CHECK_OK(nvme_fabrics_shut_down(&f));
	CHECK_EQ(ctrl.cc, 1 | 1 << 14 | 6 << 16 | 4 << 20);
}

static void enable_all_sets(struct device *d)
{
	struct nvme_fabrics_ctrl c = { 0 };

	(void)d;
	reset();
	ctrl.cap |= 1ULL << 43;
	CHECK_OK(nvme_fabrics_enable(&f, &deadline, &c));
	CHECK_EQ(ctrl.cc, 1 | 6 << 4 | 6 << 16 | 4 << 20);
}

static void never_ready(struct device *d)
{
	struct nvme_fabrics_ctrl c = { 0 };

	(void)d;
	reset();
	ctrl.ready_after = 0;
	ctrl.cap &= ~(255ULL << 24); /* half a second */
	CHECK_ERR(nvme_fabrics_enable(&f, &deadline, &c), ETIMEDOUT, "enable");
	ctrl.csts = 2;
	CHECK_ERR(nvme_fabrics_enable(&f, &deadline, &c), EIO, "fatal");
	CHECK_ERR(nvme_fabrics_check(&f), EIO, "fatal");
	ctrl.cap = 0;
	CHECK_ERR(nvme_fabrics_enable(&f, &deadline, &c), EPROTO, "CAP");
	ctrl.status = 6;
	CHECK_ERR(nvme_fabrics_enable(&f, &deadline, &c), EIO, "property");
}

static void identify(struct device *d)
{
	struct nvme_fabrics_ctrl c = { 0 };

	(void)d;
	reset();
	CHECK_OK(nvme_fabrics_identify(&a, &c));
	CHECK_EQ(c.capsule_data, 0);
	ctrl.id.ioccsz = htole32(4);
	CHECK_OK(nvme_fabrics_identify(&a, &c));
	CHECK_EQ(c.capsule_data, 0);
	ctrl.id.ioccsz = htole32(1028);
	ctrl.id.cntrltype = 2;
	ctrl.id.oaes = htole32(0xffffffff);
	CHECK_OK(nvme_fabrics_identify(&a, &c));
	CHECK_EQ(c.capsule_data, 16384);
	CHECK_EQ(c.events, 1 << 8 | 1 << 11);
	CHECK(c.is_discovery);
	ctrl.id.ioccsz = htole32(UINT32_MAX);
	CHECK_OK(nvme_fabrics_identify(&a, &c));
	CHECK_EQ(c.capsule_data, INT_MAX);
	ctrl.id.icdoff = htole16(1);
	CHECK_ERR(nvme_fabrics_identify(&a, &c), ENOTSUP, "ICDOFF 1");
}

static void queues(struct device *d)
{
	unsigned n;

	(void)d;
	reset();
	ctrl.result = 3 | 5 << 16;
	CHECK_OK(nvme_fabrics_count_queues(&f, 1024, &n));
	CHECK_EQ(n, 4);
	CHECK_EQ(ctrl.cmd.cdw11, 1023 | 1023 << 16);
	CHECK_OK(nvme_fabrics_count_queues(&f, 2, &n));
	CHECK_EQ(n, 2);
}

/* ---- Names, discovery --------------------------------------------------------------------- */

static void uuids(struct device *d)
{
	static const char good[] = "01234567-89ab-cdef-FEDC-ba9876543210";
	static const char *const bad[] = { "",
					   "01234567-89ab-cdef-fedc-ba987654321",
					   "01234567-89ab-cdef-fedc-ba98765432100",
					   "01234567089ab-cdef-fedc-ba9876543210",
					   "01234567-89ab-cdef-fedc-ba987654321g",
					   "0-234567-89ab-cdef-fedc-ba9876543210",
					   "01234567-89ab-cdef-fedc-ba98765432 0" };
	static const uint8_t want[16] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
					  0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10 };
	char text[NVME_FABRICS_UUID_LEN + 1];
	uint8_t uuid[16];

	(void)d;
	CHECK(nvme_fabrics_parse_uuid(good, uuid));
	CHECK_MEM(uuid, want, sizeof(want));
	nvme_fabrics_print_uuid(uuid, text);
	CHECK_STR(text, "01234567-89ab-cdef-fedc-ba9876543210");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(!nvme_fabrics_parse_uuid(bad[i], uuid));
}

static void nqns(struct device *d)
{
	char nqn[300] = "nqn.2024-01.test:";

	(void)d;
	CHECK_OK(nvme_fabrics_check_nqn("subnqn", nqn));
	memset(nqn + 4, 'x', 223 - 4);
	CHECK_OK(nvme_fabrics_check_nqn("subnqn", nqn));
	nqn[223] = 'x';
	CHECK_ERR(nvme_fabrics_check_nqn("subnqn", nqn), EINVAL, "subnqn", "223");
	CHECK_ERR(nvme_fabrics_check_nqn("hostnqn", "iqn.2024-01.test:"), EINVAL, "hostnqn");
}

static void discover(struct device *d)
{
	struct bk_exports x = { 0 };

	(void)d;
	reset();
	ctrl.records = 2;
	ctrl.record.trtype = 3;
	ctrl.record.subtype = 2;
	memcpy(ctrl.record.traddr, "192.0.2.1   ", 12);
	memcpy(ctrl.record.trsvcid, "4420 ", 5);
	strcpy(ctrl.record.subnqn, "nqn.2024-01.test:disk");
	CHECK_OK(nvme_fabrics_discover(&a, &x));
	CHECK_EQ(x.n, 2);
	CHECK_STR(x.e[0].name, "nqn.2024-01.test:disk");
	CHECK_STR(x.e[0].description, "subsystem at 192.0.2.1 port 4420");
	ctrl.record.trtype = 1; /* RDMA */
	CHECK_OK(nvme_fabrics_discover(&a, &x));
	CHECK_EQ(x.n, 2);
	ctrl.record.trtype = 3;
	ctrl.records = UINT64_MAX;
	CHECK_ERR(nvme_fabrics_discover(&a, &x), EPROTO, "more than");
	for (int i = 0; i < x.n; i++) {
		free((void *)x.e[i].name);
		free((void *)x.e[i].description);
	}
	free(x.e);
}

static const struct test tests[] = {
	{ "connect the admin queue", connect_admin },
	{ "connect an I/O queue", connect_io },
	{ "what a target refuses is said", refused },
	{ "authentication is refused by name", authentication },
	{ "enable, check, shut down", enable },
	{ "enable all command sets", enable_all_sets },
	{ "never ready, broken, impossible", never_ready },
	{ "identify", identify },
	{ "number of queues", queues },
	{ "UUIDs", uuids },
	{ "NQNs", nqns },
	{ "discovery log", discover },
};

TEST_MAIN(tests)
