/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A libblkio to measure: the one that this program is linked with, or another one beside it. Both
 * are called through this table, so that neither has the shorter way.
 */
#ifndef BENCH_LIBRARY_H
#define BENCH_LIBRARY_H

#include "bench.h"
#include "blkio.h"

struct library {
	__typeof__(blkio_create) *create;
	__typeof__(blkio_destroy) *destroy;
	__typeof__(blkio_set_str) *set_str;
	__typeof__(blkio_set_bool) *set_bool;
	__typeof__(blkio_set_int) *set_int;
	__typeof__(blkio_connect) *connect;
	__typeof__(blkio_start) *start;
	__typeof__(blkio_get_queue) *get_queue;
	__typeof__(blkio_get_poll_queue) *get_poll_queue;
	__typeof__(blkio_get_error_msg) *get_error_msg;
	__typeof__(blkio_alloc_mem_region) *alloc_mem_region;
	__typeof__(blkio_map_mem_region) *map_mem_region;
	__typeof__(blkioq_read) *read;
	__typeof__(blkioq_do_io) *do_io;
	__typeof__(blkioq_get_completion_fd) *get_completion_fd;
	__typeof__(blkioq_set_completion_fd_enabled) *set_completion_fd_enabled;
};

extern const struct library library_ours;

/* Load another libblkio.so.1; exits when that fails. */
void library_load(struct library *lib, const char *path);

/* Exit with the library's message if ret is an error. */
static inline void library_must(const struct library *lib, const char *what, int ret)
{
	if (ret < 0)
		bench_die(what, lib->get_error_msg());
}

#endif
