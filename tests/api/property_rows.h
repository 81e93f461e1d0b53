/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What property_walk.c expects of each property, by driver and state. */
#ifndef API_PROPERTY_ROWS_H
#define API_PROPERTY_ROWS_H

#include <errno.h>
#include <stddef.h>

enum state { CREATED, CONNECTED, STARTED, NR_STATES };

enum driver_bit {
	NULL_DRV = 1,
	URING = 2,
	VHOST = 4,
	POSIX = 8,
	NBD = 16,
	ISCSI = 32,
	NVME_TCP = 64,
	KERNEL = URING | POSIX,
	LOCAL = NULL_DRV | KERNEL,
	PATHS = KERNEL | VHOST | NBD, /* opened by "path" */
	NETWORK = NBD | ISCSI | NVME_TCP,
	REAL = PATHS | NETWORK,
	ALL = NULL_DRV | REAL
};

/* Results of setting: W works, the rest are errno values. */
enum { W = 0 };

struct property_row {
	const char *name;
	const char *type; /* bool, int, uint64, str */
	enum driver_bit drivers;
	const char *get[NR_STATES]; /* value, "-ENODEV", or "@" */
	int set[NR_STATES];
	const char *sample; /* a valid value to set */
};

extern const struct property_row property_rows[];
extern const size_t nr_property_rows;

#endif
