/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * serve FILE PORT CAPSULE_DATA: the tests' NVMe/TCP target as a program of its own, for what is not
 * in C. It says "ready" when it listens, and ends with its parent.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "nvme_target.h"

int main(int argc, char **argv)
{
	static struct nvme_target t;
	int listener;

	if (argc != 4)
		return 2;
	t.file = argv[1];
	t.port = atoi(argv[2]);
	t.capsule_data = (unsigned)atoi(argv[3]);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	listener = nvme_target_listen(&t);
	puts("ready");
	fflush(stdout);
	nvme_target_run(&t, listener);
}
