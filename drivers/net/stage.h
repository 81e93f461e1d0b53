/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What arrives on a stream and is to be looked at before it is known where it belongs. The library
 * does not touch the callers' memory, the kernel does: an address that cannot be written is an
 * error of the request. The stage is a file for that, which the kernel reads from.
 */
#ifndef BK_NET_STAGE_H
#define BK_NET_STAGE_H

#include <stddef.h>
#include <string.h>
#include <sys/uio.h>

#include "driver.h"

#define NET_STAGE_LEN (128U << 10)
#define NET_COPIES    256 /* the kernel's part of them at once: twice that, and less than 1024 */

struct net_stage {
	int fd;
	uint8_t *bytes;
	size_t head, tail; /* what was not looked at yet */
};

/* 0 or bk_err() */
int net_stage_init(struct net_stage *stage);
void net_stage_exit(struct net_stage *stage);

/* Make room behind what is there. */
static inline void net_stage_compact(struct net_stage *stage)
{
	if (stage->head == stage->tail) {
		stage->head = stage->tail = 0;
	} else if (stage->head) {
		memmove(stage->bytes, stage->bytes + stage->head, stage->tail - stage->head);
		stage->tail -= stage->head;
		stage->head = 0;
	}
}

/*
 * What is on the stage and to be copied to callers, all in one call: from the stage's byte `from`
 * on, in turns, what is of no interest and a piece of some request's data.
 */
struct net_copies {
	unsigned n;
	size_t from, to;		      /* on the stage */
	struct iovec iov[2 * NET_COPIES + 1]; /* one more may be begun */
	int *error[NET_COPIES]; /* EFAULT where the caller's memory cannot be written */
	uint8_t nowhere[512];	/* for what is of no interest */
};

/* Can what the stage has from `from` on be copied in one call with what was added before? */
static inline bool net_copies_reach(const struct net_copies *c, size_t from)
{
	return likely(c->n) && likely(from - c->to <= sizeof(c->nowhere));
}

/* After net_copies_make(). */
static inline void net_copies_begin(struct net_copies *c, size_t from)
{
	c->from = c->to = from;
}

/* len bytes on the stage, from `from` on, which is in reach. There is room. */
static inline void net_copies_add(struct net_copies *c, size_t from, void *to, size_t len,
				  int *error)
{
	c->iov[2 * c->n] = (struct iovec){ c->nowhere, from - c->to };
	c->iov[2 * c->n + 1] = (struct iovec){ to, len };
	c->error[c->n++] = error;
	c->to = from + len;
}

/* Make them all: then there are none. */
void net_copies_make(struct net_copies *c, const struct net_stage *stage);

/* The iovecs of bytes [at, at + len) of what n iovecs hold, at most max of them. Returns how many.
 */
unsigned net_slice(const struct iovec *iov, int n, uint64_t at, uint64_t len, struct iovec *out,
		   unsigned max);

#endif
