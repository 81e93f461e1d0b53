/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* See wait.h. */
#include "common/wait.h"

int wait_fds(struct pollfd *fds, unsigned n, const struct bk_wait *w)
{
	int ret = ppoll(fds, n, w ? w->timeout : NULL, w ? w->sigmask : NULL);

	if (ret < 0)
		return errno == EINTR ? -EINTR : bk_err(errno, "cannot wait: ppoll: %m");
	return ret ? 0 : -ETIME;
}

int wait_events(int fd, short events, const struct bk_wait *w)
{
	struct pollfd p = { .fd = fd, .events = events };

	return wait_fds(&p, 1, w);
}

/* ---- Spinning before a sleep -------------------------------------------------------------- */

#define CREDIT_MAX  20
#define CREDIT_MISS 4 /* as many finds make up for it */
#define REST_MIN    64
#define REST_MAX    1024

void wait_found(struct wait_window *v)
{
	if (++v->credit < CREDIT_MAX)
		return;
	v->credit = CREDIT_MAX;
	v->last_rest = 0;
}

/* The device takes longer than the property allows, or it needs this CPU to do its work. */
static void rest(struct wait_window *v)
{
	v->rest = v->last_rest ? min_u64(4ULL * v->last_rest, REST_MAX) : REST_MIN;
	v->last_rest = v->rest;
	v->credit = 0;
	v->ns = 0;
}

void wait_missed(struct wait_window *v, int64_t took)
{
	if (v->ns) {
		v->credit -= CREDIT_MISS;
		if (v->credit < 0) {
			rest(v);
			return;
		}
	}
	if (took < v->max_ns)
		v->ns = max_u64(v->ns, min_u64(2 * took, v->max_ns));
}
