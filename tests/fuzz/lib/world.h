/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the library under a fuzzer takes for the world: a clock, sleep, ioctls. The build renames
 * its calls (clock_gettime() is fuzz_clock_gettime(), ...; meson.build), so that waiting takes no
 * time, the peer acts while the library waits, and a wait without a deadline is detected.
 */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include "input.h"

struct fuzz_world {
	/*
	 * The library waits: the peer's turn. Returns false when it has nothing more to do. It may
	 * wait in its watching thread, too, which must leave the input alone.
	 */
	bool (*idle)(void *arg);
	/* What an ioctl() does; -1 and errno as usual. */
	int (*ioctl)(void *arg, unsigned long request, void *data);
	void *arg;
	int vfio_fd; /* the device of vfio_open(); -1 */
};

/* Of the run that is going on; fuzz_begin() makes it one in which nothing happens. */
extern struct fuzz_world fuzz_world;

void fuzz_begin(void);
/* Whether the caller is the thread that began the run. */
bool fuzz_is_main_thread(void);
/* Nothing may be left open. */
void fuzz_end(void);

#endif
