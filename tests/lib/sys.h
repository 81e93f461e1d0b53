/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What tests ask of the system: time, events, what this process holds; and what it may no longer
 * do. */
#ifndef TEST_SYS_H
#define TEST_SYS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

int64_t clock_ns(void); /* monotonic */
/* Does the descriptor become readable within ms? */
bool readable(int fd, int ms);

unsigned count_fds(void);
void list_fds(void);
/* Mappings of memfds and rings: what a region or queue leaves behind when it is not cleaned up. */
unsigned count_special_maps(void);
/* Why is this process stuck? */
void describe_process(FILE *out, pid_t pid);

/* Let this system call fail with errnum from now on, in this thread and its children. */
void forbid_syscall(long nr, int errnum);
/* Become nobody. Skips the case when this process may not. */
void drop_privileges(void);
/* The most file descriptors this process may have from now on: n more than now. */
void allow_more_fds(unsigned n);

#endif
