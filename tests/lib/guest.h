/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A guest for queue passthrough: memory that it knows by other addresses than we do, a ring in it,
 * and eventfds in place of a hypervisor. It checks that each request completes once.
 */
#ifndef TEST_GUEST_H
#define TEST_GUEST_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "blkio.h"

enum { GUEST_LEN = 2 << 20, GUEST_SLOTS = 64, GUEST_BLOCK = 4096 };

struct guest {
	struct blkio_mem_region ram;
	bool event_idx, packed;
	int kick, call, err;
	unsigned size;		 /* of the ring */
	struct vring_desc *desc; /* split: three for each slot */
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_packed_desc *ring; /* packed: one for each request, with a table */
	uint16_t added, seen;		/* indexes */
	uint32_t base;			/* as the last stop said */
	bool busy[GUEST_SLOTS];
	uint64_t completed;
};

/* address: of the first byte of its memory, as the guest sees it. */
void guest_init(struct guest *g, uint64_t address);
void guest_exit(struct guest *g);
/* Before it is started for the first time: its ring is a packed one. */
void guest_pack(struct guest *g);
/* The guest's address of its own memory at this offset; ours. */
uint64_t guest_address(const struct guest *g, size_t offset);
void *guest_memory(const struct guest *g, size_t offset);
/* The buffer of a slot, GUEST_BLOCK bytes. */
void *guest_buffer(const struct guest *g, unsigned slot);

/* Where a device with the event index notes up to which index it has taken requests. */
uint16_t *guest_event(const struct guest *g);

/* What the emulator does. */
void guest_map(struct guest *g, struct blkio *b);
struct blkio_vring guest_vring(const struct guest *g);
void guest_start(struct guest *g, struct blkio *b, int index);
/* Its result; the next guest_start() goes on from where it was. */
int guest_try_stop(struct guest *g, struct blkio *b, int index);
void guest_stop(struct guest *g, struct blkio *b, int index);

/* Requests: VIRTIO_BLK_T_*. The slot must be free. */
void guest_add(struct guest *g, unsigned slot, uint32_t type, uint64_t start);
void guest_kick(struct guest *g);
/* Take what has completed; calls done(), unless NULL, for each. Returns how many. */
unsigned guest_reap(struct guest *g, void (*done)(struct guest *g, unsigned slot));
/* Sleep until something may have completed. False: nothing has within so many milliseconds. */
bool guest_sleep(struct guest *g, int ms);
/* The status that the device gave the slot's request; 0xff: none so far. */
int guest_status(const struct guest *g, unsigned slot);
/* A request whose completion is waited for; its status. */
int guest_io(struct guest *g, uint32_t type, uint64_t start);
/* Wait until nothing is in flight. */
void guest_drain(struct guest *g, void (*done)(struct guest *g, unsigned slot));
unsigned guest_in_flight(const struct guest *g);

#endif
