/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A vhost-user block server that tracks what is in flight, written from the specification, which
 * dies where the test says. Its successor goes on where it died. Rings are split, or packed and
 * then with indirect tables only.
 */
#ifndef VHOST_USER_TRACKER_H
#define VHOST_USER_TRACKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "device.h"

enum { TRACKER_BATCH = 8 }; /* requests that it has in flight at most */

/* Exit statuses. */
enum {
	TRACKER_DIED = 9,  /* as told */
	TRACKER_LOST = 10, /* the client has gone */
	TRACKER_CONFUSED =
	    11, /* the client broke the protocol, or its base is not that of the notes */
};

struct tracker {
	pid_t pid; /* 0: none */
	char socket[108];
	bool packed, indirect;
	bool forgetful; /* does not track what is in flight */
	/* Shared by all servers, and with the test. */
	struct tracker_shared {
		char disk[DEVICE_SIZE];
		unsigned executed;     /* requests, also again */
		unsigned resubmitted;  /* found in the notes */
		unsigned steps_left;   /* to its death; 0: it lives */
		unsigned servers;      /* started by tracker_keep() */
		pid_t pid;	       /* of the last of those */
		uint32_t last_message; /* dies when it has answered this request; 0: never */
		uint64_t deadly;       /* dies of a read from here; UINT64_MAX: never */
	} * shared;
};

void tracker_init(struct tracker *t, bool packed, bool indirect);
/* Start a server that dies after so many steps; 0: it lives. There are several to a request. */
void tracker_start(struct tracker *t, unsigned steps);
/* Whether it has died as told; fails if it ended otherwise. */
bool tracker_is_dead(struct tracker *t);
/* Start a server, and another whenever one is dead, until tracker_kill(). */
void tracker_keep(struct tracker *t);
void tracker_kill(struct tracker *t);
void tracker_exit(struct tracker *t);

/* ---- Rings (tracker_ring.c), in the server -------------------------------------------------- */

struct tracker_queue {
	unsigned size;
	uint32_t base; /* as the client says */
	void *desc, *driver, *device;
	void *notes; /* its part of the in-flight memory */
	uint16_t avail_pos, used_pos;
	bool avail_wrap, used_wrap;
	struct tracker_request {
		uint16_t id, note; /* note: split: id; packed: index of the note */
		uint64_t table;	   /* packed */
		uint32_t table_len;
	} batch[TRACKER_BATCH];
	unsigned nr_batch;
};

struct tracker_server {
	struct tracker_shared *shared;
	bool packed, indirect, forgetful;
	struct {
		uint64_t addr, client, len; /* on rings, and the client's own */
		char *here;
	} region[32];
	unsigned nr_regions;
};

/* What an address on a ring means here. */
void *tracker_translate(struct tracker_server *s, uint64_t addr, uint64_t len);
/* Count a step, and die if it was the last. */
void tracker_step(struct tracker_server *s);

/* Bytes of notes for a queue; make them those of a new ring. */
unsigned tracker_notes_len(unsigned size);
void tracker_new_notes(const struct tracker_server *s, void *notes, unsigned size);
/* Go on with a ring, as the notes say. */
void tracker_resume(struct tracker_server *s, struct tracker_queue *q);
/* Where it is with a ring: the answer to GET_VRING_BASE. */
uint32_t tracker_base(const struct tracker_server *s, const struct tracker_queue *q);
/* Serve what is there; returns whether anything was. */
bool tracker_serve(struct tracker_server *s, struct tracker_queue *q);

#endif
