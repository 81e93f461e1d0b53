/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What tests ask of the system: time, events, what this process holds; and what it may no longer
 * do. */
#ifndef TEST_SYS_H
#define TEST_SYS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>

int64_t clock_ns(void); /* monotonic */
/* Does the descriptor become readable within ms? */
bool readable(int fd, int ms);

unsigned count_fds(void);
void list_fds(void);
/* Wait until no more than n are open: a thread that is not joined may close one last. */
void await_fds(unsigned n);
unsigned count_threads(void);
/*
 * fork() for a child that calls the library. Skips the case under AddressSanitizer when this
 * process has several threads: one may hold a lock of its allocator, for which the child would wait
 * forever.
 */
pid_t fork_user(void);
/*
 * fork() for a child that is killed when this thread ends, also where that is before the child has
 * run at all.
 */
pid_t fork_dependent(void);
/* Kill a child, even a stopped one, wait until it is gone, and set *pid to 0. 0: there is none. */
void kill_child(pid_t *pid);
/* Mappings of memfds and rings: what a region or queue leaves behind when it is not cleaned up. */
unsigned count_special_maps(void);
/* Why is this process stuck? */
void describe_process(FILE *out, pid_t pid);

/* Let this system call fail with errnum from now on, in this thread and its children. */
void forbid_syscall(long nr, int errnum);
/*
 * Skips the case if ret, which a call that makes a ring gave, comes from how this process was
 * started: nobody may use io_uring here, or rings do not fit RLIMIT_MEMLOCK. What a case forbids
 * itself, after the harness has called remember_ring_limits(), skips nothing.
 */
void need_ring(int ret);
void remember_ring_limits(void);
/*
 * Become a user that no other case is: what the kernel counts per user is counted for this case
 * alone. Skips the case when this process is not root.
 */
void drop_privileges(void);
/* So many for this user. RLIM_INFINITY at the end: LeakSanitizer starts one. */
void limit_processes(rlim_t n);
/*
 * The same file by a name that works for any user, whatever the folders above its own allow:
 * changes to its folder. Static memory, one at a time.
 */
const char *reachable(const char *path);
/* One of 127.0.0.1 that nobody listens on. */
uint16_t free_tcp_port(void);
/* The most file descriptors this process may have from now on: n more than now. */
void allow_more_fds(unsigned n);

#endif
