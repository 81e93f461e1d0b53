/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Instances with property "reconnect-timeout", whose server may go and come back. */
#ifndef TEST_NBD_LASTING_H
#define TEST_NBD_LASTING_H

#include <stdint.h>

#include "server.h"
#include "sys.h"
#include "ways.h"

enum { BLOCK = 4096, N = 200, PATIENT = 20000 };
enum { MS = 1000000 };

/* A file, and memory. */
extern const char *const lasting_nbdkit[], *const lasting_quick[];

/* A server, and an instance that is connected to it, with this reconnect-timeout. */
struct blkio *lasting_begin(struct nbd_server *s, const char *const *argv, int ms);
/* Start it with up to n queues; returns how many. */
int lasting_start(struct blkio *b, enum wait wait, int n);
struct blkioq *lasting_queue(struct blkio *b, enum wait wait, int i);
/* All of this, with one queue. */
struct blkio *lasting_begin_by(struct nbd_server *s, const char *const *argv, int ms,
			       enum wait wait, struct blkioq **q);
void lasting_end(struct nbd_server *s, struct blkio *b);

/* Queue N reads of a block, whose completions seen is to count. */
void lasting_read_many(struct blkioq *q, char *buf, unsigned char *seen);

static inline int64_t ms_since(int64_t begin)
{
	return (clock_ns() - begin) / MS;
}

#endif
