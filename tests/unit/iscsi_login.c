/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* iSCSI URIs, and what a target may say during the login. */
#include "../lib/test.h"
#include "iscsi/iscsi_dev.h"

/* ---- URIs --------------------------------------------------------------------------------- */

static const struct uri {
	const char *uri, *host;
	int port;
	const char *name;
	int lun;
	const char *user, *password;
} good[] = {
	{ "iscsi://host/iqn.x:a/0", "host", 3260, "iqn.x:a", 0, NULL, NULL },
	{ "iscsi://host:3261/iqn.x:a/1", "host", 3261, "iqn.x:a", 1, NULL, NULL },
	{ "iscsi://[::1]:1/iqn.x:a/255", "::1", 1, "iqn.x:a", 255, NULL, NULL },
	{ "iscsi:///iqn.x%3aa/256", "localhost", 3260, "iqn.x:a", 0x4100, NULL, NULL },
	{ "iscsi://me%se:c/ret@host/iqn/16383", "host", 3260, "iqn", 0x7fff, "me", "se:c/ret" },
	{ "iscsi://me@host/iqn/0", "host", 3260, "iqn", 0, "me", NULL },
};

static void check_str(const char *got, const char *want)
{
	CHECK(!got == !want);
	if (want)
		CHECK_STR(got, want);
}

static void names(struct device *d)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		const struct uri *u = &good[i];
		struct iscsi_target t;

		printf("%s\n", u->uri);
		CHECK_OK(iscsi_parse_uri(u->uri, &t));
		CHECK_STR(t.address.host, u->host);
		CHECK_EQ(t.address.port, u->port);
		CHECK_STR(t.name, u->name);
		CHECK_EQ(t.lun, u->lun);
		check_str(t.chap.user, u->user);
		check_str(t.chap.password, u->password);
		iscsi_target_free(&t);
	}
}

static void parameters(struct device *d)
{
	struct iscsi_target t;

	(void)d;
	CHECK_OK(iscsi_parse_uri("iscsi://h/iqn/0?target_user=u&target_password=p%40&"
				 "header_digest=crc32c",
				 &t));
	CHECK_STR(t.target_chap.user, "u");
	CHECK_STR(t.target_chap.password, "p%40");
	CHECK_STR(t.header_digest, "crc32c");
	iscsi_target_free(&t);
}

/* Messages do not repeat the password. */
static void refused(struct device *d)
{
	static const struct {
		const char *uri, *says;
	} bad[] = {
		{ "", "iscsi://" },
		{ "iser://me%PASSWORD@h/iqn/0", "iscsi://" },
		{ "iscsi://me%PASSWORD@h", "/TARGET/LUN" },
		{ "iscsi://me%PASSWORD@h/iqn", "/TARGET/LUN" },
		{ "iscsi://me%PASSWORD@h//0", "/TARGET/LUN" },
		{ "iscsi://me%PASSWORD@h/iqn/", "LUN \"\"" },
		{ "iscsi://me%PASSWORD@h/iqn/-1", "LUN \"-1\"" },
		{ "iscsi://me%PASSWORD@h/iqn/16384", "LUN \"16384\"" },
		{ "iscsi://me%PASSWORD@h/iqn/0x1", "LUN \"0x1\"" },
		{ "iscsi://me%PASSWORD@h:0/iqn/1", "port" },
		{ "iscsi://me%PASSWORD@[::1/iqn/1", "address" },
		{ "iscsi://me%PASSWORD@h/i%00n/1", "%XX" },
		{ "iscsi://me%PASSWORD@h/iqn/1?iser", "\"iser\"" },
		{ "iscsi://me%PASSWORD@h/iqn/1?header_digest=", "\"header_digest\"" },
		{ "iscsi://h/iqn/1?target_user=a&target_user=b", "\"target_user\"" },
	};

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct iscsi_target t;

		printf("%s\n", bad[i].uri);
		CHECK_ERR(iscsi_parse_uri(bad[i].uri, &t), EINVAL, bad[i].says);
		CHECK(!strstr(blkio_get_error_msg(), "PASSWORD"));
	}
}

/* ---- Answers ------------------------------------------------------------------------------ */

enum { STAYS = 0, LEAVES = 0x80 };

static struct iscsi_login login;

static int answer(unsigned flags, const char *text, size_t len)
{
	const uint8_t header[48] = { 0x23, flags };

	return iscsi_login_check(&login, header, text, len);
}
#define ANSWER(flags, text) answer(flags, text, sizeof(text))

static void lengths(struct device *d)
{
	(void)d;
	login = (struct iscsi_login){ 0 };
	CHECK_OK(ANSWER(LEAVES, "MaxRecvDataSegmentLength=512\0FirstBurstLength=16777215\0\0\0"));
	CHECK_ERR(ANSWER(LEAVES, "MaxRecvDataSegmentLength=0"), EPROTO, "\"0\"");
	CHECK_ERR(ANSWER(LEAVES, "MaxRecvDataSegmentLength=511"), EPROTO, "511");
	CHECK_ERR(ANSWER(LEAVES, "MaxRecvDataSegmentLength="), EPROTO);
	CHECK_ERR(ANSWER(LEAVES, "MaxRecvDataSegmentLength=-1"), EPROTO);
	CHECK_ERR(ANSWER(LEAVES, "MaxRecvDataSegmentLength= 512"), EPROTO);
	CHECK_ERR(ANSWER(LEAVES, "MaxBurstLength=16777216"), EPROTO);
	CHECK_ERR(ANSWER(LEAVES, "A=B\0FirstBurstLength=99999999999999999999"), EPROTO);
	CHECK_ERR(ANSWER(LEAVES, "TargetRecvDataSegmentLength=512"), EPROTO);
	CHECK_ERR(answer(LEAVES, "A=B", 3), EPROTO, "no end");
	CHECK_OK(answer(LEAVES, NULL, 0));
}

/* libiscsi is logged in once the target leaves for stage 3, the full feature phase. */
static void the_last(struct device *d)
{
	static const uint8_t more[] = { 0x00, 0x03, 0x07, 0x80, 0x81, 0x82, 0x85 };
	static const uint8_t last[] = { 0x83, 0x87, 0x8f };

	(void)d;
	for (size_t i = 0; i < ARRAY_LEN(more); i++) {
		login = (struct iscsi_login){ 0 };
		CHECK_OK(answer(more[i], NULL, 0));
		CHECK(!login.is_last);
	}
	for (size_t i = 0; i < ARRAY_LEN(last); i++) {
		login = (struct iscsi_login){ 0 };
		CHECK_OK(answer(last[i], NULL, 0));
		CHECK(login.is_last);
	}
}

static void refusals(struct device *d)
{
	uint8_t header[48] = { 0x23, [36] = 2, 1 };

	(void)d;
	login = (struct iscsi_login){ 0 };
	CHECK_OK(iscsi_login_check(&login, header, NULL, 0));
	CHECK_EQ(iscsi_login_errno(login.status), EACCES);
	header[0] = 0x3f;
	CHECK_ERR(iscsi_login_check(&login, header, NULL, 0), EPROTO, "0x3f");
}

#define CHALLENGE "CHAP_A=5\0CHAP_I=1\0CHAP_C=0x00"
#define RESPONSE  "CHAP_N=target\0CHAP_R=0x00000000000000000000000000000000"

static void mutual(void)
{
	login = (struct iscsi_login){ .mutual = true };
}

static void authenticates(struct device *d)
{
	(void)d;
	mutual();
	CHECK_OK(ANSWER(STAYS, "AuthMethod=CHAP"));
	CHECK_OK(ANSWER(STAYS, CHALLENGE));
	CHECK_ERR(iscsi_login_over(&login), EACCES);
	CHECK_OK(ANSWER(LEAVES, RESPONSE));
	CHECK_OK(ANSWER(LEAVES, "MaxBurstLength=262144"));
	CHECK_OK(iscsi_login_over(&login));
}

/* Each of these gets past libiscsi 1.19. */
static void does_not_authenticate(struct device *d)
{
	(void)d;
	mutual(); /* it does without */
	CHECK_OK(ANSWER(LEAVES, "AuthMethod=None"));
	CHECK_ERR(iscsi_login_over(&login), EACCES, "target-user");
	mutual(); /* it answers what was not asked: libiscsi compares with zeroes */
	CHECK_ERR(ANSWER(LEAVES, RESPONSE), EACCES);
	mutual(); /* both at once */
	CHECK_ERR(ANSWER(STAYS, CHALLENGE "\0" RESPONSE), EACCES);
	mutual(); /* a challenge that libiscsi forgets */
	CHECK_ERR(ANSWER(STAYS, CHALLENGE "\0AuthMethod=CHAP"), EACCES);
	mutual(); /* a challenge, and on to the next phase */
	CHECK_ERR(ANSWER(LEAVES, CHALLENGE), EACCES);
	mutual(); /* the next phase, and a challenge */
	CHECK_OK(ANSWER(LEAVES, "A=B"));
	CHECK_ERR(ANSWER(STAYS, CHALLENGE), EACCES);
	mutual(); /* an answer too late */
	CHECK_OK(ANSWER(STAYS, CHALLENGE));
	CHECK_OK(ANSWER(LEAVES, "A=B"));
	CHECK_ERR(ANSWER(STAYS, RESPONSE), EACCES);
}

static const struct test tests[] = {
	{ "URIs", names, 0 },
	{ "parameters", parameters, 0 },
	{ "refused URIs", refused, 0 },
	{ "lengths", lengths, 0 },
	{ "a refused login", refusals, 0 },
	{ "the last answer", the_last, 0 },
	{ "a target that authenticates itself", authenticates, 0 },
	{ "a target that does not", does_not_authenticate, 0 },
};
TEST_MAIN(tests)
