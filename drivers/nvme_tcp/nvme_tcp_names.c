/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The NQN and the ID of this host: properties "hostnqn" and "hostid", and their defaults. */
#include <stdio.h>
#include <sys/random.h>

#include "nvme_tcp/nvme_tcp.h"

#define UUID_NQN "nqn.2014-08.org.nvmexpress:uuid:" /* Base, 4.7 */

/* The first line of a file, without its end; false: there is none. */
static bool read_line(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(line, (int)size, f);

	if (f)
		fclose(f);
	if (ok)
		line[strcspn(line, "\r\n")] = '\0';
	return ok && line[0];
}

static int choose_uuid(uint8_t *uuid)
{
	if (getrandom(uuid, 16, 0) != 16)
		return bk_err(errno, "cannot choose a host ID: getrandom: %m");
	uuid[6] = (uuid[6] & 0x0f) | 0x40; /* version 4 */
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
	return 0;
}

/* Those that nvme-cli keeps for the kernel's host driver. */
static bool name_by_files(struct nvme_tcp_session *s)
{
	char line[sizeof(s->hostnqn)];

	return read_line("/etc/nvme/hostnqn", s->hostnqn, sizeof(s->hostnqn)) &&
	       !strncmp(s->hostnqn, "nqn.", 4) &&
	       read_line("/etc/nvme/hostid", line, sizeof(line)) &&
	       nvme_fabrics_parse_uuid(line, s->names.hostid);
}

static int name_by_uuid(struct nvme_tcp_session *s)
{
	int ret = choose_uuid(s->names.hostid);

	strcpy(s->hostnqn, UUID_NQN);
	nvme_fabrics_print_uuid(s->names.hostid, s->hostnqn + strlen(UUID_NQN));
	return ret;
}

/* The ID that belongs to the property's NQN. */
static int find_id(struct nvme_tcp_session *s)
{
	const char *uuid = strstr(s->hostnqn, ":uuid:");

	if (uuid && nvme_fabrics_parse_uuid(uuid + strlen(":uuid:"), s->names.hostid))
		return 0;
	return choose_uuid(s->names.hostid);
}

int nvme_tcp_name_host(const struct nvme_tcp_dev *d, struct nvme_tcp_session *s)
{
	int ret = 0;

	s->names.hostnqn = s->hostnqn;
	if (d->hostnqn) {
		ret = nvme_fabrics_check_nqn("hostnqn", d->hostnqn);
		if (ret < 0)
			return ret;
		strcpy(s->hostnqn, d->hostnqn);
		ret = find_id(s);
	} else if (!name_by_files(s)) {
		ret = name_by_uuid(s);
	}
	if (!ret && d->hostid && !nvme_fabrics_parse_uuid(d->hostid, s->names.hostid))
		ret = bk_err(EINVAL, "property \"hostid\" must be a UUID, got \"%s\"", d->hostid);
	return ret;
}
