/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the API promises, as a model: the state of an instance, which queues there are, what each
 * call and each request must give, and what the device holds. Knows blkio.h only.
 */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <sys/uio.h>

#include "blkio.h"
#include "input.h"

enum { MODEL_QUEUES = 6, MODEL_REQUESTS = 32, MODEL_SPACE = 64 << 10, MODEL_LEN = 8 << 10 };

/* Past the space, anything may come of it: the file cannot be that large. */
#define MODEL_ANY 1
#define MODEL_FAR 0x7fffffff00000000ULL

enum model_state { CREATED, CONNECTED, STARTED };
enum model_op { READ, WRITE, ZEROES, DISCARD, FLUSH, ZONE };

struct model_request {
	bool in_flight;
	unsigned queue;
	enum model_op op;
	uint64_t start, len;
	int want;      /* the result, or MODEL_ANY */
	bool may_lack; /* -ENOTSUP is an answer, too */
	struct iovec iov[4];
	uint8_t buf[MODEL_LEN];
};

struct model {
	bool stores; /* reads give back what was written; else the null driver */
	bool has_device, read_only;
	enum model_state state;
	int num_queues;
	uint64_t end;
	bool queue[MODEL_QUEUES];
	int outstanding[MODEL_QUEUES];
	struct model_request requests[MODEL_REQUESTS];
	uint8_t data[MODEL_SPACE + MODEL_LEN], known[MODEL_SPACE + MODEL_LEN];
};

void model_init(struct model *m, bool stores);
/* What the request must give; r has op, start, len. */
int model_predict(const struct model *m, const struct model_request *r, uint32_t flags);
/* Whether r may not be in flight together with what is. */
bool model_conflicts(const struct model *m, const struct model_request *r);
void model_submitted(struct model *m, struct model_request *r, unsigned queue);
/* Checks the result, and the data of a read. */
void model_completed(struct model *m, struct model_request *r, const struct blkio_completion *c);
/* The queue has gone, and nobody knows what its requests have done. */
void model_queue_gone(struct model *m, unsigned queue);

#endif
