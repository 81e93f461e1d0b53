/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See ns.h. */
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <nvme/types.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ns.h"

#define TRACING "/sys/kernel/tracing/"
#define EVENT	TRACING "events/nvme/nvme_setup_cmd/enable"

const char *ns_generic(void)
{
	static char path[64];
	int controller, ns;

	CHECK_EQ(sscanf(disk_path(), "/dev/nvme%dn%d", &controller, &ns), 2);
	snprintf(path, sizeof(path), "/dev/ng%dn%d", controller, ns);
	return path;
}

uint8_t ns_dlfeat(void)
{
	static struct nvme_id_ns ns;
	int fd = (int)SYS(open(ns_generic(), O_RDONLY | O_CLOEXEC));
	struct nvme_passthru_cmd identify = {
		.opcode = nvme_admin_identify,
		.addr = (uintptr_t)&ns,
		.data_len = sizeof(ns),
		.nsid = (uint32_t)SYS(ioctl(fd, NVME_IOCTL_ID)),
		.cdw10 = NVME_IDENTIFY_CNS_NS,
	};

	CHECK_EQ(ioctl(fd, NVME_IOCTL_ADMIN_CMD, &identify), 0);
	close(fd);
	return ns.dlfeat;
}

struct blkio *ns_create(void)
{
	const char *uri = getenv("TEST_URI");
	struct blkio *b;

	CHECK_OK(blkio_create(uri ? "nvme-tcp" : "nvme-io_uring", &b));
	CHECK_OK(blkio_set_str(b, uri ? "uri" : "path", uri ?: ns_generic()));
	return b;
}

struct blkio *ns_connect(void)
{
	struct blkio *b = ns_create();

	CHECK_OK(blkio_connect(b));
	return b;
}

struct blkio *ns_start(void)
{
	struct blkio *b = ns_connect();

	CHECK_OK(blkio_start(b));
	return b;
}

void write_sysfs(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f)
		FAIL("%s: %s", path, strerror(errno));
	CHECK(fputs(text, f) >= 0);
	if (fclose(f))
		FAIL("%s refuses \"%s\": %s", path, text, strerror(errno));
}

void commands_start(void)
{
	write_sysfs(TRACING "trace", "");
	write_sysfs(EVENT, "1");
	write_sysfs(TRACING "tracing_on", "1");
}

unsigned commands_count(const char *text)
{
	char line[512], disk[64];
	unsigned n = 0;
	FILE *f;

	write_sysfs(EVENT, "0");
	snprintf(disk, sizeof(disk), "disk=%s,", disk_name());
	f = fopen(TRACING "trace", "re");
	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, disk))
			continue;
		fputs(line, stdout);
		n += strstr(line, text) != NULL;
	}
	fclose(f);
	return n;
}
