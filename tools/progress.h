/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A bar on the terminal that says how far a long piece of work is. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *what; /* "copying" */
	uint64_t total;	  /* bytes */
	bool on;
	int64_t start_ns, next_ns;
};

void progress_start(struct progress *p, const char *what, uint64_t total, bool on);
/* Cheap: draws a few times per second. */
void progress_update(struct progress *p, uint64_t done);
/* Take the bar away, to be drawn again soon; for good. */
void progress_clear(const struct progress *p);
void progress_end(struct progress *p);

#endif
