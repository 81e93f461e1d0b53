/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * iSCSI URIs, as libiscsi and QEMU have them:
 *
 *	iscsi://[USER[%PASSWORD]@]HOST[:PORT]/TARGET/LUN[?PARAMETER=VALUE&...]
 *
 * with the parameters header_digest, target_user and target_password. Messages do not quote the
 * URI, which may hold a password. What asks for something that this driver does not do is refused.
 */
#include <stdlib.h>

#include "iscsi/iscsi_dev.h"
#include "net/uri.h"

#define PREFIX	     "iscsi://"
#define LUN_MAX	     16383
#define LUN_SIMPLE   255
#define LUN_FLAT     0x4000 /* SAM-5: flat space addressing */
#define NAME_MAX_LEN 223

void iscsi_target_free(struct iscsi_target *t)
{
	free(t->memory);
	*t = (struct iscsi_target){ 0 };
}

static bool parse_number(const char *s, int max, int *n)
{
	char *end;
	long value = strtol(s, &end, 10);

	if (*s < '0' || *s > '9' || *end || value < 0 || value > max)
		return false;
	*n = (int)value;
	return true;
}

static int parse_query(char *s, struct iscsi_target *t)
{
	const struct {
		const char *name;
		const char **value;
	} parameters[] = {
		{ "header_digest", &t->header_digest },
		{ "target_user", &t->target_chap.user },
		{ "target_password", &t->target_chap.password },
	};

	while (s && *s) {
		char *next = net_uri_cut(s, '&'), *value = net_uri_cut(s, '=');
		size_t i = 0;

		while (i < ARRAY_SIZE(parameters) && strcmp(s, parameters[i].name))
			i++;
		if (i == ARRAY_SIZE(parameters) || *parameters[i].value || !value || !*value)
			return bk_err(EINVAL,
				      "property \"uri\" has parameter \"%s\", which is not valid "
				      "here",
				      s);
		*parameters[i].value = value;
		s = next;
	}
	return 0;
}

/* TARGET/LUN */
static int parse_path(char *path, struct iscsi_target *t)
{
	char *lun = path ? strrchr(path, '/') : NULL;
	int n;

	if (!lun || lun == path)
		return bk_err(EINVAL, "property \"uri\" must end with \"/TARGET/LUN\", the iSCSI "
				      "name of the target and the number of the logical unit");
	*lun++ = 0;
	if (!net_uri_decode(path))
		return bk_err(EINVAL, "property \"uri\": %%XX in the target's name is not valid");
	if (!parse_number(lun, LUN_MAX, &n))
		return bk_err(EINVAL,
			      "property \"uri\" has LUN \"%s\", which is not a number from 0 to %d",
			      lun, LUN_MAX);
	if (strlen(path) > NAME_MAX_LEN)
		return bk_err(EINVAL, "property \"uri\": the target's name is longer than %d bytes",
			      NAME_MAX_LEN);
	t->name = path;
	t->lun = n > LUN_SIMPLE ? n | LUN_FLAT : n;
	return 0;
}

static int parse(struct iscsi_target *t)
{
	char *user = t->memory + strlen(PREFIX), *query, *portal, *path;
	const char *problem;
	int ret;

	if (strncmp(t->memory, PREFIX, strlen(PREFIX)))
		return bk_err(EINVAL, "property \"uri\" must begin with \"" PREFIX "\"");
	query = net_uri_cut(user, '?');
	portal = net_uri_cut(user, '@');
	if (portal)
		t->chap = (struct iscsi_chap){ user, net_uri_cut(user, '%') };
	else
		portal = user;
	path = net_uri_cut(portal, '/');
	ret = parse_path(path, t);
	if (ret < 0)
		return ret;
	t->address.port = ISCSI_DEFAULT_PORT;
	problem = net_uri_authority(portal, &t->address);
	return problem ? bk_err(EINVAL, "property \"uri\": %s", problem) : parse_query(query, t);
}

int iscsi_parse_uri(const char *uri, struct iscsi_target *t)
{
	int ret;

	*t = (struct iscsi_target){ .memory = strdup(uri) };
	if (!t->memory)
		return bk_err(ENOMEM, "out of memory");
	ret = parse(t);
	if (ret < 0)
		iscsi_target_free(t);
	return ret;
}
