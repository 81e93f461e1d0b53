/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * qemu-storage-daemon as a vhost-user or NBD server, for one test case. QEMU_STORAGE_DAEMON in the
 * environment is another command to run in its place.
 */
#ifndef TEST_QSD_H
#define TEST_QSD_H

#include <stdbool.h>
#include <sys/types.h>

struct qsd {
	pid_t pid; /* 0: none */
	char socket[108];
	bool is_nbd;
};

/*
 * Start a server for a block device ("driver=null-co,size=1048576": the options of --blockdev
 * without node-name), with export options ("writable=on,num-queues=4"). Skips where there is none
 * installed; returns when it listens. It dies with the test case.
 */
void qsd_start(struct qsd *s, const char *blockdev, const char *options);
/* The same, as an NBD server whose only export has the empty name. */
void qsd_start_nbd(struct qsd *s, const char *blockdev, const char *options);
/* Again, on the same socket, after qsd_kill(). */
void qsd_restart(struct qsd *s, const char *blockdev, const char *options);
/* Let its monitor execute a command of the QEMU machine protocol; the block device is node "d". */
void qsd_command(struct qsd *s, const char *command);
/* Stop it, and wait until none of its threads runs; SIGCONT lets it go on. */
void qsd_stop(struct qsd *s);
/* Kill it and wait for its end. */
void qsd_kill(struct qsd *s);

#endif
