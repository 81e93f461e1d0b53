/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A guest that talks to its own QEMU, to change the device under test: through a virtio port named
 * qmp, which the script on the host connects to QEMU's monitor.
 */
#ifndef VM_QMP_H
#define VM_QMP_H

#include <stddef.h>

/* The port, ready for commands. */
int qmp_open(void);
void qmp_tell(int port, const char *command);
/* QEMU's answer to what was told, in one line; events before it are left out. */
void qmp_hear(int port, char *answer, size_t room);

#endif
