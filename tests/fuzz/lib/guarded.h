/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An application whose buffers are watched: the kernel and the library write to nothing but the
 * buffers of reads in flight, and each request completes once. For fuzzers of drivers that take any
 * memory. What it does, the fuzzer's bytes say.
 */
#ifndef FUZZ_GUARDED_H
#define FUZZ_GUARDED_H

#include "blkio.h"
#include "input.h"

enum { GUARDED_ROOM = 160 << 10, GUARDED_SIZE = 1 << 20 }; /* of a request; of the device */

/* A new run. block: what starts and lengths are multiples of, a power of two. */
void guarded_begin(struct fuzz_input *in, unsigned block);
/* One request, unless the one that is chosen is in flight. */
void guarded_submit(struct blkioq *q);
/* At least min completions, and all there are. */
void guarded_collect(struct blkioq *q, unsigned min);
unsigned guarded_in_flight(void);
/* After the end of the instance. */
void guarded_end(void);

#endif
