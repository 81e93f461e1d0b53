/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See comeback.h. */
#include "common/comeback.h"

#define PAUSE_MIN_MS	  5
#define PAUSE_MAX_MS	  100
#define PAUSE_MAX_CAME_MS 1000
#define LASTING_MIN_MS	  1000
#define ATTEMPT_MIN_NS	  NSEC_PER_SEC

/* ---- How often, and for how long ---------------------------------------------------------- */

static void start_time(struct comeback *c, int64_t now)
{
	c->by = now + c->timeout_ms * NSEC_PER_MSEC;
	c->pause_ms = 0;
	c->came_back = false;
}

void comeback_connected(struct comeback *c)
{
	c->connected_at = now_ns();
}

void comeback_came(struct comeback *c)
{
	c->came_back = true;
}

void comeback_progressed(struct comeback *c)
{
	start_time(c, now_ns());
}

void comeback_lost(struct comeback *c, bool progressed)
{
	int64_t now = now_ns(), lasting = max_u64(c->timeout_ms, LASTING_MIN_MS);
	bool lasted = now - c->connected_at >= lasting * NSEC_PER_MSEC;

	if (progressed || !c->by || lasted)
		start_time(c, now);
}

int comeback_pause(struct comeback *c)
{
	int most = c->came_back ? PAUSE_MAX_CAME_MS : PAUSE_MAX_MS;
	int64_t now = now_ns();
	int64_t left = c->by > now ? (c->by - now) / NSEC_PER_MSEC + 1 : 1;
	int ms = (int)min_u64(c->pause_ms, left);

	c->pause_ms = min_u64(max_u64(2 * c->pause_ms, PAUSE_MIN_MS), most);
	return ms;
}

/* The first attempt is made in any case. */
bool comeback_is_late(const struct comeback *c)
{
	return c->pause_ms > PAUSE_MIN_MS && now_ns() >= c->by;
}

int64_t comeback_attempt_end(const struct comeback *c)
{
	return max_u64(c->by, deadline_in(ATTEMPT_MIN_NS));
}

/* ---- Requests ----------------------------------------------------------------------------- */

void comeback_retry(struct blkioq *q, struct bk_req *r, bool server_had_it)
{
	if (!server_had_it)
		bk_retry(q, r);
	else if (!bk_retry_again(q, r, COMEBACK_LOSSES_MAX - 1))
		bk_fail(q, r, EIO, COMEBACK_TOO_MANY);
}
