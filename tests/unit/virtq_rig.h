/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A virtqueue between its two sides, and what the test knows to be in flight: on every kind of
 * ring, split and packed, with and without event index and indirect tables.
 */
#ifndef UNIT_VIRTQ_RIG_H
#define UNIT_VIRTQ_RIG_H

#include "test.h"
#include "virtq_device.h"

enum { RIG_SIZE_MAX = 64, TABLE_LEN = 8 };

/* A ring, its two sides, and what the test knows to be in flight. */
struct rig {
	struct virtq_config config;
	struct virtq vq;
	struct virtq_device device;
	void *mem;
	size_t len;
	struct vring_desc table[RIG_SIZE_MAX][TABLE_LEN];
	struct {
		bool in_flight;
		unsigned n;
		struct virtq_buf buf[TABLE_LEN];
	} chain[RIG_SIZE_MAX];
	unsigned in_flight;
	uint32_t seed;
};

/* Below n. */
uint32_t rig_random(struct rig *r, uint32_t n);

void rig_open(struct rig *r, struct virtq_config config);
void rig_close(struct rig *r);

/* The driver's side. */
bool rig_room_for(const struct rig *r, unsigned n);
/* Add a chain of n made-up buffers; returns its id. */
uint16_t rig_add(struct rig *r, unsigned n);
/* This comes back next, */
void rig_get(struct rig *r, uint16_t want_id, uint32_t want_len);
/* or nothing, */
void rig_nothing_to_get(struct rig *r);
/* or what a device must not do. */
void rig_refused(struct rig *r);

/* The device takes a chain, which must be as it was added. */
uint16_t rig_take(struct rig *r);
bool rig_nothing_to_take(struct rig *r);

/* Run the test on each kind of ring, of at least so many entries. */
void rig_on_each_kind(void (*test)(struct rig *), unsigned smallest);

#define ON_EACH_KIND(test, smallest)                                                               \
	static void each_##test(struct device *d)                                                  \
	{                                                                                          \
		(void)d;                                                                           \
		rig_on_each_kind(test, smallest);                                                  \
	}

#endif
