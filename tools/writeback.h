/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Bounds how much of the destination is dirty in the page cache. Without a bound the copy fills
 * memory, and a small memory cgroup kills the tool.
 */
#ifndef WRITEBACK_H
#define WRITEBACK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define WRITEBACK_WINDOWS 3

struct writeback_window {
	uint64_t start, end;
};

struct writeback {
	int fd; /* -1: nothing to do */
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	uint64_t bytes;
	struct writeback_window now;			    /* where those were written */
	struct writeback_window windows[WRITEBACK_WINDOWS]; /* to bring to the disk */
	unsigned nr;
	int error; /* the first */
	struct writeback_window failed;
	bool end;
};

/* fd: the destination, if it is written through the page cache; -1 otherwise. */
void writeback_start(struct writeback *w, int fd);

/*
 * These bytes were written, by any thread. Waits while too much is dirty. 0 or a negative errno
 * value: what was written earlier cannot be brought to the disk; failed says what.
 */
int writeback_written(struct writeback *w, uint64_t start, uint64_t len);

/* Wait for the windows that are under way. 0 or the first error. */
int writeback_end(struct writeback *w);

#endif
