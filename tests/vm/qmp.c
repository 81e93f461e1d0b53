/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See qmp.h. */
#include "qmp.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "test.h"

/* The virtio port with this name. */
static int open_port(const char *wanted)
{
	static const char ports[] = "/sys/class/virtio-ports";
	DIR *dir = opendir(ports);
	struct dirent *e;
	char path[512], name[64];

	CHECK(dir);
	while ((e = readdir(dir))) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s/name", ports, e->d_name);
		f = fopen(path, "re");
		if (f && fscanf(f, "%63s", name) == 1 && !strcmp(name, wanted)) {
			fclose(f);
			snprintf(path, sizeof(path), "/dev/%s", e->d_name);
			closedir(dir);
			return (int)SYS(open(path, O_RDWR | O_CLOEXEC));
		}
		if (f)
			fclose(f);
	}
	FAIL("there is no port named %s", wanted);
}

void qmp_tell(int port, const char *command)
{
	CHECK_EQ(write(port, command, strlen(command)), strlen(command));
}

void qmp_hear(int port, char *answer, size_t room)
{
	size_t n;

	do {
		for (n = 0; n < room - 1; n++) {
			CHECK_EQ(read(port, &answer[n], 1), 1);
			if (answer[n] == '\n')
				break;
		}
		answer[n] = '\0';
	} while (!strstr(answer, "\"return\"") && !strstr(answer, "\"error\""));
}

int qmp_open(void)
{
	static char answer[4096];
	int port = open_port("qmp");

	qmp_tell(port, "{\"execute\":\"qmp_capabilities\"}\n");
	qmp_hear(port, answer, sizeof(answer));
	return port;
}
