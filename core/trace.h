/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Static tracepoints, for bpftrace, SystemTap and perf: docs/tracing.md lists them. One that nobody
 * uses is a nop instruction. Without sys/sdt.h (or with -Dtrace=disabled) there are none.
 */
#ifndef BK_TRACE_H
#define BK_TRACE_H

#ifdef BK_HAVE_SDT
#define SDT_USE_VARIADIC
#include <sys/sdt.h>

/* name, then up to 12 integers or pointers, which are at hand where it is. */
#define bk_trace(...) STAP_PROBEV(libblkio, __VA_ARGS__)
#else
#define bk_trace(...) ((void)0)
#endif

#endif
