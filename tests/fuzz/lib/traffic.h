/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An application that does I/O on a device that keeps no rule. Both take their turns from the
 * fuzzer's bytes. The device sits behind whatever transport: it knows where the rings are, and what
 * is in flight, from the library's own books.
 */
#ifndef FUZZ_TRAFFIC_H
#define FUZZ_TRAFFIC_H

#include "blkio.h"
#include "input.h"

enum { TRAFFIC_QUEUES = 4, TRAFFIC_REQUESTS = 96 };

struct traffic_request {
	int queue; /* -1: free */
};

struct traffic;

struct traffic_device {
	/* One thing that it does; false: nothing. There is input. */
	bool (*turn)(struct traffic *t);
	/* Whether the library has given it up. */
	bool (*is_given_up)(const struct blkio *b);
};

/* Any virtio-blk driver's: hostile.c */
extern const struct traffic_device traffic_virtio;

struct traffic {
	const struct traffic_device *device;
	struct fuzz_input *in;
	struct blkio *b;
	struct blkio_mem_region region;	 /* of buffers */
	void (*more)(struct traffic *t); /* what the application does besides; NULL: nothing */
	bool bounces; /* the region is not mapped: what is not in it would be read by the library */
	struct iovec iov[TRAFFIC_REQUESTS][8];
	struct traffic_request requests[TRAFFIC_REQUESTS];
	unsigned outstanding[TRAFFIC_QUEUES];
	/* the device's */
	struct {
		uint16_t pos;
		bool wrap;
	} used[TRAFFIC_QUEUES];
};

/*
 * On a connected instance: set what can be set, start, do I/O until the input ends. Every request
 * that completes does so once; all do, once the device is given up. The caller destroys.
 */
void traffic_run(struct traffic *t, struct blkio *b, struct fuzz_input *in);

/* The device's turn, for fuzz_world.idle; false at the end of the input. */
bool traffic_device_turn(struct traffic *t);

#endif
