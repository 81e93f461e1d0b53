/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the files of the pump share: the lanes, and the blocks under way in each. */
#ifndef PUMP_SLOT_H
#define PUMP_SLOT_H

#include <stdatomic.h>

#include "pump.h"
#include "writeback.h"

/* A block that cannot be read at once: see rescue.c. */
struct rescue {
	enum { RESCUE_NONE, RESCUE_PROBE, RESCUE_READ, RESCUE_DONE } step;
	unsigned pass;	    /* how often its pieces have been read */
	unsigned candidate; /* of the places to probe */
	size_t at;	    /* the piece that is read, as an offset in the block */
	unsigned nr_bad;    /* pieces */
	bool *bad;	    /* pieces that were not readable so far */
};

struct slot {
	struct slot *next; /* of the free ones */
	uint64_t start, len;
	char *src, *dst;	 /* buffers */
	bool src_zero, dst_zero; /* known to be zero, and not read; len may exceed the buffers */
	bool writing, failed;
	bool refused;	    /* its zeroes are to be written as data */
	uint64_t rewritten; /* bytes of it */
	unsigned pending;   /* requests */
	struct rescue rescue;
};

struct side {
	struct pump_end *end;
	struct blkioq *q;
	int fd;
	unsigned outstanding;
	struct blkio_completion *completions;
	unsigned max;
};

/* What the lanes have in common. They take the stripes in turn, from offset 0 on. */
struct pump_share {
	uint64_t stripe;	  /* bytes */
	_Atomic uint64_t next;	  /* offset of the stripe that nobody has taken yet */
	_Atomic uint64_t stop_at; /* what begins here or later is not to be copied any more */
	_Atomic uint64_t moved;	  /* bytes, for the progress bar */
	struct writeback writeback;
	struct progress *progress;
};

/* A lane: a thread with a queue of each side. */
struct pump {
	struct pump_share *share;
	unsigned lane; /* 0: of the thread that called pump_run() */
	struct pump_plan *plan;
	struct pump_result *result;
	struct side src, dst;
	struct slot *slots, *free;
	unsigned busy;	 /* slots */
	uint64_t next;	 /* offset of the next block */
	uint64_t end;	 /* of the stripe that it is in */
	uint64_t undone; /* the lowest block that was given up for stopping */
	size_t piece;	 /* of blocks that cannot be read at once */
	uint64_t good;	 /* a piece here could be read; UINT64_MAX: none so far */
	bool stopping;
};

static inline void pump_read(struct side *side, struct slot *s, uint64_t start, char *buf,
			     size_t len)
{
	blkioq_read(side->q, start, buf, len, s, 0);
	side->outstanding++;
	s->pending++;
}

/* pump.c: a lane's work, until there is nothing left to start and nothing is in flight. */
void pump_work(struct pump *p);
/* What writeback_written() or writeback_end() has returned. */
void pump_check_writeback(struct pump *p, int error);

/* The work on s cannot go on: stop. error: positive errno, 0: msg says it all. */
void pump_fail(struct pump *p, struct slot *s, const struct target *t, int error, const char *msg);

/* rescue.c: s could not be read, with this positive errno. Is there a chance for a part of it? */
bool rescue_begins(struct pump *p, struct slot *s, int error);
/* A read of the rescue has completed. */
void rescue_completed(struct pump *p, struct slot *s, const struct blkio_completion *c);
/* Read on. False: s is as complete as it can be, or has failed. */
bool rescue_continues(struct pump *p, struct slot *s);

/* pump_write.c: write what was read, or was known to be zero, in runs of data and of zeroes. */
void pump_write(struct pump *p, struct slot *s);
/* Write it again, as data. False: that is done. */
bool pump_rewrite(struct pump *p, struct slot *s);
bool pump_is_zero(const char *buf, size_t len);

#endif
