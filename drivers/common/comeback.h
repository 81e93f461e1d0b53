/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A server that closes the connection and may come back: property "reconnect-timeout". For how long
 * it is looked for, how often, and which requests are given to the next one.
 */
#ifndef BK_COMMON_COMEBACK_H
#define BK_COMMON_COMEBACK_H

#include "driver.h"

#define COMEBACK_LOSSES_MAX 10 /* servers in a row that may disconnect with the same request */
#define COMEBACK_TOO_MANY   "10 servers in a row disconnected while they had this request"

struct comeback {
	int timeout_ms;	      /* the property; 0: a lost connection is the end */
	int64_t by;	      /* of now_ns(); 0: never lost so far */
	int64_t connected_at; /* of now_ns(): to this server */
	int pause_ms;	      /* before the next attempt */
	bool came_back;	      /* at least once since the time began that by ends */
};

/* The device works. */
void comeback_connected(struct comeback *c);

/*
 * The connection is lost. progressed: a request has completed since the last time.
 *
 * The time that a server has to come back runs until a request completes, or until a connection has
 * lasted for as long, and a second at least: a server that accepts and closes again and again does
 * not restart it.
 */
void comeback_lost(struct comeback *c, bool progressed);
/* A request has completed after all. */
void comeback_progressed(struct comeback *c);

/*
 * Milliseconds to pause before the next attempt; none before the first. A server that is not there
 * is looked for often; one that comes and goes, less and less.
 */
int comeback_pause(struct comeback *c);
/* After that pause: is the time over? */
bool comeback_is_late(const struct comeback *c);
/* When an attempt that has begun is to be given up; of now_ns(). */
int64_t comeback_attempt_end(const struct comeback *c);
/* An attempt got so far that the server may have begun. */
void comeback_came(struct comeback *c);

/* Submit r again, which was in flight on a lost connection; or fail it after too many of them. */
void comeback_retry(struct blkioq *q, struct bk_req *r, bool server_had_it);

/* A driver's row for the property. */
#define COMEBACK_TIMEOUT(type, field)                                                              \
	{                                                                                          \
		"reconnect-timeout",                                                               \
		    "How long requests wait, in milliseconds, for a server that closed the "       \
		    "connection to come back and complete a request; 0 if they fail at once. The " \
		    "new server may carry out a request that the old one had begun a second "      \
		    "time. A request that 10 servers in a row had when they disconnected fails.",  \
		    BK_INT, BK_GET_ALWAYS, BK_SET_CREATED, offsetof(type, field.timeout_ms),       \
		    .max = INT_MAX                                                                 \
	}

#endif
