/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See guest_load.h. */
#include <linux/virtio_blk.h>

#include "guest_load.h"
#include "io.h"
#include "test.h"

enum { BLOCK = GUEST_BLOCK };

struct load {
	struct guest *g;
	bool end;
	unsigned depth;
	uint32_t version[GUEST_SLOTS];
	bool reads[GUEST_SLOTS];
};

static struct load load;

static void next(struct guest *g, unsigned slot)
{
	uint64_t start = (uint64_t)slot * BLOCK;

	if (load.reads[slot])
		check_pattern(guest_buffer(g, slot), start, BLOCK, load.version[slot]);
	if (__atomic_load_n(&load.end, __ATOMIC_RELAXED))
		return;
	load.reads[slot] = !load.reads[slot];
	if (load.reads[slot])
		memset(guest_buffer(g, slot), 0xee, BLOCK);
	else
		pattern(guest_buffer(g, slot), start, BLOCK, ++load.version[slot]);
	guest_add(g, slot, load.reads[slot] ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, start);
	guest_kick(g);
}

static void *run_load(void *arg)
{
	struct guest *g = load.g;

	(void)arg;
	for (unsigned slot = 0; slot < load.depth; slot++) {
		load.reads[slot] = true;
		pattern(guest_buffer(g, slot), (uint64_t)slot * BLOCK, BLOCK, 0);
		next(g, slot);
	}
	while (!__atomic_load_n(&load.end, __ATOMIC_RELAXED)) {
		if (!guest_reap(g, next))
			guest_sleep(g, 1);
	}
	return NULL;
}

pthread_t guest_load_begin(struct guest *g, unsigned depth)
{
	pthread_t thread;

	load = (struct load){ .g = g, .depth = depth };
	CHECK_EQ(pthread_create(&thread, NULL, run_load, NULL), 0);
	return thread;
}

void guest_load_abandon(pthread_t thread)
{
	__atomic_store_n(&load.end, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

void guest_load_end(pthread_t thread)
{
	guest_load_abandon(thread);
	guest_drain(load.g, next);
}
